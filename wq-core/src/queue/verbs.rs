//! What is done with a queue's handle beside spawning: queueing items again and again, and spawning
//! tasks under a name.

use std::future::Future;
use std::time::Duration;

use crate::CpuSet;
use crate::entry::Entry;
use crate::kind::Kind;
use crate::route::{self, Refusal};
use crate::task::builder::Spec;
use crate::task::join::JoinHandle;
use crate::task::{self, label};
use crate::work::delayed::{DelayedWork, Modified};
use crate::work::{Queued, Work};

use super::handle::{Queue, TrySpawnError, home_of, reject_if_refused};

/// Re-queueable items.
impl Queue {
    /// Asks for an execution of a re-queueable item, here.
    ///
    /// A request has its place in the queue before it is granted. So several requests for one item
    /// at the same moment have a place each for some instructions, and on a queue with a bound
    /// (`max_pending`) another item may be refused for that.
    ///
    /// # Examples
    /// ```
    /// use wq_core::{Queued, Work};
    ///
    /// let queue = wq_core::Workqueue::unbound("ticks").build()?;
    /// let work = Work::new(|| println!("tick"));
    /// match queue.queue(&work) {
    ///     Queued::New | Queued::AlreadyPending => work.flush().wait()?,
    ///     Queued::Disabled | Queued::Closed => unreachable!("nobody disables or closes here"),
    /// };
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "queue_work")]
    #[doc(alias = "WORK_CPU_UNBOUND")]
    #[doc(alias = "schedule_work")]
    pub fn queue(&self, work: &Work) -> Queued {
        work.inner()
            .queue_at(self, home_of(&self.0.system, self.inner()))
    }

    /// Asks for an execution of a re-queueable item on a CPU (per-CPU queues), or in the pod of a
    /// CPU.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::percpu("ticks").build()?;
    /// let work = wq_core::Work::new(|| println!("on CPU 0, if it is in use"));
    /// assert_eq!(queue.queue_on(0, &work), wq_core::Queued::New);
    /// work.flush().wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "queue_work_on")]
    #[doc(alias = "schedule_work_on")]
    pub fn queue_on(&self, cpu: usize, work: &Work) -> Queued {
        work.inner().queue_at(self, self.0.system.ordinal(cpu))
    }

    /// Asks for an execution of a re-queueable item on a NUMA node: see [`Queue::spawn_on_node`].
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("ticks").build()?;
    /// let work = wq_core::Work::new(|| println!("on the first node"));
    /// assert_eq!(queue.queue_on_node(0, &work), wq_core::Queued::New);
    /// work.flush().wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "queue_work_node")]
    pub fn queue_on_node(&self, node: usize, work: &Work) -> Queued {
        work.inner().queue_at(self, self.home_in_node(node))
    }

    /// As [`Queue::spawn`], near a NUMA node, by its place in
    /// [`Topology::nodes`](crate::Topology::nodes): on the caller's CPU if that is one of the
    /// node's, else on the node's first one that may be used. If there is none, or no such node, as
    /// [`Queue::spawn`].
    ///
    /// Of an unbound queue the CPU selects the pod, so that the node counts for pools that are not
    /// wider than one ([`AffinityScope::Numa`](crate::AffinityScope::Numa) and narrower).
    ///
    /// # Examples
    /// ```
    /// use wq_core::{AffinityScope, Workqueue};
    ///
    /// let queue = Workqueue::unbound("near").affinity(AffinityScope::Numa).build()?;
    /// assert_eq!(queue.spawn_on_node(0, async { 7 }).wait().unwrap(), 7);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "queue_work_node")]
    pub fn spawn_on_node<F>(&self, node: usize, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (entry, handle) = task::build(self.0.queue, self.home_in_node(node), future);
        reject_if_refused(route::submit(self.0.queue, entry));
        handle
    }

    /// The home of an item for this node.
    fn home_in_node(&self, node: usize) -> usize {
        let system = &self.0.system;
        let here = system.ordinal_of_current_cpu();
        let nodes = system.topology.nodes();
        let is_here = |cpus: &CpuSet| cpus.contains(system.cpus[here].cpu);
        if nodes.get(node).is_some_and(is_here) {
            return here;
        }
        let home = system.limits.home_in(node);
        home.unwrap_or_else(|| home_of(system, self.inner()))
    }

    /// Undoes one [`Work::disable`], and asks for an execution if the item is enabled then:
    /// otherwise the answer is [`Queued::Disabled`]. Whether there was a request meanwhile does not
    /// matter. An item that was not disabled is queued as by [`Queue::queue`].
    ///
    /// # Examples
    /// ```
    /// use wq_core::{Queued, Work};
    ///
    /// let queue = wq_core::Workqueue::unbound("ticks").build()?;
    /// let work = Work::new(|| println!("tick"));
    /// work.disable();
    /// work.disable();
    /// assert_eq!(queue.enable_and_queue(&work), Queued::Disabled); // once more
    /// assert_eq!(queue.enable_and_queue(&work), Queued::New);
    /// work.flush().wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "enable_and_queue_work")]
    pub fn enable_and_queue(&self, work: &Work) -> Queued {
        match work.enable() {
            Some(false) => Queued::Disabled,
            Some(true) | None => self.queue(work),
        }
    }

    /// Asks for an execution after a delay, never earlier. Without delay as [`Queue::queue`].
    /// The item is pending from now on.
    ///
    /// Delays beyond 30 years are cut to that.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wq_core::{DelayedWork, Queued};
    ///
    /// let queue = wq_core::Workqueue::unbound("ticks").build()?;
    /// let tick = DelayedWork::new(|| println!("tick"));
    /// assert_eq!(queue.queue_after(&tick, Duration::from_secs(60)), Queued::New);
    /// assert_eq!(queue.queue_after(&tick, Duration::ZERO), Queued::AlreadyPending);
    /// assert!(tick.cancel());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "queue_delayed_work")]
    #[doc(alias = "schedule_delayed_work")]
    pub fn queue_after(&self, work: &DelayedWork, delay: Duration) -> Queued {
        work.inner().queue_after(self, None, delay)
    }

    /// As [`Queue::queue_after`], on a CPU of the caller's choice as by [`Queue::queue_on`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wq_core::{DelayedWork, Queued};
    ///
    /// let queue = wq_core::Workqueue::percpu("ticks").build()?;
    /// let tick = DelayedWork::new(|| println!("on CPU 0, if it is in use"));
    /// assert_eq!(queue.queue_after_on(0, &tick, Duration::from_millis(1)), Queued::New);
    /// tick.flush().wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "queue_delayed_work_on")]
    #[doc(alias = "schedule_delayed_work_on")]
    pub fn queue_after_on(&self, cpu: usize, work: &DelayedWork, delay: Duration) -> Queued {
        let home = self.0.system.ordinal(cpu);
        work.inner().queue_after(self, Some(home), delay)
    }

    /// Sets the delay of an item anew, whatever its state: an armed or queued execution is taken
    /// back first. A running one is left alone.
    ///
    /// What is taken back stays so if the queue then refuses the item ([`Modified::Closed`]): no
    /// execution follows for those who were told [`Queued::AlreadyPending`] before, either.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wq_core::{DelayedWork, Modified};
    ///
    /// let queue = wq_core::Workqueue::unbound("ticks").build()?;
    /// let tick = DelayedWork::new(|| println!("tick"));
    /// assert_eq!(queue.modify_after(&tick, Duration::from_secs(60)), Modified::New);
    /// assert_eq!(queue.modify_after(&tick, Duration::from_secs(1)), Modified::Rearmed);
    /// assert!(tick.cancel());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "mod_delayed_work")]
    pub fn modify_after(&self, work: &DelayedWork, delay: Duration) -> Modified {
        work.inner().modify_after(self, None, delay)
    }

    /// As [`Queue::modify_after`], on a CPU of the caller's choice as by [`Queue::queue_on`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wq_core::{DelayedWork, Modified};
    ///
    /// let queue = wq_core::Workqueue::percpu("ticks").build()?;
    /// let tick = DelayedWork::new(|| println!("on CPU 0, if it is in use"));
    /// assert_eq!(queue.modify_after_on(0, &tick, Duration::from_secs(60)), Modified::New);
    /// assert!(tick.cancel());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "mod_delayed_work_on")]
    pub fn modify_after_on(&self, cpu: usize, work: &DelayedWork, delay: Duration) -> Modified {
        let home = self.0.system.ordinal(cpu);
        work.inner().modify_after(self, Some(home), delay)
    }
}

