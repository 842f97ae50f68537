//! Where an item of a scope leaves its result, and what becomes of one that nobody takes.
//!
//! A panic's payload goes to the handle by way of the engine, and not through here: a scope says
//! that an item panicked of which nobody asked, as `std::thread::scope` does, and not how.

#![forbid(unsafe_code)]

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::task::drop_payload;

/// Why an item gave no result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// It panicked, or a destructor of it did.
    Panicked,
    /// It was dropped before it returned, and not because somebody asked for that.
    Dropped,
    /// Its queue did not accept it.
    Rejected,
    /// It would have waited for its waiter.
    Deadlock,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Panicked => "an item of a scope panicked",
            Failure::Dropped => {
                "an item of a scope was dropped before it returned, by the shutdown of its System"
            }
            Failure::Rejected => {
                "an item of a scope did not run: its queue is closed, draining or full"
            }
            Failure::Deadlock => {
                "an item of a scope did not run: whoever waits for it is inside an item that has a \
                 slot of the same limited queue, so it never would; use another queue"
            }
        })
    }
}

/// The first failure that nobody was told of.
#[derive(Debug, Default)]
pub(super) struct Failures(OnceLock<Failure>);

impl Failures {
    /// The first one.
    pub(super) fn first(&self) -> Option<Failure> {
        self.0.get().copied()
    }
}

/// What became of an item.
enum Outcome<T> {
    /// Nothing yet.
    Open,
    /// Nothing yet, and perhaps never: somebody asked it to stop.
    Aborted,
    /// It returned.
    Returned(T),
    /// It will not return.
    Failed(Failure),
    /// Somebody was told.
    Told,
}

/// The result of one item, shared by it and its handle.
pub(super) struct Slot<T> {
    outcome: Mutex<Outcome<T>>,
    failures: Arc<Failures>,
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

impl<T> Slot<T> {
    /// An empty one.
    pub(super) fn new(failures: &Arc<Failures>) -> Arc<Slot<T>> {
        Arc::new(Slot {
            outcome: Mutex::new(Outcome::Open),
            failures: Arc::clone(failures),
        })
    }

    /// Exchanges what is there.
    fn replace(&self, outcome: Outcome<T>) -> Outcome<T> {
        // Nothing panics while it is locked.
        let mut place = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, outcome)
    }

    /// The item is asked to stop: that it does not return is then no failure.
    pub(super) fn abort(&self) {
        let mut place = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*place, Outcome::Open) {
            *place = Outcome::Aborted;
        }
    }

    /// The item will not return.
    pub(super) fn fail(&self, failure: Failure) {
        let mut place = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*place, Outcome::Open | Outcome::Aborted) {
            *place = Outcome::Failed(failure);
        }
    }

    /// What the item returned; whoever asks has been told, whatever it is.
    pub(super) fn take(&self) -> Option<T> {
        match self.replace(Outcome::Told) {
            Outcome::Returned(value) => Some(value),
            Outcome::Open | Outcome::Aborted | Outcome::Failed(_) | Outcome::Told => None,
        }
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        let outcome = self
            .outcome
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let failure =
            match std::mem::replace(outcome, Outcome::Told) {
                Outcome::Told | Outcome::Aborted => None,
                Outcome::Open => Some(Failure::Dropped),
                Outcome::Failed(failure) => Some(failure),
                // Nobody wants it, and its destructor may panic.
                Outcome::Returned(value) => catch_unwind(AssertUnwindSafe(|| drop(value)))
                    .err()
                    .map(|payload| {
                        drop_payload(payload);
                        Failure::Panicked
                    }),
            };
        if let Some(failure) = failure {
            let _ = self.failures.0.set(failure);
        }
    }
}

/// An item's body that has not begun, with its count of the slot. Dropped in this order: a panic of
/// the body's destructors is seen.
pub(super) struct Todo<F, T> {
    body: F,
    ending: Ending<T>,
}

impl<F, T> Todo<F, T> {
    /// Nothing has begun.
    pub(super) fn new(body: F, slot: Arc<Slot<T>>) -> Todo<F, T> {
        let ending = Ending(slot);
        Todo { body, ending }
    }

    /// It begins.
    pub(super) fn begin(self) -> (F, Ending<T>) {
        (self.body, self.ending)
    }
}

/// The item's count of its slot.
#[derive(Debug)]
pub(super) struct Ending<T>(Arc<Slot<T>>);

impl<T> Ending<T> {
    /// The item returned.
    pub(super) fn returned(self, value: T) {
        drop(self.0.replace(Outcome::Returned(value)));
    }
}

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Failure::Panicked);
        }
    }
}
