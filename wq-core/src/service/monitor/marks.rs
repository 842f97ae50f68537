//! The monitor's look at workers: which item has used its threshold of CPU time by now.
//!
//! By worker and not by lane: an item that burns has mostly lost its lane, or nothing waits behind
//! it. A thread's CPU clock is read when an item is first seen, and again when it could have used
//! the threshold, so that many blocked workers cost little.

use crate::system::SystemInner;
use crate::worker::Worker;

/// What was seen of the item that a worker runs.
#[derive(Clone, Copy, Default, Debug)]
struct Watched {
    /// Which item, by the worker's count.
    starts: u64,
    /// CPU time that counts as before it, ns.
    base_ns: u64,
    /// CPU time at the last look, ns.
    last_ns: u64,
    /// When a look can tell more, ns.
    due_ns: u64,
    /// Nothing more is to be found out: it was marked.
    marked: bool,
    /// There was a second look.
    looked: bool,
    /// It lasts, and had used CPU time between the last two looks, or there was only one.
    moves: bool,
}

/// By number of the worker, less one.
#[derive(Debug, Default)]
pub(super) struct Marks(Vec<Watched>);

impl Marks {
    /// Looks at all workers. True: some item may reach the threshold soon.
    pub(super) fn round(&mut self, system: &SystemInner, now_ns: u64) -> bool {
        let Some(thresh_ns) = system.hogs.knobs.thresh_ns() else {
            self.0.clear();
            return false;
        };
        let mut soon = false;
        for (n, worker) in system.records().enumerate() {
            if n >= self.0.len() {
                self.0.push(Watched::default());
            }
            let watched = &mut self.0[n];
            if worker.is_in_item() {
                watched.look(system, worker, thresh_ns, now_ns);
                soon |= watched.moves && !watched.marked;
            } else {
                *watched = Watched::default();
            }
        }
        soon
    }
}

impl Watched {
    /// Looks at one worker inside an item.
    fn look(&mut self, system: &SystemInner, worker: &Worker, thresh_ns: u64, now_ns: u64) {
        let starts = worker.starts();
        let declared = worker.is_in_block();
        if self.starts != starts {
            let cpu_ns = worker.cpu_ns();
            *self = Watched {
                starts,
                base_ns: cpu_ns,
                last_ns: cpu_ns,
                due_ns: now_ns.saturating_add(thresh_ns),
                marked: worker.is_marked(starts),
                looked: false,
                // Whether it lasts, the next round shows.
                moves: false,
            };
            return;
        }
        if self.marked {
            return;
        }
        if now_ns < self.due_ns && !declared {
            self.moves |= !self.looked;
            return;
        }
        let cpu_ns = worker.cpu_ns();
        self.looked = true;
        self.moves = cpu_ns != self.last_ns && !declared;
        if declared {
            // It said so: what it uses meanwhile does not count.
            self.base_ns += cpu_ns.saturating_sub(self.last_ns);
        }
        self.last_ns = cpu_ns;
        let burnt_ns = cpu_ns.saturating_sub(self.base_ns);
        self.due_ns = now_ns.saturating_add(thresh_ns.saturating_sub(burnt_ns));
        if burnt_ns < thresh_ns || worker.starts() != starts {
            return;
        }
        self.marked = true;
        if let Some(kind) = worker.kind().filter(|_| worker.claim_mark(starts)) {
            system.note_cpu_intensive(kind);
        }
    }
}
