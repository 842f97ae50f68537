//! The monitor's look at pools whose lanes stand still for lack of a worker: the kernel's mayday
//! timer.
//!
//! The thread maker calls the rescuers by itself when it is refused a thread. This look is for what
//! it does not see: items that came since, and a maker that is stuck in making a thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::lane::Lane;
use crate::pool::Pool;
use crate::system::SystemInner;

/// A pool that stands still for so long is in distress, ns (kernel: `MAYDAY_INITIAL_TIMEOUT`).
const FIRST_NS: u64 = 10_000_000;
/// Rescuers are called again after this, ns (kernel: `MAYDAY_INTERVAL`).
const AGAIN_NS: u64 = 100_000_000;

/// When rescuers are to be called next, by pool, ns.
#[derive(Debug, Default)]
pub(super) struct Distress(HashMap<u32, u64>);

impl Distress {
    /// Looks at all pools.
    pub(super) fn round(&mut self, system: &SystemInner, pools: &[Arc<Pool>], now_ns: u64) {
        if !system.has_rescuers() {
            self.0.clear();
            return;
        }
        for pool in pools {
            // Relaxed: a count for policy.
            let starves = !pool.attrs.bh
                && pool.nr_idle.load(Ordering::Relaxed) == 0
                && pool.lanes().iter().any(|lane| stands_still(system, lane));
            if !starves {
                self.0.remove(&pool.id);
                continue;
            }
            let first = now_ns.saturating_add(FIRST_NS);
            let due_ns = self.0.entry(pool.id).or_insert(first);
            if now_ns >= *due_ns {
                *due_ns = now_ns.saturating_add(AGAIN_NS);
                pool.distress.set(true);
                system.call_rescuers(pool);
            }
        }
    }
}

/// Whether work waits in a lane that nobody runs, and nobody is about to.
fn stands_still(system: &SystemInner, lane: &Lane) -> bool {
    let view = lane.view();
    if !lane.has_work() || view.is_parked() || view.is_waking() {
        return false;
    }
    let owner_sleeps = || system.look(system.worker(view.worker())).state.is_blocked();
    view.is_vacant() || view.is_blocking() || owner_sleeps()
}
