//! Lateness of timers.

use std::time::{Duration, Instant};

use wq_benches::{Bench, Observed, machine};

use super::tokio_set::BusyTasks;
use crate::runtime::Runtime;

/// Period of the ticks.
const PERIOD: Duration = Duration::from_millis(1);

/// A task awaits one deadline after the other, a millisecond apart, while every worker is busy
/// with short pieces; a deadline that has passed before it could be awaited is skipped. Lateness
/// is from the deadline to the task's next instruction; tokio's timers round up to a millisecond.
pub(super) fn tick_under_load<R: Runtime>(runtime: R, bench: &mut Bench) {
    bench.lateness(|span| {
        let time = span.lead + span.time;
        let busy = BusyTasks::start(runtime);
        let cpu = machine::process_cpu_time();
        let start = Instant::now();
        let samples_ns = runtime.wait(R::join(runtime.spawn_outside(tick::<R>(time))));
        let (wall, cpu) = (start.elapsed(), machine::process_cpu_time() - cpu);
        let others_per_s = samples_ns.len() as f64 / wall.as_secs_f64();
        let threads = machine::threads();
        busy.stop(runtime);
        Observed {
            others_per_s,
            samples_ns,
            threads,
            wall,
            cpu,
        }
    });
}

/// Ticks for a time; gives how late each tick was.
async fn tick<R: Runtime>(time: Duration) -> Vec<u64> {
    let start = Instant::now();
    let mut deadline = start + PERIOD;
    let mut samples_ns = Vec::new();
    while deadline < start + time {
        R::sleep_until(deadline).await;
        let now = Instant::now();
        samples_ns.push(now.saturating_duration_since(deadline).as_nanos() as u64);
        while deadline <= now {
            deadline += PERIOD;
        }
    }
    samples_ns
}
