//! Waiting for a queue: flush colours, drains, and who is told when.
//!
//! A flush takes the next colour for the items that come after it and waits until all colours
//! that were in use are empty: items accepted before are covered, items accepted after do not
//! extend it. If no colour is free the flush waits for one together with all later ones. What a
//! flush costs does not depend on the number of CPUs or pools beyond one line for each lane.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::guard;
use crate::proto::counts::{COLOURS, Colour, ColourSet};
use crate::sync::note_lock;

use super::{BURIED, DRAINING, QueueInner, QueueRef, RETIRED};

/// What happened to the items of a queue since the last report.
///
/// Counted since the queue's last report, whoever got it; flushes that end together get the same
/// one. An item that was accepted later and has ended by then is counted too.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::unbound("jobs").build()?;
/// queue.spawn(async {});
/// queue.spawn(async { panic!("counted") });
/// let report = queue.flush().wait()?;
/// assert_eq!((report.completed, report.panicked, report.cancelled), (1, 1, 0));
/// assert_eq!(queue.flush().wait()?.completed, 0); // told already
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct FlushReport {
    /// Items that returned.
    pub completed: u64,
    /// Items that panicked, in the function or in a destructor.
    pub panicked: u64,
    /// Items that were aborted, or dropped by a shutdown.
    pub cancelled: u64,
}

/// The rendezvous of one waiter with whoever ends its wait.
#[derive(Debug, Default)]
pub(crate) struct WaitCell(Mutex<WaitState>);

/// What the cell holds.
#[derive(Debug, Default)]
struct WaitState {
    report: Option<FlushReport>,
    waker: Option<Waker>,
}

impl WaitCell {
    /// Locks; nothing panics under the lock.
    fn lock(&self) -> MutexGuard<'_, WaitState> {
        note_lock(&self.0);
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the wait.
    fn complete(&self, report: FlushReport) {
        let waker = {
            let mut state = self.lock();
            state.report = Some(report);
            state.waker.take()
        };
        guard::wake_all(waker);
    }

    /// The report, or a promise to wake. Cloning a waker, and dropping one, is the user's code: it
    /// runs outside of the lock.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<FlushReport> {
        if let Some(ready) = self.look(waker) {
            return ready;
        }
        let mut new = Some(waker.clone());
        let mut state = self.lock();
        let report = state.report;
        if report.is_none() {
            std::mem::swap(&mut state.waker, &mut new);
        }
        drop(state);
        drop(new);
        report.map_or(Poll::Pending, Poll::Ready)
    }

    /// The answer, if this waker is there already or none is needed.
    fn look(&self, waker: &Waker) -> Option<Poll<FlushReport>> {
        let state = self.lock();
        if let Some(report) = state.report {
            return Some(Poll::Ready(report));
        }
        let same = state.waker.as_ref().is_some_and(|old| old.will_wake(waker));
        same.then_some(Poll::Pending)
    }
}

/// What a waiter waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WaitFor {
    /// The items accepted so far.
    Flush,
    /// All items, and nothing new from outside.
    Drain,
}

/// One who waits.
#[derive(Debug)]
struct Waiter {
    id: u64,
    /// Colours that must be empty; `None` for a drain, which wants all, and for a flush that
    /// found no free colour.
    set: Option<ColourSet>,
    kind: WaitFor,
    cell: Arc<WaitCell>,
}

/// Those who wait for a queue.
#[derive(Debug)]
pub(crate) struct Waiters {
    next_id: u64,
    list: Vec<Waiter>,
    drains: usize,
    armed: bool,
    /// What earlier reports have told.
    told: FlushReport,
}

impl Waiters {
    /// Nobody waits.
    pub(crate) fn new() -> Waiters {
        Waiters {
            next_id: 1,
            list: Vec::new(),
            drains: 0,
            armed: false,
            told: FlushReport::default(),
        }
    }

    /// Flushes that wait for a colour.
    #[cfg(any(test, wq_sim))]
    pub(crate) fn colourless(&self) -> usize {
        let wants = |w: &&Waiter| w.kind == WaitFor::Flush && w.set.is_none();
        self.list.iter().filter(wants).count()
    }

    /// Gives flushes without a colour the next one, if it is free.
    fn take_colour(&mut self, queue: &QueueInner) {
        let wanting = |w: &Waiter| w.kind == WaitFor::Flush && w.set.is_none();
        if !self.list.iter().any(wanting) {
            return;
        }
        let next = (usize::from(queue.counts.colour()) + 1) % COLOURS;
        let next = next as Colour;
        let free = queue.counts.is_zero(ColourSet::only(next));
        if !free {
            return;
        }
        queue.counts.set_colour(next);
        for waiter in &mut self.list {
            match (waiter.kind, waiter.set) {
                (WaitFor::Flush, None) => waiter.set = Some(ColourSet::ALL.without(next)),
                // Empty now, so the earlier flush has what it wanted of it; what gets this
                // colour from now on is none of its business.
                (WaitFor::Flush, Some(set)) => waiter.set = Some(set.without(next)),
                (WaitFor::Drain, _) => {}
            }
        }
    }

