//! How many are inside of something at a time.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many are inside of something, and how many were at most.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Now.
    now: AtomicUsize,
    /// At most so far.
    most: AtomicUsize,
}

impl Gauge {
    /// Somebody enters. Relaxed here and below: counters, with no data behind them.
    pub fn enter(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
    }

    /// Somebody leaves.
    pub fn leave(&self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }

    /// At most so far.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Whether there were some, and never more than this.
    #[must_use]
    pub fn kept(&self, limit: usize) -> bool {
        (1..=limit).contains(&self.most())
    }
}
