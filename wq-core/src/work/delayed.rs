//! Delayed work items: an item and a timer that owns its PENDING bit until it fires.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::Duration;

use crate::proto::counts::Colour;
use crate::proto::state::{Request, Requested};
use crate::queue::DRAINING;
use crate::queue::handle::Queue;
use crate::timer::{Fire, OnTimer, TimerKey, Timers};
use crate::{os, route};

use super::run::Body;
use super::wait::Afterwards;
use super::{CancelWait, LOOKS_FOR_LOCKS, Queued, Work, WorkFlush, WorkInner, lock};

/// Numbers delayed items, for their queues' lists.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Longest delay that a clock can express; longer ones mean "never".
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Answer to [`Queue::modify_after`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use wq_core::{DelayedWork, Modified};
///
/// let queue = wq_core::Workqueue::unbound("ticks").build()?;
/// let tick = DelayedWork::new(|| ());
/// tick.work().disable();
/// assert_eq!(queue.modify_after(&tick, Duration::from_secs(1)), Modified::Disabled);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "an item that was not queued does not run for this call"]
pub enum Modified {
    /// It was idle, and is pending now.
    New,
    /// It was pending; its delay was set anew.
    Rearmed,
    /// It is disabled; nothing is pending.
    Disabled,
    /// The queue does not accept it: closed, draining or full; nothing is pending for this call,
    /// nor for those before it. Or this is a forked child, and the item was pending or ran at the
    /// fork.
    Closed,
}

/// The timer of an item.
#[derive(Debug, Default)]
struct Timer {
    armed: Option<ArmedTimer>,
    /// How often the item was about to be armed. Each arming has a number of its own: it has its
    /// place among the timers before it has a request.
    armings: u64,
}

/// An armed timer.
#[derive(Debug)]
struct ArmedTimer {
    key: TimerKey,
    /// Which one it is.
    arming: u64,
    timers: Arc<Timers>,
    queue: Queue,
    /// The CPU that was asked for, by its ordinal.
    home: Option<usize>,
    request: Request,
}

/// The shared part.
#[derive(Debug)]
pub(crate) struct DelayedInner {
    id: u64,
    work: Arc<WorkInner>,
    timer: Mutex<Timer>,
    /// The process whose timers these are, by its number. Changed under the timer's lock.
    process: AtomicU32,
}

/// A re-queueable work item with a timer. In a forked child it is as a [`Work`] item.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// let queue = wq_core::Workqueue::unbound("ticks").build()?;
/// let tick = wq_core::DelayedWork::new(|| println!("tick"));
/// assert_eq!(queue.queue_after(&tick, Duration::from_secs(3600)), wq_core::Queued::New);
/// assert!(tick.is_pending());
/// assert!(tick.cancel());
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "delayed_work")]
#[doc(alias = "DECLARE_DELAYED_WORK")]
pub struct DelayedWork(Arc<DelayedInner>);

impl DelayedWork {
    /// An idle item that runs `function`.
    #[doc(alias = "INIT_DELAYED_WORK")]
    pub fn new(function: impl FnMut() + Send + 'static) -> DelayedWork {
        DelayedWork(DelayedInner::of(Work::new(function)))
    }

