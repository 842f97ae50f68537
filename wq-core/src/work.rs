//! Re-queueable work items: one function, queued as often as one likes, never run twice at once.
//!
//! An item's word (`proto::state`) decides who may queue it and who may run it; each granted
//! request becomes one task, numbered, so that a cancelled request's entry is recognised as
//! stale when a worker reaches it. A request that is reached while the item still runs waits,
//! keeping its slot, and goes on when the run has ended (the kernel: it moves to the worker that
//! runs the item).
//!
//! In a forked child an item of the parent's stays what it was at the fork: nobody ends it, and a
//! thread that is not there may hold its locks. No request takes one there before the item is known
//! to be whole ([`WorkInner::is_ours`]).

pub(crate) mod delayed;
mod run;
#[cfg(test)]
mod tests;
mod wait;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::Waker;

use crate::kind::Kind;
use crate::proto::counts::Colour;
use crate::proto::state::{Begin, Request, Requested, WakeDeferred, WorkState};
use crate::queue::QueueRef;
use crate::queue::handle::Queue;
use crate::queue::wait::WaitError;
use crate::{guard, os, route, task};

pub(crate) use run::current_run;
pub use run::current_work;
use run::{Body, Run, RunFuture};
pub(crate) use wait::not_later as is_not_later;
use wait::{Afterwards, Progress};
pub use wait::{CancelWait, WorkFlush};

/// Answer to a queueing call.
///
/// # Examples
/// ```
/// use wq_core::{Queued, Work};
///
/// let queue = wq_core::Workqueue::unbound("ticks").build()?;
/// let work = Work::new(|| ());
/// work.disable();
/// assert_eq!(queue.queue(&work), Queued::Disabled);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "an item that was not queued does not run for this call"]
pub enum Queued {
    /// This call queued it.
    New,
    /// It was pending already; that execution will see what the caller stored before this call.
    AlreadyPending,
    /// It is disabled (or being cancelled); the request is lost.
    Disabled,
    /// The queue does not accept it: closed, draining or full. Or this is a forked child, and the
    /// item was pending or ran at the fork.
    Closed,
}

/// How often a forked child looks for an item's locks before it takes them for lost. Another
/// thread of the child, which is about to make the item its own as well, holds them for some
/// instructions.
pub(crate) const LOOKS_FOR_LOCKS: u32 = 1000;

/// The shared part of an item.
pub(crate) struct WorkInner {
    /// The word.
    state: WorkState,
    /// What it is made of.
    kind: &'static Kind,
    /// The process that it is in (see `os::generation`): where it was made, or the forked child
    /// that found it idle and has queued it since. Written by `is_ours`.
    process: AtomicU32,
    /// What it does. Locked only by the one execution that there is.
    body: Mutex<Body>,
    /// The execution that waits for the running one to end.
    deferred: Mutex<Option<Waker>>,
    /// Which requests have ended, and who waits for which.
    progress: Mutex<Progress>,
}

impl fmt::Debug for WorkInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkInner")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// A re-queueable work item.
///
/// Queue it with [`Queue::queue`]. However often it is queued while it is pending, one execution
/// follows; queued while it runs, one more follows after it, never beside it, whatever the queue.
/// A clone is another handle to the same item.
///
/// # Statics
/// An item that a whole program shares is a static: its handle derefs.
///
/// ```
/// use std::sync::LazyLock;
/// use wq_core::{Queued, Work};
///
/// static TICK: LazyLock<Work> = LazyLock::new(|| Work::new(|| println!("tick")));
///
/// let queue = wq_core::Workqueue::unbound("ticks").build()?;
/// assert_eq!(queue.queue(&TICK), Queued::New);
/// TICK.flush().wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Forks
/// In a forked child, an item that was pending or ran at the fork stays so: waits for it are errors
/// at once (`is_forked`), it cannot be cancelled, and queueing it is refused. One that was idle can
/// be queued on a System of the child's.
///
/// # Examples
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// static RUNS: AtomicU32 = AtomicU32::new(0);
///
/// let queue = wq_core::Workqueue::unbound("tick").build()?;
/// let work = wq_core::Work::new(|| {
///     RUNS.fetch_add(1, Ordering::Relaxed);
/// });
/// assert_eq!(queue.queue(&work), wq_core::Queued::New);
/// work.flush().wait()?;
/// assert_eq!(RUNS.load(Ordering::Relaxed), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "work_struct")]
#[doc(alias = "DECLARE_WORK")]
pub struct Work(Arc<WorkInner>);

