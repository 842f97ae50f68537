//! Where a worker takes what it hears from the outside world for other lanes.
//!
//! What it hears of goes to its own lane, since it is awake and about to run it. But a run that was
//! on another lane before has its socket, its buffers and its allocator's memory there; if that
//! lane is busy and comes along, the run goes home to it, which costs no wake-up. A lane that has
//! not been seen to move a moment ago gets nothing: its owner may be inside a long item.

use std::cell::Cell;
use std::sync::Arc;

use crate::current::Current;
use crate::entry::Entry;
use crate::lane::Lane;
use crate::os;
use crate::proto::owner::OwnerView;
use crate::queue::QueueInner;

/// Lanes that are remembered; others share a place.
const PLACES: usize = 8;
/// A lane that began no item for so long, as far as this worker has seen, may stand still, ns.
const STANDS_AFTER_NS: u64 = 100_000;

/// What a worker remembers of other lanes while it delivers.
#[derive(Debug)]
pub(crate) struct Homes {
    /// When the present delivery began, ns; 0 outside any.
    delivers_ns: Cell<u64>,
    /// The last delivery took something to another lane.
    took_some: Cell<bool>,
    seen: [Cell<Option<Seen>>; PLACES],
}

/// A lane as it was seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    slot: usize,
    view: OwnerView,
    starts: u64,
    /// When it was seen like this for the first time, ns.
    since_ns: u64,
}

impl Homes {
    /// Nothing was seen.
    pub(crate) fn new() -> Homes {
        Homes {
            delivers_ns: Cell::new(0),
            took_some: Cell::new(false),
            seen: [const { Cell::new(None) }; PLACES],
        }
    }

    /// Runs `deliver`, which wakes tasks that this worker has heard something for.
    pub(super) fn delivering<R>(&self, deliver: impl FnOnce() -> R) -> R {
        /// Ends the delivery however that ends.
        struct End<'a>(&'a Cell<u64>);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.set(0);
            }
        }
        self.took_some.set(false);
        self.delivers_ns.set(os::monotonic_ns().max(1));
        let _end = End(&self.delivers_ns);
        deliver()
    }

    /// Whether the last delivery took something to another lane of the pool.
    pub(super) fn took_some(&self) -> bool {
        self.took_some.get()
    }

    /// Whether this worker delivers at the moment.
    #[inline(always)]
    pub(crate) fn is_delivering(&self) -> bool {
        self.delivers_ns.get() != 0
    }

    /// While this worker delivers: where a run of `q` that has been woken is to go, if not to this
    /// worker's own lane.
    #[inline(never)]
    pub(crate) fn home<'a>(
        &self,
        current: &'a Current,
        q: &QueueInner,
        entry: &Entry,
    ) -> Option<&'a Lane> {
        let home = self.moving_home(current, q, entry, self.delivers_ns.get());
        self.took_some.set(self.took_some.get() || home.is_some());
        home
    }

    /// The lane of the run's last poll, if that is another one and comes along.
    fn moving_home<'a>(
        &self,
        current: &'a Current,
        q: &QueueInner,
        entry: &Entry,
        now_ns: u64,
    ) -> Option<&'a Lane> {
        let pool = &current.pool;
        let home = entry.meta().lane();
        let is_ours = Arc::ptr_eq(q.pool(home), pool);
        if !is_ours || pool.distress.is_known() || pool.resumer.is_on_duty() {
            return None;
        }
        let lane = pool.lane_at(home);
        let slot = pool.slot_of(lane);
        let is_own = current
            .holding()
            .is_some_and(|(own, _)| std::ptr::eq(own, lane));
        let view = lane.view();
        if is_own || slot >= pool.in_use() || !view.is_running() || view.is_waking() {
            return None;
        }
        let now = Seen {
            slot,
            view,
            starts: current.system.worker(view.worker()).starts(),
            since_ns: now_ns,
        };
        let place = &self.seen[slot % PLACES];
        let (moves, seen) = now.after(place.get());
        place.set(Some(seen));
        moves.then_some(lane)
    }
}

impl Seen {
    /// Whether the lane moves, as far as it was seen, and what to remember of it.
    fn after(self, before: Option<Seen>) -> (bool, Seen) {
        match before.filter(|before| before.slot == self.slot) {
            // The first sight says nothing of how long it has been like this.
            None => (false, self),
            Some(before) if (before.view, before.starts) != (self.view, self.starts) => {
                (true, self)
            }
            Some(before) => {
                let stands_ns = self.since_ns.saturating_sub(before.since_ns);
                (stands_ns < STANDS_AFTER_NS, before)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::owner::Owner;

    /// A lane is trusted once it has been seen to begin another item, and for a moment after that;
    /// another lane that shares its place is another story.
    #[test]
    fn a_lane_that_stands_still_gets_nothing() {
        let view = Owner::vacant().view();
        let seen = |slot, starts, since_ns| Seen {
            slot,
            view,
            starts,
            since_ns,
        };
        let (moves, first) = seen(1, 5, 1_000).after(None);
        assert!(!moves);
        let (moves, same) = seen(1, 5, 1_000 + STANDS_AFTER_NS).after(Some(first));
        assert_eq!((moves, same.since_ns), (false, 1_000));
        let (moves, next) = seen(1, 6, 500_000).after(Some(same));
        assert_eq!((moves, next.since_ns), (true, 500_000));
        assert!(seen(1, 6, 499_999 + STANDS_AFTER_NS).after(Some(next)).0);
        assert!(!seen(1, 6, 500_000 + STANDS_AFTER_NS).after(Some(next)).0);
        assert!(!seen(9, 7, 500_001).after(Some(next)).0);
    }
}
