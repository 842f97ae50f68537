//! What the calling thread knows about itself: worker, lane, item.
//!
//! A worker keeps its [`Current`] on its own stack and leaves the address in a thread-local; a
//! poll holds only shared references to it, because the lane may be lost at any moment. Threads
//! that are no workers, and workers whose thread-locals are being destroyed, have none.

use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::entry::Meta;
use crate::hogs::stretch::{Cost, Measure};
use crate::lane::{Holder, Lane};
use crate::pool::Pool;
use crate::proto::owner::Token;
use crate::queue::{EndKind, QueueRef};
use crate::run::{Homes, Samples};
use crate::sense::siblings::Siblings;
use crate::system::SystemInner;
use crate::timer::Fire;
use crate::worker::Worker;

/// The state of a worker thread.
#[derive(Debug)]
pub(crate) struct Current {
    /// Its System.
    pub(crate) system: Arc<SystemInner>,
    /// Its pool.
    pub(crate) pool: Arc<Pool>,
    /// Its record.
    pub(crate) worker: Arc<Worker>,
    /// Slot of the lane that it held last, and the token; `None` once it knows that it lost it.
    lane: Cell<Option<(usize, Token)>>,
    /// The item that it runs.
    item: Cell<Option<QueueRef>>,
    /// Its metadata, until it has ended.
    meta: Cell<Option<NonNull<Meta>>>,
    /// How that item ended, if it has.
    ended: Cell<Option<EndKind>>,
    /// Whether its present poll asked that others go first.
    yields: Cell<bool>,
    /// It is counted among those that its pool expects: made and not up yet, or on its way back
    /// from an item whose slot another one has already.
    expected: Cell<bool>,
    /// What the present poll costs.
    pub(crate) measure: Measure,
    /// Its lane is declared free while it runs a known burner.
    pub(crate) lane_is_free: Cell<bool>,
    /// What it is to its pool.
    pub(crate) role: Cell<Role>,
    /// Items that it has run, to do what is due every so often.
    items: Cell<u32>,
    /// When it looks at the clock.
    pub(crate) samples: Samples,
    /// What it saw of the other lanes of its CPU.
    pub(crate) siblings: Siblings,
    /// Blocking sections that the item is inside.
    pub(crate) blocking_depth: Cell<u32>,
    /// It heard something from the outside world that it has not delivered yet.
    pub(crate) has_news: Cell<bool>,
    /// Timers that it is about to fire; empty between.
    pub(crate) due: RefCell<Vec<Fire>>,
    /// What it delivered last was all for others, who are to hear of the next themselves.
    pub(crate) leaves_news: Cell<bool>,
    /// Where it takes what it hears for other lanes.
    pub(crate) homes: Homes,
}

/// What a thread that runs items is to its pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// One of its workers, or its resumer.
    Worker,
    /// The rescuer of a queue.
    Rescuer,
    /// The CPU's BH thread.
    Bh,
}

/// Why it is known what a poll cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// Its item is known to burn.
    Known,
    /// It stands for many in rows of yields.
    Sampled,
    /// Work waited, and it did not come to its end.
    StoodStill,
}

thread_local! {
    /// The worker that this thread is, null for others.
    static CURRENT: Cell<*const Current> = const { Cell::new(ptr::null()) };
}

impl Current {
    /// A worker without lane and item, which its pool expects.
    pub(crate) fn new(system: Arc<SystemInner>, pool: Arc<Pool>, worker: Arc<Worker>) -> Current {
        let homes = Homes::new(pool.lanes().len());
        Current {
            system,
            pool,
            worker,
            lane: Cell::new(None),
            item: Cell::new(None),
            meta: Cell::new(None),
            ended: Cell::new(None),
            yields: Cell::new(false),
            expected: Cell::new(true),
            measure: Measure::new(),
            lane_is_free: Cell::new(false),
            role: Cell::new(Role::Worker),
            items: Cell::new(0),
            samples: Samples::new(),
            siblings: Siblings::new(),
            blocking_depth: Cell::new(0),
            has_news: Cell::new(false),
            leaves_news: Cell::new(false),
            due: RefCell::new(Vec::new()),
            homes,
        }
    }

    /// The same, of a worker that no pool counts.
    pub(crate) fn uncounted(
        system: Arc<SystemInner>,
        pool: Arc<Pool>,
        worker: Arc<Worker>,
    ) -> Current {
        let current = Current::new(system, pool, worker);
        current.expected.set(false);
        current
    }

