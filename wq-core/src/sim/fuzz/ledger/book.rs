//! The model's tables, and the rules.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::requests::Requests;
use super::{Covered, Leave, Note};
use crate::current::Current;
use crate::os::{ThreadState, Tid};
use crate::policy;
use crate::sim::fuzz::counts::{Tally, Transition};
use crate::sim::machine::Here;

/// Number of a queue in the book: each one that ever was.
pub(in crate::sim::fuzz) type QueueId = usize;
/// Number of an item in the book.
pub(in crate::sim::fuzz) type ItemId = usize;

/// Number of a drain of a queue.
pub(in crate::sim::fuzz) type DrainId = u64;

/// In an unbound pool another worker may go on with the lane of an item that lasts for longer, ns.
const UNBOUND_PATIENCE_NS: u64 = 400_000;
/// The same where a lane is bound to its CPU: the threshold of CPU intensive items.
const BOUND_PATIENCE_NS: u64 = 9_000_000;

/// What a queue promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::sim::fuzz) struct Rules {
    /// Most items in flight, per CPU for a per-CPU queue.
    pub(in crate::sim::fuzz) max_active: usize,
    /// Most items that wait for a slot, or, without a limit, that are in flight.
    pub(in crate::sim::fuzz) max_pending: usize,
    /// One after the other, in order of acceptance.
    pub(in crate::sim::fuzz) ordered: bool,
    /// Each item runs on the CPU that accepted it.
    pub(in crate::sim::fuzz) percpu: bool,
    /// All run on the first so many CPUs.
    pub(in crate::sim::fuzz) cpus: usize,
    /// It can be frozen.
    pub(in crate::sim::fuzz) freezable: bool,
}

/// Where an item stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(in crate::sim::fuzz) enum Stage {
    /// It has not begun.
    Waiting,
    /// Its code runs, or blocks.
    Inside,
    /// It goes on later.
    Suspended,
    /// It has returned, or panicked.
    Ended,
    /// It was dropped before that, or refused, or taken back.
    Dropped,
}

/// Whether an item has an active slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::sim::fuzz) enum Slot {
    /// It has given it back.
    None,
    Waiting,
    Active,
}

/// An item.
#[derive(Clone, Debug)]
pub(in crate::sim::fuzz) struct Item {
    pub(in crate::sim::fuzz) queue: QueueId,
    /// Number of the CPU that accepted it.
    pub(super) home: usize,
    pub(in crate::sim::fuzz) stage: Stage,
    pub(super) slot: Slot,
    pub(in crate::sim::fuzz) aborted: bool,
    pub(in crate::sim::fuzz) panicked: bool,
    /// It blocked since it was polled.
    pub(super) blocked: bool,
    /// Its memory is gone.
    pub(in crate::sim::fuzz) gone: bool,
    /// When it was polled last.
    since_ns: u64,
    /// When it went to a lane at the earliest.
    ready_ns: u64,
    /// When it ended.
    ended_ns: u64,
    /// Who polls it, and in which pool.
    tid: Tid,
    pool: PoolSeen,
    /// The answer to who queued it is known.
    settled: bool,
    /// It is a run of a re-queueable item: its memory tells nothing.
    pub(super) is_request: bool,
}

/// What is to be known of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct PoolSeen {
    id: u32,
    lanes: usize,
    percpu: bool,
}

/// Slots of a queue, or of one CPU of it.
#[derive(Debug, Default)]
struct Slots {
    active: usize,
    waiting: VecDeque<ItemId>,
}

/// A queue.
#[derive(Debug)]
pub(super) struct Queue {
    rules: Rules,
    slots: Vec<Slots>,
    /// Accepted items that have not ended.
    pub(super) open: Vec<ItemId>,
    closed: bool,
    /// Drains that were begun and, as far as is known, are not over. A wait ends a little later
    /// than what it waits for.
    drains: Vec<DrainId>,
    next_drain: DrainId,
    pub(super) flushes: u32,
    /// Requests were taken back while they were in a list: their entries are in flight still.
    pub(super) stale: bool,
    /// Items were aborted while they waited for a slot, and may still be on their way out.
    reaped: bool,
    /// It was made ordered while in use.
    in_order: bool,
    /// The item that began last, for the order.
    last: Option<ItemId>,
    last_end_ns: u64,
    /// Freezes of this queue that were not undone.
    pub(super) freezes: u32,
    /// Until when it could use how many CPUs.
    earlier_cpus: Vec<(u64, usize)>,
    /// Accepted, completed, panicked, cancelled.
    pub(super) totals: [u64; 4],
}

