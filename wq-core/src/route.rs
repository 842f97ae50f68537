//! The way of an entry to a lane: new items, woken runs, and items that got a slot.
//!
//! On a worker of the right pool an entry goes into the worker's own lane by a section; from
//! anywhere else through an inbox. Whoever brings work to a lane that nobody runs sees to it
//! that somebody does ([`SystemInner::kick`]). All wakes go through this one door.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::current::Current;
use crate::entry::Entry;
use crate::hook::{self, Point};
use crate::lane::{Lane, Place};
use crate::pool::Pool;
use crate::proto::counts::{Colour, Shard};
use crate::proto::crowd::Joined;
use crate::proto::owner::OwnerView;
use crate::queue::limit::{Admission, Charge};
use crate::queue::slots::SlotsGuard;
use crate::queue::{QueueInner, QueueRef, reserve};
use crate::sense::{Look, Sensor};
use crate::system::{SystemInner, pins};

/// Why an item was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The queue is closed, or drains and the item comes from outside.
    Closed,
    /// As many items wait as may.
    Full,
}

/// Queues a new item; gives it back if the queue refuses.
#[inline]
pub(crate) fn submit(queue: QueueRef, entry: Entry) -> Result<(), (Entry, Refusal)> {
    let q = queue.get();
    Current::with(|current| {
        let local = current.filter(|c| q.system.is(&c.system));
        if q.is_limited() {
            return submit_limited(queue, local, entry);
        }
        let chained = local.is_some_and(|c| c.queue() == Some(queue));
        let Some(current) = local else {
            return submit_from_outside(queue, None, entry);
        };
        match submit_here(queue, current, entry, chained) {
            Ok(done) => done,
            Err(entry) => submit_from_outside(queue, Some(current), entry),
        }
    })
}

/// The queue is closed: somebody who waits for it may have seen the refused item as one in
/// flight (`armed`), and is told. The caller bears a handle, and is outside any section.
#[cold]
fn refuse(
    queue: QueueRef,
    entry: Entry,
    why: Refusal,
    armed: bool,
) -> Result<(), (Entry, Refusal)> {
    if armed {
        queue.get().check_waiters(queue);
    }
    Err((entry, why))
}

/// Queues an item on the calling worker's own lane, in one section. `Err`: the lane is not one of
/// the queue's, or was lost.
#[inline]
fn submit_here(
    queue: QueueRef,
    current: &Current,
    entry: Entry,
    chained: bool,
) -> Result<Result<(), (Entry, Refusal)>, Entry> {
    let q = queue.get();
    let home = entry.meta().lane();
    if !Arc::ptr_eq(q.pool(home), &current.pool) {
        return Err(entry);
    }
    let Some((lane, holder)) = current.holding() else {
        return Err(entry);
    };
    let shard = q.shard(&current.pool, lane.index);
    let mut waiting = Some(entry);
    hook::at(Point::PushLocal);
    let refused = lane.section(holder, |waiting_here| {
        let entry = waiting.take()?;
        match q.accept(shard, chained) {
            Ok(colour) => {
                entry.meta().set_colour(colour);
                waiting_here.push(entry, Place::Child);
                None
            }
            Err(armed) => Some((entry, armed)),
        }
    });
    match (refused, waiting) {
        (None, Some(entry)) => Err(entry),
        (Some(Some((entry, armed))), _) => Ok(refuse(queue, entry, Refusal::Closed, armed)),
        _ => {
            note_waiting(current, lane);
            Ok(Ok(()))
        }
    }
}

/// Queues an item of an unlimited queue through an inbox.
fn submit_from_outside(
    queue: QueueRef,
    current: Option<&Current>,
    entry: Entry,
) -> Result<(), (Entry, Refusal)> {
    let q = queue.get();
    let chained = current.and_then(Current::queue) == Some(queue);
    match q.accept(Shard::Shared, chained) {
        Ok(colour) => {
            entry.meta().set_colour(colour);
            push_remote(q.system.get(), q, entry, true);
            Ok(())
        }
        Err(armed) => refuse(queue, entry, Refusal::Closed, armed),
    }
}

