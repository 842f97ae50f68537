//! BH queues: short closures that never block, first in, first out on each CPU (the kernel's
//! `WQ_BH`).
//!
//! All BH queues of a System share two lists for each CPU, one of high priority and one of normal,
//! and one thread that serves both: the high one first, never one item inside another. The lists
//! are the inboxes of the lanes of two pools, so that an item finds its way there like any other;
//! but nobody owns those lanes, no worker is ever given one, and no sensor hands one on. A lane
//! that got its first entry is kicked, which wakes the thread ([`SystemInner::wake_bh`]).
//!
//! An item that blocks all the same holds up its CPU's list. Who says that it is going to (every
//! wait of this crate does) panics in a debug build, since there is nothing else that this could be
//! than a mistake; in a release build it is counted and told once for each type. Who does not say
//! so is seen by the monitor, if it takes long enough (`service/monitor/bh.rs`).

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use crate::current::Current;
use crate::kind::Kind;
use crate::pool::Pool;
use crate::system::{CpuRecord, SystemInner};
use crate::worker::Worker;

/// Types that are told of: a program that has more BH items of the kind has been told enough.
const MOST_TOLD: usize = 64;

/// Types of items that were told of.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<HashSet<&'static str>>);

impl SystemInner {
    /// Work was brought to a BH lane: wakes its CPU's thread, or (false) asks for one.
    #[cold]
    pub(crate) fn wake_bh(&self, pool: &Pool) -> bool {
        self.poke_monitor();
        let record = &self.cpus[self.ordinal(pool.lanes()[0].cpu)];
        match record.bh.get() {
            Some(worker) => worker.parker.unpark(),
            None => self.request_worker(pool),
        }
        record.bh.get().is_some()
    }

    /// The BH pools of a CPU, the one of high priority first. They are made together.
    pub(crate) fn bh_pools_on(&self, cpu: usize) -> Vec<Arc<Pool>> {
        let places = self.cpus[self.ordinal(cpu)].pools.iter();
        let pools = places.map_while(|place| place.get());
        let mut pools: Vec<_> = pools
            .filter(|(pool, _)| pool.attrs.bh)
            .map(|(pool, _)| Arc::clone(pool))
            .collect();
        pools.sort_by_key(|pool| pool.attrs.nice);
        pools
    }

    /// The item that a CPU's BH worker runs, `starts` by its count, blocks: counts it, once, and
    /// tells of the first of its kind.
    #[cold]
    pub(crate) fn note_bh_blocked(&self, record: &CpuRecord, worker: &Worker, starts: u64) {
        // Relaxed: a statistic; of two that see it at once one counts.
        if record.bh_blocked.swap(starts, Ordering::Relaxed) == starts {
            return;
        }
        self.stats.bh_blocked.raise();
        let name = worker.kind().map_or("an item", Kind::name);
        let is_new = {
            let mut told = self
                .bh_told
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            told.len() < MOST_TOLD && told.insert(name)
        };
        if is_new {
            self.tell(format!(
                "wq: {name} blocks inside a BH queue, and holds up all BH items of its CPU; code \
                 that may block belongs on another kind of queue"
            ));
        }
    }
}

/// The item that runs here says that it is about to block, and is one of a BH queue.
///
/// # Panics
/// In a debug build.
#[cold]
pub(crate) fn about_to_block(current: &Current) {
    let (system, worker) = (&current.system, &current.worker);
    let record = &system.cpus[system.ordinal(current.pool.lanes()[0].cpu)];
    system.note_bh_blocked(record, worker, worker.starts());
    // Not inside a destructor that another panic runs.
    if cfg!(debug_assertions) && !std::thread::panicking() {
        panic!(
            "an item of a BH queue must not block: {} waits; queue it elsewhere",
            worker.kind().map_or("it", Kind::name)
        );
    }
}
