//! What users hold: the unique owner of a queue, and handles that only submit.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::dump::{self, QueueDump};
use crate::entry::Entry;
use crate::proto::counts::ColourSet;
use crate::queue::bh::BhBuilder;
use crate::queue::builder::{OrderedBuilder, PercpuBuilder, UnboundBuilder};
use crate::queue::wait::{Destroy, Drain, Flush};
use crate::route::{self, Refusal};
use crate::stats::QueueStats;
use crate::system::SystemInner;
use crate::task;
use crate::task::builder::{Spec, TaskBuilder};
use crate::task::join::JoinHandle;
use crate::work::delayed::ArmedList;

use super::{CLOSED, DRAINING, QueueInner, QueueRef};

/// What all handles of a queue share; the queue retires when the last one goes.
pub(crate) struct QueueHandle {
    /// Keeps the System.
    pub(crate) system: Arc<SystemInner>,
    /// The queue.
    pub(crate) queue: QueueRef,
    /// What becomes of the queue when the handle goes.
    hold: Hold,
    /// Delayed items that are armed for this queue.
    pub(crate) armed: Mutex<ArmedList>,
}

/// How a handle keeps its queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hold {
    /// Not at all: it is one of the System's own, and stays as long as that.
    System,
    /// As the last handle, after which the queue retires.
    Last,
    /// By a pin: an item asked for its queue when the last handle was gone.
    Pin,
}

impl Drop for QueueHandle {
    fn drop(&mut self) {
        match self.hold {
            // In a forked child a lock may be held for ever.
            _ if self.system.is_forked() => {}
            Hold::System => {}
            Hold::Last => self.queue.get().retire(self.queue),
            Hold::Pin => self.queue.get().unpin(),
        }
    }
}

impl fmt::Debug for QueueHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueHandle")
            .field("name", &self.queue.get().name)
            .finish_non_exhaustive()
    }
}

impl QueueHandle {
    /// Takes back every delayed item that is armed for this queue; how many there were.
    pub(crate) fn cancel_armed(&self) -> u64 {
        let armed = std::mem::take(&mut *self.armed.lock().unwrap_or_else(PoisonError::into_inner));
        let listed = armed.into_values();
        let taken_back = listed.filter(|(request, item)| {
            item.upgrade()
                .is_some_and(|item| item.cancel_listed(*request))
        });
        taken_back.count() as u64
    }

    /// How many delayed items are armed for this queue.
    pub(crate) fn nr_armed(&self) -> usize {
        self.armed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

/// A cheap handle to a queue, which can add items and nothing else.
///
/// # Examples
/// ```
/// let owner = wq_core::Workqueue::unbound("jobs").build()?;
/// let queue: wq_core::Queue = (*owner).clone();
/// drop(owner);
/// // The handle lives on; the queue was closed by its owner's drop.
/// assert!(queue.is_closed());
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "workqueue_struct")]
pub struct Queue(pub(crate) Arc<QueueHandle>);

impl Queue {
    /// A handle to one of the System's own queues.
    pub(crate) fn of_system(system: Arc<SystemInner>, queue: QueueRef) -> Queue {
        Queue::holding(system, queue, Hold::System)
    }

    /// The first handle of a new queue.
    pub(super) fn of_new(system: Arc<SystemInner>, queue: QueueRef) -> Queue {
        let first = Queue::holding(system, queue, Hold::Last);
        let _ = queue.get().handle.set(Arc::downgrade(&first.0));
        first
    }

    /// A handle to the queue of the item that the caller is inside of, which keeps the queue in
    /// place meanwhile.
    pub(crate) fn of_item(system: Arc<SystemInner>, queue: QueueRef) -> Queue {
        match queue.get().handle.get().map(Weak::upgrade) {
            None => Queue::of_system(system, queue),
            Some(Some(handle)) => Queue(handle),
            Some(None) => {
                queue.get().pin();
                Queue::holding(system, queue, Hold::Pin)
            }
        }
    }

    /// A handle that holds its queue in this way.
    fn holding(system: Arc<SystemInner>, queue: QueueRef, hold: Hold) -> Queue {
        let armed = Mutex::new(HashMap::new());
        Queue(Arc::new(QueueHandle {
            system,
            queue,
            hold,
            armed,
        }))
    }

