//! Making a System.

use crate::sync::plain::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::bh::Told;
use crate::current::Current;
use crate::hogs::Hogs;
use crate::hogs::knobs::HogSettings;
use crate::home::Home;
use crate::policy::HARD_CAP_FACTOR;
use crate::pool::HIGHPRI_NICE;
use crate::pool::MAX_POOL_WORKERS;
use crate::proto::arm::Armed;
use crate::proto::asym;
use crate::proto::park::Parker;
use crate::proto::spares::Spares;
use crate::queue::attrs::{UnboundPolicy, check_default};
use crate::queue::builder::{BuildError, Complaints, check_name};
use crate::sense::report::{Found, Sensing, Sensors};
use crate::service::maker::rescuers::Requests;
use crate::stats::Stats;
use crate::timer::Timers;
#[cfg(feature = "test-util")]
use crate::timer::{Clock, PausableClock};
use crate::topology::{AffinityScope, Topology};
use crate::{CpuSet, os, service};

use super::freeze::Freezer;
use super::hooks::{Hooks, ThreadHooks};
use super::limits::Limits;
use super::pools::MAX_POOLS_PER_CPU;
use super::watchdog::{WATCHDOG_THRESH, Watchdog};
use super::{CpuRecord, MAX_WORKERS, RUNNING, System, SystemInner, pins};

/// Numbers Systems.
static NEXT_SYSTEM_ID: AtomicU64 = AtomicU64::new(1);

/// How long a surplus worker stays by default.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Makers of wake-ups are preempted for a few milliseconds on a busy machine, seldom for more.
const PATIENCE_NS: u64 = 20_000_000;

/// Largest bound of a pool: with [`HARD_CAP_FACTOR`] it is all the records that a System has.
const MOST_MAX_WORKERS: usize = MAX_WORKERS / HARD_CAP_FACTOR as usize;

/// Longest tag: thread names have 15 bytes, and must say pool and number too.
const MAX_TAG: usize = 5;

/// Builds a [`System`]. Setters never fail; [`SystemBuilder::build`] names every bad field.
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().workers(2).build()?;
/// assert_eq!(system.block_on(system.default_queue().spawn(async { 1 + 1 })).unwrap(), 2);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct SystemBuilder {
    tag: String,
    cpus: Option<String>,
    workers: Option<usize>,
    keep_alive: Duration,
    max_workers: usize,
    power_efficient: bool,
    watchdog_thresh: Duration,
    sensing: Sensing,
    default_affinity: AffinityScope,
    /// What counts as burning CPU.
    hogs: HogSettings,
    /// The machine, if it is not to be looked at.
    topology: Option<Topology>,
    /// What each worker thread does first.
    thread_hooks: Hooks,
    /// Its clock stands still from the start.
    #[cfg(feature = "test-util")]
    paused_clock: bool,
}

impl SystemBuilder {
    /// The defaults: all CPUs that the process may use.
    pub(super) fn new() -> SystemBuilder {
        SystemBuilder {
            tag: "wq".to_owned(),
            cpus: None,
            workers: None,
            keep_alive: KEEP_ALIVE,
            max_workers: MAX_POOL_WORKERS as usize,
            power_efficient: false,
            watchdog_thresh: WATCHDOG_THRESH,
            sensing: Sensing::Auto,
            default_affinity: AffinityScope::System,
            hogs: HogSettings::default(),
            topology: None,
            thread_hooks: Hooks::default(),
            #[cfg(feature = "test-util")]
            paused_clock: false,
        }
    }

    /// What the names of its threads begin with, at most 5 bytes; default `wq`. Tells several
    /// Systems of a process apart.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().name("db").build()?;
    /// let name = system.spawn(async { std::thread::current().name().map(str::to_owned) });
    /// assert!(name.wait().unwrap().is_some_and(|name| name.starts_with("db/")));
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn name(mut self, tag: impl Into<String>) -> SystemBuilder {
        self.tag = tag.into();
        self
    }

    /// The CPUs to use, as the kernel writes lists of them: `"0-3,8"`. Default: all that the
    /// process may use. CPUs beyond those are left out; none left is an error.
    ///
    /// # Examples
    /// ```
    /// let everywhere = wq_core::System::builder().cpus("0-1023").build()?;
    /// let error = wq_core::System::builder().cpus("3-1").build().unwrap_err();
    /// assert_eq!(error.fields().collect::<Vec<_>>(), ["cpus"]);
    /// # drop(everywhere);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "unbound_cpus")]
    pub fn cpus(mut self, list: impl Into<String>) -> SystemBuilder {
        self.cpus = Some(list.into());
        self
    }

