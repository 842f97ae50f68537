//! What threads and children of user code inherit: the program's settings, not those of a lane.
//!
//! A worker's threads would inherit what wq gave the worker: a CPU, a priority, a slice. So the
//! settings of the thread that makes a System are kept as the program's. Workers take back what
//! need not differ (signal mask, timer slack), have the kernel reset on a fork what it can, and for
//! the rest there are [`thread`](crate::thread) and [`process`](crate::process).

use crate::{CpuSet, os};

/// The settings of the thread that made a System.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    /// CPUs that it may use, if the system told.
    pub(crate) cpus: Option<CpuSet>,
    /// Its nice value, if the system told.
    pub(crate) nice: Option<i8>,
    /// Signals that it blocks.
    signals: os::SignalMask,
    /// How late its timers may be, ns; 0 where that is not known.
    slack_ns: u64,
}

impl Home {
    /// The calling thread's.
    pub(crate) fn of_caller() -> Home {
        Home {
            cpus: os::get_affinity(0).ok(),
            nice: os::get_nice(0).ok(),
            signals: os::signal_mask(),
            slack_ns: os::timer_slack_ns(),
        }
    }

    /// Gives the calling thread, a worker, what it may share with the program.
    pub(crate) fn settle(&self) {
        os::set_signal_mask(&self.signals);
        if self.slack_ns > 0 {
            os::set_timer_slack_ns(self.slack_ns);
        }
    }

    /// Has the calling thread, a worker, sleep exactly; before user code runs, which may start
    /// threads, [`forget_exact`](Self::forget_exact) ends that.
    pub(crate) fn sleep_exactly(&self) {
        if self.slack_ns > 1 {
            os::set_timer_slack_ns(1);
        }
    }

    /// See [`sleep_exactly`](Self::sleep_exactly).
    pub(crate) fn forget_exact(&self) {
        if self.slack_ns > 1 {
            os::set_timer_slack_ns(self.slack_ns);
        }
    }

    /// Gives the calling thread, which is no worker, all of it.
    pub(crate) fn restore(&self) {
        self.settle();
        self.restore_scheduling();
    }

    /// Whether children of the calling thread would get other CPUs or another priority.
    pub(crate) fn differs(&self) -> bool {
        let nice = self
            .nice
            .is_some_and(|nice| os::get_nice(0).ok() != Some(nice));
        let cpus = self.cpus.as_ref();
        nice || cpus.is_some_and(|cpus| os::get_affinity(0).ok().as_ref() != Some(cpus))
    }

    /// CPUs and priority alone. What is refused stays: a CPU may be gone, and a priority above
    /// the worker's needs a right. Takes no lock and no memory: it runs in forked children.
    pub(crate) fn restore_scheduling(&self) {
        if let Some(nice) = self.nice {
            let _ = os::set_nice(0, nice);
        }
        if let Some(cpus) = &self.cpus {
            let _ = os::set_affinity(0, cpus);
        }
    }
}