/// What must become of an item that is queued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::sim::fuzz) enum Verdict {
    Accept,
    /// A drain may be over, or not yet.
    Either,
    /// The queue drains, and the item comes from outside.
    Draining,
    Closed,
    /// As many wait as may.
    Full,
}

/// The tables.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) now_ns: u64,
    pub(super) queues: Vec<Queue>,
    pub(super) items: Vec<Item>,
    pub(super) works: Requests,
    pub(super) notes: Vec<(u64, Note)>,
    /// The first broken promise that was not told yet.
    pub(super) fault: Option<String>,
    pub(super) tally: Arc<Tally>,
    pub(super) shut_down: bool,
    /// Freezes of the System that were not undone.
    pub(super) system_freezes: u32,
    /// Freezes that were undone so far.
    pub(super) thaws: u64,
    /// Until when threads may be missing, since the machine refuses or refused them.
    pub(super) distress_until_ns: u64,
    /// Until when items were queued that may run anywhere, since CPUs are or were away.
    pub(super) astray_until_ns: u64,
}

impl Book {
    /// Nothing is written yet.
    pub(super) fn new(tally: Arc<Tally>) -> Book {
        Book {
            now_ns: 0,
            queues: Vec::new(),
            items: Vec::new(),
            works: Requests::default(),
            notes: Vec::new(),
            fault: None,
            tally,
            shut_down: false,
            system_freezes: 0,
            thaws: 0,
            distress_until_ns: 0,
            astray_until_ns: 0,
        }
    }

    /// A promise was broken; the first one counts.
    pub(super) fn fault(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.fault.get_or_insert(what);
    }

    /// An item broke one.
    fn item_fault(&mut self, id: ItemId, what: &str) {
        let item = &self.items[id];
        let rules = &self.queues[item.queue].rules;
        let what = format!("item {id} {what}: {item:?}, {rules:?}");
        self.fault(what);
    }

    /// A line for the trace.
    pub(super) fn note(&mut self, note: Note) {
        self.notes.push((self.now_ns, note));
    }

    /// A queue is made.
    pub(super) fn add_queue(&mut self, rules: Rules) -> QueueId {
        self.queues.push(Queue {
            rules,
            slots: Vec::new(),
            open: Vec::new(),
            closed: false,
            drains: Vec::new(),
            next_drain: 0,
            flushes: 0,
            stale: false,
            reaped: false,
            in_order: false,
            last: None,
            last_end_ns: u64::MAX,
            freezes: 0,
            earlier_cpus: Vec::new(),
            totals: [0; 4],
        });
        self.queues.len() - 1
    }

    /// What must become of an item that comes now.
    pub(super) fn verdict(
        &mut self,
        queue: QueueId,
        home: usize,
        from: Option<QueueId>,
    ) -> Verdict {
        let empty = self.queues[queue].open.is_empty();
        let limit = self.limit(queue);
        let q = &mut self.queues[queue];
        if q.closed {
            return Verdict::Closed;
        }
        let draining = q.is_draining() && from != Some(queue);
        let (max_active, max_pending) = (q.rules.max_active, q.rules.max_pending);
        let slots = q.slots(home);
        let full = if max_active == usize::MAX {
            slots.active + slots.waiting.len() >= max_pending
        } else {
            let at_once = slots.waiting.is_empty() && slots.active < limit;
            !at_once && slots.waiting.len() >= max_pending
        };
        match (draining, full) {
            (true, _) if empty => Verdict::Either,
            (true, _) => Verdict::Draining,
            (false, true) => Verdict::Full,
            (false, false) => Verdict::Accept,
        }
    }

