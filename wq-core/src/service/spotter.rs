//! The idle spotter of a CPU: runs when the CPU has nothing else, which is when a worker sleeps.
//!
//! Pinned, at idle priority, runnable only while work waits behind a running item. It confirms
//! that the worker sleeps and gives the lane to a spare. It waits for no lock and takes no memory,
//! since it may be stopped for long at any instruction; whatever it leaves undone, the next kick
//! or the monitor does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::os;
use crate::sense::{Look, Sensor};
use crate::system::{CpuRecord, SystemInner};

/// Looks in a row without a result before the spotter sleeps for a while: the worker runs
/// elsewhere (it floats), and the CPU is idle for a reason of its own.
const FRUITLESS_LOOKS: u32 = 16;

/// Bounds of that while.
const NAP: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(1));

/// Time between two looks at a block that may be over soon: a part of what it has lasted, within
/// these bounds.
const GRACE_STEP: (Duration, Duration) = (Duration::from_micros(20), Duration::from_micros(250));
const GRACE_STEPS: u32 = 4;

/// Long against the pauses of a busy CPU, short against what the monitor's rounds leave.
const SHORT_SLEEP: Duration = Duration::from_millis(2);

/// The body of the thread.
pub(super) fn run(system: &Arc<SystemInner>, record: &CpuRecord) {
    os::block_all_signals();
    os::set_timer_slack_ns(1);
    // For whoever ends the System, also before this thread gets a CPU again. Relaxed: it looks
    // again and again.
    record.spotter_tid.store(os::gettid(), Ordering::Relaxed);
    let placed = os::set_affinity(0, &record.mask).and_then(|()| os::enter_idle_class());
    record.spotter_found.note(&placed);
    if placed.is_err() {
        // A spotter that competes with the workers would be worse than none. Whoever armed it
        // meanwhile did not wake the monitor.
        record.spotter_tid.store(0, Ordering::Relaxed);
        record.armed.disarm_briefly();
        system.monitor.unpark();
        return;
    }
    serve(system, record);
    record.spotter_tid.store(0, Ordering::Relaxed);
}

/// Looks whenever it is armed, until the System ends.
fn serve(system: &Arc<SystemInner>, record: &CpuRecord) {
    let mut fruitless = 0;
    let mut nap = NAP.0;
    while !system.is_stopped() {
        match look_around(system, record) {
            Look::Fine => {
                rest(system, record);
                (fruitless, nap) = (0, NAP.0);
            }
            Look::Acted | Look::Waking => {
                (fruitless, nap) = (0, NAP.0);
                // Whoever was woken may still wait for a CPU, and looks the same until then.
                os::sched_yield();
            }
            Look::Blocked => os::sched_yield(),
            found @ (Look::Running | Look::Unseen | Look::Refused) => {
                if found != Look::Refused {
                    system.stats.fruitless.raise();
                }
                fruitless += 1;
                if fruitless < FRUITLESS_LOOKS {
                    os::sched_yield();
                } else {
                    record.spotter.park(Some(nap));
                    nap = (nap * 2).min(NAP.1);
                }
            }
        }
    }
}

/// Nothing waits: sleeps until the spotter is armed. On a busy CPU that is soon, and for a short
/// sleep the flag is cleared without a barrier.
fn rest(system: &SystemInner, record: &CpuRecord) {
    record.armed.disarm_briefly();
    // The armer that was a moment too early for the flag shows its work by now.
    os::sched_yield();
    if look_around(system, record) != Look::Fine {
        return;
    }
    record.spotter.park(Some(SHORT_SLEEP));
    if record.armed.is_armed() || system.is_stopped() {
        return;
    }
    record.armed.disarm();
    if look_around(system, record) == Look::Fine {
        record.spotter.park(None);
    }
}

/// Looks at every lane of the CPU; the most that was found.
fn look_around(system: &SystemInner, record: &CpuRecord) -> Look {
    let mut found = Look::Fine;
    for place in &record.pools {
        let Some((pool, slot)) = place.get() else {
            break;
        };
        let lane = &pool.lanes()[*slot];
        let mut look = system.examine(pool, lane, Sensor::Spotter, 0);
        if look == Look::Blocked {
            look = wait_out_grace(system, record, pool, lane);
        }
        match look {
            Look::Acted | Look::Waking => found = Look::Acted,
            Look::Refused if found != Look::Acted => found = Look::Refused,
            Look::Fine => {}
            other if found == Look::Fine => found = other,
            _ => {}
        }
    }
    found
}

/// The lane's hand-overs were wasted lately: looks whether the block lasts.
fn wait_out_grace(
    system: &SystemInner,
    record: &CpuRecord,
    pool: &crate::pool::Pool,
    lane: &crate::lane::Lane,
) -> Look {
    let begun = os::monotonic_ns();
    let mut lasted = 0;
    loop {
        let step = Duration::from_nanos(lasted) / GRACE_STEPS;
        record
            .spotter
            .park(Some(step.clamp(GRACE_STEP.0, GRACE_STEP.1)));
        lasted = os::monotonic_ns().saturating_sub(begun).max(1);
        match system.examine(pool, lane, Sensor::Spotter, lasted) {
            Look::Blocked => {}
            other => return other,
        }
    }
}
