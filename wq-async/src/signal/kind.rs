//! A kind of signal: a number that knows its name.

use std::ffi::c_int;
use std::fmt;

use nix::libc::{SIGRTMAX, SIGRTMIN};
use signal_hook::consts::{self, FORBIDDEN};
use signal_hook::low_level::signal_name;

use super::SignalError;

/// A kind of signal.
///
/// # Examples
/// ```
/// use wq::signal::SignalKind;
///
/// assert_eq!(SignalKind::terminate().to_string(), "SIGTERM");
/// assert_eq!(SignalKind::from_raw(15), SignalKind::terminate());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalKind(c_int);

/// The kinds that have a function of their own.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:ident;)*) => {
        impl SignalKind {$(
            $(#[$doc])*
            pub const fn $name() -> SignalKind {
                SignalKind(consts::$number)
            }
        )*}
    };
}

kinds! {
    /// `SIGALRM`: a timer of the system. By default it ends the program.
    #[doc(alias = "SIGALRM")]
    alarm = SIGALRM;
    /// `SIGCHLD`: a child has changed its state. Ignored by default.
    #[doc(alias = "SIGCHLD")]
    child = SIGCHLD;
    /// `SIGHUP`: the terminal is gone; by custom, daemons read their configuration again. By
    /// default it ends the program.
    #[doc(alias = "SIGHUP")]
    hangup = SIGHUP;
    /// `SIGINT`: Ctrl-C. By default it ends the program.
    #[doc(alias = "SIGINT")]
    interrupt = SIGINT;
    /// `SIGIO`: a descriptor is ready. By default it ends the program.
    #[doc(alias = "SIGIO")]
    io = SIGIO;
    /// `SIGPIPE`: a write to a pipe that nobody reads. Programs of Rust ignore it.
    #[doc(alias = "SIGPIPE")]
    pipe = SIGPIPE;
    /// `SIGQUIT`: Ctrl-\. By default it ends the program with a core dump.
    #[doc(alias = "SIGQUIT")]
    quit = SIGQUIT;
    /// `SIGTERM`: the program is asked to end, as service managers and `kill` do. By default it
    /// ends the program.
    #[doc(alias = "SIGTERM")]
    terminate = SIGTERM;
    /// `SIGUSR1`: what the program makes of it. By default it ends the program.
    #[doc(alias = "SIGUSR1")]
    user_defined1 = SIGUSR1;
    /// `SIGUSR2`: what the program makes of it. By default it ends the program.
    #[doc(alias = "SIGUSR2")]
    user_defined2 = SIGUSR2;
    /// `SIGWINCH`: the terminal has another size. Ignored by default.
    #[doc(alias = "SIGWINCH")]
    window_change = SIGWINCH;
}

impl SignalKind {
    /// The kind with this number.
    ///
    /// # Examples
    /// ```
    /// let kill = wq::signal::SignalKind::from_raw(9);
    /// assert!(wq::signal::signal(kill).unwrap_err().is_forbidden());
    /// ```
    pub const fn from_raw(number: c_int) -> SignalKind {
        SignalKind(number)
    }

    /// Its number.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(wq::signal::SignalKind::hangup().as_raw_value(), 1);
    /// ```
    pub const fn as_raw_value(&self) -> c_int {
        self.0
    }

    /// Whether a listener is possible, as far as can be told without making one.
    pub(super) fn check(self) -> Result<(), SignalError> {
        if self.is_forbidden() {
            return Err(SignalError::forbidden(self));
        }
        if !self.exists() {
            return Err(SignalError::unknown(self));
        }
        Ok(())
    }

    /// Whether no listener is allowed. `SIGKILL` and `SIGSTOP` have no handlers; the others repeat
    /// the faulty instruction for ever when their handler returns.
    fn is_forbidden(self) -> bool {
        self.0 == consts::SIGBUS || FORBIDDEN.contains(&self.0)
    }

    /// Whether the system has it for programs: those between the classic and the real-time signals
    /// are the C library's.
    fn exists(self) -> bool {
        (1..32).contains(&self.0) || (SIGRTMIN()..=SIGRTMAX()).contains(&self.0)
    }
}

impl fmt::Debug for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match signal_name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}
