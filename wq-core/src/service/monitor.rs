//! The backup monitor: sees what the spotters cannot, later.
//!
//! A CPU that others keep busy, a kernel without idle class or state files, an item that burns
//! CPU, a taker that stopped half-way: once a millisecond while work waits it looks at the lanes
//! that did not move since its last look, and less often while all do (`policy/pace.rs`). A round
//! that is itself late judges nobody (the whole process may have been stopped). With nothing to do
//! it backs off and in the end sleeps.

mod bh;
mod distress;
mod excess;
mod marks;
mod names;
mod watchdog;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::lane::Lane;
use crate::os;
use crate::policy::{self, Activity, Company, Fault, Pace};
use crate::pool::Pool;
use crate::proto::owner::OwnerView;
use crate::sense::{Look, Sensor};
use crate::system::SystemInner;
use crate::worker::Worker;

use distress::Distress;
use excess::Excess;
use marks::Marks;
use watchdog::Watchdog;

/// What the last round saw of a lane.
#[derive(Clone, Copy, Debug)]
struct Seen {
    view: OwnerView,
    /// Its owner slept, or was about to get up: this tells how far it had come, and no more.
    rests: bool,
    starts: u64,
    /// CPU time of the owner's thread when this item was first seen.
    cpu_at_first: Option<Duration>,
    /// When that was.
    first_ns: u64,
}

impl Seen {
    /// An item that was not there at the last look, of a worker whose CPU time is to be noted.
    fn first(view: OwnerView, starts: u64, worker: Option<&Worker>) -> Seen {
        let tid = worker.and_then(Worker::tid);
        let cpu_at_first = tid.and_then(|tid| os::thread_cpu_time(tid).ok());
        Seen {
            view,
            rests: false,
            starts,
            cpu_at_first,
            first_ns: os::monotonic_ns(),
        }
    }

    /// A lane whose owner sleeps for lack of work, or gets up for some.
    fn resting(view: OwnerView, starts: u64) -> Seen {
        Seen {
            rests: true,
            ..Seen::first(view, starts, None)
        }
    }

    /// Whether the same owner has begun items since the last round, one after the other.
    fn moved_since(&self, before: Option<&Seen>, passed: Duration) -> bool {
        before.is_some_and(|before| {
            let same = self.view.worker() == before.view.worker();
            same && policy::moves(self.starts.saturating_sub(before.starts), passed)
        })
    }
}

/// What the last round saw.
#[derive(Debug, Default)]
struct Memory {
    /// Lanes, by pool and slot.
    lanes: HashMap<(u32, usize), Seen>,
    /// Workers.
    marks: Marks,
    /// Workers that run beyond the lanes.
    excess: Excess,
    /// Pools that want a worker.
    distress: Distress,
    /// Pools that stand still.
    watchdog: Watchdog,
}

/// The body of the thread.
pub(super) fn run(system: &Arc<SystemInner>) {
    let mut memory = Memory::default();
    let mut pace = Pace::fresh(system.company());
    let mut last = os::monotonic_ns();
    while !system.is_stopped() {
        let hurried = doze(system, pace, system.company());
        let company = system.company();
        let now = os::monotonic_ns();
        let mut passed = Duration::from_nanos(now.saturating_sub(last));
        if pace.note_arrival(passed) {
            memory.lanes.clear();
            memory.watchdog.excuse(passed);
            passed = Duration::ZERO;
        } else if company == Company::Nobody && passed < pace.pause {
            // Woken: work has begun to wait where no spotter looks.
            pace = Pace::fresh(company);
        } else if hurried {
            pace = pace.hurried();
        }
        last = now;
        let found = round(system, &mut memory, passed);
        if found > Activity::Idle {
            system.follow_limits(now);
        }
        if found < Activity::Waiting {
            system.disarm_unspotted();
        }
        pace = pace.next(found, company);
        if pace.is_over(company) {
            system.monitor_armed.disarm();
            let found = round(system, &mut memory, Duration::ZERO);
            if found == Activity::Idle && !system.is_stopped() {
                system.monitor.park(None);
            }
            // Whoever woke us armed; after a busy last look we do it ourselves.
            let _ = system.monitor_armed.arm();
            // It tells nothing of what runs now.
            memory.lanes.clear();
            (pace, last) = (Pace::fresh(company), os::monotonic_ns());
        }
    }
}

/// The pause between two rounds. A long one is cut short when work begins to wait: true.
fn doze(system: &SystemInner, pace: Pace, company: Company) -> bool {
    let long = pace.is_long(company);
    // Relaxed, here and below: a hint; see `hurry_monitor`.
    system.monitor_dozes.store(long, Ordering::Relaxed);
    if long {
        system.cpus.iter().for_each(|cpu| cpu.armed.expect_hurry());
    }
    system.monitor.park(Some(pace.pause));
    long && !system.monitor_dozes.swap(false, Ordering::Relaxed)
}

