//! The shapes of tokio's `rt_multi_threaded` benchmarks, written anew.
//!
//! Differences from theirs, the same for every runtime: two workers rather than four, and where a
//! future blocks on a std channel there, it awaits here, so that one-threaded runtimes can run it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;
use wq_benches::Bench;

use super::{BUSY_TASKS, Latch, work_a_piece};
use crate::runtime::Runtime;

/// Tasks of the spawning cases.
const SPAWNS: usize = 10_000;
/// The same beside chains that respawn themselves: tokio needs 90 us for each there.
const SPAWNS_BESIDE_CHAINS: usize = 1_000;
/// Tasks of `yield_many`.
const YIELDING_TASKS: usize = 200;
/// Yields of each.
const YIELDS: usize = 1_000;
/// Pairs of `ping_pong`.
const PAIRS: usize = 1_000;
/// Depth of `chained_spawn`.
const DEPTH: usize = 1_000;

/// The root spawns tasks that only count down, and waits for the last.
pub(super) fn spawn_many_local<R: Runtime>(runtime: R, bench: &mut Bench) {
    let latch = Latch::new();
    bench.iter(SPAWNS as u64, || {
        latch.expect(SPAWNS);
        let latch = Arc::clone(&latch);
        runtime.run_root(async move {
            for _ in 0..SPAWNS {
                let latch = Arc::clone(&latch);
                R::detach(R::spawn(async move { latch.arrive() }));
            }
            latch.wait().await;
        });
    });
}

/// A thread that is not the runtime's spawns the same tasks; the workers are idle at first.
pub(super) fn spawn_many_remote_idle<R: Runtime>(runtime: R, bench: &mut Bench) {
    let latch = Latch::new();
    bench.iter(SPAWNS as u64, || spawn_remotely(runtime, &latch, SPAWNS));
}

/// The same while tasks that work and yield keep all workers busy.
pub(super) fn spawn_many_remote_busy1<R: Runtime>(runtime: R, bench: &mut Bench) {
    let latch = Latch::new();
    bench.iter_between(
        SPAWNS as u64,
        || BusyTasks::start(runtime),
        || spawn_remotely(runtime, &latch, SPAWNS),
        |busy| busy.stop(runtime),
    );
}

/// The same while chains of tasks, each of which works and spawns its successor, do.
pub(super) fn spawn_many_remote_busy2<R: Runtime>(runtime: R, bench: &mut Bench) {
    let latch = Latch::new();
    bench.iter_between(
        SPAWNS_BESIDE_CHAINS as u64,
        || Chains::start(runtime),
        || spawn_remotely(runtime, &latch, SPAWNS_BESIDE_CHAINS),
        |chains| chains.stop(runtime),
    );
}

/// Spawns counting tasks from this thread and waits for the last.
fn spawn_remotely<R: Runtime>(runtime: R, latch: &Arc<Latch>, spawns: usize) {
    latch.expect(spawns);
    for _ in 0..spawns {
        let latch = Arc::clone(latch);
        R::detach(runtime.spawn_outside(async move { latch.arrive() }));
    }
    runtime.wait(latch.wait());
}

/// Tasks that work a piece and yield until they are stopped.
pub(super) struct BusyTasks<R: Runtime> {
    /// False once they are to end.
    go_on: Arc<AtomicBool>,
    /// To wait for their end.
    handles: Vec<R::Join<()>>,
}

impl<R: Runtime> BusyTasks<R> {
    /// Starts them from outside.
    pub(super) fn start(runtime: R) -> Self {
        let go_on = Arc::new(AtomicBool::new(true));
        let task = |_| {
            let go_on = Arc::clone(&go_on);
            runtime.spawn_outside(async move {
                // Relaxed, here and below: the flag orders nothing, a late look costs a piece.
                while go_on.load(Ordering::Relaxed) {
                    R::yield_now().await;
                    work_a_piece();
                }
            })
        };
        Self {
            handles: (0..BUSY_TASKS).map(task).collect(),
            go_on,
        }
    }

    /// Stops them and waits until they have ended.
    pub(super) fn stop(self, runtime: R) {
        self.go_on.store(false, Ordering::Relaxed);
        runtime.wait(async {
            for handle in self.handles {
                R::join(handle).await;
            }
        });
    }
}

