//! How much of the machine the program may use now: CPU quota and allowed CPUs, followed live.
//!
//! The monitor reads them when it leaves a deep sleep and then once a second while there is work,
//! so an idle program is not woken for them. A changed quota changes how many lanes of unbound
//! pools are *in use*: no lane is ever freed, those beyond that number get no more work from
//! outside, and their worker moves what it finds there to the others. Where CPUs are taken away
//! the kernel lets threads that were bound to them run elsewhere; here masks are set anew, and
//! bound when the CPU is back.
//!
//! Not for the System's own choice of CPUs, which is fixed when it is made.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::topology::Topology;
use crate::{CpuSet, os};

use super::SystemInner;

/// Time between two readings, ns: some small files, at less than a thousandth of a CPU.
const READ_EVERY_NS: u64 = 1_000_000_000;

/// The limits.
#[derive(Debug)]
pub(crate) struct Limits {
    /// As they were read last.
    now: Mutex<Reading>,
    /// Whether they are those of the machine, and not a test's.
    follow: AtomicBool,
    /// When they were read last, ns. The monitor alone writes.
    read_ns: AtomicU64,
    /// Of each NUMA node, by its place: the ordinal of its first CPU that may be used, or
    /// [`NO_HOME`]. Derived from `now`, for those who queue items and must not wait.
    homes: Box<[AtomicUsize]>,
}

/// A node has no CPU that may be used.
const NO_HOME: usize = usize::MAX;

/// A reading.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Reading {
    /// CPUs' worth of time, if limited.
    pub(crate) quota: Option<f64>,
    /// CPUs that the program may use; never empty.
    pub(crate) allowed: CpuSet,
    /// It differs from the one before: workers that woke up meanwhile may have used that.
    fresh: bool,
}

impl Limits {
    /// Those that the topology tells.
    pub(crate) fn new(topology: &Topology, follow: bool) -> Limits {
        Limits {
            now: Mutex::new(Reading {
                quota: topology.quota(),
                allowed: topology.allowed().clone(),
                fresh: false,
            }),
            follow: AtomicBool::new(follow),
            read_ns: AtomicU64::new(os::monotonic_ns()),
            homes: (0..topology.nodes().len())
                .map(|_| AtomicUsize::new(NO_HOME))
                .collect(),
        }
    }

    /// The ordinal of the first CPU of a node that may be used, if there is such a node and CPU.
    pub(crate) fn home_in(&self, node: usize) -> Option<usize> {
        // Relaxed: wherever an item goes by an older reading, it runs.
        let home = self.homes.get(node)?.load(Ordering::Relaxed);
        (home != NO_HOME).then_some(home)
    }

    /// The last reading; nothing panics under the lock.
    pub(crate) fn now(&self) -> Reading {
        let now = self.now.lock();
        now.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps a reading. True: masks and lanes are to be set anew.
    fn keep(&self, quota: Option<f64>, allowed: CpuSet) -> bool {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = now.quota != quota || now.allowed != allowed;
        let again = fresh || now.fresh;
        *now = Reading {
            quota,
            allowed,
            fresh,
        };
        again
    }
}

/// Lanes that make sense for so many CPUs.
fn lanes_for(cpus: usize, quota: Option<f64>, at_most: usize) -> usize {
    // The cast saturates, so that a quota beyond any number of CPUs is no limit.
    let quota = quota.map_or(usize::MAX, |quota| quota.ceil() as usize);
    cpus.min(quota).min(at_most).max(1)
}

impl SystemInner {
    /// Called by the monitor while there is work: reads the limits if it is time.
    pub(crate) fn follow_limits(&self, now_ns: u64) {
        // Relaxed: the monitor alone uses it.
        let last = self.limits.read_ns.load(Ordering::Relaxed);
        // Relaxed: a switch for tests.
        let follow = self.limits.follow.load(Ordering::Relaxed);
        if !follow || now_ns.saturating_sub(last) < READ_EVERY_NS {
            return;
        }
        // Relaxed: as above.
        self.limits.read_ns.store(now_ns, Ordering::Relaxed);
        // The monitor is bound to nothing itself: its mask is the program's.
        let allowed = os::get_affinity(0).unwrap_or_else(|_| self.topology.allowed().clone());
        self.apply_limits(os::cgroup_cpu_quota(), allowed);
    }

