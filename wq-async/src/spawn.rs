//! Queueing futures and closures on the current System, and waiting for queues.

use std::future::Future;

use wq_core::{Drain, Flush, JoinHandle, Queue, TrySpawnError, Workqueue, driver};

/// Queues a future on the current System's default queue, which is unbound and has no limit.
///
/// # Examples
/// ```
/// wq::block_on(async {
///     let sum = wq::spawn(async { 1 + 1 });
///     assert_eq!(sum.await.unwrap(), 2);
/// });
/// ```
///
/// # Panics
/// If the default System must be made and the machine refuses its threads.
#[doc(alias = "schedule_work")]
#[inline]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    driver::spawn(future)
}

/// Queues a future on a queue: [`Queue::spawn`] as a function.
///
/// # Examples
/// ```
/// let journal = wq::Workqueue::ordered("journal").build()?;
/// let line = wq::spawn_on(&journal, async { "first" });
/// assert_eq!(line.wait().unwrap(), "first");
/// # Ok::<(), wq::BuildError>(())
/// ```
#[doc(alias = "queue_work")]
#[inline]
pub fn spawn_on<F>(queue: &Queue, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    queue.spawn(future)
}

/// Queues a closure on the current System's default queue. It may block.
///
/// # Examples
/// ```
/// let text = wq::spawn_fn(|| std::fs::read_to_string("Cargo.toml"));
/// assert!(text.wait().unwrap().is_ok());
/// ```
///
/// # Panics
/// As for [`spawn`].
#[inline]
pub fn spawn_fn<F, T>(function: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn(async move { function() })
}

/// As [`spawn`], but gives the future back if the System is shutting down.
///
/// # Errors
/// The future, if the default queue is closed.
///
/// # Examples
/// ```
/// let sum = wq::try_spawn(async { 1 + 1 }).expect("the default queue is open");
/// assert_eq!(sum.wait().unwrap(), 2);
/// ```
///
/// # Panics
/// As for [`spawn`].
pub fn try_spawn<F>(future: F) -> Result<JoinHandle<F::Output>, TrySpawnError<F>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    wq_core::System::current().default_queue().try_spawn(future)
}

/// Waits until all items that the queue has accepted so far have ended: [`Workqueue::flush`] as
/// a function.
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// let queue = wq::Workqueue::unbound("jobs").build().unwrap();
/// queue.spawn_fn(|| ());
/// let report = wq::flush(&queue).await.unwrap();
/// assert_eq!((report.completed, report.panicked), (1, 0));
/// # });
/// ```
#[doc(alias = "flush_workqueue")]
pub fn flush(queue: &Workqueue) -> Flush {
    queue.flush()
}

/// Refuses outside items until the queue is empty, and waits for that: [`Workqueue::drain`] as a
/// function.
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// let queue = wq::Workqueue::unbound("jobs").build().unwrap();
/// queue.spawn_fn(|| ());
/// wq::drain(&queue).await.unwrap();
/// assert_eq!(queue.stats().in_flight, 0);
/// # });
/// ```
#[doc(alias = "drain_workqueue")]
pub fn drain(queue: &Workqueue) -> Drain {
    queue.drain()
}

/// The queue of the item that runs here; outside items the current System's default queue.
///
/// # Examples
/// ```
/// let journal = wq::Workqueue::ordered("journal").build()?;
/// let name = journal.spawn(async { wq::current().name().to_owned() });
/// assert_eq!(name.wait().unwrap(), "journal");
/// # Ok::<(), wq::BuildError>(())
/// ```
#[doc(alias = "current_work")]
pub fn current() -> Queue {
    driver::current_queue()
}
