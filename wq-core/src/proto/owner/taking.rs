//! The taker's side of lane ownership: claim, hand over, give back, hold.
//!
//! A [`Revoked`] can be dropped or forgotten at any moment without stopping the lane: the owner
//! takes the word back when it comes, [`Owner::revoke_stale`] spoils it anew when it does not.
//! A [`Held`] is a lock and must end; threads of idle priority do not make one.

use crate::sync::atomic::{Ordering, fence};
use crate::sync::spin_hint;

use super::{
    EPOCH_ONE, Mark, Owner, OwnerView, REVOKED, Refused, STEALING, Token, WAKING, WorkerId,
};
use crate::proto::asym;

/// Looks at a victim's mark before a take-over is refused as busy.
#[cfg(not(loom))]
const BUSY_LOOKS: u32 = 200;
#[cfg(loom)]
const BUSY_LOOKS: u32 = 1;

/// What is known of a victim, asked after the claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// It was off its CPU at a moment since the claim, and the one who says so is ordered with it
    /// on both sides of that moment ([`os::ThreadState::Asleep`](crate::os::ThreadState)).
    Asleep,
    /// It has come back: there is no reason to take its lane any more.
    Awake,
    /// Anything: it may be about to enter a section this very moment.
    Unknown,
}

impl Owner {
    /// Claims the lane from whom `seen` names, whose mark is `victim`; `standing` is asked after
    /// the claim, and saves the barrier if it knows that the victim sleeps.
    /// After `Ok` nobody is inside a section, and nobody gets inside while the claim stands.
    pub(crate) fn revoke(
        &self,
        seen: OwnerView,
        victim: &Mark,
        standing: impl FnOnce() -> Standing,
    ) -> Result<Revoked<'_>, Refused> {
        if seen.is_revoked() || seen.is_parked() || seen.is_waking() {
            return Err(Refused::Changed);
        }
        self.spoil(seen, victim, standing)
    }

    /// As [`Owner::revoke`], for a word that somebody else has spoiled and left so. Only for one
    /// who has seen the same word for much longer than a take-over lasts: the earlier taker, if
    /// it is alive after all, loses its claim.
    pub(crate) fn revoke_stale(
        &self,
        seen: OwnerView,
        victim: &Mark,
        standing: impl FnOnce() -> Standing,
    ) -> Result<Revoked<'_>, Refused> {
        if !seen.is_revoked() || seen.is_stealing() {
            return Err(Refused::Changed);
        }
        self.spoil(seen, victim, standing)
    }

    /// Spoils the word with an epoch of its own, then makes sure that the victim stands outside.
    fn spoil(
        &self,
        seen: OwnerView,
        victim: &Mark,
        standing: impl FnOnce() -> Standing,
    ) -> Result<Revoked<'_>, Refused> {
        let lent = (seen.0 & !REVOKED).wrapping_add(EPOCH_ONE);
        let spoiled = lent | REVOKED;
        // Relaxed: an exchange continues the release of whoever wrote the word (a blocker, a
        // giver-back); `hold`, or the new owner's `enter`, acquires it.
        self.0
            .compare_exchange(seen.0, spoiled, Ordering::Relaxed, Ordering::Relaxed)
            .map_err(|_| Refused::Changed)?;
        let revoked = Revoked {
            owner: self,
            lent: OwnerView(lent),
        };
        if seen.is_blocking() {
            // The victim stands outside: it declared the block after its last section, and
            // enters none before it has changed this very word.
            return Ok(revoked);
        }
        match standing() {
            // It went to sleep before that moment and wakes up after it: in between the looker
            // and its scheduler have held one lock. So the mark is what it left, and it finds the
            // spoiled word.
            Standing::Asleep => {}
            Standing::Awake => {
                revoked.give_back();
                return Err(Refused::Changed);
            }
            // The spoiled word before the look at the mark; pairs with `asym::light` in `shield`.
            Standing::Unknown => asym::heavy(),
        }
        for _ in 0..BUSY_LOOKS {
            if !victim.is_inside() {
                return Ok(revoked);
            }
            spin_hint();
        }
        revoked.give_back();
        Err(Refused::Busy)
    }
}