    /// An idle item whose function gets a handle to the item, to arm it again for instance.
    ///
    /// The item keeps no handle to itself: it goes with the last one outside, after what is pending
    /// has run.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wq_core::{DelayedWork, Queue};
    ///
    /// let owner = wq_core::Workqueue::unbound("beats").build()?;
    /// let (queue, mut left) = (Queue::clone(&owner), 3);
    /// let (done, all_done) = std::sync::mpsc::channel();
    /// let beat = DelayedWork::with_self(move |this| {
    ///     left -= 1;
    ///     if left > 0 {
    ///         let _ = queue.queue_after(this, Duration::from_millis(1));
    ///     } else {
    ///         let _ = done.send(());
    ///     }
    /// });
    /// let _ = owner.queue_after(&beat, Duration::from_millis(1));
    /// all_done.recv()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_self(mut function: impl FnMut(&DelayedWork) + Send + 'static) -> DelayedWork {
        let kind = super::kind_of(&function);
        DelayedWork(Arc::new_cyclic(|this: &Weak<DelayedInner>| {
            let mut this = Weak::clone(this);
            let call = move |work: &Work| {
                // Nobody has the timer any more: a new one is as good.
                let inner = this.upgrade().unwrap_or_else(|| {
                    let inner = DelayedInner::of(work.clone());
                    this = Arc::downgrade(&inner);
                    inner
                });
                function(&DelayedWork(inner));
            };
            DelayedInner::parts(Work::of(kind, Body::Call(Box::new(call))))
        }))
    }

    /// An idle item that makes a future for each execution: see [`Work::new_async`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wq_core::{DelayedWork, Queued};
    ///
    /// let queue = wq_core::Workqueue::unbound("polls").build()?;
    /// let poll = DelayedWork::new_async(|| async { println!("polled") });
    /// assert_eq!(queue.queue_after(&poll, Duration::from_millis(1)), Queued::New);
    /// poll.flush().wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new_async<F>(function: impl FnMut() -> F + Send + 'static) -> DelayedWork
    where
        F: Future<Output = ()> + Send + 'static,
    {
        DelayedWork(DelayedInner::of(Work::new_async(function)))
    }

    /// The shared part.
    pub(crate) fn inner(&self) -> &Arc<DelayedInner> {
        &self.0
    }

    /// The item without its timer.
    pub fn work(&self) -> Work {
        Work(Arc::clone(&self.0.work))
    }

    /// Whether the timer is armed or an execution is queued.
    #[doc(alias = "delayed_work_pending")]
    pub fn is_pending(&self) -> bool {
        self.0.work.state().is_pending()
    }

    /// Whether the function runs.
    pub fn is_running(&self) -> bool {
        self.0.work.state().is_running()
    }

    /// Disarms the timer or takes the queued execution back; says whether there was one.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let queue = wq_core::Workqueue::unbound("ticks").build()?;
    /// let tick = wq_core::DelayedWork::new(|| println!("tick"));
    /// let _ = queue.queue_after(&tick, Duration::from_secs(60));
    /// assert!(tick.cancel() && !tick.cancel());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "cancel_delayed_work")]
    pub fn cancel(&self) -> bool {
        self.0.cancel()
    }

    /// As [`DelayedWork::cancel`], and waits until a running execution has ended. Until then the
    /// item is disabled. Yields whether it was pending.
    ///
    /// # Cancellation
    /// Dropping the wait enables the item again; what was taken back stays so.
    ///
    /// # Panics
    /// If the item is disabled 65535 times already.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let queue = wq_core::Workqueue::unbound("ticks").build()?;
    /// let tick = wq_core::DelayedWork::new(|| println!("tick"));
    /// let _ = queue.queue_after(&tick, Duration::from_secs(60));
    /// assert!(tick.cancel_and_wait().wait()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "cancel_delayed_work_sync")]
    pub fn cancel_and_wait(&self) -> CancelWait {
        CancelWait::begin(&self.0.work, self.disable(), Afterwards::Enable)
    }

    /// As [`DelayedWork::cancel`], and refuses requests until [`DelayedWork::enable`] was called as
    /// often as this.
    ///
    /// # Panics
    /// If the item is disabled 65535 times already.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wq_core::{DelayedWork, Queued};
    ///
    /// let queue = wq_core::Workqueue::unbound("ticks").build()?;
    /// let tick = DelayedWork::new(|| println!("tick"));
    /// assert_eq!(queue.queue_after(&tick, Duration::from_secs(60)), Queued::New);
    /// assert!(tick.disable()); // it was armed
    /// assert_eq!(queue.queue_after(&tick, Duration::ZERO), Queued::Disabled);
    /// assert_eq!(tick.enable(), Some(true));
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "disable_delayed_work")]
    pub fn disable(&self) -> bool {
        self.0.work.disable();
        self.0.cancel()
    }

    /// As [`DelayedWork::disable`], and waits until a running execution has ended: see
    /// [`Work::disable_and_wait`].
    ///
    /// # Cancellation
    /// Dropping the wait abandons it; the item stays disabled.
    ///
    /// # Panics
    /// If the item is disabled 65535 times already.
    ///
    /// # Examples
    /// ```
    /// let tick = wq_core::DelayedWork::new(|| println!("tick"));
    /// assert!(!tick.disable_and_wait().wait()?); // it was not armed
    /// assert_eq!(tick.enable(), Some(true));
    /// # Ok::<(), wq_core::WaitError>(())
    /// ```
    #[doc(alias = "disable_delayed_work_sync")]
    pub fn disable_and_wait(&self) -> CancelWait {
        CancelWait::begin(&self.0.work, self.disable(), Afterwards::StayDisabled)
    }

    /// As [`Work::enable`].
    ///
    /// # Examples
    /// ```
    /// let tick = wq_core::DelayedWork::new(|| println!("tick"));
    /// assert_eq!(tick.enable(), None); // it was not disabled
    /// ```
    #[doc(alias = "enable_delayed_work")]
    pub fn enable(&self) -> Option<bool> {
        self.0.work.state().enable()
    }

    /// If the timer is armed, queues the item now; then waits as [`Work::flush`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let queue = wq_core::Workqueue::unbound("ticks").build()?;
    /// let tick = wq_core::DelayedWork::new(|| println!("tick"));
    /// let _ = queue.queue_after(&tick, Duration::from_secs(60));
    /// tick.flush().wait()?; // now, not in a minute
    /// assert!(!tick.is_pending());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "flush_delayed_work")]
    pub fn flush(&self) -> WorkFlush {
        self.0.fire_now();
        WorkFlush::begin(&self.0.work)
    }
}

