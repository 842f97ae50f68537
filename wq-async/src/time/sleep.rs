//! Waiting for a moment: [`Sleep`], on which everything else in `time` rests.
//!
//! A sleep holds no allocation. It takes an entry in the engine's timers at its first poll that
//! finds the deadline ahead, and gives it back when it ends or is dropped. A poll before the
//! deadline by the task that is to be woken anyway takes no lock: it reads the clock and compares.

#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use wq_core::driver;
use wq_core::timer::{ArmError, Fire, TimerKey, Timers};

use super::{later, source};

/// Waits until `duration` has passed since this call.
///
/// The wait ends when the duration has passed, never before. A duration that the clock can't
/// express means 30 years. Time counts from this call, not from the first poll.
///
/// # Cancellation
///
/// Dropping the future ends the wait and leaves nothing behind.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// # futures::executor::block_on(async {
/// let start = Instant::now();
/// wq::time::sleep(Duration::from_millis(5)).await;
/// assert!(start.elapsed() >= Duration::from_millis(5));
/// # });
/// ```
#[doc(alias = "delay_for")]
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(later(source::now(), duration))
}

/// Waits until `deadline`; not at all if that has passed.
///
/// # Cancellation
///
/// Dropping the future ends the wait and leaves nothing behind.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// # futures::executor::block_on(async {
/// let deadline = Instant::now() + Duration::from_millis(5);
/// wq::time::sleep_until(deadline).await;
/// assert!(Instant::now() >= deadline);
/// # });
/// ```
#[doc(alias = "delay_until")]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep {
        deadline,
        armed: None,
    }
}

/// The future that [`sleep`] and [`sleep_until`] return.
///
/// It may be polled by one executor after another and moved in between: the task that polled
/// it last is woken. Polled again after its end, it is ready again. It need not be pinned.
#[derive(Debug)]
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    /// When the wait ends.
    deadline: Instant,
    /// The timer that will wake the task; none before the first poll and after the end.
    armed: Option<Armed>,
}

impl Sleep {
    /// When the wait ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Has the deadline passed, so that a poll would be ready?
    ///
    /// # Examples
    /// ```
    /// let sleep = wq::time::sleep(std::time::Duration::from_secs(60));
    /// assert!(!sleep.is_elapsed());
    /// assert!(sleep.deadline() > std::time::Instant::now());
    /// ```
    pub fn is_elapsed(&self) -> bool {
        self.now() >= self.deadline
    }

    /// Moves the end of the wait, also after it has ended.
    ///
    /// A task that waits already is woken at the new deadline without polling again; but once the
    /// sleep has ended it must be polled to wait anew.
    ///
    /// # Examples
    ///
    /// A wait that lasts until nothing has happened for a while:
    ///
    /// ```
    /// use std::pin::Pin;
    /// use std::time::{Duration, Instant};
    ///
    /// # futures::executor::block_on(async {
    /// let mut quiet = wq::time::sleep(Duration::from_secs(3600));
    /// let deadline = Instant::now() + Duration::from_millis(2);
    /// Pin::new(&mut quiet).reset(deadline);
    /// quiet.await;
    /// assert!(Instant::now() >= deadline);
    /// # });
    /// ```
    pub fn reset(self: Pin<&mut Self>, deadline: Instant) {
        let this = self.get_mut();
        this.deadline = deadline;
        this.armed = this.armed.take().and_then(|armed| armed.moved_to(deadline));
    }

    /// What the clock shows that this sleep goes by.
    fn now(&self) -> Instant {
        self.armed
            .as_ref()
            .map_or_else(source::now, |armed| armed.timers.now())
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.is_elapsed() {
            this.armed = None;
            return Poll::Ready(());
        }
        let waker = context.waker();
        if !this
            .armed
            .as_mut()
            .is_some_and(|armed| armed.will_wake(waker))
        {
            this.armed = Armed::new(this.deadline, waker);
        }
        Poll::Pending
    }
}

/// A timer of the engine that wakes one task; disarmed when dropped.
#[derive(Debug)]
struct Armed {
    /// The timers it belongs to: those of the place where it was armed.
    timers: Arc<Timers>,
    /// Its name there.
    key: TimerKey,
    /// Whom it wakes.
    target: Target,
}

impl Armed {
    /// Arms a timer for `deadline`, or wakes the task at once to try again if there is none left.
    fn new(deadline: Instant, waker: &Waker) -> Option<Self> {
        let target = Target::of(waker);
        let fire = Fire::Wake(waker.clone());
        let armed = Self::arm(source::timers(), deadline, target, fire).or_else(|refused| {
            if !refused.is_stopped() {
                return Err(refused);
            }
            // The System here has ended, but not whoever polls: the process still keeps time.
            Self::arm(
                driver::process_timers(),
                deadline,
                target,
                refused.into_fire(),
            )
        });
        armed.map_err(|refused| refused.into_fire().fire()).ok()
    }

    /// Arms one in these timers.
    fn arm(
        timers: Arc<Timers>,
        deadline: Instant,
        target: Target,
        fire: Fire,
    ) -> Result<Self, ArmError> {
        let key = timers.arm(deadline, fire)?;
        Ok(Self {
            timers,
            key,
            target,
        })
    }

    /// Makes sure that the timer wakes `waker`; false if it is no longer armed.
    fn will_wake(&mut self, waker: &Waker) -> bool {
        // Timers that were stopped have dropped this one and woken the task for it.
        if self.timers.is_stopped() {
            return false;
        }
        // The deadline is ahead by the same clock, so the timer is armed and holds its waker.
        let target = Target::of(waker);
        if self.target != target {
            self.target = target;
            return self.timers.update_waker(self.key, waker);
        }
        true
    }

    /// The same for another deadline. None if it has fired, when the task is awake and will poll,
    /// or if it can't be armed again, when the task is woken for that.
    fn moved_to(mut self, deadline: Instant) -> Option<Self> {
        let fire = self.timers.cancel(self.key)?;
        match self.timers.arm(deadline, fire) {
            Ok(key) => self.key = key,
            Err(refused) => {
                refused.into_fire().fire();
                return None;
            }
        }
        Some(self)
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        // The waker that comes back is dropped here, where no lock is held.
        drop(self.timers.cancel(self.key));
    }
}

/// Which task a waker wakes: what [`Waker::will_wake`] compares, without holding a second waker.
///
/// Comparing addresses is sound while the timer is armed, because the waker in it keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    /// Address of the waker's data.
    data: usize,
    /// Address of the waker's functions.
    vtable: usize,
}

impl Target {
    /// The target of a waker.
    fn of(waker: &Waker) -> Self {
        Self {
            data: waker.data().addr(),
            vtable: ptr::from_ref(waker.vtable()).addr(),
        }
    }
}