    /// An item is about to be queued from inside of `from`.
    pub(super) fn submit(
        &mut self,
        queue: QueueId,
        home: usize,
        from: Option<QueueId>,
    ) -> (ItemId, Verdict) {
        let verdict = self.verdict(queue, home, from);
        if verdict == Verdict::Accept && self.queues[queue].is_draining() {
            self.tally.raise(Transition::Chained);
        }
        (self.accept(queue, home, false), verdict)
    }

    /// The queue has accepted an item.
    pub(super) fn accept(&mut self, queue: QueueId, home: usize, is_request: bool) -> ItemId {
        let (id, now_ns) = (self.items.len(), self.now_ns);
        let limit = self.limit(queue);
        let q = &mut self.queues[queue];
        q.open.push(id);
        q.totals[0] += 1;
        let slots = q.slots(home);
        let active = slots.waiting.is_empty() && slots.active < limit;
        if active {
            slots.active += 1;
        } else {
            slots.waiting.push_back(id);
            self.tally.raise(if limit == 0 {
                Transition::HeldByFreeze
            } else {
                Transition::Limited
            });
        }
        self.tally.raise(Transition::Accepted);
        self.items.push(Item {
            queue,
            home,
            stage: Stage::Waiting,
            slot: if active { Slot::Active } else { Slot::Waiting },
            aborted: false,
            panicked: false,
            blocked: false,
            gone: false,
            since_ns: 0,
            ready_ns: now_ns,
            ended_ns: 0,
            tid: 0,
            pool: PoolSeen::default(),
            settled: false,
            is_request,
        });
        self.note(Note::Submit(id, queue));
        id
    }

    /// An item was accepted or refused: was that right?
    pub(super) fn settle(&mut self, id: ItemId, expected: Verdict, refused: bool) {
        let queue = self.items[id].queue;
        self.items[id].settled = true;
        if refused {
            self.undo(id);
        } else if expected == Verdict::Either {
            self.queues[queue].drained();
        }
        let q = &self.queues[queue];
        // The engine may give a slot back later at the same instant, and what was taken back takes
        // up a place until a worker reaches it.
        let nearly_full = q.rules.max_pending != usize::MAX
            && (q.stale || q.reaped || q.last_end_ns == self.now_ns);
        let counted = match (expected, refused) {
            (Verdict::Accept | Verdict::Either, false) => return,
            (Verdict::Full, true) => Transition::Full,
            (Verdict::Accept, true) if nearly_full => Transition::Full,
            (Verdict::Draining | Verdict::Either, true) => Transition::Drained,
            (Verdict::Closed, true) => Transition::Closed,
            (Verdict::Accept, true) => return self.item_fault(id, "was refused by an open queue"),
            (Verdict::Full, false) => return self.item_fault(id, "was accepted by a full queue"),
            (Verdict::Draining, false) => {
                return self.item_fault(id, "came from outside, and a draining queue accepted it");
            }
            (Verdict::Closed, false) => {
                return self.item_fault(id, "was accepted by a closed queue");
            }
        };
        self.tally.raise(counted);
    }

    /// The item was not accepted after all.
    fn undo(&mut self, id: ItemId) {
        self.note(Note::Refused(id));
        let queue = self.items[id].queue;
        self.queues[queue].totals[0] -= 1;
        if self.items[id].stage == Stage::Dropped && self.items[id].slot == Slot::None {
            return;
        }
        self.items[id].stage = Stage::Dropped;
        self.free(id);
    }

    /// The item's code begins, or goes on.
    pub(super) fn enter(&mut self, id: ItemId, cpu: usize, tid: Tid) {
        self.note(Note::Enter(id, cpu));
        let before = self.items[id].stage;
        if !matches!(before, Stage::Waiting | Stage::Suspended) {
            self.item_fault(id, "runs although it runs already, or is over");
        }
        if self.items[id].aborted {
            self.item_fault(id, "runs although it was aborted");
        }
        if before == Stage::Waiting {
            self.check_start(id);
            if self.now_ns >= self.distress_until_ns {
                self.check_reserve(id);
            }
        }
        let pool = Current::with(|current| {
            current.map_or_else(PoolSeen::default, |current| PoolSeen {
                id: current.pool.id,
                lanes: current.pool.lanes().len(),
                percpu: current.pool.is_percpu(),
            })
        });
        // An item that is known to burn has given its lane up beforehand.
        let without_lane = Current::with(|current| {
            current.is_none_or(|current| {
                let holding = current.holding();
                let lost = holding.is_none_or(|(lane, its)| lane.view().token() != its.token);
                lost || current.lane_is_free.get()
            })
        });
        let now_ns = self.now_ns;
        let item = &mut self.items[id];
        (item.stage, item.since_ns, item.blocked) = (Stage::Inside, now_ns, without_lane);
        (item.tid, item.pool) = (tid, pool);
        self.check_place(id, cpu);
        self.check_concurrency(id);
    }

