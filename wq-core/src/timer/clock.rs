//! Where timers read the time: the machine's clock, or one that a test turns by hand.
//!
//! The seam that lets every rule about time be tested without waiting. Only the monotonic clock
//! is meant; wall-clock time has no place in an engine.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[cfg(feature = "test-util")]
pub use super::pause::PausableClock;

/// A source of monotonic time.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Clock {
    /// The machine's monotonic clock.
    #[default]
    Real,
    /// A clock that stands still until it is turned.
    Virtual(VirtualClock),
    /// The machine's, unless somebody has stopped it.
    #[cfg(feature = "test-util")]
    Pausable(PausableClock),
}

impl Clock {
    /// What the clock shows.
    pub fn now(&self) -> Instant {
        match self {
            Self::Real => crate::os::now(),
            Self::Virtual(clock) => clock.now(),
            #[cfg(feature = "test-util")]
            Self::Pausable(clock) => clock.now(),
        }
    }

    /// Whether it was stopped and goes on only when nothing else does.
    pub(super) fn is_paused(&self) -> bool {
        match self {
            Self::Real | Self::Virtual(_) => false,
            #[cfg(feature = "test-util")]
            Self::Pausable(clock) => clock.is_paused(),
        }
    }
}

/// A clock that stands still until [`advance`](Self::advance) is called; clones show the same time.
#[derive(Clone, Debug)]
pub struct VirtualClock {
    /// What the clock showed when it was made.
    start: Instant,
    /// Nanoseconds since then; grows only, by anybody.
    elapsed_ns: Arc<AtomicU64>,
}

impl VirtualClock {
    /// A clock that shows the moment of its making.
    #[expect(
        clippy::new_without_default,
        reason = "two new clocks differ, defaults are alike"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            elapsed_ns: Arc::default(),
        }
    }

    /// What the clock shows.
    pub fn now(&self) -> Instant {
        // Relaxed: the number is all there is to read, nothing is published with it.
        self.start + Duration::from_nanos(self.elapsed_ns.load(Ordering::Relaxed))
    }

    /// Turns the clock forward. To a service thread, time has passed when
    /// [`Timers::advance`](super::Timers::advance) says so.
    ///
    /// # Panics
    ///
    /// If `by` alone is longer than the 584 years that 64 bits of nanoseconds hold.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).expect("a virtual clock turns 584 years at most");
        // Relaxed: as in `now`.
        self.elapsed_ns.fetch_add(by, Ordering::Relaxed);
    }
}
