//! A System: one instance of the engine, with its pools, workers, queues and service threads.
//!
//! Most programs have one, made lazily; tests make many. What is inside is kept alive by
//! handles, by worker threads, and by queue handles; items in flight rely on it without a count,
//! which is why it ends with a shutdown that accounts for every item (`shutdown`), and why
//! wakers on foreign threads pin (`pins`).

pub(crate) mod builder;
pub(crate) mod freeze;
pub(crate) mod grave;
mod handle;
mod hogs;
pub(crate) mod hooks;
pub(crate) mod limits;
mod own;
pub(crate) mod pins;
pub(crate) mod pools;
mod report;
#[cfg(feature = "test-util")]
pub(crate) mod rest;
pub(crate) mod shutdown;
pub(crate) mod watchdog;

use crate::sync::plain::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::collections::HashMap;
use std::fmt;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::bh::Told;
use crate::hogs::Hogs;
use crate::home::Home;
use crate::lane::Lane;
use crate::policy::Company;
use crate::pool::Pool;
use crate::proto::arm::Armed;
use crate::proto::owner::WorkerId;
use crate::proto::park::Parker;
use crate::proto::spares::Spares;
use crate::queue::QueueRef;
use crate::queue::attrs::UnboundPolicy;
use crate::queue::map::PoolMap;
use crate::sense::report::{Ability, Found, Sensors};
use crate::service::maker::rescuers::Requests;
use crate::stats::Stats;
use crate::timer::Timers;
use crate::topology::Topology;
use crate::worker::Worker;
use crate::{CpuSet, os};

use freeze::Freezer;
use hooks::ThreadHooks;
use limits::Limits;
use own::OwnQueues;
use watchdog::Watchdog;

pub use handle::{DefaultSystemError, EnterGuard, System};

/// Most worker records of a System; each costs a thread's stack, so this is far beyond sense.
pub(crate) const MAX_WORKERS: usize = 4096;

/// Items run.
const RUNNING: u8 = 0;
/// Nothing new is accepted; accepted items run on.
const CLOSING: u8 = 1;
/// What is left is dropped instead of polled.
const DROPPING: u8 = 2;
/// Threads leave.
const STOPPED: u8 = 3;

/// What a System knows of one CPU.
#[derive(Debug)]
pub(crate) struct CpuRecord {
    /// The kernel's number.
    pub(crate) cpu: usize,
    /// This CPU alone, for placing workers.
    pub(crate) mask: CpuSet,
    /// Whether somebody looks at its lanes, which have it, too.
    pub(crate) armed: Arc<CachePadded<Armed>>,
    /// Where the spotter sleeps.
    pub(crate) spotter: Parker,
    /// The spotter's thread was asked for.
    pub(crate) watched: AtomicBool,
    /// What came of that.
    pub(crate) spotter_found: Found,
    /// The spotter's thread; 0 before and after.
    pub(crate) spotter_tid: AtomicI32,
    /// Its BH thread, once there is one.
    pub(crate) bh: OnceLock<Arc<Worker>>,
    /// The last item there that was counted for blocking, by the worker's count.
    pub(crate) bh_blocked: AtomicU64,
    /// Pools with a lane on this CPU; filled from the front, never emptied.
    pub(crate) pools: Box<[PoolPlace]>,
}

/// A pool and the slot of its lane on the CPU, once there is one.
pub(crate) type PoolPlace = OnceLock<(Arc<Pool>, usize)>;