    /// Takes out those whose wait is over, in order of arrival.
    fn take_finished(&mut self, queue: &QueueInner) -> Vec<Waiter> {
        let mut finished = Vec::new();
        loop {
            self.take_colour(queue);
            let before = finished.len();
            let mut kept = Vec::with_capacity(self.list.len());
            for waiter in self.list.drain(..) {
                let over = match (waiter.kind, waiter.set) {
                    (WaitFor::Drain, _) => queue.counts.is_zero(ColourSet::ALL),
                    (WaitFor::Flush, Some(set)) => queue.counts.is_zero(set),
                    (WaitFor::Flush, None) => false,
                };
                if over {
                    finished.push(waiter);
                } else {
                    kept.push(waiter);
                }
            }
            self.list = kept;
            if finished.len() == before {
                return finished;
            }
        }
    }

    /// The report for a wait that ends now.
    fn report(&mut self, queue: &QueueInner) -> FlushReport {
        let (ended, refused) = queue.ended_and_refused();
        // Relaxed: counted before the ends that were acquired above.
        let panicked = queue.panicked.load(Ordering::Relaxed);
        let cancelled = queue.cancelled.load(Ordering::Relaxed);
        let total = FlushReport {
            completed: ended.saturating_sub(panicked + cancelled + refused),
            panicked,
            cancelled,
        };
        let told = std::mem::replace(&mut self.told, total);
        FlushReport {
            completed: total.completed.saturating_sub(told.completed),
            panicked: panicked - told.panicked,
            cancelled: cancelled - told.cancelled,
        }
    }
}

impl QueueInner {
    /// Locks the list of waiters; nothing panics under the lock.
    fn lock_waiters(&self) -> MutexGuard<'_, Waiters> {
        note_lock(&self.waiters);
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a wait; its number, and the cell that will have the report.
    pub(crate) fn begin_wait(&self, this: QueueRef, kind: WaitFor) -> (u64, Arc<WaitCell>) {
        let cell = Arc::new(WaitCell::default());
        let id = {
            let mut waiters = self.lock_waiters();
            let id = waiters.next_id;
            waiters.next_id += 1;
            if kind == WaitFor::Drain {
                waiters.drains += 1;
                self.set_flags(DRAINING);
            }
            waiters.list.push(Waiter {
                id,
                set: None,
                kind,
                cell: Arc::clone(&cell),
            });
            // A drain fences in any case, for its flag.
            if !waiters.armed || kind == WaitFor::Drain {
                waiters.armed = true;
                self.counts.arm();
            }
            id
        };
        self.check_waiters(this);
        (id, cell)
    }

    /// Whether this wait, which has not ended, waits for items of this colour that are in flight.
    pub(crate) fn covers(&self, id: u64, colour: Colour) -> bool {
        let waiters = self.lock_waiters();
        let waiter = waiters.list.iter().find(|waiter| waiter.id == id);
        waiter.is_some_and(|waiter| waiter.set.is_none_or(|set| set.contains(colour)))
    }

    /// The waiter has lost interest.
    pub(crate) fn abandon_wait(&self, id: u64) {
        let mut waiters = self.lock_waiters();
        let Some(at) = waiters.list.iter().position(|w| w.id == id) else {
            return;
        };
        let gone = waiters.list.remove(at);
        self.drain_over(&mut waiters, gone.kind);
    }

    /// A wait is over: a drain may have been the last one.
    fn drain_over(&self, waiters: &mut Waiters, kind: WaitFor) {
        if kind == WaitFor::Drain {
            waiters.drains -= 1;
            if waiters.drains == 0 {
                self.clear_flags(DRAINING);
            }
        }
    }

    /// Ends the waits that are over. Wakes outside the lock.
    pub(crate) fn check_waiters(&self, this: QueueRef) {
        let mut told: Vec<(Arc<WaitCell>, FlushReport)> = Vec::new();
        let bury = {
            let mut waiters = self.lock_waiters();
            let finished = waiters.take_finished(self);
            if !finished.is_empty() {
                let report = waiters.report(self);
                for waiter in finished {
                    self.drain_over(&mut waiters, waiter.kind);
                    // Who waited for the same items gets the same report.
                    told.push((waiter.cell, report));
                }
            }
            let retired = self.flags() & RETIRED != 0;
            if waiters.list.is_empty() && !retired && waiters.armed {
                waiters.armed = false;
                self.counts.disarm();
            }
            retired && self.counts.is_zero(ColourSet::ALL) && self.mark_buried()
        };
        for (cell, report) in told {
            cell.complete(report);
        }
        if bury {
            self.system.get().bury(this);
        }
    }

    /// The last handle is gone: nothing new comes, and when the last item has ended the queue
    /// goes to its grave.
    pub(crate) fn retire(&self, this: QueueRef) {
        // Before the flag: from then on whoever ends the last item may bury the queue.
        self.pin();
        self.set_flags(super::CLOSED | RETIRED);
        {
            let mut waiters = self.lock_waiters();
            waiters.armed = true;
            self.counts.arm();
        }
        self.check_waiters(this);
        self.unpin();
    }

    /// True for the one caller that may bury the queue.
    fn mark_buried(&self) -> bool {
        // AcqRel in `fetch_or`: one of several callers gets the old value without the bit.
        self.flags.fetch_or(BURIED, Ordering::AcqRel) & BURIED == 0
    }
}

#[cfg(all(test, not(loom)))]
mod costs;
