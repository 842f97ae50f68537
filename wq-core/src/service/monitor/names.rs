//! The monitor's look at workers for people: since when an item runs, and which name the thread of
//! a long one shows.

use std::sync::PoisonError;

use crate::system::SystemInner;
use crate::task::label;
use crate::worker::{InItem, Worker};

/// An item that has run for so long is shown in its thread's name, ns: many times what a name
/// costs.
const SHOWN_AFTER_NS: u64 = 10_000_000;

/// Most threads that are renamed in one round, so that a crowd does not hold it up: some 10 us
/// each.
const MOST_AT_ONCE: usize = 8;

/// Looks at all workers.
pub(super) fn round(system: &SystemInner, now_ns: u64) {
    let mut left = MOST_AT_ONCE;
    for worker in system.records() {
        let Some(seen) = worker.in_item() else {
            if worker.shown.is_named() {
                worker.restore_name();
            }
            continue;
        };
        let lasts_ns = worker.shown.lasts_ns(seen.starts, now_ns);
        let is_named = worker.shown.is_named_after(seen.starts);
        if lasts_ns >= SHOWN_AFTER_NS && !is_named && left > 0 {
            left -= 1;
            name(system, worker, seen);
        } else if !is_named && worker.shown.is_named() {
            worker.restore_name();
        }
    }
}

/// Names a worker's thread after what its item says that it does, else after the name of its task,
/// else after its queue.
fn name(system: &SystemInner, worker: &Worker, seen: InItem) {
    let label = label::peek(seen.item);
    let called = label.and_then(|label| label.description.or(label.name));
    let what = called.map(|what| what.to_string()).or_else(|| {
        let queues = system.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.values().find(|queue| queue.address() == seen.queue);
        queue.map(|queue| queue.get().name.clone())
    });
    if let Some(what) = what {
        worker.name_after(seen.starts, &what);
    }
}
