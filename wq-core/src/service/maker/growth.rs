//! What the thread maker remembers of the pools, to tell those that stand still at their bound.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use crate::lane::Lane;
use crate::policy::Room;
use crate::pool::Pool;
use crate::proto::owner::WorkerId;
use crate::system::SystemInner;
use crate::{os, policy};

use super::{AT_BOUND, stall};

/// All of them, by number.
pub(super) type Memory = HashMap<u32, Growth>;

/// One pool.
#[derive(Debug)]
pub(super) struct Growth {
    /// Since when nothing ended and nothing was added, ns; `None`: the pool is below its bound.
    still_since_ns: Option<u64>,
    /// The pool's returns by then, and what its lanes' owners had ended.
    still: (u32, Vec<(WorkerId, u64)>),
    /// It has stood still at its bound, and nothing has ended since.
    stalled: Stalled,
    /// When that was last reported, ns.
    reported_ns: Option<u64>,
}

/// Whether a pool has stood still at its bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stalled {
    No,
    /// Since this moment.
    New,
    /// For longer.
    Known,
}

impl Growth {
    /// Of a pool that asks for the first time.
    pub(super) fn new() -> Growth {
        Growth {
            still_since_ns: None,
            still: (0, Vec::new()),
            stalled: Stalled::No,
            reported_ns: None,
        }
    }

    /// Looks at a pool that is at its bound: whether nothing has ended for [`AT_BOUND`].
    fn stands_still(&mut self, system: &SystemInner, pool: &Pool) -> bool {
        let ended = |lane: &Lane| match lane.view().worker() {
            // What the resumer polls may go on for ever without an end.
            id if id == 0 || id == pool.resumer.id() => (0, 0),
            id => {
                let worker = system.worker(id);
                let in_item = u64::from(worker.is_in_item());
                (id, worker.starts().saturating_sub(in_item))
            }
        };
        // Relaxed: a statistic.
        let returns = pool.returns.load(Ordering::Relaxed);
        let now: Vec<_> = pool.lanes().iter().map(ended).collect();
        // A lane with a new owner says nothing: that one was added, or has been told by `returns`.
        let moved =
            |(was, is): (&(WorkerId, u64), &(WorkerId, u64))| was.0 == is.0 && was.1 != is.1;
        let moves = returns != self.still.0 || self.still.1.iter().zip(&now).any(moved);
        self.still = (returns, now);
        let now_ns = os::monotonic_ns();
        let since = *self.still_since_ns.get_or_insert(now_ns);
        if moves {
            self.still_since_ns = Some(now_ns);
            self.stalled = Stalled::No;
        }
        !moves && u128::from(now_ns.saturating_sub(since)) >= AT_BOUND.as_nanos()
    }

    /// Whether the pool may have one worker more.
    pub(super) fn room(&mut self, system: &SystemInner, pool: &Pool) -> Room {
        // Relaxed: this thread alone raises it.
        let workers = pool.nr_workers.load(Ordering::Relaxed);
        if workers < pool.bound {
            self.still_since_ns = None;
            self.stalled = Stalled::No;
            return policy::room(workers, pool.bound, false);
        }
        let still = self.stands_still(system, pool);
        if still && self.stalled == Stalled::No {
            self.stalled = Stalled::New;
        }
        let room = policy::room(workers, pool.bound, still);
        if room == Room::OneMore {
            self.still_since_ns = Some(os::monotonic_ns());
        }
        room
    }

    /// Counts a stall that has begun; what to say of it, if it was not said of the pool a
    /// moment ago.
    pub(super) fn new_stall(&mut self, system: &SystemInner, pool: &Pool) -> Option<String> {
        if self.stalled != Stalled::New {
            return None;
        }
        self.stalled = Stalled::Known;
        // Relaxed: a statistic.
        pool.stalls.fetch_add(1, Ordering::Relaxed);
        let now_ns = os::monotonic_ns();
        let since = |then: u64| u128::from(now_ns.saturating_sub(then));
        if self
            .reported_ns
            .is_some_and(|then| since(then) < stall::REPORT_EVERY.as_nanos())
        {
            return None;
        }
        self.reported_ns = Some(now_ns);
        Some(stall::line(system, pool))
    }
}
