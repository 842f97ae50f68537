//! Freezing: freezable queues start nothing until they are thawed, and go on as if nothing had
//! been.
//!
//! A freeze is one more reason in each slot domain of the queues that it covers (`queue::limit`):
//! `max_active` then counts as 0. Items that have their slot go on to their end, suspended or not;
//! what is accepted meanwhile waits in its order. Who wants to know when nothing of them is active
//! any more waits with a [`Freeze`](crate::Freeze).
//!
//! No handshake of its own: a waiter leaves its waker under the freezer's lock and then counts the
//! active items under the locks of the limiters. Who gives the last slot of a frozen limiter back
//! does so under that lock, and takes the wakers after it: either the waiter's count sees the slot
//! as free, or the waker is found.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::entry::Entry;
use crate::guard;
use crate::queue::{QueueInner, QueueRef};
use crate::route;

use super::SystemInner;

/// Items that a thaw takes out of a limiter while it holds its lock; more go the next time. So many
/// are started in about the time that a thread which wants the lock sleeps for.
const START_AT_ONCE: usize = 256;

/// What a freeze covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// All freezable queues of the System.
    System,
    /// This one, which is freezable.
    Queue(QueueRef),
}

/// What is frozen, and who waits for it to be quiet.
#[derive(Debug, Default)]
pub(crate) struct Freezer(Mutex<State>);

/// What the lock guards.
#[derive(Debug, Default)]
struct State {
    /// The freeze of the whole System.
    system: Option<Hold>,
    /// Freezes of single queues by their owners, by the queue's number.
    queues: HashMap<u64, Hold>,
    /// Numbers freezes.
    last_number: u64,
    /// Who waits; each with a number of its own.
    waiters: Vec<(u64, Waker)>,
    /// Numbers waiters.
    last_waiter: u64,
    /// The System drops what is left: nothing is frozen any more.
    over: bool,
}

/// A freeze that has not been undone.
#[derive(Clone, Copy, Debug)]
struct Hold {
    /// How often it was asked for and not undone.
    depth: u32,
    /// Its number, by which waits for it know it.
    number: u64,
}

impl State {
    /// The freeze of this scope, if there is one.
    fn hold(&self, scope: Scope) -> Option<Hold> {
        match scope {
            Scope::System => self.system,
            Scope::Queue(queue) => self.queues.get(&queue.get().id).copied(),
        }
    }

    /// Begins, changes or ends the freeze of this scope.
    fn set_hold(&mut self, scope: Scope, hold: Option<Hold>) {
        match (scope, hold) {
            (Scope::System, hold) => self.system = hold,
            (Scope::Queue(queue), Some(hold)) => {
                self.queues.insert(queue.get().id, hold);
            }
            (Scope::Queue(queue), None) => {
                self.queues.remove(&queue.get().id);
            }
        }
    }

    /// Those who wait: each looks again, and leaves its waker again if it must.
    fn take_wakers(&mut self) -> Vec<(u64, Waker)> {
        std::mem::take(&mut self.waiters)
    }
}

/// Wakes those who wait. Not under a lock.
fn wake(waiters: Vec<(u64, Waker)>) {
    guard::wake_all(waiters.into_iter().map(|(_, waker)| waker));
}

impl SystemInner {
    /// The state; nothing panics under the lock.
    fn lock_freezer(&self) -> MutexGuard<'_, State> {
        self.freezer
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Freezes; once more, if it is frozen. The freeze's number; `None`: the System drops what is
    /// left, and nothing freezes any more.
    ///
    /// # Panics
    /// If it has not been undone for more than four thousand million times.
    pub(crate) fn freeze(&self, scope: Scope) -> Option<u64> {
        let mut state = self.lock_freezer();
        if state.over {
            return None;
        }
        let before = state.hold(scope);
        let depth = before.map_or(0, |hold| hold.depth).checked_add(1);
        let depth = depth.expect("every freeze is undone by a thaw");
        let number = before.map_or(state.last_number + 1, |hold| hold.number);
        state.set_hold(scope, Some(Hold { depth, number }));
        if before.is_none() {
            state.last_number = number;
            self.each_in(scope, |queue| {
                queue.each_limiter(|mut limiter| limiter.freeze());
            });
        }
        Some(number)
    }

    /// Undoes one freeze: whether it was the last one. `None`: there was none.
    pub(crate) fn thaw(&self, scope: Scope) -> Option<bool> {
        self.thaw_by(scope, 1)
    }

    /// Undoes all freezes of a queue by its owner, who goes.
    pub(crate) fn thaw_of_owner(&self, queue: QueueRef) {
        self.thaw_by(Scope::Queue(queue), u32::MAX);
    }

