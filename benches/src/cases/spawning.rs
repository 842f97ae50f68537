//! Spawns and joins that the sets of tokio and async-executor leave out.

use std::sync::Arc;

use wq_benches::Bench;

use super::Latch;
use crate::runtime::Runtime;

/// Tasks of `spawn_many_worker`.
const SPAWNS: usize = 10_000;
/// Joins of `spawn_join_local` in one iteration.
const JOINS: usize = 1_000;

/// A task on a worker, not the root, spawns tasks that only count down.
pub(super) fn spawn_many_worker<R: Runtime>(runtime: R, bench: &mut Bench) {
    let latch = Latch::new();
    bench.iter(SPAWNS as u64, || {
        latch.expect(SPAWNS);
        let counted = Arc::clone(&latch);
        R::detach(runtime.spawn_outside(async move {
            for _ in 0..SPAWNS {
                let latch = Arc::clone(&counted);
                R::detach(R::spawn(async move { latch.arrive() }));
            }
        }));
        runtime.wait(latch.wait());
    });
}

/// A task on a worker spawns an empty task and joins it, again and again.
pub(super) fn spawn_join_local<R: Runtime>(runtime: R, bench: &mut Bench) {
    bench.iter(JOINS as u64, || {
        let joining = runtime.spawn_outside(async {
            for _ in 0..JOINS {
                R::join(R::spawn(async {})).await;
            }
        });
        runtime.wait(R::join(joining));
    });
}

/// A thread that is not the runtime's does the same.
pub(super) fn spawn_join_remote<R: Runtime>(runtime: R, bench: &mut Bench) {
    bench.iter(1, || runtime.wait(R::join(runtime.spawn_outside(async {}))));
}
