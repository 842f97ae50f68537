//! Machines that do not exist, for tests and simulations.

#![forbid(unsafe_code)]

use super::{Partition, Topology};
use crate::cpuset::CpuSet;

/// The shape of a made-up machine: so many of each in each, uniform throughout.
///
/// It starts as one node with one cache, one core and one thread. CPUs are numbered through:
/// the threads of a core are neighbours, then come the next core, cache and node; see
/// [`split_siblings`](FakeSpec::split_siblings) for the other usual way.
///
/// ```
/// use wq_core::{FakeSpec, Topology};
///
/// // Two sockets, two caches each, four cores per cache, two threads per core.
/// let spec = FakeSpec::new().nodes(2).caches(2).cores(4).threads(2);
/// let topology = Topology::fake(spec);
/// assert_eq!(topology.cpus(), 32);
/// assert_eq!(topology.cache(9).to_string(), "8-15");
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct FakeSpec {
    /// NUMA nodes of the machine.
    nodes: usize,
    /// Last-level caches of a node.
    caches: usize,
    /// Cores of a cache.
    cores: usize,
    /// SMT threads of a core.
    threads: usize,
    /// Whether the second threads are numbered behind all first ones.
    split_siblings: bool,
    /// What the process may use; all if not said.
    allowed: Option<CpuSet>,
    /// CPUs' worth of control group quota.
    quota: Option<f64>,
}

impl Default for FakeSpec {
    fn default() -> FakeSpec {
        FakeSpec::new()
    }
}

impl FakeSpec {
    /// A machine with a single CPU.
    ///
    /// ```
    /// use wq_core::{FakeSpec, Topology};
    /// assert_eq!(Topology::fake(FakeSpec::new()).cpus(), 1);
    /// ```
    pub const fn new() -> FakeSpec {
        FakeSpec {
            nodes: 1,
            caches: 1,
            cores: 1,
            threads: 1,
            split_siblings: false,
            allowed: None,
            quota: None,
        }
    }

    /// Sets the number of NUMA nodes.
    ///
    /// ```
    /// use wq_core::{FakeSpec, Topology};
    /// assert_eq!(Topology::fake(FakeSpec::new().nodes(4)).nodes().len(), 4);
    /// ```
    pub fn nodes(self, nodes: usize) -> FakeSpec {
        FakeSpec { nodes, ..self }
    }

    /// Sets the number of last-level caches in each node.
    ///
    /// ```
    /// use wq_core::{FakeSpec, Topology};
    /// assert_eq!(Topology::fake(FakeSpec::new().caches(3)).cpus(), 3);
    /// ```
    pub fn caches(self, caches: usize) -> FakeSpec {
        FakeSpec { caches, ..self }
    }

    /// Sets the number of cores that share each last-level cache.
    ///
    /// ```
    /// use wq_core::{FakeSpec, Topology};
    /// assert_eq!(Topology::fake(FakeSpec::new().cores(8)).cache(0).count(), 8);
    /// ```
    pub fn cores(self, cores: usize) -> FakeSpec {
        FakeSpec { cores, ..self }
    }

    /// Sets the number of SMT threads, each a CPU, of each core.
    ///
    /// ```
    /// use wq_core::{FakeSpec, Topology};
    /// assert_eq!(Topology::fake(FakeSpec::new().threads(2)).smt_siblings(0).count(), 2);
    /// ```
    pub fn threads(self, threads: usize) -> FakeSpec {
        FakeSpec { threads, ..self }
    }

    /// Numbers the first threads of all cores before all second ones, as most firmware does.
    ///
    /// ```
    /// use wq_core::{FakeSpec, Topology};
    /// let topology = Topology::fake(FakeSpec::new().cores(4).threads(2).split_siblings());
    /// assert_eq!(topology.smt_siblings(1).to_string(), "1,5");
    /// ```
    pub fn split_siblings(self) -> FakeSpec {
        FakeSpec {
            split_siblings: true,
            ..self
        }
    }

    /// Lets the process use these CPUs only, as far as they exist.
    ///
    /// ```
    /// use wq_core::{FakeSpec, Topology};
    /// let topology = Topology::fake(FakeSpec::new().cores(8).allowed("2-3".parse().unwrap()));
    /// assert_eq!(topology.cpus(), 2);
    /// ```
    pub fn allowed(self, allowed: CpuSet) -> FakeSpec {
        FakeSpec {
            allowed: Some(allowed),
            ..self
        }
    }

    /// Grants the process this many CPUs' worth of time.
    ///
    /// ```
    /// use wq_core::{FakeSpec, Topology};
    /// let topology = Topology::fake(FakeSpec::new().cores(8).quota(1.5));
    /// assert_eq!(topology.lanes(topology.allowed()), 2);
    /// ```
    pub fn quota(self, quota: f64) -> FakeSpec {
        FakeSpec {
            quota: Some(quota),
            ..self
        }
    }

    /// Makes the machine; see [`Topology::fake`] for the panics.
    pub(super) fn build(self) -> Topology {
        let counts = [self.nodes, self.caches, self.cores, self.threads];
        let cpus = counts
            .into_iter()
            .try_fold(1, usize::checked_mul)
            .unwrap_or(usize::MAX);
        assert!(cpus >= 1, "a machine needs at least one CPU");
        assert!(
            cpus <= CpuSet::MAX_CPUS,
            "a machine has at most {} CPUs",
            CpuSet::MAX_CPUS
        );
        let all = CpuSet::from(0..cpus);
        let allowed = self
            .allowed
            .as_ref()
            .map_or_else(|| all.clone(), |set| set.and(&all));
        assert!(
            !allowed.is_empty(),
            "at least one CPU that exists must be allowed"
        );
        // A CPU's position is its number if siblings are neighbours. All CPUs whose positions
        // fall into the same stretch of `size` make a group.
        let by = |size: usize| {
            let group = |cpu| self.position(cpu, cpus) / size;
            Partition::new(&all, |cpu| {
                all.iter()
                    .filter(|&other| group(other) == group(cpu))
                    .collect()
            })
        };
        let cache = self.threads * self.cores;
        Topology {
            cores: by(self.threads),
            caches: by(cache),
            nodes: by(cache * self.caches),
            quota: self.quota,
            allowed,
        }
    }

    /// Where a CPU stands if the machine is walked through node by node, core by core.
    fn position(&self, cpu: usize, cpus: usize) -> usize {
        if !self.split_siblings {
            return cpu;
        }
        let cores = cpus / self.threads;
        (cpu % cores) * self.threads + cpu / cores
    }
}
