//! Giving up on a future: [`Timeout`], a future and a sleep side by side.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project::pin_project;

use super::{Sleep, sleep, sleep_until};

/// Runs `future` for at most `duration`, counted from this call.
///
/// The future is polled first: one that is ready at its first poll is never too late, whatever the
/// duration. A future that keeps its worker busy or asleep without returning from a poll is not
/// interrupted; its result counts even if it comes late.
///
/// # Errors
///
/// [`Elapsed`] if the time is over and the future is not ready. The future is then dropped
/// together with the `Timeout`.
///
/// # Cancellation
///
/// Dropping the `Timeout` drops the future. To let the future go on after the time limit, pass
/// it by reference, pinned.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use wq::time::timeout;
///
/// # futures::executor::block_on(async {
/// let quick = timeout(Duration::from_secs(5), async { 7 }).await;
/// assert_eq!(quick, Ok(7));
/// let never = timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
/// assert!(never.is_err());
/// # });
/// ```
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout {
        future: future.into_future(),
        limit: sleep(duration),
    }
}

/// Runs `future` until `deadline` at most; in all else like [`timeout`].
///
/// # Errors
///
/// [`Elapsed`] if the deadline has passed and the future is not ready.
///
/// # Cancellation
///
/// Dropping the `Timeout` drops the future.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
/// use wq::time::timeout_at;
///
/// # futures::executor::block_on(async {
/// // One deadline for two steps.
/// let deadline = Instant::now() + Duration::from_secs(5);
/// let first = timeout_at(deadline, async { 1 }).await?;
/// let second = timeout_at(deadline, async { 2 }).await?;
/// assert_eq!(first + second, 3);
/// # Ok::<(), wq::time::Elapsed>(())
/// # }).unwrap();
/// ```
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout {
        future: future.into_future(),
        limit: sleep_until(deadline),
    }
}

/// The future that [`timeout`] and [`timeout_at`] return.
#[pin_project]
#[derive(Debug)]
#[must_use = "a timeout does nothing unless it is awaited"]
pub struct Timeout<F> {
    /// What is limited.
    #[pin]
    future: F,
    /// The limit; armed only when the future is not ready at the first poll.
    limit: Sleep,
}

impl<F> Timeout<F> {
    /// The future that is limited.
    pub fn get_ref(&self) -> &F {
        &self.future
    }

    /// The future that is limited, to be changed.
    pub fn get_mut(&mut self) -> &mut F {
        &mut self.future
    }

    /// Takes the limit off.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// # futures::executor::block_on(async {
    /// let limited = wq::time::timeout(Duration::ZERO, async { 7 });
    /// assert_eq!(limited.into_inner().await, 7);
    /// # });
    /// ```
    pub fn into_inner(self) -> F {
        self.future
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(this.limit)
            .poll(context)
            .map(|()| Err(Elapsed { _private: () }))
    }
}

/// The time that [`timeout`] gave a future is over.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// # futures::executor::block_on(async {
/// let never = std::future::pending::<()>();
/// let limited = wq::time::timeout(Duration::from_millis(1), never);
/// let over: wq::time::Elapsed = limited.await.unwrap_err();
/// assert_eq!(over.to_string(), "the time limit has elapsed");
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elapsed {
    /// Keeps others from making one.
    _private: (),
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit has elapsed")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}