/// Whether an item is pending, and whether it runs: [`Work::busy`]. Both, after it was queued while
/// it ran.
///
/// # Examples
/// ```
/// use wq_core::{Busy, Work};
///
/// let work = Work::new(|| ());
/// assert_eq!(work.busy(), Busy::default());
/// assert!(work.busy().is_idle());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub struct Busy {
    /// An execution is to come.
    pub pending: bool,
    /// The function runs, or the future of an execution is under way.
    pub running: bool,
}

impl Busy {
    /// Neither.
    pub fn is_idle(self) -> bool {
        self == Busy::default()
    }
}

impl Work {
    /// An idle item that runs `function`.
    #[doc(alias = "INIT_WORK")]
    pub fn new(mut function: impl FnMut() + Send + 'static) -> Work {
        let kind = kind_of(&function);
        Work::of(kind, Body::Call(Box::new(move |_| function())))
    }

    /// An idle item whose function gets a handle to the item, to queue it again for instance.
    ///
    /// The item keeps no handle to itself: it goes with the last one outside, after what is pending
    /// has run.
    ///
    /// # Examples
    /// ```
    /// use wq_core::{Queue, Work};
    ///
    /// let owner = wq_core::Workqueue::unbound("steps").build()?;
    /// let (queue, mut left) = (Queue::clone(&owner), 3);
    /// let steps = Work::with_self(move |this| {
    ///     left -= 1;
    ///     if left > 0 {
    ///         let _ = queue.queue(this); // once more, after this run
    ///     }
    /// });
    /// let _ = owner.queue(&steps);
    /// owner.drain().wait()?;
    /// assert_eq!(owner.stats().completed, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_self(function: impl FnMut(&Work) + Send + 'static) -> Work {
        let kind = kind_of(&function);
        Work::of(kind, Body::Call(Box::new(function)))
    }

    /// An idle item that makes a future for each execution, and runs until that is ready.
    ///
    /// A suspended execution is one that runs: it keeps its slot, a request meanwhile leads to one
    /// more execution after it, flushes and cancels wait for it. [`current_work`] is the item.
    ///
    /// # Examples
    /// ```
    /// use wq_core::{Queued, Work};
    ///
    /// let queue = wq_core::Workqueue::unbound("polls").build()?;
    /// let mut rounds = 0;
    /// let poll = Work::new_async(move || {
    ///     rounds += 1;
    ///     async move { println!("round {rounds}") }
    /// });
    /// assert_eq!(queue.queue(&poll), Queued::New);
    /// poll.flush().wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new_async<F>(mut function: impl FnMut() -> F + Send + 'static) -> Work
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let make = move |_: &Work| -> RunFuture { Box::pin(function()) };
        Work::of(Kind::of::<F>(), Body::Future(Box::new(make)))
    }

    /// An idle item.
    fn of(kind: &'static Kind, body: Body) -> Work {
        Work(Arc::new(WorkInner {
            state: WorkState::new(),
            kind,
            process: AtomicU32::new(os::generation()),
            body: Mutex::new(body),
            deferred: Mutex::new(None),
            progress: Mutex::new(Progress::default()),
        }))
    }

    /// The shared part.
    pub(crate) fn inner(&self) -> &Arc<WorkInner> {
        &self.0
    }

    /// Whether this is a handle to the same item.
    pub(crate) fn is_same(&self, other: &Work) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What the compiler calls its function, or future.
    pub(crate) fn type_name(&self) -> &'static str {
        self.0.kind.name()
    }

    /// Whether this request waits behind what runs of an ordered queue: it begins after that,
    /// unless somebody cancels it meanwhile.
    pub(crate) fn is_behind(&self, request: Request, queue: QueueRef) -> bool {
        queue.get().ordered
            && self.0.state.is_pending_as(request)
            && lock(&self.0.progress).is_ordered_by(request, queue.address())
    }

    /// Whether an execution is to come; may be stale when it returns.
    #[doc(alias = "work_pending")]
    pub fn is_pending(&self) -> bool {
        self.0.state.is_pending()
    }

    /// Whether the function runs; may be stale when it returns.
    pub fn is_running(&self) -> bool {
        self.0.state.is_running()
    }

    /// Whether an execution is to come, and whether one runs, at one moment; may be stale when it
    /// returns.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("ticks").build()?;
    /// let work = wq_core::Work::new(|| println!("tick"));
    /// let _ = queue.queue(&work);
    /// work.flush().wait()?;
    /// assert!(work.busy().is_idle());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "work_busy")]
    pub fn busy(&self) -> Busy {
        let (pending, running) = self.0.state.busy();
        Busy { pending, running }
    }

    /// Takes a pending execution back; says whether there was one. A running one goes on.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("ticks").build()?;
    /// let work = wq_core::Work::new(|| println!("tick"));
    /// let _ = queue.queue(&work);
    /// let taken_back = work.cancel(); // false if it began already
    /// assert!(!work.is_pending());
    /// # let _ = taken_back;
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "cancel_work")]
    pub fn cancel(&self) -> bool {
        self.0.cancel()
    }

    /// Takes a pending execution back and waits until a running one has ended. Until then the
    /// item is disabled: queueing calls are refused and lost. Yields whether it was pending.
    ///
    /// # Cancellation
    /// Dropping the wait enables the item again; what was taken back stays so.
    ///
    /// # Panics
    /// If the item is disabled 65535 times already.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("ticks").build()?;
    /// let work = wq_core::Work::new(|| println!("tick"));
    /// let _ = queue.queue(&work);
    /// work.cancel_and_wait().wait()?;
    /// assert!(!work.is_pending() && !work.is_running());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "cancel_work_sync")]
    pub fn cancel_and_wait(&self) -> CancelWait {
        CancelWait::begin(&self.0, self.0.disable_and_cancel(), Afterwards::Enable)
    }

    /// Waits until the execution that was last asked for (pending, else running) has ended.
    /// Yields whether there was any.
    ///
    /// # Cancellation
    /// Dropping the wait abandons it.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("ticks").build()?;
    /// let work = wq_core::Work::new(|| println!("tick"));
    /// let _ = queue.queue(&work);
    /// work.flush().wait()?;
    /// assert!(!work.is_pending() && !work.is_running());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "flush_work")]
    pub fn flush(&self) -> WorkFlush {
        WorkFlush::begin(&self.0)
    }

    /// Takes a pending execution back and refuses requests until [`Work::enable`] was called as
    /// often as this. Says whether it was pending.
    ///
    /// # Panics
    /// If the item is disabled 65535 times already.
    ///
    /// # Examples
    /// ```
    /// use wq_core::{Queued, Work};
    ///
    /// let queue = wq_core::Workqueue::unbound("ticks").build()?;
    /// let work = Work::new(|| ());
    /// assert!(!work.disable()); // it was not pending
    /// assert_eq!(queue.queue(&work), Queued::Disabled);
    /// assert_eq!(work.enable(), Some(true));
    /// assert_eq!(queue.queue(&work), Queued::New);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "disable_work")]
    pub fn disable(&self) -> bool {
        self.0.disable_and_cancel()
    }

    /// As [`Work::disable`], and waits until a running execution has ended. Yields whether it was
    /// pending. From the call on the item is disabled, also after the wait.
    ///
    /// # Cancellation
    /// Dropping the wait abandons it; the item stays disabled.
    ///
    /// # Panics
    /// If the item is disabled 65535 times already.
    ///
    /// # Examples
    /// ```
    /// use wq_core::{Queued, Work};
    ///
    /// let queue = wq_core::Workqueue::unbound("ticks").build()?;
    /// let work = Work::new(|| ());
    /// let _ = queue.queue(&work);
    /// work.disable_and_wait().wait()?;
    /// assert!(work.busy().is_idle());
    /// assert_eq!(queue.queue(&work), Queued::Disabled);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "disable_work_sync")]
    pub fn disable_and_wait(&self) -> CancelWait {
        CancelWait::begin(
            &self.0,
            self.0.disable_and_cancel(),
            Afterwards::StayDisabled,
        )
    }

    /// Undoes one [`Work::disable`]: `Some(true)` if the item is enabled now, `None` if it was
    /// not disabled. Refused requests are not remembered.
    #[doc(alias = "enable_work")]
    pub fn enable(&self) -> Option<bool> {
        self.0.state.enable()
    }
}