    /// The queue.
    #[inline(always)]
    pub(super) fn inner(&self) -> &QueueInner {
        self.0.queue.get()
    }

    /// The home of an item queued here.
    pub(crate) fn home_here(&self) -> usize {
        home_of(&self.0.system, self.inner())
    }

    /// Queues a future as a work item. It is in flight from now until it is ready: it keeps its
    /// place in the queue (its slot, its turn) while it is suspended, and gives up only the CPU.
    ///
    /// A queue that is closed, draining or full rejects the item: the handle then yields an error
    /// for which [`JoinError::is_rejected`](crate::JoinError::is_rejected) holds.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("sums").build()?;
    /// let sum = queue.spawn(async { 1 + 1 });
    /// assert_eq!(sum.wait().unwrap(), 2);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "queue_work")]
    #[inline]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        spawn_ref(&self.0.system, self.0.queue, future)
    }

    /// Queues a closure as a work item. It may block: another worker then takes the CPU.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("files").build()?;
    /// let text = queue.spawn_fn(|| std::fs::read_to_string("Cargo.toml"));
    /// assert!(text.wait().unwrap().is_ok());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "queue_work")]
    #[inline]
    pub fn spawn_fn<F, T>(&self, function: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let home = home_of(&self.0.system, self.inner());
        let (entry, handle) = task::build_fn(self.0.queue, home, None, function);
        reject_if_refused(route::submit(self.0.queue, entry));
        handle
    }

    /// As [`Queue::spawn`], on a CPU of the caller's choice if the queue is per-CPU; otherwise
    /// the CPU selects the pod: the pool of those that share one with it.
    ///
    /// A CPU that the System does not use stands for the first one that it does.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// let queue = wq_core::Workqueue::percpu("counters").system(&system).build()?;
    /// for cpu in system.topology().allowed().iter() {
    ///     let task = queue.spawn_on(cpu, async move { cpu });
    ///     assert_eq!(task.wait().unwrap(), cpu);
    /// }
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "queue_work_on")]
    #[doc(alias = "schedule_work_on")]
    #[doc(alias = "work_on_cpu")]
    #[doc(alias = "schedule_on_each_cpu")]
    pub fn spawn_on<F>(&self, cpu: usize, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let home = self.0.system.ordinal(cpu);
        let (entry, handle) = task::build(self.0.queue, home, future);
        reject_if_refused(route::submit(self.0.queue, entry));
        handle
    }

    /// As [`Queue::spawn`], but a queue that does not accept the future gives it back.
    ///
    /// # Errors
    /// The future, and whether the queue was full or closed.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("small").max_pending(1).build()?;
    /// let held = queue.try_spawn(std::future::pending::<()>()).expect("there is room for one");
    /// let error = queue.try_spawn(std::future::pending::<()>()).unwrap_err();
    /// assert!(error.is_full());
    /// held.abort();
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn try_spawn<F>(&self, future: F) -> Result<JoinHandle<F::Output>, TrySpawnError<F>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.try_spawn_with(Spec::default(), future)
    }

    /// Spawns tasks that have a name.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// let job = queue.builder().name("compact").spawn(std::future::pending::<()>());
    /// println!("{}", queue.dump()); // tells its name, and for how long it has been suspended
    /// job.abort();
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn builder(&self) -> TaskBuilder<'_> {
        TaskBuilder::new(self)
    }

    /// The name it was built with.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(wq_core::Workqueue::unbound("jobs").build()?.name(), "jobs");
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.inner().name
    }

    /// Whether an item runs on the CPU where it was queued.
    ///
    /// # Examples
    /// ```
    /// assert!(!wq_core::Workqueue::unbound("jobs").build()?.is_percpu());
    /// assert!(wq_core::Workqueue::percpu("jobs").build()?.is_percpu());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "per_cpu")]
    pub fn is_percpu(&self) -> bool {
        self.inner().is_percpu()
    }

    /// Whether it refuses new items.
    ///
    /// May be stale when it returns, if others hold the owner.
    ///
    /// # Examples
    /// ```
    /// let owner = wq_core::Workqueue::unbound("jobs").build()?;
    /// let queue = (*owner).clone();
    /// assert!(!queue.is_closed());
    /// drop(owner);
    /// assert!(queue.is_closed());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn is_closed(&self) -> bool {
        self.inner().flags() & CLOSED != 0 || self.0.system.is_forked()
    }

    /// What it has done so far.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// queue.spawn(async {});
    /// queue.flush().wait()?;
    /// let stats = queue.stats();
    /// assert_eq!((stats.accepted, stats.completed, stats.in_flight), (1, 1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> QueueStats {
        self.inner().stats()
    }

    /// What is in it now, and for how long: see [`System::dump`](crate::System::dump).
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// queue.spawn(async {});
    /// queue.flush().wait()?;
    /// let dump = queue.dump();
    /// assert_eq!((dump.name.as_str(), dump.stats.in_flight), ("jobs", 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "show_one_workqueue")]
    pub fn dump(&self) -> QueueDump {
        dump::of_queue(&self.0.system, self.0.queue, Some(&self.0))
    }
}

