//! A task: a future on its way through `async-task`, with its accounting around it.
//!
//! The wrapper future registers the task when it first suspends, catches panics of the poll and
//! of every user destructor (inside the cell they would abort the process), looks for abort
//! requests, and notes how the item ended. Settling (slot, flush count) is the worker's job,
//! after the cell's `run` has returned, so that what a flush covered is finished.

pub(crate) mod builder;
pub(crate) mod join;
pub(crate) mod label;
mod span;

pub use builder::TaskBuilder;
pub use label::{TaskId, describe, id, name, try_id};

use std::any::Any;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use async_task::{Builder, Runnable, ScheduleInfo, WithInfo};

use crate::current::Current;
use crate::entry::{Entry, Meta};
use crate::hogs::memory::Known;
use crate::kind::Kind;
use crate::queue::{EndKind, QueueRef};
use crate::registry::Suspended;
use crate::{os, registry, route};

use join::{JoinHandle, Outcome};

/// A value whose destructor may panic without harm: the panic is caught (the hook has reported
/// it) and the rest goes on.
#[derive(Debug)]
pub(crate) struct Guarded<T>(ManuallyDrop<T>);

impl<T> Guarded<T> {
    /// Guards `value`.
    pub(crate) fn new(value: T) -> Guarded<T> {
        Guarded(ManuallyDrop::new(value))
    }

    /// The value, unguarded.
    pub(crate) fn into_inner(self) -> T {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so the value is taken once.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        let value = &mut self.0;
        // SAFETY: `drop` runs once, and the value is not used after it.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { ManuallyDrop::drop(value) }));
        if let Err(payload) = dropped {
            drop_payload(payload);
            // On a worker whose item has ended this was the output of a detached handle.
            Current::with(|current| current.map_or((), Current::note_output_panicked));
        }
    }
}

/// Drops what a panic left. That may itself panic; what comes of that is leaked, to end it here.
#[cold]
pub(crate) fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
}

/// The future that the cell polls. `N` is the user's type after which the item is named.
#[derive(Debug)]
struct Item<F: Future, N> {
    /// The user's future until it has ended. Pinned with the item.
    future: Option<F>,
    named: PhantomData<fn(N)>,
}

impl<F: Future, N> Item<F, N> {
    /// Drops the user's future where it stands; `Err` if its destructor panicked.
    fn drop_future(self: Pin<&mut Self>) -> Result<(), Outcome<F::Output>> {
        // SAFETY: the future is dropped in place or left where it is, never moved.
        let this = unsafe { self.get_unchecked_mut() };
        catch_unwind(AssertUnwindSafe(|| this.future = None)).map_err(Outcome::Panicked)
    }

    /// The item is over: drops the future and notes the end.
    fn finish(self: Pin<&mut Self>, outcome: Outcome<F::Output>) -> Guarded<Outcome<F::Output>> {
        let outcome = match self.drop_future() {
            Ok(()) => outcome,
            Err(panic) => {
                drop(Guarded::new(outcome));
                panic
            }
        };
        note_end(match outcome {
            Outcome::Returned(_) => EndKind::Completed,
            Outcome::Panicked(_) => EndKind::Panicked,
            Outcome::Cancelled => EndKind::Cancelled,
        });
        Guarded::new(outcome)
    }
}

impl<F: Future, N: 'static> Future for Item<F, N> {
    type Output = Guarded<Outcome<F::Output>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if begin_poll(Kind::of::<N>()) {
            return Poll::Ready(self.finish(Outcome::Cancelled));
        }
        // SAFETY: a projection: the future is pinned with the item, and `drop_future` drops it
        // in place.
        let future = unsafe { self.as_mut().map_unchecked_mut(|item| &mut item.future) };
        let polled = catch_unwind(AssertUnwindSafe(|| match future.as_pin_mut() {
            Some(future) => future.poll(cx).map(Outcome::Returned),
            None => unreachable!("the cell polls no ended item"),
        }));
        note_cost();
        match polled {
            Ok(Poll::Pending) if !suspend(cx) => Poll::Pending,
            Ok(Poll::Pending) => Poll::Ready(self.finish(Outcome::Cancelled)),
            Ok(Poll::Ready(outcome)) => Poll::Ready(self.finish(outcome)),
            Err(payload) => Poll::Ready(self.finish(Outcome::Panicked(payload))),
        }
    }
}

impl<F: Future, N> Drop for Item<F, N> {
    fn drop(&mut self) {
        if self.future.is_none() {
            return;
        }
        // SAFETY: a value that is being dropped is not moved any more.
        let this = unsafe { Pin::new_unchecked(self) };
        // No end is noted: an item in flight ends by a poll. This one was refused by its queue,
        // perhaps inside another item, which goes on.
        drop(this.drop_future().map_err(Guarded::new));
    }
}

