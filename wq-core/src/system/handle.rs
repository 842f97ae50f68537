//! The handle of a System, the entered one, and the process's default.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::resume_unwind;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use crate::CpuSet;
use crate::block;
use crate::current::Current;
use crate::dump::{self, Dump};
use crate::queue::freeze::Freeze;
use crate::queue::handle::spawn_ref;
use crate::sense::report::{Ability, SensorReport};
use crate::stats::{PoolStats, SystemStats};
use crate::task::join::JoinHandle;
use crate::topology::Topology;

use super::SystemInner;
use super::builder::SystemBuilder;
use super::freeze::Scope;
use super::shutdown::ShutdownReport;

/// One instance of the engine: pools, workers, queues.
///
/// A cheap handle. When the last handle that came from [`SystemBuilder::build`] (or a clone of
/// it) is dropped, the System shuts down as by [`System::shutdown`] without grace.
///
/// # Forks
/// In a forked child, which has none of the threads, a System of the parent's is closed for good:
/// it rejects everything, waits for its tasks and queues are errors at once (`is_forked`), and
/// aborting, dropping or shutting down does nothing. The child may make a System of its own. A
/// child that an item forks must exit, or become another program, before that item returns; and
/// none may ask the parent's System for its figures, whose locks may be held for ever there.
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().name("db").workers(2).build()?;
/// let queue = wq_core::Workqueue::unbound("queries").system(&system).build()?;
/// assert_eq!(queue.spawn(async { 7 }).wait().unwrap(), 7);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone)]
pub struct System {
    pub(crate) inner: Arc<SystemInner>,
    /// Shuts down when the last one goes; handles from [`System::current`] have none.
    _owner: Option<Arc<Owner>>,
}

/// The right, and duty, to shut a System down.
struct Owner(Arc<SystemInner>);

impl Drop for Owner {
    fn drop(&mut self) {
        if !self.0.is_forked() {
            let _ = self.0.shutdown(Duration::ZERO);
        }
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System")
            .field("name", &self.inner.tag)
            .finish_non_exhaustive()
    }
}

thread_local! {
    /// Systems entered on this thread, the innermost last, each with its guard's number.
    static ENTERED: RefCell<Vec<(u64, System)>> = const { RefCell::new(Vec::new()) };
}

/// The process's default.
static DEFAULT: OnceLock<System> = OnceLock::new();

