//! Tasks that belong together: [`TaskGroup`].
//!
//! A group owns join handles and nothing else; its tasks are ordinary items of ordinary queues.
//! Each handle is polled once when it joins the group, with a waker of its own that notes the
//! task's end in a list. So results come in the order in which tasks ended, and a wait looks at
//! those that ended alone. Not for borrows: those need a frame that blocks, `wq::scope`.
//!
//! Invariant: a result is in the group until somebody was given it. The waits have no state, so
//! that dropping one loses nothing.

mod ended;
mod wait;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use wq_core::{JoinError, JoinHandle, Queue, driver};

use ended::Ended;

pub use wait::{GroupError, JoinAll, JoinNext, TryJoinAll};

/// Tasks that are waited for, and stopped, together.
///
/// Results come in the order in which the tasks end. Dropping the group aborts what still runs; it
/// does not wait for that. A group has no limit of its own: its queue's `max_active` and
/// `max_pending` are.
///
/// An item that waits for a group whose tasks are on its own ordered queue waits for ever: they get
/// their turn when it has ended. (`JoinHandle::wait` notices that, the waits of a group do not.)
///
/// # Cancellation
/// All waits may be dropped at any time and lose nothing: results stay in the group until they are
/// taken.
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// let mut group = wq::TaskGroup::new();
/// for n in 1..=3 {
///     group.spawn(async move { n * n });
/// }
/// let mut sum = 0;
/// while let Some(square) = group.join_next().await {
///     sum += square.expect("no task panics");
/// }
/// assert_eq!(sum, 14);
/// # });
/// ```
#[doc(alias = "JoinSet")]
#[doc(alias = "TaskTracker")]
#[doc(alias = "nursery")]
#[must_use = "dropping a group aborts its tasks"]
pub struct TaskGroup<T> {
    /// Where its tasks go; the current System's default queue if there is none.
    queue: Option<Queue>,
    /// Tasks whose results were not seen yet; places of others are free.
    running: Vec<Option<Member<T>>>,
    /// Free places in `running`.
    free: Vec<usize>,
    /// Results that nobody has taken, in the order in which the tasks ended.
    done: VecDeque<Result<T, JoinError>>,
    /// Which of the running ones have ended.
    ended: Arc<Ended>,
    /// The process that it was made in: see `driver::process`.
    process: u32,
}

/// A task of a group.
struct Member<T> {
    handle: JoinHandle<T>,
    /// Notes its end.
    waker: Waker,
}

impl<T> fmt::Debug for TaskGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("running", &self.nr_running())
            .field("done", &self.done.len())
            .finish_non_exhaustive()
    }
}

impl<T> Default for TaskGroup<T> {
    fn default() -> TaskGroup<T> {
        TaskGroup::new()
    }
}

impl<T> TaskGroup<T> {
    /// An empty group, whose tasks go to the default queue of the System that is current when they
    /// are spawned.
    ///
    /// # Examples
    /// ```
    /// let mut group = wq::TaskGroup::new();
    /// (0..3).for_each(|n| group.spawn(async move { n }));
    /// let sum: i32 = group.join_all().wait().into_iter().map(Result::unwrap).sum();
    /// assert_eq!(sum, 3);
    /// ```
    pub fn new() -> TaskGroup<T> {
        TaskGroup {
            queue: None,
            running: Vec::new(),
            free: Vec::new(),
            done: VecDeque::new(),
            ended: Arc::default(),
            process: driver::process(),
        }
    }

    /// An empty group, whose tasks go to this queue.
    ///
    /// # Examples
    /// ```
    /// let four = wq::Workqueue::unbound("four").max_active(4).build()?;
    /// let mut group = wq::TaskGroup::on(&four);
    /// (0..100).for_each(|n| group.spawn_fn(move || n));
    /// let sum: u32 = group.join_all().wait().into_iter().map(Result::unwrap).sum();
    /// assert_eq!(sum, 4950);
    /// # Ok::<(), wq::BuildError>(())
    /// ```
    pub fn on(queue: &Queue) -> TaskGroup<T> {
        let mut group = TaskGroup::new();
        group.queue = Some(queue.clone());
        group
    }