    /// These are the limits now.
    pub(crate) fn apply_limits(&self, quota: Option<f64>, allowed: CpuSet) {
        if !self.limits.keep(quota, allowed) {
            return;
        }
        // A pool that is made meanwhile is made with the new limits, under this lock.
        let pools = self.lock_pools().clone();
        for pool in &pools {
            let usable = self.usable(&pool.attrs.cpus);
            pool.mask.store(&usable);
            if !pool.is_percpu() {
                pool.set_in_use(self.lanes_now(&pool.attrs.pod));
            }
        }
        for worker in self.records() {
            worker.set_mask_anew();
        }
        self.bind_spotters();
        self.note_homes();
        self.remap_all();
    }

    /// Notes where items for a NUMA node are at home, by the limits now.
    pub(super) fn note_homes(&self) {
        let allowed = self.limits.now().allowed;
        for (node, home) in self.topology.nodes().iter().zip(&self.limits.homes) {
            let usable = node.and(&allowed);
            let first = self.cpus.iter().position(|r| usable.contains(r.cpu));
            // Relaxed: see `home_in`.
            home.store(first.unwrap_or(NO_HOME), Ordering::Relaxed);
        }
    }

    /// A test's limits, in place of the machine's from now on.
    pub(crate) fn impose_limits(&self, quota: Option<f64>, allowed: CpuSet) {
        // Relaxed: a reading that is under way may still be applied, before or after this one.
        self.limits.follow.store(false, Ordering::Relaxed);
        self.apply_limits(quota, allowed);
    }

    /// The kernel lets a spotter whose CPU went away run elsewhere; it is to be where it looks.
    fn bind_spotters(&self) {
        let allowed = self.limits.now().allowed;
        for record in self.cpus.iter().filter(|r| allowed.contains(r.cpu)) {
            // Relaxed: one that is not up yet binds itself.
            let tid = record.spotter_tid.load(Ordering::Relaxed);
            if tid != 0 {
                // A refusal means that the CPU is gone again.
                let _ = os::set_affinity(tid, &record.mask);
            }
        }
    }

    /// What there is of these CPUs now; all that the program may use if there is nothing left.
    pub(crate) fn usable(&self, cpus: &CpuSet) -> CpuSet {
        let allowed = self.limits.now().allowed;
        let both = cpus.and(&allowed);
        if both.is_empty() { allowed } else { both }
    }

