//! Work conservation: no CPU is idle while work waits that may run on it.
//!
//! Looked at whenever the machine is at rest, with the engine's own predicate. What the spotter
//! does takes no virtual time; what it leaves to the monitor lasts until the monitor's next
//! rounds, so two bounds are kept: none while the spotter sees, and the monitor's otherwise.

use std::collections::HashMap;
use std::sync::Arc;

use crate::lane::Lane;
use crate::os::ThreadState;
use crate::policy;
use crate::pool::Pool;
use crate::sim::machine::Rest;
use crate::system::SystemInner;

/// What stood still for how long.
#[derive(Debug)]
pub(super) struct Watch {
    system: Arc<SystemInner>,
    /// Whether nobody runs each lane that stands still, and since when, by pool and slot.
    since_ns: HashMap<(u32, usize), (bool, u64)>,
    /// A lane that nobody runs may stand for so long.
    pub(super) unrun_ns: u64,
    /// Work may wait for so long behind a busy lane while another CPU of the pool is idle.
    pub(super) unshared_ns: u64,
}

impl Watch {
    /// Watches a System.
    pub(super) fn new(system: &Arc<SystemInner>, unrun_ns: u64, unshared_ns: u64) -> Watch {
        Watch {
            system: Arc::clone(system),
            since_ns: HashMap::new(),
            unrun_ns,
            unshared_ns,
        }
    }

    /// Looks at all lanes; says which one has stood still for too long.
    pub(super) fn look(&mut self, rest: &Rest<'_>) -> Result<(), String> {
        let pools: Vec<Arc<Pool>> = self.system.lock_pools().clone();
        for pool in &pools {
            let an_idle_cpu = pool
                .attrs
                .cpus
                .iter()
                .any(|cpu| cpu < rest.cpus() && rest.is_idle(cpu));
            for (slot, lane) in pool.lanes().iter().enumerate() {
                let key = (pool.id, slot);
                if !lane.has_work() || !an_idle_cpu || self.waits_for_cpu(lane, rest) {
                    self.since_ns.remove(&key);
                    continue;
                }
                let runs = self.is_run(lane, rest);
                let unrun = policy::need_more_worker(pool.load(true, u32::from(runs)));
                let since = self.since_ns.entry(key).or_insert((unrun, rest.now_ns()));
                if since.0 != unrun {
                    *since = (unrun, rest.now_ns());
                }
                let limit = if unrun {
                    self.unrun_ns
                } else {
                    self.unshared_ns
                };
                let stands_ns = rest.now_ns() - since.1;
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
