//! How much gets done where tasks block: a hot mutex, a pool of small items, a crowd of sleepers.
//!
//! CPU time of items is by the thread's own CPU clock, so that they are no shorter where CPUs are
//! shared; a mutex is held by the wall's.

use std::hint;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use wq_benches::{Bench, machine};

use super::Latch;
use crate::runtime::{Runtime, WORKERS, workers};

/// Tasks at the hot mutex.
const HAMMERS: usize = 64;
/// How often each takes it in an iteration.
const BLOWS: usize = 20;
/// How long it is held.
const HELD: Duration = Duration::from_micros(20);

/// Items of the pool, for each CPU.
const ITEMS: usize = 10_000;
/// CPU time of an item.
const ITEM: Duration = Duration::from_micros(20);
/// Of so many items, one sleeps.
const SLEEPS_EVERY: usize = 10;
/// How long it sleeps.
const SLEEP: Duration = Duration::from_millis(2);
/// Spins between two looks at the CPU clock: well under a microsecond.
const SPINS: u32 = 20;

/// Tasks of the crowd.
const CROWD: usize = 10_000;
/// How long each of the crowd sleeps.
const CROWD_SLEEP: Duration = Duration::from_millis(10);
/// Of so many tasks, one counts the threads.
const COUNTS_EVERY: usize = 100;

/// Tasks hammer one mutex; each yields between two blows.
pub(super) fn hot_mutex<R: Runtime>(runtime: R, bench: &mut Bench) {
    let (mutex, latch) = (Arc::new(Mutex::new(())), Latch::new());
    bench.iter((HAMMERS * BLOWS) as u64, || {
        latch.expect(HAMMERS);
        for number in 0..HAMMERS {
            let (mutex, latch) = (Arc::clone(&mutex), Arc::clone(&latch));
            R::detach(runtime.spawn_outside(async move {
                for _ in 0..BLOWS {
                    blow(&mutex);
                    R::yield_now().await;
                }
                if number == 0 {
                    machine::note_threads();
                }
                latch.arrive();
            }));
        }
        runtime.wait(latch.wait());
    });
}

/// Two threads do the same work.
pub(super) fn hot_mutex_bare(bench: &mut Bench) {
    let mutex = Mutex::new(());
    bench.iter((HAMMERS * BLOWS) as u64, || {
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| (0..HAMMERS * BLOWS / WORKERS).for_each(|_| blow(&mutex)));
            }
        });
    });
}

/// Takes the mutex and holds it.
fn blow(mutex: &Mutex<()>) {
    let guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
    let start = Instant::now();
    while start.elapsed() < HELD {
        hint::spin_loop();
    }
    drop(guard);
}

/// Small items, of which some sleep in the thread.
pub(super) fn pool<R: Runtime>(runtime: R, bench: &mut Bench) {
    let latch = Latch::new();
    let items = ITEMS * workers();
    bench.iter(items as u64, || {
        latch.expect(items);
        for number in 0..items {
            let latch = Arc::clone(&latch);
            R::detach(runtime.spawn_outside(async move {
                use_cpu(ITEM);
                if number % SLEEPS_EVERY == 0 {
                    R::block_in_task(|| thread::sleep(SLEEP)).await;
                }
                if number % (SLEEPS_EVERY * COUNTS_EVERY) == 0 {
                    machine::note_threads();
                }
                latch.arrive();
            }));
        }
        runtime.wait(latch.wait());
    });
}

/// The ideal: the same CPU time on a thread for each CPU, and no sleeps.
pub(super) fn pool_bare(bench: &mut Bench) {
    let cpus = machine::allowed_cpus();
    let cpus = &cpus[..workers()];
    bench.iter((ITEMS * cpus.len()) as u64, || {
        thread::scope(|scope| {
            for cpu in cpus {
                scope.spawn(|| {
                    machine::pin_to(*cpu);
                    (0..ITEMS).for_each(|_| use_cpu(ITEM));
                });
            }
        });
    });
}

/// Uses CPU time.
fn use_cpu(time: Duration) {
    let end = machine::thread_cpu_time() + time;
    while machine::thread_cpu_time() < end {
        (0..SPINS).for_each(|_| hint::spin_loop());
    }
}

/// Many tasks sleep in the thread.
pub(super) fn crowd<R: Runtime>(runtime: R, bench: &mut Bench) {
    let latch = Latch::new();
    bench.iter(CROWD as u64, || {
        latch.expect(CROWD);
        for number in 0..CROWD {
            let latch = Arc::clone(&latch);
            R::detach(runtime.spawn_outside(async move {
                R::block_in_task(move || {
                    thread::sleep(CROWD_SLEEP);
                    if number % COUNTS_EVERY == 0 {
                        machine::note_threads();
                    }
                })
                .await;
                latch.arrive();
            }));
        }
        runtime.wait(latch.wait());
    });
}
