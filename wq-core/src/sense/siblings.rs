//! Looks of a busy worker at the other lanes of its CPU, between two items.
//!
//! The spotter sees an idle CPU, not an idle lane: while a worker keeps the CPU busy, nobody would
//! see for a while that the worker of another lane there has blocked (a busy default queue hides a
//! high priority queue's blocked worker). The busy worker has the CPU and is between two items
//! anyway, so it looks: only while the CPU's spotter is wanted, only at lanes with waiting work
//! whose item has not moved since its last look, and ever more seldom while it finds nothing.

use std::cell::Cell;
use std::sync::OnceLock;

use crate::current::Current;
use crate::lane::Lane;
use crate::pool::Pool;
use crate::proto::owner::OwnerView;
use crate::system::SystemInner;

use super::{Look, Sensor};

/// Time between two looks while they find something or nothing, ns: a look costs 50 ns.
const LOOK_EVERY_NS: u64 = 5_000;
/// The same in items, at most.
const LOOK_EVERY: u32 = 64;
/// The same while nobody knows what items cost.
const FIRST_LOOK: u32 = 16;
/// Most items between two looks that found a lane that moves.
const LOOK_AT_LEAST_EVERY: u32 = 1_024;

/// What a worker remembers of the lanes beside its own.
#[derive(Debug)]
pub(crate) struct Siblings {
    /// Count of its own items at which the next look is due.
    due: Cell<u32>,
    /// Items between the last two looks.
    gap: Cell<u32>,
    /// The lane that had waiting work behind a running item at the last look.
    still: Cell<Option<Still>>,
}

/// A lane as it was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Still {
    pool: u32,
    view: OwnerView,
    starts: u64,
}

impl Siblings {
    /// Nothing was seen yet.
    pub(crate) fn new() -> Siblings {
        Siblings {
            due: Cell::new(FIRST_LOOK),
            gap: Cell::new(FIRST_LOOK),
            still: Cell::new(None),
        }
    }

    /// Whether a look is due, `items` being the count of the worker's items so far.
    #[inline(always)]
    pub(crate) fn are_due(&self, items: u32) -> bool {
        items.wrapping_sub(self.due.get()) < u32::MAX / 2
    }

    /// Nobody is to look: the next time is far away.
    fn put_off(&self, items: u32) {
        self.due.set(items.wrapping_add(u32::MAX / 4));
    }

    /// Sets the next look, where an item costs so much (0: nobody knows): soon while there is
    /// something to see, or where items are dear; after fruitless looks ever later.
    fn schedule(&self, items: u32, found: Found, cost_ns: u64) {
        let first = match cost_ns {
            0 => FIRST_LOOK,
            known => (LOOK_EVERY_NS / known).clamp(1, LOOK_EVERY.into()) as u32,
        };
        let gap = match found {
            Found::Nothing | Found::Acted | Found::Still => first,
            Found::Fruitless => (self.gap.get() * 2).clamp(first, LOOK_AT_LEAST_EVERY),
        };
        self.gap.set(gap);
        self.due.set(items.wrapping_add(gap));
    }
}

/// What a look gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    /// No other lane of the CPU has waiting work behind a running item.
    Nothing,
    /// One has; whether it moves will be seen.
    Still,
    /// One did not move, and its thread runs or waits for the CPU.
    Fruitless,
    /// A lane was handed over.
    Acted,
}

impl SystemInner {
    /// Between two items of the calling worker, which runs `lane` and has run `items`: has another
    /// lane of the same CPU lost its runner?
    #[cold]
    pub(crate) fn look_at_siblings(&self, current: &Current, lane: &Lane, items: u32) {
        if !self.sensors.any() {
            return current.siblings.put_off(items);
        }
        let found = if lane.armed.is_armed() {
            self.glance_around(current, lane)
        } else {
            Found::Nothing
        };
        current.siblings.schedule(items, found, lane.cost_ns());
    }

    /// A look at the other lanes of the CPU, up to the first where there is something to see.
    fn glance_around(&self, current: &Current, lane: &Lane) -> Found {
        let record = &self.cpus[self.ordinal(lane.cpu)];
        for (pool, slot) in record.pools.iter().map_while(OnceLock::get) {
            if !pool.lanes()[*slot].has_work() || pool.id == current.pool.id {
                continue;
            }
            let before = current.siblings.still.take();
            let found = self.glance(current, before, pool, *slot);
            if found != Found::Nothing {
                return found;
            }
        }
        Found::Nothing
    }

    /// A look at one lane beside the worker's own, in which something waits.
    fn glance(&self, current: &Current, before: Option<Still>, pool: &Pool, slot: usize) -> Found {
        let lane = &pool.lanes()[slot];
        let view = lane.view();
        // Lanes that sleep, are being woken or handed over, have somebody who sees to it.
        if !view.is_running() || view.is_waking() {
            return Found::Nothing;
        }
        let now = Still {
            pool: pool.id,
            view,
            starts: self.worker(view.worker()).starts(),
        };
        let look = if before == Some(now) {
            self.examine(pool, lane, Sensor::Sibling, 0)
        } else {
            // Whether it moves will be seen at the next look.
            Look::Blocked
        };
        match look {
            Look::Acted | Look::Waking => return Found::Acted,
            Look::Fine => return Found::Nothing,
            Look::Blocked | Look::Refused | Look::Running | Look::Unseen => {}
        }
        current.siblings.still.set(Some(now));
        if matches!(look, Look::Running | Look::Unseen) {
            Found::Fruitless
        } else {
            Found::Still
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks come soon while there is something to see, and ever later while there is not; the
    /// count of items may wrap.
    #[test]
    fn fruitless_looks_become_rare() {
        let siblings = Siblings::new();
        let mut items = u32::MAX - 40;
        siblings.schedule(items, Found::Nothing, 300);
        let mut gaps = Vec::new();
        for _ in 0..10 {
            let last = items;
            while !siblings.are_due(items) {
                items = items.wrapping_add(1);
            }
            gaps.push(items.wrapping_sub(last));
            siblings.schedule(items, Found::Fruitless, 300);
        }
        assert_eq!(gaps, [16, 32, 64, 128, 256, 512, 1024, 1024, 1024, 1024]);
        siblings.schedule(items, Found::Still, 6_000);
        assert!(!siblings.are_due(items) && siblings.are_due(items.wrapping_add(1)));
    }
}