/// The kind of a closure.
fn kind_of<F: 'static>(_: &F) -> &'static Kind {
    Kind::of::<F>()
}

/// Locks; what is inside is whole even after a panic.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether nobody holds the lock at the moment.
fn is_free<T: ?Sized>(mutex: &Mutex<T>) -> bool {
    !matches!(mutex.try_lock(), Err(TryLockError::WouldBlock))
}

impl WorkInner {
    /// Asks for an execution on `queue`, at home on CPU `home`.
    pub(crate) fn queue_at(self: &Arc<Self>, queue: &Queue, home: usize) -> Queued {
        if !self.is_ours(queue) {
            return Queued::Closed;
        }
        if let Some(answer) = self.refused() {
            return answer;
        }
        let Ok(place) = route::reserve(queue.0.queue, home) else {
            // The last place may be with a request for this item that was faster.
            return self.refused().unwrap_or(Queued::Closed);
        };
        match self.state.request() {
            Requested::Granted(request) => {
                let run = self.run_on(queue, request);
                let (entry, handle) = task::build_for(queue.0.queue, home, run, self.kind);
                drop(handle);
                route::submit_reserved(queue.0.queue, entry, place);
                Queued::New
            }
            // Somebody was faster.
            Requested::Disabled => {
                route::give_back(queue.0.queue, home, place);
                Queued::Disabled
            }
            Requested::AlreadyPending => {
                route::give_back(queue.0.queue, home, place);
                Queued::AlreadyPending
            }
        }
    }

