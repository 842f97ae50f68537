//! Order, limits and waiting for many: wq's queues beside the idioms that stand for them.
//!
//! Each case also checks that what it measures did happen.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wq_benches::Bench;

use super::Latch;
use crate::runtime::{Group, Limited, Ordered, Runtime};

/// Futures of `ordered_queue`.
const ORDERED: usize = 10_000;
/// Futures of `limited_queue`.
const LIMITED: usize = 1_000;
/// How many of them at a time.
const LIMIT: usize = 16;
/// Futures of `flush_1000`.
const FLUSHED: usize = 1_000;

/// What the futures of one case share.
struct Shared {
    /// Counts the futures down.
    latch: Arc<Latch>,
    /// Futures that have ended (ordered, flushed) or are running (limited).
    count: AtomicUsize,
    /// Futures that saw a count they must not see.
    wrong: AtomicUsize,
}

impl Shared {
    /// Nothing has happened yet.
    fn new() -> Arc<Self> {
        let [count, wrong] = [AtomicUsize::new(0), AtomicUsize::new(0)];
        Arc::new(Self {
            latch: Latch::new(),
            count,
            wrong,
        })
    }

    /// Notes a future that saw something wrong.
    fn check(&self, right: bool) {
        if !right {
            // Relaxed, and so are all counts below: the latch or the flush orders the last look.
            self.wrong.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Asserts that no future saw anything wrong.
    fn assert_right(&self) {
        assert_eq!(
            self.wrong.load(Ordering::Relaxed),
            0,
            "the runtime's idiom broke its promise"
        );
    }
}

/// A task on a worker pushes futures that must run one after the other in order: wq's ordered
/// queue; elsewhere an unbounded channel of futures and one task that awaits each.
pub(super) fn ordered_queue<R: Runtime>(runtime: R, bench: &mut Bench) {
    let shared = Shared::new();
    let queue = Arc::new(ordered_queue_for(runtime, next_in_order));
    bench.iter(ORDERED as u64, || {
        shared.latch.expect(ORDERED);
        shared.count.store(0, Ordering::Relaxed);
        let (queue, pushed) = (Arc::clone(&queue), Arc::clone(&shared));
        R::detach(runtime.spawn_outside(async move {
            (0..ORDERED).for_each(|place| queue.push(next_in_order(place, Arc::clone(&pushed))));
        }));
        runtime.wait(shared.latch.wait());
    });
    shared.assert_right();
}

/// Makes the queue for futures of one maker's type, which has no name to be written.
fn ordered_queue_for<R: Runtime, F: Future<Output = ()> + Send + 'static>(
    runtime: R,
    _maker: fn(usize, Arc<Shared>) -> F,
) -> R::Ordered<F> {
    runtime.ordered()
}

/// A future that must be the `place`th to run.
async fn next_in_order(place: usize, shared: Arc<Shared>) {
    shared.check(shared.count.fetch_add(1, Ordering::Relaxed) == place);
    shared.latch.arrive();
}

/// A task on a worker submits futures that hold their slot over a yield: wq's `max_active`;
/// elsewhere a semaphore around each.
pub(super) fn limited_queue<R: Runtime>(runtime: R, bench: &mut Bench) {
    let shared = Shared::new();
    let queue = Arc::new(runtime.limited(LIMIT));
    bench.iter(LIMITED as u64, || {
        shared.latch.expect(LIMITED);
        let (queue, submitted) = (Arc::clone(&queue), Arc::clone(&shared));
        R::detach(runtime.spawn_outside(async move {
            (0..LIMITED).for_each(|_| queue.spawn(within_limit::<R>(Arc::clone(&submitted))));
        }));
        runtime.wait(shared.latch.wait());
    });
    shared.assert_right();
}

/// A future that must have fewer than [`LIMIT`] others beside it.
async fn within_limit<R: Runtime>(shared: Arc<Shared>) {
    shared.check(shared.count.fetch_add(1, Ordering::Relaxed) < LIMIT);
    R::yield_now().await;
    shared.count.fetch_sub(1, Ordering::Relaxed);
    shared.latch.arrive();
}

/// A task on a worker submits futures and waits until all have ended: wq's flush; elsewhere a
/// task tracker that is closed, waited for and opened again.
pub(super) fn flush_1000<R: Runtime>(runtime: R, bench: &mut Bench) {
    let shared = Shared::new();
    let group = Arc::new(runtime.group());
    bench.iter(FLUSHED as u64, || {
        let (group, flushed) = (Arc::clone(&group), Arc::clone(&shared));
        let flushing = runtime.spawn_outside(async move {
            flushed.count.store(0, Ordering::Relaxed);
            for _ in 0..FLUSHED {
                let counted = Arc::clone(&flushed);
                group.spawn(async move {
                    counted.count.fetch_add(1, Ordering::Relaxed);
                });
            }
            group.finish().await;
            flushed.check(flushed.count.load(Ordering::Relaxed) == FLUSHED);
        });
        runtime.wait(R::join(flushing));
    });
    shared.assert_right();
}