    /// An item that begins has a slot, and is in its turn.
    fn check_start(&mut self, id: ItemId) {
        if self.items[id].slot != Slot::Active {
            self.item_fault(
                id,
                "begins without a slot, beyond max_active or out of turn",
            );
        }
        let queue = self.items[id].queue;
        let before = self.queues[queue].last.replace(id);
        if let (true, Some(before)) = (self.queues[queue].rules.ordered, before) {
            let earlier = &self.items[before];
            let over = earlier.gone || earlier.is_request;
            if before > id || !over || !matches!(earlier.stage, Stage::Ended | Stage::Dropped) {
                self.item_fault(
                    id,
                    &format!("begins before item {before} of its ordered queue is gone"),
                );
            }
        }
    }

    /// The item is where it may be.
    fn check_place(&mut self, id: ItemId, cpu: usize) {
        let item = &self.items[id];
        let rules = self.queues[item.queue].rules;
        if item.ready_ns <= self.astray_until_ns {
            let elsewhere = rules.percpu && item.home != cpu;
            self.tally
                .raise_by(Transition::RanElsewhere, u64::from(elsewhere));
        } else if rules.percpu && item.home != cpu {
            self.item_fault(
                id,
                &format!("runs on CPU {cpu}, and another one accepted it"),
            );
        } else if cpu >= self.queues[item.queue].cpus_since(item.ready_ns) {
            self.item_fault(
                id,
                &format!("runs on CPU {cpu}, which its queue may not use"),
            );
        }
    }

    /// Nobody starts an item unless a spare worker exists or is being made.
    fn check_reserve(&mut self, id: ItemId) {
        let covered = Current::with(|current| {
            let Some(current) = current else { return true };
            let pool = &current.pool;
            let load = pool.load(true, 1);
            // Relaxed: one thread of the machine runs at a time.
            let coming = pool.wanted.load(Ordering::Relaxed);
            let at_bound = load.nr_workers >= pool.bound;
            // A taker that was stopped has claimed the spare and handed it a lane; that worker
            // sees to the reserve as its first act.
            let mut views = pool.lanes().iter().map(|lane| lane.view());
            let starting = views.any(|view| view.is_waking());
            policy::may_start_working(load) || load.managing || coming > 0 || starting || at_bound
        });
        if !covered {
            self.item_fault(id, "begins while no worker is in reserve or being made");
        }
    }

    /// As many items of a pool run at a time as it has lanes; those that blocked, or were at it
    /// for long, may have lost theirs and go on.
    fn check_concurrency(&mut self, id: ItemId) {
        let pool = self.items[id].pool;
        let Some(here) = Here::get() else { return };
        let patience_ns = if pool.percpu {
            BOUND_PATIENCE_NS
        } else {
            UNBOUND_PATIENCE_NS
        };
        let undisturbed = |item: &ItemId| {
            let item = &self.items[*item];
            item.stage == Stage::Inside
                && item.pool == pool
                && !item.blocked
                && self.now_ns - item.since_ns < patience_ns
                && here.state_for_model(item.tid) == ThreadState::Running
        };
        let open = self.queues.iter().flat_map(|queue| &queue.open).copied();
        let running = open.filter(undisturbed).count();
        if running > pool.lanes {
            let lanes = pool.lanes;
            self.item_fault(
                id,
                &format!("is one of {running} that run at a time in {lanes} lanes"),
            );
        }
    }