/// Looks at all lanes, and at all workers. The last round was `passed` ago; zero if that says
/// nothing of what happened meanwhile.
fn round(system: &Arc<SystemInner>, memory: &mut Memory, passed: Duration) -> Activity {
    let pools: Vec<Arc<Pool>> = system.lock_pools().clone();
    let mut activity = Activity::Idle;
    let (mut raised, mut moves) = (false, false);
    let spotted = system.company() == Company::Spotters;
    let away: u32 = pools.iter().map(|pool| pool.away()).sum();
    system.stats.away_peak.at_least(u64::from(away));
    memory.excess.round(system, &pools, passed);
    names::round(system, os::monotonic_ns());
    for pool in &pools {
        for (slot, lane) in pool.lanes().iter().enumerate() {
            let found = look_at_lane(system, &mut memory.lanes, pool, slot, lane, passed);
            raised |= pool.attrs.nice < 0 && !lane.view().is_vacant();
            moves |= found == Activity::Moving && lane.has_work();
            // Without spotters all that waits is to be looked at.
            let found = match found {
                Activity::Moving if !spotted && lane.has_work() => Activity::Waiting,
                found => found,
            };
            activity = activity.max(found);
        }
        if pool.burners.has_waiting() {
            look_at_burners(system, pool);
            activity = activity.max(Activity::Waiting);
        }
    }
    let now_ns = os::monotonic_ns();
    memory.distress.round(system, &pools, now_ns);
    memory.watchdog.round(system, &pools, now_ns);
    if bh::round(system) {
        activity = activity.max(Activity::Busy);
    }
    if system.sensors.any() && memory.marks.round(system, os::monotonic_ns()) {
        activity = activity.max(Activity::Dear);
    }
    match activity {
        // Who looks seldom is to be called for work of a high priority, where there is any of late.
        Activity::Moving if raised => Activity::Both,
        Activity::Busy if moves => Activity::Both,
        found => found,
    }
}

/// The worker, if its use of CPU time is anybody's concern.
fn judged<'a>(system: &SystemInner, worker: &'a Worker) -> Option<&'a Worker> {
    system.sensors.any().then_some(worker)
}

/// Known burners wait for a turn: takes it from who sleeps instead of burning, without having said
/// so, and gives one more if nothing moves.
fn look_at_burners(system: &Arc<SystemInner>, pool: &Pool) {
    for worker in system.records().filter(|w| w.has_turn(pool.id)) {
        let starts = worker.starts();
        let sleeps = system.look(worker).state.is_blocked();
        // A wrong guess is one burner more for a while.
        if sleeps && worker.starts() == starts && worker.end_turn() {
            system.start_burner(pool, pool.burners.pass_on());
        }
    }
    system.start_burner(pool, pool.burners.unstick());
}

/// Looks at one lane, `passed` after the last round.
fn look_at_lane(
    system: &Arc<SystemInner>,
    lanes: &mut HashMap<(u32, usize), Seen>,
    pool: &Arc<Pool>,
    slot: usize,
    lane: &Lane,
    passed: Duration,
) -> Activity {
    let key = (pool.id, slot);
    let before = lanes.remove(&key);
    let same_work = before.filter(|seen| !seen.rests);
    if !lane.has_work() {
        let Some(seen) = note_running(system, lane, same_work.as_ref()) else {
            return Activity::Idle;
        };
        lanes.insert(key, seen);
        return if seen.rests {
            Activity::Idle
        } else if seen.moved_since(before.as_ref(), passed) {
            Activity::Moving
        } else if lane.is_costly() {
            Activity::Dear
        } else {
            Activity::Busy
        };
    }
    let Some(seen) = judge(system, pool, lane, same_work) else {
        return Activity::Acted;
    };
    lanes.insert(key, seen);
    if pool.attrs.nice < 0 {
        Activity::Highpri
    } else if seen.moved_since(before.as_ref(), passed) {
        Activity::Moving
    } else {
        Activity::Waiting
    }
}

/// Notes the item that a lane runs while nothing waits, so that it can be judged at once when
/// something does; or that its owner sleeps. `None`: it has none.
fn note_running(system: &Arc<SystemInner>, lane: &Lane, before: Option<&Seen>) -> Option<Seen> {
    let view = lane.view();
    if view.is_vacant() {
        return None;
    }
    let worker = system.worker(view.worker());
    let starts = worker.starts();
    if !view.is_running() {
        return Some(Seen::resting(view, starts));
    }
    if let Some(seen) = before.filter(|b| b.view == view && b.starts == starts) {
        return Some(*seen);
    }
    Some(Seen::first(view, starts, judged(system, worker)))
}

