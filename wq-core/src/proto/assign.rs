//! Telling a spare worker which lane it got, so that exactly one side cleans up if it did not.
//!
//! A taker offers before the lane changes hands (a taker frozen after the change leaves a worker
//! that any later kick can wake), and withdraws if the lane refuses. The spare consumes the offer
//! once the lane's word has reached the offered epoch: the word names the spare, or the attempt
//! has failed for good (or was given and lost again before the spare woke, for instance to a worker
//! that was awake, which then withdraws the offer in the taker's place). Consuming and
//! withdrawing are one exchange each on the same word, so a spare goes back to the stack once.
//! One word holds the whole offer, and no two attempts on a lane have an epoch in common, so that
//! an exchange never meets a later offer. Proof and model: `docs/memory-ordering.md`, "Assignment".

use crate::sync::atomic::{AtomicU64, Ordering};

use super::owner::{OwnerView, Token, WorkerId};

/// Bits that hold the lane's index plus one; the token's epoch is above.
const LANE_BITS: u32 = 24;

/// What a spare's look at its offer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a spare that lost its offer must go back to the stack"]
pub(crate) enum Offer {
    /// Nothing is offered, or the lane has not changed hands yet: sleep on.
    None,
    /// The lane with this index is the spare's.
    Lane(u32, Token),
    /// It was refused, or given and lost again; the spare must put itself back on the stack.
    Lost,
}

/// The offer word of one worker; 0 is no offer.
#[derive(Debug)]
pub(crate) struct Assignment(AtomicU64);

impl Assignment {
    /// No offer.
    pub(crate) fn new() -> Assignment {
        Assignment(AtomicU64::new(0))
    }

    /// Offers the lane with index `lane`; the caller has claimed the spare.
    pub(crate) fn offer(&self, lane: u32, token: Token) {
        // Relaxed: the word is the whole message; the lane is acquired through its owner word.
        self.0.store(pack(lane, token), Ordering::Relaxed);
    }

    /// Takes an offer back. True: the caller must put the spare back on the stack.
    pub(crate) fn withdraw(&self, lane: u32, token: Token) -> bool {
        // Relaxed: decides only who cleans up.
        self.0
            .compare_exchange(pack(lane, token), 0, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// The spare looks whether it got a lane. `view_of` reads the owner word of a lane.
    pub(crate) fn look(&self, me: WorkerId, view_of: impl Fn(u32) -> OwnerView) -> Offer {
        // Relaxed: as in `offer`.
        let word = self.0.load(Ordering::Relaxed);
        if word == 0 {
            return Offer::None;
        }
        let (lane, token) = unpack(word, me);
        let view = view_of(lane);
        if view.is_before(token) {
            return Offer::None;
        }
        // Relaxed: as in `withdraw`.
        if self
            .0
            .compare_exchange(word, 0, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
        {
            return Offer::None;
        }
        // Not the epoch: a thief or another taker may be at the word already.
        if view.worker() == me {
            Offer::Lane(lane, token)
        } else {
            Offer::Lost
        }
    }
}

/// The word that offers `lane` under `token`; the spare knows its own number.
fn pack(lane: u32, token: Token) -> u64 {
    debug_assert!(lane + 1 < 1 << LANE_BITS, "a lane's index fits its field");
    token.epoch() << LANE_BITS | u64::from(lane + 1)
}

/// What `word` offers to `me`.
fn unpack(word: u64, me: WorkerId) -> (u32, Token) {
    let lane = (word & ((1 << LANE_BITS) - 1)) as u32 - 1;
    (lane, Token::new(word >> LANE_BITS, me))
}
