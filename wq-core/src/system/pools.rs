//! Finding or making the pool for a set of attributes.

use std::sync::{Arc, MutexGuard, PoisonError};

use crate::CpuSet;
use crate::pool::{HIGHPRI_NICE, Pool, PoolAttrs};

use super::SystemInner;

/// Most pools with a lane on one CPU: each set of attributes costs threads, so a program that
/// needs more has made attributes out of data.
pub(crate) const MAX_POOLS_PER_CPU: usize = 64;

/// Family of the normal per-CPU pools.
const FAMILY_PERCPU: u32 = 0;
/// Family of the high priority per-CPU pools.
const FAMILY_HIGHPRI: u32 = 1;
/// Family of the first unbound pool.
const FAMILY_UNBOUND: u32 = 2;

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
        let nice = if highpri { HIGHPRI_NICE } else { 0 };
        let family = if highpri {
            FAMILY_HIGHPRI
        } else {
            FAMILY_PERCPU
        };
        let mut pools = self.lock_pools();
        self.cpus
            .iter()
            .enumerate()
            .map(|(ordinal, record)| {
                let attrs = PoolAttrs {
                    nice,
                    cpus: record.mask.clone(),
                    percpu: true,
                };
                self.pool_for(&mut pools, attrs, Some(family), ordinal, &[record.cpu])
            })
            .collect()
    }

    /// The unbound pool with these attributes; `cpus` is not empty and a part of those in use.
    pub(crate) fn unbound_pool(&self, nice: i8, cpus: CpuSet) -> Result<Arc<Pool>, TooManyPools> {
        // One for each CPU: a quota that is lifted later finds them.
        let on: Vec<usize> = cpus.iter().take(self.max_lanes.max(1)).collect();
        let mut pools = self.lock_pools();
        self.pool_for(
            &mut pools,
            PoolAttrs {
                nice,
                cpus,
                percpu: false,
            },
            None,
            0,
            &on,
        )
    }

    /// Finds or makes a pool.
    fn pool_for(
        &self,
        pools: &mut Vec<Arc<Pool>>,
        attrs: PoolAttrs,
        family: Option<u32>,
        first: usize,
        on: &[usize],
    ) -> Result<Arc<Pool>, TooManyPools> {
        if let Some(pool) = pools.iter().find(|pool| pool.attrs == attrs) {
            return Ok(Arc::clone(pool));
        }
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
        let family = family.unwrap_or(FAMILY_UNBOUND + id);
        let pool = Pool::new(
            id,
            family,
            attrs,
            first,
            on.iter()
                .map(|cpu| (*cpu, &self.cpus[self.ordinal(*cpu)].armed)),
            self.max_workers,
        );
        let pool = if self.sensors.any() {
            pool
        } else {
            pool.unwatched()
        };
        if !pool.is_percpu() {
            pool.set_in_use(self.lanes_now(&pool.attrs.cpus));
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
