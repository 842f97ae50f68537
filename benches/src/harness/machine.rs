//! What the harness reads from the machine: CPUs, clocks of CPU time, threads, load.

use std::fs;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// A load average over this gets a warning: somebody else is using the CPUs.
const BUSY_LOAD: f64 = 0.5;

/// The calling thread, in the affinity calls.
const THIS_THREAD: Pid = Pid::from_raw(0);

/// What the report says about where it was made.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// CPUs that this process may use.
    pub(crate) cpus: usize,
    /// The CPU's own name.
    pub(crate) model: String,
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// Load average over one minute when the measurement began.
    pub(crate) load: f64,
}

impl Machine {
    /// Reads all of it; what cannot be read is called unknown.
    pub(crate) fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let model = model
            .and_then(|line| line.split(':').nth(1))
            .unwrap_or("unknown CPU");
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpus: allowed_cpus().len(),
            model: model.trim().to_owned(),
            kernel: kernel.trim().to_owned(),
            load: load(),
        }
    }
}

/// Says so on standard error when other programs use the CPUs.
pub(crate) fn warn_if_busy() {
    let load = load();
    if load > BUSY_LOAD {
        eprintln!("warning: the load average is {load}; other programs widen every spread");
    }
}

/// Load average over one minute; 0 where it cannot be read.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(0.0)
}

/// CPUs that the calling thread may use, in ascending order.
///
/// # Panics
/// When the kernel does not tell: nothing that pins could be measured then.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    let set = sched_getaffinity(THIS_THREAD).expect("the affinity mask can be read");
    (0..CpuSet::count())
        .filter(|&cpu| set.is_set(cpu).unwrap_or(false))
        .collect()
}

/// Pins the calling thread to one CPU.
///
/// # Panics
/// When the CPU is not allowed.
pub(crate) fn pin_to(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu).expect("the number comes from the mask");
    sched_setaffinity(THIS_THREAD, &set).expect("an allowed CPU can be pinned to");
}

/// CPU time that all threads of this process have used; what `getrusage` says, to the nanosecond.
pub(crate) fn process_cpu_time() -> Duration {
    read_clock(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time that the calling thread has used.
pub(crate) fn thread_cpu_time() -> Duration {
    read_clock(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// Reads one of the clocks that every Linux has.
fn read_clock(clock: ClockId) -> Duration {
    Duration::from(clock_gettime(clock).expect("the clock exists"))
}

/// Threads of this process at this moment, the main thread included.
pub(crate) fn threads() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the process sees itself");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"));
    line.and_then(|count| count.trim().parse().ok())
        .expect("the kernel counts threads")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The readings agree with what the test itself does.
    #[test]
    fn readings_follow_the_process() {
        let before = (threads(), process_cpu_time(), thread_cpu_time());
        std::thread::scope(|scope| {
            let (started, waiting) = std::sync::mpsc::channel();
            let (go_on, parked) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || {
                started.send(()).expect("the test waits");
                assert!(parked.recv().is_err(), "the test only hangs up");
            });
            waiting.recv().expect("the thread starts");
            assert!(threads() >= 2, "main and the thread above");
            drop(go_on);
        });
        while thread_cpu_time() < before.2 + Duration::from_millis(1) {}
        assert!(process_cpu_time() >= before.1 + Duration::from_millis(1));
        assert!(before.0 >= 1);
    }

    /// A pinned thread may use the one CPU only.
    #[test]
    fn pinning_narrows_the_mask() {
        let cpus = allowed_cpus();
        assert!(!cpus.is_empty());
        let last = cpus[cpus.len() - 1];
        let seen = std::thread::spawn(move || {
            pin_to(last);
            allowed_cpus()
        });
        assert_eq!(seen.join().expect("the thread ends"), [last]);
    }
}