/// The engine's shared state.
#[derive(Debug)]
pub(crate) struct SystemInner {
    /// Number within the process.
    pub(crate) id: u64,
    /// What its threads' names begin with.
    pub(crate) tag: String,
    /// The machine.
    pub(crate) topology: Topology,
    /// CPUs in use, in order; a CPU's place here is its ordinal.
    pub(crate) cpus: Box<[CpuRecord]>,
    /// Most lanes of an unbound pool.
    pub(crate) max_lanes: usize,
    /// How long a surplus worker stays.
    pub(crate) keep_alive: Duration,
    /// Threads of one pool, without hesitation.
    pub(crate) max_workers: u32,
    /// Queues that would be per CPU for locality alone are unbound.
    pub(crate) power_efficient: bool,
    /// What the machine grants now.
    pub(crate) limits: Limits,
    /// What each worker thread does first.
    pub(crate) thread_hooks: ThreadHooks,
    /// The process that it was made in: see `os::generation`.
    pub(crate) process: u32,
    /// The settings of the thread that made it.
    pub(crate) home: Home,
    /// Who looks, and what the machine allows.
    pub(crate) sensors: Sensors,
    /// Worker records by number (less one).
    workers: Box<[OnceLock<Arc<Worker>>]>,
    /// Records in use so far.
    nr_records: AtomicU32,
    /// Records whose thread has ended.
    pub(crate) discarded: Spares,
    /// What concerns the pools of all unbound queues; locked while any queue's change.
    pub(crate) unbound: Mutex<UnboundPolicy>,
    /// The maps of all queues.
    pub(crate) maps: Mutex<Vec<Arc<PoolMap>>>,
    /// All pools.
    pub(crate) pools: Mutex<Vec<Arc<Pool>>>,
    /// Queues that exist.
    pub(crate) queues: Mutex<HashMap<u64, QueueRef>>,
    /// Queues with aborted items among those that wait; pinned.
    pub(crate) reaps: Mutex<Vec<QueueRef>>,
    /// Rescuers that exist.
    pub(crate) nr_rescuers: AtomicU32,
    /// Rescuers that the maker is to make.
    pub(crate) rescuer_requests: Requests,
    /// Queues that are to be freed.
    pub(crate) grave: Mutex<Vec<QueueRef>>,
    /// The System's own queues.
    pub(crate) own: OnceLock<OwnQueues>,
    /// What is frozen.
    pub(crate) freezer: Freezer,
    /// Delays.
    pub(crate) timers: Arc<Timers>,
    /// Threads that wait for futures.
    #[cfg(feature = "test-util")]
    pub(crate) waits: rest::Waits,
    /// What it knows of items that burn CPU.
    pub(crate) hogs: Hogs,
    /// BH items that blocked, of which was told.
    pub(crate) bh_told: Told,
    /// For how long a pool may stand still.
    pub(crate) watchdog: Watchdog,
    /// Lines for standard error.
    pub(crate) reports: Mutex<Vec<String>>,
    /// A thread writes them.
    pub(crate) reporting: AtomicBool,
    /// One of the phases above; only rises.
    phase: AtomicU8,
    /// Where the thread maker sleeps.
    pub(crate) maker: Parker,
    /// Where the monitor sleeps.
    pub(crate) monitor: Parker,
    /// Whether the monitor is awake.
    pub(crate) monitor_armed: Armed,
    /// The monitor sleeps for longer than it should once work waits behind a running item.
    pub(crate) monitor_dozes: AtomicBool,
    /// Threads that live, service threads included.
    pub(crate) threads: AtomicU32,
    /// Rare events.
    pub(crate) stats: Stats,
    /// The missing right for negative nice values was reported.
    said_nice: AtomicBool,
    /// The machine's refusal of a thread was reported.
    pub(crate) said_no_thread: AtomicBool,
    /// That all numbers of workers are in use was reported.
    pub(crate) said_no_number: AtomicBool,
    /// How long the monitor waits for a wake-up before it acts in its place, ns.
    pub(crate) patience_ns: AtomicU64,
    /// Tests make the machine refuse threads.
    pub(crate) refuse_threads: AtomicBool,
    /// The grace of a shutdown that the maker is to do.
    pub(crate) shutdown_by_maker: Mutex<Option<Duration>>,
    /// Where the shutdown waits for threads to leave.
    pub(crate) leavers: Parker,
    /// Somebody has taken the shutdown upon itself.
    pub(crate) shutdown_begun: AtomicBool,
}

/// A System, without a count. Its bearer (a queue) does not outlive it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SystemRef(NonNull<SystemInner>);

// SAFETY: it stands for `&SystemInner`, which is `Sync`.
unsafe impl Send for SystemRef {}
// SAFETY: as above.
unsafe impl Sync for SystemRef {}