    /// Makes this the calling thread's state while `f` runs.
    pub(crate) fn enter<R>(&self, f: impl FnOnce(&Current) -> R) -> R {
        /// Clears the thread-local however `f` ends.
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                CURRENT.set(ptr::null());
            }
        }
        CURRENT.set(self);
        let _leave = Leave;
        f(self)
    }

    /// The calling thread is no worker any more: it is the only one of a forked child.
    pub(crate) fn forget() {
        let _ = CURRENT.try_with(|current| current.set(ptr::null()));
    }

    /// Runs `f` with the calling thread's state, if it is a worker.
    #[inline(always)]
    pub(crate) fn with<R>(f: impl FnOnce(Option<&Current>) -> R) -> R {
        let current = CURRENT.try_with(Cell::get).unwrap_or(ptr::null());
        // SAFETY: non-null only between `enter` and its end, on this thread, while the state
        // stands on this thread's stack.
        f(unsafe { current.as_ref() })
    }

    /// The lane and the right to it, as far as this worker knows.
    #[inline(always)]
    pub(crate) fn holding(&self) -> Option<(&Lane, Holder<'_>)> {
        let (slot, token) = self.lane.get()?;
        Some((
            &self.pool.lanes()[slot],
            Holder {
                mark: &self.worker.mark,
                token,
            },
        ))
    }

    /// The worker got a lane, or knows that it lost the one it had.
    pub(crate) fn set_lane(&self, lane: Option<(usize, Token)>) {
        self.lane.set(lane);
    }

    /// Its item gives its slot to another one that may block, too: if the lane is lost this worker
    /// comes back as a spare, and none has to be made in its place.
    pub(crate) fn note_slot_passed_on(&self, lane: &Lane) {
        if !self.is_named_by(lane) && !self.expected.replace(true) {
            // Relaxed: a count for policy.
            self.pool.wanted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It has come back: is a spare, or has a lane.
    pub(crate) fn note_arrival(&self) {
        if self.expected.replace(false) {
            // Relaxed: as above.
            self.pool.wanted.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The queue of the item that runs here.
    #[inline(always)]
    pub(crate) fn queue(&self) -> Option<QueueRef> {
        self.item.get()
    }

    /// The metadata of the item that runs here.
    #[inline(always)]
    pub(crate) fn meta(&self) -> Option<&Meta> {
        let meta = self.meta.get()?;
        // SAFETY: the worker runs the item's entry, which keeps the metadata until the item has
        // ended; `note_end` forgets it before that, and `clear_item` after the run.
        Some(unsafe { meta.as_ref() })
    }

    /// An item is about to be polled.
    #[inline(always)]
    pub(crate) fn set_item(&self, queue: QueueRef, meta: &Meta) {
        self.item.set(Some(queue));
        self.meta.set(Some(NonNull::from(meta)));
        self.ended.set(None);
        self.yields.set(false);
        self.measure.forget_declared();
    }

    /// Whether there is anything to be said about the CPU time of the present poll.
    #[inline(always)]
    pub(crate) fn is_suspect(&self) -> bool {
        self.measure.is_on() || self.worker.stood_still_ns() != 0
    }

    /// What the present poll cost, if that can be told: it was measured, or somebody saw it stand
    /// still with work behind it.
    pub(crate) fn cost(&self) -> Option<(Cost, Why)> {
        if let Some(cost) = self.measure.end(|| self.worker.cpu_ns()) {
            let why = if cost.speaks_for == 0 {
                Why::Known
            } else {
                Why::Sampled
            };
            return Some((cost, why));
        }
        let since = self.worker.take_stood_still_ns()?;
        let ns = self.worker.cpu_ns().saturating_sub(since);
        Some((Cost { ns, speaks_for: 0 }, Why::StoodStill))
    }

    /// Whether the lane is this worker's, as of now.
    fn is_named_by(&self, lane: &Lane) -> bool {
        lane.view().worker() == self.worker.id
    }

    /// The item asks that others go first; what wakes it during this poll is no more than that.
    pub(crate) fn note_yield(&self) {
        self.yields.set(true);
    }

    /// Whether the item asked that others go first.
    pub(crate) fn item_yields(&self) -> bool {
        self.yields.get()
    }

    /// Counts the items that this worker runs, whatever lanes they come from.
    #[inline(always)]
    pub(crate) fn count_item(&self) -> u32 {
        let items = self.items.get().wrapping_add(1);
        self.items.set(items);
        items
    }

    /// The item ends: its future and what it captured are gone.
    pub(crate) fn note_end(&self, kind: EndKind) {
        self.meta.set(None);
        self.ended.set(Some(kind));
    }

    /// What the item that ended here last returned, and nobody wants, panicked when dropped.
    pub(crate) fn note_output_panicked(&self) {
        if self.ended.get() == Some(EndKind::Completed) {
            self.ended.set(Some(EndKind::Panicked));
        }
    }

    /// The poll is over; says whether, and how, the item ended.
    #[inline(always)]
    pub(crate) fn clear_item(&self) -> Option<EndKind> {
        self.item.set(None);
        self.meta.set(None);
        self.ended.take()
    }
}
