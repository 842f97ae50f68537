//! The life of a CPU's BH thread: see `bh.rs` for what it is there for.

use std::sync::Arc;

use crate::current::{Current, Role};
use crate::pool::Pool;
use crate::system::SystemInner;
use crate::worker::Worker;

use super::{poll, set_up, settle_without_lane};

/// The body of the thread. `pool` is one of the two that it serves.
pub(crate) fn bh_main(system: Arc<SystemInner>, pool: Arc<Pool>, worker: Arc<Worker>) {
    worker.adopt_thread();
    let pools = system.bh_pools_on(pool.lanes()[0].cpu);
    set_up(&system, &pools[0]);
    Current::uncounted(system, pool, worker).enter(|current| {
        current.role.set(Role::Bh);
        current.system.thread_hooks.run();
        serve(current, &pools);
        current.worker.abandon_thread();
        current.system.note_thread_gone();
    });
}

/// Runs what comes, the first list first, until the System stops.
fn serve(current: &Current, pools: &[Arc<Pool>]) {
    loop {
        let next = pools.iter().find_map(|pool| {
            let lane = &pool.lanes()[0];
            let entry = pool.fifo.next(lane)?;
            Some((lane, entry))
        });
        let Some((lane, entry)) = next else {
            if current.system.is_stopped() {
                return;
            }
            current.worker.restore_name();
            current.worker.parker.park(None);
            continue;
        };
        entry.meta().begin_poll_of_stretch();
        let mut ended = poll(current, lane, entry);
        settle_without_lane(current, &mut ended);
    }
}
