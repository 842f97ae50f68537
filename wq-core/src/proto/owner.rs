//! Who may run a lane: the owner word, the section mark, and how a lane changes hands.
//!
//! A lane's queue is plain memory. The worker whose token stands in the owner word may touch it,
//! inside a *section*: it marks itself inside, looks whether the word is still its token, works,
//! and unmarks. Whoever takes the lane away first spoils the word (REVOKED), then fences all
//! threads, then looks at the victim's mark: nothing inside means that nobody will get inside.
//!
//! Invariant: at most one thread is between a successful [`Owner::enter`] and the matching
//! [`Mark::leave`], or holds a [`Revoked`], and it sees all that its predecessors did.
//! Proof and models: `docs/memory-ordering.md`, "Lane ownership".

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use crate::sync::spin_hint;

use super::asym;

/// Number of a worker within its System; 0 stands for nobody.
pub(crate) type WorkerId = u32;

/// Bits of the owner word that hold the worker's number.
const WORKER_MASK: u64 = (1 << 20) - 1;
/// The owner found nothing to do and sleeps; whoever brings work clears this and wakes it.
const PARKED: u64 = 1 << 20;
/// The owner said that it is about to block: the lane may be taken without looking further.
const BLOCKING: u64 = 1 << 21;
/// Somebody is taking the lane, or steals from it; only that one may change the word.
const REVOKED: u64 = 1 << 22;
/// First bit of the epoch, which rises at each change of hands.
const EPOCH_ONE: u64 = 1 << 24;

/// Largest worker number that an owner word can hold.
pub(crate) const MAX_WORKER_ID: WorkerId = WORKER_MASK as WorkerId;

/// Looks at a victim's mark before a take-over is refused as busy.
#[cfg(not(loom))]
const BUSY_LOOKS: u32 = 200;
#[cfg(loom)]
const BUSY_LOOKS: u32 = 1;

/// A value of the owner word, decoded by questions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OwnerView(u64);

impl OwnerView {
    /// The worker that holds the lane, 0 for none.
    #[inline]
    pub(crate) fn worker(self) -> WorkerId {
        (self.0 & WORKER_MASK) as WorkerId
    }

    /// The count of changes of hands so far.
    pub(crate) fn epoch(self) -> u64 {
        self.0 / EPOCH_ONE
    }

    /// Nobody holds the lane.
    pub(crate) fn is_vacant(self) -> bool {
        self.worker() == 0
    }

    /// The holder sleeps because there was nothing to do.
    pub(crate) fn is_parked(self) -> bool {
        self.0 & PARKED != 0
    }

    /// The holder declared that it blocks.
    pub(crate) fn is_blocking(self) -> bool {
        self.0 & BLOCKING != 0
    }

    /// A take-over or a theft is under way.
    pub(crate) fn is_revoked(self) -> bool {
        self.0 & REVOKED != 0
    }

    /// The holder is (as far as the word tells) running items.
    pub(crate) fn is_running(self) -> bool {
        !self.is_vacant() && self.0 & (PARKED | BLOCKING | REVOKED) == 0
    }
}

/// Proof that its bearer was made owner of a lane, good until the lane's epoch rises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token(u64);

impl Token {
    /// The count of changes of hands that made this token.
    pub(crate) fn epoch(self) -> u64 {
        self.0 / EPOCH_ONE
    }

    /// The token as one word, for an assignment; never 0.
    pub(crate) fn to_raw(self) -> u64 {
        self.0
    }

    /// The reverse of [`Token::to_raw`]; `None` for 0.
    pub(crate) fn from_raw(raw: u64) -> Option<Token> {
        (raw != 0).then_some(Token(raw))
    }
}

/// A worker's "inside a section" flag: per worker, so that a late victim's leaving cannot clear
/// the mark of its successor.
#[derive(Debug)]
pub(crate) struct Mark(AtomicU32);

impl Mark {
    /// A mark of a worker that is outside.
    pub(crate) fn new() -> Mark {
        Mark(AtomicU32::new(0))
    }

    /// Ends a section.
    #[inline(always)]
    pub(crate) fn leave(&self) {
        // Release: pairs with the Acquire in `is_inside`; the taker sees the section's writes.
        self.0.store(0, Ordering::Release);
    }

