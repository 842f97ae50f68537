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
use crate::proto::owner::OwnerView;
use crate::queue::QueueInner;

/// A lane that began no item for so long, as far as this worker has seen, may stand still, ns.
const STANDS_AFTER_NS: u64 = 100_000;
/// A lane that began an item since the last look moves, if that look is no older than this, ns.
/// Else the item may have begun long ago.
const LOOKED_WITHIN_NS: u64 = 500_000;
/// A lane whose items cost more than this, in the mean, lets others wait for too long, ns.
const DEAR_NS: u64 = STANDS_AFTER_NS / 2;

/// What a worker remembers of other lanes while it delivers.
#[derive(Debug)]
pub(crate) struct Homes {
    /// When the present delivery began, ns; 0 outside any.
    delivers_ns: Cell<u64>,
    /// The last delivery took something to another lane.
    took_some: Cell<bool>,
    /// By slot of the pool.
    seen: Box<[Cell<Option<Seen>>]>,
}

/// A lane as it was seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    view: OwnerView,
    starts: u64,
    /// When it was seen like this for the first time, ns.
    since_ns: u64,
    /// When it was looked at last, ns.
    looked_ns: u64,
    /// It was seen to come to this.
    moved: bool,
}

impl Homes {
    /// Nothing was seen of so many lanes.
    pub(crate) fn new(lanes: usize) -> Homes {
        Homes {
            delivers_ns: Cell::new(0),
            took_some: Cell::new(false),
            seen: (0..lanes).map(|_| Cell::new(None)).collect(),
        }
    }

    /// Runs `deliver`, which wakes tasks that this worker has heard something for, at this moment
    /// of the monotonic clock.
    pub(super) fn delivering<R>(&self, now_ns: u64, deliver: impl FnOnce() -> R) -> R {
        /// Ends the delivery however that ends.
        struct End<'a>(&'a Cell<u64>);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.set(0);
            }
        }
        self.took_some.set(false);
        self.delivers_ns.set(now_ns.max(1));
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
        if lane.cost_ns() > DEAR_NS {
            return None;
        }
        let place = self.seen.get(slot)?;
        let starts = current.system.worker(view.worker()).starts();
        let seen = Seen::now(view, starts, now_ns).after(place.get());
        place.set(Some(seen));
        seen.moves().then_some(lane)
    }
}

impl Seen {
    /// The first sight of a lane, which says nothing of how long it has been like this.
    fn now(view: OwnerView, starts: u64, now_ns: u64) -> Seen {
        Seen {
            view,
            starts,
            since_ns: now_ns,
            looked_ns: now_ns,
            moved: false,
        }
    }

    /// What to remember of this first sight, if there was one before.
    fn after(self, before: Option<Seen>) -> Seen {
        let Some(before) = before else {
            return self;
        };
        let gap_ns = self.looked_ns.saturating_sub(before.looked_ns);
        if (before.view, before.starts) == (self.view, self.starts) {
            Seen {
                looked_ns: self.looked_ns,
                ..before
            }
        } else {
            Seen {
                moved: gap_ns < LOOKED_WITHIN_NS,
                ..self
            }
        }
    }

    /// Whether the lane moves, as far as it was seen.
    fn moves(&self) -> bool {
        self.moved && self.looked_ns.saturating_sub(self.since_ns) < STANDS_AFTER_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::owner::Owner;

    /// A lane is trusted once it has been seen to begin another item a moment ago, and for a moment
    /// after that.
    #[test]
    fn a_lane_that_stands_still_gets_nothing() {
        let view = Owner::vacant().view();
        let now = |starts, now_ns| Seen::now(view, starts, now_ns);
        let first = now(5, 1_000).after(None);
        assert!(!first.moves());
        let same = now(5, 2_000).after(Some(first));
        assert!(!same.moves(), "nobody has seen it move");
        let next = now(6, 2_000 + LOOKED_WITHIN_NS - 1).after(Some(same));
        assert!(next.moves());
        let later = |ns| now(6, next.since_ns + ns).after(Some(next));
        assert!(later(STANDS_AFTER_NS - 1).moves());
        assert!(!later(STANDS_AFTER_NS).moves());
        // It has begun something else meanwhile, and nobody knows when.
        let old = now(9, next.looked_ns + LOOKED_WITHIN_NS).after(Some(next));
        assert!(!old.moves() && !now(9, old.looked_ns + 1).after(Some(old)).moves());
        assert!(now(10, old.looked_ns + 2).after(Some(old)).moves());
    }
}
