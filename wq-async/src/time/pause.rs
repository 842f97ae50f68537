//! Time that stands still in tests: [`pause`], [`advance`], [`resume`].

#![forbid(unsafe_code)]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use wq_core::driver;
use wq_core::timer::Rest;

use super::sleep;

/// Stops the clock of the current System. Needs the feature `test-util`.
///
/// From then on delays ([`sleep`](fn@sleep), [`timeout`](fn@super::timeout),
/// [`interval`](fn@super::interval), [`DelayedWork`](crate::DelayedWork)) pass when nothing else is
/// left to do: whenever the System *rests*, its clock goes on to the first deadline at once, fires
/// it, and stands still again until all that this has set off is over. So a test that sleeps for
/// hours ends in no time, in the order of the deadlines, with any number of workers.
///
/// To start a test with a stopped clock, write `#[wq::test(start_paused = true)]`, or build its
/// System with [`paused_clock`](crate::SystemBuilder::paused_clock).
///
/// # When the System rests
///
/// No task runs or could run, and each worker is idle. A task that computes is never overtaken by
/// time, and one that blocks its thread (in a system call, on a lock of `std`, in `std`'s sleep)
/// holds the time still until it comes back. Waits of wq on a thread
/// ([`block_on`](crate::block_on), `wait` of a handle or a flush) are no such block, unless they
/// have a limit.
///
/// # What it does not see
///
/// - Threads that are not the System's: what is spawned or sent from there may come after time has
///   gone on. A thread inside of [`System::block_on`](crate::System::block_on) is seen.
/// - Sockets, pipes, children and signals: a task that waits for one is idle, whatever is on its
///   way, so a limit around it is over at once. In-memory streams (`tokio::io::duplex`, `futures`
///   channels) are exact.
/// - Other processes: a child goes by the machine's clock.
/// - What goes by the machine's clock: `Instant::now` and `elapsed` (ask [`now`](super::now)
///   instead), limits of `wait_timeout` and shutdowns, delays of other runtimes.
///
/// # Panics
/// If the clock stands already; or if the default System must be made and the machine refuses its
/// threads.
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
///
/// # fn main() {
/// let system = wq::System::builder().build().unwrap();
/// system.run(async {
///     wq::time::pause();
///     let (begun, real) = (wq::time::now(), Instant::now());
///     let hour = Duration::from_secs(3600);
///     wq::time::sleep(hour).await;
///     assert_eq!(wq::time::now() - begun, hour);
///     assert!(real.elapsed() < hour);
/// });
/// # }
/// ```
#[track_caller]
pub fn pause() {
    let stopped = driver::pausable_timers().pause();
    assert!(stopped, "the clock of this System is paused already");
}

/// Lets the clock of the current System run on from what it shows. Needs the feature `test-util`.
///
/// # Panics
/// If it runs; or if the default System must be made and the machine refuses its threads.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// # fn main() {
/// let system = wq::System::builder().paused_clock(true).build().unwrap();
/// system.run(async {
///     wq::time::resume();
///     let begun = wq::time::now();
///     wq::time::sleep(Duration::from_millis(5)).await; // as long as it says
///     assert!(wq::time::now() > begun);
/// });
/// # }
/// ```
#[track_caller]
pub fn resume() {
    let runs = driver::pausable_timers().resume();
    assert!(runs, "the clock of this System is not paused");
}

/// Lets `duration` pass on the stopped clock of the current System. Needs the feature `test-util`.
///
/// Every deadline on the way comes at its own moment, and all that it sets off is over before the
/// next one: an interval of a second ticks ten times in ten seconds. When this returns, all that
/// was due is over too. No time at all, `Duration::ZERO`, means: until everybody else rests.
///
/// tokio's jumps to the end at once, so that what is set anew on the way comes late.
///
/// It is over early if the System ends. If the clock is let go meanwhile ([`resume`]), what is left
/// of the time passes as real time, and nobody is waited for.
///
/// # Cancellation
/// Dropping the future leaves the clock where it is.
///
/// # Panics
/// If the clock runs; or if the default System must be made and the machine refuses its threads.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::time::Duration;
///
/// # fn main() {
/// let system = wq::System::builder().paused_clock(true).build().unwrap();
/// system.run(async {
///     let beats = Arc::new(AtomicU32::new(0));
///     let counted = Arc::clone(&beats);
///     wq::spawn(async move {
///         let mut every_minute = wq::time::interval(Duration::from_secs(60));
///         loop {
///             every_minute.tick().await;
///             counted.fetch_add(1, Ordering::Relaxed);
///         }
///     });
///     wq::time::advance(Duration::from_secs(3600)).await;
///     assert_eq!(beats.load(Ordering::Relaxed), 61);
/// });
/// # }
/// ```
pub async fn advance(duration: Duration) {
    let timers = driver::pausable_timers();
    assert!(
        timers.is_paused(),
        "the clock of this System is not paused: only one that stands can be turned"
    );
    let mut passed = pin!(sleep(duration));
    poll_fn(|cx| match passed.as_mut().poll(cx) {
        // Nobody turns the clock any more; whoever slept by it was woken. Looked at after the poll:
        // one that ends between the two wakes the task.
        Poll::Pending if timers.is_stopped() => Poll::Ready(()),
        polled => polled,
    })
    .await;
    let mut rest = Rest::default();
    poll_fn(|cx| timers.poll_rest(&mut rest, cx)).await;
}
