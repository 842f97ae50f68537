//! Children whose owner has gone: they are reaped when they end, and by nobody's task.
//!
//! Each is its own waker: the reactor's event reaps it where the event is delivered, which takes
//! one system call that does not block.

#![forbid(unsafe_code)]

use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::ending::Ending;

/// A child that the reactor watches; the waker that it keeps there keeps this.
struct Orphan(Mutex<Option<Ending>>);

/// Those that no descriptor could be had for, reaped when somebody comes by.
static UNWATCHED: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Reaps a child as soon as it has ended.
pub(super) fn reap(mut ending: Ending) {
    sweep();
    // An error means that somebody else has reaped it.
    if !matches!(ending.try_wait(), Ok(None)) {
        return;
    }
    if ending.watch_descriptor().is_ok() {
        Arc::new(Orphan(Mutex::new(Some(ending)))).wake();
    } else if matches!(ending.try_wait(), Ok(None)) {
        let child = ending.into_child();
        let mut unwatched = UNWATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        unwatched.push(child);
    }
}

/// Reaps those that no descriptor tells of and that have ended.
pub(super) fn sweep() {
    let mut unwatched = UNWATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    unwatched.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
}

impl Wake for Orphan {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        // Nothing of a user's runs under the lock, and the reactor holds none when it calls.
        let mut ending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let polled = ending
            .as_mut()
            .map(|ending| ending.poll_wait(&mut Context::from_waker(&waker)));
        let gone = match polled {
            Some(Poll::Ready(_)) => ending.take(),
            Some(Poll::Pending) | None => None,
        };
        drop(ending);
        // Closes the descriptor, and drops the reactor's waker with it.
        drop(gone);
    }
}
