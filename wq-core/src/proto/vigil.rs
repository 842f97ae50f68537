//! Who waits for the outside world: one thread at a time, and somebody who stands in when nobody
//! does.
//!
//! One word: whether somebody waits, how often somebody began to, and whether the stand-in sleeps
//! because somebody does. All changes are read-modify-writes of that word, so the last waiter to
//! leave finds the sleeping stand-in, or the stand-in finds that nobody waits. Model:
//! `docs/memory-ordering.md`, "Vigil".

use crate::sync::atomic::{AtomicU32, Ordering};

/// Somebody waits.
const HELD: u32 = 1;
/// The stand-in sleeps until nobody waits.
const STAND_IN_SLEEPS: u32 = 2;
/// One claim more.
const CLAIM: u32 = 4;

/// The word.
#[derive(Debug)]
pub struct Vigil(AtomicU32);

/// What the stand-in sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VigilView {
    /// Somebody waits.
    pub is_held: bool,
    /// How often somebody began to, modulo 2^30.
    pub claims: u32,
}

impl Default for Vigil {
    fn default() -> Vigil {
        Vigil::new()
    }
}

impl Vigil {
    /// Nobody waits.
    pub fn new() -> Vigil {
        Vigil(AtomicU32::new(0))
    }

    /// Claims the right to wait. False: somebody has it.
    pub fn claim(&self) -> bool {
        // Relaxed: a guess for the exchange, and a cheap answer when it is held.
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen & HELD == 0 {
            let next = (seen | HELD).wrapping_add(CLAIM);
            // Acquire: pairs with the Release in `release`: one waiter after the other.
            let claimed =
                self.0
                    .compare_exchange_weak(seen, next, Ordering::Acquire, Ordering::Relaxed);
            match claimed {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Ends a claim. True: the stand-in sleeps, and must be woken by the caller.
    #[must_use = "the stand-in sleeps until it is woken"]
    pub fn release(&self) -> bool {
        // Release: pairs with the Acquire in `claim`, and with that in `look`.
        let seen = self
            .0
            .fetch_and(!(HELD | STAND_IN_SLEEPS), Ordering::Release);
        seen & STAND_IN_SLEEPS != 0
    }

    /// What there is to see.
    pub fn look(&self) -> VigilView {
        // Acquire: pairs with the Release in `release`: what the last waiter did is seen.
        let seen = self.0.load(Ordering::Acquire);
        VigilView {
            is_held: seen & HELD != 0,
            claims: seen / CLAIM,
        }
    }

    /// For the stand-in, before it sleeps: false if nobody waits, so that it must not. Else whoever
    /// waits wakes it when it leaves.
    pub fn stand_in_sleeps(&self) -> bool {
        // Relaxed: a guess for the exchange.
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen & HELD != 0 {
            // Relaxed: the flag carries no data; the waker's token does.
            let slept = self.0.compare_exchange_weak(
                seen,
                seen | STAND_IN_SLEEPS,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match slept {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }
}