    /// Takes a task in that was spawned elsewhere: on another queue, or on a CPU.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let urgent = wq::Workqueue::percpu("urgent").build().unwrap();
    /// let mut group = wq::TaskGroup::new();
    /// group.add(urgent.spawn_on(0, async { 7 }));
    /// group.spawn(async { 8 });
    /// assert_eq!(group.len(), 2);
    /// # });
    /// ```
    pub fn add(&mut self, handle: JoinHandle<T>) {
        // Those that have ended before come first.
        self.collect();
        let place = self.free.pop().unwrap_or_else(|| {
            self.running.push(None);
            self.running.len() - 1
        });
        let waker = Ended::waker(&self.ended, place);
        self.running[place] = Some(Member { handle, waker });
        // Registers the waker, or finds that the task has ended already.
        self.look_at(place);
    }

    /// How many tasks there are whose results were not taken.
    ///
    /// # Examples
    /// ```
    /// let mut group = wq::TaskGroup::new();
    /// group.spawn(async { 7 });
    /// assert_eq!(group.len(), 1);
    /// group.join_next().wait();
    /// assert!(group.is_empty());
    /// ```
    pub fn len(&self) -> usize {
        self.nr_running() + self.done.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many have not been seen to end.
    fn nr_running(&self) -> usize {
        self.running.len() - self.free.len()
    }

    /// Waits for the next task to end, and takes its result; `None` if there is no task.
    ///
    /// # Cancellation
    /// Dropping the wait loses nothing.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut group = wq::TaskGroup::new();
    /// group.spawn(async { 7 });
    /// assert_eq!(group.join_next().await.unwrap().unwrap(), 7);
    /// assert!(group.join_next().await.is_none());
    /// # });
    /// ```
    pub fn join_next(&mut self) -> JoinNext<'_, T> {
        JoinNext::new(self)
    }

