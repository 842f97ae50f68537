//! Timers: something to wake or to call, at a moment.
//!
//! One [`Timers`] serves a whole System: a timing wheel in a lock. A worker that has nothing to do
//! sleeps until the first deadline and fires what is due (it *keeps* the timers), busy ones look
//! between items, and a service thread does it where no worker keeps them. Meant for delays of
//! tasks and of work items; not for wall-clock time, and not for deadlines below the tens of
//! microseconds that a wake-up costs.
//!
//! What is kept at all times:
//!
//! - A timer never fires early, and of two that are due the one with the earlier deadline fires
//!   first, first come first served among equals (for one caller of [`Timers::expire_due`]).
//! - A timer fires at most once: whoever takes its [`Fire`] out of the wheel, to fire or to cancel
//!   it, has it alone.
//! - No waker is cloned, woken or dropped under the lock, and no callback runs there. Each may
//!   come back here.
//! - Arming wakes the keeper and the service thread only for a deadline earlier than those that
//!   they sleep for. All of that is decided under the lock; what is read without it is a hint.
//!
//! Users meet timers as [`DelayedWork`](crate::DelayedWork) and, in wq-async, as `wq::time`. This
//! module is for those who build such things.
//!
//! # Examples
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use wq_core::timer::{Clock, Fire, OnTimer, Timers, VirtualClock};
//!
//! /// Says that it was called.
//! struct Hello;
//! impl OnTimer for Hello {
//!     fn fire(self: Arc<Self>) {
//!         println!("hello");
//!     }
//! }
//!
//! let timers = Timers::with_clock(Clock::Virtual(VirtualClock::new()));
//! let deadline = timers.now() + Duration::from_secs(60);
//! let key = timers.arm(deadline, Fire::Call(Arc::new(Hello)))?;
//! timers.advance(Duration::from_secs(60));
//! assert_eq!(timers.expire_due(), 1);
//! assert!(timers.cancel(key).is_none(), "it has fired");
//! # Ok::<(), wq_core::timer::ArmError>(())
//! ```

#![forbid(unsafe_code)]

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::proto::park::Parker;
use crate::worker::Worker;

#[cfg(feature = "test-util")]
pub use self::clock::PausableClock;
pub use self::clock::{Clock, VirtualClock};
use self::fire::ArmErrorKind;
pub use self::fire::{ArmError, Fire, OnTimer};
#[cfg(feature = "test-util")]
pub use self::pause::Rest;
pub use self::slab::{MAX_TIMERS, TimerKey};
use self::wheel::{Expired, Wheel};

mod clock;
mod fire;
#[cfg(feature = "test-util")]
mod pause;
mod slab;
#[cfg(test)]
mod tests;
pub(crate) mod wheel;

/// How much later than the first deadline the service thread wakes up while a worker that sleeps no
/// longer than until then fires it: a worker that was woken for something else fires when it has
/// run dry, or now and then between items, and this is for one whose item takes long. None in
/// timelines that are compared to the instant.
const GRACE_NS: u64 = if cfg!(any(test, wq_sim)) { 0 } else { 100_000 };

/// A worker that has fired timers sleeps for at least so long before it fires more: of many dense
/// ones, each would cost a wake-up otherwise. What comes alone is exact.
const GATHER_NS: u64 = 50_000;

/// Timers fired for one hold of the lock, so that those who arm and cancel wait for a few
/// microseconds at most, however many timers are due at once.
const FIRE_BATCH: usize = 64;

/// [`State::asleep_until_ns`] of a thread that is awake: no deadline is earlier than zero.
const AWAKE: u64 = 0;