/// Queues an item of a limited queue: it starts if there is a slot, else it waits for one.
fn submit_limited(
    queue: QueueRef,
    current: Option<&Current>,
    entry: Entry,
) -> Result<(), (Entry, Refusal)> {
    let q = queue.get();
    let home = entry.meta().lane();
    let colour = match accept(queue, home, current) {
        Ok(colour) => colour,
        Err(armed) => return refuse(queue, entry, Refusal::Closed, armed),
    };
    entry.meta().set_colour(colour);
    let Err(entry) = join_line(q, current, home, entry) else {
        return Ok(());
    };
    let mut limiter = q.limiter(home);
    let charge = q.charge(&limiter, home);
    entry.meta().set_charge(charge);
    match limiter.admit(charge) {
        Admission::Active => {
            drop(limiter);
            start(q, current, entry);
            Ok(())
        }
        Admission::Inactive => {
            entry.meta().set_waiting();
            limiter.wait(charge, entry);
            // There may be a slot, and others in line whose pusher has not come to look yet.
            let next = limiter.next();
            finish(q, limiter, next);
            Ok(())
        }
        Admission::Full => {
            drop(limiter);
            let armed = q.count_out(Shard::Shared, colour);
            refuse(queue, entry, Refusal::Full, armed)
        }
    }
}

/// Has an item wait for its turn without the lock, if it is plain that it must; else it is given
/// back. It is charged 0, as all items of a queue that lets them join.
#[inline]
fn join_line(
    q: &QueueInner,
    current: Option<&Current>,
    home: usize,
    entry: Entry,
) -> Result<(), Entry> {
    let slots = q.slots(home);
    if !slots.is_crowded() {
        return Err(entry);
    }
    entry.meta().set_charge(0);
    if slots.join(entry) == Joined::MustLook {
        start_those_in_line(q, current, home);
    }
    Ok(())
}

/// A slot may be free, and nobody but the caller may look: starts who is in line. Nobody waits for
/// a place in such a queue.
#[cold]
fn start_those_in_line(q: &QueueInner, current: Option<&Current>, home: usize) {
    loop {
        let Some(next) = q.limiter(home).next() else {
            return;
        };
        start(q, current, next);
    }
}

/// An item has its slot: brings it to a lane.
pub(crate) fn start(q: &QueueInner, current: Option<&Current>, entry: Entry) {
    entry.meta().clear_waiting();
    match push_here(q, current, entry, Place::Worklist) {
        Ok(()) => {}
        Err(entry) => push_remote(q.system.get(), q, entry, true),
    }
}

/// A run was woken, perhaps while it ran: brings it back to its pool. Called by wakers, on any
/// thread, or after the run by the worker that ran it.
pub(crate) fn resume(entry: Entry, while_it_ran: bool) {
    let queue = entry.meta().queue;
    let q = queue.get();
    Current::with(|current| {
        let local = current.filter(|c| q.system.is(&c.system));
        if while_it_ran {
            let marked = current.is_some_and(|c| c.worker.is_marked(c.worker.starts()));
            entry.meta().go_on(marked);
        }
        let place = match current {
            _ if !while_it_ran => Place::Slot,
            Some(current) if current.item_yields() => Place::Yielded,
            // A timer or another thread was fast, or the item polls itself: not the slot, which
            // it would keep, but no reason to go behind all that is new either.
            _ => Place::Resume,
        };
        if let Some(current) = local.filter(|c| c.homes.is_delivering()) {
            if let Some(lane) = current.homes.home(current, q, &entry) {
                return push_home(current, lane, entry);
            }
        }
        let entry = match push_here(q, local, entry, place) {
            Ok(()) => return,
            Err(entry) => entry,
        };
        if place == Place::Yielded {
            entry.meta().set_yielded();
        }
        if local.is_some() {
            push_remote(q.system.get(), q, entry, false);
        } else {
            // The item is in flight until it is pushed, which keeps queue and System; after the
            // push only the pin does.
            let _pin = pins::pin();
            push_remote(q.system.get(), q, entry, false);
        }
    });
}

/// Puts an entry into the calling worker's own lane, if that is one of the queue's.
#[inline]
fn push_here(
    q: &QueueInner,
    current: Option<&Current>,
    entry: Entry,
    place: Place,
) -> Result<(), Entry> {
    let Some(current) = current else {
        return Err(entry);
    };
    if !Arc::ptr_eq(q.pool(entry.meta().lane()), &current.pool) {
        return Err(entry);
    }
    let Some((lane, holder)) = current.holding() else {
        return Err(entry);
    };
    lane.push_local(holder, entry, place)?;
    note_waiting(current, lane);
    Ok(())
}