impl fmt::Debug for SystemRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemRef({:p})", self.0)
    }
}

impl SystemRef {
    /// For queues of `system`.
    pub(crate) fn new(system: &Arc<SystemInner>) -> SystemRef {
        SystemRef(NonNull::from(&**system))
    }

    /// The System.
    #[inline(always)]
    pub(crate) fn get(&self) -> &SystemInner {
        // SAFETY: queues are freed before their System, and bear this only while they live.
        unsafe { self.0.as_ref() }
    }

    /// Whether it is this one.
    #[inline(always)]
    pub(crate) fn is(&self, system: &Arc<SystemInner>) -> bool {
        std::ptr::eq(self.0.as_ptr(), &raw const **system)
    }
}

impl SystemInner {
    /// The System's own queues.
    ///
    /// # Panics
    /// Before `build` has made them; nobody has a handle by then.
    #[inline]
    pub(crate) fn own(&self) -> &OwnQueues {
        self.own.get().expect("`build` makes the System's queues")
    }

    /// The worker with this number.
    ///
    /// # Panics
    /// If no record has the number; owner words hold only numbers of records.
    #[inline]
    pub(crate) fn worker(&self, id: WorkerId) -> &Arc<Worker> {
        self.workers[id as usize - 1]
            .get()
            .expect("numbers are given out with their record")
    }

    /// A record for a new thread: one whose thread has ended, or a fresh one.
    pub(crate) fn new_record(&self) -> Option<Arc<Worker>> {
        use crate::proto::spares::Claim;
        loop {
            match self.discarded.claim(|id| &self.worker(id).spare) {
                Claim::Spare(id) => return Some(Arc::clone(self.worker(id))),
                Claim::Discarded(_) => {}
                Claim::Empty => break,
            }
        }
        loop {
            // Relaxed: a number, given out once; sensors find the record through owner words, or
            // by its place, which orders what it publishes.
            let at = self.nr_records.load(Ordering::Relaxed);
            let slot = self.workers.get(at as usize)?;
            let worker = Arc::new(Worker::new(at as WorkerId + 1));
            // Of two who ask at once (the maker and a shutdown) one gets the place.
            let is_mine = slot.set(Arc::clone(&worker)).is_ok();
            // Relaxed: as above. The other one may have raised it.
            self.nr_records.fetch_max(at + 1, Ordering::Relaxed);
            if is_mine {
                return Some(worker);
            }
        }
    }

