//! Counters of rare events, and the snapshots that users see.
//!
//! Per-item counts live with the queues (`proto::counts`); here is what happens seldom enough
//! for a shared counter: hand-overs, refusals, rescues, reports.

use crate::sync::plain::{AtomicU64, Ordering};
use std::cmp::Reverse;
use std::time::Duration;

use crate::CpuSet;
use crate::pool::Pool;
use crate::sense::Sensor;
use crate::system::SystemInner;

/// A counter that anybody may raise.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(crate) fn raise(&self) {
        // Relaxed: a statistic.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// As much as `value` at least.
    pub(crate) fn at_least(&self, value: u64) {
        // Relaxed: a statistic.
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    /// More by `value`.
    fn add(&self, value: u64) {
        // Relaxed: a statistic.
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    /// The count.
    pub(crate) fn get(&self) -> u64 {
        // Relaxed: a statistic.
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of a System.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) by_mark: Counter,
    pub(crate) by_spotter: Counter,
    pub(crate) by_monitor: Counter,
    pub(crate) by_sibling: Counter,
    pub(crate) by_producer: Counter,
    pub(crate) by_hog: Counter,
    pub(crate) cpu_intensive: Counter,
    pub(crate) forced: Counter,
    pub(crate) fruitless: Counter,
    pub(crate) wasted: Counter,
    pub(crate) busy: Counter,
    pub(crate) changed: Counter,
    pub(crate) relieved: Counter,
    pub(crate) rescues: Counter,
    pub(crate) threads_peak: Counter,
    pub(crate) away_peak: Counter,
    pub(crate) oversubscribed_peak: Counter,
    pub(crate) oversubscribed_ns: Counter,
    pub(crate) creation_failures: Counter,
    pub(crate) at_bound: Counter,
    pub(crate) nice_refused: Counter,
    pub(crate) lockups: Counter,
    pub(crate) repatriated: Counter,
    pub(crate) bh_blocked: Counter,
}

impl Stats {
    /// A lane changed hands.
    pub(crate) fn note_hand_over(&self, sensor: Sensor) {
        match sensor {
            Sensor::Marked => self.by_mark.raise(),
            Sensor::Spotter => self.by_spotter.raise(),
            Sensor::Monitor => self.by_monitor.raise(),
            Sensor::Sibling => self.by_sibling.raise(),
            Sensor::Producer => self.by_producer.raise(),
            Sensor::Hog(_) => self.by_hog.raise(),
            Sensor::Forced => self.forced.raise(),
        }
    }

    /// A lane did not change hands.
    pub(crate) fn note_refused(&self, busy: bool) {
        if busy {
            self.busy.raise();
        } else {
            self.changed.raise();
        }
    }

    /// The monitor saw so many workers run beyond the lanes; its last sample was `passed` ago.
    pub(crate) fn note_oversubscribed(&self, beyond: usize, passed: Duration) {
        self.oversubscribed_peak.at_least(beyond as u64);
        self.oversubscribed_ns.add(passed.as_nanos() as u64);
    }

    /// A victim was back at once.
    pub(crate) fn note_wasted(&self) {
        self.wasted.raise();
    }
}

/// What a System has done so far. A snapshot: the fields are read one after another.
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().workers(2).build()?;
/// system.run(async {});
/// let stats = system.stats();
/// assert!(stats.threads >= 1 && stats.threads_peak >= stats.threads);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct SystemStats {
    /// Threads now: workers and service threads.
    pub threads: usize,
    /// Most threads at a time so far.
    pub threads_peak: usize,
    /// Workers that came back from an item after another worker had got their lane.
    pub returns: u64,
    /// Most workers of all pools that were inside an item without a lane, beyond those that run
    /// the lanes. The monitor counts them in its rounds, a millisecond apart at best while work
    /// waits: a shorter peak may be missed.
    pub away_peak: usize,
    /// Most workers of all pools that ran beyond the lanes in use: they came back from a block, or
    /// burn CPU, while another worker runs their lane, and finish their item at once instead of
    /// waiting for it.
    ///
    /// A sample: the monitor asks the kernel, of 16 such workers of a pool at most. Samples are
    /// 5 ms apart, and up to 10 ms where no work waits, so that most short stretches are missed.
    /// "Runs" includes waiting for a CPU. 0 where thread states cannot be seen or nobody looks
    /// ([`Sensing::Declared`](crate::Sensing::Declared)).
    #[doc(alias = "oversubscription")]
    pub oversubscribed_peak: usize,
    /// For how long that was so, as an estimate: each sample that finds a worker beyond the lanes
    /// counts for the time since the one before, less that of rounds that came far too late.
    #[doc(alias = "oversubscription")]
    pub oversubscribed_time: Duration,
    /// Worker pools made so far.
    pub pools: usize,
    /// Queues that exist, the System's own included.
    pub queues: usize,
    /// Lanes handed over because the blocking code had said that it blocks.
    pub handovers_marked: u64,
    /// Lanes handed over because a CPU's idle spotter found the worker asleep.
    pub handovers_spotter: u64,
    /// Lanes handed over because the monitor found the worker asleep.
    pub handovers_monitor: u64,
    /// Lanes handed over because another worker, between two lanes of its own, found the worker
    /// asleep.
    pub handovers_sibling: u64,
    /// Lanes handed over because whoever brought work found the worker asleep.
    pub handovers_producer: u64,
    /// Lanes handed over because the item burned CPU for longer than the grace.
    pub handovers_hog: u64,
    /// Items marked CPU intensive: they used `cpu_intensive_thresh` of CPU time without suspending.
    /// Once for each stretch between two suspensions; `System::cpu_hogs` counts them by type.
    pub cpu_intensive: u64,
    /// Lanes handed over by a test.
    pub handovers_forced: u64,
    /// Looks at a worker that turned out to run.
    pub fruitless_looks: u64,
    /// Hand-overs after which the worker was back within 50 us.
    pub wasted_handovers: u64,
    /// Take-overs refused because the worker was inside a section.
    pub refused_busy: u64,
    /// Take-overs refused because the lane had changed meanwhile.
    pub refused_changed: u64,
    /// Times that a sleeping lane got work from one whose item did not end.
    pub relieved: u64,
    /// Wake-ups that the monitor gave in place of whoever owed them: that one was preempted for
    /// long between bringing the work and waking the lane, or there is a bug.
    pub rescues: u64,
    /// Threads that the machine refused.
    pub thread_creation_failures: u64,
    /// Times that a pool wanted a worker beyond its bound.
    pub at_worker_bound: u64,
    /// High priority workers that run at normal priority, for lack of a right.
    pub nice_refused: u64,
    /// Times that a pool in which work waited had started nothing for `watchdog_thresh`.
    #[doc(alias = "wq_watchdog")]
    pub lockups: u64,
    /// Workers that were asleep outside of their pool's CPUs and were brought there when they were
    /// woken: queues with narrow pools that are not strict.
    pub repatriated: u64,
    /// Items of BH queues that were about to block, or were seen asleep.
    pub bh_blocked: u64,
}

