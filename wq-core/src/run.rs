//! A worker's life: spare, holder of a lane, spare again.
//!
//! The loop never waits for permission. A worker whose lane was taken while it was inside an
//! item finishes the item, learns at its next section that the lane is lost, settles, and
//! becomes a spare. A worker that finds nothing to do sleeps with its lane in hand, so that the
//! next push costs one wake-up and no search.

pub(crate) mod bh;
mod burn;
mod homes;
mod idle;
pub(crate) mod rescue;
pub(crate) mod resume;
mod samples;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::current::Current;
use crate::entry::Entry;
use crate::hook::{self, Point};
use crate::lane::{Advance, Holder, Lane};
use crate::os;
use crate::policy;
use crate::pool::Pool;
use crate::proto::assign::Offer;
use crate::proto::owner::Token;
use crate::queue::Ended;
use crate::route;
use crate::sense::Sensor;
use crate::spin::Spin;
use crate::system::SystemInner;
use crate::worker::Worker;

pub(crate) use homes::Homes;
use samples::SAMPLE_EVERY;
pub(crate) use samples::Samples;

/// The body of a worker thread.
pub(crate) fn worker_main(system: Arc<SystemInner>, pool: Arc<Pool>, worker: Arc<Worker>) {
    worker.adopt_thread();
    set_up(&system, &pool);
    Current::new(system, pool, worker).enter(|current| {
        current.system.thread_hooks.run();
        become_spare(current);
        // Whoever asked for this worker had none for a lane that stands still.
        look_around(current);
        while let Some(lane) = wait_for_lane(current) {
            hold_one_after_the_other(current, lane);
            if current.system.is_stopped() {
                current.worker.abandon_thread();
                break;
            }
            become_spare(current);
        }
        // Relaxed: a count for policy.
        current.pool.nr_workers.fetch_sub(1, Ordering::Relaxed);
        current.system.note_thread_gone();
    });
}

/// A worker that gets a lane next to one that burns CPU, or among many that come back from a
/// block at once, should not wait for their whole slices: all workers have short ones, ns.
const SLICE_NS: u64 = 200_000;

/// Gives the thread its pool's CPUs and priority. What the machine refuses is reported once.
fn set_up(system: &SystemInner, pool: &Pool) {
    system.home.settle();
    let mut differs = pool.attrs.nice != 0;
    if differs {
        let raised = os::set_nice(0, pool.attrs.nice);
        system.sensors.high_priority.note(&raised);
        if raised.is_err() {
            system.stats.nice_refused.raise();
            system.say_once_nice_refused(pool.attrs.nice);
            differs = false;
        }
    }
    // Where the kernel does not know slices, the usual one serves.
    // Threads that items start are to have the usual one; but the flag for that would take a
    // program's own raised priority from them, where the worker has that.
    let sliced = if system.home.nice.is_some_and(|nice| nice < 0) && !differs {
        os::set_worker_slice(SLICE_NS)
    } else {
        os::set_reset_on_fork_slice(SLICE_NS)
    };
    system.sensors.slices.note(&sliced);
    // A refusal means that the CPU went away; the worker then runs where it may.
    let placed = os::set_affinity(0, &pool.mask.load());
    system.sensors.placement.note(&placed);
}

/// Runs a lane until it is lost, then goes on with another one that waits for a runner, if there
/// is any: while those that come back from a block keep the CPUs busy the spotters see nothing,
/// and a sleeping worker would have to queue for a CPU that this one has.
fn hold_one_after_the_other(current: &Current, lane: (usize, Token)) {
    let mut next = Some(lane);
    while let Some((slot, token)) = next {
        current.set_lane(Some((slot, token)));
        // Whoever gave it the lane may have been stopped before it thought of the reserve.
        current.system.keep_reserve(&current.pool);
        hold(current, slot, token);
        current.set_lane(None);
        if current.system.is_stopped() {
            return;
        }
        next = current.system.pick_up(&current.pool, &current.worker, slot);
        if next.is_some() {
            current.note_arrival();
        }
    }
}

/// A newborn worker's look at the pool's lanes: is one blocked with work waiting?
fn look_around(current: &Current) {
    for lane in current.pool.lanes() {
        current
            .system
            .examine(&current.pool, lane, Sensor::Sibling, u64::MAX);
    }
}