    /// All records so far.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Arc<Worker>> {
        self.workers.iter().map_while(OnceLock::get)
    }

    /// The mask of one CPU.
    pub(crate) fn cpu_mask(&self, cpu: usize) -> &CpuSet {
        &self.cpus[self.ordinal(cpu)].mask
    }

    /// A CPU's place among those in use; 0 for one that is not.
    #[inline]
    pub(crate) fn ordinal(&self, cpu: usize) -> usize {
        if self.cpus.get(cpu).is_some_and(|record| record.cpu == cpu) {
            return cpu;
        }
        self.search_ordinal(cpu)
    }

    /// Where not all CPUs are in use.
    #[cold]
    fn search_ordinal(&self, cpu: usize) -> usize {
        self.cpus
            .binary_search_by_key(&cpu, |record| record.cpu)
            .unwrap_or(0)
    }

    /// The ordinal of the CPU that the caller runs on.
    #[inline]
    pub(crate) fn ordinal_of_current_cpu(&self) -> usize {
        self.ordinal(os::current_cpu())
    }

    /// Wakes the spotter of the lane's CPU, if it sleeps; the monitor where there is none. Not for
    /// a lane that nobody is to look at.
    #[inline]
    pub(crate) fn arm_spotter(&self, lane: &Lane) {
        if lane.armed.arm() {
            self.wake_spotter(lane);
        }
    }

    /// The caller has armed it.
    #[cold]
    fn wake_spotter(&self, lane: &Lane) {
        let record = &self.cpus[self.ordinal(lane.cpu)];
        lane.spend_eagerness();
        if record.spotter_found.get().works() {
            record.spotter.unpark();
        } else {
            self.monitor.unpark();
        }
    }

    /// Nothing waits, or all CPUs have spotters: on those without one the monitor clears the flag
    /// in its place. Who reads it a moment too early is found by the monitor's next round.
    pub(crate) fn disarm_unspotted(&self) {
        let unspotted = |r: &&CpuRecord| !r.spotter_found.get().works() && r.armed.is_armed();
        for record in self.cpus.iter().filter(unspotted) {
            record.armed.disarm_briefly();
        }
    }

    /// Who looks besides the monitor. Where nobody can see there is no use in looking often.
    pub(crate) fn company(&self) -> Company {
        if !self.sensors.any() {
            return Company::NotWanted;
        }
        let refused = |r: &CpuRecord| matches!(r.spotter_found.get(), Ability::Refused { .. });
        let alone = !self.sensors.spotters() || self.cpus.iter().any(refused);
        if alone && self.sensors.can_see() {
            Company::Nobody
        } else {
            Company::Spotters
        }
    }

    /// A lane went to work: wakes the monitor if it sleeps deeply.
    pub(crate) fn poke_monitor(&self) {
        if self.monitor_armed.arm() {
            self.monitor.unpark();
        }
    }

    /// Work waits behind a running item: has the monitor look within its shortest pause, or within
    /// that for lanes that move if all came along at its last look.
    pub(crate) fn hurry_monitor(&self, lane: &Lane) {
        // Relaxed: a hint; what is missed waits for the end of a longer pause.
        if lane.armed.hurry()
            && self.monitor_dozes.load(Ordering::Relaxed)
            && self.monitor_dozes.swap(false, Ordering::Relaxed)
        {
            self.monitor.unpark();
        }
    }

    /// The pool needs a worker: tells the thread maker.
    pub(crate) fn request_worker(&self, pool: &Pool) {
        // Relaxed: the maker's wake-up orders it.
        if !pool.managing.swap(true, Ordering::Relaxed) {
            self.maker.unpark();
        }
    }

    /// The phase now.
    #[inline(always)]
    fn phase(&self) -> u8 {
        // Acquire: pairs with the Release in `raise_phase`.
        self.phase.load(Ordering::Acquire)
    }

    /// Goes on to a later phase.
    fn raise_phase(&self, phase: u8) {
        // AcqRel: pairs with the Acquire in `phase`.
        self.phase.fetch_max(phase, Ordering::AcqRel);
    }

    /// Whether this process is a forked child: the System's threads are elsewhere, and a lock may
    /// have been held by one of them for ever.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.process != os::generation()
    }

    /// Whether nothing new is accepted.
    pub(crate) fn is_closing(&self) -> bool {
        self.phase() >= CLOSING
    }

    /// Whether items are dropped instead of polled.
    #[inline(always)]
    pub(crate) fn is_dropping(&self) -> bool {
        self.phase() >= DROPPING
    }

    /// Whether threads are to leave.
    #[inline(always)]
    pub(crate) fn is_stopped(&self) -> bool {
        self.phase() >= STOPPED
    }

    /// A thread has begun.
    pub(crate) fn note_thread(&self) {
        // AcqRel: pairs with the Acquire of the shutdown that counts threads.
        let now = self.threads.fetch_add(1, Ordering::AcqRel) + 1;
        self.stats.threads_peak.at_least(u64::from(now));
    }

    /// A thread ends.
    pub(crate) fn note_thread_gone(&self) {
        // Release: pairs with the Acquire of the shutdown that counts threads.
        self.threads.fetch_sub(1, Ordering::Release);
        if self.is_stopped() {
            self.leavers.unpark();
        }
    }

    /// Reports once that workers do not get the priority that they were meant to have.
    pub(crate) fn say_once_nice_refused(&self, nice: i8) {
        // Relaxed: at worst it is said twice.
        if !self.said_nice.swap(true, Ordering::Relaxed) {
            crate::guard::say(format_args!(
                "wq: nice {nice} was refused (it needs CAP_SYS_NICE or RLIMIT_NICE); these \
                 workers run at normal priority"
            ));
        }
    }
}