impl System {
    /// A builder with the defaults.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().workers(2).build()?;
    /// # drop(system);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn builder() -> SystemBuilder {
        SystemBuilder::new()
    }

    /// The first, owning handle.
    pub(super) fn own(inner: Arc<SystemInner>) -> System {
        let owner = Some(Arc::new(Owner(Arc::clone(&inner))));
        System {
            inner,
            _owner: owner,
        }
    }

    /// The calling worker's System, else the one entered on this thread, else the process's
    /// default, which is made if there is none yet.
    ///
    /// # Panics
    /// If the default must be made and the machine refuses its threads.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().name("db").build()?;
    /// let _entered = system.enter();
    /// assert_eq!(format!("{:?}", wq_core::System::current()), format!("{system:?}"));
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn current() -> System {
        let here = Current::with(|current| {
            current.map(|c| System {
                inner: Arc::clone(&c.system),
                _owner: None,
            })
        });
        here.or_else(System::entered)
            .unwrap_or_else(|| System::default_system().clone())
    }

    /// The System entered on this thread, if any.
    pub(crate) fn entered() -> Option<System> {
        ENTERED
            .try_with(|entered| entered.borrow().last().map(|(_, s)| s.clone()))
            .ok()?
    }

    /// The process's default System, made at the first call.
    fn default_system() -> &'static System {
        DEFAULT.get_or_init(|| match System::builder().build() {
            Ok(system) => system,
            Err(error) => panic!("the default System cannot be made: {error}"),
        })
    }

    /// Makes this the process's default.
    ///
    /// # Errors
    /// If there is one already: installed before, or made because something was spawned.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().workers(2).build()?;
    /// system.install_default()?;
    /// assert!(system.install_default().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn install_default(&self) -> Result<(), DefaultSystemError> {
        DEFAULT
            .set(self.clone())
            .map_err(|_| DefaultSystemError(()))
    }

    /// Makes this the current System of the calling thread until the guard is dropped.
    ///
    /// Guards nest; the one made last counts. A worker's own System comes before an entered one.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// let _entered = system.enter();
    /// // Built on `system`, because it is the current one.
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// # drop(queue);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn enter(&self) -> EnterGuard<'_> {
        let number = ENTERED.with(|entered| {
            let mut entered = entered.borrow_mut();
            let number = entered.last().map_or(0, |(number, _)| number + 1);
            entered.push((number, self.clone()));
            number
        });
        EnterGuard {
            number,
            _system: PhantomData,
        }
    }

    /// Polls a future on the calling thread until it is ready; this System is current meanwhile,
    /// unless the caller is a worker of another one. May be called anywhere, inside a task too: a
    /// worker hands its lane over while it sleeps.
    ///
    /// # Panics
    /// If the future panics.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// let text = String::from("borrowed");
    /// assert_eq!(system.block_on(async { text.len() }), 8);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _entered = self.enter();
        block::block_on(future)
    }

    /// Runs a future as a task of the default queue and waits for it. What it awaits is woken on
    /// the lane where it runs, which is faster than [`System::block_on`].
    ///
    /// # Panics
    /// If the task panics, with its payload; or if the System shuts down meanwhile.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.run(async { 1 + 1 }), 2);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn run<F>(&self, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let _entered = self.enter();
        match self.default_queue().spawn(future).wait() {
            Ok(output) => output,
            Err(error) => match error.try_into_panic() {
                Ok(payload) => resume_unwind(payload),
                Err(error) => panic!("the root task gave no result: {error}"),
            },
        }
    }

    /// Queues a future on the default queue, from anywhere.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.spawn(async { 1 + 1 }).wait().unwrap(), 2);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[inline]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        spawn_ref(&self.inner, self.inner.own().default, future)
    }

    /// Stops the System: refuses new work, gives what was accepted `grace` to end, drops what is
    /// left suspended or queued, and names the threads that are still inside an item. Afterwards
    /// accepted = completed + dropped + detached.
    ///
    /// Called from inside one of its items it only begins, and reports what is known by then.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let system = wq_core::System::builder().build()?;
    /// let task = system.spawn(async { 7 });
    /// let report = system.shutdown(Duration::from_secs(1));
    /// assert_eq!(report.completed, 1);
    /// assert_eq!(task.wait().unwrap(), 7);
    /// assert!(system.spawn(async {}).wait().unwrap_err().is_rejected());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.inner.shutdown(grace)
    }

    /// Freezes every queue that was built `freezable`: nothing of theirs starts until
    /// [`System::thaw`]. What is active (running or suspended) goes on to its end, which the
    /// returned value waits for. What is accepted meanwhile waits in order, and flushes and drains
    /// of these queues wait with it. Freezes nest. A queue that is built while the System is frozen
    /// is frozen from the start.
    ///
    /// A shutdown does not thaw: what still waits when its grace is over is dropped.
    ///
    /// # Panics
    /// If it was frozen more than four thousand million times without a thaw.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let system = wq_core::System::builder().build()?;
    /// let queue = wq_core::Workqueue::ordered("log").freezable().system(&system).build()?;
    /// system.freeze().wait_timeout(Duration::from_secs(10))?;
    /// let line = queue.spawn(async { "written after the snapshot" });
    /// assert!(queue.flush().wait_timeout(Duration::from_millis(1)).is_err());
    /// assert_eq!(system.thaw(), Some(true));
    /// line.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "freeze_workqueues_begin")]
    pub fn freeze(&self) -> Freeze {
        Freeze::begin(&self.inner, None)
    }

    /// Undoes one [`System::freeze`]: `Some(true)` if that was the last one, `None` if there was
    /// none. What waits starts at once, in order.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.thaw(), None);
    /// drop((system.freeze(), system.freeze()));
    /// assert_eq!((system.thaw(), system.thaw()), (Some(false), Some(true)));
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "thaw_workqueues")]
    pub fn thaw(&self) -> Option<bool> {
        if self.inner.is_forked() {
            return None;
        }
        self.inner.thaw(Scope::System)
    }

    /// Whether the System is frozen. May be stale when it returns.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// drop(system.freeze()); // the wait is abandoned, the freeze is not
    /// assert!(system.is_freezing());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn is_freezing(&self) -> bool {
        !self.inner.is_forked() && self.inner.is_freezing()
    }

    /// How many items of freezable queues are active: running, suspended, or about to run. Once
    /// frozen they only get fewer.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// system.freeze().wait()?;
    /// assert_eq!(system.active_freezable(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "freeze_workqueues_busy")]
    pub fn active_freezable(&self) -> usize {
        if self.inner.is_forked() {
            return 0;
        }
        self.inner.active_freezable(Scope::System)
    }

    /// What the System has done so far.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// system.run(async {});
    /// assert_eq!(system.stats().rescues, 0);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn stats(&self) -> SystemStats {
        let inner = &self.inner;
        let s = &inner.stats;
        let queues = inner
            .queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len();
        SystemStats {
            // Relaxed: a count for people.
            threads: inner.threads.load(Ordering::Relaxed) as usize,
            threads_peak: s.threads_peak.get() as usize,
            returns: self.pools().iter().map(|pool| pool.returns).sum(),
            away_peak: s.away_peak.get() as usize,
            oversubscribed_peak: s.oversubscribed_peak.get() as usize,
            oversubscribed_time: Duration::from_nanos(s.oversubscribed_ns.get()),
            pools: inner.lock_pools().len(),
            queues,
            handovers_marked: s.by_mark.get(),
            handovers_spotter: s.by_spotter.get(),
            handovers_monitor: s.by_monitor.get(),
            handovers_sibling: s.by_sibling.get(),
            handovers_producer: s.by_producer.get(),
            handovers_hog: s.by_hog.get(),
            cpu_intensive: s.cpu_intensive.get(),
            handovers_forced: s.forced.get(),
            fruitless_looks: s.fruitless.get(),
            wasted_handovers: s.wasted.get(),
            refused_busy: s.busy.get(),
            refused_changed: s.changed.get(),
            relieved: s.relieved.get(),
            rescues: s.rescues.get(),
            thread_creation_failures: s.creation_failures.get(),
            at_worker_bound: s.at_bound.get(),
            nice_refused: s.nice_refused.get(),
            lockups: s.lockups.get(),
            repatriated: s.repatriated.get(),
            bh_blocked: s.bh_blocked.get(),
        }
    }

    /// What runs, what waits, and for how long: queues with their items, pools, CPU hogs. A value,
    /// and a text for people. Stops nobody; with a million suspended tasks it takes some 100 ms.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().workers(2).build()?;
    /// let _idle = wq_core::Workqueue::ordered("journal").system(&system).build()?;
    /// println!("{}", system.dump());
    /// assert!(system.dump().queues.iter().any(|queue| queue.name == "journal"));
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "show_all_workqueues")]
    #[doc(alias = "show_freezable_workqueues")]
    #[doc(alias = "wq_dump")]
    pub fn dump(&self) -> Dump {
        dump::of_system(&self.inner)
    }

    /// What each pool of workers looks like now, in the order in which they were made.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().workers(2).build()?;
    /// system.run(async {});
    /// assert!(system.pools().iter().any(|pool| pool.workers > 0));
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "worker_pool")]
    pub fn pools(&self) -> Vec<PoolStats> {
        let pools = self.inner.lock_pools().clone();
        pools
            .iter()
            .map(|pool| PoolStats::of(&self.inner, pool))
            .collect()
    }

    /// Which sensors work here, and what the machine lets the workers do. Some of it is known for
    /// certain only when it has been used: a CPU gets its spotter with its first worker.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// println!("{}", system.sensors());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn sensors(&self) -> SensorReport {
        let inner = &self.inner;
        let cpus_whose_spotter = |what: fn(Ability) -> bool| {
            let records = inner.cpus.iter();
            let those = records.filter(|record| what(record.spotter_found.get()));
            those.map(|record| record.cpu).collect::<CpuSet>()
        };
        let cpus: CpuSet = inner.cpus.iter().map(|record| record.cpu).collect();
        SensorReport {
            spotted: cpus_whose_spotter(Ability::works),
            unspotted: cpus_whose_spotter(|found| matches!(found, Ability::Refused { .. })),
            quota: inner.limits.now().quota,
            lanes: inner.lanes_now(&cpus),
            cpus: inner.usable(&cpus),
            ..SensorReport::of(&inner.sensors)
        }
    }

    /// The machine as the System sees it.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// println!("{} CPUs: {}", system.topology().cpus(), system.topology().allowed());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn topology(&self) -> &Topology {
        &self.inner.topology
    }
}

/// Keeps a System current on the thread that entered it.
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().build()?;
/// let guard: wq_core::EnterGuard<'_> = system.enter();
/// let queue = wq_core::Workqueue::unbound("of system").build()?;
/// drop(guard);
/// # drop(queue);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Debug)]
#[must_use = "the System is left when the guard is dropped"]
pub struct EnterGuard<'a> {
    /// Higher than those of the guards that the thread had when this one was made.
    number: u64,
    /// Not `Send`: it belongs to the thread.
    _system: PhantomData<(&'a System, *const ())>,
}

impl Drop for EnterGuard<'_> {
    fn drop(&mut self) {
        // Guards may be dropped in any order: each takes out its own.
        let left = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            let at = entered
                .iter()
                .rposition(|(number, _)| *number == self.number)?;
            Some(entered.remove(at))
        });
        // Dropped outside the borrow: it may shut a System down.
        drop(left);
    }
}

/// There is a default System already.
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().build()?;
/// system.install_default()?;
/// let error = system.install_default().unwrap_err();
/// println!("{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DefaultSystemError(());

impl fmt::Display for DefaultSystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the process has a default System already; install yours before anything is spawned, \
             or enter it",
        )
    }
}

impl std::error::Error for DefaultSystemError {}
