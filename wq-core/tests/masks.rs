//! What user code starts may use every CPU of the pool, however its worker was placed.
#![cfg(target_os = "linux")]

use std::thread;
use std::time::Duration;

use wq_core::driver::force_take_over;
use wq_core::{AffinityScope, System, Workqueue};

/// The CPUs that the calling thread may use, as the kernel writes them.
fn allowed() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("Cpus_allowed_list:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

/// Threads started inside tasks of an unbound queue inherit the whole mask, while workers sleep,
/// wake, lose their lanes and are placed.
#[test]
fn child_threads_have_the_whole_mask() {
    let system = System::builder().build().unwrap();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let whole = allowed();
    for round in 0..200u64 {
        let tasks: Vec<_> = (0..6)
            .map(|n| {
                queue.spawn(async move {
                    if (n + round) % 3 == 0 {
                        thread::sleep(Duration::from_micros(200));
                    }
                    (allowed(), thread::spawn(allowed).join().unwrap())
                })
            })
            .collect();
        force_take_over(&system, round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for task in tasks {
            assert_eq!(
                task.wait().unwrap(),
                (whole.clone(), whole.clone()),
                "round {round}"
            );
        }
    }
}

/// The mask of items that are queued for each CPU: of a strict queue with a pod for each CPU it is
/// that CPU, of one that is not strict all of the queue's.
#[test]
fn strict_workers_stay_in_their_pod() {
    let system = System::builder().build().unwrap();
    let cpus = system.topology().allowed().clone();
    let whole = allowed();
    let queue = |strict: bool| {
        let builder = Workqueue::unbound("pods").system(&system);
        let mut builder = builder.affinity(AffinityScope::Cpu);
        if strict {
            builder = builder.strict();
        }
        builder.build().unwrap()
    };
    let (strict, roaming) = (queue(true), queue(false));
    for _ in 0..20 {
        for cpu in cpus.iter() {
            let mask = strict.spawn_on(cpu, async { allowed() });
            assert_eq!(mask.wait().unwrap(), cpu.to_string());
            let mask = roaming.spawn_on(cpu, async { allowed() });
            assert_eq!(mask.wait().unwrap(), whole);
        }
    }
}