/// Goes to the top of the pool's spares.
fn become_spare(current: &Current) {
    hook::at(Point::Spare);
    current.system.put_back(&current.pool, &current.worker);
    // Spare first: who is counted in neither is made twice.
    current.note_arrival();
}

/// Sleeps until there is a lane for this worker; `None`: it is not needed any more.
fn wait_for_lane(current: &Current) -> Option<(usize, Token)> {
    let (pool, worker) = (&current.pool, &current.worker);
    let view_of = |slot: u32| pool.lanes()[slot as usize].view();
    let since = os::now();
    loop {
        hook::at(Point::TakeUp);
        match worker.assignment.look(worker.id, view_of) {
            Offer::Lane(slot, token) if pool.lanes()[slot as usize].owner.take_up(token) => {
                return Some((slot as usize, token));
            }
            // Somebody who was awake has the lane.
            Offer::Lane(..) | Offer::Lost => {
                become_spare(current);
                continue;
            }
            Offer::None => {}
        }
        if current.system.is_stopped() {
            worker.abandon_thread();
            return None;
        }
        let surplus = policy::too_many_workers(pool.load(false, 0));
        let old = os::now().duration_since(since) >= current.system.keep_alive;
        if surplus && old && retire(current) {
            current.system.let_next_leave(pool);
            return None;
        }
        // Idle means idle: only who may have to leave looks again; others are told.
        idle::nap(current, surplus.then_some(current.system.keep_alive));
    }
}

/// A spare that nobody needs leaves. False: it was claimed this moment, and stays.
fn retire(current: &Current) -> bool {
    let worker = &current.worker;
    hook::at(Point::Retire);
    // Before it leaves: the record may have another thread at once.
    worker.abandon_thread();
    if worker.spare.retire() {
        // Relaxed: a count for policy.
        current.pool.nr_idle.fetch_sub(1, Ordering::Relaxed);
        return true;
    }
    worker.adopt_thread();
    false
}

/// Runs the lane's items until it is lost or given up.
fn hold(current: &Current, slot: usize, token: Token) {
    let lane = &current.pool.lanes()[slot];
    let holder = Holder {
        mark: &current.worker.mark,
        token,
    };
    current.pool.note_used(slot);
    lane.begin(holder);
    current.samples.start_anew();
    let mut ended: Option<Ended> = None;
    let mut spin = Spin::new();
    let mut is_first = true;
    loop {
        if let Some(next) = ended.as_ref().and_then(Ended::release_slot) {
            current.note_slot_passed_on(lane);
            let queue = next.meta().queue;
            route::start(queue.get(), Some(current), next);
        }
        match lane.advance(&current.pool, holder, ended.as_mut()) {
            Advance::Item(entry) => {
                tell(&mut ended);
                // A worker whose items block holds a lane for one or two of them.
                let items = current.count_item();
                // Whoever brings work to an empty lane has it watched. The look here is for what
                // a lane brought with it, and for a spotter that went to sleep too early.
                if (is_first || items % SAMPLE_EVERY == 0) && lane.waiting() > 0 {
                    current.system.watch(lane);
                }
                is_first = false;
                ended = execute(current, lane, entry);
                if items & current.samples.mask() == 0 {
                    look_at_clock(current, lane, holder);
                }
                if current.siblings.are_due(items) {
                    current.system.look_at_siblings(current, lane, items);
                }
            }
            Advance::Empty => {
                tell(&mut ended);
                // Whoever waited for that item may have been woken into this lane.
                if lane.has_work() || idle::look_around(current, lane) {
                    continue;
                }
                if spin.wait(|| !lane.inbox.is_empty()) {
                    spin.end();
                    continue;
                }
                if current.system.is_stopped() || !idle::sleep(current, lane, holder) {
                    return;
                }
                current.samples.start_anew();
                spin.end();
            }
            Advance::Lost => {
                hook::at(Point::Return);
                settle_without_lane(current, &mut ended);
                let (system, pool) = (&current.system, &current.pool);
                // Relaxed: a statistic.
                pool.returns.fetch_add(1, Ordering::Relaxed);
                system.note_return(pool, lane, &current.worker);
                return;
            }
        }
    }
}

