//! Ticks at a fixed distance: [`Interval`], a sleep that is set anew after each end.
//!
//! Ticks are reckoned from the scheduled moment, not from the moment of the wake-up, so the delay
//! of waking a thread does not add up. What happens when a tick is missed altogether
//! is the user's choice, [`MissedTickBehavior`].

#![forbid(unsafe_code)]

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;

use super::{Sleep, later, sleep_until, source};

/// How late a tick may come and still count as in time: wake-ups of a loaded machine are not to
/// shift the schedule under [`MissedTickBehavior::Delay`]. The figure that users of tokio know.
const LATE_GRACE: Duration = Duration::from_millis(5);

/// Ticks every `period`, the first time at once.
///
/// # Panics
///
/// If `period` is zero.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// # futures::executor::block_on(async {
/// let period = Duration::from_millis(2);
/// let mut interval = wq::time::interval(period);
/// let first = interval.tick().await;
/// let second = interval.tick().await;
/// assert_eq!(second - first, period);
/// # });
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(source::now(), period)
}

/// Ticks every `period`, the first time at `start`.
///
/// # Panics
///
/// If `period` is zero.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// # futures::executor::block_on(async {
/// let start = Instant::now() + Duration::from_millis(3);
/// let mut interval = wq::time::interval_at(start, Duration::from_secs(60));
/// assert_eq!(interval.tick().await, start);
/// # });
/// ```
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval's period must not be zero");
    Interval {
        period,
        next: sleep_until(start),
        missed: MissedTickBehavior::default(),
    }
}

/// A clock that ticks; [`interval`] and [`interval_at`] make one.
///
/// It is also an endless [`Stream`] of ticks.
#[derive(Debug)]
#[must_use = "an interval does nothing unless its ticks are awaited"]
pub struct Interval {
    /// Distance of two ticks; not zero.
    period: Duration,
    /// Ends at the next tick.
    next: Sleep,
    /// What to do when ticks are missed.
    missed: MissedTickBehavior,
}

impl Interval {
    /// Waits for the next tick and returns the moment for which it was scheduled, which is not
    /// after now.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost: a tick that was not returned is returned by the next call. So this can
    /// be a branch of a `select!`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// # futures::executor::block_on(async {
    /// let mut interval = wq::time::interval(Duration::from_millis(1));
    /// for _ in 0..3 {
    ///     let scheduled = interval.tick().await;
    ///     assert!(scheduled <= Instant::now());
    /// }
    /// # });
    /// ```
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|context| self.poll_tick(context)).await
    }

    /// The same for those who poll by hand: pending means that the task is woken at the next tick.
    pub fn poll_tick(&mut self, context: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.next).poll(context));
        let scheduled = self.next.deadline();
        let next = self.missed.next_tick(scheduled, source::now(), self.period);
        self.restart(next);
        Poll::Ready(scheduled)
    }

    /// Schedules the next tick a period from now.
    pub fn reset(&mut self) {
        self.restart(later(source::now(), self.period));
    }

    /// Schedules the next tick for now.
    pub fn reset_immediately(&mut self) {
        self.restart(source::now());
    }

    /// Schedules the next tick for the moment that is `delay` from now.
    ///
    /// # Examples
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// # futures::executor::block_on(async {
    /// let mut ticks = wq::time::interval(Duration::from_secs(60));
    /// let before = Instant::now();
    /// ticks.reset_after(Duration::from_millis(2)); // not at once
    /// assert!(ticks.tick().await >= before + Duration::from_millis(2));
    /// # });
    /// ```
    pub fn reset_after(&mut self, delay: Duration) {
        self.restart(later(source::now(), delay));
    }

    /// Schedules the next tick for `deadline`; those after it follow by the period.
    pub fn reset_at(&mut self, deadline: Instant) {
        self.restart(deadline);
    }

    /// What happens when ticks are missed.
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Chooses what happens when ticks are missed, from the next tick on.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wq::time::{MissedTickBehavior, interval};
    ///
    /// # futures::executor::block_on(async {
    /// let mut ticks = interval(Duration::from_millis(10));
    /// ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    /// assert_eq!(ticks.missed_tick_behavior(), MissedTickBehavior::Skip);
    /// # });
    /// ```
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }

    /// Distance of two ticks.
    ///
    /// # Examples
    /// ```
    /// let ticks = wq::time::interval(std::time::Duration::from_secs(1));
    /// assert_eq!(ticks.period().as_millis(), 1000);
    /// ```
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Sets the moment of the next tick.
    fn restart(&mut self, next: Instant) {
        Pin::new(&mut self.next).reset(next);
    }
}

impl Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(context).map(Some)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

/// What an [`Interval`] does when a tick was missed: asked for more than 5 ms late, or more than
/// a period late if that is shorter.
///
/// With a period of 50 ms, and a second tick asked for only at 130 ms:
///
/// | behaviour | second tick, then the next ones |
/// |---|---|
/// | `Burst` | at 130, 130, 150, 200 |
/// | `Delay` | at 130, 180, 230, 280 |
/// | `Skip` | at 130, 150, 200, 250 |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissedTickBehavior {
    /// Ticks at once until none is missing, so that the number of ticks is right in the end.
    #[default]
    Burst,
    /// Shifts the schedule: the next tick comes a period after the late one.
    Delay,
    /// Leaves the missed ticks out and keeps the schedule.
    Skip,
}

impl MissedTickBehavior {
    /// The moment of the tick after the one that was scheduled for `scheduled` and is taken `now`.
    fn next_tick(self, scheduled: Instant, now: Instant, period: Duration) -> Instant {
        let late = now.saturating_duration_since(scheduled);
        if late <= LATE_GRACE.min(period) {
            return later(scheduled, period);
        }
        match self {
            Self::Burst => later(scheduled, period),
            Self::Delay => later(now, period),
            Self::Skip => later(now, period - remainder(late, period)),
        }
    }
}

/// What is left of `span` after taking `period` from it as often as that goes.
fn remainder(span: Duration, period: Duration) -> Duration {
    const NS_PER_SEC: u128 = 1_000_000_000;
    let rest_ns = span.as_nanos() % period.as_nanos();
    let seconds = u64::try_from(rest_ns / NS_PER_SEC).expect("the rest is less than the span");
    let below_second = u32::try_from(rest_ns % NS_PER_SEC).expect("less than a second");
    Duration::new(seconds, below_second)
}