    /// Begins a section that guards no lane: keeps retired queues in memory while it lasts.
    #[inline(always)]
    pub(crate) fn shield(&self) {
        // Relaxed: ordered before what follows by the fence, which pairs with `asym::heavy` of
        // the one who frees.
        self.0.store(1, Ordering::Relaxed);
        asym::light();
    }

    /// Whether the worker is inside a section; asked after [`asym::heavy`].
    pub(crate) fn is_inside(&self) -> bool {
        // Acquire: pairs with the Release in `leave`.
        self.0.load(Ordering::Acquire) != 0
    }
}

/// Why a lane was not handed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// The word is no longer the one that the caller saw.
    Changed,
    /// The victim is inside a section; try again later, never wait for it.
    Busy,
}

/// The owner word of one lane.
#[derive(Debug)]
pub(crate) struct Owner(AtomicU64);

impl Owner {
    /// A lane that nobody holds.
    pub(crate) fn vacant() -> Owner {
        Owner(AtomicU64::new(EPOCH_ONE))
    }

    /// The word as it is now.
    #[inline]
    pub(crate) fn view(&self) -> OwnerView {
        // Acquire: pairs with the Release of every change, so that who sees a BLOCKING or vacant
        // word sees the sections that came before it.
        OwnerView(self.0.load(Ordering::Acquire))
    }

    /// Begins a section: true if `token` still holds the lane. On false no section began.
    #[inline(always)]
    pub(crate) fn enter(&self, mark: &Mark, token: Token) -> bool {
        // Relaxed: the fence below orders it before the look at the word; pairs with
        // `asym::heavy` in `revoke`.
        mark.0.store(1, Ordering::Relaxed);
        asym::light();
        // Acquire: pairs with the Release of a thief that gives the word back.
        if self.0.load(Ordering::Acquire) == token.0 {
            return true;
        }
        mark.leave();
        false
    }

    /// Whether the bearer of `token` should try again soon: a thief is about to give back.
    pub(crate) fn only_revoked(&self, token: Token) -> bool {
        // Relaxed: a hint; the retried `enter` synchronises.
        self.0.load(Ordering::Relaxed) == token.0 | REVOKED
    }

