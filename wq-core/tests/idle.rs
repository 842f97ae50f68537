//! Idle means idle: half a minute after its last work a System wakes nobody and uses no CPU.
//!
//! Takes three quarters of a minute, nearly all of it waiting for that to be so, which here is
//! the thing itself: `cargo xtask idle`, a step of CI.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use wq_core::{DelayedWork, System, Workqueue};

/// From here on after the last work, nothing may stir.
const QUIET_AFTER: Duration = Duration::from_secs(30);

/// For how long it is watched.
const WATCHED: Duration = Duration::from_secs(10);

/// What one thread did so far.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Done {
    name: String,
    /// Context switches, which count each wake-up.
    switches: u64,
    /// Ticks of CPU time.
    ticks: u64,
}

/// The deeds of all threads but the calling one, by number.
fn deeds() -> BTreeMap<u32, Done> {
    let me = fs::read_link("/proc/thread-self").expect("Linux says who we are");
    let me = me
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let tasks = fs::read_dir("/proc/self/task").expect("our own threads");
    tasks
        .filter_map(|task| {
            let task = task.ok()?.file_name().into_string().ok()?;
            if Some(&task) == me.as_ref() {
                return None;
            }
            // A thread that ends meanwhile is missing in one of the two looks, which is seen.
            Some((task.parse().ok()?, deed(&task)?))
        })
        .collect()
}

/// The deeds of one thread.
fn deed(task: &str) -> Option<Done> {
    let read = |file: &str| fs::read_to_string(format!("/proc/self/task/{task}/{file}")).ok();
    let status = read("status")?;
    let switches = |line: &str| line.contains("ctxt_switches:");
    let number = |word: &str| word.parse::<u64>().ok();
    let switches = status.lines().filter(|line| switches(line));
    let switches = switches.filter_map(|line| number(line.split_whitespace().nth(1)?));
    let stat = read("stat")?;
    // The name is in brackets and may have blanks; user and system time are the 12th and 13th
    // field behind it.
    let behind = stat.rsplit(')').next()?;
    let ticks = behind.split_whitespace().skip(11).take(2);
    Some(Done {
        name: read("comm")?.trim().to_owned(),
        switches: switches.sum(),
        ticks: ticks.filter_map(number).sum(),
    })
}

/// A System that did everything that there is: items that end, block, burn, sleep on timers, on
/// all kinds of queues.
fn busy_once(name: &str) -> System {
    let system = System::builder().name(name).build().expect("a System");
    let queues = [
        Workqueue::unbound("u").system(&system).build(),
        Workqueue::percpu("c").system(&system).build(),
        Workqueue::percpu("h").system(&system).highpri().build(),
        Workqueue::ordered("o").system(&system).build(),
    ];
    for queue in queues {
        let queue = queue.expect("a queue");
        for n in 0..200_u64 {
            drop(queue.spawn_fn(move || match n % 8 {
                0 => thread::sleep(Duration::from_micros(n * 10)),
                1 => wq_core::blocking(|| thread::sleep(Duration::from_micros(100))),
                2 => {
                    let until = Instant::now() + Duration::from_micros(n * 20);
                    while Instant::now() < until {
                        std::hint::spin_loop();
                    }
                }
                _ => {}
            }));
        }
        let (ticked, wait) = mpsc::channel();
        let tick = DelayedWork::new(move || ticked.send(()).expect("it waits"));
        let _ = queue.queue_after(&tick, Duration::from_millis(5));
        wait.recv().expect("the delay ends");
        queue.flush().wait().expect("the queue ends");
    }
    system
}

/// A System with so many threads that have nothing to do.
fn with_spares(name: &str, n: usize) -> System {
    let system = System::builder().name(name).build().expect("a System");
    let together = Arc::new(Barrier::new(n));
    let tasks: Vec<_> = (0..n)
        .map(|_| {
            let together = Arc::clone(&together);
            system.spawn(async move { together.wait().is_leader() })
        })
        .collect();
    for task in tasks {
        task.wait().expect("it ends");
    }
    system
}

/// Threads whose name begins so.
fn count(deeds: &BTreeMap<u32, Done>, name: &str) -> usize {
    deeds.values().filter(|d| d.name.starts_with(name)).count()
}

/// Goal: from half a minute after the last work there is no wake-up and no CPU time for ten
/// seconds, with a delay armed that is far away, and with spares that had to leave. Method: the
/// kernel's counts for each thread.
#[test]
#[ignore = "waits for three quarters of a minute"]
fn idle_means_idle() {
    let idle = busy_once("idle");
    let far = busy_once("far");
    let late = DelayedWork::new(|| unreachable!("an hour is not over"));
    let queue = far.default_queue();
    let _ = queue.queue_after(&late, Duration::from_secs(3600));
    let spare = with_spares("spare", 64);
    let many = count(&deeds(), "spare/u");
    assert!(many >= 64, "{many} workers block at a time");
    thread::sleep(QUIET_AFTER);
    let before = deeds();
    thread::sleep(WATCHED);
    let after = deeds();
    for (task, done) in &after {
        let was = before.get(task);
        assert_eq!(was, Some(done), "it stirred; {task} in {after:#?}");
    }
    assert_eq!(before.len(), after.len(), "a thread left");
    let left = count(&after, "spare/u");
    assert!(left < 16, "{left} spares of {many} stayed");
    assert!(late.cancel());
    drop((idle, far, spare));
}
