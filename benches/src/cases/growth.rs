//! What an operation costs as there are more tasks, queues, or threads that submit.
//!
//! A round does about as many operations whatever there is more of, so that what differs is the
//! cost of having more.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Poll, Waker};
use std::thread;

use wq_benches::Bench;

use super::Latch;
use crate::runtime::{Ordered, Runtime};

/// Operations of an iteration, at least: few tasks have many turns.
const OPERATIONS: usize = 10_000;
/// Futures of an iteration of `queues`: one for each where there are most.
const JOBS: usize = 100_000;
/// Tasks of an iteration of `producers`: a multiple of every number of threads.
const PRODUCED: usize = 12_800;

/// How often so many tasks have their turn in an iteration.
fn turns(tasks: usize) -> usize {
    OPERATIONS.div_ceil(tasks)
}

/// A task spawns so many and waits for the last, again and again.
pub(super) fn spawned<R: Runtime>(runtime: R, bench: &mut Bench, tasks: usize) {
    let (latch, turns) = (Latch::new(), turns(tasks));
    bench.iter((tasks * turns) as u64, || {
        let latch = Arc::clone(&latch);
        run_inside(runtime, async move {
            for _ in 0..turns {
                latch.expect(tasks);
                for _ in 0..tasks {
                    let latch = Arc::clone(&latch);
                    R::detach(R::spawn(async move { latch.arrive() }));
                }
                latch.wait().await;
            }
        });
    });
}

/// A task wakes so many, each of which arrives and suspends again; all live as long as the process.
pub(super) fn woken<R: Runtime>(runtime: R, bench: &mut Bench, tasks: usize) {
    let turns = turns(tasks);
    let sleepers = Arc::new(Sleepers {
        wakers: (0..tasks).map(|_| Mutex::default()).collect(),
        latch: Latch::new(),
    });
    sleepers.latch.expect(tasks);
    for number in 0..tasks {
        let sleepers = Arc::clone(&sleepers);
        R::detach(runtime.spawn_outside(async move { sleepers.sleep_for_ever(number).await }));
    }
    // They arrive once before anybody wakes them: from here on there is a waker of each.
    runtime.wait(sleepers.latch.wait());
    bench.iter((tasks * turns) as u64, || {
        let sleepers = Arc::clone(&sleepers);
        run_inside(runtime, async move {
            for _ in 0..turns {
                sleepers.latch.expect(tasks);
                sleepers.wake_all();
                sleepers.latch.wait().await;
            }
        });
    });
}

/// Tasks that are woken together.
struct Sleepers {
    /// A waker for each.
    wakers: Vec<Mutex<Option<Waker>>>,
    /// Counts those that can be woken.
    latch: Arc<Latch>,
}

impl Sleepers {
    /// The body of one: arrives whenever it is polled.
    async fn sleep_for_ever(&self, number: usize) {
        poll_fn(|context| {
            let mut waker = self.wakers[number].lock().expect("nobody panics under it");
            *waker = Some(context.waker().clone());
            drop(waker);
            // Behind the waker: whoever has seen all arrive finds a waker of each.
            self.latch.arrive();
            Poll::<()>::Pending
        })
        .await;
    }

    /// Wakes each once; only when all have arrived.
    fn wake_all(&self) {
        for waker in &self.wakers {
            let waker = waker.lock().expect("nobody panics under it").take();
            waker.expect("it has arrived with its waker").wake();
        }
    }
}

/// A task pushes futures to so many ordered queues in turns.
pub(super) fn queues<R: Runtime>(runtime: R, bench: &mut Bench, queues: usize) {
    let latch = Latch::new();
    let queues: Arc<Vec<_>> = Arc::new((0..queues).map(|_| queue_for(runtime, arrive)).collect());
    bench.iter(JOBS as u64, || {
        latch.expect(JOBS);
        let (queues, pushed) = (Arc::clone(&queues), Arc::clone(&latch));
        R::detach(runtime.spawn_outside(async move {
            for queue in queues.iter().cycle().take(JOBS) {
                queue.push(arrive(Arc::clone(&pushed)));
            }
        }));
        runtime.wait(latch.wait());
    });
}

/// Makes a queue for futures of one maker's type, which has no name to be written.
fn queue_for<R: Runtime, F: Future<Output = ()> + Send + 'static>(
    runtime: R,
    _maker: fn(Arc<Latch>) -> F,
) -> R::Ordered<F> {
    runtime.ordered()
}

/// A future that counts down.
async fn arrive(latch: Arc<Latch>) {
    latch.arrive();
}

/// So many foreign threads spawn tasks at once.
pub(super) fn producers<R: Runtime>(runtime: R, bench: &mut Bench, threads: usize) {
    let latch = Latch::new();
    let start = Arc::new(Barrier::new(threads + 1));
    for _ in 0..threads {
        let (latch, start) = (Arc::clone(&latch), Arc::clone(&start));
        // They wait at the barrier when the process ends.
        drop(thread::spawn(move || {
            loop {
                start.wait();
                for _ in 0..PRODUCED / threads {
                    let latch = Arc::clone(&latch);
                    R::detach(runtime.spawn_outside(async move { latch.arrive() }));
                }
            }
        }));
    }
    bench.iter(PRODUCED as u64, || {
        latch.expect(PRODUCED);
        start.wait();
        runtime.wait(latch.wait());
    });
}

/// Runs a future as a task and waits for it on this thread.
fn run_inside<R: Runtime>(runtime: R, task: impl Future<Output = ()> + Send + 'static) {
    runtime.wait(R::join(runtime.spawn_outside(task)));
}
