//! A one-token parker: a wake-up that comes before the sleep is kept, not lost.
//!
//! The sleeper owns the token word; anybody may set it. All other state (whose turn it is, what
//! was assigned) lives elsewhere and is looked at again after each return, so a stale token
//! costs one turn of the caller's loop. Model: `docs/memory-ordering.md`, "Parking".

use std::time::Duration;

#[cfg(any(feature = "test-util", loom))]
use crate::sync::atomic::AtomicU64;
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

/// Of the announcement of a sleep: who sees the sleep sees what its owner did before; pairs with
/// the Acquire in `Parker::rests`.
#[cfg(any(feature = "test-util", loom))]
const ANNOUNCE: Ordering = Ordering::Release;
/// Of the announcement of a sleep. Relaxed: without `Parker::rests` nobody looks at the sleep but
/// the kernel, which compares the word alone.
#[cfg(not(any(feature = "test-util", loom)))]
const ANNOUNCE: Ordering = Ordering::Relaxed;

/// The token of one thread.
#[derive(Debug)]
pub(crate) struct Parker {
    /// One of the above.
    token: AtomicU32,
    /// Sleeps begun: see `proto/rest.rs`. The owner alone writes.
    #[cfg(any(feature = "test-util", loom))]
    naps: AtomicU64,
}

impl Parker {
    /// No token.
    pub(crate) fn new() -> Parker {
        Parker {
            token: AtomicU32::new(EMPTY),
            #[cfg(any(feature = "test-util", loom))]
            naps: AtomicU64::new(0),
        }
    }

    /// Sleeps until there is a token, and takes it. Only the owner may call. With a limit it
    /// may return without one.
    pub(crate) fn park(&self, limit: Option<Duration>) {
        loop {
            if self.announce(PARKED) {
                futex_wait(&self.token, PARKED, limit);
            }
            // Acquire: pairs with the Release in `unpark`; with several, each continues the
            // release of the one before.
            if self.token.swap(EMPTY, Ordering::Acquire) == TOKEN || limit.is_some() {
                return;
            }
            // Woken for no reason.
        }
    }

    /// As [`Parker::park`], but waits by `wait`, which [`sync::interrupt`](crate::sync::interrupt)
    /// ends, and returns when that does. False: a token was there, and nothing was waited for.
    pub(crate) fn park_elsewhere(&self, wait: impl FnOnce()) -> bool {
        let announced = self.announce(ELSEWHERE);
        if announced {
            wait();
        }
        // Acquire: pairs with the Release in `unpark`, as in `park`.
        self.token.swap(EMPTY, Ordering::Acquire);
        announced
    }

    /// The owner is about to sleep. False: a token is there.
    fn announce(&self, how: u32) -> bool {
        #[cfg(any(feature = "test-util", loom))]
        {
            // Relaxed: nobody else writes it.
            let naps = self.naps.load(Ordering::Relaxed) + 1;
            // Release: who counts this sleep sees that the one before is over; pairs with the
            // Acquire in `rests`.
            self.naps.store(naps, Ordering::Release);
        }
        // On failure the token is there, which only the owner takes, by a swap.
        self.token
            .compare_exchange(EMPTY, how, ANNOUNCE, Ordering::Relaxed)
            .is_ok()
    }

    /// Which of its sleeps the owner is in, with no wake-up under way: see `proto/rest.rs`.
    #[cfg(any(feature = "test-util", loom))]
    pub(crate) fn rests(&self) -> Option<u64> {
        // Acquire: pairs with the Release in `announce`; the sleep before this one is over.
        let naps = self.naps.load(Ordering::Acquire);
        // Acquire: pairs with the Release in `announce`; what the owner did before is visible.
        let sleeps = matches!(self.token.load(Ordering::Acquire), PARKED | ELSEWHERE);
        // Relaxed: ordered after the sleep by the load above.
        (sleeps && self.naps.load(Ordering::Relaxed) == naps).then_some(naps)
    }

    /// The way to sleep without the sleep, for models that end by themselves.
    #[cfg(all(test, loom))]
    pub(crate) fn begin_sleep(&self) {
        assert!(self.announce(PARKED), "the model gives no token here");
    }

    /// The way back from it.
    #[cfg(all(test, loom))]
    pub(crate) fn end_sleep(&self) {
        // Acquire: as in `park`.
        self.token.swap(EMPTY, Ordering::Acquire);
    }

    /// Whether a token waits; a hint for who looks before it sleeps.
    pub(crate) fn has_token(&self) -> bool {
        // Relaxed: `park` takes the token and synchronises.
        self.token.load(Ordering::Relaxed) == TOKEN
    }

    /// Leaves a token and wakes the owner if it sleeps.
    pub(crate) fn unpark(&self) {
        // Release: pairs with the Acquire in `park` and `park_elsewhere`.
        match self.token.swap(TOKEN, Ordering::Release) {
            PARKED => futex_wake(&self.token),
            ELSEWHERE => interrupt(),
            _ => {}
        }
    }
}
