//! Finding or making the pool for a set of attributes.

use std::sync::{Arc, MutexGuard, PoisonError};

use crate::CpuSet;
use crate::pool::{Family, HIGHPRI_NICE, LanePlace, Pool, PoolAttrs};
use crate::queue::limit::{Charge, MAX_CHARGES};
use crate::queue::map::MapSpec;

use super::SystemInner;

/// Most pools with a lane on one CPU: each set of attributes costs threads, so a program that
/// needs more has made attributes out of data.
pub(crate) const MAX_POOLS_PER_CPU: usize = 64;

/// Family of the normal per-CPU pools.
const FAMILY_PERCPU: u32 = 0;
/// Family of the high priority per-CPU pools.
const FAMILY_HIGHPRI: u32 = 1;
/// Family of the BH pools.
const FAMILY_BH: u32 = 2;
/// Family of the BH pools of high priority.
const FAMILY_BH_HIGHPRI: u32 = 3;
/// Family of the first unbound pool.
const FAMILY_UNBOUND: u32 = 4;

/// There are too many pools.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooManyPools;

impl SystemInner {
    /// Locks the pools; nothing panics under the lock.
    pub(crate) fn lock_pools(&self) -> MutexGuard<'_, Vec<Arc<Pool>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The per-CPU pools, one for each CPU in use.
    pub(crate) fn percpu_pools(&self, highpri: bool) -> Result<Box<[Arc<Pool>]>, TooManyPools> {
        self.pools_of(highpri, false)
    }

    /// The BH pools of one of the two priorities, one for each CPU in use. Those of the other one
    /// are there as well: a thread serves both.
    pub(crate) fn bh_pools(&self, highpri: bool) -> Result<Box<[Arc<Pool>]>, TooManyPools> {
        self.pools_of(!highpri, true)?;
        self.pools_of(highpri, true)
    }

    /// A pool for each CPU in use.
    fn pools_of(&self, highpri: bool, bh: bool) -> Result<Box<[Arc<Pool>]>, TooManyPools> {
        let nice = if highpri { HIGHPRI_NICE } else { 0 };
        let family = match (bh, highpri) {
            (false, false) => FAMILY_PERCPU,
            (false, true) => FAMILY_HIGHPRI,
            (true, false) => FAMILY_BH,
            (true, true) => FAMILY_BH_HIGHPRI,
        };
        let mut pools = self.lock_pools();
        self.cpus
            .iter()
            .enumerate()
            .map(|(ordinal, record)| {
                let attrs = PoolAttrs {
                    nice,
                    cpus: record.mask.clone(),
                    pod: record.mask.clone(),
                    strict: false,
                    percpu: true,
                    bh,
                };
                let family = Family {
                    id: family,
                    first: ordinal,
                    lanes: self.cpus.len(),
                };
                self.pool_for(&mut pools, attrs, family)
            })
            .collect()
    }

    /// The unbound pools for these pods, the first of which is all of the queue's CPUs. None is
    /// empty, and all are of CPUs in use.
    pub(crate) fn unbound_pools(
        &self,
        spec: &MapSpec,
        pods: &[CpuSet],
    ) -> Result<Box<[Arc<Pool>]>, TooManyPools> {
        let attrs = |pod: &CpuSet| PoolAttrs {
            nice: spec.nice,
            cpus: if spec.strict { pod } else { &spec.cpus }.clone(),
            pod: pod.clone(),
            strict: spec.strict,
            percpu: false,
            bh: false,
        };
        let mut pools = self.lock_pools();
        let mut found = Vec::with_capacity(pods.len());
        let alone = |pools: &[Arc<Pool>], lanes| Family {
            id: FAMILY_UNBOUND + pools.len() as u32,
            first: 0,
            lanes,
        };
        let family = alone(&pools, self.lanes_of(&pods[0]));
        found.push(self.pool_for(&mut pools, attrs(&pods[0]), family)?);
        // The pods do not overlap: one queue's counters have room for the lanes of all of them.
        let lanes = pods[1..].iter().map(|pod| self.lanes_of(pod)).sum();
        let mut family = alone(&pools, lanes);
        for pod in &pods[1..] {
            found.push(self.pool_for(&mut pools, attrs(pod), family)?);
            family.first += self.lanes_of(pod);
        }
        Ok(found.into())
    }

    /// How many lanes an unbound pool has for this pod: one for each CPU, since a quota that is
    /// lifted later is to find them.
    fn lanes_of(&self, pod: &CpuSet) -> usize {
        pod.count().min(self.max_lanes.max(1))
    }

    /// What items of a pool with these attributes charge their slots to.
    fn charge_of(&self, attrs: &PoolAttrs) -> Charge {
        let nodes = self.topology.nodes();
        if attrs.percpu || nodes.len() == 1 {
            return 0;
        }
        let inside = |node: &CpuSet| attrs.pod.and(node) == attrs.pod;
        let charge = nodes.iter().position(inside).map_or(0, |node| node + 1);
        if charge < MAX_CHARGES {
            charge as Charge
        } else {
            0
        }
    }

    /// Finds or makes a pool.
    fn pool_for(
        &self,
        pools: &mut Vec<Arc<Pool>>,
        attrs: PoolAttrs,
        family: Family,
    ) -> Result<Arc<Pool>, TooManyPools> {
        if let Some(pool) = pools.iter().find(|pool| pool.attrs == attrs) {
            return Ok(Arc::clone(pool));
        }
        let on: Vec<usize> = attrs.pod.iter().take(self.lanes_of(&attrs.pod)).collect();
        let full = |cpu: &usize| {
            self.cpus[self.ordinal(*cpu)]
                .pools
                .last()
                .is_none_or(|last| last.get().is_some())
        };
        if on.iter().any(full) {
            return Err(TooManyPools);
        }
        let id = pools.len() as u32;
        let places = on.iter().map(|&cpu| {
            let ordinal = self.ordinal(cpu);
            let armed = &self.cpus[ordinal].armed;
            LanePlace {
                cpu,
                ordinal,
                armed,
            }
        });
        let charge = self.charge_of(&attrs);
        let pool = Pool::new(id, family, attrs, charge, places, self.max_workers);
        let pool = if self.sensors.any() {
            pool
        } else {
            pool.unwatched()
        };
        if !pool.is_percpu() {
            pool.set_in_use(self.lanes_now(&pool.attrs.pod));
        }
        pool.mask.store(&self.usable(&pool.attrs.cpus));
        let pool = Arc::new(pool);
        for (slot, cpu) in on.iter().enumerate() {
            let places = &self.cpus[self.ordinal(*cpu)].pools;
            let free = places.iter().find(|place| place.get().is_none());
            if let Some(place) = free {
                let _ = place.set((Arc::clone(&pool), slot));
            }
        }
        pools.push(Arc::clone(&pool));
        Ok(pool)
    }
}