/// What a pool of workers looks like now: `System::pools`. A snapshot: the fields are read one
/// after another, so while workers come and go they may not add up.
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().workers(2).build()?;
/// system.run(async {});
/// for pool in system.pools() {
///     println!("{}: {} of {} workers", pool.name, pool.workers, pool.bound);
/// }
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PoolStats {
    /// What the names of its threads begin with, after that of the System: a CPU's number for a
    /// pool that is bound to it, `u` and a number for an unbound one.
    pub name: String,
    /// CPUs that its workers are made for.
    pub cpus: CpuSet,
    /// CPUs that share the pool: items begin there. The others of `cpus` are for workers to roam.
    pub pod: CpuSet,
    /// Whether its workers stay on `pod`.
    #[doc(alias = "affn_strict")]
    pub strict: bool,
    /// Nice value that its workers are meant to have.
    pub nice: i8,
    /// Lanes in use: items that may run at a time.
    pub lanes: usize,
    /// Threads, those without work included.
    pub workers: usize,
    /// Spare workers: they have neither a lane nor an item.
    pub idle: usize,
    /// Workers inside an item whose lane another one has: most of them are blocked.
    pub away: usize,
    /// Workers that it has without hesitation: `SystemBuilder::max_workers`.
    pub bound: usize,
    /// Workers that came back from an item after another worker had got their lane.
    pub returns: u64,
    /// Times that no item ended for 100 ms although the pool had all its workers and more was
    /// waiting. Such a stall is reported on standard error.
    pub stalls: u64,
    /// What its workers run, most frequent first. Items that are suspended hold no worker.
    #[doc(alias = "show_pwq")]
    pub running: Vec<Running>,
}

