//! One requested execution of an item, as a task: its turn, the call, and the end.
//!
//! The right to run is the item's `RUNNING` bit, which one execution has at a time. A closure has
//! it for the call; the future of an async item from its making until it was dropped, suspended or
//! not, so that another execution, a flush or a cancel waits for all of it.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::current::Current;
use crate::proto::state::{Begin, Request};

use super::{Work, WorkInner, lock};

/// The future of one execution.
pub(super) type RunFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What an item does when it runs. It gets a handle to the item.
pub(super) enum Body {
    /// Calls this.
    Call(Box<dyn FnMut(&Work) + Send>),
    /// Makes a future, and polls that to its end.
    Future(Box<dyn FnMut(&Work) -> RunFuture + Send>),
}

thread_local! {
    /// The item whose code runs on this thread.
    static INSIDE: RefCell<Option<Work>> = const { RefCell::new(None) };
}

/// The item whose code runs on this thread, as `f` sees it.
fn inside<R>(f: impl FnOnce(Option<&Work>) -> R) -> R {
    let mut f = Some(f);
    let seen = INSIDE.try_with(|inside| f.take().map(|f| f(inside.borrow().as_ref())));
    match (seen, f) {
        (Ok(Some(seen)), _) => seen,
        // The thread's locals are gone: nothing runs here but destructors.
        (_, Some(f)) => f(None),
        _ => unreachable!("`f` was called, or is still there"),
    }
}

/// The re-queueable item that the caller is inside of; `None` for plain tasks, and outside of
/// items. Of a [`DelayedWork`](crate::DelayedWork) it is the item without its timer.
///
/// # Examples
/// ```
/// use wq_core::{Queued, Work, current_work};
///
/// let queue = wq_core::Workqueue::unbound("ticks").build()?;
/// let work = Work::new(|| {
///     let this = current_work().expect("this is an item");
///     this.disable(); // it runs once
/// });
/// assert_eq!(queue.queue(&work), Queued::New);
/// work.flush().wait()?;
/// assert_eq!(queue.queue(&work), Queued::Disabled);
/// assert!(current_work().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn current_work() -> Option<Work> {
    inside(|work| work.cloned())
}

/// As [`current_work`], with the request whose execution this is.
pub(crate) fn current_run() -> Option<(Work, Request)> {
    let work = current_work()?;
    let request = lock(&work.0.progress).running();
    Some((work, request))
}

/// Whether the caller is inside this item.
pub(super) fn is_inside(work: &WorkInner) -> bool {
    inside(|here| here.is_some_and(|here| std::ptr::eq(&*here.0, work)))
}

/// Runs `f` as code of the item; whether it panicked.
fn as_item<R>(work: &Arc<WorkInner>, f: impl FnOnce() -> R) -> std::thread::Result<R> {
    /// Puts the outer item back.
    struct Leave(Option<Work>);
    impl Drop for Leave {
        fn drop(&mut self) {
            let outer = self.0.take();
            let _gone = INSIDE.try_with(|inside| inside.replace(outer));
        }
    }
    let here = Work(Arc::clone(work));
    let outer = INSIDE.try_with(|inside| inside.replace(Some(here)));
    let _leave = Leave(outer.ok().flatten());
    catch_unwind(AssertUnwindSafe(f))
}

/// The worker is about to run the item's code.
fn note_kind(work: &WorkInner) {
    Current::with(|current| {
        if let Some(current) = current {
            current.worker.note_kind(work.kind);
        }
    });
}

/// How far an execution is.
enum Phase {
    /// It waits for its turn.
    Waits,
    /// It has the item's right to run, and this future is under way.
    Inside(RunFuture),
    /// It is over.
    Over,
}

/// One requested execution.
pub(super) struct Run {
    work: Arc<WorkInner>,
    request: Request,
    phase: Phase,
}

impl Run {
    /// An execution that was granted.
    pub(super) fn new(work: &Arc<WorkInner>, request: Request) -> Run {
        Run {
            work: Arc::clone(work),
            request,
            phase: Phase::Waits,
        }
    }

    /// Runs the body, or makes its future; the item's right to run is this execution's.
    fn start(&mut self) -> Option<RunFuture> {
        let work = &self.work;
        let handle = Work(Arc::clone(work));
        let started = as_item(work, || match &mut *lock(&work.body) {
            Body::Call(function) => {
                function(&handle);
                None
            }
            Body::Future(make) => Some(make(&handle)),
        });
        match started {
            Ok(Some(future)) => Some(future),
            Ok(None) => {
                self.end(Ok(()));
                None
            }
            Err(payload) => {
                self.end(Err(payload));
                None
            }
        }
    }

    /// Polls the future of an async item.
    fn go_on(&mut self, mut future: RunFuture, cx: &mut Context<'_>) -> Poll<()> {
        match as_item(&self.work, || future.as_mut().poll(cx)) {
            Ok(Poll::Pending) => {
                self.phase = Phase::Inside(future);
                return Poll::Pending;
            }
            Ok(Poll::Ready(())) => self.drop_future(future, Ok(())),
            Err(payload) => self.drop_future(future, Err(payload)),
        }
        Poll::Ready(())
    }

    /// The future is done with: drops it as the item, whose execution is over then.
    fn drop_future(&mut self, future: RunFuture, polled: std::thread::Result<()>) {
        let dropped = as_item(&self.work, || drop(future));
        self.end(polled.and(dropped));
    }

    /// The execution is over, with this outcome.
    fn end(&mut self, outcome: std::thread::Result<()>) {
        self.phase = Phase::Over;
        let wake = self.work.state.end();
        self.work.note_over(self.request);
        self.work.wake_deferred(wake);
        if let Err(payload) = outcome {
            // The task layer counts and reports it.
            resume_unwind(payload);
        }
    }
}

impl Future for Run {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        note_kind(&self.work);
        // While a piece of it is run, a panic leaves nothing to be done.
        let future = match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Inside(future) => Some(future),
            Phase::Over => return Poll::Ready(()),
            Phase::Waits => {
                let begin = self.work.begin_or_wait(self.request, cx.waker());
                match begin {
                    Begin::Wait => {
                        self.phase = Phase::Waits;
                        return Poll::Pending;
                    }
                    Begin::Stale => None,
                    Begin::Run => self.start(),
                }
            }
        };
        match future {
            Some(future) => self.go_on(future, cx),
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Over => {}
            // Dropped unexecuted (refused, or by a shutdown): the request is over.
            Phase::Waits => {
                self.work.cancel_request(self.request);
            }
            // By a shutdown, while it was suspended.
            Phase::Inside(future) => self.drop_future(future, Ok(())),
        }
    }
}
