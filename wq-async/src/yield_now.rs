//! Letting others run.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use wq_core::driver;

/// Lets the other items of the lane run, then goes on. The item keeps its place in its queue.
///
/// It goes behind everything that waits there. A future that merely wakes itself and returns
/// `Pending`, as the yields of other crates do, counts as woken: it goes behind the woken ones, and
/// one new item starts for every eight of those.
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// for _ in 0..10 {
///     wq::yield_now().await;
/// }
/// # });
/// ```
///
/// # Cancellation
/// Nothing happens if it is dropped.
#[doc(alias = "cond_resched")]
pub fn yield_now() -> YieldNow {
    YieldNow(false)
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct YieldNow(bool);

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        driver::note_yield();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
