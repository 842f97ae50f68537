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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::current::Current;
use crate::entry::Entry;
use crate::kind::Kind;
use crate::lane::Lane;
use crate::list::List;
use crate::pool::Pool;
use crate::system::{CpuRecord, SystemInner};
use crate::worker::Worker;

/// Types that are told of: a program that has more BH items of the kind has been told enough.
const MOST_TOLD: usize = 64;

/// Types of items that were told of.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<HashSet<&'static str>>);

/// One of the lists that the thread serves.
#[derive(Debug)]
pub(crate) struct Fifo {
    /// What the thread has taken out of the inbox, in order. Not on its stack: what waits behind an
    /// item that never ends is the shutdown's to drop. Nobody runs an item under the lock.
    taken: Mutex<List<Entry>>,
    /// Entries that it gave to the thread, which alone writes it; the count of the thread's record
    /// is one for both lists.
    starts: AtomicU64,
}

impl Fifo {
    /// Nothing was taken out.
    pub(crate) fn new() -> Fifo {
        Fifo {
            taken: Mutex::new(List::new()),
            starts: AtomicU64::new(0),
        }
    }

    /// The list; nothing panics under the lock.
    fn lock(&self) -> MutexGuard<'_, List<Entry>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest entry of a lane, whose list this is.
    pub(crate) fn next(&self, lane: &Lane) -> Option<Entry> {
        let mut taken = self.lock();
        if !lane.inbox.is_empty() {
            for entry in lane.inbox.take_all() {
                taken.push_back(entry);
            }
        }
        let next = taken.pop_front();
        lane.show_waiting(taken.len());
        if next.is_some() {
            // Relaxed: the watchdog compares two looks.
            self.starts.fetch_add(1, Ordering::Relaxed);
        }
        next
    }

    /// Whether nothing is left for the thread, looked at like it does.
    #[cfg(feature = "test-util")]
    pub(crate) fn is_empty(&self, pool: &Pool) -> bool {
        let taken = self.lock();
        taken.is_empty() && pool.lanes()[0].inbox.is_empty()
    }

    /// How many entries it gave to the thread so far.
    pub(crate) fn starts(&self) -> u64 {
        // Relaxed: see `next`.
        self.starts.load(Ordering::Relaxed)
    }

    /// All that was taken out, in place of the thread.
    pub(crate) fn take_all(&self, lane: &Lane) -> List<Entry> {
        let mut taken = self.lock();
        lane.show_waiting(0);
        std::mem::replace(&mut *taken, List::new())
    }
}

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
