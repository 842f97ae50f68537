//! Delays, time limits and periodic ticks.
//!
//! | to | use |
//! |---|---|
//! | wait for some time, or until a moment | [`sleep`](fn@sleep), [`sleep_until`] |
//! | give up on a future after some time | [`timeout`](fn@timeout), [`timeout_at`] |
//! | do something again and again | [`interval`](fn@interval), [`interval_at`] |
//!
//! All of these run in any executor, inside a System or outside. Inside they use the System's
//! timers, outside a thread of the process that is started when first needed. They are precise:
//! deadlines are kept to the nanosecond and nothing ends early; how late something ends is a matter
//! of waking a thread, some tens of microseconds on a machine that is not overloaded.
//!
//! The clock is [`Instant`], which is monotonic: setting the date has no effect here. On
//! Linux it stands still while the machine is suspended, and so do all delays.
//!
//! In tests it can be stopped, and goes on by itself when nothing else does: see `pause`, with the
//! feature `test-util`. An [`Instant`] has no way to know of that: [`now`] has.
//!
//! A duration that leads past what an [`Instant`] can express means 30 years.
//!
//! To delay an item of a queue rather than a task, there is
//! `DelayedWork`: it takes no worker and no future to wait.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

pub use self::interval::{Interval, MissedTickBehavior, interval, interval_at};
#[cfg(feature = "test-util")]
pub use self::pause::{advance, pause, resume};
pub use self::sleep::{Sleep, sleep, sleep_until};
pub use self::timeout::{Elapsed, Timeout, timeout, timeout_at};

mod interval;
#[cfg(feature = "test-util")]
mod pause;
mod sleep;
mod source;
#[cfg(test)]
mod tests;
mod timeout;

/// What the clock shows by which delays pass here: [`Instant::now`], unless the System's clock was
/// stopped for a test. Code that asks this, and takes differences of its answers, can be tested
/// with a stopped clock.
///
/// What it answers in a System whose clock was ever stopped differs from `Instant::now` from then
/// on: `elapsed`, which asks that, means nothing there.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// # futures::executor::block_on(async {
/// let begun = wq::time::now();
/// wq::time::sleep(Duration::from_millis(5)).await;
/// assert!(wq::time::now() - begun >= Duration::from_millis(5));
/// # });
/// ```
pub fn now() -> Instant {
    source::now()
}

/// What a delay is cut to if the clock can't express its end: longer than a machine runs.
const FAR_FUTURE: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// The moment `delay` after `from`, or 30 years after it if that can't be expressed.
fn later(from: Instant, delay: Duration) -> Instant {
    let end = from
        .checked_add(delay)
        .or_else(|| from.checked_add(FAR_FUTURE));
    end.expect("the monotonic clock has more than 30 years to go")
}
