//! Clocks that tests stop: time stands still, and goes on to the next deadline by itself when the
//! System of these timers has nothing else to do.
//!
//! One thread turns such a clock, the one that fires its timers, so what one deadline has set off
//! is over before the next one comes, whichever workers it ran on. Whether it is over is the
//! System's business (`system/rest.rs`); this file knows a function that answers. It is asked again
//! and again, at growing distances, because nobody who works is to say when it has done so.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::wheel::Expired;
use super::{AWAKE, Clock, FIRE_BATCH, Fire, NEVER, Timers};

/// The distance of the first two looks whether all rest: what a deadline has set off is mostly
/// over by then.
const FIRST_PAUSE: Duration = Duration::from_micros(20);

/// The distance that it grows to: a test waits so long for nothing at most, and a program whose
/// task blocks costs no more than that many looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(1);

/// The machine's monotonic clock, which can be stopped; clones are the same clock.
#[derive(Clone, Debug)]
pub struct PausableClock(Arc<Mutex<Shows>>);

/// What such a clock shows.
#[derive(Clone, Copy, Debug)]
enum Shows {
    /// `then`, and what has passed since the machine's clock showed `real`.
    Runs { then: Instant, real: Instant },
    /// This.
    Stands(Instant),
}

impl PausableClock {
    /// A clock that runs, or stands, and shows what the machine's does now.
    pub(crate) fn new(paused: bool) -> Self {
        let real = crate::os::now();
        let then = real;
        Self(Arc::new(Mutex::new(if paused {
            Shows::Stands(then)
        } else {
            Shows::Runs { then, real }
        })))
    }

    /// What the clock shows.
    pub fn now(&self) -> Instant {
        self.lock().now()
    }

    /// Does it stand still?
    pub fn is_paused(&self) -> bool {
        matches!(*self.lock(), Shows::Stands(_))
    }

    /// Stops it, or lets it run on from what it shows. False: it did so already.
    fn set_paused(&self, paused: bool) -> bool {
        let mut shows = self.lock();
        let then = shows.now();
        let was_paused = matches!(*shows, Shows::Stands(_));
        if was_paused == paused {
            return false;
        }
        *shows = if paused {
            Shows::Stands(then)
        } else {
            let real = crate::os::now();
            Shows::Runs { then, real }
        };
        true
    }

    /// Turns it forward, if it stands.
    fn turn_to(&self, moment: Instant) {
        if let Shows::Stands(at) = &mut *self.lock() {
            *at = moment.max(*at);
        }
    }

    /// What it shows; nothing panics under the lock.
    fn lock(&self) -> MutexGuard<'_, Shows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shows {
    /// See [`PausableClock::now`].
    fn now(self) -> Instant {
        match self {
            Shows::Runs { then, real } => then + crate::os::now().duration_since(real),
            Shows::Stands(at) => at,
        }
    }
}

/// Somebody who waits until all others rest.
#[derive(Debug, Default)]
pub(super) struct Rester {
    /// They did, or the wait has no sense any more.
    over: AtomicBool,
    /// Whom to tell.
    waker: Mutex<Option<Waker>>,
}

impl Rester {
    /// Whom to tell from now on. The clone and the drop of a waker are foreign code, without locks.
    fn note_waker(&self, waker: &Waker) {
        let waker = waker.clone();
        let before = self.lock_waker().replace(waker);
        drop(before);
    }

    /// The wait is over; answers who is to be told.
    fn tell(&self) -> Option<Waker> {
        // Release: pairs with the Acquire in `Timers::poll_rest`.
        self.over.store(true, Ordering::Release);
        self.lock_waker().take()
    }

    /// Whom to tell; nothing panics under the lock.
    fn lock_waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wait until the System of some timers rests; see [`Timers::poll_rest`].
#[derive(Debug, Default)]
pub struct Rest(Option<Arc<Rester>>);

impl Timers {
    /// Does the clock stand still, until all rest?
    pub fn is_paused(&self) -> bool {
        self.clock.is_paused()
    }

    /// Stops the clock. False: it stands already, or cannot be stopped.
    pub fn pause(&self) -> bool {
        self.set_paused(true)
    }

    /// Lets the clock run on from what it shows. False: it runs.
    pub fn resume(&self) -> bool {
        self.set_paused(false)
    }

