//! The watchdog's setting. The look itself is the monitor's (`service/monitor/watchdog.rs`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::System;

/// The kernel's.
pub(crate) const WATCHDOG_THRESH: Duration = Duration::from_secs(30);

/// For how long a pool may stand still. Relaxed: nothing is ordered by a setting.
#[derive(Debug)]
pub(crate) struct Watchdog(AtomicU64);

/// A setting in nanoseconds; what is longer than the clock's range is as good as that.
fn as_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Watchdog {
    /// With this setting.
    pub(crate) fn new(thresh: Duration) -> Watchdog {
        Watchdog(AtomicU64::new(as_ns(thresh)))
    }

    /// How long that is, ns; `None`: for ever.
    pub(crate) fn thresh_ns(&self) -> Option<u64> {
        let ns = self.0.load(Ordering::Relaxed);
        (ns != 0).then_some(ns)
    }
}

impl System {
    /// For how long a pool in which work waits may start nothing before that is reported; 0: for
    /// ever.
    pub fn watchdog_thresh(&self) -> Duration {
        Duration::from_nanos(self.inner.watchdog.0.load(Ordering::Relaxed))
    }

    /// Sets for how long a pool in which work waits may start nothing. Then one line on standard
    /// error names the pool, and what its workers are inside of and for how long; it is counted in
    /// [`SystemStats::lockups`](crate::SystemStats::lockups). 0: never. It may change at any time.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.watchdog_thresh(), Duration::from_secs(30));
    /// system.set_watchdog_thresh(Duration::from_secs(5));
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "watchdog_thresh")]
    #[doc(alias = "wq_watchdog_thresh")]
    pub fn set_watchdog_thresh(&self, time: Duration) {
        self.inner.watchdog.0.store(as_ns(time), Ordering::Relaxed);
    }
}
