//! Freezing as users see it: the wait for what is active, and the owner's calls.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::block;
use crate::current::Current;
use crate::system::SystemInner;
use crate::system::freeze::Scope;

use super::QueueRef;
use super::builder::BuildError;
use super::handle::{Queue, QueueHandle, Workqueue};
use super::wait::WaitError;

/// Waits until nothing of what was frozen is active: see [`System::freeze`](crate::System::freeze)
/// and [`Workqueue::freeze`].
///
/// The freeze itself is in force when the call that gave this returns, and stays so whatever
/// becomes of the wait. Suspended items are active: they go on until they have ended.
///
/// # Cancellation
/// Dropping the wait abandons it; what is frozen stays frozen.
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().build()?;
/// let queue = wq_core::Workqueue::unbound("jobs").freezable().system(&system).build()?;
/// let before = queue.spawn(async { 1 });
/// system.freeze().wait()?;
/// assert!(before.is_finished());
/// let after = queue.spawn(async { 2 });
/// assert_eq!(queue.stats().waiting, 1);
/// system.thaw();
/// assert_eq!(after.wait()?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the freeze is in force, but items that were active may still run; await it or `wait`"]
pub struct Freeze {
    system: Arc<SystemInner>,
    /// Keeps the queue, if the freeze is one queue's.
    _queue: Option<Arc<QueueHandle>>,
    scope: Scope,
    /// The number of the freeze, or why there is no wait for it.
    state: Result<u64, WaitError>,
    /// The number of the waker that was left.
    waiter: Option<u64>,
}

impl Freeze {
    /// Freezes, and begins to wait.
    pub(crate) fn begin(system: &Arc<SystemInner>, queue: Option<&Queue>) -> Freeze {
        let scope = queue.map_or(Scope::System, |queue| Scope::Queue(queue.0.queue));
        let state = if system.is_forked() {
            Err(WaitError::forked())
        } else {
            let number = system.freeze(scope).ok_or_else(WaitError::thawed);
            // Frozen first: a caller that must not wait may have wanted no more.
            number.and_then(|number| check_outside(system, scope).map(|()| number))
        };
        Freeze {
            system: Arc::clone(system),
            _queue: queue.map(|queue| Arc::clone(&queue.0)),
            scope,
            state,
            waiter: None,
        }
    }

    /// Waits on the calling thread, which counts as sleeping.
    ///
    /// # Errors
    /// At once from inside an item of what was frozen ([`WaitError::is_deadlock`]); if it is thawed
    /// meanwhile, or its System shuts down ([`WaitError::is_thawed`]); in a forked child
    /// ([`WaitError::is_forked`]). All but the last two leave it frozen.
    pub fn wait(self) -> Result<(), WaitError> {
        block::block_on(self)
    }

    /// Waits on the calling thread for at most `limit`.
    ///
    /// # Errors
    /// As [`Freeze::wait`], and if the limit is reached ([`WaitError::is_timeout`]).
    pub fn wait_timeout(mut self, limit: Duration) -> Result<(), WaitError> {
        block::block_on_timeout(&mut self, limit).unwrap_or_else(|| {
            let active = self.system.active_freezable(self.scope);
            Err(WaitError::timed_out(format!(
                "{active} items of what was frozen are still active"
            )))
        })
    }
}

/// An error if the caller is inside an item that it would wait for.
fn check_outside(system: &Arc<SystemInner>, scope: Scope) -> Result<(), WaitError> {
    let inside = Current::with(|current| {
        let current = current.filter(|c| Arc::ptr_eq(&c.system, system))?;
        current.queue()
    });
    let is_covered = |queue: &QueueRef| match scope {
        Scope::Queue(frozen) => *queue == frozen,
        Scope::System => queue.get().freezable,
    };
    match inside.filter(is_covered) {
        Some(queue) => {
            let name = &queue.get().name;
            Err(WaitError::itself(format!("queue \"{name}\"")))
        }
        None => Ok(()),
    }
}

impl Future for Freeze {
    type Output = Result<(), WaitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let number = match &self.state {
            Ok(_) if self.system.is_forked() => return Poll::Ready(Err(WaitError::forked())),
            Err(error) => return Poll::Ready(Err(error.clone())),
            Ok(number) => *number,
        };
        // The waker first, so that the end of the last active item is not missed.
        let waiter = self.waiter;
        let waiter = self
            .system
            .await_freeze(self.scope, number, waiter, cx.waker().clone());
        if waiter.is_none() {
            return Poll::Ready(Err(WaitError::thawed()));
        }
        self.waiter = waiter;
        if self.system.active_freezable(self.scope) == 0 {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}

impl Drop for Freeze {
    fn drop(&mut self) {
        if let (Some(id), false) = (self.waiter, self.system.is_forked()) {
            self.system.forget_freeze(id);
        }
    }
}

impl Workqueue {
    /// Freezes this queue: nothing of it starts until [`Workqueue::thaw`]. What is active goes on
    /// to its end, which the returned value waits for. What is accepted meanwhile waits, in order;
    /// flushes and drains wait with it. Freezes nest, and add to those of the System.
    ///
    /// An owner that is dropped, or destroys its queue, undoes its freezes.
    ///
    /// # Errors
    /// If the queue was built without `freezable`.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").freezable().build()?;
    /// queue.freeze()?.wait()?;
    /// let later = queue.spawn(async { 7 });
    /// assert!(queue.is_frozen() && !later.is_finished());
    /// assert_eq!(queue.thaw(), Some(true));
    /// assert_eq!(later.wait()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn freeze(&self) -> Result<Freeze, BuildError> {
        if !self.0.queue.get().freezable {
            let why = "the queue was built without it; build it with `.freezable()`";
            return Err(BuildError::of("freezable", why));
        }
        Ok(Freeze::begin(&self.0.system, Some(self)))
    }

    /// Undoes one [`Workqueue::freeze`]: `Some(true)` if that was the last one, `None` if there was
    /// none. What waits starts at once, unless the System is frozen.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").freezable().build()?;
    /// assert_eq!(queue.thaw(), None);
    /// drop((queue.freeze()?, queue.freeze()?));
    /// assert_eq!((queue.thaw(), queue.thaw()), (Some(false), Some(true)));
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn thaw(&self) -> Option<bool> {
        if self.0.system.is_forked() {
            return None;
        }
        self.0.system.thaw(Scope::Queue(self.0.queue))
    }
}

impl Queue {
    /// Whether nothing starts, because the queue or its System is frozen. May be stale when it
    /// returns.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").freezable().build()?;
    /// assert!(!queue.is_frozen());
    /// drop(queue.freeze()?);
    /// assert!(queue.is_frozen());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn is_frozen(&self) -> bool {
        let queue = self.0.queue.get();
        !self.0.system.is_forked() && queue.freezable && queue.slots(0).lock_as_is().is_frozen()
    }
}