    /// Undoes so many freezes.
    fn thaw_by(&self, scope: Scope, times: u32) -> Option<bool> {
        let waiters = {
            let mut state = self.lock_freezer();
            let hold = state.hold(scope)?;
            let depth = hold.depth.saturating_sub(times);
            if depth > 0 {
                state.set_hold(scope, Some(Hold { depth, ..hold }));
                return Some(false);
            }
            state.set_hold(scope, None);
            self.each_in(scope, |queue| {
                queue.each_limiter(|mut limiter| limiter.thaw());
            });
            state.take_wakers()
        };
        wake(waiters);
        match scope {
            Scope::Queue(queue) => queue.get().start_what_may(),
            Scope::System => {
                let queues = self.all_queues();
                let freezable = queues.iter().filter(|queue| queue.freezable);
                freezable.for_each(QueueInner::start_what_may);
            }
        }
        Some(true)
    }

    /// Enters a new queue into the table, frozen if the System is.
    pub(crate) fn enter_queue(&self, queue: QueueRef) {
        let state = self.lock_freezer();
        if state.system.is_some() && queue.get().freezable {
            queue.get().each_limiter(|mut limiter| limiter.freeze());
        }
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.insert(queue.get().id, queue);
    }

    /// Whether the System is frozen.
    pub(crate) fn is_freezing(&self) -> bool {
        self.lock_freezer().system.is_some()
    }

    /// Items that have a slot of a freezable queue.
    pub(crate) fn active_freezable(&self, scope: Scope) -> usize {
        let mut active = 0;
        self.each_in(scope, |queue| {
            queue.each_limiter(|limiter| active += limiter.nr_active());
        });
        active
    }

    /// Leaves a waker for when a freeze is quiet or over: the waiter's number, the one that it had
    /// or a new one. `None`: the freeze is over.
    pub(crate) fn await_freeze(
        &self,
        scope: Scope,
        number: u64,
        id: Option<u64>,
        waker: Waker,
    ) -> Option<u64> {
        let (id, replaced) = {
            let mut state = self.lock_freezer();
            if state.hold(scope)?.number != number {
                return None;
            }
            state.last_waiter += 1;
            let id = id.unwrap_or(state.last_waiter);
            let at = state.waiters.iter().position(|waiter| waiter.0 == id);
            let replaced = at.map(|at| state.waiters.swap_remove(at));
            state.waiters.push((id, waker));
            (id, replaced)
        };
        // A waker's destructor is user code.
        drop(replaced);
        Some(id)
    }

    /// A waiter has lost interest, or has what it wanted.
    pub(crate) fn forget_freeze(&self, id: u64) {
        let gone = {
            let mut state = self.lock_freezer();
            let at = state.waiters.iter().position(|waiter| waiter.0 == id);
            at.map(|at| state.waiters.swap_remove(at))
        };
        // Here and not under the lock, as above.
        drop(gone);
    }

    /// The last active item of a frozen slot domain has ended.
    #[cold]
    pub(crate) fn tell_freezers(&self) {
        let waiters = self.lock_freezer().take_wakers();
        wake(waiters);
    }

    /// What is left is to be dropped: lifts all limits for good, and brings what waits to workers.
    pub(crate) fn lift_all(&self) {
        let waiters = {
            let mut state = self.lock_freezer();
            state.over = true;
            state.system = None;
            state.queues.clear();
            state.take_wakers()
        };
        wake(waiters);
        for queue in self.all_queues().iter() {
            // Waiting items bypass the limit: they are only dropped.
            queue.each_limiter(|mut limiter| limiter.lift());
            queue.start_what_may();
        }
    }

    /// Does something for each queue that a freeze covers.
    fn each_in(&self, scope: Scope, mut each: impl FnMut(&QueueInner)) {
        match scope {
            Scope::Queue(queue) => each(queue.get()),
            Scope::System => {
                let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
                let freezable = queues.values().filter(|queue| queue.get().freezable);
                freezable.for_each(|queue| each(queue.get()));
            }
        }
    }
}

impl QueueInner {
    /// Starts every waiting item for which there is a slot. The caller keeps the queue.
    pub(crate) fn start_what_may(&self) {
        for limiter in self.limiters() {
            loop {
                let started: Vec<Entry> = {
                    let mut limiter = limiter.lock();
                    let next = std::iter::from_fn(|| limiter.next());
                    next.take(START_AT_ONCE).collect()
                };
                if started.is_empty() {
                    break;
                }
                for entry in started {
                    route::start(self, None, entry);
                }
            }
        }
        self.grant_places();
    }
}