    /// The answer to a request that is not granted, whatever the queue is.
    pub(crate) fn refused(&self) -> Option<Queued> {
        match self.state.look()? {
            Requested::Disabled => Some(Queued::Disabled),
            Requested::AlreadyPending => Some(Queued::AlreadyPending),
            Requested::Granted(_) => unreachable!("a look grants nothing"),
        }
    }

    /// Whether this is a forked child of the process that the item is in.
    pub(crate) fn is_forked(&self) -> bool {
        // Relaxed: it differs only where the fork, which this thread comes from, has been.
        self.process.load(Ordering::Relaxed) != os::generation()
    }

    /// Whether there is no execution, neither one that runs nor one that is to come.
    fn is_idle(&self) -> bool {
        !self.state.is_pending() && !self.state.is_running()
    }

    /// Whether the item may be queued on `queue` in this process. A forked child makes an item of
    /// its parent's its own, if it is idle and no thread of the parent's was at it.
    #[inline]
    pub(crate) fn is_ours(&self, queue: &Queue) -> bool {
        !queue.0.system.is_forked() && (!self.is_forked() || self.adopt())
    }

    /// See [`WorkInner::is_ours`].
    #[cold]
    fn adopt(&self) -> bool {
        for _ in 0..LOOKS_FOR_LOCKS {
            if !self.is_idle() {
                // Of the parent's; or another thread of this process was faster, and has queued it.
                return !self.is_forked();
            }
            let free = (
                is_free(&self.progress),
                is_free(&self.deferred),
                is_free(&self.body),
            );
            if free == (true, true, true) {
                // Relaxed: it guards nothing; what the item has is as it was at the fork.
                self.process.store(os::generation(), Ordering::Relaxed);
                return true;
            }
            os::sched_yield();
        }
        !self.is_forked()
    }