/// The timers of one System; see the module's text.
pub struct Timers {
    /// Where the time comes from.
    clock: Clock,
    /// The moment that the wheel calls zero.
    start: Instant,
    /// Everything that changes.
    state: Mutex<State>,
    /// Where the service thread sleeps.
    rouse: Parker,
    /// Copy of [`State::stopped`] for those who don't want the lock.
    stopped: StopFlag,
    /// Timers fired.
    fired: Counter,
    /// Timers whose waker or callback panicked.
    panicked: Counter,
    /// The first deadline, or [`NEVER`]; written under the lock. For those who look without it.
    first_ns: AtomicU64,
    /// Somebody keeps the timers; written under the lock.
    is_kept: AtomicBool,
}

/// No deadline.
const NEVER: u64 = u64::MAX;

/// What the lock protects.
#[derive(Debug)]
struct State {
    /// The armed timers, by nanoseconds since [`Timers::start`].
    wheel: Wheel<Fire>,
    /// The deadline that the service thread sleeps for; [`AWAKE`] if it will look by itself.
    asleep_until_ns: u64,
    /// The worker that sleeps no longer than until the first deadline, and until when it sleeps.
    keeper: Option<(Arc<Worker>, u64)>,
    /// When a worker has fired some last.
    fired_ns: u64,
    /// Is there a service thread? Only for the check that there is one at most.
    served: bool,
    /// Has [`Timers::stop`] been called? Then the wheel is empty for ever.
    stopped: bool,
    /// Those who wait until all rest; told when the clock stands and they do.
    #[cfg(feature = "test-util")]
    resters: Vec<std::sync::Weak<pause::Rester>>,
}

impl Timers {
    /// Timers by the machine's clock.
    ///
    /// They fire once a thread is in [`run`](Self::run), or whenever somebody calls
    /// [`expire_due`](Self::expire_due).
    pub fn new() -> Arc<Self> {
        Self::with_clock(Clock::Real)
    }

    /// Timers by the given clock.
    pub fn with_clock(clock: Clock) -> Arc<Self> {
        let state = State {
            wheel: Wheel::new(),
            asleep_until_ns: AWAKE,
            keeper: None,
            fired_ns: 0,
            served: false,
            stopped: false,
            #[cfg(feature = "test-util")]
            resters: Vec::new(),
        };
        Arc::new(Self {
            start: clock.now(),
            clock,
            state: Mutex::new(state),
            rouse: Parker::new(),
            stopped: StopFlag::default(),
            fired: Counter::default(),
            panicked: Counter::default(),
            first_ns: AtomicU64::new(NEVER),
            is_kept: AtomicBool::new(false),
        })
    }

    /// What the clock shows. A timer that has fired had a deadline not after this.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Has something fire at `deadline`; at once, but not here, if that has passed.
    ///
    /// # Errors
    ///
    /// Hands `fire` back after [`stop`](Self::stop), and while [`MAX_TIMERS`] are armed.
    pub fn arm(&self, deadline: Instant, fire: Fire) -> Result<TimerKey, ArmError> {
        let deadline_ns = self.to_ns(deadline);
        let mut state = self.lock();
        if state.stopped {
            return Err(ArmError::new(fire, ArmErrorKind::Stopped));
        }
        let armed = state.wheel.insert(deadline_ns, fire);
        let rouse = armed.is_ok() && deadline_ns < state.asleep_until_ns;
        if rouse {
            // The next one to arm need not rouse a thread that is about to look.
            state.asleep_until_ns = AWAKE;
        }
        let keeper = state.keeper_to_rouse(deadline_ns).filter(|_| armed.is_ok());
        // Relaxed: a hint, see `is_due`. Every writer has the lock.
        let is_first = deadline_ns < self.first_ns.load(Ordering::Relaxed);
        if armed.is_ok() && is_first && !self.clock.is_paused() {
            self.first_ns.store(deadline_ns, Ordering::Relaxed);
        }
        drop(state);
        if rouse {
            self.rouse.unpark();
        }
        if let Some(keeper) = keeper {
            keeper.parker.unpark();
        }
        armed.map_err(|fire| ArmError::new(fire, ArmErrorKind::Full))
    }

