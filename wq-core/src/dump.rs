//! Seeing what runs, what waits and for how long, while it happens: a value, and a text for people.
//!
//! A look stops nobody. Workers leave the address of their item and the type of what they poll;
//! suspended tasks stand in the registry; the rest is counted. So the parts of a dump are from
//! moments one after another, and what begins or ends meanwhile may be in two of them or in none.
//! Ages are read on a coarse clock: a running item is as old as somebody has seen it, which is some
//! milliseconds less at most; a suspended one counts from its first suspension.
//!
//! Not for statistics over time: those are `stats.rs`.

mod collect;
mod show;

use std::sync::Arc;
use std::time::Duration;

use crate::hogs::table::CpuHog;
use crate::stats::{PoolStats, QueueStats};
use crate::task::TaskId;

pub(crate) use collect::{of_queue, of_system, running_in};

/// All that a System is at: see [`System::dump`](crate::System::dump).
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().workers(2).build()?;
/// let queue = wq_core::Workqueue::unbound("jobs").system(&system).build()?;
/// let job = queue.builder().name("compact").spawn(std::future::pending::<()>());
/// let jobs = |dump: &wq_core::Dump| dump.queues.iter().find(|q| q.name == "jobs").cloned();
/// while jobs(&system.dump()).is_none_or(|jobs| jobs.suspended.is_empty()) {
///     std::thread::yield_now();
/// }
/// let text = system.dump().to_string();
/// assert!(text.contains("compact"), "{text}");
/// job.abort();
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Dump {
    /// What the names of the System's threads begin with.
    pub system: String,
    /// Its threads, service threads included.
    pub threads: usize,
    /// Its queues, in the order in which they were made, the System's own first.
    pub queues: Vec<QueueDump>,
    /// Its pools of workers, in the order in which they were made.
    pub pools: Vec<PoolStats>,
    /// Types whose items hogged a CPU, most frequent first.
    pub hogs: Vec<CpuHog>,
}

/// What is in a queue: see [`Queue::dump`](crate::Queue::dump).
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::ordered("journal").build()?;
/// let never = queue.spawn(std::future::pending::<()>());
/// let dump = queue.dump();
/// assert_eq!((dump.kind, dump.max_active), (wq_core::QueueKind::Ordered, Some(1)));
/// assert_eq!(dump.stats.in_flight, 1);
/// never.abort();
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[doc(alias = "show_pwq")]
pub struct QueueDump {
    /// What it was built as.
    pub name: String,
    /// Where its items run, and in which order.
    pub kind: QueueKind,
    /// Nice value that its workers are meant to have.
    pub nice: i8,
    /// Items in flight at most, for each CPU if the queue is per-CPU.
    pub max_active: Option<usize>,
    /// Items that may wait for a slot (without `max_active`: that may be in flight) at most.
    pub max_pending: Option<usize>,
    /// It accepts nothing any more.
    pub closed: bool,
    /// It accepts nothing from outside, because somebody drains it.
    pub draining: bool,
    /// It is frozen: nothing in it starts ([`System::freeze`](crate::System::freeze)).
    pub frozen: bool,
    /// Counts of items.
    pub stats: QueueStats,
    /// Delayed items that are armed for it. `None`: that is not known, as for the System's own
    /// queues.
    pub delayed: Option<usize>,
    /// Items that workers are inside of, oldest first.
    #[doc(alias = "wq_worker")]
    pub running: Vec<RunningItem>,
    /// Items that are suspended, oldest first. Those without a number or a name are one entry for
    /// each type.
    pub suspended: Vec<SuspendedItems>,
    /// Names of items that wait for a slot: at most 100, found among the first 1000 that wait (of a
    /// per-CPU queue, on each CPU). In their order, of each CPU, and of each NUMA node among which
    /// the limit is divided.
    pub waiting_names: Vec<Arc<str>>,
}

