//! What a run costs the machine: threads at most, and processor time.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// The largest number of threads seen in this process. Zero where the system does not say.
#[derive(Debug, Default)]
pub struct ThreadPeak(AtomicU64);

impl ThreadPeak {
    /// Looks now.
    pub fn sample(&self) {
        // Relaxed: a maximum of independent looks, read when the run is over.
        self.0
            .fetch_max(threads_now().unwrap_or(0), Ordering::Relaxed);
    }

    /// The most that any look saw.
    #[must_use]
    pub fn get(&self) -> u64 {
        // Relaxed: see `sample`.
        self.0.load(Ordering::Relaxed)
    }
}

/// How many threads this process has: the entries of `/proc/self/task`, as the kernel counts
/// them in one line.
fn threads_now() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok())
}

/// Processor time of the whole process so far, user and system.
#[must_use]
pub fn cpu_time() -> Duration {
    let duration = |time: TimeVal| {
        let (sec, usec) = (time.tv_sec().max(0), time.tv_usec().max(0));
        Duration::from_secs(sec as u64) + Duration::from_micros(usec as u64)
    };
    // Cannot fail for the calling process; if it did, no time is better than no report.
    getrusage(UsageWho::RUSAGE_SELF).map_or(Duration::ZERO, |usage| {
        duration(usage.user_time()) + duration(usage.system_time())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    /// Goal: threads that have gone are remembered. Method: three at a barrier, then none.
    #[test]
    fn the_peak_outlives_the_threads() {
        let peak = ThreadPeak::default();
        let met = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| met.wait());
            }
            peak.sample();
            met.wait();
        });
        assert!(peak.get() >= 4, "{}", peak.get());
    }

    /// Goal: processor time counts work. Method: burn until it moves.
    #[test]
    fn processor_time_rises_with_work() {
        let before = cpu_time();
        while cpu_time() == before {
            std::hint::black_box((0..10_000).sum::<u64>());
        }
        assert!(cpu_time() > before);
    }
}