/// How many workers of a pool run items of one type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Running {
    /// The type of the future or closure, as the compiler calls it.
    pub name: &'static str,
    /// Workers inside an item of it.
    pub workers: usize,
}

impl Running {
    /// What the workers of a pool run now. Each is looked at once, so what ends meanwhile may be
    /// counted, and what begins not.
    pub(crate) fn in_pool(system: &SystemInner, pool: &Pool) -> Vec<Running> {
        let mut running: Vec<Running> = Vec::new();
        let names = system.records().filter(|worker| worker.is_of(pool));
        for name in names.filter_map(|worker| worker.doing()) {
            match running.iter_mut().find(|it| it.name == name) {
                Some(it) => it.workers += 1,
                None => running.push(Running { name, workers: 1 }),
            }
        }
        running.sort_by_key(|it| Reverse(it.workers));
        running
    }
}

impl PoolStats {
    /// Of a pool.
    pub(crate) fn of(system: &SystemInner, pool: &Pool) -> PoolStats {
        PoolStats {
            name: pool.label(),
            cpus: pool.attrs.cpus.clone(),
            pod: pool.attrs.pod.clone(),
            strict: pool.attrs.strict,
            nice: pool.attrs.nice,
            lanes: pool.in_use(),
            // Relaxed, also below: counts for people.
            workers: pool.nr_workers.load(Ordering::Relaxed) as usize,
            idle: pool.nr_idle.load(Ordering::Relaxed) as usize,
            away: pool.away() as usize,
            bound: pool.bound as usize,
            returns: u64::from(pool.returns.load(Ordering::Relaxed)),
            stalls: u64::from(pool.stalls.load(Ordering::Relaxed)),
            running: Running::in_pool(system, pool),
        }
    }
}

/// What a queue has done so far. A snapshot: the fields are read one after another.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::unbound("jobs").max_active(1).build()?;
/// let task = queue.spawn(std::future::pending::<()>());
/// let stats = queue.stats();
/// assert_eq!((stats.accepted, stats.in_flight, stats.waiting), (1, 1, 0));
/// task.abort();
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct QueueStats {
    /// Items accepted.
    pub accepted: u64,
    /// Items that returned.
    pub completed: u64,
    /// Items that panicked, in the body or a destructor.
    pub panicked: u64,
    /// Items that were aborted, or dropped by a shutdown.
    pub cancelled: u64,
    /// Items accepted that have not ended: running, suspended or waiting.
    pub in_flight: u64,
    /// Items that hold an active slot (limited queues; otherwise 0).
    pub active: usize,
    /// Items that wait for a slot (limited queues; otherwise 0).
    pub waiting: usize,
    /// How often its rescuer was called, because a worker was needed and could not be made.
    pub maydays: u64,
    /// Polls that its rescuer did.
    pub rescued: u64,
}
