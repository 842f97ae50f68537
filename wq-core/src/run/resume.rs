//! The life of a pool's resumer: see `resumer.rs` for what it is there for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::current::Current;
use crate::hook::{self, Point};
use crate::lane::{Advance, Holder, Lane};
use crate::os;
use crate::pool::Pool;
use crate::proto::owner::Token;
use crate::queue::Ended;
use crate::route;
use crate::system::SystemInner;
use crate::worker::Worker;

use super::{execute, set_up, settle_without_lane, tell};

/// The body of the thread.
pub(crate) fn resumer_main(system: Arc<SystemInner>, pool: Arc<Pool>, worker: Arc<Worker>) {
    worker.adopt_thread();
    set_up(&system, &pool);
    Current::uncounted(system, pool, worker).enter(|current| {
        current.system.thread_hooks.run();
        serve(current);
        leave(current);
    });
}

/// Works whenever it is called, until the pool has been below its bound for long.
fn serve(current: &Current) {
    let (system, pool) = (&current.system, &current.pool);
    let mut last_needed = os::now();
    while !system.is_stopped() {
        while go_round(current) {}
        // Relaxed, here and below: policy counts.
        if pool.nr_idle.load(Ordering::Relaxed) > 0 {
            pool.resumer.set_on_duty(false);
        }
        if pool.resumer.is_on_duty() || pool.nears_bound() {
            last_needed = os::now();
        } else if os::now().duration_since(last_needed) >= system.keep_alive {
            return;
        }
        current.worker.parker.park(Some(system.keep_alive));
    }
}

/// Its record may have another thread afterwards.
fn leave(current: &Current) {
    let (system, worker) = (&current.system, &current.worker);
    current.pool.resumer.set_on_duty(false);
    current.pool.resumer.set(0);
    worker.abandon_thread();
    system.discarded.push(worker.id, &worker.spare);
    system.note_thread_gone();
}

/// Takes each lane that stands still, for as long as there is something to resume in it. True:
/// there was something.
fn go_round(current: &Current) -> bool {
    let (system, pool) = (&current.system, &current.pool);
    let mut found = false;
    for (slot, lane) in pool.lanes().iter().enumerate() {
        if system.is_stopped() {
            return false;
        }
        if let Some(token) = system.pick_up_lane(pool, slot, lane, &current.worker) {
            current.set_lane(Some((slot, token)));
            found |= hold(current, lane, token);
            current.set_lane(None);
        }
    }
    found
}

/// Runs what has run before in a lane, then gives the lane up. True: there was something.
fn hold(current: &Current, lane: &Lane, token: Token) -> bool {
    let (system, pool) = (&current.system, &current.pool);
    let holder = Holder {
        mark: &current.worker.mark,
        token,
    };
    pool.note_used(pool.slot_of(lane));
    let mut ended: Option<Ended> = None;
    let mut found = false;
    loop {
        if let Some(next) = ended.as_ref().and_then(Ended::release_slot) {
            let queue = next.meta().queue;
            route::start(queue.get(), Some(current), next);
        }
        // Relaxed: a count for policy. A worker that may run everything takes the lane on.
        let relieved = pool.nr_idle.load(Ordering::Relaxed) > 0;
        let next = if relieved {
            lane.settle(pool, holder, ended.as_mut())
        } else {
            lane.advance_resumed(pool, holder, ended.as_mut())
        };
        match next {
            Advance::Item(entry) => {
                found = true;
                tell(&mut ended);
                ended = execute(current, lane, entry);
            }
            Advance::Empty => {
                tell(&mut ended);
                if give_up(system, pool, lane, token, relieved) {
                    return found;
                }
            }
            Advance::Lost => {
                settle_without_lane(current, &mut ended);
                return found;
            }
        }
    }
}

/// Leaves the lane to nobody, or (`relieved`, with all that waits) to a spare worker: who comes
/// back from a block takes it as well. False: something came, or somebody is at the lane's word.
pub(crate) fn give_up(
    system: &SystemInner,
    pool: &Pool,
    lane: &Lane,
    token: Token,
    relieved: bool,
) -> bool {
    hook::at(Point::Vacate);
    if !lane.owner.announce_park(token) {
        return false;
    }
    // What came before the announcement saw an owner that runs, and left it to that one.
    if !relieved && !lane.inbox.is_empty() {
        // Whoever was faster wanted this worker awake, which it is.
        let _ = lane.owner.cancel_park(token) || lane.owner.take_up(token);
        return false;
    }
    pool.note_unused(pool.slot_of(lane));
    if !lane.owner.vacate(token) {
        let _ = lane.owner.take_up(token);
        pool.note_used(pool.slot_of(lane));
        return false;
    }
    if lane.has_work() {
        system.kick(pool, lane);
    }
    true
}
