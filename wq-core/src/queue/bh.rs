//! BH queues as users see them: a builder, an owner and a handle of their own, with less to do than
//! the others have: closures only, no limit, no freeze.

use std::ops::Deref;
use std::time::Duration;

use crate::dump::QueueDump;
use crate::stats::QueueStats;
use crate::system::System;
use crate::task::join::JoinHandle;
use crate::work::delayed::{DelayedWork, Modified};
use crate::work::{Queued, Work};

use super::builder::{BuildError, Common};
use super::handle::{Queue, Workqueue};
use super::wait::{Destroy, Drain, Flush};

/// Builds a BH queue. Setters never fail; `build` names every bad field.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::bh("completions").highpri().build()?;
/// assert_eq!(queue.spawn_fn(|| 7).wait().unwrap(), 7);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct BhBuilder {
    common: Common,
    highpri: bool,
}

impl BhBuilder {
    /// The defaults.
    pub(super) fn new(name: String) -> BhBuilder {
        BhBuilder {
            common: Common::new(name),
            highpri: false,
        }
    }

    /// The System to build on; default: the current one.
    pub fn system(mut self, system: &System) -> BhBuilder {
        self.common.set_system(system);
        self
    }

    /// Its items go before all of those BH queues that are not of high priority.
    #[doc(alias = "WQ_HIGHPRI")]
    pub fn highpri(mut self) -> BhBuilder {
        self.highpri = true;
        self
    }

    /// Makes the queue.
    ///
    /// # Errors
    /// As for [`UnboundBuilder::build`](crate::UnboundBuilder::build).
    pub fn build(self) -> Result<BhWorkqueue, BuildError> {
        let system = self.common.checked()?;
        let map = system.bh_map(self.highpri)?;
        let changing = system.change_attrs();
        let owner = self.common.finish(&system, changing, map, None)?;
        let handle = BhQueue((*owner).clone());
        Ok(BhWorkqueue { owner, handle })
    }
}

/// A cheap handle to a BH queue, which can add items and nothing else.
///
/// Items run on the CPU where they are queued, on a thread that all BH queues share there: one
/// after the other, in the order in which they came, those of high priority before the others. An
/// item that queues itself again goes to the end. **They must not block**: an item that is about to
/// wait for something panics in a debug build; in a release build it is counted in
/// [`SystemStats::bh_blocked`](crate::SystemStats::bh_blocked) and told on standard error, as is
/// one that is seen to sleep.
///
/// # Examples
/// ```
/// let owner = wq_core::Workqueue::bh("completions").build()?;
/// let queue: wq_core::BhQueue = (*owner).clone();
/// let sum = queue.spawn_fn(|| 1 + 1);
/// assert_eq!(sum.wait().unwrap(), 2);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
///
/// A future is not for it:
/// ```compile_fail
/// let queue = wq_core::Workqueue::bh("completions").build().unwrap();
/// queue.spawn(async {});
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "tasklet")]
pub struct BhQueue(Queue);

impl BhQueue {
    /// A handle to a BH queue.
    pub(crate) fn of(queue: Queue) -> BhQueue {
        BhQueue(queue)
    }

    /// Queues a closure on the calling CPU.
    pub fn spawn_fn<F, T>(&self, function: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.0.spawn_fn(function)
    }

    /// Queues a closure on a CPU; on the first one in use, if that one is not.
    pub fn spawn_fn_on<F, T>(&self, cpu: usize, function: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.0.builder().cpu(cpu).spawn_fn(function)
    }

    /// As [`Queue::queue`]. Each poll of an async item is an item of the list.
    #[doc(alias = "queue_work")]
    pub fn queue(&self, work: &Work) -> Queued {
        self.0.queue(work)
    }

    /// As [`Queue::queue_on`].
    #[doc(alias = "queue_work_on")]
    pub fn queue_on(&self, cpu: usize, work: &Work) -> Queued {
        self.0.queue_on(cpu, work)
    }

    /// As [`Queue::queue_after`].
    #[doc(alias = "queue_delayed_work")]
    pub fn queue_after(&self, work: &DelayedWork, delay: Duration) -> Queued {
        self.0.queue_after(work, delay)
    }

    /// As [`Queue::modify_after`].
    #[doc(alias = "mod_delayed_work")]
    pub fn modify_after(&self, work: &DelayedWork, delay: Duration) -> Modified {
        self.0.modify_after(work, delay)
    }

    /// The name it was built with.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Whether it refuses new items; may be stale when it returns.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// What it has done so far.
    pub fn stats(&self) -> QueueStats {
        self.0.stats()
    }

    /// What is in it now.
    pub fn dump(&self) -> QueueDump {
        self.0.dump()
    }
}

/// The owner of a BH queue: waits for it, ends it. Derefs to [`BhQueue`], which submits. As for a
/// [`Workqueue`], its drop closes the queue, and what was accepted still runs.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::bh("completions").build()?;
/// for n in 0..3 {
///     queue.spawn_fn(move || println!("{n}, in this order on each CPU"));
/// }
/// assert_eq!(queue.flush().wait()?.completed, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping the owner closes the queue"]
pub struct BhWorkqueue {
    owner: Workqueue,
    handle: BhQueue,
}

impl Deref for BhWorkqueue {
    type Target = BhQueue;

    fn deref(&self) -> &BhQueue {
        &self.handle
    }
}

impl BhWorkqueue {
    /// As [`Workqueue::flush`]. Not from inside a BH item: it waits.
    #[doc(alias = "flush_workqueue")]
    pub fn flush(&self) -> Flush {
        self.owner.flush()
    }

    /// As [`Workqueue::drain`]. Items of the queue may still add to it.
    #[doc(alias = "drain_workqueue")]
    pub fn drain(&self) -> Drain {
        self.owner.drain()
    }

    /// As [`Workqueue::destroy`].
    #[doc(alias = "destroy_workqueue")]
    pub fn destroy(self) -> Destroy {
        self.owner.destroy()
    }
}
