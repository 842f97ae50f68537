//! Tasks with a name.

use std::future::Future;
use std::sync::Arc;

use crate::queue::handle::{Queue, TrySpawnError};

use super::join::JoinHandle;

/// Spawns a task with more than a future: see [`Queue::builder`].
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::unbound("jobs").build()?;
/// let sum = queue.builder().name("sum").spawn(async { 1 + 1 });
/// assert_eq!(sum.wait().unwrap(), 2);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `spawn`"]
pub struct TaskBuilder<'a> {
    queue: &'a Queue,
    spec: Spec,
}

/// What a task is made with, beside its future.
#[derive(Clone, Default, Debug)]
pub(crate) struct Spec {
    /// What to call it.
    pub(crate) name: Option<Arc<str>>,
    /// The CPU to queue it on.
    pub(crate) cpu: Option<usize>,
}

impl<'a> TaskBuilder<'a> {
    /// A task without anything.
    pub(crate) fn new(queue: &'a Queue) -> TaskBuilder<'a> {
        TaskBuilder {
            queue,
            spec: Spec::default(),
        }
    }

    /// What the task is called in a [`Dump`](crate::Dump), and by [`task::name`](super::name). An
    /// `Arc<str>` that is there already costs no copy.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> TaskBuilder<'a> {
        self.spec.name = Some(name.into());
        self
    }

    /// As for [`Queue::spawn_on`]: the CPU on a per-CPU queue, else what selects the pod.
    pub fn cpu(mut self, cpu: usize) -> TaskBuilder<'a> {
        self.spec.cpu = Some(cpu);
        self
    }

    /// As [`Queue::spawn`].
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.queue.spawn_with(self.spec, future)
    }

    /// As [`Queue::spawn_fn`].
    pub fn spawn_fn<F, T>(self, function: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.queue.spawn_fn_with(self.spec, function)
    }

    /// As [`Queue::try_spawn`].
    ///
    /// # Errors
    /// The future, and whether the queue was full or closed.
    pub fn try_spawn<F>(self, future: F) -> Result<JoinHandle<F::Output>, TrySpawnError<F>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.queue.try_spawn_with(self.spec, future)
    }
}
