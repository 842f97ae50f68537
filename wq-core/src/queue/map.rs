//! Which pool serves an item: the kernel's table of `pool_workqueue`s, a slot for each CPU.
//!
//! A map never changes. A queue whose attributes change gets another one, by one store, so that
//! whoever queues meanwhile sees the old attributes or the new ones and nothing between. Equal maps
//! are one map, kept by their System as long as it lives (as its pools are): their number is that
//! of the different attributes, each of which costs pools, which are bounded.
//!
//! Not for the lane within the pool: that is `route`'s business.

#![forbid(unsafe_code)]

use crate::sync::plain::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use crate::CpuSet;
use crate::os;
use crate::pool::Pool;
use crate::system::SystemInner;
use crate::system::pools::TooManyPools;

/// The pools of a queue by CPU.
#[derive(Debug)]
pub(crate) struct PoolMap {
    /// The pool for every CPU, if it is the same one.
    sole: Option<Arc<Pool>>,
    /// The pools, each once. Of an unbound queue the first is the default: the one of all its CPUs.
    pools: Box<[Arc<Pool>]>,
    /// The place in `pools` for a CPU's ordinal.
    by_cpu: Box<[u16]>,
    /// Ordinals over which items are spread that come from a CPU outside of them; empty if no CPU
    /// is.
    spread: Box<[usize]>,
    /// Whose turn it is.
    next: AtomicUsize,
}

impl PartialEq for PoolMap {
    fn eq(&self, other: &PoolMap) -> bool {
        let same = |(a, b): (&Arc<Pool>, &Arc<Pool>)| Arc::ptr_eq(a, b);
        self.pools.len() == other.pools.len()
            && self.pools.iter().zip(&other.pools).all(same)
            && self.by_cpu == other.by_cpu
            && self.spread == other.spread
    }
}

impl PoolMap {
    /// One pool for each CPU in use, in their order.
    pub(crate) fn percpu(pools: Box<[Arc<Pool>]>) -> PoolMap {
        let by_cpu = (0..pools.len() as u16).collect();
        PoolMap::new(pools, by_cpu, Box::default())
    }

    /// These pools, the default one first; `by_cpu` says which of them serves which CPU, and
    /// `spread` where items go that come from outside of it.
    pub(crate) fn unbound(
        pools: Box<[Arc<Pool>]>,
        by_cpu: Box<[u16]>,
        spread: Box<[usize]>,
    ) -> PoolMap {
        PoolMap::new(pools, by_cpu, spread)
    }

    /// A map.
    fn new(pools: Box<[Arc<Pool>]>, by_cpu: Box<[u16]>, spread: Box<[usize]>) -> PoolMap {
        let first = by_cpu[0];
        let is_one = by_cpu.iter().all(|place| *place == first);
        PoolMap {
            sole: is_one.then(|| Arc::clone(&pools[usize::from(first)])),
            pools,
            by_cpu,
            spread,
            next: AtomicUsize::new(0),
        }
    }

    /// The pool for an item whose home is the CPU with this ordinal.
    #[inline(always)]
    pub(crate) fn pool(&self, home: usize) -> &Arc<Pool> {
        match &self.sole {
            Some(pool) => pool,
            None => self.look_up(home),
        }
    }

    /// See [`PoolMap::pool`]. Out of line, so that the hot path is short where there is one pool.
    #[inline(never)]
    fn look_up(&self, home: usize) -> &Arc<Pool> {
        &self.pools[usize::from(self.by_cpu[home % self.by_cpu.len()])]
    }

    /// The pools that some CPU has.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        let used = |place: &usize| self.by_cpu.contains(&(*place as u16));
        (0..self.pools.len())
            .filter(used)
            .map(|place| &self.pools[place])
    }

    /// All CPUs of an unbound queue.
    pub(crate) fn all_cpus(&self) -> &CpuSet {
        &self.pools[0].attrs.pod
    }

    /// The pool of all of an unbound queue's CPUs.
    #[cfg(test)]
    pub(crate) fn default_pool(&self) -> &Arc<Pool> {
        &self.pools[0]
    }

    /// The home of an item that is queued here, on no CPU of the caller's choice.
    #[inline(always)]
    pub(crate) fn home_here(&self, system: &SystemInner) -> usize {
        if self.sole.is_some() {
            0
        } else {
            self.choose_home(system)
        }
    }

    /// The caller's CPU; or, if unbound items are kept off that, the next of the others.
    #[inline(never)]
    fn choose_home(&self, system: &SystemInner) -> usize {
        let cpu = os::current_cpu();
        let here = system.ordinal(cpu);
        if self.spread.is_empty()
            || (system.cpus[here].cpu == cpu && self.spread.binary_search(&here).is_ok())
        {
            return here;
        }
        // Relaxed: any order will do.
        self.spread[self.next.fetch_add(1, Ordering::Relaxed) % self.spread.len()]
    }
}

