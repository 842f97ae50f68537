//! A one-token parker: a wake-up that comes before the sleep is kept, not lost.
//!
//! The sleeper owns the token word; anybody may set it. All other state (whose turn it is, what
//! was assigned) lives elsewhere and is looked at again after each return, so a stale token
//! costs one turn of the caller's loop. Model: `docs/memory-ordering.md`, "Parking".

use std::time::Duration;

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{futex_wait, futex_wake};

/// Nothing happened.
const EMPTY: u32 = 0;
/// The owner sleeps, or is about to.
const PARKED: u32 = 1;
/// A wake-up is kept.
const TOKEN: u32 = 2;

/// The token of one thread.
#[derive(Debug)]
pub(crate) struct Parker(AtomicU32);

impl Parker {
    /// No token.
    pub(crate) fn new() -> Parker {
        Parker(AtomicU32::new(EMPTY))
    }

    /// Sleeps until there is a token, and takes it. Only the owner may call. With a limit it
    /// may return without one.
    pub(crate) fn park(&self, limit: Option<Duration>) {
        loop {
            // Relaxed: the swap below acquires; only the owner takes the token that is there.
            let announced =
                self.0
                    .compare_exchange(EMPTY, PARKED, Ordering::Relaxed, Ordering::Relaxed);
            if announced.is_ok() {
                futex_wait(&self.0, PARKED, limit);
            }
            // Acquire: pairs with the Release in `unpark`; with several, each continues the
            // release of the one before.
            if self.0.swap(EMPTY, Ordering::Acquire) == TOKEN || limit.is_some() {
                return;
            }
            // Woken for no reason.
        }
    }

    /// Whether a token waits; a hint for who looks before it sleeps.
    pub(crate) fn has_token(&self) -> bool {
        // Relaxed: `park` takes the token and synchronises.
        self.0.load(Ordering::Relaxed) == TOKEN
    }

    /// Leaves a token and wakes the owner if it sleeps.
    pub(crate) fn unpark(&self) {
        // Release: pairs with the Acquire in `park`.
        if self.0.swap(TOKEN, Ordering::Release) == PARKED {
            futex_wake(&self.0);
        }
    }
}