    /// Queues a request that was granted before its queue was closed, and counted in.
    pub(crate) fn submit_promised(
        self: &Arc<Self>,
        queue: &Queue,
        home: Option<usize>,
        request: Request,
        colour: Colour,
    ) {
        let run = self.run_on(queue, request);
        let home = home.unwrap_or_else(|| queue.home_here());
        let (entry, handle) = task::build_for(queue.0.queue, home, run, self.kind);
        drop(handle);
        route::submit_promised(queue.0.queue, entry, colour);
    }

    /// An execution that was granted, for `queue`.
    fn run_on(self: &Arc<Self>, queue: &Queue, request: Request) -> Run {
        let queue = queue.0.queue;
        if queue.get().ordered {
            lock(&self.progress).note_ordered(request, queue.address());
        }
        Run::new(self, request)
    }

    /// The word.
    pub(crate) fn state(&self) -> &WorkState {
        &self.state
    }

    /// Takes a pending execution back.
    pub(crate) fn cancel(&self) -> bool {
        if self.is_forked() {
            return false;
        }
        let (request, wake) = self.state.withdraw();
        self.wake_deferred(wake);
        if let Some(request) = request {
            self.note_over(request);
        }
        request.is_some()
    }

    /// Takes this request back, if it is still pending.
    pub(crate) fn cancel_request(&self, request: Request) -> bool {
        let (pending, wake) = self.state.withdraw_request(request);
        self.wake_deferred(wake);
        if pending {
            self.note_over(request);
        }
        pending
    }

    /// Refuses requests and takes a pending one back.
    fn disable_and_cancel(&self) -> bool {
        self.disable();
        self.cancel()
    }

    /// Refuses requests, one level more.
    fn disable(&self) {
        assert!(
            self.state.disable(),
            "an item cannot be disabled more than 65535 times at once"
        );
    }

    /// Has the execution that waited for the running one go on.
    fn wake_deferred(&self, wake: WakeDeferred) {
        if !wake.0 {
            return;
        }
        let waker = lock(&self.deferred).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// For tests: what `f` answers while somebody holds the item's locks.
    #[cfg(all(target_os = "linux", not(wq_portable)))]
    fn while_locked<R>(&self, f: impl FnOnce() -> R) -> R {
        let _held = (lock(&self.progress), lock(&self.deferred));
        f()
    }

    /// A request is over: executed, cancelled, or dropped.
    fn note_over(&self, request: Request) {
        let told = lock(&self.progress).end(request);
        guard::wake_all(told);
    }

    /// What a wait for the item says when its time is over.
    fn timed_out(&self) -> WaitError {
        let (pending, running) = self.state.busy();
        let state = match (pending, running) {
            (false, false) => "is idle by now",
            (true, false) => "is still pending",
            (false, true) => "still runs",
            (true, true) => "still runs, and is pending once more",
        };
        WaitError::timed_out(format!("the work item {} {state}", self.kind.name()))
    }

    /// An error if the caller is inside this item's function.
    fn check_not_inside(&self) -> Result<(), WaitError> {
        if run::is_inside(self) {
            return Err(WaitError::itself("the work item itself"));
        }
        Ok(())
    }

    /// Begins this request's execution, if it is its turn. Under the lock of those who wait: who
    /// sees the item running there also sees which request that is.
    fn begin(&self, request: Request) -> Begin {
        let mut progress = lock(&self.progress);
        let begin = self.state.begin(request);
        if begin == Begin::Run {
            progress.begin(request);
        }
        begin
    }

    /// As [`WorkInner::begin`]; who has to wait is woken by `waker` when the running execution has
    /// ended.
    fn begin_or_wait(&self, request: Request, waker: &Waker) -> Begin {
        let begin = self.begin(request);
        if begin != Begin::Wait {
            return begin;
        }
        *lock(&self.deferred) = Some(waker.clone());
        // The running execution may have ended before the waker was there: look again.
        self.begin(request)
    }
}
