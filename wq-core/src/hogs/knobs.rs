//! What users can set about items that burn CPU, while the System runs.
//!
//! Read on cold paths only: by the monitor, by siblings, and before a poll of an item that is known
//! to burn. A change counts from the next look on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// CPU time after which an item is marked CPU intensive (the kernel's 10 ms).
const CPU_INTENSIVE_THRESH: Duration = Duration::from_millis(10);
/// CPU time after which an unbound lane with waiting work is handed on.
const HANDOFF_GRACE: Duration = Duration::from_millis(1);
/// Marks of a kind before the first report (the kernel's).
const WARNING_THRESH: u64 = 4;
/// A poll that takes so many graces makes its item known for burning. One of fewer is relieved of
/// its backlog in time; to be known costs it its own lane, and with it the short way to its
/// children, which is dear for a task that spawns thousands in a poll of two milliseconds.
const KNOWN_FROM_GRACES: u64 = 4;
/// A worker that has a CPU and finds work behind an item that stands still waits so many times
/// shorter than the grace, since it measures from its own first look.
const STANDS_STILL_PART: u64 = 2;

/// The settings as a builder has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HogSettings {
    pub(crate) cpu_intensive_thresh: Duration,
    pub(crate) handoff_grace: Duration,
    pub(crate) warning_thresh: u64,
}

impl Default for HogSettings {
    fn default() -> HogSettings {
        HogSettings {
            cpu_intensive_thresh: CPU_INTENSIVE_THRESH,
            handoff_grace: HANDOFF_GRACE,
            warning_thresh: WARNING_THRESH,
        }
    }
}

/// The settings as they are now. Relaxed throughout: nothing is ordered by a setting.
#[derive(Debug)]
pub(crate) struct Knobs {
    cpu_intensive_thresh_ns: AtomicU64,
    handoff_grace_ns: AtomicU64,
    warning_thresh: AtomicU64,
}

/// A setting in nanoseconds; what is longer than the clock's range is as good as that.
fn as_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Knobs {
    /// The builder's settings.
    pub(crate) fn new(settings: HogSettings) -> Knobs {
        Knobs {
            cpu_intensive_thresh_ns: AtomicU64::new(as_ns(settings.cpu_intensive_thresh)),
            handoff_grace_ns: AtomicU64::new(as_ns(settings.handoff_grace)),
            warning_thresh: AtomicU64::new(settings.warning_thresh),
        }
    }

    /// CPU time after which an item is marked, ns; `None`: never.
    pub(crate) fn thresh_ns(&self) -> Option<u64> {
        let ns = self.cpu_intensive_thresh_ns.load(Ordering::Relaxed);
        (ns != 0).then_some(ns)
    }

    /// CPU time after which a lane with waiting work is handed on, ns; `None`: never. `percpu`:
    /// the kernel's rule for its managed pools.
    pub(crate) fn grace_ns(&self, percpu: bool) -> Option<u64> {
        if percpu {
            return self.thresh_ns();
        }
        let ns = self.handoff_grace_ns.load(Ordering::Relaxed);
        (ns != 0).then_some(ns)
    }

    /// CPU time of one poll that makes its item known for burning, ns; `None`: none does.
    pub(crate) fn known_from_ns(&self, percpu: bool) -> Option<u64> {
        let grace_ns = self.grace_ns(percpu)?;
        Some(if percpu {
            grace_ns
        } else {
            grace_ns.saturating_mul(KNOWN_FROM_GRACES)
        })
    }

    /// Time at one item after which a sibling takes an unbound lane with waiting work, ns; `None`:
    /// never. Lanes of one CPU keep the kernel's rule: one runner.
    pub(crate) fn stands_still_ns(&self, percpu: bool) -> Option<u64> {
        let grace = self.grace_ns(percpu).filter(|_| !percpu)?;
        Some(grace / STANDS_STILL_PART)
    }

    /// Marks of a kind before the first report; 0: none is made.
    pub(crate) fn warning_thresh(&self) -> u64 {
        self.warning_thresh.load(Ordering::Relaxed)
    }

    /// The present settings.
    pub(crate) fn get(&self) -> HogSettings {
        let time = |ns: &AtomicU64| Duration::from_nanos(ns.load(Ordering::Relaxed));
        HogSettings {
            cpu_intensive_thresh: time(&self.cpu_intensive_thresh_ns),
            handoff_grace: time(&self.handoff_grace_ns),
            warning_thresh: self.warning_thresh(),
        }
    }

    /// Sets the time after which items are marked.
    pub(crate) fn set_thresh(&self, time: Duration) {
        self.cpu_intensive_thresh_ns
            .store(as_ns(time), Ordering::Relaxed);
    }

    /// Sets the time after which unbound lanes are handed on.
    pub(crate) fn set_grace(&self, time: Duration) {
        self.handoff_grace_ns.store(as_ns(time), Ordering::Relaxed);
    }

    /// Sets the marks before the first report.
    pub(crate) fn set_warning_thresh(&self, times: u64) {
        self.warning_thresh.store(times, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: 0 is off for exactly what the knob is for.
    #[test]
    fn zero_is_off() {
        let knobs = Knobs::new(HogSettings::default());
        assert_eq!(knobs.grace_ns(true), Some(10_000_000));
        assert_eq!(knobs.grace_ns(false), Some(1_000_000));
        assert_eq!(knobs.stands_still_ns(false), Some(500_000));
        assert_eq!(knobs.stands_still_ns(true), None);
        knobs.set_grace(Duration::ZERO);
        assert_eq!(
            (knobs.grace_ns(false), knobs.stands_still_ns(false)),
            (None, None)
        );
        assert_eq!(knobs.grace_ns(true), Some(10_000_000));
        knobs.set_thresh(Duration::ZERO);
        assert_eq!((knobs.grace_ns(true), knobs.thresh_ns()), (None, None));
        knobs.set_grace(Duration::MAX);
        assert_eq!(knobs.grace_ns(false), Some(u64::MAX));
    }
}
