//! What a machine may refuse is taken away, one thing at a time, each in a process of its own; the
//! promise then holds in its weaker form, and the report says what is missing.
#![cfg(all(target_os = "linux", not(wq_portable)))]

#[path = "guest/promise.rs"]
mod promise;
#[path = "guest/sandbox.rs"]
mod sandbox;
#[path = "guest/scenario.rs"]
mod scenario;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use wq_core::{Ability, Sensing, SensorReport, System, ThreadStates};

use sandbox::refuse;
use scenario::{inside, skip};

/// A System with all sensors, after at least one of its workers has run.
fn system() -> System {
    let system = System::builder().build().expect("a System in a sandbox");
    system.run(async {});
    system
}

/// The promise is kept; what the sensors are said to be before, and after all was in use.
fn kept() -> [SensorReport; 2] {
    let system = system();
    let before = system.sensors();
    promise::is_kept(system.clone());
    [before, system.sensors()]
}

/// Runs itself once for each way in which sandboxes refuse: Docker's profile, a security module,
/// a kernel that does not know the call.
fn refused_in_three_ways(test: &str, calls: &[libc::c_long], check: fn(SensorReport, Ability)) {
    /// Which way the inner process is to take.
    const WAY: &str = "WQ_TEST_GUEST_WAY";
    if let Ok(way) = std::env::var(WAY) {
        let errno = Errno::from_raw(way.parse().expect("an error number"));
        refuse(calls, errno);
        let refused = Ability::Refused {
            errno: errno as i32,
        };
        return kept().into_iter().for_each(|report| check(report, refused));
    }
    for errno in [Errno::EPERM, Errno::EACCES, Errno::ENOSYS] {
        scenario::run_with(test, &[(WAY, &(errno as i32).to_string())]);
    }
}

/// Without the idle class there are no spotters; the monitor does their work.
#[test]
fn without_idle_class() {
    let calls = [libc::SYS_sched_setscheduler];
    refused_in_three_ways("without_idle_class", &calls, |report, refused| {
        assert_eq!(report.spotters, refused, "{report}");
        assert!(report.spotted.is_empty(), "{report}");
        assert_eq!(report.placement, Ability::Works, "{report}");
    });
}

/// Without placement there are no spotters, and workers go where the kernel sends them.
#[test]
fn without_placement() {
    let calls = [libc::SYS_sched_setaffinity, libc::SYS_sched_getaffinity];
    refused_in_three_ways("without_placement", &calls, |report, refused| {
        assert_eq!((report.spotters, report.placement), (refused, refused));
        assert!(report.spotted.is_empty(), "{report}");
    });
}

/// Without the kernel's barrier every section has a fence.
#[test]
fn without_membarrier() {
    let calls = [libc::SYS_membarrier];
    refused_in_three_ways("without_membarrier", &calls, |report, _| {
        assert!(!report.expedited_barrier, "{report}");
    });
}

/// Without slices the usual ones serve.
#[test]
fn without_slices() {
    let calls = [libc::SYS_sched_setattr];
    refused_in_three_ways("without_slices", &calls, |report, refused| {
        assert_eq!(report.slices, refused, "{report}");
    });
}

/// Without the right to raise priorities, queues of high priority run like others.
#[test]
fn without_priority() {
    let calls = [libc::SYS_setpriority];
    refused_in_three_ways("without_priority", &calls, |report, refused| {
        assert_eq!(report.high_priority, refused, "{report}");
    });
}

/// Without clocks of other threads, and without the calling thread's own settings.
#[test]
fn without_cpu_clocks() {
    let calls = [libc::SYS_clock_gettime, libc::SYS_prctl];
    refused_in_three_ways("without_cpu_clocks", &calls, |_, _| {
        let clock = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
        assert!(clock.is_err(), "they were there all the time");
    });
}

/// Files of procfs cannot be opened: clocks tell who sleeps.
#[test]
fn without_any_file() {
    let calls = [libc::SYS_openat];
    refused_in_three_ways("without_any_file", &calls, |report, _| {
        assert_eq!(report.thread_states, ThreadStates::Unseen, "{report}");
        assert_eq!(report.spotters, Ability::Untried, "{report}");
        assert_eq!(report.quota, None);
    });
}