/// The home of an item queued here: the ordinal of a CPU, or 0 where all have the same pool.
#[inline(always)]
pub(super) fn home_of(system: &SystemInner, queue: &QueueInner) -> usize {
    queue.map().home_here(system)
}

/// Queues a future on a queue of `system`, without a handle to it.
#[inline]
pub(crate) fn spawn_ref<F>(
    system: &SystemInner,
    queue: QueueRef,
    future: F,
) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let home = home_of(system, queue.get());
    let (entry, handle) = task::build(queue, home, future);
    reject_if_refused(route::submit(queue, entry));
    handle
}

/// Marks and drops an item that the queue refused, so that its handle says so.
pub(super) fn reject_if_refused(submitted: Result<(), (Entry, Refusal)>) {
    if let Err((entry, _)) = submitted {
        entry.meta().set_rejected();
        drop(entry);
    }
}

impl QueueInner {
    /// What it has done so far.
    pub(crate) fn stats(&self) -> QueueStats {
        use std::sync::atomic::Ordering::Relaxed;
        let (ended, refused) = self.ended_and_refused();
        let accepted = self.counts.sum_accepted(ColourSet::ALL);
        // Relaxed: statistics, counted before the ends that were acquired above.
        let (panicked, cancelled) = (self.panicked.load(Relaxed), self.cancelled.load(Relaxed));
        let mut stats = QueueStats {
            accepted: accepted.saturating_sub(refused),
            completed: ended.saturating_sub(panicked + cancelled + refused),
            panicked,
            cancelled,
            in_flight: accepted.saturating_sub(ended),
            active: 0,
            waiting: 0,
            maydays: self.rescuer.get().map_or(0, |r| r.maydays.get()),
            rescued: self.rescuer.get().map_or(0, |r| r.rescued.get()),
        };
        for limiter in self.limiters() {
            let limiter = limiter.lock();
            stats.active += limiter.nr_active();
            stats.waiting += limiter.nr_inactive();
        }
        stats
    }
}

/// The owner of a queue: waits for it, changes it, ends it. Derefs to [`Queue`], which submits.
///
/// Dropping it closes the queue: new items are refused, accepted ones and armed timers still run;
/// the drop never waits.
///
/// # Examples
/// ```
/// let journal = wq_core::Workqueue::ordered("journal").build()?;
/// journal.spawn_fn(|| println!("first"));
/// journal.spawn_fn(|| println!("second, when the first has ended"));
/// assert_eq!(journal.flush().wait()?.completed, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping the owner closes the queue"]
pub struct Workqueue(Queue);

impl Deref for Workqueue {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        &self.0
    }
}

impl Drop for Workqueue {
    fn drop(&mut self) {
        let handle = &self.0.0;
        self.0.inner().set_flags(CLOSED);
        if self.0.inner().freezable && !handle.system.is_forked() {
            // Nobody else could.
            handle.system.thaw_of_owner(handle.queue);
        }
    }
}

impl Workqueue {
    /// Builds a queue whose items run on any of a set of CPUs.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("backup").nice(10).max_active(4).build()?;
    /// assert_eq!(queue.spawn(async { 7 }).wait().unwrap(), 7);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "alloc_workqueue")]
    #[doc(alias = "WQ_UNBOUND")]
    pub fn unbound(name: impl Into<String>) -> UnboundBuilder {
        UnboundBuilder::new(name.into())
    }

