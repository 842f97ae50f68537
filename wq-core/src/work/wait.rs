//! Waiting for an item: flush, and cancel with a wait.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::block;
use crate::cycles::{self, Blocked, What};
use crate::proto::state::Request;
use crate::queue::wait::WaitError;

use super::{Work, WorkInner, lock};

/// Which requests have ended. Requests end in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The request that runs, or ran last.
    running: Request,
    /// The last one that ended.
    ended: Request,
    /// A request that was brought to an ordered queue, and where that queue is.
    ordered: Option<(Request, usize)>,
    /// Who waits for which.
    waiters: Vec<(u64, Request, Option<Waker>)>,
    next_id: u64,
}

/// Whether request `a` is not later than `b`; numbers wrap around.
pub(crate) fn not_later(a: Request, b: Request) -> bool {
    b.wrapping_sub(a) < Request::MAX / 2
}

impl Progress {
    /// The number of the request that runs, or ran last.
    pub(super) fn running(&self) -> Request {
        self.running
    }

    /// A request is about to be brought to the ordered queue at this address.
    pub(super) fn note_ordered(&mut self, request: Request, queue: usize) {
        self.ordered = Some((request, queue));
    }

    /// Whether that is where this request was brought to.
    pub(super) fn is_ordered_by(&self, request: Request, queue: usize) -> bool {
        self.ordered == Some((request, queue))
    }

    /// A request's execution begins.
    pub(super) fn begin(&mut self, request: Request) {
        self.running = request;
    }

    /// A request is over; whom to wake. A cancelled request that is later than the running one
    /// does not end the running one's waits.
    pub(super) fn end(&mut self, request: Request) -> Vec<Waker> {
        if not_later(self.ended, request) {
            self.ended = request;
        }
        self.waiters
            .iter_mut()
            .filter_map(|(_, _, waker)| waker.take())
            .collect()
    }

    /// One more waits; its number.
    fn add(&mut self, request: Request, waker: Option<Waker>) -> u64 {
        self.next_id += 1;
        self.waiters.push((self.next_id, request, waker));
        self.next_id
    }

    /// The waker of this waiter.
    fn waker_of(&mut self, id: u64) -> Option<&mut Option<Waker>> {
        let found = self.waiters.iter_mut().find(|waiter| waiter.0 == id);
        found.map(|waiter| &mut waiter.2)
    }

    /// This one waits no more; its waker, to be dropped outside of the lock.
    fn remove(&mut self, id: u64) -> Option<Waker> {
        let at = self.waiters.iter().position(|waiter| waiter.0 == id)?;
        self.waiters.remove(at).2
    }
}

/// What an item's wait waits for.
#[derive(Debug)]
struct Wait {
    work: Arc<WorkInner>,
    /// The request to wait for; `None`: the item was idle.
    request: Option<Request>,
    id: Option<u64>,
    error: Option<WaitError>,
}

impl Wait {
    /// Waits for the pending request, else the running one.
    fn begin(work: &Arc<WorkInner>) -> Wait {
        let error = work.check_not_inside().err();
        if work.is_forked() {
            return Wait::of_parent(work, error);
        }
        let progress = lock(&work.progress);
        let request = if work.state.is_pending() {
            Some(work.state.latest())
        } else if work.state.is_running() {
            Some(progress.running)
        } else {
            None
        };
        drop(progress);
        Wait {
            work: Arc::clone(work),
            request,
            id: None,
            error,
        }
    }

    /// Of an item of the parent's, in a forked child: an error, unless there is nothing to wait
    /// for.
    fn of_parent(work: &Arc<WorkInner>, error: Option<WaitError>) -> Wait {
        let forked = || (!work.is_idle()).then(WaitError::forked);
        Wait {
            work: Arc::clone(work),
            request: None,
            id: None,
            error: error.or_else(forked),
        }
    }

    /// The caller is about to block in this wait.
    fn enter(&self) -> Result<Blocked, WaitError> {
        let what = || {
            let request = self.request.filter(|_| self.error.is_none())?;
            Some(What::Work(Work(Arc::clone(&self.work)), request))
        };
        cycles::enter(what).map_err(WaitError::cycle)
    }

    /// Whether what was waited for is over.
    fn is_over(&self, request: Request, ended: Request) -> bool {
        self.work.is_idle() || (not_later(request, ended) && !self.still_runs(request))
    }

    /// Whether the request's execution is under way: a later, cancelled one may have ended first.
    fn still_runs(&self, request: Request) -> bool {
        self.work.state.is_running() && lock(&self.work.progress).running == request
    }