    /// Disarms a timer and returns what it was to do; `None` if it has fired, is about to, or was
    /// disarmed before. The service thread is left asleep.
    pub fn cancel(&self, key: TimerKey) -> Option<Fire> {
        let mut state = self.lock();
        let fire = state.wheel.cancel(key);
        if state.wheel.len() == 0 {
            // So that nobody sleeps for it, with none left.
            self.note_first(&state);
        }
        fire
    }

    /// Has an armed timer wake `waker` instead; false if it has fired, is about to, or was
    /// disarmed. Leaves a timer that calls back as it is.
    pub fn update_waker(&self, key: TimerKey, waker: &Waker) -> bool {
        match self.lock().wheel.payload_mut(key) {
            None => return false,
            Some(Fire::Wake(armed)) if !armed.will_wake(waker) => {}
            Some(_) => return true,
        }
        // Cloning and dropping wakers runs foreign code, hence outside the lock, twice taken.
        let mut waker = waker.clone();
        let updated = match self.lock().wheel.payload_mut(key) {
            Some(Fire::Wake(armed)) => {
                mem::swap(armed, &mut waker);
                true
            }
            Some(Fire::Call(_)) => true,
            None => false,
        };
        drop(waker);
        updated
    }

    /// The body of the service thread: fires what is due, sleeps until more is, and returns when
    /// [`stop`](Self::stop) is called.
    ///
    /// With a virtual clock it sleeps until [`advance`](Self::advance) is called.
    ///
    /// # Panics
    ///
    /// If another thread is in here.
    pub fn run(&self) {
        self.begin_service();
        let mut due = Vec::with_capacity(FIRE_BATCH);
        while self.wait_for_batch(&mut due) {
            self.fire_all(&mut due);
        }
        self.lock().served = false;
    }

    /// The calling thread is the one that serves.
    fn begin_service(&self) {
        let served = mem::replace(&mut self.lock().served, true);
        assert!(!served, "timers are served by one thread at a time");
    }

    /// Fires what is due now, on the calling thread, and says how many that were.
    ///
    /// For tests with a virtual clock, and for threads that look at the time anyway; the service
    /// thread may be running.
    pub fn expire_due(&self) -> usize {
        let now_ns = self.to_ns(self.now());
        let mut due = Vec::new();
        let mut fired = 0;
        loop {
            let mut state = self.lock();
            let expired = state.wheel.expire(now_ns, &mut due, FIRE_BATCH);
            self.note_first(&state);
            drop(state);
            fired += due.len();
            self.fire_all(&mut due);
            if expired == Expired::Done {
                return fired;
            }
        }
    }

    /// Whether something is due at this moment of the clock; a hint for who looks now and then.
    pub(crate) fn is_due(&self, now: impl FnOnce() -> Instant) -> bool {
        // Relaxed: whoever misses a deadline is not the only one who looks.
        let first_ns = self.first_ns.load(Ordering::Relaxed);
        first_ns != NEVER && first_ns <= self.to_ns(now())
    }

    /// Fires what is due, a batch at most, on the calling thread; `due` lends its memory.
    pub(crate) fn fire_some(&self, due: &mut Vec<Fire>) {
        let now_ns = self.to_ns(self.now());
        let mut state = self.lock();
        // What is left is due still, and fired by the next who looks.
        let _ = state.wheel.expire(now_ns, due, FIRE_BATCH);
        if !due.is_empty() {
            state.fired_ns = now_ns;
        }
        self.note_first(&state);
        drop(state);
        self.fire_all(due);
    }

