//! What a worker does that has nothing to do: looks around, then sleeps with its lane in hand.
//!
//! An idle worker is also who waits for the outside world and for timers, in place of sleeping for
//! nothing: what it hears of goes to its own lane, without a change of threads. One waits for
//! each (`outside.rs`, `Timers::keep`); if that one is woken for something else, or stays inside an
//! item, the service threads stand in after a moment.

use std::time::Duration;

use crate::current::Current;
use crate::hook::{self, Point};
use crate::lane::{Holder, Lane};
use crate::os;
use crate::outside::{self, Poller};
use crate::policy;
use crate::proto::owner::Token;

/// A look around before a sleep: what has happened already costs no announcement of the sleep, and
/// no moment awake. True: there is work.
pub(super) fn look_around(current: &Current, lane: &Lane) -> bool {
    let poller = outside::poller().filter(|_| may_listen(current));
    let found = poller.is_some_and(|poller| {
        current
            .homes
            .delivering(os::monotonic_ns(), || poller.peek())
    });
    (fire_timers(current) || found) && lane.has_work()
}

/// A busy worker's look at timers and at the outside world, now and then between items.
pub(super) fn glance(current: &Current, now_ns: u64) {
    current.leaves_news.set(false);
    if let Some(poller) = outside::poller().filter(|_| may_listen(current)) {
        current.homes.delivering(now_ns, || poller.glance(now_ns));
    }
    fire_timers(current);
}

/// Fires timers that are due, some at most. True: there were some.
fn fire_timers(current: &Current) -> bool {
    let timers = &current.system.timers;
    let is_due = may_keep(current) && timers.is_due(|| timers.now());
    if is_due {
        let mut due = current.due.take();
        timers.fire_some(&mut due);
        current.due.replace(due);
    }
    is_due
}

/// Nothing to do: sleeps with the lane in hand. False: the lane was given up.
pub(super) fn sleep(current: &Current, lane: &Lane, holder: Holder<'_>) -> bool {
    let slot = current.pool.slot_of(lane);
    hook::at(Point::Park);
    if !lane.owner.announce_park(holder.token) {
        return true;
    }
    current.pool.note_unused(slot);
    hook::at(Point::Parked);
    let kept = sleep_announced(current, lane, holder.token);
    if kept == Sleep::GivenUp {
        return false;
    }
    hook::at(Point::TakeUp);
    // If not, somebody who was awake has the lane, which the next section finds out.
    if kept != Sleep::Woken || lane.owner.take_up(holder.token) {
        current.pool.note_used(slot);
        // Idleness is no item's cost.
        lane.section(holder, |queue| queue.forget_gap());
    }
    if current.has_news.replace(false) {
        deliver(current, lane);
    }
    fire_timers(current);
    true
}

/// How a sleep with a lane in hand ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sleep {
    /// By the sleeper itself: the lane is still held.
    Over,
    /// Somebody wants it awake; the lane is to be taken up.
    Woken,
    /// The lane is nobody's.
    GivenUp,
}

/// The sleep itself, the announcement made.
fn sleep_announced(current: &Current, lane: &Lane, token: Token) -> Sleep {
    let since = os::now();
    loop {
        let load = current.pool.load(lane.has_work(), 1);
        if policy::keep_working(load) || current.system.is_stopped() {
            if lane.owner.cancel_park(token) {
                return Sleep::Over;
            }
            // The waker's token stays for the next sleep, which returns at once.
            return Sleep::Woken;
        }
        let surplus = policy::too_many_workers(current.pool.load(false, 0));
        let old = os::now().duration_since(since) >= current.system.keep_alive;
        if surplus && old {
            hook::at(Point::Vacate);
        }
        if surplus && old && lane.owner.vacate(token) {
            hook::at(Point::Vacate);
            if lane.has_work() {
                current.system.kick(&current.pool, lane);
            }
            return Sleep::GivenUp;
        }
        let something_came = wait(current, surplus.then_some(current.system.keep_alive));
        if something_came && lane.owner.cancel_park(token) {
            return Sleep::Over;
        }
        if !lane.owner.still_parked(token) {
            return Sleep::Woken;
        }
    }
}

/// Sleeps until it is woken, until something comes, or until `limit` is over; waits for timers and
/// for the outside world meanwhile, if nobody else does. True: something came.
fn wait(current: &Current, limit: Option<Duration>) -> bool {
    let timers = &current.system.timers;
    let until_first = may_keep(current).then(|| timers.keep(&current.worker));
    let until_first = until_first.flatten();
    let limit = until_first.into_iter().chain(limit).min();
    if until_first.is_some() {
        current.system.home.sleep_exactly();
    }
    let passes = current.leaves_news.replace(false);
    let poller = outside::poller().filter(|_| may_listen(current) && !passes);
    match poller.filter(|poller| poller.claim()) {
        Some(poller) => listen(current, poller, limit),
        None => nap(current, limit),
    }
    if until_first.is_some() {
        current.system.home.forget_exact();
        timers.end_keep();
    }
    current.has_news.get() || (until_first.is_some() && timers.is_due(|| timers.now()))
}

/// Whether this worker is one to fire timers. Who has a low priority might have to wait for its CPU
/// when the time has come, or with timers in hand that nobody else sees any more.
fn may_keep(current: &Current) -> bool {
    current.pool.attrs.nice <= 0
}

/// Whether this worker is one to wait for the outside world. Those of a raised or lowered priority
/// hear too often, or too late, of what concerns others.
fn may_listen(current: &Current) -> bool {
    current.pool.attrs.nice == 0
}

/// As [`nap`], but waits for the outside world, which it has the right to.
fn listen(current: &Current, poller: &dyn Poller, limit: Option<Duration>) {
    let worker = &current.worker;
    worker.fall_asleep();
    let waited = worker.parker.park_elsewhere(|| {
        current.has_news.set(poller.wait(limit));
    });
    if !waited {
        poller.abandon();
    }
    get_up(current);
}

/// Sleeps until there is a token. Whoever wakes this worker may have narrowed its mask for that;
/// the first act is to widen it again, before user code can start threads that inherit it.
pub(super) fn nap(current: &Current, limit: Option<Duration>) {
    let worker = &current.worker;
    worker.fall_asleep();
    worker.parker.park(limit);
    get_up(current);
}

/// The first act of whoever wakes up.
fn get_up(current: &Current) {
    if current.worker.wake_up() {
        // A refusal leaves it on the lane's CPU, which is right for it.
        let _ = os::set_affinity(0, &current.pool.mask.load());
    }
}

/// Wakes the tasks that this worker heard something for, which brings them to its lane. If none
/// came, they are others' business, and so is the next wait for the outside world: whoever was
/// woken hears of the next event first.
fn deliver(current: &Current, lane: &Lane) {
    let Some(poller) = outside::poller() else {
        return;
    };
    let woke = current
        .homes
        .delivering(os::monotonic_ns(), || poller.deliver());
    if woke && !lane.has_work() && !current.homes.took_some() {
        current.leaves_news.set(true);
        poller.pass_on();
    }
}