/// Chains of tasks, each of which works a piece and spawns its successor.
struct Chains {
    /// False once they are to end.
    go_on: Arc<AtomicBool>,
    /// Told when the last has.
    ended: Arc<Latch>,
}

impl Chains {
    /// Starts them from outside.
    fn start<R: Runtime>(runtime: R) -> Self {
        let (go_on, ended) = (Arc::new(AtomicBool::new(true)), Latch::new());
        ended.expect(BUSY_TASKS);
        for _ in 0..BUSY_TASKS {
            let link = link::<R>(Arc::clone(&go_on), Arc::clone(&ended));
            R::detach(runtime.spawn_outside(link));
        }
        Self { go_on, ended }
    }

    /// Stops them and waits until they have ended.
    fn stop<R: Runtime>(self, runtime: R) {
        // Relaxed: the flag orders nothing, a late look costs a piece.
        self.go_on.store(false, Ordering::Relaxed);
        runtime.wait(self.ended.wait());
    }
}

/// One link of a chain.
async fn link<R: Runtime>(go_on: Arc<AtomicBool>, ended: Arc<Latch>) {
    // Relaxed: see `Chains::stop`.
    if go_on.load(Ordering::Relaxed) {
        work_a_piece();
        spawn_link::<R>(go_on, ended);
    } else {
        ended.arrive();
    }
}

/// Spawns the next link; apart from [`link`] because a future's type can't contain itself.
fn spawn_link<R: Runtime>(go_on: Arc<AtomicBool>, ended: Arc<Latch>) {
    R::detach(R::spawn(link::<R>(go_on, ended)));
}

/// Tasks spawned from outside yield again and again; one operation is a yield.
pub(super) fn yield_many<R: Runtime>(runtime: R, bench: &mut Bench) {
    let latch = Latch::new();
    bench.iter((YIELDING_TASKS * YIELDS) as u64, || {
        latch.expect(YIELDING_TASKS);
        for _ in 0..YIELDING_TASKS {
            let latch = Arc::clone(&latch);
            R::detach(runtime.spawn_outside(async move {
                for _ in 0..YIELDS {
                    R::yield_now().await;
                }
                latch.arrive();
            }));
        }
        runtime.wait(latch.wait());
    });
}

/// A task spawns tasks each of which spawns a partner, sends to it and awaits its answer; one
/// operation is such an exchange with both spawns.
pub(super) fn ping_pong<R: Runtime>(runtime: R, bench: &mut Bench) {
    let latch = Latch::new();
    bench.iter(PAIRS as u64, || {
        latch.expect(PAIRS);
        let latch = Arc::clone(&latch);
        runtime.run_root(async move {
            let players = Arc::clone(&latch);
            R::detach(R::spawn(async move {
                for _ in 0..PAIRS {
                    R::detach(R::spawn(exchange::<R>(Arc::clone(&players))));
                }
            }));
            latch.wait().await;
        });
    });
}

/// One exchange of `ping_pong`.
async fn exchange<R: Runtime>(latch: Arc<Latch>) {
    let (ping, pinged) = oneshot::channel();
    let (pong, ponged) = oneshot::channel();
    R::detach(R::spawn(async move {
        pinged.await.expect("the ping is sent");
        pong.send(()).expect("the pong is awaited");
    }));
    ping.send(()).expect("the ping is awaited");
    ponged.await.expect("the pong is sent");
    latch.arrive();
}

/// Each task spawns the next, to a depth; one operation is a task.
pub(super) fn chained_spawn<R: Runtime>(runtime: R, bench: &mut Bench) {
    let latch = Latch::new();
    bench.iter(DEPTH as u64, || {
        latch.expect(1);
        let latch = Arc::clone(&latch);
        runtime.run_root(async move {
            spawn_deeper::<R>(DEPTH, Arc::clone(&latch));
            latch.wait().await;
        });
    });
}

/// Spawns the chain's next task.
fn spawn_deeper<R: Runtime>(left: usize, latch: Arc<Latch>) {
    R::detach(R::spawn(async move {
        if left == 1 {
            latch.arrive();
        } else {
            spawn_deeper::<R>(left - 1, latch);
        }
    }));
}
