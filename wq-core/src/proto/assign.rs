//! Telling a spare worker which lane it got, so that exactly one side cleans up if it did not.
//!
//! A taker offers before the lane changes hands (a taker frozen after the change leaves a worker
//! that any later kick can wake), and withdraws if the lane refuses. The spare consumes the offer
//! when the lane's word shows the offered token, or a later epoch (given and lost again before
//! it woke). Consuming and withdrawing are one exchange each on the same word, so a spare goes
//! back to the stack once. Model: `docs/memory-ordering.md`, "Assignment".

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::owner::{OwnerView, Token, WorkerId};

/// What a spare's look at its offer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Offer {
    /// Nothing is offered, or the lane has not changed hands yet: sleep on.
    None,
    /// The lane with this index is the spare's.
    Lane(u32, Token),
    /// It was given and lost again; the spare must put itself back on the stack.
    Lost,
}

/// The offer word of one worker.
#[derive(Debug)]
pub(crate) struct Assignment {
    token: AtomicU64,
    lane: AtomicU32,
}

impl Assignment {
    /// No offer.
    pub(crate) fn new() -> Assignment {
        Assignment { token: AtomicU64::new(0), lane: AtomicU32::new(0) }
    }

    /// Offers the lane with index `lane`; the caller has claimed the spare.
    pub(crate) fn offer(&self, lane: u32, token: Token) {
        // Relaxed: published by the store below.
        self.lane.store(lane, Ordering::Relaxed);
        // Release: pairs with the Acquire in `look`.
        self.token.store(token.to_raw(), Ordering::Release);
    }

    /// Takes an offer back. True: the caller must put the spare back on the stack.
    pub(crate) fn withdraw(&self, token: Token) -> bool {
        // Relaxed: decides only who cleans up.
        self.token
            .compare_exchange(token.to_raw(), 0, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// The spare looks whether it got a lane. `view_of` reads the owner word of a lane.
    pub(crate) fn look(&self, me: WorkerId, view_of: impl Fn(u32) -> OwnerView) -> Offer {
        // Acquire: pairs with the Release in `offer`.
        let raw = self.token.load(Ordering::Acquire);
        let Some(token) = Token::from_raw(raw) else {
            return Offer::None;
        };
        // Relaxed: stored before the token, which was acquired.
        let lane = self.lane.load(Ordering::Relaxed);
        let view = view_of(lane);
        if view.epoch() < token.epoch() {
            return Offer::None;
        }
        // Relaxed: as in `withdraw`.
        if self.token.compare_exchange(raw, 0, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return Offer::None;
        }
        if view.epoch() == token.epoch() && view.worker() == me {
            Offer::Lane(lane, token)
        } else {
            Offer::Lost
        }
    }
}