/// Brings a woken run to the lane of its last poll, another one of the calling worker's pool.
#[inline(never)]
fn push_home(current: &Current, lane: &Lane, entry: Entry) {
    hook::at(Point::PushRemote);
    if lane.inbox.push(entry) {
        current.system.kick(&current.pool, lane);
    }
}

/// Work waits behind the item that runs here: have the lane watched, if nobody does.
#[inline(always)]
fn note_waiting(current: &Current, lane: &Lane) {
    if lane.waiting() == 1 && lane.armed.lacks_a_look(|| lane.is_eager()) {
        current.system.attend(lane);
    }
}

/// Brings an entry to a lane through its inbox. Nothing of the item is touched after the push, and
/// nothing of its queue, which may be gone by then; the pool lasts as long as the System.
fn push_remote(system: &SystemInner, q: &QueueInner, entry: Entry, is_start: bool) {
    if system.is_forked() {
        // Nobody would run it, and the workers of that number are another process's.
        return std::mem::forget(entry);
    }
    let home = entry.meta().lane();
    // Not by way of the queue, from here on.
    let pool: &Pool = q.pool(home);
    let lane = choose_lane(system, pool, home, is_start);
    let rescuer = if pool.distress.is_known() {
        q.rescuer.get().cloned()
    } else {
        None
    };
    hook::at(Point::PushRemote);
    if lane.inbox.push(entry) {
        system.kick(pool, lane);
    }
    if let Some(rescuer) = rescuer {
        rescuer.call();
    }
    if !is_start && pool.resumer.is_on_duty() {
        system.call_resumer(pool);
    }
}

/// The lane for an entry that comes from outside: where it last ran, or (new items) on another
/// CPU than the pusher's; a sleeping lane rather than one that is busy with dear items.
fn choose_lane<'a>(system: &SystemInner, pool: &'a Pool, home: usize, is_start: bool) -> &'a Lane {
    let lanes = &pool.lanes()[..pool.in_use()];
    if lanes.len() == 1 {
        return &lanes[0];
    }
    let lane = if is_start {
        let here = system.ordinal_of_current_cpu();
        &lanes[(here + 1) % lanes.len()]
    } else {
        let lane = pool.lane_at(home);
        &lanes[pool.slot_of(lane) % lanes.len()]
    };
    if lane.is_costly() && lane.view().is_running() {
        if let Some(sleeping) = pool.unused_lane(pool.slot_of(lane)) {
            return sleeping;
        }
    }
    lane
}

impl SystemInner {
    /// Work was brought to a lane that had an empty inbox: wakes, staffs or watches it.
    pub(crate) fn kick(&self, pool: &Pool, lane: &Lane) {
        hook::at(Point::Kick);
        let seen = lane.owner.notice();
        self.kick_seen(pool, lane, seen);
    }

    /// As [`SystemInner::kick`], with the owner word as seen. False: nobody got the lane. Either
    /// there is no worker to spare, and one was asked for; or its owner has come back meanwhile.
    pub(crate) fn kick_seen(&self, pool: &Pool, lane: &Lane, seen: OwnerView) -> bool {
        if seen.is_parked() {
            if let Some(worker) = lane.owner.claim_wake(seen) {
                self.wake_holder(pool, lane, worker);
            }
        } else if seen.is_vacant() {
            return self.staff(pool, lane, seen);
        } else if seen.is_blocking() && !seen.is_revoked() {
            return self.take_over(pool, lane, seen, Sensor::Marked);
        } else if !(seen.is_running() && self.looks_asleep(pool, lane, seen)) {
            self.attend(lane);
        }
        true
    }

    /// Work waits behind a running item: has the spotter look when the CPU goes idle, if it is a
    /// lane that blocks now and then, and the monitor soon.
    #[cold]
    fn attend(&self, lane: &Lane) {
        self.watch(lane);
        self.hurry_monitor(lane);
    }

