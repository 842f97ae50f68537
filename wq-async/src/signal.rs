//! Signals of the operating system as futures and streams: Ctrl-C, `SIGTERM`, `SIGHUP` and others.
//!
//! | to | use |
//! |---|---|
//! | wait for Ctrl-C once | [`ctrl_c`] |
//! | wait for a signal again and again | [`signal`], [`Signals`] |
//! | wait for one of several | [`Signals::new`] |
//!
//! A listener hears what comes from the call that makes it on, polled or not. There may be any
//! number of them for a signal, and each hears all of it. As in the kernel, signals of a kind that
//! come faster than they are taken are one. They work in tasks, in [`block_on`](crate::block_on),
//! under other executors, and on threads ([`Signals::wait`]). No thread is made for them but the
//! reactor's, by the first listener or socket of the process.
//!
//! # The default action
//! The first listener for a kind of signal replaces what the system does by default, **for the rest
//! of the process**: after one [`ctrl_c`] has been awaited or dropped, Ctrl-C does not end the
//! program any more, and those that nobody listens for are lost. So keep the listener, or end the
//! program at the second one: see the example. What a program or a library had installed before
//! goes on being called.
//!
//! # Which thread
//! Signals interrupt any thread that does not block them, workers too. The handler asks for
//! interrupted calls to be restarted (`SA_RESTART`), so reads, writes and waits for locks go on.
//! What the kernel never restarts (`poll`, `nanosleep`, sockets with a time limit: see `man 7
//! signal`) ends with [`Interrupted`](io::ErrorKind::Interrupted), which `std` mostly hides. A
//! signal that *all* threads of the program block reaches no listener.
//!
//! # Forks
//! A child that was forked and did not become another program has its parent's handlers: a signal
//! for the child is heard by the parent's listeners. Listeners of its own are refused there if its
//! parent has used any, or sockets of `wq::net`.
//!
//! # Examples
//! End well at the first signal, at once at the second:
//!
//! ```no_run
//! use futures::StreamExt;
//! use wq::signal::{SignalKind, Signals};
//!
//! #[wq::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut ends = Signals::new([SignalKind::interrupt(), SignalKind::terminate()])?;
//!     let work = wq::spawn(async { /* serve */ });
//!     println!("{} came", ends.recv().await?);
//!     wq::spawn(async move {
//!         ends.next().await;
//!         std::process::exit(1);
//!     });
//!     work.abort();
//!     Ok(())
//! }
//! ```

#![forbid(unsafe_code)]

mod error;
mod kind;

use std::future::{Future, poll_fn};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use signal_hook::SigId;
use signal_hook::low_level::{pipe, unregister};
use wq_core::driver;

use crate::io::Async;

pub use self::error::SignalError;
pub use self::kind::SignalKind;

/// Bytes read at a time: more than signals mostly come between two looks.
const ROOM: usize = 64;

/// Reads in one look: more bytes than the handler's end of a socket pair has room for by default.
/// If it has more, what is left is one signal more.
const READS: usize = 64;

/// Listens for a kind of signal, from this call on.
///
/// # Errors
/// If no program may handle that signal, there is none of that number, or the machine refuses the
/// descriptors: two for each listener.
///
/// # Examples
/// ```
/// use nix::sys::signal::{Signal, raise};
/// use wq::signal::{SignalKind, signal};
///
/// # wq::block_on(async {
/// let mut reload = signal(SignalKind::hangup())?;
/// raise(Signal::SIGHUP)?; // as `kill -HUP` does
/// assert_eq!(reload.recv().await?, SignalKind::hangup());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub fn signal(kind: SignalKind) -> Result<Signals, SignalError> {
    Signals::new([kind])
}

/// Listens for Ctrl-C (`SIGINT`) once, from this call on: a future, which can also block.
///
/// # Errors
/// The future's: if the machine refuses descriptors.
///
/// # Examples
/// ```no_run
/// # wq::block_on(async {
/// wq::signal::ctrl_c().await?; // from now on it does not end the program by itself
/// println!("ending");
/// # Ok::<(), wq::signal::SignalError>(())
/// # }).unwrap();
/// ```
pub fn ctrl_c() -> CtrlC {
    CtrlC(Some(signal(SignalKind::interrupt())))
}

/// Waits for Ctrl-C: see [`ctrl_c`].
///
/// # Cancellation
/// Its drop ends the listening; the default action does not come back.
///
/// # Panics
/// If it is polled after it was ready.
///
/// # Examples
/// ```
/// use nix::sys::signal::{Signal, raise};
///
/// let heard: wq::signal::CtrlC = wq::signal::ctrl_c();
/// raise(Signal::SIGINT)?;
/// heard.wait()?; // on a thread, without a future
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "it listens until it is dropped; await it, or call `wait`"]
pub struct CtrlC(Option<Result<Signals, SignalError>>);

impl CtrlC {
    /// Waits on the calling thread, which counts as sleeping.
    ///
    /// # Errors
    /// If the machine has refused descriptors.
    pub fn wait(self) -> Result<(), SignalError> {
        driver::block_on(self)
    }
}

impl Future for CtrlC {
    type Output = Result<(), SignalError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.0 {
            Some(Ok(signals)) => ready!(signals.poll_recv(cx)).map_err(SignalError::refused),
            Some(Err(_)) | None => Ok(SignalKind::interrupt()),
        };
        match self.0.take() {
            Some(listener) => Poll::Ready(listener.and(answer).map(|_| ())),
            None => panic!("a future was polled after it was ready"),
        }
    }
}

