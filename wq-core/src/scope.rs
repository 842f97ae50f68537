//! Items that borrow from whoever waits for them: [`scope`].
//!
//! The frame that calls it blocks until all its items are gone, as with `std::thread::scope`; on a
//! worker that is a declared block. What is unsafe about it, and why it is sound, is in
//! `scope/erase.rs`. Here are the results, who may wait for whom, and what failed.
//!
//! Invariant: an item's [`Slot`] is dropped by the item before its ticket is.

mod erase;
mod held;
mod slot;

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::block;
use crate::current::Current;
use crate::kind::Kind;
use crate::queue::handle::Queue;
use crate::system::System;
use crate::task::join::{JoinError, JoinHandle};

use erase::Frame;
use held::Held;
use slot::{Failure, Failures, Slot, Todo};

/// Runs `f`, which may spawn items that borrow, and waits on the calling thread until all of them
/// have ended. They run on the current System's default queue; [`Queue::scope`] chooses another.
///
/// As `std::thread::scope`, with items of a queue instead of threads. It may be called anywhere,
/// inside tasks and inside other scopes too: a worker hands its lane over while it waits. If `f`
/// panics, the items are waited for all the same, and then the panic goes on.
///
/// # Panics
/// If `f` panics, with its payload. If an item panicked and its handle was not asked for the
/// result, as in `std`. If an item did not run, and nobody learned that from its handle: its
/// queue refused it, a shutdown dropped it, or it would have waited for a slot that the caller
/// itself holds ([`JoinError::is_deadlock`]). In a child that was forked inside of it; if that was
/// done by an item, the child's process ends. If the default System is needed and cannot be made.
///
/// Items of the scope that wait for an item of which the caller is a part (by a join handle, say)
/// wait for ever: unlike other circles of waits, that one is not noticed.
///
/// # Examples
/// ```
/// let words = ["one", "two", "three"].map(String::from);
/// let mut lengths = [0; 3];
/// wq_core::scope(|s| {
///     for (word, length) in words.iter().zip(&mut lengths) {
///         s.spawn_fn(move || *length = word.len());
///     }
/// });
/// assert_eq!(lengths, [3, 3, 5]);
/// ```
///
/// What an item borrows must live longer than the scope:
///
/// ```compile_fail,E0373
/// wq_core::scope(|s| {
///     let inside = vec![1, 2, 3];
///     s.spawn_fn(|| println!("{}", inside.len()));
/// });
/// ```
/// ```compile_fail,E0505
/// let outside = vec![1, 2, 3];
/// wq_core::scope(|s| {
///     s.spawn_fn(|| println!("{}", outside.len()));
///     drop(outside);
/// });
/// ```
///
/// Nor does a borrow, a handle or the scope itself get out:
///
/// ```compile_fail,E0521
/// let mut escaped = None;
/// wq_core::scope(|s| escaped = Some(s));
/// ```
/// ```compile_fail
/// let text = String::from("borrowed");
/// let handle = wq_core::scope(|s| s.spawn_fn(|| text.as_str()));
/// ```
/// ```compile_fail,E0597
/// let kept: &'static str = {
///     let text = String::from("borrowed");
///     wq_core::scope(|s| s.spawn_fn(|| text.as_str()).join().unwrap())
/// };
/// ```
///
/// What cannot be sent to a worker does not go there:
///
/// ```compile_fail,E0277
/// let local = std::rc::Rc::new(1);
/// wq_core::scope(|s| {
///     s.spawn_fn(|| println!("{local}"));
/// });
/// ```
#[doc(alias = "thread::scope")]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    run(System::current().default_queue(), f)
}

impl Queue {
    /// As [`scope()`], with items of this queue.
    ///
    /// From inside an item that has a slot of a limited queue, an item of a scope on that queue
    /// (an ordered one, or one with `max_active`) would wait for its own waiter. It is refused:
    /// its handle yields an error for which [`JoinError::is_deadlock`] holds. That is so through
    /// scopes within scopes, too.
    ///
    /// # Panics
    /// As [`scope()`].
    ///
    /// # Examples
    /// ```
    /// let two = wq_core::Workqueue::unbound("two at a time").max_active(2).build()?;
    /// let numbers = [1, 2, 3, 4, 5, 6];
    /// let sum: i32 = two.scope(|s| {
    ///     let pairs = numbers.chunks(2);
    ///     let parts: Vec<_> = pairs.map(|c| s.spawn_fn(move || c[0] + c[1])).collect();
    ///     parts.into_iter().map(|part| part.join().expect("no item panics")).sum()
    /// });
    /// assert_eq!(sum, 21);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn scope<'env, F, T>(&self, f: F) -> T
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
    {
        run(self.clone(), f)
    }
}

/// The scope: `f` and the wait for its items.
fn run<'env, F, T>(queue: Queue, f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let failures = Arc::default();
    let (result, all_ended) = erase::lend(queue, &failures, f);
    let value = result.unwrap_or_else(|payload| resume_unwind(payload));
    assert!(
        all_ended,
        "this process is a forked child: the items of the scope are in the one it was forked from"
    );
    if let Some(failure) = failures.first() {
        panic!("{failure}");
    }
    value
}

