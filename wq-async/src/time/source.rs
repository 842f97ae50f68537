//! Where delays find their timers and the time: the engine, or in unit tests a clock that is
//! turned by hand.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Instant;

use wq_core::driver;
use wq_core::timer::Timers;

/// The timers for a delay armed here and now.
pub(super) fn timers() -> Arc<Timers> {
    #[cfg(test)]
    if let Some(timers) = by_hand::timers() {
        return timers;
    }
    driver::timers()
}

/// What the clock of these timers shows.
pub(super) fn now() -> Instant {
    #[cfg(test)]
    if let Some(timers) = by_hand::timers() {
        return timers.now();
    }
    driver::now()
}

/// The virtual clock of a test's thread.
#[cfg(test)]
pub(super) mod by_hand {
    use std::cell::RefCell;
    use std::sync::Arc;

    use wq_core::timer::{Clock, Timers, VirtualClock};

    thread_local! {
        /// The timers of this thread's test, if it asked for some.
        static TIMERS: RefCell<Option<Arc<Timers>>> = const { RefCell::new(None) };
    }

    /// Gives the calling thread timers of its own, with a virtual clock.
    pub(in crate::time) fn enter() -> Arc<Timers> {
        let timers = Timers::with_clock(Clock::Virtual(VirtualClock::new()));
        TIMERS.set(Some(Arc::clone(&timers)));
        timers
    }

    /// The calling thread's own timers.
    pub(in crate::time) fn timers() -> Option<Arc<Timers>> {
        TIMERS.with_borrow(Clone::clone)
    }
}