    /// The item's code stops.
    pub(super) fn leave(&mut self, id: ItemId, how: Leave) {
        let item = &mut self.items[id];
        match how {
            Leave::Suspended => {
                (item.stage, item.ready_ns) = (Stage::Suspended, self.now_ns);
                self.note(Note::Suspend(id));
                self.tally.raise(Transition::Suspended);
            }
            Leave::Returned => {
                item.stage = Stage::Ended;
                self.note(Note::End(id));
                self.ends(id, 1);
            }
            Leave::Panicked => {
                (item.stage, item.panicked) = (Stage::Ended, true);
                self.note(Note::Panic(id));
                self.ends(id, 2);
            }
        }
    }

    /// An item is over, for the totals in this place.
    fn ends(&mut self, id: ItemId, total: usize) {
        let counted = [
            Transition::Accepted,
            Transition::Completed,
            Transition::Panicked,
            Transition::Cancelled,
        ];
        self.tally.raise(counted[total]);
        let queue = self.items[id].queue;
        self.queues[queue].totals[total] += 1;
        self.free(id);
    }

    /// The item gives up its place, and the next one gets it.
    pub(super) fn free(&mut self, id: ItemId) {
        let now_ns = self.now_ns;
        let item = &mut self.items[id];
        item.ended_ns = now_ns;
        let slot = std::mem::replace(&mut item.slot, Slot::None);
        let (queue, home) = (item.queue, item.home);
        let q = &mut self.queues[queue];
        q.last_end_ns = now_ns;
        if let Some(at) = q.open.iter().position(|open| *open == id) {
            q.open.swap_remove(at);
        }
        let slots = q.slots(home);
        match slot {
            Slot::None => {}
            Slot::Active => slots.active -= 1,
            Slot::Waiting => slots.waiting.retain(|waiting| *waiting != id),
        }
        self.activate(queue);
    }

    /// How many items may be active now.
    fn limit(&self, queue: QueueId) -> usize {
        let q = &self.queues[queue];
        let by_system = q.rules.freezable && self.system_freezes > 0;
        if q.freezes > 0 || by_system {
            0
        } else if q.in_order {
            1
        } else {
            q.rules.max_active
        }
    }

    /// One freeze more, of a queue or of the System.
    pub(super) fn freeze(&mut self, queue: Option<QueueId>) {
        self.note(Note::Freeze(queue));
        self.tally.raise(Transition::Frozen);
        match queue {
            Some(queue) => self.queues[queue].freezes += 1,
            None => self.system_freezes += 1,
        }
    }

    /// One less; what the engine must say.
    pub(super) fn thaw(&mut self, queue: Option<QueueId>) -> Option<bool> {
        self.note(Note::Thaw(queue));
        let freezes = match queue {
            Some(queue) => &mut self.queues[queue].freezes,
            None => &mut self.system_freezes,
        };
        *freezes = freezes.checked_sub(1)?;
        let last = *freezes == 0;
        self.thaws += 1;
        self.tally.raise(Transition::Thawed);
        match queue {
            Some(queue) => self.activate(queue),
            None => (0..self.queues.len()).for_each(|queue| self.activate(queue)),
        }
        Some(last)
    }

    /// A freeze has waited: nothing of it is active.
    pub(super) fn check_frozen(&mut self, queue: Option<QueueId>) {
        for at in 0..self.queues.len() {
            let q = &self.queues[at];
            let covered = queue.map_or(q.rules.freezable, |queue| queue == at);
            let active: usize = q.slots.iter().map(|slots| slots.active).sum();
            // What was taken back frees its slot in the model at once, in the engine when a worker
            // reaches it: then the model may have made another one active.
            if covered && active > 0 && !q.stale && !q.reaped {
                self.fault(format!(
                    "queue {at} is frozen, and {active} items are active"
                ));
            }
        }
    }

    /// The queue may use the first so many CPUs from now on.
    pub(super) fn set_cpus(&mut self, queue: QueueId, cpus: usize) {
        let now_ns = self.now_ns;
        self.tally.raise(Transition::Changed);
        let q = &mut self.queues[queue];
        q.earlier_cpus.push((now_ns, q.rules.cpus));
        q.rules.cpus = cpus;
    }

