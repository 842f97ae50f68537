//! Work conservation: no CPU is idle while work waits that may run on it.
//!
//! Looked at whenever the machine is at rest, with the engine's own predicate. What the spotter
//! does takes no virtual time; what it leaves to the monitor lasts until the monitor's next
//! rounds, so two bounds are kept: none while the spotter sees, and the monitor's otherwise.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::lane::Lane;
use crate::os::ThreadState;
use crate::policy;
use crate::pool::Pool;
use crate::proto::owner::WorkerId;
use crate::sim::machine::Rest;
use crate::system::SystemInner;

use super::world::World;

/// A lane in which work waits while a CPU is idle.
#[derive(Clone, Copy, Debug)]
struct Still {
    /// Nobody runs it.
    unrun: bool,
    since_ns: u64,
    /// Its owner, and the items that it had begun then.
    starts: (WorkerId, u64),
}

/// What stood still for how long.
#[derive(Debug)]
pub(super) struct Watch {
    system: Arc<SystemInner>,
    /// Until when threads may be missing, ns: as long as that nothing is promised.
    distress_until_ns: Arc<AtomicU64>,
    /// CPUs are away: their scheduler's work is not the engine's.
    astray: Arc<AtomicBool>,
    /// Each lane that stands still, by pool and slot.
    still: HashMap<(u32, usize), Still>,
}

/// A lane that nobody runs although a CPU is free may stand for so long, ns: mostly the spotter is
/// there at once, but when it naps after fruitless looks the monitor comes, after 10 ms at most.
const UNRUN_NS: u64 = 12_000_000;
/// The same where the pool has all the workers that it may have, and all block: it gets one more
/// when nothing has ended for 100 ms, and the longest blocks of the plans end sooner.
const AT_BOUND_NS: u64 = 250_000_000;
/// Work may wait for so long behind a busy lane while another CPU is free, ns. Behind an item that
/// does not end: the monitor comes after 10 ms at the latest, wants to see 1 ms burnt, and may need
/// a new worker, each with a round of its own. Behind many that end within 1 ms: the owner looks at
/// the clock once in sixteen, and gives half away at the next look.
const UNSHARED_NS: u64 = 15_000_000;

impl Watch {
    /// Watches the System of a world.
    pub(super) fn new(world: &World) -> Watch {
        Watch {
            system: Arc::clone(&world.system),
            distress_until_ns: Arc::clone(&world.distress_until_ns),
            astray: Arc::clone(&world.astray),
            still: HashMap::new(),
        }
    }

    /// Looks at all lanes; says which one has stood still for too long.
    pub(super) fn look(&mut self, rest: &Rest<'_>) -> Result<(), String> {
        // Relaxed, both: one thread of the machine runs at a time.
        let in_distress = rest.now_ns() < self.distress_until_ns.load(Ordering::Relaxed);
        if in_distress || self.astray.load(Ordering::Relaxed) {
            self.still.clear();
            return Ok(());
        }
        let pools: Vec<Arc<Pool>> = self.system.lock_pools().clone();
        for pool in &pools {
            let an_idle_cpu = pool
                .attrs
                .cpus
                .iter()
                .any(|cpu| cpu < rest.cpus() && rest.is_idle(cpu));
            let mut in_use = pool.lanes()[..pool.in_use()].iter();
            let a_free_lane = in_use.any(|lane| !lane.view().is_running());
            for (slot, lane) in pool.lanes().iter().enumerate() {
                let key = (pool.id, slot);
                if !lane.has_work() || !an_idle_cpu || self.waits_for_cpu(lane, rest) {
                    self.still.remove(&key);
                    continue;
                }
                let runs = self.is_run(lane, rest);
                let unrun = policy::need_more_worker(pool.load(true, u32::from(runs)));
                let now = Still {
                    unrun,
                    since_ns: rest.now_ns(),
                    starts: self.starts(lane),
                };
                let still = self.still.entry(key).or_insert(now);
                // One that waits behind one that runs is the next one; behind it another may wait.
                let nobody_could_help = lane.waiting() <= 1 || !a_free_lane;
                // A lane that is handed on at each item is shared by nobody: its owners look at the
                // clock when their items end, and have lost it by then.
                let handed_on = still.starts.0 != now.starts.0;
                let moves = still.starts != now.starts && nobody_could_help || handed_on;
                if still.unrun != unrun || moves {
                    *still = now;
                }
                // Relaxed: one thread of the machine runs at a time.
                let at_bound = pool.nr_workers.load(Ordering::Relaxed) >= pool.bound;
                let limit = match (unrun, at_bound) {
                    (true, true) => AT_BOUND_NS,
                    (true, false) => UNRUN_NS,
                    (false, _) => UNSHARED_NS,
                };
                let stands_ns = rest.now_ns() - still.since_ns;
                if stands_ns > limit {
                    let label = pool.label();
                    return Err(format!(
                        "work waits for {stands_ns} ns in lane {slot} of pool {label} while a CPU \
                         is idle (unrun: {unrun}, owner: {:?})",
                        lane.view()
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether the lane's owner was woken and waits for the CPU on which it was placed: without
    /// slices that may last, and it is the scheduler's business.
    fn waits_for_cpu(&self, lane: &Lane, rest: &Rest<'_>) -> bool {
        let view = lane.view();
        let tid = || self.system.worker(view.worker()).tid();
        !view.is_vacant() && tid().is_some_and(|tid| rest.waits_for_cpu(tid))
    }

    /// The lane's owner, 0 for none, and the items that it has begun.
    fn starts(&self, lane: &Lane) -> (WorkerId, u64) {
        let view = lane.view();
        let owner = (!view.is_vacant()).then(|| self.system.worker(view.worker()));
        owner.map_or((0, 0), |owner| (owner.id, owner.starts()))
    }

    /// Whether the lane's owner is a thread that runs, or waits for its CPU.
    fn is_run(&self, lane: &Lane, rest: &Rest<'_>) -> bool {
        let view = lane.view();
        if !view.is_running() {
            return false;
        }
        let tid = self.system.worker(view.worker()).tid();
        tid.is_some_and(|tid| rest.state_of(tid) == ThreadState::Running)
    }
}