/// The kinds of queues.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::unbound("jobs").build()?;
/// assert_eq!(queue.dump().kind.to_string(), "unbound");
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum QueueKind {
    /// Items run on the CPU where they were queued.
    Percpu,
    /// Items run on any of a set of CPUs.
    Unbound,
    /// As unbound ones, one at a time, in order.
    Ordered,
    /// Closures that never block, in order on each CPU.
    Bh,
}

/// An item that a worker is inside of.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::unbound("jobs").build()?;
/// let (go, wait) = std::sync::mpsc::channel::<()>();
/// let job = queue.builder().name("read").spawn_fn(move || drop(wait.recv()));
/// while queue.dump().running.is_empty() {
///     std::thread::yield_now();
/// }
/// let running = &queue.dump().running[0];
/// assert_eq!(running.name.as_deref(), Some("read"));
/// go.send(())?;
/// # job.wait().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RunningItem {
    /// Its thread's name, without what is shown of the item.
    pub thread: String,
    /// The type of the future or closure.
    pub type_name: &'static str,
    /// Its number, if somebody has asked for it, or the task has a name.
    pub id: Option<TaskId>,
    /// The name that it was spawned with.
    pub name: Option<Arc<str>>,
    /// What it says that it does: [`task::describe`](crate::task::describe).
    pub description: Option<Arc<str>>,
    /// For how long it has been in this poll, or closure.
    pub lasts: Duration,
    /// What its thread does.
    pub thread_state: ThreadIs,
    /// What it blocks for, if that is a wait of wq's without a limit: an item, a queue or a task.
    pub waits_for: Option<String>,
}

/// What the thread of a running item does.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::unbound("jobs").build()?;
/// for running in &queue.dump().running {
///     println!("{} {}", running.thread, running.thread_state); // for instance "wq/u2:1 sleeps"
/// }
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ThreadIs {
    /// It is on a CPU, or waits for one.
    Running,
    /// It sleeps: the item blocks.
    Asleep,
    /// The platform does not tell.
    Unknown,
}

/// Items of one type that are suspended; or one of them, if it has a number or a name.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::unbound("jobs").build()?;
/// let jobs = [(); 3].map(|()| queue.spawn(std::future::pending::<()>()).abort_on_drop());
/// while queue.dump().suspended.first().is_none_or(|them| them.count < 3) {
///     std::thread::yield_now();
/// }
/// assert!(queue.dump().suspended[0].type_name.contains("Pending"));
/// # drop(jobs);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SuspendedItems {
    /// How many.
    pub count: u64,
    /// The type of the future.
    pub type_name: &'static str,
    /// The number, of a single one.
    pub id: Option<TaskId>,
    /// The name that it was spawned with, of a single one.
    pub name: Option<Arc<str>>,
    /// What it says that it does, of a single one.
    pub description: Option<Arc<str>>,
    /// Since when the one that first suspended first did. It may have run meanwhile.
    pub oldest: Duration,
}

impl QueueDump {
    /// How long the oldest item has been running or suspended; `None` if there is none of them.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// assert_eq!(queue.dump().oldest(), None);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn oldest(&self) -> Option<Duration> {
        let running = self.running.iter().map(|item| item.lasts);
        running
            .chain(self.suspended.iter().map(|items| items.oldest))
            .max()
    }

    /// The oldest item in a line.
    pub(crate) fn oldest_in_words(&self) -> Option<String> {
        let running = self
            .running
            .iter()
            .map(|item| (item.lasts, item.to_string()));
        let suspended = self
            .suspended
            .iter()
            .map(|items| (items.oldest, items.to_string()));
        running.chain(suspended).max().map(|(_, words)| words)
    }

    /// Items that have what they need but a worker: they are new, or were woken.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// assert_eq!(queue.dump().ready(), 0);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn ready(&self) -> u64 {
        let suspended: u64 = self.suspended.iter().map(|items| items.count).sum();
        let elsewhere = suspended + self.running.len() as u64 + self.stats.waiting as u64;
        self.stats.in_flight.saturating_sub(elsewhere)
    }
}
