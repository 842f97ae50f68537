//! The handle of a task: its result, its abortion, its detachment.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_task::FallibleTask;

use crate::block;
use crate::current::Current;
use crate::cycles::{self, What};
use crate::entry::Meta;
use crate::os;
use crate::queue::reap;
use crate::queue::wait::FORKED;
use crate::registry;

use super::Guarded;
use super::label::{self, TaskId};

/// What a panic left.
type Payload = Box<dyn Any + Send + 'static>;

/// How an item's body ended.
#[derive(Debug)]
pub(crate) enum Outcome<T> {
    /// With a value.
    Returned(T),
    /// With a panic.
    Panicked(Payload),
    /// Not at all.
    Cancelled,
}

/// The cell's handle, detached when dropped.
#[derive(Debug)]
struct Cell<T>(Option<FallibleTask<Guarded<Outcome<T>>, Meta>>);

impl<T> Drop for Cell<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}

/// A cell's handle that one owner has, or several share.
enum Held<T> {
    /// The join handle alone.
    Own(Cell<T>),
    /// The join handle and abort handles.
    Shared(Arc<Mutex<Cell<T>>>),
}

/// Waits for a task's end, and can abort it.
///
/// Awaiting the handle gives what the task returned, or a [`JoinError`]. Dropping the handle
/// *detaches* the task: it runs on.
///
/// # Cancellation
/// Dropping the handle, or a future that awaits it, stops neither the task nor anything else.
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().build()?;
/// let task = system.spawn(async { 1 + 1 });
/// assert_eq!(system.block_on(task).unwrap(), 2);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
pub struct JoinHandle<T> {
    held: Mutex<Held<T>>,
    /// The task's metadata; valid while the cell's handle lives.
    meta: NonNull<Meta>,
    /// The process that the task was queued in: see `os::generation`.
    process: u32,
}

// SAFETY: `meta` stands for a `&Meta`, which is `Sync`; the cell's handle is `Send` for `T: Send`.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: as above; all access to the cell's handle goes through the mutex.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("finished", &self.is_finished())
            .finish()
    }
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// A handle for a task that is new.
    pub(super) fn new(
        task: FallibleTask<Guarded<Outcome<T>>, Meta>,
        meta: NonNull<Meta>,
    ) -> JoinHandle<T> {
        JoinHandle {
            held: Mutex::new(Held::Own(Cell(Some(task)))),
            meta,
            process: os::generation(),
        }
    }

    /// Whether the queue refused the task, as is known when it has been queued.
    pub(crate) fn is_rejected(&self) -> bool {
        self.meta().is_rejected()
    }

    /// The task's metadata.
    fn meta(&self) -> &Meta {
        // SAFETY: the cell's handle in `held` keeps the task's allocation alive.
        unsafe { self.meta.as_ref() }
    }

    /// Asks the task to stop: it is dropped at its next poll (a suspended task is woken for it),
    /// and the handle yields an error for which [`JoinError::is_cancelled`] holds. A task inside
    /// a poll runs to the poll's end; one that has ended keeps its result. In a forked child of the
    /// process that the task was queued in, this does nothing.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// let task = system.spawn(std::future::pending::<()>());
    /// task.abort();
    /// assert!(task.wait().unwrap_err().is_cancelled());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "cancel_work")]
    pub fn abort(&self) {
        abort(self.meta(), self.process);
    }

    /// The task's number, also after its end: see [`TaskId`].
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// let task = system.spawn(async { wq_core::task::id() });
    /// let id = task.id();
    /// assert_eq!(task.wait().unwrap(), id);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn id(&self) -> TaskId {
        label::id_of(self.meta())
    }

    /// Whether the task has ended; its destructors have run then.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// let queue = wq_core::Workqueue::unbound("jobs").system(&system).build()?;
    /// let task = queue.spawn(async {});
    /// queue.flush().wait()?;
    /// assert!(task.is_finished());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_finished(&self) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Held::Own(cell) => cell.0.as_ref().is_none_or(FallibleTask::is_finished),
            Held::Shared(cell) => {
                let cell = cell.lock().unwrap_or_else(PoisonError::into_inner);
                cell.0.as_ref().is_none_or(FallibleTask::is_finished)
            }
        }
    }

    /// Waits on the calling thread, which counts as sleeping: if it is a worker, another takes
    /// its lane over first.
    ///
    /// # Errors
    /// As for awaiting the handle. And at once, if the caller is inside of the task, or the task
    /// blocks in a wait for the caller, or waits for its turn in the caller's own ordered queue
    /// ([`JoinError::is_deadlock`]); it goes on without its handle.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.spawn(async { 7 }).wait().unwrap(), 7);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn wait(mut self) -> Result<T, JoinError> {
        if let Some(queue) = self.is_behind_caller() {
            let why =
                format!("the task's turn comes when the caller has ended, of queue {queue:?}");
            return Err(JoinError(Kind::Cycle(why)));
        }
        let task = self.meta().address();
        let what = || (!self.is_finished()).then_some(What::Task(task));
        let blocked = cycles::enter(what);
        let _blocked = blocked.map_err(|cycle| JoinError(Kind::Cycle(cycle)))?;
        block::block_on(&mut self)
    }

    /// The name of the ordered queue whose item the caller is, if the task waits there for its
    /// turn, which comes when that item has ended. One that is aborted ends without a turn.
    fn is_behind_caller(&self) -> Option<String> {
        let own = Current::with(|current| current.and_then(Current::queue))?;
        let meta = self.meta();
        let is_behind = meta.queue == own && own.get().ordered && meta.is_waiting();
        let is_behind = is_behind && !meta.abort.is_requested();
        is_behind.then(|| own.get().name.clone())
    }

    /// Waits on the calling thread, for at most `limit`; then gives the handle back.
    ///
    /// # Errors
    /// The handle, if the task has not ended in time.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let system = wq_core::System::builder().build()?;
    /// let task = system.spawn(std::future::pending::<()>());
    /// let task = task.wait_timeout(Duration::from_millis(1)).unwrap_err();
    /// task.abort();
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn wait_timeout(mut self, limit: Duration) -> Result<Result<T, JoinError>, JoinHandle<T>> {
        match block::block_on_timeout(&mut self, limit) {
            Some(result) => Ok(result),
            None => Err(self),
        }
    }

    /// Aborts the task when the returned handle is dropped.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// let queue = wq_core::Workqueue::unbound("jobs").system(&system).build()?;
    /// drop(queue.spawn(std::future::pending::<()>()).abort_on_drop());
    /// assert_eq!(queue.flush().wait()?.cancelled, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn abort_on_drop(self) -> AbortOnDrop<T> {
        AbortOnDrop(self)
    }
}

