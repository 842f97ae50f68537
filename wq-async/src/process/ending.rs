//! Waiting for the end of a child.

#![forbid(unsafe_code)]

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::{Child, ExitStatus};
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use wq_core::{JoinHandle, blocking};

use super::pidfd::{Pidfd, State};
use crate::io::Async;
use crate::spawn_fn;

/// A child, and how its end becomes known. Only this reaps it, unless the program waits for all of
/// its children somewhere or ignores `SIGCHLD`.
#[derive(Debug)]
pub(super) struct Ending {
    child: Child,
    known: Known,
    watch: Watch,
}

/// What is known of a child's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Nothing: it was there, alive or not, when it was looked at last.
    Nothing,
    /// How it has ended, which `std` keeps. Its number may be another process's now.
    End,
    /// That it was reaped by somebody else. Its number may be another process's, too.
    Gone,
}

impl Known {
    /// How the child has ended, if it has. What is known is not asked for again; the number is not
    /// used if the descriptor says that it is another's.
    fn look(&mut self, child: &mut Child, pidfd: Option<&Pidfd>) -> io::Result<Option<ExitStatus>> {
        if *self == Known::Gone {
            return Err(Errno::ECHILD.into());
        }
        let state = match *self {
            Known::Nothing => pidfd.map(Pidfd::state),
            Known::End | Known::Gone => None,
        };
        let answer = match state {
            Some(State::Alive) => Ok(None),
            Some(State::Gone) => Err(Errno::ECHILD.into()),
            Some(State::Unreaped) | None => child.try_wait(),
        };
        if let Ok(Some(_)) = answer {
            *self = Known::End;
        }
        answer.inspect_err(|error| self.learn_of(error))
    }

    /// Some errors say that somebody else has reaped the child.
    fn learn_of(&mut self, error: &io::Error) {
        if error.raw_os_error() == Some(Errno::ECHILD as i32) {
            *self = Known::Gone;
        }
    }
}

/// Who tells that the child has ended.
#[derive(Debug)]
enum Watch {
    /// Nobody yet, or no more.
    Nobody,
    /// The reactor.
    Descriptor(Async<Pidfd>),
    /// An item that blocks until then and does not reap.
    Worker(JoinHandle<()>),
}

impl Ending {
    /// Of a child that nobody else waits for.
    pub(super) fn new(child: Child) -> Ending {
        Ending {
            child,
            known: Known::Nothing,
            watch: Watch::Nobody,
        }
    }

    /// Its number, while that is its.
    pub(super) fn id(&self) -> Option<u32> {
        (self.known == Known::Nothing).then(|| self.child.id())
    }

    /// Has it killed, unless it has ended.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        // Somebody may have reaped it: the signal would be a stranger's.
        match self.try_wait() {
            Ok(None) => self.send_kill(),
            Ok(Some(_)) => Ok(()),
            Err(_) if self.known == Known::Gone => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Kills what was there at a look; by its number only where no descriptor can be had.
    fn send_kill(&mut self) -> io::Result<()> {
        if let Watch::Descriptor(pidfd) = &self.watch {
            return pidfd.get_ref().kill(&mut self.child);
        }
        match self.open() {
            Ok(pidfd) => pidfd.kill(&mut self.child),
            Err(_) if self.known == Known::Gone => Ok(()),
            Err(_) => self.child.kill(),
        }
    }

    /// Its descriptor, if it is there and the machine gives one.
    fn open(&mut self) -> io::Result<Pidfd> {
        Pidfd::open(&self.child).inspect_err(|error| self.known.learn_of(error))
    }

    /// How it has ended, if it has.
    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let pidfd = match &self.watch {
            Watch::Descriptor(pidfd) => Some(pidfd.get_ref()),
            Watch::Nobody | Watch::Worker(_) => None,
        };
        let answer = self.known.look(&mut self.child, pidfd);
        if self.known != Known::Nothing {
            self.watch = Watch::Nobody;
        }
        answer
    }

    /// Waits for its end; may be polled again afterwards.
    pub(super) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        loop {
            match &mut self.watch {
                Watch::Nobody => {
                    if let Some(status) = self.try_wait()? {
                        return Poll::Ready(Ok(status));
                    }
                    // If it is known to be gone, the next turn tells that.
                    if self.watch_descriptor().is_err() && self.known != Known::Gone {
                        self.watch_on_a_worker();
                    }
                }
                Watch::Descriptor(pidfd) => {
                    let (known, child) = (&mut self.known, &mut self.child);
                    let attempt = |pidfd: &Pidfd| match known.look(child, Some(pidfd))? {
                        Some(_) => Ok(()),
                        None => Err(io::ErrorKind::WouldBlock.into()),
                    };
                    let answer = ready!(pidfd.poll_read_with(cx, attempt));
                    self.watch = Watch::Nobody;
                    // Known now: the next turn tells it.
                    answer?;
                }
                Watch::Worker(item) => {
                    let answer = ready!(Pin::new(item).poll(cx));
                    self.watch = Watch::Nobody;
                    answer.map_err(io::Error::other)?;
                }
            }
        }
    }

    /// Has the reactor tell the end.
    pub(super) fn watch_descriptor(&mut self) -> io::Result<()> {
        if matches!(self.watch, Watch::Descriptor(_)) {
            return Ok(());
        }
        // The number is the child's own until it is reaped: it was there at the look before this.
        let pidfd = self.open()?;
        // Nothing is known: if it has ended meanwhile, the registration is an event.
        self.watch = Watch::Descriptor(Async::registered(pidfd, 0)?);
        Ok(())
    }

    /// Has an item tell the end.
    fn watch_on_a_worker(&mut self) {
        let pid = Pid::from_raw(self.child.id() as i32);
        // It stays a zombie until `try_wait`, so that its number remains its own.
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        self.watch = Watch::Worker(spawn_fn(move || {
            blocking(|| while waitid(Id::Pid(pid), flags) == Err(Errno::EINTR) {});
        }));
    }

    /// The child alone; whoever waited for it is not told.
    pub(super) fn into_child(self) -> Child {
        self.child
    }
}