/// Looks at a lane in which work waits. What to remember for the next round.
fn judge(
    system: &Arc<SystemInner>,
    pool: &Arc<Pool>,
    lane: &Lane,
    before: Option<Seen>,
) -> Option<Seen> {
    let view = lane.owner.notice();
    if !view.is_revoked() && (view.is_vacant() || view.is_parked() || view.is_blocking()) {
        return rescue(system, pool, lane, view, before);
    }
    let worker = system.worker(view.worker());
    let starts = worker.starts();
    let first = before.filter(|b| b.view == view && b.starts == starts);
    let Some(seen) = first else {
        // A sleeping owner needs no second look; one that runs may be about to end its item.
        return match system.examine(pool, lane, Sensor::Monitor, 0) {
            Look::Acted => None,
            Look::Waking => Some(Seen::resting(view, starts)),
            _ => Some(Seen::first(view, starts, judged(system, worker))),
        };
    };
    if view.is_revoked() {
        // A taker stopped half-way and the owner does not come back: take over its attempt.
        let asleep = view.is_blocking() || system.look(worker).state.is_blocked();
        if !view.is_stealing() && asleep {
            system.take_over(pool, lane, view, Sensor::Monitor);
        }
        return Some(seen);
    }
    let lasts_ns = os::monotonic_ns().saturating_sub(seen.first_ns);
    match system.examine(pool, lane, Sensor::Monitor, lasts_ns) {
        Look::Acted => None,
        Look::Waking => Some(Seen::resting(view, starts)),
        look @ (Look::Running | Look::Unseen) => {
            judge_hog(system, pool, lane, seen, look == Look::Running)
        }
        Look::Fine | Look::Blocked | Look::Refused => Some(seen),
    }
}

/// A lane that nobody runs although work waits. That may be a wake-up on its way, whose maker was
/// preempted; if it lasts, somebody has to act in its place.
fn rescue(
    system: &Arc<SystemInner>,
    pool: &Arc<Pool>,
    lane: &Lane,
    view: OwnerView,
    before: Option<Seen>,
) -> Option<Seen> {
    // An owner that ran in between has parked anew, which the word does not show.
    let starts = if view.is_vacant() {
        0
    } else {
        system.worker(view.worker()).starts()
    };
    let now = os::monotonic_ns();
    let same = |b: &Seen| b.view == view && b.starts == starts;
    let Some(seen) = before.filter(same) else {
        return Some(Seen::first(view, starts, None));
    };
    // Relaxed: a setting.
    let patience = system.patience_ns.load(Ordering::Relaxed);
    if view.is_parked() && now.saturating_sub(seen.first_ns) < patience {
        return Some(seen);
    }
    if view.is_parked() {
        system.stats.rescues.raise();
    }
    system.kick_seen(pool, lane, view);
    Some(seen)
}

/// The owner does not sleep, or (not `can_see`) that cannot be told, and its item did not end since
/// the last round.
fn judge_hog(
    system: &Arc<SystemInner>,
    pool: &Arc<Pool>,
    lane: &Lane,
    seen: Seen,
    can_see: bool,
) -> Option<Seen> {
    if !system.sensors.any() {
        return Some(seen);
    }
    let worker = system.worker(seen.view.worker());
    let now = worker.tid().and_then(|tid| os::thread_cpu_time(tid).ok());
    let burnt = seen.cpu_at_first.zip(now);
    let grace_ns = system.hogs.knobs.grace_ns(pool.is_percpu());
    let standing = policy::Standing {
        stood: Duration::from_nanos(os::monotonic_ns().saturating_sub(seen.first_ns)),
        burnt: burnt.map(|(first, now)| now.saturating_sub(first)),
        can_see,
        grace: grace_ns.map(Duration::from_nanos),
    };
    // 0 where that is not known.
    let first_ns = seen.cpu_at_first.map_or(0, |first| first.as_nanos() as u64);
    let fault = policy::fault(standing);
    if fault == Some(Fault::Burns) {
        // Whether it loses its lane or what waits behind it.
        worker.note_standing_still(seen.starts, first_ns);
    }
    let sensor = match fault {
        None => return Some(seen),
        Some(Fault::Sleeps) => Sensor::Monitor,
        Some(Fault::Burns) if system.relieve(pool, lane, seen.view) => {
            system.stats.relieved.raise();
            return Some(seen);
        }
        Some(Fault::Burns) => Sensor::Hog(first_ns),
    };
    (!system.take_over(pool, lane, seen.view, sensor)).then_some(seen)
}