/// Tasks under a name.
impl Queue {
    /// See [`TaskBuilder::spawn`](crate::task::builder::TaskBuilder::spawn).
    pub(crate) fn spawn_with<F>(&self, spec: Spec, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let name = spec.name.as_deref();
        let (entry, handle) = task::build_as(self.0.queue, self.home(&spec), name, future);
        self.submit_as(spec, entry);
        handle
    }

    /// See [`TaskBuilder::spawn_fn`](crate::task::builder::TaskBuilder::spawn_fn).
    pub(crate) fn spawn_fn_with<F, T>(&self, spec: Spec, function: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let name = spec.name.as_deref();
        let (entry, handle) = task::build_fn(self.0.queue, self.home(&spec), name, function);
        self.submit_as(spec, entry);
        handle
    }

    /// See [`TaskBuilder::try_spawn`](crate::task::builder::TaskBuilder::try_spawn).
    pub(crate) fn try_spawn_with<F>(
        &self,
        spec: Spec,
        future: F,
    ) -> Result<JoinHandle<F::Output>, TrySpawnError<F>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let home = self.home(&spec);
        match route::reserve(self.0.queue, home) {
            Err(refusal) => Err(TrySpawnError {
                future,
                full: refusal == Refusal::Full,
            }),
            Ok(place) => {
                let name = spec.name.as_deref();
                let (entry, handle) = task::build_as(self.0.queue, home, name, future);
                if let Some(name) = spec.name {
                    label::set_name(entry.meta(), name);
                }
                route::submit_reserved(self.0.queue, entry, place);
                Ok(handle)
            }
        }
    }

    /// Where a task of this kind is at home.
    fn home(&self, spec: &Spec) -> usize {
        match spec.cpu {
            Some(cpu) => self.0.system.ordinal(cpu),
            None => home_of(&self.0.system, self.inner()),
        }
    }

    /// Queues a task under its name.
    fn submit_as(&self, spec: Spec, entry: Entry) {
        if let Some(name) = spec.name {
            label::set_name(entry.meta(), name);
        }
        reject_if_refused(route::submit(self.0.queue, entry));
    }

    /// As [`Queue::spawn`], of a future that runs something of kind `kind`.
    pub(crate) fn spawn_for<F>(&self, future: F, kind: &'static Kind) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let home = home_of(&self.0.system, self.inner());
        let (entry, handle) = task::build_for(self.0.queue, home, future, kind);
        reject_if_refused(route::submit(self.0.queue, entry));
        handle
    }
}
