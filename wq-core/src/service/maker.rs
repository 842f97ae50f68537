//! The thread maker: the manager role of all pools, the reaper and the digger of graves.
//!
//! A pool that finds no spare marks itself and wakes this thread, which makes a worker for each
//! lane that stands still and one in reserve. Refused by the machine, it backs off and
//! tries again until the need is gone; items with a lane go on meanwhile.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::lane::Lane;
use crate::policy::Room;
use crate::pool::Pool;
use crate::proto::owner::WorkerId;
use crate::run;
use crate::sense::Sensor;
use crate::system::{CpuRecord, SystemInner};
use crate::{os, policy};

use super::spotter;

/// After the machine refused a thread (kernel: `CREATE_COOLDOWN`).
const COOLDOWN: Duration = Duration::from_secs(1);
/// A pool at its bound gets one more worker in this time, if it still stands still.
const AT_BOUND: Duration = Duration::from_millis(100);
/// A grave that somebody still looks into is tried again after this.
const GRAVE_RETRY: Duration = Duration::from_millis(1);

/// How the maker's round went.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Round {
    /// Nothing left to do.
    Done,
    /// Try again soon.
    Graves,
    /// A pool is at its bound.
    AtBound,
    /// The machine refused a thread.
    Refused,
}

/// The body of the thread.
pub(super) fn run(system: &Arc<SystemInner>) {
    let mut memory = Memory::new();
    while !system.is_stopped() {
        let pause = match round(system, &mut memory) {
            Round::Done => None,
            Round::Graves => Some(GRAVE_RETRY),
            Round::AtBound => Some(AT_BOUND),
            Round::Refused => Some(COOLDOWN),
        };
        system.maker.park(pause);
    }
}

/// Serves every pool that asked, and frees queues.
fn round(system: &Arc<SystemInner>, memory: &mut Memory) -> Round {
    let pools: Vec<Arc<Pool>> = system.lock_pools().clone();
    let mut worst = Round::Done;
    for pool in &pools {
        // Acquire: pairs with the swap of the one who asked, by way of the wake-up.
        if pool.managing.load(Ordering::Acquire) {
            worst = worst.max(serve(
                system,
                pool,
                memory.entry(pool.id).or_insert_with(Growth::new),
            ));
        }
    }
    system.shutdown_if_asked();
    system.serve_reports();
    system.reap();
    system.dig();
    if system.has_graves() {
        worst.max(Round::Graves)
    } else {
        worst
    }
}

/// What the maker remembers of the pools, by number.
type Memory = HashMap<u32, Growth>;

/// What it remembers of one.
#[derive(Debug)]
struct Growth {
    /// Since when nothing ended and nothing was added, ns; `None`: the pool is below its bound.
    still_since_ns: Option<u64>,
    /// The pool's returns by then, and what its lanes' owners had ended.
    still: (u32, Vec<(WorkerId, u64)>),
}

impl Growth {
    /// Of a pool that asks for the first time.
    fn new() -> Growth {
        Growth {
            still_since_ns: None,
            still: (0, Vec::new()),
        }
    }

    /// Looks at a pool that is at its bound: whether nothing has ended for [`AT_BOUND`].
    fn stands_still(&mut self, system: &SystemInner, pool: &Pool) -> bool {
        let ended = |lane: &Lane| match lane.view().worker() {
            0 => (0, 0),
            id => {
                let worker = system.worker(id);
                (
                    id,
                    worker
                        .starts()
                        .saturating_sub(u64::from(worker.is_in_item())),
                )
            }
        };
        // Relaxed: a statistic.
        let returns = pool.returns.load(Ordering::Relaxed);
        let now: Vec<_> = pool.lanes().iter().map(ended).collect();
        // A lane with a new owner says nothing: that one was added, or has been told by `returns`.
        let moved =
            |(was, is): (&(WorkerId, u64), &(WorkerId, u64))| was.0 == is.0 && was.1 != is.1;
        let moves = returns != self.still.0 || self.still.1.iter().zip(&now).any(moved);
        self.still = (returns, now);
        let now_ns = os::monotonic_ns();
        let since = *self.still_since_ns.get_or_insert(now_ns);
        if moves {
            self.still_since_ns = Some(now_ns);
        }
        !moves && u128::from(now_ns.saturating_sub(since)) >= AT_BOUND.as_nanos()
    }

    /// Whether the pool may have one worker more.
    fn room(&mut self, system: &SystemInner, pool: &Pool) -> Room {
        // Relaxed: this thread alone raises it.
        let workers = pool.nr_workers.load(Ordering::Relaxed);
        if workers < pool.bound {
            self.still_since_ns = None;
            return policy::room(workers, pool.bound, false);
        }
        let room = policy::room(workers, pool.bound, self.stands_still(system, pool));
        if room == Room::OneMore {
            self.still_since_ns = Some(os::monotonic_ns());
        }
        room
    }
}