impl<T: Send + 'static> JoinHandle<T> {
    /// A handle that can only abort.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// let task = system.spawn(std::future::pending::<()>());
    /// let abort = task.abort_handle();
    /// std::thread::spawn(move || abort.abort());
    /// assert!(task.wait().unwrap_err().is_cancelled());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn abort_handle(&self) -> AbortHandle {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = match &mut *held {
            Held::Shared(shared) => Arc::clone(shared),
            Held::Own(cell) => {
                let shared = Arc::new(Mutex::new(Cell(cell.0.take())));
                *held = Held::Shared(Arc::clone(&shared));
                shared
            }
        };
        AbortHandle {
            meta: self.meta,
            process: self.process,
            _keep: shared,
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = match self.held.get_mut().unwrap_or_else(PoisonError::into_inner) {
            Held::Own(cell) => poll_cell(cell, cx),
            Held::Shared(cell) => {
                poll_cell(&mut cell.lock().unwrap_or_else(PoisonError::into_inner), cx)
            }
        };
        if polled.is_pending() && self.process != os::generation() {
            return Poll::Ready(Err(JoinError(Kind::Forked)));
        }
        polled.map(|guarded| match guarded.map(Guarded::into_inner) {
            Some(Outcome::Returned(value)) => Ok(value),
            Some(Outcome::Panicked(payload)) => Err(JoinError::panicked(payload)),
            Some(Outcome::Cancelled) => Err(JoinError(Kind::Cancelled)),
            None if self.meta().is_rejected() => Err(JoinError(Kind::Rejected)),
            None => Err(JoinError(Kind::Cancelled)),
        })
    }
}

/// Polls the cell's handle.
fn poll_cell<T>(cell: &mut Cell<T>, cx: &mut Context<'_>) -> Poll<Option<Guarded<Outcome<T>>>> {
    let task = cell
        .0
        .as_mut()
        .expect("a join handle is not polled after it was ready");
    Pin::new(task).poll(cx)
}

/// Asks a task to stop that was queued in `process`.
fn abort(meta: &Meta, process: u32) {
    if process != os::generation() {
        // The task is in another process, and one of its threads may have held a lock of ours.
        return;
    }
    match meta.abort.request() {
        Some(slot) => registry::wake(slot),
        // It runs, or is in turn to run; or it waits for a slot, which may be for ever.
        None => reap::ask(meta),
    }
}

/// Aborts a task, and knows nothing of its result.
///
/// Keeps the task's memory, and neither the task nor its System.
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().build()?;
/// let tasks = [(); 3].map(|()| system.spawn(std::future::pending::<()>()));
/// let aborts: Vec<wq_core::AbortHandle> = tasks.iter().map(|task| task.abort_handle()).collect();
/// aborts.iter().for_each(|abort| abort.abort());
/// assert!(tasks.into_iter().all(|task| task.wait().unwrap_err().is_cancelled()));
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone)]
pub struct AbortHandle {
    meta: NonNull<Meta>,
    /// As in [`JoinHandle`].
    process: u32,
    /// Keeps the task's allocation.
    _keep: Arc<dyn Any + Send + Sync>,
}