    /// For a worker that is about to sleep: if there are timers that nobody keeps, it keeps them.
    /// Answers how long it may sleep then. An earlier deadline wakes it.
    ///
    /// With a virtual clock the service thread alone keeps timers.
    pub(crate) fn keep(&self, worker: &Arc<Worker>) -> Option<Duration> {
        // Relaxed: hints; whoever arms the first timer rouses the service thread.
        let nothing_to_do = self.first_ns.load(Ordering::Relaxed) == NEVER
            || self.is_kept.load(Ordering::Relaxed)
            || matches!(self.clock, Clock::Virtual(_));
        if nothing_to_do {
            return None;
        }
        let mut state = self.lock();
        if state.stopped || state.keeper.is_some() || self.clock.is_paused() {
            return None;
        }
        let until_ns = state.gathered(state.wheel.next_deadline()?);
        state.keeper = Some((Arc::clone(worker), until_ns));
        // Relaxed: as above.
        self.is_kept.store(true, Ordering::Relaxed);
        drop(state);
        let now_ns = self.to_ns(self.now());
        Some(Duration::from_nanos(until_ns.saturating_sub(now_ns)))
    }

    /// The keeper is awake.
    pub(crate) fn end_keep(&self) {
        let mut state = self.lock();
        state.keeper = None;
        // Relaxed: see `keep`.
        self.is_kept.store(false, Ordering::Relaxed);
    }

    /// Keeps [`Timers::first_ns`] right.
    fn note_first(&self, state: &State) {
        // While the clock stands, the service thread alone fires: one step at a time.
        let is_paused = self.clock.is_paused();
        let first_ns = state.wheel.next_deadline().filter(|_| !is_paused);
        // Relaxed: see `is_due`.
        self.first_ns
            .store(first_ns.unwrap_or(NEVER), Ordering::Relaxed);
    }

    /// Turns a virtual clock forward and tells the service thread, if there is one.
    ///
    /// # Panics
    ///
    /// If the clock is the machine's.
    pub fn advance(&self, by: Duration) {
        let Clock::Virtual(clock) = &self.clock else {
            panic!("only a virtual clock can be advanced");
        };
        let state = self.lock();
        clock.advance(by);
        drop(state);
        self.rouse.unpark();
    }

    /// Ends everything: refuses to arm from now on, has [`run`](Self::run) return, and hands over
    /// all that is armed, by deadline. A second call gets nothing.
    ///
    /// The caller should fire the wakers among these: a task of another executor that sleeps here
    /// then finds itself another clock instead of sleeping for ever.
    pub fn stop(&self) -> Vec<Fire> {
        let mut state = self.lock();
        state.stopped = true;
        self.stopped.set();
        let unfired = state.wheel.drain();
        self.note_first(&state);
        // Nobody looks whether all rest any more.
        #[cfg(feature = "test-util")]
        let resters = mem::take(&mut state.resters);
        drop(state);
        self.rouse.unpark();
        #[cfg(feature = "test-util")]
        self.tell(&resters);
        unfired
    }

    /// Has [`stop`](Self::stop) been called? Whoever was woken by what that handed over gets true.
    pub fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// Timers armed.
    pub fn len(&self) -> usize {
        self.lock().wheel.len()
    }

