//! The backup monitor: sees what the spotters cannot, later.
//!
//! A CPU that others keep busy, a kernel without idle class or state files, an item that burns
//! CPU, a taker that stopped half-way: once a millisecond while work waits it looks at the lanes
//! that did not move since its last look. A round that is itself late judges nobody (the whole
//! process may have been stopped). With nothing to do it backs off and in the end sleeps.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::lane::Lane;
use crate::os;
use crate::pool::Pool;
use crate::proto::owner::OwnerView;
use crate::sense::{Look, Sensor};
use crate::system::SystemInner;
use crate::worker::Worker;

/// Shortest and longest pause between rounds.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));
/// Pause while a lane of high priority waits.
const PAUSE_HIGHPRI: Duration = Duration::from_micros(200);
/// Pause after a lane was taken: a row of items that all sleep is worked off at this pace where
/// the spotter cannot.
const PAUSE_ACTED: Duration = Duration::from_micros(100);
/// After so long without any work the monitor sleeps until it is woken. Rounds would be no measure:
/// on a busy machine each is late, and a program is promised to be quiet after half a minute.
const IDLE_FOR: Duration = Duration::from_secs(10);
/// A round that comes this many times too late judges nobody.
const TOO_LATE: u32 = 10;
/// CPU time after which an unbound lane is relieved of an item that does not end.
const HANDOFF_GRACE: Duration = Duration::from_millis(1);
/// CPU time after which an item of a per-CPU lane counts as CPU intensive (the kernel's).
const CPU_INTENSIVE_THRESH: Duration = Duration::from_millis(10);

/// Where a thread's state cannot be seen, an item that lasts so long while work waits behind it
/// counts as blocked.
const BLIND_GRACE: Duration = Duration::from_millis(10);

/// What the last round saw of a lane with waiting work.
#[derive(Clone, Copy, Debug)]
struct Seen {
    view: OwnerView,
    starts: u64,
    /// CPU time of the owner's thread when this item was first seen.
    cpu_at_first: Option<Duration>,
    /// When that was.
    first_ns: u64,
}

impl Seen {
    /// An item that was not there at the last look.
    fn first(view: OwnerView, starts: u64, worker: &Worker) -> Seen {
        let cpu_at_first = worker.tid().and_then(|tid| os::thread_cpu_time(tid).ok());
        Seen {
            view,
            starts,
            cpu_at_first,
            first_ns: os::monotonic_ns(),
        }
    }
}

/// What a round found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Activity {
    /// No lane runs, nothing waits.
    Idle,
    /// Lanes run and nothing waits behind.
    Busy,
    /// As above, with items that last: work may wait behind one at any moment.
    Dear,
    /// Work waits.
    Waiting,
    /// Work of high priority waits.
    Highpri,
    /// A lane was taken from a sleeping worker; its next item may sleep as well.
    Acted,
}

/// Rounds with the same lane, by pool and slot.
type Memory = HashMap<(u32, usize), Seen>;

/// The body of the thread.
pub(super) fn run(system: &Arc<SystemInner>) {
    let mut memory = Memory::new();
    let mut pause = PAUSE.0;
    let mut last = os::monotonic_ns();
    let mut active = last;
    while !system.is_stopped() {
        system.monitor.park(Some(pause));
        let now = os::monotonic_ns();
        let late = now.saturating_sub(last) > (pause * TOO_LATE).as_nanos() as u64;
        last = now;
        if late {
            memory.clear();
        }
        let activity = round(system, &mut memory);
        if activity != Activity::Idle {
            active = now;
        }
        pause = match activity {
            Activity::Acted => PAUSE_ACTED,
            Activity::Highpri => PAUSE_HIGHPRI,
            Activity::Waiting | Activity::Dear => PAUSE.0,
            Activity::Busy | Activity::Idle => (pause * 2).clamp(PAUSE.0, PAUSE.1),
        };
        if now.saturating_sub(active) >= IDLE_FOR.as_nanos() as u64 {
            system.monitor_armed.disarm();
            if round(system, &mut memory) == Activity::Idle && !system.is_stopped() {
                system.monitor.park(None);
            }
            // Whoever woke us armed; after a busy last look we do it ourselves.
            let _ = system.monitor_armed.arm();
            (pause, last) = (PAUSE.0, os::monotonic_ns());
            active = last;
        }
    }
}