/// Polls one entry; the poll of an item that was aborted, or whose System drops what is left,
/// only drops its future. `Some`: the item has ended.
#[inline]
fn execute(current: &Current, lane: &Lane, entry: Entry) -> Option<Ended> {
    if entry.meta().is_special() && !is_one_more_yield(current, &entry) {
        burn::execute(current, lane, entry)
    } else {
        poll(current, lane, entry)
    }
}

/// The usual special item: it goes on a row of yields, and this poll is not one to be timed.
#[inline(always)]
fn is_one_more_yield(current: &Current, entry: &Entry) -> bool {
    let meta = entry.meta();
    let untimed = meta.only_goes_on() && current.measure.passes();
    if untimed {
        meta.begin_poll_of_stretch();
    }
    untimed
}

/// See [`execute`].
#[inline(always)]
fn poll(current: &Current, lane: &Lane, entry: Entry) -> Option<Ended> {
    let meta = entry.meta();
    let (queue, tag) = (meta.queue, meta.tag());
    // A per-CPU item's slot is with the CPU that accepted it, which is the lane's.
    let home = lane.ordinal;
    meta.set_started(home as u16);
    current.set_item(queue, meta);
    current.worker.begin_item(queue.address(), meta.address());
    // True only tells that it was woken meanwhile, which `schedule` knew.
    let _ = entry.0.run();
    current.worker.end_item();
    let kind = current.clear_item()?;
    Some(Ended::new(queue, tag, home, kind))
}

/// Tells those who waited for the item that was counted last.
#[inline(always)]
fn tell(ended: &mut Option<Ended>) {
    if let Some(ended) = ended.take() {
        ended.tell_waiters();
    }
}

/// Counts an item that ended after the lane was lost.
fn settle_without_lane(current: &Current, ended: &mut Option<Ended>) {
    if let Some(ended) = ended {
        let mark = &current.worker.mark;
        mark.shield();
        ended.count_shared();
        mark.leave();
        if ended.must_tell() {
            // Other people's wakers may take long, and then another worker is needed after all.
            current.note_arrival();
        }
    }
    tell(ended);
}

/// A look at the clock is due; where nothing waits it would lead to nothing.
#[inline(never)]
fn look_at_clock(current: &Current, lane: &Lane, holder: Holder<'_>) {
    if current.samples.mask() == 0 && lane.waiting() == 0 {
        return;
    }
    sample(current, lane, holder);
    current.samples.note_look(lane.is_costly());
}

/// Under valgrind an item lasts fifty times as long as elsewhere, and longer beside other programs.
/// Where instructions are counted, a lane is to take its items for as cheap as they are.
const SAMPLED_SHIFT: u32 = if cfg!(wq_counts) { 20 } else { 0 };

/// The sampled look at the clock; gives work away if it has waited for too long.
fn sample(current: &Current, lane: &Lane, holder: Holder<'_>) {
    let slot = current.pool.slot_of(lane);
    if slot >= current.pool.in_use() {
        return move_out(current, lane, holder);
    }
    let other = current.pool.unused_lane(slot);
    let now_ns = os::monotonic_ns();
    idle::glance(current, now_ns);
    let given = lane.sample(holder, now_ns >> SAMPLED_SHIFT, other.is_some());
    let Some(other) = other else {
        return;
    };
    if !given.is_empty() && given.push_to(&other.inbox) {
        current.system.kick(&current.pool, other);
    }
}

/// Entries that are moved at a time out of a lane that is out of use; more go the next time.
const MOVE_AT_ONCE: usize = 4_096;

/// The lane is out of use: moves what waits in it to those that are not. What comes later, from the
/// item that runs here or from a waker that was a moment late, is served or moved like this.
#[cold]
fn move_out(current: &Current, lane: &Lane, holder: Holder<'_>) {
    let pool = &current.pool;
    let targets = pool.lanes()[..pool.in_use()].iter().cycle();
    for target in targets.take(MOVE_AT_ONCE) {
        let Some(Some(entry)) = lane.section(holder, |queue| queue.next(&lane.inbox)) else {
            return;
        };
        if target.inbox.push(entry) {
            current.system.kick(pool, target);
        }
    }
}
