//! What the System tells people on standard error.
//!
//! Whoever has something to say may be a sensor that others wait for, and standard error may be a
//! full pipe, or locked by a task that is blocked. So a line is put down here, and a thread that
//! serves nothing else writes it. What is still there at the end the shutdown writes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::os;
use crate::system::SystemInner;

/// Lines that wait at most; while standard error takes none, later ones are lost.
const MAX_WAITING: usize = 64;

impl SystemInner {
    /// Has a line written on standard error. Waits for nobody.
    pub(crate) fn tell(&self, line: String) {
        let mut lines = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < MAX_WAITING {
            lines.push(line);
        }
        drop(lines);
        self.maker.unpark();
    }

    /// The lines that wait.
    fn take_reports(&self) -> Vec<String> {
        let mut lines = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *lines)
    }

    /// Writes what waits; may block.
    pub(crate) fn write_reports(&self) {
        for line in self.take_reports() {
            crate::guard::say(format_args!("{line}"));
        }
    }

    /// The maker's part: has a thread write what waits, if there is anything and none is at it.
    pub(crate) fn serve_reports(self: &Arc<Self>) {
        let waits = || {
            let lines = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
            !lines.is_empty()
        };
        // Relaxed: only the maker sets it; what is written is behind the lock.
        if !waits() || self.reporting.swap(true, Ordering::Relaxed) {
            return;
        }
        let system = Arc::clone(self);
        let spawned = os::spawn_thread(format!("{}/report", self.tag), move || {
            os::block_all_signals();
            system.write_reports();
            // Relaxed: as above. A line that came since has woken the maker, or does so now.
            system.reporting.store(false, Ordering::Relaxed);
            system.maker.unpark();
        });
        if spawned.is_err() {
            // The next line tries again, or the shutdown writes them.
            self.reporting.store(false, Ordering::Relaxed);
        }
    }
}
