//! The thread maker: the manager role of all pools, the reaper and the digger of graves.
//!
//! A pool that finds no spare marks itself and wakes this thread, which makes a worker for each
//! lane that stands still and one in reserve. Refused by the machine, it backs off and
//! tries again until the need is gone; items with a lane go on meanwhile.

mod growth;
pub(crate) mod rescuers;
mod stall;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::lane::Lane;
use crate::policy::Room;
use crate::pool::Pool;
use crate::run;
use crate::sense::Sensor;
use crate::system::{CpuRecord, MAX_WORKERS, SystemInner};
use crate::worker::Worker;
use crate::{os, policy};

use super::spotter;
use growth::{Growth, Memory};

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
    rescuers::end(system);
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
    rescuers::serve(system);
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

/// Makes the workers that a pool needs: one for each lane that stands still, and a reserve of one.
fn serve(system: &Arc<SystemInner>, pool: &Arc<Pool>, growth: &mut Growth) -> Round {
    // From here on a new request counts as new. Relaxed: the wake-up orders it.
    pool.managing.store(false, Ordering::Relaxed);
    if pool.attrs.bh {
        return serve_bh(system, pool);
    }
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
            // The request stands until the next try, also while one that was made is not up yet:
            // a rescuer that is called below finds no spare, and would ask again and be called
            // again for as long as that one waits for a CPU.
            if !policy::may_start_working(pool.load(true, 0)) {
                pool.managing.store(true, Ordering::Relaxed);
            }
            // Relaxed: as above. One that was made and is not up yet looks by itself: see below.
            let nobody_comes = pool.wanted.load(Ordering::Relaxed) == 0;
            if nobody_comes || pool.nr_idle.load(Ordering::Relaxed) > 0 {
                look_at_lanes(system, pool);
            }
            pool.distress.set(true);
            system.call_rescuers(pool);
            return round;
        }
        made += 1;
    }
    pool.distress.set(false);
    // Relaxed: as above.
    if made == 0 && pool.nr_idle.load(Ordering::Relaxed) > 0 {
        // Whoever asked found no spare and went away; one has come back since, and nobody has
        // told it of the lane. A new worker looks by itself: to look before it is up would end
        // in another request, and in a loop for as long as it waits for a CPU.
        look_at_lanes(system, pool);
    }
    Round::Done
}

/// Makes the BH thread of a CPU, if there is none.
fn serve_bh(system: &Arc<SystemInner>, pool: &Arc<Pool>) -> Round {
    let record = &system.cpus[system.ordinal(pool.lanes()[0].cpu)];
    if record.bh.get().is_none() {
        match make_thread(system, pool, "0", run::bh::bh_main) {
            Ok(worker) => {
                // This thread alone sets it.
                let _ = record.bh.set(worker);
            }
            Err(why) => {
                say_refused(system, &why);
                // Relaxed: as in `serve`.
                pool.managing.store(true, Ordering::Relaxed);
                return Round::Refused;
            }
        }
    }
    // Whoever asked did not find it, and who came since may not have either.
    system.wake_bh(pool);
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
    let room = growth.room(system, pool);
    if pool.nears_bound() {
        keep_resumer(system, pool);
    }
    if let Some(line) = growth.new_stall(system, pool) {
        system.tell(line);
    }
    if room == Room::Full {
        system.stats.at_bound.raise();
        have_resumed(system, pool);
        return Round::AtBound;
    }
    match make_worker(system, pool) {
        Ok(()) => Round::Done,
        Err(error) => {
            say_refused(system, &error);
            have_resumed(system, pool);
            Round::Refused
        }
    }
}

/// Why there is no new thread.
#[derive(Debug)]
enum NotMade {
    /// The machine said no.
    Refused(io::Error),
    /// All numbers are in use.
    NoNumber,
}

/// Counts a thread that could not be made; the first time of each kind it is said.
fn say_refused(system: &SystemInner, why: &NotMade) {
    let (said, what) = match why {
        NotMade::Refused(error) => {
            system.stats.creation_failures.raise();
            let what = format!("the machine refused a worker thread ({error})");
            (&system.said_no_thread, what)
        }
        NotMade::NoNumber => {
            system.stats.at_bound.raise();
            let what = format!("the System has {MAX_WORKERS} workers, which is all it can have");
            (&system.said_no_number, what)
        }
    };
    // Relaxed: this thread alone reads and writes it.
    if !said.swap(true, Ordering::Relaxed) {
        // Not by a thread that would have to be made for it.
        crate::guard::say(format_args!(
            "wq: {what}; items go on with those there are, and another try follows in {COOLDOWN:?}"
        ));
    }
}

/// Makes the thread of one worker.
fn make_worker(system: &Arc<SystemInner>, pool: &Arc<Pool>) -> Result<(), NotMade> {
    for lane in pool.lanes() {
        watch_cpu(system, lane.cpu);
    }
    // Relaxed: only this thread counts.
    let serial = pool.next_serial.fetch_add(1, Ordering::Relaxed);
    // Counted before it runs: it may be claimed at once. Relaxed: policy counts.
    pool.nr_workers.fetch_add(1, Ordering::Relaxed);
    pool.wanted.fetch_add(1, Ordering::Relaxed);
    let made = make_thread(system, pool, &serial.to_string(), run::worker_main);
    if made.is_err() {
        pool.nr_workers.fetch_sub(1, Ordering::Relaxed);
        pool.wanted.fetch_sub(1, Ordering::Relaxed);
    }
    made.map(drop)
}

/// Sees to it that a pool near its bound has somebody to resume items when all others wait.
fn keep_resumer(system: &Arc<SystemInner>, pool: &Arc<Pool>) {
    if pool.resumer.exists() {
        return;
    }
    match make_thread(system, pool, "resume", run::resume::resumer_main) {
        Ok(record) => pool.resumer.set(record.id),
        Err(why) => say_refused(system, &why),
    }
}

/// The pool gets no worker: what can be resumed is.
fn have_resumed(system: &SystemInner, pool: &Pool) {
    // Before the call, so that who is called finds itself on duty.
    pool.resumer.set_on_duty(pool.resumer.exists());
    system.call_resumer(pool);
}

/// Makes a thread of a pool, with a record.
fn make_thread(
    system: &Arc<SystemInner>,
    pool: &Arc<Pool>,
    name: &str,
    body: fn(Arc<SystemInner>, Arc<Pool>, Arc<Worker>),
) -> Result<Arc<Worker>, NotMade> {
    // Relaxed: a switch for tests.
    if system.refuse_threads.load(Ordering::Relaxed) {
        return Err(NotMade::Refused(io::ErrorKind::WouldBlock.into()));
    }
    let record = system.new_record().ok_or(NotMade::NoNumber)?;
    let high = if pool.attrs.nice < 0 { "H" } else { "" };
    let name = format!("{}/{}:{name}{high}", system.tag, pool.label());
    record.set_name(&name);
    record.set_pool(pool);
    system.note_thread();
    let (its_system, its_pool, its_record) =
        (Arc::clone(system), Arc::clone(pool), Arc::clone(&record));
    let spawned = os::spawn_thread(name, move || body(its_system, its_pool, its_record));
    if let Err(error) = spawned {
        system.note_thread_gone();
        system.discarded.push(record.id, &record.spare);
        return Err(NotMade::Refused(error));
    }
    Ok(record)
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
