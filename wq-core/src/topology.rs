//! Which CPUs there are, which of them this process may use, and which are close to each other.
//!
//! A [`Topology`] is a snapshot: read once from the machine, or made up for tests, and never
//! changed. It groups the CPUs at four levels, each a partition: cores (SMT siblings), last-level
//! caches, NUMA nodes, and the whole system. From these it cuts *pods*, the sets of CPUs that
//! share a worker pool, at any [`AffinityScope`].
//!
//! It is *not* for placing threads (that is `os`), nor does it follow hotplug: whoever notices a
//! change reads a new snapshot.
//!
//! Invariant: at each level every known CPU is in exactly one group, however odd the files were.

#![forbid(unsafe_code)]

mod fake;
mod scope;
mod shard;
mod sysfs;

use std::io;
use std::path::Path;
use std::thread;

use crate::cpuset::CpuSet;
use crate::os;

pub use self::fake::FakeSpec;
pub use self::scope::{AffinityScope, AffinityScopeError};

/// A snapshot of the machine's CPUs, and of this process's share of them.
///
/// Missing information is never an error: a level that cannot be read takes the meaning of the
/// next coarser one (no caches known: the package, then the NUMA node; no nodes known: one node
/// of all CPUs). Only siblings have nothing coarser that would be true: unknown, each CPU is a
/// core of its own.
///
/// ```
/// use wq_core::{AffinityScope, Topology};
///
/// let topology = Topology::detect();
/// for pod in topology.pods(AffinityScope::Cache, topology.allowed()) {
///     println!("CPUs {pod} share a cache; {} run at once", topology.lanes(&pod));
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Topology {
    /// CPUs that are online and that this process may use. Never empty.
    allowed: CpuSet,
    /// CPUs' worth of time that the control groups grant, if limited.
    quota: Option<f64>,
    /// Sets of SMT siblings.
    cores: Partition,
    /// Sets that share a last-level cache.
    caches: Partition,
    /// NUMA nodes that have CPUs.
    nodes: Partition,
}

impl Topology {
    /// Reads the machine: what the calling thread may use of it, and its shape. So a thread that
    /// is pinned gets a smaller answer than its process might.
    ///
    /// ```
    /// assert!(wq_core::Topology::detect().cpus() >= 1);
    /// ```
    pub fn detect() -> Topology {
        Topology::read(Path::new("/"), os::get_affinity(0), os::cgroup_cpu_quota())
    }

    /// Reads a file tree that looks like a machine's below `root`. `allowed` is the affinity mask
    /// or the reason why it is not known; it is capped by what is online.
    fn read(root: &Path, allowed: io::Result<CpuSet>, quota: Option<f64>) -> Topology {
        let online = sysfs::online(root);
        let allowed = match (allowed, &online) {
            (Ok(allowed), Some(online)) if !allowed.and(online).is_empty() => allowed.and(online),
            (Ok(allowed), _) if !allowed.is_empty() => allowed,
            (_, Some(online)) => online.clone(),
            (_, None) => default_cpus(),
        };
        // A CPU that we may use is one, even if the list of those online forgets it.
        let all = online.map_or_else(|| allowed.clone(), |online| online.or(&allowed));
        let nodes = sysfs::nodes(root, &all);
        let caches = sysfs::caches(root, &all, &nodes);
        Topology {
            cores: sysfs::cores(root, &all),
            caches,
            nodes,
            allowed,
            quota,
        }
    }

    /// Makes up a machine, for tests and simulations.
    ///
    /// # Panics
    ///
    /// If the machine would have no CPU or more than 1024, or none of those allowed exists.
    ///
    /// ```
    /// use wq_core::{FakeSpec, Topology};
    ///
    /// let topology = Topology::fake(FakeSpec::new().nodes(2).cores(4).threads(2));
    /// assert_eq!(topology.cpus(), 16);
    /// assert_eq!(topology.nodes()[1].to_string(), "8-15");
    /// ```
    pub fn fake(spec: FakeSpec) -> Topology {
        spec.build()
    }

    /// The CPUs that are online and that this process may use; at least one.
    ///
    /// ```
    /// assert!(!wq_core::Topology::detect().allowed().is_empty());
    /// ```
    pub fn allowed(&self) -> &CpuSet {
        &self.allowed
    }

    /// How many CPUs this process may use; at least 1. The quota is not considered.
    ///
    /// ```
    /// use wq_core::{FakeSpec, Topology};
    /// assert_eq!(Topology::fake(FakeSpec::new().cores(3)).cpus(), 3);
    /// ```
    pub fn cpus(&self) -> usize {
        self.allowed.count()
    }

    /// The CPUs of the core that `cpu` is part of, itself included, allowed or not. Empty if
    /// there is no such CPU.
    ///
    /// ```
    /// use wq_core::{FakeSpec, Topology};
    /// let topology = Topology::fake(FakeSpec::new().cores(4).threads(2));
    /// assert_eq!(topology.smt_siblings(5).to_string(), "4-5");
    /// ```
    pub fn smt_siblings(&self, cpu: usize) -> &CpuSet {
        self.cores.group_of(cpu)
    }

    /// The CPUs that share the last-level cache of `cpu`, itself included, allowed or not. Empty
    /// if there is no such CPU.
    ///
    /// ```
    /// use wq_core::{FakeSpec, Topology};
    /// let topology = Topology::fake(FakeSpec::new().caches(2).cores(4));
    /// assert_eq!(topology.cache(5).to_string(), "4-7");
    /// ```
    pub fn cache(&self, cpu: usize) -> &CpuSet {
        self.caches.group_of(cpu)
    }