/// A poll of an item of this kind begins, unless it was aborted, or its System drops what is left:
/// true.
#[inline(always)]
fn begin_poll(kind: &'static Kind) -> bool {
    Current::with(|current| {
        current.is_some_and(|c| {
            c.worker.note_kind(kind);
            c.meta().is_some_and(|m| m.abort.is_requested()) || c.system.is_dropping()
        })
    })
}

/// A poll is over: keeps in mind, or forgets in time, whether items of its kind burn CPU.
#[inline(always)]
fn note_cost() {
    Current::with(|current| {
        if let Some(current) = current {
            if current.is_suspect() {
                note_verdict(current);
            }
        }
    });
}

/// See [`note_cost`].
#[cold]
fn note_verdict(current: &Current) {
    if let (Some((cost, why)), Some(kind)) = (current.cost(), current.worker.kind()) {
        crate::hogs::mark::judge(current, kind, cost, why);
    }
}

/// The running item suspends: registers it if that is the first time. True: stop instead.
#[inline]
fn suspend(cx: &Context<'_>) -> bool {
    Current::with(|current| {
        let Some(current) = current else {
            return false;
        };
        let Some(meta) = current.meta() else {
            return false;
        };
        if meta.abort.slot().is_none() {
            let task = Suspended {
                waker: cx.waker().clone(),
                queue: meta.queue,
                item: meta.address(),
                kind: current.worker.kind(),
                since_ms: os::coarse_ms(),
            };
            let slot = registry::insert(current.worker.id as usize, task);
            if meta.abort.publish(slot) {
                return true;
            }
        }
        current.system.is_dropping()
    })
}

/// The running item's future is gone: leaves the registry and tells the worker.
fn note_end(kind: EndKind) {
    Current::with(|current| {
        let Some(current) = current else {
            return;
        };
        if let Some(meta) = current.meta() {
            leave_registry(meta);
        }
        current.note_end(kind);
    });
}

/// An item ends: nobody finds it any more. For whoever holds its entry.
pub(crate) fn leave_registry(meta: &Meta) {
    if let Some(slot) = meta.abort.slot() {
        meta.abort.clear();
        drop(registry::remove(slot));
    }
}

/// Makes a task of a future, for `queue`; nothing is queued or counted yet.
#[inline]
pub(crate) fn build<F>(queue: QueueRef, home: usize, future: F) -> (Entry, JoinHandle<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    build_as(queue, home, None, future)
}

/// As [`build`], of one that has a name.
#[inline]
pub(crate) fn build_as<F>(
    queue: QueueRef,
    home: usize,
    name: Option<&str>,
    future: F,
) -> (Entry, JoinHandle<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let kind = Kind::of::<F>();
    let burns = knows_burner(queue, kind);
    let of = span::Of {
        queue,
        kind,
        name,
        is_function: false,
    };
    let item = item::<_, F>(span::around(of, future));
    build_item(item, Meta::new(queue, home as u16, burns))
}

/// As [`build`], of a closure.
#[inline]
pub(crate) fn build_fn<F, T>(
    queue: QueueRef,
    home: usize,
    name: Option<&str>,
    function: F,
) -> (Entry, JoinHandle<T>)
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let kind = Kind::of::<F>();
    let burns = knows_burner(queue, kind);
    let of = span::Of {
        queue,
        kind,
        name,
        is_function: true,
    };
    let call = span::around(of, async move { function() });
    build_item(item::<_, F>(call), Meta::new(queue, home as u16, burns))
}

/// As [`build`], of a future that runs something of kind `kind`, and says so when it does.
pub(crate) fn build_for<F>(
    queue: QueueRef,
    home: usize,
    future: F,
    kind: &'static Kind,
) -> (Entry, JoinHandle<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let burns = knows_burner(queue, kind);
    let of = span::Of {
        queue,
        kind,
        name: None,
        is_function: false,
    };
    let item = item::<_, F>(span::around(of, future));
    build_item(item, Meta::new(queue, home as u16, burns))
}

/// What is known of items of this kind.
#[inline]
fn knows_burner(queue: QueueRef, kind: &Kind) -> Known {
    queue.get().system.get().hogs.memory.knows(kind)
}

/// A future, named after `N`.
#[inline]
fn item<F: Future, N>(future: F) -> Item<F, N> {
    Item {
        future: Some(future),
        named: PhantomData,
    }
}

/// Makes the cell.
#[inline]
fn build_item<F, N>(item: Item<F, N>, meta: Meta) -> (Entry, JoinHandle<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
    N: 'static,
{
    let (runnable, task) = Builder::new()
        .metadata(meta)
        .spawn(move |_| item, WithInfo(schedule));
    let entry = Entry(runnable);
    let meta = std::ptr::NonNull::from(entry.meta());
    (entry, JoinHandle::new(task.fallible(), meta))
}

/// A wake: the run goes back to its pool. Runs on any thread.
fn schedule(runnable: Runnable<Meta>, info: ScheduleInfo) {
    route::resume(Entry(runnable), info.woken_while_running);
}