    /// As [`TaskGroup::join_next`], without waiting: `None` if no task has ended.
    ///
    /// # Examples
    /// ```
    /// let mut group = wq::TaskGroup::new();
    /// group.spawn(std::future::pending::<()>());
    /// assert!(group.try_join_next().is_none());
    /// assert_eq!(group.len(), 1);
    /// ```
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.collect();
        self.done.pop_front()
    }

    /// As [`TaskGroup::join_next`], for futures that are written by hand.
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        match self.poll_done(cx, |group| !group.done.is_empty()) {
            Poll::Ready(()) => Poll::Ready(self.done.pop_front()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Waits until all tasks have ended, and takes their results, in the order in which they ended.
    ///
    /// # Cancellation
    /// Dropping the wait loses nothing: the results are taken when all are there.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut group = wq::TaskGroup::new();
    /// group.spawn(async { 7 });
    /// group.spawn(async { panic!("told") });
    /// let results = group.join_all().await;
    /// assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    /// # });
    /// ```
    pub fn join_all(&mut self) -> JoinAll<'_, T> {
        JoinAll::new(self)
    }

    /// Asks all tasks to stop: see [`JoinHandle::abort`]. Their results remain to be taken, and a
    /// wait for them is a wait for their destructors.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut group = wq::TaskGroup::new();
    /// group.spawn(std::future::pending::<()>());
    /// group.abort_all();
    /// assert!(group.join_next().await.unwrap().unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn abort_all(&self) {
        let members = self.running.iter().flatten();
        members.for_each(|member| member.handle.abort());
    }

    /// Lets all tasks go on without the group, which is empty then.
    ///
    /// # Examples
    /// ```
    /// let mut group = wq::TaskGroup::new();
    /// group.spawn(async { println!("goes on") });
    /// group.detach_all();
    /// assert!(group.is_empty());
    /// ```
    pub fn detach_all(&mut self) {
        self.running.clear();
        self.free.clear();
        self.done.clear();
    }

    /// Moves the result of the task at this place to the others that are done, if it has ended.
    fn look_at(&mut self, place: usize) {
        // Empty if the end was seen before its waker was used.
        let Some(Some(member)) = self.running.get_mut(place) else {
            return;
        };
        let mut cx = Context::from_waker(&member.waker);
        if let Poll::Ready(result) = Pin::new(&mut member.handle).poll(&mut cx) {
            self.running[place] = None;
            self.free.push(place);
            self.done.push_back(result);
        }
    }

    /// Looks at those whose end was noted.
    fn collect(&mut self) {
        while let Some(place) = self.ended.pop() {
            self.look_at(place);
        }
    }

    /// Ready when `enough` holds, or when all tasks are done.
    fn poll_done(
        &mut self,
        cx: &mut Context<'_>,
        mut enough: impl FnMut(&mut TaskGroup<T>) -> bool,
    ) -> Poll<()> {
        loop {
            self.collect();
            if self.process != driver::process() {
                // Nothing ends in a forked child, and nobody wakes; but every handle says so.
                (0..self.running.len()).for_each(|place| self.look_at(place));
            }
            if enough(self) || self.nr_running() == 0 {
                return Poll::Ready(());
            }
            if self.ended.wait(cx.waker()).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl<T: Send + 'static> TaskGroup<T> {
    /// Queues a future as a task of the group. One that its queue refuses is a member too, whose
    /// error says so.
    ///
    /// # Panics
    /// As [`wq::spawn`](crate::spawn()), in a group without a queue of its own.
    ///
    /// # Examples
    /// ```
    /// let mut group = wq::TaskGroup::new();
    /// group.spawn(async { 1 + 1 });
    /// assert_eq!(group.join_next().wait().unwrap().unwrap(), 2);
    /// ```
    pub fn spawn<F>(&mut self, future: F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let handle = match &self.queue {
            Some(queue) => queue.spawn(future),
            None => crate::spawn(future),
        };
        self.add(handle);
    }

    /// Queues a closure as a task of the group. It may block. An abort takes effect until it has
    /// begun.
    ///
    /// # Panics
    /// As [`spawn`](Self::spawn).
    ///
    /// # Examples
    /// ```
    /// let mut group = wq::TaskGroup::new();
    /// group.spawn_fn(|| std::fs::read("Cargo.toml").map(|bytes| bytes.len()));
    /// assert!(group.join_next().wait().unwrap().unwrap().is_ok());
    /// ```
    pub fn spawn_fn(&mut self, function: impl FnOnce() -> T + Send + 'static) {
        let handle = match &self.queue {
            Some(queue) => queue.spawn_fn(function),
            None => crate::spawn_fn(function),
        };
        self.add(handle);
    }
}

impl<T: Send + 'static, E: Send + 'static> TaskGroup<Result<T, E>> {
    /// Waits until all tasks have returned `Ok`, and takes the values, in the order in which the
    /// tasks ended. As soon as one fails, panics or was aborted, the others are aborted, waited
    /// for, and dropped with their results.
    ///
    /// # Errors
    /// The first failure.
    ///
    /// # Cancellation
    /// Dropping the wait loses nothing. If a task had failed, the others stay aborted.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut group = wq::TaskGroup::new();
    /// group.spawn(async { std::future::pending().await });
    /// group.spawn(async { "seven".parse::<u32>() });
    /// let error = group.try_join_all().await.unwrap_err();
    /// assert_eq!(error.to_string(), "invalid digit found in string");
    /// assert!(group.is_empty()); // the other one has been aborted and has ended
    /// # });
    /// ```
    #[doc(alias = "try_join")]
    pub fn try_join_all(&mut self) -> TryJoinAll<'_, T, E> {
        TryJoinAll::new(self)
    }
}

impl<T> Drop for TaskGroup<T> {
    fn drop(&mut self) {
        self.abort_all();
    }
}

/// The results as a stream, which ends when the group is empty.
impl<T> Stream for TaskGroup<T> {
    type Item = Result<T, JoinError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_join_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

// Nothing in a group is pinned.
impl<T> Unpin for TaskGroup<T> {}