/// Listens for some kinds of signals: a stream that does not end.
///
/// Of several kinds that came, none is passed over for good, and their order is not kept.
///
/// # Cancellation
/// A dropped wait takes no signal. Dropping the listener ends the listening; the default action
/// does not come back.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use nix::sys::signal::{Signal, raise};
/// use wq::signal::{SignalKind, Signals};
///
/// let mut signals = Signals::new([SignalKind::user_defined1(), SignalKind::user_defined2()])?;
/// for _ in 0..3 {
///     raise(Signal::SIGUSR2)?;
/// }
/// assert_eq!(signals.wait()?, SignalKind::user_defined2());
/// assert_eq!(signals.wait_timeout(Duration::from_millis(1))?, None); // they were one
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "it listens until it is dropped"]
pub struct Signals {
    listeners: Vec<Listener>,
    /// The one to be asked first, so that each has its turn.
    first: usize,
}

impl Signals {
    /// Listens for these kinds, from this call on.
    ///
    /// # Errors
    /// As for [`signal`], and if no kind is given.
    pub fn new(kinds: impl IntoIterator<Item = SignalKind>) -> Result<Signals, SignalError> {
        let mut kinds: Vec<SignalKind> = kinds.into_iter().collect();
        kinds.sort_unstable();
        kinds.dedup();
        if kinds.is_empty() {
            return Err(SignalError::none());
        }
        // Three passes: a handler replaces the default action for good, so none is installed before
        // all that may be refused was had.
        kinds.iter().try_for_each(|kind| kind.check())?;
        let ears = kinds.iter().map(|_| Ear::new());
        let ears = ears.collect::<io::Result<Vec<_>>>();
        let ears = ears.map_err(SignalError::refused)?;
        let listeners = kinds.into_iter().zip(ears);
        let listeners = listeners.map(|(kind, ear)| Listener::new(kind, ear));
        Ok(Signals {
            listeners: listeners.collect::<Result<_, _>>()?,
            first: 0,
        })
    }

    /// The next signal.
    ///
    /// # Errors
    /// If somebody has closed a descriptor that is not theirs.
    ///
    /// # Cancellation
    /// A dropped future takes no signal.
    ///
    /// # Examples
    /// ```
    /// use nix::sys::signal::{Signal, raise};
    /// use wq::signal::{SignalKind, signal};
    ///
    /// # wq::block_on(async {
    /// let mut resized = signal(SignalKind::window_change())?;
    /// raise(Signal::SIGWINCH)?;
    /// assert_eq!(resized.recv().await?, SignalKind::window_change());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn recv(&mut self) -> io::Result<SignalKind> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next signal, for the one task that polls.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<SignalKind>> {
        let count = self.listeners.len();
        for at in (self.first..count).chain(0..self.first) {
            if let Poll::Ready(answer) = self.listeners[at].poll(cx) {
                self.first = (at + 1) % count;
                return Poll::Ready(answer);
            }
        }
        Poll::Pending
    }

    /// Waits for the next signal on the calling thread, which counts as sleeping.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn wait(&mut self) -> io::Result<SignalKind> {
        driver::block_on(self.recv())
    }

    /// As [`wait`](Self::wait), for at most `limit`; `None` if nothing came.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn wait_timeout(&mut self, limit: Duration) -> io::Result<Option<SignalKind>> {
        driver::block_on_timeout(self.recv(), limit).transpose()
    }
}

impl Stream for Signals {
    type Item = io::Result<SignalKind>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx).map(Some)
    }
}

/// What a listener hears with, before there is a handler.
struct Ear {
    heard: Async<UnixStream>,
    /// The handler's end.
    told: UnixStream,
}

impl Ear {
    /// Two descriptors.
    fn new() -> io::Result<Ear> {
        let (heard, told) = UnixStream::pair()?;
        let heard = Async::new(heard)?;
        Ok(Ear { heard, told })
    }
}

/// A listener for one kind: the handler writes a byte to the other end of this stream.
#[derive(Debug)]
struct Listener {
    kind: SignalKind,
    handler: SigId,
    heard: Async<UnixStream>,
}

impl Listener {
    /// Listens from now on.
    fn new(kind: SignalKind, ear: Ear) -> Result<Listener, SignalError> {
        let handler = pipe::register(kind.as_raw_value(), ear.told);
        Ok(Listener {
            kind,
            handler: handler.map_err(|error| SignalError::of_handler(kind, error))?,
            heard: ear.heard,
        })
    }

    /// Takes all that came.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<io::Result<SignalKind>> {
        let read = |heard: &UnixStream| take_all(heard);
        match ready!(self.heard.poll_read_with(cx, read)) {
            // The handler's end is open until the drop.
            Ok(0) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Poll::Ready(Ok(self.kind)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Takes what is there, and answers how much the first read had.
///
/// # Errors
/// Those of the first read; what a later one says is asked again at the next look.
fn take_all(mut heard: &UnixStream) -> io::Result<usize> {
    let mut room = [0; ROOM];
    let first = heard.read(&mut room)?;
    let mut last = first;
    for _ in 1..READS {
        // One that is not full has left nothing.
        if last < ROOM {
            break;
        }
        last = heard.read(&mut room).unwrap_or(0);
    }
    Ok(first)
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Closes the handler's end.
        unregister(self.handler);
    }
}
