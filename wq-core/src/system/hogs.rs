//! What users see of items that burn CPU, and can set.

use std::time::Duration;

use crate::hogs::table::CpuHog;

use super::System;

/// Items that burn CPU: the settings may change at any time, and count from the next look on.
impl System {
    /// CPU time after which an item is marked CPU intensive; 0: never.
    pub fn cpu_intensive_thresh(&self) -> Duration {
        self.inner.hogs.knobs.get().cpu_intensive_thresh
    }

    /// Sets the CPU time after which an item that has not suspended is marked CPU intensive:
    /// counted, reported, and on per-CPU queues relieved of its lane if work waits. 0: never.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.cpu_intensive_thresh(), Duration::from_millis(10));
    /// system.set_cpu_intensive_thresh(Duration::from_millis(50));
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "cpu_intensive_thresh_us")]
    pub fn set_cpu_intensive_thresh(&self, time: Duration) {
        self.inner.hogs.knobs.set_thresh(time);
    }

    /// CPU time that an item of an unbound queue may use while work waits; 0: any.
    pub fn handoff_grace(&self) -> Duration {
        self.inner.hogs.knobs.get().handoff_grace
    }

    /// Sets the CPU time that an item of an unbound queue may use while work waits behind it,
    /// before its lane is handed on. 0: never, and no type is known for burning.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.handoff_grace(), Duration::from_millis(1));
    /// system.set_handoff_grace(Duration::from_millis(5));
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn set_handoff_grace(&self, time: Duration) {
        self.inner.hogs.knobs.set_grace(time);
    }

    /// At which mark of a type the first report is written; 0: none is.
    pub fn cpu_intensive_warning_thresh(&self) -> u64 {
        self.inner.hogs.knobs.get().warning_thresh
    }

    /// Sets at which mark of a type the first report is written on standard error; the next ones
    /// follow after 1, 2, 4, .. more. 0: never.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.cpu_intensive_warning_thresh(), 4);
    /// system.set_cpu_intensive_warning_thresh(0);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn set_cpu_intensive_warning_thresh(&self, times: u64) {
        self.inner.hogs.knobs.set_warning_thresh(times);
    }

    /// The types of futures and closures whose items were marked CPU intensive, most frequent
    /// first. Counted from the System's start; 128 types by name, further ones together.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// system.run(async {});
    /// assert!(system.cpu_hogs().is_empty());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "wci_ents")]
    pub fn cpu_hogs(&self) -> Vec<CpuHog> {
        self.inner.hogs.table.list()
    }
}
