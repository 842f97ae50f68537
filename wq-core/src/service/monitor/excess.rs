//! The monitor's count of workers that run beyond the lanes.
//!
//! A worker that comes back from a block whose lane has another owner finishes its item at once:
//! until then one more runs than there are lanes. Neither the block's end nor the worker tells, so
//! that items pay nothing for the figure; here a sample is taken, and only while somebody is away.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::lane::Lane;
use crate::os::ThreadState;
use crate::pool::Pool;
use crate::proto::owner::{OwnerView, WorkerId};
use crate::system::SystemInner;
use crate::worker::Worker;

/// Time between two samples: at the pace of the rounds they would be most of their cost.
const SAMPLE_EVERY: Duration = Duration::from_millis(5);

/// Workers without a lane that are looked at in one round and pool. Nearly all of them sleep, and
/// a look is a system call: in a crowd of hundreds each round looks at others.
const LOOKS: usize = 16;

/// An item that runs, by its worker's count.
type Item<'a> = (&'a Arc<Worker>, u64);

/// What the rounds remember.
#[derive(Debug, Default)]
pub(super) struct Excess {
    /// The worker without a lane that was looked at last.
    last: WorkerId,
    /// Time since the last sample.
    passed: Duration,
}

impl Excess {
    /// Samples all pools, if it is time; the last round was `passed` ago, 0 if that says nothing.
    pub(super) fn round(&mut self, system: &SystemInner, pools: &[Arc<Pool>], passed: Duration) {
        self.passed += passed;
        if self.passed < SAMPLE_EVERY || !system.sensors.can_see() {
            return;
        }
        let passed = mem::take(&mut self.passed);
        let away = pools.iter().filter(|pool| pool.away() > 0);
        let beyond: usize = away.map(|pool| self.of_pool(system, pool)).sum();
        if beyond > 0 {
            system.stats.note_oversubscribed(beyond, passed);
        }
    }

    /// How many more workers of the pool run than it has lanes in use.
    fn of_pool(&mut self, system: &SystemInner, pool: &Arc<Pool>) -> usize {
        let owns = |id: WorkerId| pool.lanes().iter().any(|lane| lane.view().worker() == id);
        let items = system.records().filter_map(|worker| item_of(worker, pool));
        let mut guests: Vec<Item<'_>> = items.filter(|(worker, _)| !owns(worker.id)).collect();
        let next = guests.partition_point(|(worker, _)| worker.id <= self.last);
        guests.rotate_left(next);
        guests.truncate(LOOKS);
        self.last = guests.last().map_or(0, |(worker, _)| worker.id);
        guests.retain(|(worker, _)| runs(system, worker));
        if guests.is_empty() {
            return 0;
        }
        let views = pool.lanes().iter().map(Lane::view);
        let awake =
            |view: &OwnerView| view.is_running() && runs(system, system.worker(view.worker()));
        let owning = views.filter(awake).count();
        // Nobody gets a lane inside an item: who is in the same one still had none all the time.
        guests.retain(|(worker, starts)| {
            worker.is_in_item() && worker.starts() == *starts && !owns(worker.id)
        });
        (guests.len() + owning).saturating_sub(pool.in_use())
    }
}

/// The item that a worker of the pool is inside, unless that is known to sleep.
fn item_of<'a>(worker: &'a Arc<Worker>, pool: &Arc<Pool>) -> Option<Item<'a>> {
    let starts = worker.starts();
    let inside = worker.is_in_item() && !worker.is_in_block() && worker.is_of(pool);
    inside.then_some((worker, starts))
}

/// Whether the thread is on a CPU or waits for one.
fn runs(system: &SystemInner, worker: &Worker) -> bool {
    system.look(worker).state == ThreadState::Running
}