/// A claim to a lane whose owner word is spoiled. It gives no right to touch the queue, and it
/// can be lost at any moment: to the owner that comes back, or to a later taker.
#[derive(Debug)]
#[must_use = "a revoked lane stands still until it is handed over or given back"]
pub(crate) struct Revoked<'a> {
    owner: &'a Owner,
    /// The word to restore: as it was seen, with the epoch of this claim.
    lent: OwnerView,
}

impl<'a> Revoked<'a> {
    /// The token that [`Revoked::hand_over`] to `worker` will make valid.
    pub(crate) fn next_token(&self, worker: WorkerId) -> Token {
        self.lent.token_for(worker)
    }

    /// Makes `spare` the owner; it must be claimed by the caller from the spares, and be told with
    /// a Release that it acquires (else it may take the lane for lost). `None`: the claim was
    /// lost, the lane is in good hands, and `spare` is still the caller's to put back.
    #[must_use = "a claim can be lost; then the new worker is still the caller's"]
    pub(crate) fn hand_over(self, spare: WorkerId) -> Option<Token> {
        let token = self.next_token(spare);
        // Release: the new owner's Acquire in `enter` sees the queue as the victim left it.
        self.leave_with(token.0 | WAKING, Ordering::Release)
            .then_some(token)
    }

    /// Makes the calling worker the owner. `None`: the claim was lost, the lane is in good hands.
    #[must_use = "a claim can be lost"]
    pub(crate) fn keep(self, me: WorkerId) -> Option<Token> {
        let token = self.next_token(me);
        // Release: if the caller loses the lane before it has entered anything, whoever takes it
        // asks a mark that knows nothing of the victim's sections; pairs with the Acquire in the
        // next owner's `enter`, and in `hold`.
        self.leave_with(token.0, Ordering::Release).then_some(token)
    }

    /// Leaves the lane to whom it belonged. If that one declared a block, the caller must look
    /// once more for waiting work: who brought it meanwhile saw a spoiled word and went away.
    pub(crate) fn give_back(self) {
        // Relaxed: an exchange continues the release of whoever wrote the word before the claim.
        // A lost claim needs no giving back.
        let _ = self.leave_with(self.lent.0, Ordering::Relaxed);
        // SeqCst: the give-back before the look for work; pairs with the fence in `notice`.
        fence(Ordering::SeqCst);
    }

    /// Makes the claim a lock, to touch the queue. The owner and everybody else now wait for the
    /// caller, so it must not be a thread of idle priority, and must be quick. `None`: the claim
    /// was lost.
    pub(crate) fn hold(self) -> Option<Held<'a>> {
        let spoiled = self.lent.0 | REVOKED;
        // Acquire: pairs with the Release in `announce_blocking`, after which the mark was not
        // looked at, and with that of an earlier holder.
        self.owner
            .0
            .compare_exchange(
                spoiled,
                spoiled | STEALING,
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .is_ok()
            .then_some(Held {
                owner: self.owner,
                lent: self.lent,
            })
    }

    /// Replaces the spoiled word, unless the claim was lost.
    fn leave_with(&self, word: u64, success: Ordering) -> bool {
        // Relaxed on failure: a lost claim looks at nothing more.
        self.owner
            .0
            .compare_exchange(self.lent.0 | REVOKED, word, success, Ordering::Relaxed)
            .is_ok()
    }
}

/// The exclusive right over a lane's queue. Must be given back: a word that stays so would stop
/// the lane.
#[derive(Debug)]
#[must_use = "a held lane stands still until it is given back"]
pub(crate) struct Held<'a> {
    owner: &'a Owner,
    /// As in [`Revoked`].
    lent: OwnerView,
}

impl Held<'_> {
    /// Leaves the lane to whom it belonged; then as for [`Revoked::give_back`].
    pub(crate) fn give_back(self) {
        // Release: pairs with the Acquire in `enter`; the owner sees what a thief took.
        self.owner.0.store(self.lent.0, Ordering::Release);
        // SeqCst: the give-back before the look for work; pairs with the fence in `notice`.
        fence(Ordering::SeqCst);
    }
}