    /// See [`Timers::pause`] and [`Timers::resume`].
    fn set_paused(&self, paused: bool) -> bool {
        let Clock::Pausable(clock) = &self.clock else {
            return false;
        };
        let mut state = self.lock();
        if !clock.set_paused(paused) {
            return false;
        }
        self.note_first(&state);
        state.asleep_until_ns = AWAKE;
        // Nobody looks whether all rest while the clock runs.
        let resters = std::mem::take(&mut state.resters);
        drop(state);
        self.rouse.unpark();
        self.tell(&resters);
        true
    }

    /// Waits until everybody else rests, until the clock runs, or until the timers are stopped. The
    /// clock stands still meanwhile. Polled after its end, it is another wait.
    pub fn poll_rest(&self, rest: &mut Rest, cx: &mut Context<'_>) -> Poll<()> {
        let is_new = rest.0.is_none();
        let rester = rest.0.get_or_insert_default();
        // Before the look, so that whoever ends the wait after it has somebody to tell.
        rester.note_waker(cx.waker());
        let waits = if is_new {
            self.add_rester(rester)
        } else {
            // Acquire: pairs with the Release in `Rester::tell`.
            !rester.over.load(Ordering::Acquire)
        };
        if waits {
            return Poll::Pending;
        }
        *rest = Rest::default();
        Poll::Ready(())
    }

    /// Somebody waits until all rest. False: there is nothing to wait for.
    fn add_rester(&self, rester: &Arc<Rester>) -> bool {
        let mut state = self.lock();
        // Under the lock, like the changes of both: who makes one after this finds the rester.
        if state.stopped || !self.is_paused() {
            return false;
        }
        state.resters.retain(|rester| rester.strong_count() > 0);
        state.resters.push(Arc::downgrade(rester));
        let rouse = std::mem::replace(&mut state.asleep_until_ns, AWAKE) != AWAKE;
        drop(state);
        if rouse {
            self.rouse.unpark();
        }
        true
    }

    /// As [`Timers::run`], for a clock that may be stopped. `all_rest` answers whether there was a
    /// moment during the call at which nothing but time could have had anything go on.
    pub(crate) fn run_and_turn(&self, all_rest: impl Fn() -> bool) {
        self.begin_service();
        let mut due = Vec::with_capacity(FIRE_BATCH);
        let mut pause = FIRST_PAUSE;
        loop {
            let goes_on = if self.is_paused() {
                self.turn(&mut due, &all_rest, &mut pause)
            } else {
                self.wait_for_batch(&mut due)
            };
            if !goes_on {
                break;
            }
            self.fire_all(&mut due);
        }
        self.lock().served = false;
    }

    /// One step of a clock that stands: takes out what is due, or else, if all rest, tells those
    /// who wait for that, or else goes on to the next deadline. False: the timers are stopped.
    fn turn(
        &self,
        due: &mut Vec<Fire>,
        all_rest: &impl Fn() -> bool,
        pause: &mut Duration,
    ) -> bool {
        let mut state = self.lock();
        if state.stopped {
            return false;
        }
        let expired = state.wheel.expire(self.to_ns(self.now()), due, FIRE_BATCH);
        if expired == Expired::More || !due.is_empty() {
            *pause = FIRST_PAUSE;
            return true;
        }
        let nobody_waits = state.wheel.next_deadline().is_none() && state.resters.is_empty();
        state.asleep_until_ns = if nobody_waits { NEVER } else { AWAKE };
        drop(state);
        if nobody_waits {
            self.rouse.park(None);
        } else if !all_rest() {
            self.rouse.park(Some(*pause));
            *pause = LONGEST_PAUSE.min(*pause * 2);
        } else {
            *pause = FIRST_PAUSE;
            self.go_on();
        }
        true
    }

    /// All rest: tells who waits for that, or else turns the clock to the first deadline.
    fn go_on(&self) {
        let mut state = self.lock();
        let resters = std::mem::take(&mut state.resters);
        if let (true, Some(next_ns)) = (resters.is_empty(), state.wheel.next_deadline()) {
            if let Clock::Pausable(clock) = &self.clock {
                clock.turn_to(self.start + Duration::from_nanos(next_ns));
            }
        }
        drop(state);
        self.tell(&resters);
    }

    /// Ends these waits. Without the lock: whom it tells is foreign code.
    pub(super) fn tell(&self, resters: &[Weak<Rester>]) {
        for rester in resters.iter().filter_map(Weak::upgrade) {
            if let Some(waker) = rester.tell() {
                self.fire_caught(Fire::Wake(waker));
            }
        }
    }
}
