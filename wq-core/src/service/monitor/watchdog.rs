//! The monitor's look at pools in which work waits and nothing starts: the kernel's
//! `wq_watchdog`.
//!
//! By pool: if work waits at two looks and no worker of the pool has started an item in between,
//! work has waited all the time. Each stall is told once, with what the pool's workers are inside
//! of. Blind, as the kernel's, to what waits for a slot of its queue (`System::dump` shows that),
//! and to an item that stands still while others go on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::dump::{self, RunningItem};
use crate::lane::Lane;
use crate::pool::Pool;
use crate::system::SystemInner;

/// There are so many looks in the time that is allowed, so that a stall is told at most this part
/// of it late.
const LOOKS: u64 = 8;

/// Most items that are named; what others there are is counted.
const MOST_NAMED: usize = 8;

/// What was seen of a pool in which work waits.
#[derive(Debug)]
struct Watched {
    /// Items that its workers had started.
    starts: u64,
    /// Since when there have been no more, ns.
    since_ns: u64,
    /// That it stands still was told.
    told: bool,
}

/// Pools in which work waits, by number.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    pools: HashMap<u32, Watched>,
    /// When the last look was, ns.
    looked_ns: u64,
}

impl Watchdog {
    /// Looks at all pools, if it is time.
    pub(super) fn round(&mut self, system: &SystemInner, pools: &[Arc<Pool>], now_ns: u64) {
        let Some(thresh_ns) = system.watchdog.thresh_ns() else {
            return self.pools.clear();
        };
        if now_ns.saturating_sub(self.looked_ns) < thresh_ns / LOOKS {
            return;
        }
        self.looked_ns = now_ns;
        for pool in pools {
            if self.look(system, pool, now_ns, thresh_ns) {
                system.stats.lockups.raise();
                system.tell(line(system, pool, Duration::from_nanos(thresh_ns)));
            }
        }
    }

    /// The whole process has stood still for so long, for which no pool is to blame.
    pub(super) fn excuse(&mut self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        for watched in self.pools.values_mut() {
            watched.since_ns = watched.since_ns.saturating_add(ns);
        }
    }

    /// Looks at one pool. True: it is to be told that it stands still.
    fn look(&mut self, system: &SystemInner, pool: &Pool, now_ns: u64, thresh_ns: u64) -> bool {
        if !pool.lanes().iter().any(Lane::has_work) {
            self.pools.remove(&pool.id);
            return false;
        }
        let starts = starts_in(system, pool);
        let fresh = Watched {
            starts,
            since_ns: now_ns,
            told: false,
        };
        let watched = self.pools.entry(pool.id).or_insert(fresh);
        if watched.starts != starts {
            *watched = Watched {
                starts,
                since_ns: now_ns,
                told: false,
            };
        }
        let is_due = now_ns.saturating_sub(watched.since_ns) >= thresh_ns;
        is_due && !std::mem::replace(&mut watched.told, is_due)
    }
}

/// Items that were started in a pool so far. A BH thread is of one pool, as its record says, and
/// serves another one beside it.
fn starts_in(system: &SystemInner, pool: &Pool) -> u64 {
    if pool.attrs.bh {
        return pool.fifo.starts();
    }
    let workers = system.records().filter(|worker| worker.is_of(pool));
    workers.fold(0, |sum: u64, worker| sum.wrapping_add(worker.starts()))
}

/// What holds up a pool, the oldest first.
fn inside_of(system: &SystemInner, pool: &Pool) -> Vec<RunningItem> {
    if !pool.attrs.bh {
        return dump::running_in(system, pool);
    }
    // One thread for several pools, which is of one of them.
    let pools = system.bh_pools_on(pool.lanes()[0].cpu);
    let items = pools.iter().flat_map(|pool| dump::running_in(system, pool));
    items.collect()
}

/// The report: which pool, how many workers, and what they are inside of, the oldest first.
fn line(system: &SystemInner, pool: &Pool, thresh: Duration) -> String {
    let (tag, name) = (&system.tag, pool.label());
    let (lanes, bound) = (pool.lanes(), pool.bound);
    let waiting = lanes.iter().filter(|lane| lane.has_work()).count();
    let lanes = lanes.len();
    // Relaxed: counts for people.
    let workers = pool.nr_workers.load(Ordering::Relaxed);
    let idle = pool.nr_idle.load(Ordering::Relaxed);
    let items = inside_of(system, pool);
    let mut inside: Vec<String> = items
        .iter()
        .take(MOST_NAMED)
        .map(ToString::to_string)
        .collect();
    match items.len().saturating_sub(MOST_NAMED) {
        0 if items.is_empty() => inside.push("no item".to_owned()),
        0 => {}
        others => inside.push(format!("{others} more")),
    }
    format!(
        "wq: pool {tag}/{name} has started nothing for {thresh:?}, though work waits in {waiting} \
         of its {lanes} lanes. It has {workers} workers ({idle} to spare, bound: {bound}), inside \
         of: {}",
        inside.join("; ")
    )
}