// SAFETY: `meta` stands for a `&Meta`, which is `Sync`.
unsafe impl Send for AbortHandle {}
// SAFETY: as above.
unsafe impl Sync for AbortHandle {}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle").finish_non_exhaustive()
    }
}

impl AbortHandle {
    /// As [`JoinHandle::abort`].
    pub fn abort(&self) {
        // SAFETY: `_keep` holds the cell's handle, which keeps the task's allocation alive.
        abort(unsafe { self.meta.as_ref() }, self.process);
    }
}

/// A join handle whose drop aborts the task.
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().build()?;
/// let task: wq_core::AbortOnDrop<u32> = system.spawn(async { 7 }).abort_on_drop();
/// assert_eq!(system.block_on(task).unwrap(), 7);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it aborts the task"]
pub struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// Why a task gave no result.
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().build()?;
/// let error = system.spawn(async { panic!("told") }).wait().unwrap_err();
/// assert!(error.is_panic() && !error.is_cancelled() && !error.is_rejected());
/// assert_eq!(error.to_string(), "the task panicked: told");
/// assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"told"));
/// # Ok::<(), wq_core::BuildError>(())
/// ```
pub struct JoinError(Kind);

/// The reasons.
enum Kind {
    /// It panicked. The mutex makes the error `Sync`.
    Panicked(Mutex<Payload>),
    /// It was aborted, or dropped by a shutdown.
    Cancelled,
    /// Its queue was closed or full.
    Rejected,
    /// Who would wait for it holds what it needs to run.
    Deadlock,
    /// The process is a forked child.
    Forked,
    /// It waits for who wanted to wait for it.
    Cycle(String),
}

impl JoinError {
    /// From a panic's payload.
    pub(crate) fn panicked(payload: Payload) -> JoinError {
        JoinError(Kind::Panicked(Mutex::new(payload)))
    }

    /// Of what was dropped before it returned.
    pub(crate) fn cancelled() -> JoinError {
        JoinError(Kind::Cancelled)
    }

    /// Of what was not accepted.
    pub(crate) fn rejected() -> JoinError {
        JoinError(Kind::Rejected)
    }

    /// Of what its waiter keeps from ever running.
    pub(crate) fn deadlock() -> JoinError {
        JoinError(Kind::Deadlock)
    }

    /// Whether the task panicked, in its body or in a destructor.
    pub fn is_panic(&self) -> bool {
        matches!(self.0, Kind::Panicked(_))
    }

    /// Whether the task was aborted, or dropped by a shutdown.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Kind::Cancelled)
    }

    /// Whether this is a forked child of the process that the task was queued in, where it goes on.
    #[doc(alias = "fork")]
    pub fn is_forked(&self) -> bool {
        matches!(self.0, Kind::Forked)
    }

    /// Whether the queue did not accept the task: it was closed, draining, or full, or this is a
    /// forked child.
    pub fn is_rejected(&self) -> bool {
        matches!(self.0, Kind::Rejected)
    }

    /// Whether the wait would never have ended. The task blocks in a wait for the caller, or waits
    /// for its turn behind the caller ([`JoinHandle::wait`]), and goes on. Or the item was refused
    /// because it would never have run: it needs a slot of a queue that whoever waits for it keeps
    /// until it has ended. Only items of a [`scope`](crate::scope()) are refused for that.
    pub fn is_deadlock(&self) -> bool {
        matches!(self.0, Kind::Deadlock | Kind::Cycle(_))
    }

    /// The payload of the panic.
    ///
    /// # Errors
    /// The error itself, if it was no panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send + 'static>, JoinError> {
        match self.0 {
            Kind::Panicked(payload) => {
                Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            other => Err(JoinError(other)),
        }
    }

    /// The payload of the panic, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    /// If the error is no panic; ask [`JoinError::is_panic`] first.
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        self.try_into_panic()
            .expect("`into_panic` wants an error for which `is_panic` holds")
    }

    /// What the panic said, if it said it with text.
    fn panic_text(&self) -> Option<String> {
        let Kind::Panicked(payload) = &self.0 else {
            return None;
        };
        let payload = payload.lock().unwrap_or_else(PoisonError::into_inner);
        let text = payload
            .downcast_ref::<&'static str>()
            .map(|s| (*s).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Panicked(_) => match self.panic_text() {
                Some(text) => write!(f, "the task panicked: {text}"),
                None => f.write_str("the task panicked"),
            },
            Kind::Cancelled => f.write_str("the task was aborted before it returned"),
            Kind::Rejected => {
                f.write_str("the queue did not accept the task: it is closed, draining or full")
            }
            Kind::Deadlock => f.write_str(
                "the item would never run: whoever waits for it is inside an item that has a slot \
                 of the same limited queue; use another queue",
            ),
            Kind::Forked => f.write_str(FORKED),
            Kind::Cycle(cycle) => write!(f, "this wait would never end: {cycle}"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}
