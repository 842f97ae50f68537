//! The life of a CPU's BH thread: see `bh.rs` for what it is there for.

use std::sync::Arc;

use crate::current::{Current, Role};
use crate::entry::Entry;
use crate::lane::Lane;
use crate::list::List;
use crate::pool::Pool;
use crate::system::SystemInner;
use crate::worker::Worker;

use super::{poll, set_up, settle_without_lane};

/// What waits in one of the lists, taken out of its inbox.
struct Fifo<'a> {
    lane: &'a Lane,
    taken: List<Entry>,
}

impl Fifo<'_> {
    /// The oldest entry.
    fn next(&mut self) -> Option<Entry> {
        if !self.lane.inbox.is_empty() {
            for entry in self.lane.inbox.take_all() {
                self.taken.push_back(entry);
            }
        }
        let next = self.taken.pop_front();
        self.lane.show_waiting(self.taken.len());
        next
    }
}

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
    let fifo = |pool| {
        let pool: &Arc<Pool> = pool;
        let lane = &pool.lanes()[0];
        let taken = List::new();
        Fifo { lane, taken }
    };
    let mut fifos: Vec<Fifo<'_>> = pools.iter().map(fifo).collect();
    loop {
        let next = fifos.iter_mut().find_map(|fifo| {
            let entry = fifo.next()?;
            Some((fifo.lane, entry))
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