impl DelayedInner {
    /// An idle timer for this item.
    fn of(work: Work) -> Arc<DelayedInner> {
        Arc::new(DelayedInner::parts(work))
    }

    /// See [`DelayedInner::of`].
    fn parts(work: Work) -> DelayedInner {
        DelayedInner {
            // Relaxed: only uniqueness matters.
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            work: work.0,
            timer: Mutex::new(Timer::default()),
            process: AtomicU32::new(os::generation()),
        }
    }

    /// Whether a timer has it.
    #[cfg(any(test, wq_sim))]
    pub(crate) fn is_armed(&self) -> bool {
        self.timer().armed.is_some()
    }

    /// See [`DelayedWork::is_pending`].
    #[cfg(any(test, wq_sim))]
    pub(crate) fn is_pending(&self) -> bool {
        self.work.state().is_pending()
    }

    /// Locks the timer.
    fn timer(&self) -> MutexGuard<'_, Timer> {
        lock(&self.timer)
    }

    /// See [`Queue::queue_after`]; at home on the CPU `home`, if any is given.
    pub(crate) fn queue_after(
        self: &Arc<Self>,
        queue: &Queue,
        home: Option<usize>,
        delay: Duration,
    ) -> Queued {
        if delay.is_zero() {
            return match home {
                Some(home) => self.work.queue_at(queue, home),
                None => queue.queue(&Work(Arc::clone(&self.work))),
            };
        }
        if !self.work.is_ours(queue) || !self.has_timer() {
            return Queued::Closed;
        }
        if let Some(answer) = self.work.refused() {
            return answer;
        }
        if queue.is_closed() {
            return Queued::Closed;
        }
        self.arm(queue, home, delay)
    }

    /// Whether the timer is this process's. A forked child makes its parent's its own, if no thread
    /// of the parent's was at it, which would hold the lock for ever.
    #[inline]
    fn has_timer(&self) -> bool {
        // Relaxed: it differs only where the fork, which this thread comes from, has been.
        self.process.load(Ordering::Relaxed) == os::generation() || self.adopt_timer()
    }

    /// See [`DelayedInner::has_timer`].
    #[cold]
    fn adopt_timer(&self) -> bool {
        for _ in 0..LOOKS_FOR_LOCKS {
            let mut timer = match self.timer.try_lock() {
                Ok(timer) => timer,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    os::sched_yield();
                    continue;
                }
            };
            // Another thread of this process may have been faster, and have armed it.
            if self.process.load(Ordering::Relaxed) != os::generation() {
                // A timer and a queue of the parent's, whose locks may be held for ever.
                std::mem::forget(timer.armed.take());
                self.process.store(os::generation(), Ordering::Relaxed);
            }
            return true;
        }
        false
    }

    /// Arms the timer, and asks for the request when it has its place: whoever finds one that is
    /// granted may rely on it.
    fn arm(self: &Arc<Self>, queue: &Queue, home: Option<usize>, delay: Duration) -> Queued {
        let timers = Arc::clone(&queue.0.system.timers);
        let mut timer = self.timer();
        timer.armings += 1;
        let arming = timer.armings;
        let fire: Arc<dyn OnTimer> = Arc::new(Expiry {
            item: Arc::clone(self),
            arming,
        });
        let now = timers.now();
        let deadline = now.checked_add(delay.min(FAR)).unwrap_or(now);
        // What fires at once waits for the lock, and finds what is armed by then.
        let Ok(key) = timers.arm(deadline, Fire::Call(fire)) else {
            return self.work.refused().unwrap_or(Queued::Closed);
        };
        let request = match self.request_for(queue) {
            Ok(request) => request,
            Err(refused) => {
                drop(timer);
                drop(timers.cancel(key));
                return refused;
            }
        };
        let stale = timer.armed.replace(ArmedTimer {
            key,
            arming,
            timers,
            queue: queue.clone(),
            home,
            request,
        });
        if let Some(stale) = stale {
            // `Work::cancel` took its request back, and knows nothing of timers.
            stale.unlist_unless(self.id, queue);
            drop(timer);
            drop(stale.timers.cancel(stale.key));
        }
        Queued::New
    }

    /// Has a request granted, and the item listed for it. Under the timer's lock: an item is listed
    /// while, and where, it is armed.
    fn request_for(self: &Arc<Self>, queue: &Queue) -> Result<Request, Queued> {
        let mut list = list(queue);
        // Under the list's lock: a `destroy` closes the queue before it takes the list.
        if queue.is_closed() {
            return Err(Queued::Closed);
        }
        match self.work.state().request() {
            Requested::Granted(request) => {
                list.insert(self.id, (request, Arc::downgrade(self)));
                Ok(request)
            }
            // Somebody was faster.
            Requested::Disabled => Err(Queued::Disabled),
            Requested::AlreadyPending => Err(Queued::AlreadyPending),
        }
    }

    /// See [`Queue::modify_after`].
    pub(crate) fn modify_after(
        self: &Arc<Self>,
        queue: &Queue,
        home: Option<usize>,
        delay: Duration,
    ) -> Modified {
        let was_pending = self.cancel();
        match self.queue_after(queue, home, delay) {
            Queued::New if was_pending => Modified::Rearmed,
            // Somebody else was faster; the item is pending, as asked.
            Queued::New => Modified::New,
            Queued::AlreadyPending => Modified::Rearmed,
            Queued::Disabled => Modified::Disabled,
            Queued::Closed => Modified::Closed,
        }
    }

    /// Disarms, or takes the queued execution back.
    pub(crate) fn cancel(&self) -> bool {
        if self.work.is_forked() {
            // The timer is in another process, and the lock may be held for ever.
            return false;
        }
        if !self.has_timer() {
            return self.work.cancel();
        }
        let armed = {
            let mut timer = self.timer();
            if let Some(armed) = &timer.armed {
                list(&armed.queue).remove(&self.id);
            }
            timer.armed.take()
        };
        if let Some(armed) = armed {
            // If the timer is firing this moment, its request is stale when it arrives.
            drop(armed.timers.cancel(armed.key));
        }
        self.work.cancel()
    }

    /// As [`DelayedInner::cancel`], for who has taken the list in which it stood for this request:
    /// a later one stays, and so does its timer.
    pub(crate) fn cancel_listed(&self, request: Request) -> bool {
        let is_for_it = |armed: &mut ArmedTimer| armed.request == request;
        let armed = self.timer().armed.take_if(is_for_it);
        if let Some(armed) = armed {
            drop(armed.timers.cancel(armed.key));
        }
        self.work.cancel_request(request)
    }

    /// For tests: what `f` answers while somebody holds the item's locks.
    #[cfg(all(target_os = "linux", not(wq_portable)))]
    pub(crate) fn while_locked<R>(&self, f: impl FnOnce() -> R) -> R {
        let _timer = self.timer();
        self.work.while_locked(f)
    }

    /// For tests: what `f` answers while somebody arms the item.
    #[cfg(all(target_os = "linux", not(wq_portable)))]
    pub(crate) fn while_armed<R>(&self, f: impl FnOnce() -> R) -> R {
        let _timer = self.timer();
        f()
    }

    /// Queues an armed item now.
    fn fire_now(&self) {
        if self.work.is_forked() || !self.has_timer() {
            return;
        }
        // If it fires this moment, it stays for the expiry to find.
        self.expire(|armed| armed.timers.cancel(armed.key).is_some());
    }

    /// Queues the armed item if `is_due` says so.
    fn expire(&self, is_due: impl FnOnce(&mut ArmedTimer) -> bool) {
        let mut timer = self.timer();
        let Some(armed) = timer.armed.take_if(is_due) else {
            return;
        };
        let promise = armed.promise(self.id);
        drop(timer);
        match promise {
            Promise::Kept(colour) => {
                self.work
                    .submit_promised(&armed.queue, armed.home, armed.request, colour);
            }
            // This request alone, twice: with the timer's lock gone, a later one may be pending.
            Promise::Broken(colour) => {
                self.work.cancel_request(armed.request);
                route::end_promised(armed.queue.0.queue, colour);
            }
            Promise::Stopped => {
                self.work.cancel_request(armed.request);
            }
            Promise::TakenBack => {}
        }
    }
}

