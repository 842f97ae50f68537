//! The monitor's look at BH threads: an item that sleeps there should not have been queued there.
//!
//! A look sees what sleeps at that moment, so that a short block is mostly missed.

use std::sync::atomic::Ordering;

use crate::system::SystemInner;

/// Looks at all CPUs. True: some item runs.
pub(super) fn round(system: &SystemInner) -> bool {
    let mut runs = false;
    for record in &system.cpus {
        let Some(worker) = record.bh.get().filter(|worker| worker.is_in_item()) else {
            continue;
        };
        runs = true;
        let starts = worker.starts();
        // Relaxed: a statistic. Who was counted is not looked at again.
        if record.bh_blocked.load(Ordering::Relaxed) == starts {
            continue;
        }
        let sleeps = system.look(worker).state.is_blocked();
        if sleeps && worker.is_in_item() && worker.starts() == starts {
            system.note_bh_blocked(record, worker, starts);
        }
    }
    runs
}
