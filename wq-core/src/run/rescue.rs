//! The life of a queue's rescuer: see `rescuer.rs` for what it is there for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::current::{Current, Role};
use crate::lane::{Advance, Holder, Lane, Search};
use crate::os;
use crate::pool::Pool;
use crate::proto::owner::Token;
use crate::queue::{BURIED, Ended, QueueInner, QueueRef};
use crate::route;
use crate::system::SystemInner;
use crate::worker::Worker;

use super::resume::give_up;
use super::{burn, settle_without_lane, tell};

/// Polls in one lane before it looks at the next one (kernel: `RESCUER_BATCH`).
const BATCH: usize = 16;

/// The body of the thread. The queue is pinned by whoever made it, for this thread to unpin.
pub(crate) fn rescuer_main(system: Arc<SystemInner>, queue: QueueRef, worker: Arc<Worker>) {
    worker.adopt_thread();
    let q = queue.get();
    super::set_up(&system, q.pool(0));
    system.thread_hooks.run();
    while !system.is_stopped() && q.flags() & BURIED == 0 {
        if !go_round(&system, queue, &worker) {
            worker.restore_name();
            // Idle means idle: whoever is in distress calls.
            worker.parker.park(None);
        }
    }
    worker.abandon_thread();
    // Relaxed: a hint for the monitor.
    system.nr_rescuers.fetch_sub(1, Ordering::Relaxed);
    // May free the queue:
    q.unpin();
    system.discarded.push(worker.id, &worker.spare);
    system.note_thread_gone();
}

/// Looks at each pool of the queue that has nobody to spare. True: there was something to do.
fn go_round(system: &Arc<SystemInner>, queue: QueueRef, worker: &Arc<Worker>) -> bool {
    let mut found = false;
    for pool in (0..).map_while(|n| queue.get().nth_pool(n)) {
        // Relaxed: a count for policy.
        if pool.nr_idle.load(Ordering::Relaxed) > 0 {
            pool.distress.set(false);
            continue;
        }
        if pool.lanes().iter().any(Lane::has_work) {
            found |= visit(system, queue, &pool, worker);
        }
    }
    found
}

/// Serves a pool as one of its own. True: something was rescued.
fn visit(
    system: &Arc<SystemInner>,
    queue: QueueRef,
    pool: &Arc<Pool>,
    worker: &Arc<Worker>,
) -> bool {
    worker.set_pool(pool);
    // A refusal means that the CPU went away; it then runs where it may.
    let _ = os::set_affinity(0, &pool.mask.load());
    let (system, pool) = (Arc::clone(system), Arc::clone(pool));
    Current::uncounted(system, pool, Arc::clone(worker)).enter(|current| {
        current.role.set(Role::Rescuer);
        let mut found = false;
        for (slot, lane) in current.pool.lanes().iter().enumerate() {
            // Who has been given a lane, and is not up yet, needs no help.
            if lane.view().is_waking() || current.system.is_stopped() {
                continue;
            }
            let pool = &current.pool;
            if let Some(token) = current
                .system
                .pick_up_lane(pool, slot, lane, &current.worker)
            {
                current.set_lane(Some((slot, token)));
                found |= hold(current, lane, token, queue);
                current.set_lane(None);
            }
        }
        found
    })
}

/// Polls what is of the queue in a lane, up to a batch, then gives the lane up. True: there was
/// something.
fn hold(current: &Current, lane: &Lane, token: Token, queue: QueueRef) -> bool {
    let (system, pool) = (&current.system, &current.pool);
    let holder = Holder {
        mark: &current.worker.mark,
        token,
    };
    pool.note_used(pool.slot_of(lane));
    let mut search = Search::new(queue);
    let mut ended: Option<Ended> = None;
    let mut rescued = 0;
    loop {
        if let Some(next) = ended.as_ref().and_then(Ended::release_slot) {
            let queue = next.meta().queue;
            route::start(queue.get(), Some(current), next);
        }
        // Relaxed: a count for policy. A worker that may run everything takes the lane on.
        let relieved = pool.nr_idle.load(Ordering::Relaxed) > 0;
        let over = (relieved || rescued == BATCH) && !search.goes_on();
        let next = if over {
            lane.settle(pool, holder, ended.as_mut())
        } else {
            lane.advance_search(pool, holder, ended.as_mut(), &mut search)
        };
        match next {
            Advance::Item(entry) => {
                tell(&mut ended);
                ended = burn::rescue(current, lane, entry);
                count(queue.get());
                rescued += 1;
            }
            Advance::Empty => {
                tell(&mut ended);
                if !search.goes_on() && give_up(system, pool, lane, token, over) {
                    return rescued > 0;
                }
            }
            Advance::Lost => {
                settle_without_lane(current, &mut ended);
                return rescued > 0;
            }
        }
    }
}

/// Counts a rescue.
fn count(queue: &QueueInner) {
    if let Some(rescuer) = queue.rescuer.get() {
        rescuer.rescued.raise();
    }
}