    /// Polls; true: there was something to wait for.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, WaitError>> {
        if let Some(error) = self.error.clone() {
            return Poll::Ready(Err(error));
        }
        let Some(request) = self.request else {
            return Poll::Ready(Ok(false));
        };
        if self.work.is_forked() {
            // Begun before the fork.
            let over = self.work.is_idle();
            return Poll::Ready(over.then_some(true).ok_or_else(WaitError::forked));
        }
        self.register(request, cx.waker());
        let ended = lock(&self.work.progress).ended;
        if self.is_over(request, ended) {
            Poll::Ready(Ok(true))
        } else {
            Poll::Pending
        }
    }

    /// Leaves the waker; before the look, so that no end is missed. Cloning a waker, and dropping
    /// one, is the user's code: it runs outside of the lock.
    fn register(&mut self, request: Request, waker: &Waker) {
        let same = |old: &Option<Waker>| old.as_ref().is_some_and(|old| old.will_wake(waker));
        if let Some(id) = self.id {
            if lock(&self.work.progress)
                .waker_of(id)
                .is_some_and(|old| same(old))
            {
                return;
            }
        }
        let new = Some(waker.clone());
        let mut progress = lock(&self.work.progress);
        let old = match self.id.and_then(|id| progress.waker_of(id)) {
            Some(old) => std::mem::replace(old, new),
            None => {
                self.id = Some(progress.add(request, new));
                None
            }
        };
        drop(progress);
        drop(old);
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        // In a forked child the lock may be held for ever.
        if let (Some(id), false) = (self.id, self.work.is_forked()) {
            let gone = lock(&self.work.progress).remove(id);
            drop(gone);
        }
    }
}

/// Waits for an item's execution: see [`Work::flush`](crate::Work::flush).
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// let queue = wq_core::Workqueue::unbound("ticks").build()?;
/// let work = wq_core::Work::new(|| println!("tick"));
/// let _ = queue.queue(&work);
/// work.flush().wait_timeout(Duration::from_secs(10))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a wait does nothing for who drops it; await it, or call `wait`"]
pub struct WorkFlush(Wait);

impl WorkFlush {
    /// Begins to wait.
    pub(super) fn begin(work: &Arc<WorkInner>) -> WorkFlush {
        WorkFlush(Wait::begin(work))
    }

    /// Waits on the calling thread, which counts as sleeping.
    ///
    /// # Errors
    /// At once, from inside the item itself, and if the item blocks in a wait for the caller
    /// ([`WaitError::is_deadlock`]); in a forked child ([`WaitError::is_forked`]).
    pub fn wait(mut self) -> Result<bool, WaitError> {
        let _blocked = self.0.enter()?;
        block::block_on(&mut self)
    }

    /// Waits on the calling thread for at most `limit`. After a timeout the wait is still what it
    /// was, and may be asked again.
    ///
    /// # Errors
    /// From inside the item itself, in a forked child, or if the limit is reached.
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<bool, WaitError> {
        let waited = block::block_on_timeout(&mut *self, limit);
        waited.unwrap_or_else(|| Err(self.0.work.timed_out()))
    }
}

impl Future for WorkFlush {
    type Output = Result<bool, WaitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx)
    }
}

/// Waits for a cancelled item to be idle: see
/// [`Work::cancel_and_wait`](crate::Work::cancel_and_wait) and
/// [`Work::disable_and_wait`](crate::Work::disable_and_wait).
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// let work = wq_core::Work::new(|| println!("tick"));
/// let was_pending = work.cancel_and_wait().wait_timeout(Duration::from_secs(10))?;
/// assert!(!was_pending);
/// # Ok::<(), wq_core::WaitError>(())
/// ```
#[derive(Debug)]
#[must_use = "a wait does nothing for who drops it; await it, or call `wait`"]
pub struct CancelWait {
    wait: Wait,
    was_pending: bool,
    afterwards: Afterwards,
}

/// What becomes of an item that was disabled for a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Afterwards {
    /// It is enabled again.
    Enable,
    /// It stays disabled.
    StayDisabled,
}

impl CancelWait {
    /// Begins to wait; the item was disabled and its pending request taken back.
    pub(super) fn begin(
        work: &Arc<WorkInner>,
        was_pending: bool,
        afterwards: Afterwards,
    ) -> CancelWait {
        CancelWait {
            wait: Wait::begin(work),
            was_pending,
            afterwards,
        }
    }

    /// Waits on the calling thread, which counts as sleeping.
    ///
    /// # Errors
    /// As for [`WorkFlush::wait`].
    pub fn wait(mut self) -> Result<bool, WaitError> {
        let _blocked = self.wait.enter()?;
        block::block_on(&mut self)
    }

    /// Waits on the calling thread for at most `limit`. After a timeout the item is still disabled,
    /// and the wait may be asked again.
    ///
    /// # Errors
    /// From inside the item itself, in a forked child, or if the limit is reached.
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<bool, WaitError> {
        let waited = block::block_on_timeout(&mut *self, limit);
        waited.unwrap_or_else(|| Err(self.wait.work.timed_out()))
    }
}

impl Future for CancelWait {
    type Output = Result<bool, WaitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let was_pending = self.was_pending;
        self.wait.poll(cx).map(|waited| waited.map(|_| was_pending))
    }
}

impl Drop for CancelWait {
    fn drop(&mut self) {
        if self.afterwards == Afterwards::StayDisabled {
            return;
        }
        // `None`: somebody has enabled the item who had not disabled it.
        let _ = self.wait.work.state.enable();
    }
}