    /// The owner announces that it sleeps. False: somebody is at the word, look again.
    /// On true the caller must look at the inbox once more before it sleeps.
    pub(crate) fn announce_park(&self, token: Token) -> bool {
        // AcqRel: Release publishes the queue to whoever vacates or takes later; Acquire pairs
        // with a thief's give-back.
        let parked = self
            .0
            .compare_exchange(
                token.0,
                token.0 | PARKED,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok();
        // SeqCst: the announcement before the look at the inbox; pairs with the fence in `notice`.
        fence(Ordering::SeqCst);
        parked
    }

    /// The owner takes its announcement back. False: a waker was faster (its wake-up may still
    /// be on the way), and the word holds the plain token again.
    pub(crate) fn cancel_park(&self, token: Token) -> bool {
        // Acquire: pairs with the Release of a pusher that cleared the flag.
        self.0
            .compare_exchange(
                token.0 | PARKED,
                token.0,
                Ordering::Acquire,
                Ordering::Acquire,
            )
            .is_ok()
    }

    /// Whether the sleeping owner is still announced as parked.
    pub(crate) fn still_parked(&self, token: Token) -> bool {
        // Acquire: pairs with the Release in `claim_wake`.
        self.0.load(Ordering::Acquire) == token.0 | PARKED
    }

    /// The word as seen by one who has just published work for this lane.
    #[inline]
    pub(crate) fn notice(&self) -> OwnerView {
        // SeqCst: the publication before the look; pairs with the fence in `announce_park` and
        // in `announce_blocking`.
        fence(Ordering::SeqCst);
        self.view()
    }

    /// Claims the duty of waking the parked owner. At most one caller gets the worker's number.
    pub(crate) fn claim_wake(&self, seen: OwnerView) -> Option<WorkerId> {
        if !seen.is_parked() || seen.is_revoked() {
            return None;
        }
        // Release: pairs with the Acquire in `cancel_park`, `still_parked`.
        self.0
            .compare_exchange(
                seen.0,
                seen.0 & !PARKED,
                Ordering::Release,
                Ordering::Relaxed,
            )
            .is_ok()
            .then(|| seen.worker())
    }

    /// A parked owner gives the lane up. False: it was woken meanwhile and must look again.
    pub(crate) fn vacate(&self, token: Token) -> bool {
        let next = (token.0 & !WORKER_MASK).wrapping_add(EPOCH_ONE);
        // Release: pairs with the Acquire in `view` of the next taker.
        let vacated = self
            .0
            .compare_exchange(token.0 | PARKED, next, Ordering::Release, Ordering::Relaxed)
            .is_ok();
        // SeqCst: the vacancy before the leaver's last look at the inbox; pairs with `notice`.
        fence(Ordering::SeqCst);
        vacated
    }

    /// The owner declares that it blocks. False: the lane is being taken, or is lost already.
    /// On true the caller must look for waiting work once more.
    pub(crate) fn announce_blocking(&self, token: Token) -> bool {
        // Release: a taker skips the fence of `revoke` for a declared block, so this publishes
        // the owner's last section; pairs with the Acquire in `revoke`.
        let declared = self
            .0
            .compare_exchange(
                token.0,
                token.0 | BLOCKING,
                Ordering::Release,
                Ordering::Relaxed,
            )
            .is_ok();
        // SeqCst: the declaration before the look at the inbox; pairs with the fence in `notice`.
        fence(Ordering::SeqCst);
        declared
    }

    /// The block is over. True: the lane is still the caller's.
    pub(crate) fn end_blocking(&self, token: Token) -> bool {
        loop {
            // Acquire: pairs with a taker's give-back after a failed attempt.
            match self.0.compare_exchange(
                token.0 | BLOCKING,
                token.0,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                // A taker looks for a spare worker this very moment: it takes or gives back.
                Err(now) if now == token.0 | BLOCKING | REVOKED => spin_hint(),
                Err(_) => return false,
            }
        }
    }

    /// Takes the lane from whom `seen` names, whose mark is `victim` (`None` for a vacant lane).
    /// After `Ok` only the bearer of the [`Revoked`] may touch the queue or the word.
    pub(crate) fn revoke(
        &self,
        seen: OwnerView,
        victim: Option<&Mark>,
    ) -> Result<Revoked<'_>, Refused> {
        if seen.is_revoked() || seen.is_parked() {
            return Err(Refused::Changed);
        }
        // Acquire: pairs with the Release of whoever wrote the word (a blocker, a leaver, a
        // giver-back). Release is not needed: nobody reads data through a spoiled word.
        self.0
            .compare_exchange(
                seen.0,
                seen.0 | REVOKED,
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .map_err(|_| Refused::Changed)?;
        let revoked = Revoked { owner: self, seen };
        let Some(victim) = victim else {
            return Ok(revoked);
        };
        if seen.is_blocking() {
            // The victim stands outside: it declared the block after its last section, and it
            // enters none before it has taken the declaration back, which REVOKED forbids.
            return Ok(revoked);
        }
        // The spoiled word before the look at the mark; pairs with `asym::light` in `enter`.
        asym::heavy();
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

/// The exclusive right over a lane whose owner word is spoiled. Must be ended by one of its
/// methods: a spoiled word that stays would stop the lane.
#[derive(Debug)]
#[must_use = "a revoked lane stands still until it is handed over or given back"]
pub(crate) struct Revoked<'a> {
    owner: &'a Owner,
    seen: OwnerView,
}

impl Revoked<'_> {
    /// The worker that lost, or lends, the lane.
    pub(crate) fn victim(&self) -> WorkerId {
        self.seen.worker()
    }

    /// The token that [`Revoked::hand_over`] to `worker` will make valid.
    pub(crate) fn next_token(&self, worker: WorkerId) -> Token {
        debug_assert!(
            worker != 0 && worker <= MAX_WORKER_ID,
            "a lane goes to a real worker"
        );
        let epoch = self.seen.0 & !(EPOCH_ONE - 1);
        Token(epoch.wrapping_add(EPOCH_ONE) | u64::from(worker))
    }

    /// Makes `worker` the owner.
    pub(crate) fn hand_over(self, worker: WorkerId) -> Token {
        let token = self.next_token(worker);
        // Release: the new owner's Acquire in `enter` sees the queue as the taker left it.
        self.owner.0.store(token.0, Ordering::Release);
        token
    }

    /// Leaves the lane to whom it belonged.
    pub(crate) fn give_back(self) {
        // Release: pairs with the Acquire in `enter`; the owner sees what a thief took.
        self.owner.0.store(self.seen.0, Ordering::Release);
    }
}
