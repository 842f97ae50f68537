//! What the cases about blocking ask: the part of a runtime that bare threads have too.

use std::future::Future;
use std::thread::{self, JoinHandle};

use super::Runtime;

/// A runtime, or bare threads.
pub(crate) trait Host: Copy + Send + Sync + 'static {
    /// A started task.
    type Task: Send + 'static;

    /// Starts a task from outside; with high priority if `urgent`.
    fn begin(self, urgent: bool, task: impl Future<Output = ()> + Send + 'static) -> Self::Task;

    /// Awaits a task's end.
    fn end(task: Self::Task) -> impl Future<Output = ()> + Send;

    /// Lets a task run on.
    fn let_run(task: Self::Task);

    /// Waits on a foreign thread.
    fn wait_for<F: Future>(self, future: F) -> F::Output;

    /// Lets others run first.
    fn give_way() -> impl Future<Output = ()> + Send;

    /// Runs a closure that blocks or burns.
    fn run_long<F: FnOnce() + Send + 'static>(closure: F) -> impl Future<Output = ()> + Send;
}

impl<R: Runtime> Host for R {
    type Task = R::Join<()>;

    fn begin(self, urgent: bool, task: impl Future<Output = ()> + Send + 'static) -> Self::Task {
        if urgent {
            self.spawn_urgent(task)
        } else {
            self.spawn_outside(task)
        }
    }

    fn end(task: Self::Task) -> impl Future<Output = ()> + Send {
        R::join(task)
    }

    fn let_run(task: Self::Task) {
        R::detach(task);
    }

    fn wait_for<F: Future>(self, future: F) -> F::Output {
        self.wait(future)
    }

    fn give_way() -> impl Future<Output = ()> + Send {
        R::yield_now()
    }

    fn run_long<F: FnOnce() + Send + 'static>(closure: F) -> impl Future<Output = ()> + Send {
        R::block_in_task(closure)
    }
}

/// A thread for each task; priority is not known.
#[derive(Clone, Copy)]
pub(crate) struct Threads;

impl Host for Threads {
    type Task = JoinHandle<()>;

    fn begin(self, _urgent: bool, task: impl Future<Output = ()> + Send + 'static) -> Self::Task {
        thread::spawn(|| smol::future::block_on(task))
    }

    async fn end(task: Self::Task) {
        // Whoever waits is a thread of its own and has nothing else to do.
        task.join().expect("no task of a case panics");
    }

    fn let_run(task: Self::Task) {
        drop(task);
    }

    fn wait_for<F: Future>(self, future: F) -> F::Output {
        smol::future::block_on(future)
    }

    async fn give_way() {
        thread::yield_now();
    }

    async fn run_long<F: FnOnce() + Send + 'static>(closure: F) {
        closure();
    }
}