/// What becomes of an item whose time has come.
enum Promise {
    /// It is counted in, with this flush colour, and to be queued.
    Kept(Colour),
    /// It is counted in, but the queue drains: as in the kernel, what comes from a timer is never
    /// chained.
    Broken(Colour),
    /// The System shuts down: the delay ends without an execution.
    Stopped,
    /// A `destroy` took the list in which the item stood, and is about to cancel it.
    TakenBack,
}

impl ArmedTimer {
    /// Takes the item off its queue's list, if that is not this one, where it stands anew.
    fn unlist_unless(&self, id: u64, queue: &Queue) {
        if !Arc::ptr_eq(&self.queue.0, &queue.0) {
            list(&self.queue).remove(&id);
        }
    }

    /// Takes the item off its queue's list, and counts it in under the list's lock: a `destroy`,
    /// which takes the list before it waits, either takes the item back or waits for it.
    fn promise(&self, id: u64) -> Promise {
        let mut list = list(&self.queue);
        if list.remove(&id).is_none() {
            return Promise::TakenBack;
        }
        if self.timers.is_stopped() {
            return Promise::Stopped;
        }
        let queue = self.queue.0.queue.get();
        let colour = queue.accept_promised();
        let drains = queue.flags() & DRAINING != 0;
        if drains {
            Promise::Broken(colour)
        } else {
            Promise::Kept(colour)
        }
    }
}

/// Items that are armed for a queue, by their numbers.
pub(crate) type ArmedList = HashMap<u64, (Request, Weak<DelayedInner>)>;

/// The list of armed items of a queue.
fn list(queue: &Queue) -> MutexGuard<'_, ArmedList> {
    queue.0.armed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the timer calls.
struct Expiry {
    item: Arc<DelayedInner>,
    arming: u64,
}

impl OnTimer for Expiry {
    fn fire(self: Arc<Self>) {
        // Another one, or none: cancelled, or set anew, while this fired.
        self.item.expire(|armed| armed.arming == self.arming);
    }
}

#[cfg(test)]
mod tests;
