//! How many threads a pool makes while its items block.

#![expect(clippy::print_stdout, reason = "what a crowd takes is to be seen")]

use std::sync::{Arc, Barrier};
use std::time::Duration;

use wq_core::driver::refuse_threads;
use wq_core::{System, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// How long each item of a crowd blocks; that is what is tried here.
const NAP: Duration = Duration::from_millis(10);

/// Threads of a System that are no workers of the pool in question: services, and the spotters.
fn others(system: &System) -> usize {
    3 + system.topology().allowed().count()
}

/// Most memory that the process had so far, KiB; 0 where that is not told.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0)
}

/// Goal: a pool that stands still at its bound goes on, and not beyond twice the bound. Method:
/// items that wait for each other, as many as twice the bound, so that none ends before all have
/// a thread.
#[test]
fn a_pool_that_stands_still_grows_to_its_cap() {
    const BOUND: usize = 2;
    let builder = System::builder().workers(1).max_workers(BOUND);
    let system = builder.build().unwrap();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let all = Arc::new(Barrier::new(2 * BOUND));
    let tasks: Vec<_> = (0..2 * BOUND)
        .map(|_| {
            let all = Arc::clone(&all);
            queue.spawn_fn(move || {
                all.wait();
            })
        })
        .collect();
    for task in tasks {
        task.wait_timeout(FOR_EVER).expect("it ends").unwrap();
    }
    let stats = system.stats();
    assert!(stats.at_worker_bound > 0, "{stats:?}");
    assert!(
        stats.threads_peak <= 2 * BOUND + others(&system),
        "{stats:?}"
    );
}

/// Runs a crowd of items that all block, and says what it took.
fn crowd(system: &System, items: usize) {
    let before = peak_kib();
    let tasks: Vec<_> = (0..items)
        .map(|_| {
            let nap = || std::thread::sleep(NAP);
            system.default_queue().spawn_fn(nap)
        })
        .collect();
    for task in tasks {
        task.wait_timeout(FOR_EVER).expect("it ends").unwrap();
    }
    let (peak, kib) = (system.stats().threads_peak, peak_kib() - before);
    println!("{items} items: {peak} threads at most, {kib} KiB more memory at most");
}

/// Goal: ten thousand blocking items end, and the pool keeps to its bound while some end all the
/// time; surplus threads leave. Method: naps; the System's counts.
#[test]
fn a_crowd_keeps_to_the_bound_and_its_threads_leave() {
    let keep_alive = Duration::from_millis(20);
    let builder = System::builder().workers(2).keep_alive(keep_alive);
    let system = builder.max_workers(256).build().unwrap();
    crowd(&system, 10_000);
    let stats = system.stats();
    // A few more where a loaded machine runs nobody for 100 ms.
    let most = 256 + 16 + others(&system);
    assert!(stats.threads_peak <= most, "{stats:?}");
    while system.stats().threads > 2 + 1 + others(&system) {
        std::thread::yield_now();
    }
}

/// Goal: the machine refuses threads midway; items go on with those there are and none is lost.
/// Method: refusal once the crowd has begun to grow, until the end.
#[test]
fn a_crowd_ends_without_more_threads() {
    let system = System::builder().workers(2).build().unwrap();
    let small = (1..=40).map(|_| system.default_queue().spawn_fn(|| std::thread::sleep(NAP)));
    for task in small.collect::<Vec<_>>() {
        task.wait_timeout(FOR_EVER).expect("it ends").unwrap();
    }
    let had = system.stats().threads_peak;
    refuse_threads(&system, true);
    crowd(&system, 1_000);
    let stats = system.stats();
    // One thread may have been on its way.
    assert!(stats.threads_peak <= had + 1, "{had} {stats:?}");
    assert!(stats.thread_creation_failures > 0, "{stats:?}");
}

/// Goal: the figures of a pool add up, while its items block and when they are over. Method: more
/// items than lanes, which wait for each other and for the test.
#[test]
fn the_figures_of_a_pool_add_up() {
    const ITEMS: usize = 6;
    let system = System::builder().workers(1).build().unwrap();
    let all = Arc::new(Barrier::new(ITEMS + 1));
    let spawn = |_| {
        let all = Arc::clone(&all);
        system.default_queue().spawn_fn(move || {
            all.wait();
        })
    };
    let tasks: Vec<_> = (0..ITEMS).map(spawn).collect();
    let used = || {
        let mut pools = system.pools().into_iter();
        pools.find(|pool| pool.workers > 0)
    };
    // All but one have lost the only lane, sooner or later.
    while used().is_none_or(|pool| pool.away + 1 < ITEMS) || system.stats().away_peak + 1 < ITEMS {
        std::thread::yield_now();
    }
    let pool = used().expect("it has workers");
    assert_eq!(pool.lanes, 1, "{pool:?}");
    assert!(
        pool.workers >= ITEMS && pool.workers <= pool.bound,
        "{pool:?}"
    );
    all.wait();
    for task in tasks {
        task.wait_timeout(FOR_EVER).expect("it ends").unwrap();
    }
    while used().is_none_or(|pool| pool.away > 0 || pool.returns + 1 < ITEMS as u64) {
        std::thread::yield_now();
    }
    let pools = system.pools();
    let returns: u64 = pools.iter().map(|pool| pool.returns).sum();
    assert_eq!(system.stats().returns, returns);
    assert_eq!(system.stats().pools, pools.len());
}
