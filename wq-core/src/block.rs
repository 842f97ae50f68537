//! Declared blocking, and waiting for a future on a thread.
//!
//! A declared block hands the lane over *before* the thread sleeps, and tells later pushers that
//! they may take it without looking further. Undeclared blocks are found by the sensors; the
//! declaration only makes it sooner.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::bh;
use crate::current::{Current, Role};
use crate::hook::{self, Point};
use crate::os;
use crate::proto::park::Parker;
use crate::sense::Sensor;
use crate::spin::Spin;
#[cfg(feature = "test-util")]
use crate::system::rest;

/// Runs `f`, which is going to block, and lets another worker run the calling one's lane
/// meanwhile.
///
/// Not needed for correctness: code that blocks without saying so is found out within tens of
/// microseconds. Saying so makes the hand-over certain and immediate, and costs about 20 ns when
/// nothing waits. Outside a worker it only runs `f`. Sections nest; the outermost counts.
///
/// # Examples
/// ```
/// let line = wq_core::blocking(|| std::fs::read_to_string("Cargo.toml"));
/// assert!(line.is_ok());
/// ```
#[doc(alias = "wq_worker_sleeping")]
pub fn blocking<R>(f: impl FnOnce() -> R) -> R {
    let _section = Blocking::begin();
    f()
}

/// Runs `f`, which may block or not: a read that is often in the page cache, a lock that is
/// mostly free, a foreign call.
///
/// Costs two plain stores, and nothing changes unless the thread really goes to sleep while work
/// waits behind it. Then the CPU's spotter takes the word for the first of its two looks at the
/// thread. Use [`blocking`] where the thread sleeps for certain, and nothing where the last
/// microsecond does not matter. Outside a worker it only runs `f`. Sections nest.
///
/// # Examples
/// ```
/// let line = wq_core::may_block(|| std::fs::read_to_string("Cargo.toml"));
/// assert!(line.is_ok());
/// ```
#[doc(alias = "wq_worker_sleeping")]
pub fn may_block<R>(f: impl FnOnce() -> R) -> R {
    let _section = MayBlock::begin();
    f()
}

/// The section of [`may_block`]; ends when dropped.
struct MayBlock {
    /// What to go back to.
    before: bool,
}

impl MayBlock {
    /// Tells the sensors.
    fn begin() -> MayBlock {
        MayBlock {
            before: say_may_block(true),
        }
    }
}

impl Drop for MayBlock {
    fn drop(&mut self) {
        say_may_block(self.before);
    }
}

/// The calling worker's item may block, or not; what it said before.
fn say_may_block(may: bool) -> bool {
    Current::with(|current| current.is_some_and(|c| c.worker.set_may_block(may)))
}

/// What a block would say that is declared here, before something begins that must not be left by
/// a panic: an item of a BH queue may not block.
pub(crate) fn check() {
    Current::with(|current| {
        let is_bh = |c: &&Current| c.blocking_depth.get() == 0 && c.role.get() == Role::Bh;
        if let Some(current) = current.filter(is_bh) {
            bh::about_to_block(current);
        }
    });
}

/// A declared block; ends when dropped.
struct Blocking;

impl Blocking {
    /// Declares that the calling worker is about to block.
    fn begin() -> Blocking {
        Current::with(|current| {
            let Some(current) = current else {
                return;
            };
            let depth = current.blocking_depth.get();
            if depth == 0 && current.role.get() == Role::Bh {
                bh::about_to_block(current);
            }
            current.blocking_depth.set(depth + 1);
            if depth == 0 {
                current.measure.note_declared();
                current.worker.set_in_block(true);
                if !current.lane_is_free.get() {
                    free_lane(current);
                } else if current.worker.end_turn() {
                    // It does not burn meanwhile.
                    let next = current.pool.burners.pass_on();
                    current.system.start_burner(&current.pool, next);
                }
            }
        });
        Blocking
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        Current::with(|current| {
            let Some(current) = current else {
                return;
            };
            let depth = current.blocking_depth.get() - 1;
            current.blocking_depth.set(depth);
            if depth == 0 {
                current.worker.set_in_block(false);
                if !current.lane_is_free.get() {
                    keep_lane(current);
                }
            }
        });
    }
}

/// Declares the calling worker's lane free for others, from now on.
pub(crate) fn free_lane(current: &Current) {
    let Some((lane, holder)) = current.holding() else {
        return;
    };
    hook::at(Point::Block);
    if lane.owner.announce_blocking(holder.token) && lane.has_work() {
        let seen = lane.view();
        if seen.is_blocking() && seen.worker() == current.worker.id {
            current
                .system
                .take_over(&current.pool, lane, seen, Sensor::Marked);
        }
    }
}

/// The calling worker wants its lane back, if nobody has it.
pub(crate) fn keep_lane(current: &Current) {
    if let Some((lane, holder)) = current.holding() {
        hook::at(Point::Unblock);
        lane.owner.end_blocking(holder.token);
    }
}

/// Wakes a thread that waits for a future.
#[derive(Debug)]
pub(crate) struct ThreadWaker(pub(crate) Parker);

/// What a thread keeps between its waits.
struct Waiting {
    thread: Arc<ThreadWaker>,
    waker: Waker,
    spin: Spin,
}

impl Waiting {
    /// For a thread's first wait, and for waits inside waits.
    fn new() -> Waiting {
        let thread = Arc::new(ThreadWaker(Parker::new()));
        Waiting {
            waker: Waker::from(Arc::clone(&thread)),
            thread,
            spin: Spin::new(),
        }
    }

    /// Sleeps until the waker was used, or until `limit` is over.
    fn sleep(&mut self, limit: Option<Duration>) {
        let parker = &self.thread.0;
        // A worker has a lane to hand over: it does not wait awake.
        let may_spin = limit.is_none() && !Current::with(|current| current.is_some());
        if !(may_spin && self.spin.wait(|| parker.has_token())) {
            blocking(|| parker.park(limit));
        } else {
            parker.park(limit);
        }
        if may_spin {
            self.spin.end();
        }
    }
}

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    /// What this thread keeps, while no wait uses it (waits nest).
    static CACHED: Cell<Option<Waiting>> = const { Cell::new(None) };
}

/// Polls a future on the calling thread until it is ready. On a worker each sleep is a declared
/// block, so it may be used inside a task, to any depth.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    match drive(future, None) {
        Some(output) => output,
        None => unreachable!("without a limit the wait ends with the future"),
    }
}

/// As [`block_on`], but gives up after `limit`.
pub(crate) fn block_on_timeout<F: Future>(future: F, limit: Duration) -> Option<F::Output> {
    // A limit beyond the clock's range is no limit.
    drive(future, os::now().checked_add(limit))
}

/// The wait.
fn drive<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    let mut future = pin!(future);
    let cached = CACHED.try_with(Cell::take).ok().flatten();
    let mut waiting = cached.unwrap_or_else(Waiting::new);
    #[cfg(feature = "test-util")]
    let _noted = match deadline {
        None => rest::note_wait(&waiting.thread),
        // It comes back by itself, by the machine's clock.
        Some(_) => None,
    };
    let output = loop {
        if let Poll::Ready(output) = future
            .as_mut()
            .poll(&mut Context::from_waker(&waiting.waker))
        {
            break Some(output);
        }
        let limit = deadline.map(|d| d.saturating_duration_since(os::now()));
        if limit.is_some_and(|l| l.is_zero()) {
            break None;
        }
        waiting.sleep(limit);
    };
    // A thread whose thread-locals are gone makes a new one each time.
    let _ = CACHED.try_with(|cached| cached.set(Some(waiting)));
    output
}