    /// How many items of an unbound queue may be polled at a time while none blocks. Default:
    /// the CPUs in use, at most the CPU quota of the container, rounded up.
    ///
    /// There are more threads than that when items block.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().workers(1).build()?;
    /// assert_eq!(system.run(async { 7 }), 7);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn workers(mut self, lanes: usize) -> SystemBuilder {
        self.workers = Some(lanes);
        self
    }

    /// How long a surplus worker thread stays; default 10 s. A pool at rest keeps as many threads
    /// as it has lanes, and two more at most.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let system = wq_core::System::builder().keep_alive(Duration::from_secs(1)).build()?;
    /// # drop(system);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "IDLE_WORKER_TIMEOUT")]
    pub fn keep_alive(mut self, time: Duration) -> SystemBuilder {
        self.keep_alive = time;
        self
    }

    /// How many threads each pool makes without hesitation when its items block; default 512, at
    /// most 2048. A pool that has so many, and in which nothing ends for 100 ms, gets one more
    /// each 100 ms, up to twice the number.
    ///
    /// A pool needs more threads than it has lanes (see [`SystemBuilder::workers`]) to go on
    /// while items block.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().max_workers(64).build()?;
    /// let error = wq_core::System::builder().max_workers(0).build().unwrap_err();
    /// assert_eq!(error.fields().collect::<Vec<_>>(), ["max_workers"]);
    /// # drop(system);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "max_blocking_threads")]
    pub fn max_workers(mut self, threads: usize) -> SystemBuilder {
        self.max_workers = threads;
        self
    }

    /// Prefers saving power to locality: queues that are per CPU for locality alone
    /// ([`PercpuBuilder::power_efficient`](crate::PercpuBuilder::power_efficient), and the System's
    /// own power efficient ones) are unbound.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().power_efficient().build()?;
    /// assert!(!system.power_efficient_queue().is_percpu());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "workqueue.power_efficient")]
    pub fn power_efficient(mut self) -> SystemBuilder {
        self.power_efficient = true;
        self
    }

    /// Who is to notice that tasks block or burn CPU; default [`Sensing::Auto`].
    ///
    /// What the machine lacks is left out by itself, and [`System::sensors`] says what.
    ///
    /// # Examples
    /// ```
    /// use wq_core::{Sensing, System};
    ///
    /// let system = System::builder().sensing(Sensing::Monitor).build()?;
    /// assert!(system.sensors().spotted.is_empty());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn sensing(mut self, sensing: Sensing) -> SystemBuilder {
        self.sensing = sensing;
        self
    }

    /// What [`AffinityScope::Default`] stands for, which is what queues have that say nothing else;
    /// default [`AffinityScope::System`]. It can be changed later:
    /// [`System::set_default_affinity`].
    ///
    /// # Examples
    /// ```
    /// use wq_core::{AffinityScope, System};
    ///
    /// let system = System::builder().default_affinity(AffinityScope::Cache).build()?;
    /// assert_eq!(system.default_affinity(), AffinityScope::Cache);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "default_affinity_scope")]
    pub fn default_affinity(mut self, scope: AffinityScope) -> SystemBuilder {
        self.default_affinity = scope;
        self
    }

    /// CPU time after which an item that has not suspended is marked CPU intensive: counted,
    /// reported, and on per-CPU queues relieved of its lane if work waits. Default 10 ms; 0: never.
    ///
    /// It can be changed later: [`System::set_cpu_intensive_thresh`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let thresh = Duration::from_millis(30);
    /// let system = wq_core::System::builder().cpu_intensive_thresh(thresh).build()?;
    /// assert_eq!(system.cpu_intensive_thresh(), thresh);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "cpu_intensive_thresh_us")]
    pub fn cpu_intensive_thresh(mut self, time: Duration) -> SystemBuilder {
        self.hogs.cpu_intensive_thresh = time;
        self
    }

    /// CPU time that an item of an unbound queue may use while work waits behind it, before its
    /// lane is handed on; also what makes a type known for burning. Default 1 ms; 0: never.
    ///
    /// It can be changed later: [`System::set_handoff_grace`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let never = Duration::ZERO;
    /// let system = wq_core::System::builder().handoff_grace(never).build()?;
    /// assert_eq!(system.handoff_grace(), never);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn handoff_grace(mut self, time: Duration) -> SystemBuilder {
        self.hogs.handoff_grace = time;
        self
    }

    /// At which mark of a type the first report is written on standard error; the next ones follow
    /// after 1, 2, 4, .. more. Default 4; 0: never.
    ///
    /// It can be changed later: [`System::set_cpu_intensive_warning_thresh`].
    ///
    /// # Examples
    /// ```
    /// let quiet = wq_core::System::builder().cpu_intensive_warning_thresh(0).build()?;
    /// assert_eq!(quiet.cpu_intensive_warning_thresh(), 0);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn cpu_intensive_warning_thresh(mut self, times: u64) -> SystemBuilder {
        self.hogs.warning_thresh = times;
        self
    }

    /// For how long a pool in which work waits may start nothing before a line on standard error
    /// says so, with what its workers are inside of. Default 30 s; 0: for ever.
    ///
    /// It can be changed later: [`System::set_watchdog_thresh`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let thresh = Duration::from_secs(5);
    /// let system = wq_core::System::builder().watchdog_thresh(thresh).build()?;
    /// assert_eq!(system.watchdog_thresh(), thresh);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "wq_watchdog_thresh")]
    pub fn watchdog_thresh(mut self, time: Duration) -> SystemBuilder {
        self.watchdog_thresh = time;
        self
    }

    /// Has every worker thread call `f` before it runs its first item, for libraries that keep
    /// something for each thread. Given more than once, all are called, in that order.
    ///
    /// The System's other threads do not call it. It holds up the worker that calls it, so it must
    /// not wait for tasks of this System. A panic ends that call alone. `f` and what it captured
    /// are dropped by the shutdown, after the worker threads have left; before that, if the System
    /// is never made.
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    ///
    /// thread_local!(static READY: Cell<bool> = const { Cell::new(false) });
    ///
    /// let builder = wq_core::System::builder().on_thread_start(|| READY.set(true));
    /// let system = builder.build()?;
    /// assert!(system.run(async { READY.get() }));
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn on_thread_start(mut self, f: impl Fn() + Send + Sync + 'static) -> SystemBuilder {
        self.thread_hooks.add(f);
        self
    }

    /// Has the clock of the System's delays stand still from the start, or not: for tests, with the
    /// feature `test-util`. It goes on to the next deadline by itself whenever the System rests:
    /// no task runs or could, and no worker is inside one that blocks, waits in wq without a limit
    /// excepted. wq-async has the whole of it in `wq::time`.
    ///
    /// The machine's clock goes on, and with it limits of `wait_timeout`, of shutdowns, and all
    /// that the System does for itself.
    ///
    /// # Examples
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let (begun, day) = (Instant::now(), Duration::from_secs(24 * 3600));
    /// let system = wq_core::System::builder().paused_clock(true).build()?;
    /// let queue = wq_core::Workqueue::unbound("nightly").system(&system).build()?;
    /// let (ran, has_run) = std::sync::mpsc::channel();
    /// let clean_up = wq_core::DelayedWork::new(move || ran.send(()).unwrap());
    /// let _ = queue.queue_after(&clean_up, day);
    /// has_run.recv()?;
    /// assert!(begun.elapsed() < day);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "test-util")]
    #[doc(alias = "start_paused")]
    pub fn paused_clock(mut self, paused: bool) -> SystemBuilder {
        self.paused_clock = paused;
        self
    }

    /// Has the System believe in this machine.
    pub(crate) fn topology(mut self, topology: Topology) -> SystemBuilder {
        self.topology = Some(topology);
        self
    }

    /// Makes the System and its service threads.
    ///
    /// # Errors
    /// A [`BuildError`] that names every field that cannot be used, or says that the machine
    /// refused a thread.
    pub fn build(mut self) -> Result<System, BuildError> {
        let follow = self.topology.is_none();
        let topology = self.topology.take().unwrap_or_else(Topology::detect);
        let mut complaints = check_default(self.default_affinity);
        check_name(&mut complaints, &self.tag, MAX_TAG);
        if self.workers == Some(0) {
            complaints.add("workers", "0 lanes run nothing; take 1 or more");
        }
        if !(1..=MOST_MAX_WORKERS).contains(&self.max_workers) {
            complaints.add(
                "max_workers",
                format!("{} threads; take 1 to {MOST_MAX_WORKERS}", self.max_workers),
            );
        }
        let cpus = self.chosen_cpus(&topology, &mut complaints);
        complaints.into_result()?;
        watch_forks();
        asym::init();
        let inner = Arc::new(self.inner(topology, &cpus, follow));
        inner.note_homes();
        service::start(&inner).map_err(BuildError::thread_refused)?;
        let system = System::own(inner);
        system.make_own_queues()?;
        Ok(system)
    }

    /// The CPUs to use.
    fn chosen_cpus(&self, topology: &Topology, complaints: &mut Complaints) -> CpuSet {
        let allowed = topology.allowed();
        let Some(list) = &self.cpus else {
            return allowed.clone();
        };
        match list.parse::<CpuSet>() {
            Err(error) => complaints.add("cpus", error),
            Ok(wanted) if wanted.and(allowed).is_empty() => complaints.add(
                "cpus",
                format!("none of \"{wanted}\" may be used; this process may use \"{allowed}\""),
            ),
            Ok(wanted) => return wanted.and(allowed),
        }
        allowed.clone()
    }

    /// The state.
    fn inner(self, topology: Topology, cpus: &CpuSet, follow: bool) -> SystemInner {
        SystemInner {
            // Relaxed: only uniqueness matters.
            id: NEXT_SYSTEM_ID.fetch_add(1, Ordering::Relaxed),
            tag: self.tag,
            max_lanes: self.workers.unwrap_or(usize::MAX),
            cpus: cpus.iter().map(CpuRecord::new).collect(),
            limits: Limits::new(&topology, follow),
            topology,
            thread_hooks: ThreadHooks::new(self.thread_hooks),
            keep_alive: self.keep_alive,
            max_workers: self.max_workers as u32,
            power_efficient: self.power_efficient,
            process: os::generation(),
            home: Home::of_caller(),
            sensors: Sensors::new(
                self.sensing,
                os::probe_works(),
                os::try_abilities(HIGHPRI_NICE),
            ),
            workers: (0..MAX_WORKERS).map(|_| OnceLock::new()).collect(),
            nr_records: AtomicU32::new(0),
            discarded: Spares::new(),
            unbound: Mutex::new(UnboundPolicy::new(cpus.clone(), self.default_affinity)),
            maps: Mutex::new(Vec::new()),
            pools: Mutex::new(Vec::new()),
            queues: Mutex::new(HashMap::new()),
            reaps: Mutex::new(Vec::new()),
            nr_rescuers: AtomicU32::new(0),
            rescuer_requests: Requests::default(),
            grave: Mutex::new(Vec::new()),
            own: OnceLock::new(),
            freezer: Freezer::default(),
            #[cfg(not(feature = "test-util"))]
            timers: Timers::new(),
            #[cfg(feature = "test-util")]
            timers: Timers::with_clock(Clock::Pausable(PausableClock::new(self.paused_clock))),
            #[cfg(feature = "test-util")]
            waits: super::rest::Waits::default(),
            hogs: Hogs::new(self.hogs),
            bh_told: Told::default(),
            watchdog: Watchdog::new(self.watchdog_thresh),
            reports: Mutex::new(Vec::new()),
            reporting: AtomicBool::new(false),
            phase: AtomicU8::new(RUNNING),
            maker: Parker::new(),
            monitor: Parker::new(),
            monitor_armed: Armed::new(),
            monitor_dozes: AtomicBool::new(false),
            threads: AtomicU32::new(0),
            stats: Stats::default(),
            said_nice: AtomicBool::new(false),
            said_no_thread: AtomicBool::new(false),
            said_no_number: AtomicBool::new(false),
            patience_ns: AtomicU64::new(PATIENCE_NS),
            refuse_threads: AtomicBool::new(false),
            shutdown_by_maker: Mutex::new(None),
            leavers: Parker::new(),
            shutdown_begun: AtomicBool::new(false),
        }
    }
}

impl CpuRecord {
    /// A CPU that nobody looks at yet.
    fn new(cpu: usize) -> CpuRecord {
        CpuRecord {
            cpu,
            mask: CpuSet::from_iter([cpu]),
            armed: Arc::new(CachePadded::new(Armed::new())),
            spotter: Parker::new(),
            watched: AtomicBool::new(false),
            spotter_found: Found::new(),
            spotter_tid: AtomicI32::new(0),
            bh: OnceLock::new(),
            bh_blocked: AtomicU64::new(0),
            pools: (0..MAX_POOLS_PER_CPU).map(|_| OnceLock::new()).collect(),
        }
    }
}

/// Has forked children know that they are some, and forget what was their parent's.
pub(crate) fn watch_forks() {
    os::watch_forks(|| {
        Current::forget();
        pins::forget();
    });
}