    /// Work was brought to a lane whose owner is inside an item. If such items block now and then,
    /// one look here saves waking the spotter to look. True: the lane was handed over.
    fn looks_asleep(&self, pool: &Pool, lane: &Lane, seen: OwnerView) -> bool {
        if !lane.is_eager() || seen.is_waking() {
            return false;
        }
        let look = self.examine_running(pool, lane, seen, Sensor::Producer, 0);
        if look == Look::Running {
            lane.spend_eagerness();
        }
        look == Look::Acted
    }

    /// Work waits behind a running item: has the CPU's spotter look when the CPU goes idle, if
    /// the lane is one that blocks now and then.
    #[inline]
    pub(crate) fn watch(&self, lane: &Lane) {
        if lane.is_eager() {
            self.arm_spotter(lane);
        }
    }
}

/// A place that a queue keeps for an item that is still to be made.
#[derive(Debug)]
#[must_use = "a reserved place counts as an item in flight"]
pub(crate) struct Reserved {
    colour: Colour,
    /// What its slot is charged to.
    charge: Charge,
    kept: Kept,
}

impl Reserved {
    /// On a queue without a limit an item is counted in, and that is all.
    fn without_a_limit(colour: Colour) -> Reserved {
        Reserved {
            colour,
            charge: 0,
            kept: Kept::Slot,
        }
    }
}

/// What is kept for an item beside its count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kept {
    /// A slot; or nothing, where none is needed.
    Slot,
    /// A place on the waiting list.
    Place,
    /// Nothing: the queue takes whatever comes, and there was a crowd.
    Nothing,
}

/// Counts an item in before it is made, so that a refusal costs nothing.
pub(crate) fn reserve(queue: QueueRef, home: usize) -> Result<Reserved, Refusal> {
    let q = queue.get();
    let colour = Current::with(|c| accept(queue, home, c)).map_err(|armed| {
        if armed {
            q.check_waiters(queue);
        }
        Refusal::Closed
    })?;
    if !q.is_limited() {
        return Ok(Reserved::without_a_limit(colour));
    }
    let kept = keep_place(q, home);
    let kept = kept.map(|(charge, kept)| Reserved {
        colour,
        charge,
        kept,
    });
    if kept.is_err() && q.count_out(Shard::Shared, colour) {
        q.check_waiters(queue);
    }
    kept
}

/// What a limited queue keeps for an item that is still to be made.
#[inline(never)]
fn keep_place(q: &QueueInner, home: usize) -> Result<(Charge, Kept), Refusal> {
    let slots = q.slots(home);
    if slots.is_crowded() {
        return Ok((0, Kept::Nothing));
    }
    let mut limiter = slots.lock();
    let charge = q.charge(&limiter, home);
    match limiter.reserve(charge) {
        Admission::Active => Ok((charge, Kept::Slot)),
        Admission::Inactive => Ok((charge, Kept::Place)),
        Admission::Full => Err(Refusal::Full),
    }
}

/// Counts an item in that is at home on this CPU: where the caller holds a lane of its pool, on
/// that one's line, which no other CPU writes. It may be counted out on another one.
#[inline]
fn accept(queue: QueueRef, home: usize, current: Option<&Current>) -> Result<Colour, bool> {
    let q = queue.get();
    let chained = current.and_then(Current::queue) == Some(queue);
    if let Some(current) = current.filter(|c| Arc::ptr_eq(q.pool(home), &c.pool)) {
        if let Some((lane, holder)) = current.holding() {
            let shard = q.shard(&current.pool, lane.index);
            if let Some(accepted) = lane.inside(holder, || q.accept(shard, chained)) {
                return accepted;
            }
        }
    }
    q.accept(Shard::Shared, chained)
}

/// Queues an item for which a place was reserved.
pub(crate) fn submit_reserved(queue: QueueRef, entry: Entry, place: Reserved) {
    let q = queue.get();
    entry.meta().set_colour(place.colour);
    entry.meta().set_charge(place.charge);
    if place.kept != Kept::Slot {
        return submit_waiting(q, entry, place);
    }
    Current::with(|current| {
        let local = current.filter(|c| q.system.is(&c.system));
        if q.is_limited() {
            return start(q, local, entry);
        }
        if let Err(entry) = push_here(q, local, entry, Place::Child) {
            push_remote(q.system.get(), q, entry, true);
        }
    });
}

