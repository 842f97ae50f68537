//! Waiting before another attempt, where no descriptor tells when it is worth its while.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::time;

/// The first wait.
const FIRST: Duration = Duration::from_millis(1);

/// Waits that double.
#[derive(Debug)]
pub(super) struct Pause {
    next: Duration,
    longest: Duration,
}

impl Pause {
    /// From a millisecond to `longest`.
    pub(super) fn up_to(longest: Duration) -> Pause {
        Pause {
            next: FIRST,
            longest,
        }
    }

    /// The next wait.
    pub(super) async fn wait(&mut self) {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        time::sleep(pause).await;
    }
}

/// How a listener has fared: after the machine had no descriptor or no memory for a connection, the
/// loop around `accept` would burn a CPU without a wait.
#[derive(Debug, Default)]
pub(super) struct BackOff(AtomicU32);

/// Failures as they were before an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failures(u32);

impl BackOff {
    /// The longest wait: so late is a connection that comes when the machine has room again.
    const LONGEST: Duration = Duration::from_secs(1);

    /// Waits, if the last attempts have failed: longer after each one more.
    pub(super) async fn wait(&self) -> Failures {
        // Relaxed: a hint for the next attempt.
        let failures = self.0.load(Ordering::Relaxed);
        if failures > 0 {
            let pause = FIRST * (1 << (failures - 1).min(10));
            time::sleep(pause.min(BackOff::LONGEST)).await;
        }
        Failures(failures)
    }

    /// An attempt has ended. Those that failed at the same time count as one.
    pub(super) fn note<T, E>(&self, before: Failures, answer: &Result<T, E>) {
        let Failures(seen) = before;
        // Relaxed: as above.
        if answer.is_ok() {
            self.0.store(0, Ordering::Relaxed);
        } else {
            let more = seen.saturating_add(1);
            let _ = self
                .0
                .compare_exchange(seen, more, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}