/// What an unbound queue's pools are made after.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MapSpec {
    /// Nice value of the workers.
    pub(crate) nice: i8,
    /// CPUs of the queue, those that all unbound items are kept off left out; not empty.
    pub(crate) cpus: CpuSet,
    /// What each CPU shares a pool with, in the order of ordinals, be it of `cpus` or not.
    pub(crate) pods: Vec<CpuSet>,
    /// Whether workers stay in their pod.
    pub(crate) strict: bool,
    /// CPUs that unbound items may use.
    pub(crate) unbound: CpuSet,
}

impl MapSpec {
    /// The CPUs that each CPU's pool is for. A pod of which nothing is left is the whole queue.
    fn pods(&self, allowed: &CpuSet) -> Vec<CpuSet> {
        let cut = |pod: &CpuSet| {
            let mine = pod.and(&self.cpus);
            if mine.and(allowed).is_empty() {
                self.cpus.clone()
            } else {
                mine
            }
        };
        self.pods.iter().map(cut).collect()
    }
}

impl SystemInner {
    /// The one map that equals this one.
    pub(crate) fn intern_map(&self, map: PoolMap) -> Arc<PoolMap> {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = maps.iter().find(|known| ***known == map) {
            return Arc::clone(same);
        }
        let map = Arc::new(map);
        maps.push(Arc::clone(&map));
        map
    }

    /// The map of the System's default queue, for one with the same attributes. There may be no
    /// room for the pools that they lead to now: then that queue has kept the map that it had, too.
    ///
    /// # Errors
    /// As given, if there is no such queue yet.
    pub(crate) fn default_map(&self, full: TooManyPools) -> Result<Arc<PoolMap>, TooManyPools> {
        let default = self.own.get().ok_or(full)?.default;
        let maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        let map = default.get().map();
        let kept = maps.iter().find(|kept| std::ptr::eq(&***kept, map));
        kept.cloned().ok_or(full)
    }

    /// The map of the per-CPU pools.
    pub(crate) fn percpu_map(&self, highpri: bool) -> Result<Arc<PoolMap>, TooManyPools> {
        Ok(self.intern_map(PoolMap::percpu(self.percpu_pools(highpri)?)))
    }

    /// The map of BH queues.
    pub(crate) fn bh_map(&self, highpri: bool) -> Result<Arc<PoolMap>, TooManyPools> {
        Ok(self.intern_map(PoolMap::percpu(self.bh_pools(highpri)?)))
    }

    /// The map after `spec`, on the CPUs that may be used now. Its pools are found or made; none is
    /// in use before a queue has the map.
    pub(crate) fn unbound_map(&self, spec: &MapSpec) -> Result<Arc<PoolMap>, TooManyPools> {
        let allowed = self.limits.now().allowed;
        let by_ordinal = spec.pods(&allowed);
        let mut pods = vec![spec.cpus.clone()];
        for pod in &by_ordinal {
            if !pods.contains(pod) {
                pods.push(pod.clone());
            }
        }
        let place = |pod: &CpuSet| pods.iter().position(|known| known == pod);
        let places = by_ordinal.iter().map(|pod| place(pod).unwrap_or(0) as u16);
        let by_cpu = places.collect();
        let pools = self.unbound_pools(spec, &pods)?;
        let ordinals = 0..self.cpus.len();
        let inside = |ordinal: &usize| spec.unbound.contains(self.cpus[*ordinal].cpu);
        let spread: Box<[usize]> = ordinals.filter(inside).collect();
        let spread = if spread.len() == self.cpus.len() {
            Box::default()
        } else {
            spread
        };
        Ok(self.intern_map(PoolMap::unbound(pools, by_cpu, spread)))
    }
}