/// Looks at all lanes.
fn round(system: &Arc<SystemInner>, memory: &mut Memory) -> Activity {
    let pools: Vec<Arc<Pool>> = system.lock_pools().clone();
    let mut activity = Activity::Idle;
    for pool in &pools {
        for (slot, lane) in pool.lanes().iter().enumerate() {
            let key = (pool.id, slot);
            if !lane.has_work() {
                let Some(seen) = note_running(system, lane, memory.get(&key)) else {
                    memory.remove(&key);
                    continue;
                };
                memory.insert(key, seen);
                let dear = lane.is_costly();
                activity = activity.max(if dear { Activity::Dear } else { Activity::Busy });
                continue;
            }
            let high = pool.attrs.nice < 0;
            activity = activity.max(if high {
                Activity::Highpri
            } else {
                Activity::Waiting
            });
            let before = memory.get(&key).copied();
            match judge(system, pool, lane, before) {
                Some(seen) => memory.insert(key, seen),
                None => {
                    activity = Activity::Acted;
                    memory.remove(&key)
                }
            };
        }
    }
    activity
}

/// Notes the item that a lane runs while nothing waits, so that it can be judged at once when
/// something does.
fn note_running(system: &Arc<SystemInner>, lane: &Lane, before: Option<&Seen>) -> Option<Seen> {
    let view = lane.view();
    if !view.is_running() {
        return None;
    }
    let worker = system.worker(view.worker());
    let starts = worker.starts();
    if let Some(seen) = before.filter(|b| b.view == view && b.starts == starts) {
        return Some(*seen);
    }
    Some(Seen::first(view, starts, worker))
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
        let looked = system.examine(pool, lane, Sensor::Monitor, 0);
        if looked == Look::Acted {
            return None;
        }
        return Some(Seen::first(view, starts, worker));
    };
    if view.is_revoked() {
        // A taker stopped half-way and the owner does not come back: take over its attempt.
        let asleep = view.is_blocking() || worker.look().is_blocked();
        if !view.is_stealing() && asleep {
            system.take_over(pool, lane, view, Sensor::Monitor);
        }
        return Some(seen);
    }
    match system.examine(pool, lane, Sensor::Monitor, u64::MAX) {
        Look::Acted => None,
        Look::Running => judge_hog(system, pool, lane, seen),
        Look::Fine | Look::Blocked => Some(seen),
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
        return Some(Seen {
            view,
            starts,
            cpu_at_first: None,
            first_ns: now,
        });
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

/// The owner runs and its item did not end since the last round.
fn judge_hog(system: &Arc<SystemInner>, pool: &Arc<Pool>, lane: &Lane, seen: Seen) -> Option<Seen> {
    let stood_ns = os::monotonic_ns().saturating_sub(seen.first_ns);
    if !system.can_see && stood_ns >= BLIND_GRACE.as_nanos() as u64 {
        // It sleeps or it burns: nobody can tell here, and in both cases work has waited enough.
        return (!system.take_over(pool, lane, seen.view, Sensor::Monitor)).then_some(seen);
    }
    let worker = system.worker(seen.view.worker());
    let now = worker.tid().and_then(|tid| os::thread_cpu_time(tid).ok());
    let (Some(first), Some(now)) = (seen.cpu_at_first, now) else {
        return Some(seen);
    };
    let burnt = now.saturating_sub(first);
    let grace = if pool.is_percpu() {
        CPU_INTENSIVE_THRESH
    } else {
        HANDOFF_GRACE
    };
    if burnt < grace {
        return Some(seen);
    }
    if system.relieve(pool, lane, seen.view) {
        system.stats.relieved.raise();
        return Some(seen);
    }
    if system.take_over(pool, lane, seen.view, Sensor::Hog) {
        None
    } else {
        Some(seen)
    }
}