/// Nothing at all is to be had.
#[test]
fn without_anything() {
    let calls = [
        libc::SYS_sched_setscheduler,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_getattr,
        libc::SYS_setpriority,
        libc::SYS_getpriority,
        libc::SYS_membarrier,
        libc::SYS_clock_gettime,
        libc::SYS_prctl,
        libc::SYS_openat,
    ];
    refused_in_three_ways("without_anything", &calls, |report, refused| {
        assert_eq!(report.thread_states, ThreadStates::Unseen, "{report}");
        let abilities = [report.placement, report.slices, report.high_priority];
        assert_eq!(abilities, [refused; 3], "{report}");
        assert!(report.spotted.is_empty() && !report.expedited_barrier);
    });
}

/// There is no procfs, as in a bare change of root.
#[test]
fn without_procfs() {
    if !inside("without_procfs") {
        return;
    }
    if let Err(error) = sandbox::hide_procfs() {
        return skip("hiding procfs", error);
    }
    for report in kept() {
        assert_eq!(report.thread_states, ThreadStates::Unseen, "{report}");
        assert!(report.spotted.is_empty(), "{report}");
    }
}

/// Procfs goes while the System runs.
#[test]
fn procfs_goes_later() {
    if !inside("procfs_goes_later") {
        return;
    }
    // The System's threads are of this thread's making, but have a view of their own: only those
    // that the hidden one makes see what it sees, so all are made here.
    let system = system();
    promise::blocked_tasks_do_not_stall(&system.default_queue());
    refuse_later(&system);
    promise::is_kept(system);
}

/// Has the kernel refuse every file to all threads of the process that are there.
fn refuse_later(system: &System) {
    let seen = system.sensors().thread_states;
    if let Err(errno) = sandbox::refuse_everywhere(&[libc::SYS_openat], Errno::ENOENT) {
        return skip("a filter for all threads", errno);
    }
    assert_eq!(system.sensors().thread_states, seen);
    assert!(!sandbox::can_open("stat"));
}

/// A process that may not be looked into reads `stat`.
#[test]
fn only_stat() {
    if !inside("only_stat") {
        return;
    }
    if let Err(error) = sandbox::become_undumpable_nobody() {
        return skip("becoming undumpable", error);
    }
    if sandbox::can_open("syscall") {
        return skip("taking `syscall` away", "it can be read all the same");
    }
    for report in kept() {
        assert_eq!(report.thread_states, ThreadStates::Stat, "{report}");
    }
}

/// A process that becomes so while the System runs.
#[test]
fn only_stat_later() {
    if !inside("only_stat_later") {
        return;
    }
    let system = system();
    promise::blocked_tasks_do_not_stall(&system.default_queue());
    if let Err(error) = sandbox::become_undumpable_nobody() {
        skip("becoming undumpable", error);
    }
    let before = system.stats();
    promise::is_kept(system.clone());
    let noticed = |stats: wq_core::SystemStats| {
        stats.handovers_spotter + stats.handovers_monitor + stats.handovers_sibling
    };
    assert!(noticed(system.stats()) > noticed(before));
}

/// Pins the calling thread, and so what it starts, to the first CPU that it may use.
fn one_cpu_only() {
    let allowed = nix::sched::sched_getaffinity(Pid::from_raw(0)).expect("a mask");
    let first = (0..CpuSet::count()).find(|&cpu| allowed.is_set(cpu) == Ok(true));
    let mut one = CpuSet::new();
    one.set(first.expect("a CPU")).expect("a CPU's number");
    sched_setaffinity(Pid::from_raw(0), &one).expect("fewer CPUs are always allowed");
}

/// One CPU makes one lane; blocking and burning tasks hold up nobody.
#[test]
fn on_one_cpu() {
    if !inside("on_one_cpu") {
        return;
    }
    one_cpu_only();
    for report in kept() {
        assert_eq!((report.cpus.count(), report.lanes), (1, 1), "{report}");
    }
}

/// So it is when another thread of the program keeps that CPU busy, where no spotter gets to run.
#[test]
fn on_one_busy_cpu() {
    if !inside("on_one_busy_cpu") {
        return;
    }
    one_cpu_only();
    // Ends with the process.
    std::thread::spawn(|| {
        loop {
            std::hint::spin_loop();
        }
    });
    for sensing in [Sensing::Auto, Sensing::Monitor] {
        let builder = System::builder().sensing(sensing);
        promise::is_kept(builder.build().expect("a System"));
    }
}
