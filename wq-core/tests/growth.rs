//! How many threads a pool makes while its items block.

#![expect(clippy::print_stdout, reason = "what a crowd takes is to be seen")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use wq_core::driver::refuse_threads;
use wq_core::{JoinHandle, PoolStats, System, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// How long each item of a crowd blocks; that is what is tried here.
const NAP: Duration = Duration::from_millis(10);

/// Waits until a System looks so.
fn until(system: &System, what: &str, looks_so: impl Fn(&System) -> bool) {
    let begun = Instant::now();
    while !looks_so(system) {
        let stats = system.stats();
        assert!(begun.elapsed() < FOR_EVER, "{what}: {stats:?}");
        std::thread::yield_now();
    }
}

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

/// Items that block until they are let go, and count themselves before.
#[derive(Default)]
struct Stuck {
    inside: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
    gates: Vec<Sender<()>>,
}

impl Stuck {
    /// So many of them, spawned by `spawn`.
    fn new(items: usize, spawn: impl Fn(Box<dyn FnOnce() + Send>) -> JoinHandle<()>) -> Stuck {
        let mut stuck = Stuck::default();
        for _ in 0..items {
            let inside = Arc::clone(&stuck.inside);
            let (opens, gate) = channel::<()>();
            stuck.gates.push(opens);
            stuck.tasks.push(spawn(Box::new(move || {
                // Relaxed, here and below: a count, waited for.
                inside.fetch_add(1, Ordering::Relaxed);
                gate.recv().expect_err("the gate's other end is dropped");
            })));
        }
        stuck
    }

    /// How many are inside, or have been.
    fn inside(&self) -> usize {
        self.inside.load(Ordering::Relaxed)
    }

    /// Lets all go, and waits for their ends.
    fn let_go(self) {
        drop(self.gates);
        for task in self.tasks {
            task.wait_timeout(FOR_EVER).expect("it ends").unwrap();
        }
    }
}

/// Goal: a pool that stands still at its bound goes on, and not beyond twice the bound. Method:
/// more items than that wait for the test. Once the pool has come to its cap, another one does the
/// same, which takes so long that the first would have grown further.
#[test]
fn a_pool_that_stands_still_grows_to_its_cap() {
    const BOUND: usize = 2;
    const CAP: usize = 2 * BOUND;
    let builder = System::builder().workers(1).max_workers(BOUND);
    let system = builder.build().unwrap();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let first = Stuck::new(CAP + 2, |item| queue.spawn_fn(item));
    until(&system, "the pool grows", |_| first.inside() >= CAP);
    let percpu = Workqueue::percpu("p").system(&system).build().unwrap();
    let cpu = system.topology().allowed().iter().next().expect("a CPU");
    let second = Stuck::new(CAP + 2, |item| percpu.spawn_on(cpu, async { item() }));
    until(&system, "the other one grows", |_| second.inside() >= CAP);
    let (stats, pools) = (system.stats(), system.pools());
    assert_eq!(first.inside(), CAP, "{pools:?}");
    assert!(pools.iter().all(|pool| pool.workers <= CAP), "{pools:?}");
    assert!(stats.at_worker_bound > 0, "{stats:?}");
    first.let_go();
    second.let_go();
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
/// time; surplus threads leave. Method: naps, of more items at a time than the bound allows; the
/// System's counts.
#[test]
fn a_crowd_keeps_to_the_bound_and_its_threads_leave() {
    // So small that a pool that grew without need would pass what is let pass below.
    const BOUND: usize = 32;
    let keep_alive = Duration::from_millis(20);
    let builder = System::builder().workers(2).keep_alive(keep_alive);
    let system = builder.max_workers(BOUND).build().unwrap();
    crowd(&system, 10_000);
    let stats = system.stats();
    // Else the bound was not what held it back.
    assert!(stats.at_worker_bound > 0, "{stats:?}");
    // A few more where a loaded machine runs nobody for 100 ms.
    let most = BOUND + 16 + others(&system);
    assert!(stats.threads_peak <= most, "{stats:?}");
    // The holders of the two lanes, and two without a lane, which the kernel's rule lets stay.
    until(&system, "surplus threads leave", |system| {
        system.stats().threads <= 2 + 2 + others(system)
    });
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

/// The pool that has workers, if there is one.
fn used(system: &System) -> Option<PoolStats> {
    let mut pools = system.pools().into_iter();
    pools.find(|pool| pool.workers > 0)
}

/// Whether this many workers of the used pool are away, one at most has its lane, and the others
/// are idle.
fn adds_up(system: &System, away: usize) -> bool {
    let sum = |pool: PoolStats| {
        let rest = pool.workers.checked_sub(pool.away + pool.idle);
        pool.away == away && rest.is_some_and(|rest| rest <= 1)
    };
    used(system).is_some_and(sum)
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
    until(&system, "all but one lose the only lane", |system| {
        adds_up(system, ITEMS - 1) && system.stats().away_peak >= ITEMS - 1
    });
    let pool = used(&system).expect("it has workers");
    assert_eq!(pool.lanes, 1, "{pool:?}");
    assert!(
        pool.workers >= ITEMS && pool.workers <= pool.bound,
        "{pool:?}"
    );
    let running = || {
        let pool = used(&system).expect("it has workers");
        pool.running.iter().map(|it| it.workers).sum::<usize>()
    };
    assert_eq!(running(), ITEMS, "{pool:?}");
    all.wait();
    for task in tasks {
        task.wait_timeout(FOR_EVER).expect("it ends").unwrap();
    }
    until(&system, "all come back", |system| {
        let returns = used(system).map_or(0, |pool| pool.returns);
        adds_up(system, 0) && returns + 1 >= ITEMS as u64
    });
    assert_eq!(system.stats().away_peak, ITEMS - 1);
    assert_eq!(running(), 0);
    let pools = system.pools();
    let returns: u64 = pools.iter().map(|pool| pool.returns).sum();
    assert_eq!(system.stats().returns, returns);
    assert_eq!(system.stats().pools, pools.len());
}
