//! What people are shown of a worker's item from outside: for how long it runs, and its name on the
//! thread.
//!
//! Workers read no clock for it. The monitor notes when it first sees an item, and writes what a
//! long one does behind the thread's name; the worker takes that back before it sleeps, the monitor
//! when it sees that the item is over. All of it is for people: a look may be late or wrong by one
//! item, and nothing else depends on it.

use crate::sync::plain::{AtomicU64, Ordering};

use crate::os;
use crate::task::label::first_bytes;

use super::Worker;

/// Bytes of a thread's name that the kernel keeps.
const MAX_NAME: usize = 15;

/// What was noted.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The item that was seen last, by the worker's count.
    item: AtomicU64,
    /// When it was first seen, ns.
    since_ns: AtomicU64,
    /// The item after which the thread is named, by the same count; 0 for none.
    named: AtomicU64,
}

impl Shown {
    /// Nothing was seen.
    pub(crate) fn new() -> Shown {
        Shown {
            item: AtomicU64::new(0),
            since_ns: AtomicU64::new(0),
            named: AtomicU64::new(0),
        }
    }

    /// A look at an item: for how long it is known to run, ns.
    pub(crate) fn lasts_ns(&self, starts: u64, now_ns: u64) -> u64 {
        // Relaxed, also below: for people; of two that look at once one notes the time.
        if self.item.load(Ordering::Relaxed) != starts {
            self.since_ns.store(now_ns, Ordering::Relaxed);
            self.item.store(starts, Ordering::Relaxed);
        }
        now_ns.saturating_sub(self.since_ns.load(Ordering::Relaxed))
    }

    /// Whether the thread is named after some item.
    pub(crate) fn is_named(&self) -> bool {
        self.named.load(Ordering::Relaxed) != 0
    }

    /// Whether the thread is named after this item.
    pub(crate) fn is_named_after(&self, starts: u64) -> bool {
        self.named.load(Ordering::Relaxed) == starts
    }
}

impl Worker {
    /// Names the thread after what its item does, until that is over.
    pub(crate) fn name_after(&self, starts: u64, what: &str) {
        let Some(tid) = self.tid() else {
            return;
        };
        // Relaxed: see `Shown`. Before the name: who finds the item over takes it back.
        self.shown.named.store(starts, Ordering::Relaxed);
        let name = format!("{}+{what}", self.name());
        // A refusal leaves the name as it is, here and below.
        let _ = os::set_thread_name(tid, first_bytes(&name, MAX_NAME));
        if self.starts() != starts || !self.is_in_item() {
            self.restore_name();
        }
    }

    /// The thread has its own name again, if it was named after an item.
    pub(crate) fn restore_name(&self) {
        // Relaxed: see `Shown`.
        if self.shown.is_named() && self.shown.named.swap(0, Ordering::Relaxed) != 0 {
            if let Some(tid) = self.tid() {
                let _ = os::set_thread_name(tid, first_bytes(&self.name(), MAX_NAME));
            }
        }
    }
}
