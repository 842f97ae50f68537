//! Why somebody cannot listen.

use std::error::Error;
use std::fmt;
use std::io;

use super::SignalKind;

/// The error of a listener that was not made.
///
/// # Examples
/// ```
/// use wq::signal::{SignalKind, signal};
///
/// let stop = SignalKind::from_raw(19);
/// let error = signal(stop).unwrap_err();
/// assert!(error.is_forbidden());
/// println!("{error}"); // SIGSTOP cannot be listened for: ...
/// ```
#[derive(Debug)]
pub struct SignalError(Kind);

/// The reasons.
#[derive(Debug)]
enum Kind {
    /// A handler would do harm, or is impossible.
    Forbidden(SignalKind),
    /// The system knows no such signal.
    Unknown(SignalKind),
    /// No kind was named.
    None,
    /// The machine has no more descriptors, or says something else.
    Refused(io::Error),
}

impl SignalError {
    /// No program may handle it.
    pub(super) fn forbidden(kind: SignalKind) -> SignalError {
        SignalError(Kind::Forbidden(kind))
    }

    /// There is none of that number.
    pub(super) fn unknown(kind: SignalKind) -> SignalError {
        SignalError(Kind::Unknown(kind))
    }

    /// No kind was named.
    pub(super) fn none() -> SignalError {
        SignalError(Kind::None)
    }

    /// What the machine says.
    pub(super) fn refused(error: io::Error) -> SignalError {
        SignalError(Kind::Refused(error))
    }

    /// What the machine says to a handler of that kind.
    pub(super) fn of_handler(kind: SignalKind, error: io::Error) -> SignalError {
        if error.kind() == io::ErrorKind::InvalidInput {
            SignalError::unknown(kind)
        } else {
            SignalError::refused(error)
        }
    }

    /// Whether no program may listen for that signal: `SIGKILL`, `SIGSTOP`, and those that tell of
    /// a faulty instruction (`SIGSEGV`, `SIGBUS`, `SIGFPE`, `SIGILL`).
    pub fn is_forbidden(&self) -> bool {
        matches!(self.0, Kind::Forbidden(_))
    }

    /// Whether the system knows no signal of that number, or keeps it for itself.
    ///
    /// # Examples
    /// ```
    /// use wq::signal::{SignalKind, signal};
    ///
    /// assert!(signal(SignalKind::from_raw(4711)).unwrap_err().is_unknown());
    /// ```
    pub fn is_unknown(&self) -> bool {
        matches!(self.0, Kind::Unknown(_))
    }

    /// Whether no signal was named, so that a wait would never end.
    ///
    /// # Examples
    /// ```
    /// assert!(wq::signal::Signals::new([]).unwrap_err().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Kind::None)
    }
}

impl fmt::Display for SignalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Forbidden(kind) => write!(
                f,
                "{kind} cannot be listened for: it has no handlers, or its handler must not return"
            ),
            Kind::Unknown(kind) => write!(
                f,
                "{kind} does not exist, or the system keeps it for itself; see `kill -l`"
            ),
            Kind::None => f.write_str("no signal was named: name those to listen for"),
            Kind::Refused(_) => f.write_str("the machine refuses a listener for signals"),
        }
    }
}

impl Error for SignalError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Kind::Refused(error) => Some(error),
            _ => None,
        }
    }
}

impl From<SignalError> for io::Error {
    fn from(error: SignalError) -> io::Error {
        match error.0 {
            Kind::Refused(error) => error,
            _ => io::Error::new(io::ErrorKind::InvalidInput, error),
        }
    }
}
