//! What the harness reads from the machine: CPUs, clocks of CPU time, threads, load.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Gid, Pid, Uid, getuid, setgid, setuid};

/// The kernel's number of the right to raise priority.
const CAP_SYS_NICE: u32 = 23;
/// With this `RLIMIT_NICE` a thread may go to -20.
const HIGHEST_NICE_LIMIT: u64 = 40;
/// The user and group that own nothing.
const NOBODY: u32 = 65534;

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

/// Says on standard error how busy the machine is, with a warning if other programs use it.
pub(crate) fn tell_load() {
    let load = load();
    eprintln!("load average at the start: {load}");
    if load > BUSY_LOAD {
        eprintln!("warning: other programs use the CPUs and widen every spread");
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
pub fn allowed_cpus() -> Vec<usize> {
    let set = sched_getaffinity(THIS_THREAD).expect("the affinity mask can be read");
    (0..CpuSet::count())
        .filter(|&cpu| set.is_set(cpu).unwrap_or(false))
        .collect()
}

/// Pins the calling thread to one CPU.
///
/// # Panics
/// When the CPU is not allowed.
pub fn pin_to(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu).expect("the number comes from the mask");
    sched_setaffinity(THIS_THREAD, &set).expect("an allowed CPU can be pinned to");
}

/// CPU time that all threads of this process have used; what `getrusage` says, to the nanosecond.
pub fn process_cpu_time() -> Duration {
    read_clock(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time that the calling thread has used.
pub fn thread_cpu_time() -> Duration {
    read_clock(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// Reads one of the clocks that every Linux has.
fn read_clock(clock: ClockId) -> Duration {
    Duration::from(clock_gettime(clock).expect("the clock exists"))
}

/// Threads of this process at this moment, the main thread included.
pub fn threads() -> u64 {
    status("Threads:")
}

/// Most memory that this process has had resident, in KiB.
pub(crate) fn peak_memory_kib() -> u64 {
    status("VmHWM:")
}

/// Most threads that cases have noted while they were at it.
static NOTED_THREADS: AtomicU64 = AtomicU64::new(0);

/// Counts the threads of this process now, for [`peak_threads`].
pub fn note_threads() {
    // Relaxed: a figure, read when all is over.
    NOTED_THREADS.fetch_max(threads(), Ordering::Relaxed);
}

/// Most threads that were noted, those of this moment included.
pub fn peak_threads() -> u64 {
    note_threads();
    // Relaxed: see `note_threads`.
    NOTED_THREADS.load(Ordering::Relaxed)
}

/// Whether this process may raise its threads' priority as high as the kernel goes.
pub(crate) fn may_raise_priority() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("the process sees itself");
    let rights = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let rights = rights.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    let by_right = rights.is_some_and(|bits| bits & (1 << CAP_SYS_NICE) != 0);
    let limit = getrlimit(Resource::RLIMIT_NICE).map_or(0, |(soft, _)| soft);
    by_right || limit >= HIGHEST_NICE_LIMIT
}

/// Gives the right to raise priority up for good: the process goes on as nobody.
pub(crate) fn renounce_priority() -> Result<(), String> {
    let told = |error| format!("the right to raise priority cannot be given up: {error}");
    setrlimit(Resource::RLIMIT_NICE, 0, 0).map_err(told)?;
    if getuid().is_root() {
        setgid(Gid::from_raw(NOBODY)).map_err(told)?;
        setuid(Uid::from_raw(NOBODY)).map_err(told)?;
        // A change of user hides a process's own `/proc` files from it, which an ordinary user's
        // program can read.
        set_dumpable(true).map_err(told)?;
    }
    if may_raise_priority() {
        return Err("the right to raise priority cannot be given up".to_owned());
    }
    Ok(())
}

/// A number that the kernel tells about this process.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the process sees itself");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number
        .and_then(|count| count.parse().ok())
        .expect("the kernel tells this number")
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