    /// Gives free slots to those that wait, in order.
    fn activate(&mut self, queue: QueueId) {
        let (limit, now_ns) = (self.limit(queue), self.now_ns);
        for slots in &mut self.queues[queue].slots {
            while slots.active < limit {
                let Some(next) = slots.waiting.pop_front() else {
                    break;
                };
                slots.active += 1;
                let next = &mut self.items[next];
                (next.slot, next.ready_ns) = (Slot::Active, now_ns);
            }
        }
    }

    /// The item's memory is gone: it has ended, was refused, or was allowed to be dropped.
    pub(super) fn dropped(&mut self, id: ItemId) {
        self.items[id].gone = true;
        let (stage, aborted) = (self.items[id].stage, self.items[id].aborted);
        match stage {
            Stage::Ended | Stage::Dropped => {}
            Stage::Inside => self.item_fault(id, "is dropped while it runs"),
            Stage::Waiting | Stage::Suspended => {
                self.note(Note::Drop(id));
                self.items[id].stage = Stage::Dropped;
                if !self.items[id].settled {
                    // Refused, as `settle` will see.
                } else if aborted || self.shut_down {
                    self.tally
                        .raise_by(Transition::DroppedByShutdown, u64::from(!aborted));
                    self.ends(id, 3);
                } else if stage == Stage::Suspended {
                    self.item_fault(id, "is dropped, and nobody has aborted it");
                }
                // Else it is lost, as the sums will show.
            }
        }
    }

    /// Somebody aborts the item.
    pub(super) fn abort(&mut self, id: ItemId) {
        self.note(Note::Abort(id));
        let item = &mut self.items[id];
        let counted = match (item.stage, item.slot) {
            (Stage::Waiting, Slot::Waiting) => Transition::AbortedWithoutSlot,
            (Stage::Waiting, _) => Transition::AbortedInLane,
            (Stage::Inside, _) => Transition::AbortedInside,
            (Stage::Suspended, _) => Transition::AbortedSuspended,
            (Stage::Ended | Stage::Dropped, _) => Transition::AbortedEnded,
        };
        item.aborted |= !matches!(item.stage, Stage::Ended | Stage::Dropped);
        if (item.stage, item.slot) == (Stage::Waiting, Slot::Waiting) {
            // It waits for nobody any more, and is dropped soon.
            item.slot = Slot::None;
            let (queue, home) = (item.queue, item.home);
            let q = &mut self.queues[queue];
            q.reaped = true;
            q.slots(home).waiting.retain(|waiting| *waiting != id);
        }
        self.tally.raise(counted);
    }

    /// Nothing may be queued any more; how many delays were taken back.
    pub(super) fn close(&mut self, queue: QueueId, destroys: bool) -> u64 {
        self.note(Note::Close(queue));
        self.queues[queue].closed = true;
        self.queues[queue].freezes = 0;
        self.thaws += 1;
        self.activate(queue);
        if !destroys {
            self.tally.raise(Transition::OwnerDropped);
            return 0;
        }
        self.tally.raise(Transition::Destroyed);
        self.queues[queue].drain_begins();
        self.disarm_all(queue)
    }

    /// The limit is another one.
    pub(super) fn set_limit(&mut self, queue: QueueId, max_active: usize) {
        let limit = &mut self.queues[queue].rules.max_active;
        let before = std::mem::replace(limit, max_active);
        if before < max_active {
            self.tally.raise(Transition::Raised);
        } else if before > max_active {
            self.tally.raise(Transition::Lowered);
        }
        self.activate(queue);
    }

    /// One at a time from now on, or no longer.
    pub(super) fn set_order(&mut self, queue: QueueId, ordered: bool) {
        let before = std::mem::replace(&mut self.queues[queue].in_order, ordered);
        match (before, ordered) {
            (false, true) => self.tally.raise(Transition::OrderOn),
            (true, false) => self.tally.raise(Transition::OrderOff),
            _ => {}
        }
        self.activate(queue);
    }

    /// CPUs are away, or all are there.
    pub(super) fn set_astray(&mut self, astray: bool) {
        let before = self.astray_until_ns == u64::MAX;
        self.astray_until_ns = match (astray, before) {
            (true, _) => u64::MAX,
            (false, true) => self.now_ns,
            (false, false) => self.astray_until_ns,
        };
        if astray {
            self.tally.raise(Transition::CpusLost);
        } else if before {
            self.tally.raise(Transition::CpusBack);
        }
    }