    /// The place of the CPU's NUMA node in [`nodes`](Topology::nodes); 0 if there is no such CPU.
    ///
    /// ```
    /// use wq_core::{FakeSpec, Topology};
    /// let topology = Topology::fake(FakeSpec::new().nodes(2).cores(4));
    /// assert_eq!(topology.node(5), 1);
    /// ```
    pub fn node(&self, cpu: usize) -> usize {
        self.nodes.index_of(cpu).unwrap_or(0)
    }

    /// The NUMA nodes that have CPUs, ordered by their lowest one; at least one node. The place
    /// in this list is not the kernel's number of the node, which may leave gaps.
    ///
    /// ```
    /// assert!(!wq_core::Topology::detect().nodes().is_empty());
    /// ```
    pub fn nodes(&self) -> &[CpuSet] {
        &self.nodes.groups
    }

    /// How many CPUs' worth of time the control groups grant to this process, if they limit it.
    ///
    /// ```
    /// use wq_core::{FakeSpec, Topology};
    /// let topology = Topology::fake(FakeSpec::new().cores(8).quota(2.5));
    /// assert_eq!(topology.quota(), Some(2.5));
    /// ```
    pub fn quota(&self) -> Option<f64> {
        self.quota
    }

    /// How many threads make sense at once on the allowed CPUs of a set: one for each, but not
    /// more than the quota rounded up, and at least 1.
    ///
    /// ```
    /// use wq_core::{FakeSpec, Topology};
    /// let topology = Topology::fake(FakeSpec::new().cores(8).quota(2.5));
    /// assert_eq!(topology.lanes(topology.allowed()), 3);
    /// assert_eq!(topology.lanes(&"0-1".parse().unwrap()), 2);
    /// ```
    pub fn lanes(&self, cpus: &CpuSet) -> usize {
        let cpus = self.allowed.and(cpus).count();
        // The cast saturates, so that a quota beyond any number of CPUs is no limit.
        let quota = self.quota.map_or(usize::MAX, |quota| quota.ceil() as usize);
        cpus.min(quota).max(1)
    }

    /// Cuts the allowed CPUs of a set into pods, ordered by their lowest CPU.
    ///
    /// The pods are disjoint, none is empty, and together they are the allowed CPUs of `cpus`. If
    /// none of `cpus` is allowed, there is one pod of all CPUs that are: a queue must run
    /// somewhere. [`AffinityScope::Default`] stands for [`AffinityScope::System`] here.
    ///
    /// ```
    /// use wq_core::{AffinityScope, FakeSpec, Topology};
    /// let topology = Topology::fake(FakeSpec::new().caches(2).cores(2).threads(2));
    /// let pods = topology.pods(AffinityScope::Cache, &"1-5".parse().unwrap());
    /// assert_eq!(pods, ["1-3".parse().unwrap(), "4-5".parse().unwrap()]);
    /// ```
    pub fn pods(&self, scope: AffinityScope, cpus: &CpuSet) -> Vec<CpuSet> {
        let wanted = self.allowed.and(cpus);
        if wanted.is_empty() {
            return vec![self.allowed.clone()];
        }
        let whole_pods = match scope {
            AffinityScope::Cpu => wanted
                .iter()
                .map(|cpu| CpuSet::from(cpu..cpu + 1))
                .collect(),
            AffinityScope::Smt => self.cores.groups.clone(),
            AffinityScope::Cache => self.caches.groups.clone(),
            AffinityScope::CacheShard => {
                let shards = |cache| shard::split(cache, &self.cores.groups);
                self.caches.groups.iter().flat_map(shards).collect()
            }
            AffinityScope::Numa => self.nodes.groups.clone(),
            // A machine has no default; a System has, and asks for that instead.
            AffinityScope::System | AffinityScope::Default => vec![wanted.clone()],
        };
        let mut pods: Vec<CpuSet> = whole_pods.iter().map(|pod| pod.and(&wanted)).collect();
        pods.retain(|pod| !pod.is_empty());
        pods.sort_by_key(CpuSet::first);
        pods
    }
}

/// The CPUs of a machine that tells nothing: as many as the standard library sees.
fn default_cpus() -> CpuSet {
    let count = thread::available_parallelism().map_or(1, usize::from);
    CpuSet::from(0..count.min(CpuSet::MAX_CPUS))
}

/// Sets of CPUs that do not overlap, ordered by their lowest CPU.
#[derive(Debug, Clone, PartialEq)]
struct Partition {
    /// The sets, none of them empty.
    groups: Vec<CpuSet>,
}

/// What a CPU that does not exist is together with.
static NO_CPUS: CpuSet = CpuSet::new();

impl Partition {
    /// Groups all CPUs of `all` by what `group_of` says of each. Where answers contradict each
    /// other, the lowest CPU's stands: a CPU stays in the first group that claimed it.
    fn new(all: &CpuSet, group_of: impl Fn(usize) -> CpuSet) -> Partition {
        let mut groups = Vec::new();
        let mut left = all.clone();
        while let Some(cpu) = left.first() {
            let mut group = group_of(cpu).and(&left);
            group.insert(cpu);
            for member in group.iter() {
                left.remove(member);
            }
            groups.push(group);
        }
        Partition { groups }
    }

    /// The place of the CPU's group.
    fn index_of(&self, cpu: usize) -> Option<usize> {
        self.groups.iter().position(|group| group.contains(cpu))
    }

    /// The CPU's group, empty if there is none.
    fn group_of(&self, cpu: usize) -> &CpuSet {
        self.index_of(cpu)
            .map_or(&NO_CPUS, |index| &self.groups[index])
    }
}

#[cfg(test)]
mod tests;