    /// Is no timer armed?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When to call [`expire_due`](Self::expire_due) next: not after the first deadline, but
    /// possibly before it if a timer was disarmed. `None` if nothing is armed.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadline_ns = self.lock().wheel.next_deadline()?;
        self.start.checked_add(Duration::from_nanos(deadline_ns))
    }

    /// Timers fired so far, each counted before its waker or callback runs.
    pub fn fired(&self) -> u64 {
        self.fired.get()
    }

    /// Timers whose waker or callback panicked.
    pub fn panicked(&self) -> u64 {
        self.panicked.get()
    }

    /// Takes the lock. No foreign code runs under it, so a panic there can only be a failed check
    /// in the wheel, made before it changes anything: the state is whole, poisoned or not.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wheel's name for a moment: zero for all before the start, the last for all after.
    fn to_ns(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.start);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Sleeps until there is something to fire and moves it to `due`, which it may leave empty to
    /// let others have the lock; false when the timers are stopped.
    fn wait_for_batch(&self, due: &mut Vec<Fire>) -> bool {
        let mut state = self.lock();
        while !state.stopped {
            let now_ns = self.to_ns(self.now());
            let expired = state.wheel.expire(now_ns, due, FIRE_BATCH);
            self.note_first(&state);
            if expired == Expired::More || !due.is_empty() || self.clock.is_paused() {
                return true;
            }
            state = self.sleep(state, now_ns);
        }
        false
    }

    /// Sleeps until the first deadline or until roused, whichever comes first; may also return
    /// for no reason. Lets go of the lock meanwhile, so anything may have changed.
    fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State>, now_ns: u64) -> MutexGuard<'a, State> {
        // A keeper fires in time; this is for one that was woken for something else meanwhile.
        let grace_ns = state.keeper.as_ref().map_or(0, |_| GRACE_NS);
        let until_ns = state.wheel.next_deadline();
        let until_ns = until_ns.map(|until_ns| until_ns.saturating_add(grace_ns));
        state.asleep_until_ns = until_ns.unwrap_or(u64::MAX);
        drop(state);
        self.rouse.park(match (until_ns, &self.clock) {
            (None, _) | (_, Clock::Virtual(_)) => None,
            (Some(until_ns), _) => Some(Duration::from_nanos(until_ns.saturating_sub(now_ns))),
        });
        let mut state = self.lock();
        state.asleep_until_ns = AWAKE;
        state
    }

    /// Fires a batch, in order, without the lock.
    fn fire_all(&self, due: &mut Vec<Fire>) {
        for fire in due.drain(..) {
            self.fired.increment();
            self.fire_caught(fire);
        }
    }

    /// Fires one; a panic is counted, and so kept from the timers behind this one.
    pub(crate) fn fire_caught(&self, fire: Fire) {
        let Err(payload) = catch_unwind(AssertUnwindSafe(|| fire.fire())) else {
            return;
        };
        self.panicked.increment();
        // A panic's payload may panic when dropped; what that throws is leaked, to end it here.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(payload);
        }
    }
}

impl State {
    /// When a worker that sleeps is to fire what has this deadline.
    fn gathered(&self, deadline_ns: u64) -> u64 {
        deadline_ns.max(self.fired_ns.saturating_add(GATHER_NS))
    }

    /// The keeper, if it sleeps for longer than until this deadline. It is roused once.
    fn keeper_to_rouse(&mut self, deadline_ns: u64) -> Option<Arc<Worker>> {
        let deadline_ns = self.gathered(deadline_ns);
        let (keeper, until_ns) = self.keeper.as_mut()?;
        if deadline_ns >= *until_ns {
            return None;
        }
        *until_ns = AWAKE;
        Some(Arc::clone(keeper))
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("clock", &self.clock)
            .field("len", &self.len())
            .field("fired", &self.fired())
            .field("is_stopped", &self.is_stopped())
            .finish_non_exhaustive()
    }
}

/// A count that is only read to be shown.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    /// One more.
    fn increment(&self) {
        // Relaxed: the count stands for itself and publishes nothing.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The count so far.
    fn get(&self) -> u64 {
        // Relaxed: as in `increment`.
        self.0.load(Ordering::Relaxed)
    }
}

/// A flag that is set once.
#[derive(Debug, Default)]
struct StopFlag(AtomicBool);

impl StopFlag {
    /// Sets the flag; the caller is about to publish what the stop set free.
    fn set(&self) {
        // Release: pairs with the Acquire in `get`.
        self.0.store(true, Ordering::Release);
    }

    /// Is the flag set?
    fn get(&self) -> bool {
        // Acquire: pairs with the Release in `set`, so whoever sees the flag sees an empty wheel's
        // consequences. That a woken task sees the flag at all follows from its being woken.
        self.0.load(Ordering::Acquire)
    }
}