/// Spawns items that borrow: see [`scope()`].
pub struct Scope<'scope, 'env: 'scope> {
    /// Waits for its items.
    frame: Frame<'scope, 'env>,
    queue: Queue,
    failures: Arc<Failures>,
    /// The limited queues that the frame has slots of.
    held: Option<Arc<Held>>,
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("queue", &self.queue.name())
            .finish_non_exhaustive()
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// The scope of a frame.
    fn new(frame: Frame<'scope, 'env>, queue: Queue, failures: &Arc<Failures>) -> Self {
        Scope {
            frame,
            queue,
            failures: Arc::clone(failures),
            held: Held::here(),
        }
    }

    /// Queues a closure, which may block and may borrow what lives longer than the scope.
    ///
    /// # Examples
    /// ```
    /// let text = String::from("borrowed");
    /// let length = wq_core::scope(|s| s.spawn_fn(|| text.len()).join().unwrap());
    /// assert_eq!(length, 8);
    /// ```
    pub fn spawn_fn<F, T>(&'scope self, function: F) -> ScopedHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let kind = Kind::of_borrower::<F>();
        self.submit(|slot| {
            let held = self.held.clone();
            let todo = Todo::new(function, slot);
            let body = Box::new(move || {
                let (function, ending) = todo.begin();
                let value = Held::during(&held, || named(kind, function));
                ending.returned(value);
            });
            let job = self.frame.job(body);
            self.queue.spawn_for(async move { job.run() }, kind)
        })
    }

    /// Queues a future, which may borrow what lives longer than the scope.
    ///
    /// # Examples
    /// ```
    /// let text = String::from("borrowed");
    /// let length = wq_core::scope(|s| s.spawn(async { text.len() }).join().unwrap());
    /// assert_eq!(length, 8);
    /// ```
    pub fn spawn<F>(&'scope self, future: F) -> ScopedHandle<'scope, F::Output>
    where
        F: Future + Send + 'scope,
        F::Output: Send + 'scope,
    {
        let kind = Kind::of_borrower::<F>();
        self.submit(|slot| {
            let held = self.held.clone();
            let todo = Todo::new(future, slot);
            let body = Box::pin(async move {
                let (future, ending) = todo.begin();
                let value = {
                    let mut future = pin!(future);
                    let poll = |cx: &mut Context<'_>| {
                        Held::during(&held, || named(kind, || future.as_mut().poll(cx)))
                    };
                    poll_fn(poll).await
                };
                ending.returned(value);
            });
            let poller = self.frame.poller(body);
            self.queue.spawn_for(poller, kind)
        })
    }

    /// Queues what `spawn` makes of the item's count of its slot, unless that would wait for the
    /// frame.
    fn submit<T: Send + 'scope>(
        &'scope self,
        spawn: impl FnOnce(Arc<Slot<T>>) -> JoinHandle<()>,
    ) -> ScopedHandle<'scope, T> {
        let slot = Slot::new(&self.failures);
        let join = if Held::bars(self.held.as_ref(), self.queue.0.queue) {
            slot.fail(Failure::Deadlock);
            None
        } else {
            let join = spawn(Arc::clone(&slot));
            if join.is_rejected() {
                slot.fail(Failure::Rejected);
            }
            Some(join)
        };
        ScopedHandle {
            join,
            slot,
            queue: &self.queue,
        }
    }
}

/// Runs `f` as a part of an item that is made of `kind`.
fn named<R>(kind: &'static Kind, f: impl FnOnce() -> R) -> R {
    Current::with(|current| current.map_or((), |c| c.worker.note_kind(kind)));
    f()
}

/// Waits for an item of a scope, and can abort it.
///
/// A future too, for items of the same scope. Dropping it detaches the item from it, and not from
/// the scope, which waits.
///
/// # Examples
/// ```
/// let numbers = vec![1, 2, 3];
/// wq_core::scope(|s| {
///     let sum: wq_core::ScopedHandle<'_, i32> = s.spawn_fn(|| numbers.iter().sum());
///     assert_eq!(sum.join().unwrap(), 6);
/// });
/// ```
pub struct ScopedHandle<'scope, T> {
    /// None for an item that was refused because it would wait for its waiter.
    join: Option<JoinHandle<()>>,
    slot: Arc<Slot<T>>,
    queue: &'scope Queue,
}

impl<T> fmt::Debug for ScopedHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedHandle")
            .field("finished", &self.is_finished())
            .finish()
    }
}

impl<T> ScopedHandle<'_, T> {
    /// Waits on the calling thread, which counts as sleeping.
    ///
    /// # Errors
    /// If the item panicked, was aborted, or was refused. If the caller is inside an item that has
    /// a slot of the same limited queue, so that the two may wait for each other: the item goes on
    /// then, and the scope waits for it.
    pub fn join(self) -> Result<T, JoinError> {
        block::block_on(self)
    }

    /// Asks the item to stop: see [`JoinHandle::abort`]. The scope does not complain about it.
    ///
    /// # Examples
    /// ```
    /// wq_core::scope(|s| s.spawn(std::future::pending::<()>()).abort());
    /// ```
    pub fn abort(&self) {
        if let Some(join) = &self.join {
            self.slot.abort();
            join.abort();
        }
    }

    /// Whether the item has ended; its destructors have run then.
    pub fn is_finished(&self) -> bool {
        self.join.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl<T> Future for ScopedHandle<'_, T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(join) = &mut self.join else {
            drop(self.slot.take());
            return Poll::Ready(Err(JoinError::deadlock()));
        };
        match Pin::new(join).poll(cx) {
            Poll::Ready(ended) => {
                let value = self.slot.take();
                Poll::Ready(ended.and_then(|()| value.ok_or_else(JoinError::cancelled)))
            }
            Poll::Pending if Held::bars_here(self.queue.0.queue) => {
                Poll::Ready(Err(JoinError::deadlock()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
