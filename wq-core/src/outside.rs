//! The outside world: what an idle worker waits for in place of sleeping.
//!
//! An idle worker that waits for descriptors itself runs what it hears of without a change of
//! threads. This module knows how a worker does that; what there is to wait for, and whom to tell,
//! is the business of the one [`Poller`] that a process may have, which lives in wq-async.
//!
//! Invariant: at most one thread waits at a time, the one whose claim succeeded, so that an
//! interrupt reaches the worker that it is meant for.

#![forbid(unsafe_code)]

use std::sync::OnceLock;
use std::time::Duration;

/// Who waits for the outside world; for the async layer, no stable interface.
pub trait Poller: Sync {
    /// Claims the right to wait. False: somebody has it.
    fn claim(&self) -> bool;

    /// Gives a claim back, unused.
    fn abandon(&self);

    /// Waits until there is something to deliver, until [`interrupt`](Self::interrupt), or until
    /// `limit` is over; ends the claim. True: this thread has something to deliver.
    fn wait(&self, limit: Option<Duration>) -> bool;

    /// Ends the present wait, or the next one if nobody waits.
    fn interrupt(&self);

    /// Wakes the tasks that this thread found something for. True: there was somebody to wake.
    fn deliver(&self) -> bool;

    /// This thread leaves the next event to others: somebody is to wait at once.
    fn pass_on(&self);

    /// A worker that has nothing to do, before it goes to sleep: looks whether there is something,
    /// if nobody waits, and delivers it. True: there was.
    fn peek(&self) -> bool;

    /// A busy worker, between two items, at this moment of the monotonic clock: looks whether there
    /// is something, if nobody has for a while, and delivers it.
    fn glance(&self, now_ns: u64);
}

/// The process's poller.
static POLLER: OnceLock<&'static dyn Poller> = OnceLock::new();

/// Installs the process's poller. Only the first one is kept.
pub fn set_poller(poller: &'static dyn Poller) {
    // A second one is an error of the async layer, of which a program has one.
    let _ = POLLER.set(poller);
}

/// The process's poller, once there is one.
#[inline]
pub(crate) fn poller() -> Option<&'static dyn Poller> {
    POLLER.get().copied()
}

/// Ends the wait of whoever waits.
pub(crate) fn interrupt() {
    if let Some(poller) = poller() {
        poller.interrupt();
    }
}
