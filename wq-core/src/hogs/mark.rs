//! An item is CPU intensive: marked once for each stretch between two suspensions, counted, and
//! now and then reported.

use crate::current::{Current, Why};
use crate::kind::Kind;
use crate::system::SystemInner;

use super::stretch::{Cost, MOST_OF_THRESH};
use super::table::{Counted, is_report_due};

/// The present poll of an item of this kind is about to end, and it is known what it cost: keeps
/// in mind, or forgets in time, that such items burn, and marks the item if its time is up.
pub(crate) fn judge(current: &Current, kind: &'static Kind, cost: Cost, why: Why) {
    remember(current, kind, cost, why);
    let Some(thresh_ns) = current.system.hogs.knobs.thresh_ns() else {
        return;
    };
    let worker = &current.worker;
    let Some(meta) = current.meta().filter(|_| !current.measure.has_declared()) else {
        return;
    };
    let ns = match why {
        Why::Sampled => {
            let all = cost.ns.saturating_mul(u64::from(cost.speaks_for));
            all.min(cost.ns.max(thresh_ns / MOST_OF_THRESH))
        }
        Why::Known | Why::StoodStill => cost.ns,
    };
    if meta.add_burnt(ns) >= thresh_ns && !meta.is_marked() {
        meta.set_marked();
        // The monitor may have been faster.
        if worker.claim_mark(worker.starts()) {
            current.system.note_cpu_intensive(kind);
        }
    }
}

/// Keeps in mind what is known by single polls; rows of yields hold up nobody.
fn remember(current: &Current, kind: &'static Kind, cost: Cost, why: Why) {
    let hogs = &current.system.hogs;
    let Some(known_from_ns) = hogs.knobs.known_from_ns(current.pool.is_percpu()) else {
        return;
    };
    // Who used little may have stood still for want of a CPU, and is no burner that behaves.
    let burnt = cost.ns >= known_from_ns;
    if why == Why::Known || (why == Why::StoodStill && burnt) {
        hogs.memory.note(kind, burnt);
        if let Some(meta) = current.meta() {
            meta.note_burning(burnt);
        }
    }
}

impl SystemInner {
    /// An item of this kind has used its threshold of CPU time. The caller has claimed the mark,
    /// and holds no lock.
    #[cold]
    pub(crate) fn note_cpu_intensive(&self, kind: &'static Kind) {
        self.stats.cpu_intensive.raise();
        let settings = self.hogs.knobs.get();
        match self.hogs.table.count(kind) {
            Counted::Kind(hog) if is_report_due(hog.times, settings.warning_thresh) => {
                self.tell(format!(
                    "wq: {} hogged a CPU for more than {:?}, {} times so far; others had to share \
                     it: consider smaller pieces",
                    hog.name, settings.cpu_intensive_thresh, hog.times
                ));
            }
            Counted::FirstWithoutRoom if settings.warning_thresh != 0 => {
                self.tell(
                    "wq: too many types of items hog the CPU; further ones are counted together"
                        .to_owned(),
                );
            }
            Counted::Kind(_) | Counted::FirstWithoutRoom | Counted::WithoutRoom => {}
        }
    }
}