    /// Builds a queue whose items run on the CPU where they were queued.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::percpu("urgent").highpri().build()?;
    /// assert_eq!(queue.spawn(async { 7 }).wait().unwrap(), 7);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "alloc_workqueue")]
    #[doc(alias = "create_workqueue")]
    #[doc(alias = "WQ_PERCPU")]
    pub fn percpu(name: impl Into<String>) -> PercpuBuilder {
        PercpuBuilder::new(name.into())
    }

    /// Builds a queue for closures that are short and never block: first in, first out on each CPU,
    /// on one thread that all such queues share there. See [`BhQueue`](crate::BhQueue).
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::bh("completions").build()?;
    /// assert_eq!(queue.spawn_fn(|| 7).wait().unwrap(), 7);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "WQ_BH")]
    pub fn bh(name: impl Into<String>) -> BhBuilder {
        BhBuilder::new(name.into())
    }

    /// Builds a queue that runs one item at a time, in the order in which they were accepted.
    ///
    /// An item has its turn until it has returned, suspended or not.
    ///
    /// # Examples
    /// ```
    /// let journal = wq_core::Workqueue::ordered("journal").build()?;
    /// let first = journal.spawn(async { 1 });
    /// let second = journal.spawn(async { 2 });
    /// assert_eq!(second.wait().unwrap(), 2);
    /// assert!(first.is_finished());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "alloc_ordered_workqueue")]
    #[doc(alias = "create_singlethread_workqueue")]
    pub fn ordered(name: impl Into<String>) -> OrderedBuilder {
        OrderedBuilder::new(name.into())
    }

    /// The first and only owner.
    pub(super) fn own(queue: Queue) -> Workqueue {
        Workqueue(queue)
    }

    /// Waits until all items accepted so far have ended; later ones do not extend it. What is
    /// waited for is fixed now, not at the first poll.
    ///
    /// # Cancellation
    /// Dropping the wait abandons it and leaves no trace.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// queue.spawn_fn(|| ());
    /// assert_eq!(queue.flush().wait()?.completed, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "flush_workqueue")]
    pub fn flush(&self) -> Flush {
        Flush::begin(&self.0)
    }

    /// Refuses items from outside (items of the queue may still add to it) until the queue is
    /// empty, and waits for that. Drains nest.
    ///
    /// # Cancellation
    /// Dropping the wait abandons it: the queue accepts again.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// queue.spawn_fn(|| ());
    /// queue.drain().wait()?;
    /// assert_eq!(queue.stats().in_flight, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "drain_workqueue")]
    pub fn drain(&self) -> Drain {
        Drain::begin(&self.0)
    }

    /// Ends the queue: takes armed timers back, refuses everything, waits until all accepted
    /// items have ended. With [`Destroy::wait_timeout`] it reports what is stuck.
    ///
    /// # Cancellation
    /// Dropping the wait abandons it; the queue stays closed.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// queue.spawn_fn(|| ());
    /// let report = queue.destroy().wait_timeout(Duration::from_secs(10))?;
    /// assert_eq!(report.completed, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "destroy_workqueue")]
    pub fn destroy(self) -> Destroy {
        self.0.inner().set_flags(CLOSED | DRAINING);
        let timers = self.0.0.cancel_armed();
        Destroy::begin(&self.0, timers)
    }
}

/// A queue did not accept a future; here it is back.
///
/// # Examples
/// ```
/// let owner = wq_core::Workqueue::unbound("jobs").build()?;
/// let queue = (*owner).clone();
/// drop(owner);
/// let error = queue.try_spawn(async { 7 }).unwrap_err();
/// assert!(error.is_closed() && !error.is_full());
/// let future = error.into_inner();
/// # drop(future);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Copy)]
pub struct TrySpawnError<F> {
    pub(super) future: F,
    pub(super) full: bool,
}

impl<F> TrySpawnError<F> {
    /// The future.
    pub fn into_inner(self) -> F {
        self.future
    }

    /// The queue was full: as many items wait as `max_pending` allows.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The queue was closed, or is draining.
    pub fn is_closed(&self) -> bool {
        !self.full
    }
}

impl<F> fmt::Display for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.full {
            "the queue is full: as many items wait as its `max_pending` allows"
        } else {
            "the queue is closed or draining"
        })
    }
}

impl<F> fmt::Debug for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrySpawnError({self})")
    }
}

impl<F> std::error::Error for TrySpawnError<F> {}