    /// What a flush covered has ended, and its memory is gone.
    pub(super) fn check_flushed(&mut self, covered: &[ItemId]) {
        for &id in covered {
            let item = &self.items[id];
            let over = matches!(item.stage, Stage::Ended | Stage::Dropped);
            let unknown = self.shut_down && item.is_request;
            if !unknown && (!over || !(item.gone || item.is_request)) {
                self.item_fault(id, "was covered by a flush that is over, and has not ended");
            }
        }
    }

    /// A flush has not waited for newcomers.
    pub(super) fn check_prompt(&mut self, covered: &Covered, within_ns: u64) {
        let ends = covered.items.iter().map(|id| self.items[*id].ended_ns);
        let last_ns = ends.max().unwrap_or(0).max(covered.begun_ns);
        let late_ns = self.now_ns.saturating_sub(last_ns);
        if late_ns > within_ns && !self.queues[covered.queue].stale && !self.shut_down {
            let queue = covered.queue;
            self.fault(format!(
                "a flush of queue {queue} ends {late_ns} ns after the last item that it covers"
            ));
        }
    }

    /// All that is left may be dropped from now on.
    pub(super) fn shut_down(&mut self) {
        self.note(Note::ShutDown);
        self.shut_down = true;
        // A shutdown undoes all freezes.
        self.system_freezes = 0;
        for queue in 0..self.queues.len() {
            self.queues[queue].freezes = 0;
            self.activate(queue);
        }
        let open: usize = self.queues.iter().map(|queue| queue.open.len()).sum();
        if open > 0 {
            self.tally.raise(Transition::ShutDown);
        }
        for queue in 0..self.queues.len() {
            self.queues[queue].closed = true;
            self.disarm_all(queue);
        }
    }

    /// All is over: nothing was lost, and the sums are even.
    pub(super) fn check_end(&mut self) {
        for id in 0..self.items.len() {
            if self.shut_down && self.items[id].is_request && self.items[id].stage == Stage::Waiting
            {
                // Its run was dropped, which tells nobody.
                self.items[id].stage = Stage::Dropped;
                self.ends(id, 3);
            }
            let item = &self.items[id];
            let over = matches!(item.stage, Stage::Ended | Stage::Dropped);
            if !over || !(item.gone || item.is_request) {
                self.item_fault(id, "was lost");
            }
        }
        self.check_requests_over();
        for queue in 0..self.queues.len() {
            let [accepted, completed, panicked, cancelled] = self.queues[queue].totals;
            if accepted != completed + panicked + cancelled {
                let totals = self.queues[queue].totals;
                self.fault(format!(
                    "queue {queue}: accepted is not the sum of the rest: {totals:?}"
                ));
            }
        }
    }
}

impl Queue {
    /// The most CPUs that it could use at a moment since then.
    fn cpus_since(&self, since_ns: u64) -> usize {
        let earlier = self.earlier_cpus.iter().rev();
        let until = earlier.take_while(|(until_ns, _)| *until_ns >= since_ns);
        let most = until.map(|(_, cpus)| *cpus).max();
        most.unwrap_or(0).max(self.rules.cpus)
    }

    /// Whether a drain is not over.
    pub(super) fn is_draining(&self) -> bool {
        !self.drains.is_empty()
    }

    /// One begins.
    pub(super) fn drain_begins(&mut self) -> DrainId {
        self.next_drain += 1;
        self.drains.push(self.next_drain);
        self.next_drain
    }

    /// It is over, or was given up.
    pub(super) fn drain_ends(&mut self, id: DrainId) {
        self.drains.retain(|drain| *drain != id);
    }

    /// All are over, as their waits will see.
    pub(super) fn drained(&mut self) {
        self.drains.clear();
    }

    /// The slots for items of this CPU.
    fn slots(&mut self, home: usize) -> &mut Slots {
        let at = if self.rules.percpu { home } else { 0 };
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, Slots::default);
        }
        &mut self.slots[at]
    }
}
