//! A task of a set: its future, its end, its handle.
//!
//! As in the engine, the cell is `async-task`'s, and a future around the user's catches panics of
//! the poll and of destructors, which would abort the process in the cell, and looks for abort
//! requests. A waker is kept from the first suspension on, so that the task stays until the set
//! drops it even if nobody else could wake it.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use async_task::{FallibleTask, Runnable};
use wq_core::{JoinError, driver};

use super::State;

/// What others may do to a task.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// It is to end at its next poll.
    aborted: AtomicBool,
    /// Wakes it, once it has been suspended and until it has ended.
    waker: Mutex<Option<Waker>>,
}

impl Control {
    /// Has the task polled once more, if it is suspended.
    pub(super) fn wake(&self) {
        let waker = self.waker().clone();
        driver::wake_all(waker);
    }

    /// The waker, locked.
    fn waker(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value whose destructor may panic without harm.
pub(super) struct Guarded<T>(Option<T>);

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
                driver::drop_payload(payload);
            }
        }
    }
}

/// How a task ended.
type Outcome<T> = Guarded<Result<T, Option<Box<dyn Any + Send>>>>;

/// The future that the cell polls.
#[pin_project::pin_project]
struct Item<F: Future> {
    /// The user's, until it has ended.
    #[pin]
    future: Option<F>,
    control: Arc<Control>,
    /// After the future: a set that is empty has no futures.
    membership: Membership,
}

/// A place in the set, given up when dropped.
struct Membership {
    state: Rc<State>,
    number: usize,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let control = self.state.members.borrow_mut()[self.number].take();
        self.state.free.borrow_mut().push(self.number);
        // Both outside of the borrows, since a waker's drop may free the task.
        let waker = control.as_ref().and_then(|control| control.waker().take());
        drop(waker);
    }
}

impl<F: Future> Item<F> {
    /// The task is over: drops the future where it stands.
    fn finish(
        self: Pin<&mut Self>,
        outcome: Result<F::Output, Option<Box<dyn Any + Send>>>,
    ) -> Outcome<F::Output> {
        let mut this = self.project();
        match catch_unwind(AssertUnwindSafe(|| this.future.set(None))) {
            Ok(()) => Guarded(Some(outcome)),
            Err(payload) => {
                drop(Guarded(Some(outcome)));
                Guarded(Some(Err(Some(payload))))
            }
        }
    }
}

impl<F: Future> Future for Item<F> {
    type Output = Outcome<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        let state = Rc::clone(&this.membership.state);
        // Relaxed: a request; the wake that follows it is ordered by the cell.
        if state.closing.get() || this.control.aborted.load(Ordering::Relaxed) {
            return Poll::Ready(self.finish(Err(None)));
        }
        let Some(future) = this.future.as_pin_mut() else {
            unreachable!("the cell polls no ended item");
        };
        let polled = catch_unwind(AssertUnwindSafe(|| state.enter(|| future.poll(cx))));
        match polled {
            Ok(Poll::Pending) => {
                this.control
                    .waker()
                    .get_or_insert_with(|| cx.waker().clone());
                // Who asked during the first poll found no waker.
                // Relaxed: that is ordered by the lock of the waker.
                if this.control.aborted.load(Ordering::Relaxed) {
                    return Poll::Ready(self.finish(Err(None)));
                }
                Poll::Pending
            }
            Ok(Poll::Ready(value)) => Poll::Ready(self.finish(Ok(value))),
            Err(payload) => Poll::Ready(self.finish(Err(Some(payload)))),
        }
    }
}

/// Adds a task to a set, unless that is being dropped.
pub(super) fn spawn<F>(state: &Rc<State>, future: F) -> LocalHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let control = Arc::new(Control::default());
    if state.closing.get() {
        return LocalHandle {
            task: None,
            control,
        };
    }
    let number = state.free.borrow_mut().pop();
    let mut members = state.members.borrow_mut();
    let number = number.unwrap_or_else(|| {
        members.push(None);
        members.len() - 1
    });
    members[number] = Some(Arc::clone(&control));
    drop(members);
    let item = Item {
        future: Some(future),
        control: Arc::clone(&control),
        membership: Membership {
            state: Rc::clone(state),
            number,
        },
    };
    let turns = Arc::clone(&state.turns);
    let (runnable, task) = async_task::spawn_local(item, move |task: Runnable| turns.add(task));
    runnable.schedule();
    LocalHandle {
        task: Some(task.fallible()),
        control,
    }
}

/// Waits for the end of a task of a [`LocalSet`](crate::LocalSet), and can abort it.
///
/// Dropping it detaches the task, which stays in its set. It may be sent to other threads if the
/// result can.
///
/// # Cancellation
/// Dropping it, or a future that awaits it, stops nothing.
///
/// # Examples
/// ```
/// let set = wq::LocalSet::new();
/// let task: wq::LocalHandle<()> = set.spawn_local(std::future::pending());
/// task.abort();
/// assert!(set.block_on(task).unwrap_err().is_cancelled());
/// ```
pub struct LocalHandle<T> {
    /// None if the set was being dropped, or if this was.
    task: Option<FallibleTask<Outcome<T>>>,
    control: Arc<Control>,
}

impl<T> fmt::Debug for LocalHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalHandle")
            .field("finished", &self.is_finished())
            .finish()
    }
}

impl<T> LocalHandle<T> {
    /// Asks the task to stop: it is dropped at its next poll, on its thread. One that has ended
    /// keeps its result.
    ///
    /// # Examples
    /// ```
    /// let set = wq::LocalSet::new();
    /// let task = set.spawn_local(std::future::pending::<()>());
    /// task.abort();
    /// assert!(set.block_on(task).unwrap_err().is_cancelled());
    /// ```
    pub fn abort(&self) {
        // Relaxed: as in the item's poll.
        self.control.aborted.store(true, Ordering::Relaxed);
        self.control.wake();
    }

    /// Whether the task has ended; its destructors have run then.
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(FallibleTask::is_finished)
    }
}

impl<T> Drop for LocalHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.detach();
        }
    }
}

impl<T> Future for LocalHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = &mut self.task else {
            return Poll::Ready(Err(driver::rejected()));
        };
        Pin::new(task).poll(cx).map(
            |ended| match ended.and_then(|mut guarded| guarded.0.take()) {
                Some(Ok(value)) => Ok(value),
                Some(Err(Some(payload))) => Err(driver::panicked(payload)),
                Some(Err(None)) | None => Err(driver::cancelled()),
            },
        )
    }
}