/// As [`submit_reserved`], of an item that had no slot when its place was reserved.
#[inline(never)]
fn submit_waiting(q: &QueueInner, entry: Entry, place: Reserved) {
    if place.kept == Kept::Nothing {
        return submit_accepted(q, entry);
    }
    let mut limiter = q.limiter(entry.meta().lane());
    entry.meta().set_waiting();
    limiter.wait_reserved(place.charge, entry);
    // A slot may have become free since the place was reserved.
    let next = limiter.next();
    finish(q, limiter, next);
}

/// Queues an item that a limited queue does not refuse.
fn submit_accepted(q: &QueueInner, entry: Entry) {
    let home = entry.meta().lane();
    let joined = Current::with(|c| join_line(q, c.filter(|c| q.system.is(&c.system)), home, entry));
    if let Err(entry) = joined {
        let mut limiter = q.limiter(home);
        let next = admit_promised(q, &mut limiter, entry);
        finish(q, limiter, next);
    }
}

/// No item is made for a place that was reserved.
#[cold]
pub(crate) fn give_back(queue: QueueRef, home: usize, place: Reserved) {
    let q = queue.get();
    match place.kept {
        Kept::Slot if q.is_limited() => start_next(q, q.release(home, place.charge)),
        Kept::Place => {
            let mut limiter = q.limiter(home);
            limiter.end_reserved();
            finish(q, limiter, None);
        }
        Kept::Slot | Kept::Nothing => {}
    }
    if q.count_out(Shard::Shared, place.colour) {
        q.check_waiters(queue);
    }
}

/// Queues an item into the place that a permit keeps for it, on a limited queue. The permit is used
/// up if the item is accepted.
pub(crate) fn submit_permitted(queue: QueueRef, entry: Entry) -> Result<(), (Entry, Refusal)> {
    let q = queue.get();
    let chained = Current::with(|c| c.and_then(Current::queue) == Some(queue));
    let colour = match q.accept(Shard::Shared, chained) {
        Ok(colour) => colour,
        Err(armed) => return refuse(queue, entry, Refusal::Closed, armed),
    };
    entry.meta().set_colour(colour);
    let mut limiter = q.limiter(entry.meta().lane());
    limiter.end_permit();
    let next = admit_promised(q, &mut limiter, entry);
    // The permit counted for the bound whichever node's items were meant, the item for its own.
    finish(q, limiter, next);
    Ok(())
}

/// An item that is not refused takes a slot, or waits for one; returns who is to start.
fn admit_promised(q: &QueueInner, limiter: &mut SlotsGuard<'_>, entry: Entry) -> Option<Entry> {
    let charge = q.charge(limiter, entry.meta().lane());
    entry.meta().set_charge(charge);
    if limiter.admit_promised(charge) {
        return Some(entry);
    }
    entry.meta().set_waiting();
    limiter.wait(charge, entry);
    limiter.next()
}

/// An item that was promised, and counted in, is not to run.
pub(crate) fn end_promised(queue: QueueRef, colour: Colour) {
    let q = queue.get();
    // Relaxed: a statistic; ordered before the count that follows for its readers.
    q.cancelled.fetch_add(1, Ordering::Relaxed);
    if q.counts.end(Shard::Shared, colour) {
        q.check_waiters(queue);
    }
}

/// Queues an item that was promised before its queue was closed (an armed delay), and counted in.
pub(crate) fn submit_promised(queue: QueueRef, entry: Entry, colour: Colour) {
    let q = queue.get();
    if !q.is_limited() {
        return submit_reserved(queue, entry, Reserved::without_a_limit(colour));
    }
    entry.meta().set_colour(colour);
    submit_accepted(q, entry);
}

/// Gives places that have become free to who waits for one, and brings the item that got a slot (if
/// any did) to a lane.
fn finish(q: &QueueInner, mut limiter: SlotsGuard<'_>, next: Option<Entry>) {
    let granted = QueueInner::grants(&mut limiter);
    drop(limiter);
    reserve::tell(granted);
    start_next(q, next);
}

/// Brings the item that got a slot, if any did, to a lane.
fn start_next(q: &QueueInner, next: Option<Entry>) {
    if let Some(next) = next {
        Current::with(|c| start(q, c.filter(|c| q.system.is(&c.system)), next));
    }
}