/// Makes the workers that a pool needs: one for each lane that stands still, and a reserve of one.
fn serve(system: &Arc<SystemInner>, pool: &Arc<Pool>, growth: &mut Growth) -> Round {
    // From here on a new request counts as new. Relaxed: the wake-up orders it.
    pool.managing.store(false, Ordering::Relaxed);
    let stalled = |lane: &&Lane| {
        let view = lane.view();
        // A parked owner has been woken, or will be.
        lane.has_work() && !view.is_running() && !view.is_parked()
    };
    let needed = pool.lanes().iter().filter(stalled).count() as u32 + 1;
    // Relaxed: policy counts; this thread alone raises `nr_workers`.
    let coming = || pool.nr_idle.load(Ordering::Relaxed) + pool.wanted.load(Ordering::Relaxed);
    let mut made = 0;
    while coming() < needed && made < needed {
        let round = make_one(system, pool, growth);
        if round != Round::Done {
            if policy::need_to_create_worker(pool.load(true, 0)) {
                pool.managing.store(true, Ordering::Relaxed);
            }
            look_at_lanes(system, pool);
            return round;
        }
        made += 1;
    }
    // Relaxed: as above.
    if made == 0 && pool.nr_idle.load(Ordering::Relaxed) > 0 {
        // Whoever asked found no spare and went away; one has come back since, and nobody has
        // told it of the lane. A new worker looks by itself: to look before it is up would end
        // in another request, and in a loop for as long as it waits for a CPU.
        look_at_lanes(system, pool);
    }
    Round::Done
}

/// Gives lanes that stand still to the spares that there are; without one this asks again.
fn look_at_lanes(system: &SystemInner, pool: &Pool) {
    for lane in pool.lanes() {
        system.examine(pool, lane, Sensor::Monitor, u64::MAX);
    }
}

/// Makes one worker.
fn make_one(system: &Arc<SystemInner>, pool: &Arc<Pool>, growth: &mut Growth) -> Round {
    if growth.room(system, pool) == Room::Full {
        system.stats.at_bound.raise();
        return Round::AtBound;
    }
    match try_make(system, pool) {
        Ok(()) => Round::Done,
        Err(error) => {
            system.stats.creation_failures.raise();
            // Relaxed: at worst it is said twice.
            if !system.said_no_thread.swap(true, Ordering::Relaxed) {
                eprintln!(
                    "wq: the machine refused a worker thread ({error}); items go on with those \
                     there are, and another try follows in {COOLDOWN:?}"
                );
            }
            Round::Refused
        }
    }
}

/// Makes the thread of one worker.
fn try_make(system: &Arc<SystemInner>, pool: &Arc<Pool>) -> io::Result<()> {
    // Relaxed: a switch for tests.
    if system.refuse_threads.load(Ordering::Relaxed) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let record = system
        .new_record()
        .ok_or_else(|| io::Error::other("all worker numbers of the System are in use"))?;
    for lane in pool.lanes() {
        watch_cpu(system, lane.cpu);
    }
    // Relaxed: only this thread counts.
    let serial = pool.next_serial.fetch_add(1, Ordering::Relaxed);
    let high = if pool.attrs.nice < 0 { "H" } else { "" };
    let name = format!("{}/{}:{serial}{high}", system.tag, pool.label());
    record.set_name(&name);
    record.set_pool(pool);
    // Counted before it runs: it may be claimed at once. Relaxed: policy counts.
    pool.nr_workers.fetch_add(1, Ordering::Relaxed);
    pool.wanted.fetch_add(1, Ordering::Relaxed);
    system.note_thread();
    let (its_system, its_pool, its_record) =
        (Arc::clone(system), Arc::clone(pool), Arc::clone(&record));
    let spawned = os::spawn_thread(name, move || {
        run::worker_main(its_system, its_pool, its_record);
    });
    if let Err(error) = spawned {
        pool.nr_workers.fetch_sub(1, Ordering::Relaxed);
        pool.wanted.fetch_sub(1, Ordering::Relaxed);
        system.note_thread_gone();
        system.discarded.push(record.id, &record.spare);
        return Err(error);
    }
    Ok(())
}

/// Starts the spotter of a CPU when its first worker is made.
fn watch_cpu(system: &Arc<SystemInner>, cpu: usize) {
    let record: &CpuRecord = &system.cpus[system.ordinal(cpu)];
    // Relaxed: only this thread writes it.
    if !system.sensors.spotters() || record.watched.swap(true, Ordering::Relaxed) {
        return;
    }
    let served = Arc::clone(system);
    let name = format!("{}/spot:{cpu}", system.tag);
    system.note_thread();
    // Until it says otherwise.
    record.spotter_found.note(&Ok(()));
    let spawned = os::spawn_thread(name, move || {
        let record = &served.cpus[served.ordinal(cpu)];
        spotter::run(&served, record);
        served.note_thread_gone();
    });
    if spawned.is_err() {
        record.spotter_found.note(&spawned);
        // The monitor sees what the spotter would have seen, later.
        system.note_thread_gone();
    }
}
