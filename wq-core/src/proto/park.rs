//! A one-token parker: a wake-up that comes before the sleep is kept, not lost.
//!
//! The sleeper owns the token word; anybody may set it. All other state (whose turn it is, what
//! was assigned) lives elsewhere and is looked at again after each return, so a stale token
//! costs one turn of the caller's loop. Model: `docs/memory-ordering.md`, "Parking".

use std::time::Duration;

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{futex_wait, futex_wake, interrupt};

/// Nothing happened.
const EMPTY: u32 = 0;
/// The owner sleeps, or is about to.
const PARKED: u32 = 1;
/// A wake-up is kept.
const TOKEN: u32 = 2;
/// The owner waits, or is about to, in a place of its own that somebody must be told of.
const ELSEWHERE: u32 = 3;

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

    /// As [`Parker::park`], but waits by `wait`, which [`sync::interrupt`](crate::sync::interrupt)
    /// ends, and returns when that does. False: a token was there, and nothing was waited for.
    pub(crate) fn park_elsewhere(&self, wait: impl FnOnce()) -> bool {
        // Relaxed: as in `park`.
        let announced =
            self.0
                .compare_exchange(EMPTY, ELSEWHERE, Ordering::Relaxed, Ordering::Relaxed);
        if announced.is_ok() {
            wait();
        }
        // Acquire: pairs with the Release in `unpark`, as in `park`.
        self.0.swap(EMPTY, Ordering::Acquire);
        announced.is_ok()
    }

    /// Whether a token waits; a hint for who looks before it sleeps.
    pub(crate) fn has_token(&self) -> bool {
        // Relaxed: `park` takes the token and synchronises.
        self.0.load(Ordering::Relaxed) == TOKEN
    }

    /// Leaves a token and wakes the owner if it sleeps.
    pub(crate) fn unpark(&self) {
        // Release: pairs with the Acquire in `park` and `park_elsewhere`.
        match self.0.swap(TOKEN, Ordering::Release) {
            PARKED => futex_wake(&self.0),
            ELSEWHERE => interrupt(),
            _ => {}
        }
    }
}