    /// Lanes in use, now, of an unbound pool of these CPUs.
    pub(crate) fn lanes_now(&self, cpus: &CpuSet) -> usize {
        let Reading { quota, allowed, .. } = self.limits.now();
        lanes_for(cpus.and(&allowed).count(), quota, self.max_lanes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::{FakeSpec, System, Workqueue};

    /// The quota rounded up, the CPUs, the user's bound: the least of them, and never none.
    #[test]
    fn the_tightest_limit_counts() {
        assert_eq!(lanes_for(8, None, usize::MAX), 8);
        assert_eq!(lanes_for(8, Some(2.5), usize::MAX), 3);
        assert_eq!(lanes_for(8, Some(2.5), 2), 2);
        assert_eq!(lanes_for(1, Some(1e9), usize::MAX), 1);
        assert_eq!(lanes_for(0, Some(0.1), 0), 1);
    }

    /// A spotter that the kernel has let run elsewhere is bound again when its CPU is back.
    #[test]
    fn spotters_are_bound_again() {
        let system = System::builder().build().expect("a System");
        let inner = &system.inner;
        let since = std::time::Instant::now();
        let tid = loop {
            system.run(async {});
            // Relaxed: it is looked at again.
            let tids = inner
                .cpus
                .iter()
                .map(|r| r.spotter_tid.load(Ordering::Relaxed));
            if let Some((at, tid)) = tids.enumerate().find(|(_, tid)| *tid != 0) {
                break (at, tid);
            }
            if since.elapsed() > Duration::from_secs(5) {
                eprintln!("SKIPPED: this machine has no spotters");
                return;
            }
            std::thread::yield_now();
        };
        let (at, tid) = tid;
        let all = inner.all_cpus();
        // As the kernel does.
        os::set_affinity(tid, &all).expect("it is allowed");
        inner.impose_limits(None, all.clone());
        inner.impose_limits(Some(1.0), all);
        let bound = os::get_affinity(tid).expect("it lives");
        assert_eq!(bound, inner.cpus[at].mask);
    }

    /// A change is applied twice, since a worker may have read the masks a moment before.
    #[test]
    fn changes_are_applied_once_more() {
        let limits = Limits::new(&Topology::fake(FakeSpec::new().cores(2)), false);
        let both = || CpuSet::from(0..2);
        let answers = [None, Some(1.0), Some(1.0), Some(1.0)].map(|q| limits.keep(q, both()));
        assert_eq!(answers, [false, true, true, false]);
    }

    /// Long enough for anything that happens at all on a crowded machine.
    const FOR_EVER: Duration = Duration::from_secs(60);

    /// Work goes on, and nothing is lost, while lanes come and go under it.
    #[test]
    fn lanes_come_and_go_under_work() {
        let builder = System::builder().topology(Topology::fake(FakeSpec::new().cores(4)));
        let system = builder.build().expect("a System");
        let queue = Workqueue::unbound("q").system(&system).build().expect("q");
        let done = Arc::new(AtomicUsize::new(0));
        let mut makers = Vec::new();
        let (inner, all) = (&system.inner, CpuSet::from(0..4));
        for round in 0..200 {
            let quota = [Some(1.0), None, Some(2.5), Some(0.3)][round % 4];
            inner.apply_limits(quota, all.clone());
            let lanes = [1, 4, 3, 1][round % 4];
            assert_eq!(system.sensors().lanes, lanes);
            let mut unbound = system.pools().into_iter().filter(|p| p.name == "u0");
            assert_eq!(unbound.next().map(|pool| pool.lanes), Some(lanes));
            for _ in 0..20 {
                let (queue, done) = (queue.clone(), Arc::clone(&done));
                makers.push(system.spawn(async move {
                    for _ in 0..20 {
                        let done = Arc::clone(&done);
                        // Relaxed: a count, read after the flush.
                        drop(queue.spawn(async move { done.fetch_add(1, Ordering::Relaxed) }));
                    }
                }));
            }
        }
        for maker in makers {
            let made = maker.wait_timeout(FOR_EVER).expect("it ends in time");
            made.expect("it does not panic");
        }
        let flushed = queue.flush().wait_timeout(FOR_EVER);
        flushed.expect("all end in time");
        // Relaxed: as above.
        assert_eq!(done.load(Ordering::Relaxed), 200 * 20 * 20);
    }

    /// Chains of items that end with the test, and how many items run, at most ran, and have run.
    #[derive(Default)]
    struct Chains {
        over: AtomicUsize,
        running: AtomicUsize,
        most: AtomicUsize,
        items: AtomicUsize,
    }

    /// An item that spawns its successor on its own lane.
    fn link(queue: crate::Queue, chains: Arc<Chains>) {
        let next = queue.clone();
        // Relaxed: counts; the test waits until they show what it wants.
        drop(queue.spawn_fn(move || {
            let running = chains.running.fetch_add(1, Ordering::Relaxed) + 1;
            chains.most.fetch_max(running, Ordering::Relaxed);
            std::thread::sleep(Duration::from_micros(50));
            chains.running.fetch_sub(1, Ordering::Relaxed);
            chains.items.fetch_add(1, Ordering::Relaxed);
            if chains.over.load(Ordering::Relaxed) == 0 {
                link(next, chains);
            }
        }));
    }

    /// Lanes that are taken out of use come to rest, although each has work that renews itself.
    /// Method: without sensors as many items run at once as there are lanes.
    #[test]
    fn lanes_out_of_use_come_to_rest() {
        let builder = System::builder().sensing(crate::Sensing::Declared);
        let builder = builder.topology(Topology::fake(FakeSpec::new().cores(4)));
        let system = builder.build().expect("a System");
        let chains = Arc::new(Chains::default());
        let own = Topology::detect().allowed().clone();
        if own.count() < 2 || os::set_affinity(0, &own).is_err() {
            eprintln!("SKIPPED: what is queued from one CPU goes to one lane");
            return;
        }
        let queue_from_each_cpu = || {
            for cpu in own.iter() {
                os::set_affinity(0, &CpuSet::from(cpu..cpu + 1)).expect("it is allowed");
                for _ in 0..8 {
                    link(system.default_queue(), Arc::clone(&chains));
                }
            }
            os::set_affinity(0, &own).expect("it worked before");
        };
        queue_from_each_cpu();
        let until = |what: &str, wanted: fn(usize) -> bool| {
            let begun = std::time::Instant::now();
            loop {
                chains.most.store(0, Ordering::Relaxed);
                let goal = chains.items.load(Ordering::Relaxed) + 300;
                while chains.items.load(Ordering::Relaxed) < goal {
                    std::thread::yield_now();
                }
                let most = chains.most.load(Ordering::Relaxed);
                if wanted(most) {
                    return;
                }
                assert!(begun.elapsed().as_secs() < 30, "{what}: {most} at once");
            }
        };
        until("many", |most| most > 1);
        system.inner.apply_limits(Some(1.0), CpuSet::from(0..4));
        until("one", |most| most == 1);
        system.inner.apply_limits(None, CpuSet::from(0..4));
        queue_from_each_cpu();
        until("many again", |most| most > 1);
        chains.over.store(1, Ordering::Relaxed);
    }
}
