//! Who may run a lane: the owner word, the section mark, and how a lane changes hands.
//!
//! A lane's queue is plain memory. The worker that stands in the owner word may touch it, inside
//! a *section*: it marks itself inside, looks whether the word still names it and nothing else,
//! works, and unmarks. Whoever wants the lane first spoils the word (REVOKED), then fences all
//! threads (or learns that the victim sleeps), then looks at the victim's mark: nothing inside
//! means that nobody will get inside while this spoiled word stands.
//!
//! A worker that sleeps, and is given a lane or woken for its own, must take it up (WAKING) before
//! it enters; until then a worker that is awake may have the lane in one exchange.
//!
//! A spoiled word is a claim, not a lock. Its maker may freeze for ever (the spotter runs at idle
//! priority), so the owner that comes back takes the word back, and a monitor spoils it anew. Each
//! spoiling raises the epoch, so that a late taker's exchange fails. Only the one who wants to
//! touch the queue itself, a thief, makes its claim a lock (STEALING), which others wait for; the
//! spotter never does that.
//!
//! Invariant: at most one thread is between a successful [`Owner::enter`] and the matching
//! [`Mark::leave`], or holds a [`Held`](taking::Held), and it sees all that its predecessors did.
//! Proof and models: `docs/memory-ordering.md`, "Lane ownership".

pub(crate) mod taking;

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use crate::sync::spin_hint;

use super::asym;

/// Number of a worker within its System; 0 stands for nobody.
pub(crate) type WorkerId = u32;

/// Bits of the owner word that hold the worker's number.
const WORKER_MASK: u64 = (1 << 19) - 1;
/// The lane was given to a worker that has not taken it up: it sleeps, or is being woken. It enters
/// nothing before it has cleared this, and until then whoever is awake may have the lane instead.
const WAKING: u64 = 1 << 19;
/// The owner found nothing to do and sleeps; whoever brings work makes this WAKING and wakes it.
const PARKED: u64 = 1 << 20;
/// The owner said that it is about to block: the lane may be taken without looking further.
const BLOCKING: u64 = 1 << 21;
/// Somebody wants the lane; the owner may still take it back.
const REVOKED: u64 = 1 << 22;
/// With REVOKED: somebody touches the queue, and only that one may change the word.
const STEALING: u64 = 1 << 23;
/// First bit of the epoch, which rises each time that the word is spoiled, and once more when
/// the lane changes hands. 40 bits: a taker would have to sleep through exactly that many
/// attempts to mistake a word for its own.
const EPOCH_ONE: u64 = 1 << 24;
/// Worker and flags, which decide; the epoch only tells one spoiled word from another.
const LOW: u64 = EPOCH_ONE - 1;

/// Largest worker number that an owner word can hold.
pub(crate) const MAX_WORKER_ID: WorkerId = WORKER_MASK as WorkerId;

/// A value of the owner word, decoded by questions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OwnerView(u64);

impl OwnerView {
    /// The worker that holds the lane, 0 for none.
    #[inline]
    pub(crate) fn worker(self) -> WorkerId {
        (self.0 & WORKER_MASK) as WorkerId
    }

    /// The token of the worker that the word names.
    pub(crate) fn token(self) -> Token {
        Token(self.0 & (!LOW | WORKER_MASK))
    }

    /// Whether this word is older than the one that `token` stands for.
    pub(crate) fn is_before(self, token: Token) -> bool {
        // Signed distance: right even when the epoch wraps.
        ((self.0 & !LOW).wrapping_sub(token.0 & !LOW) as i64) < 0
    }

    /// Nobody holds the lane.
    pub(crate) fn is_vacant(self) -> bool {
        self.worker() == 0
    }

    /// The holder sleeps because there was nothing to do.
    pub(crate) fn is_parked(self) -> bool {
        self.0 & PARKED != 0
    }

    /// The holder was given the lane, or was to be woken, and is not up yet.
    pub(crate) fn is_waking(self) -> bool {
        self.0 & WAKING != 0
    }

    /// The holder declared that it blocks.
    pub(crate) fn is_blocking(self) -> bool {
        self.0 & BLOCKING != 0
    }

    /// A take-over or a theft is under way, or its maker has stopped in the middle.
    pub(crate) fn is_revoked(self) -> bool {
        self.0 & REVOKED != 0
    }

    /// A thief is at the queue and will be done in a moment.
    pub(crate) fn is_stealing(self) -> bool {
        self.0 & STEALING != 0
    }

    /// The holder is (as far as the word tells) running items, or about to.
    pub(crate) fn is_running(self) -> bool {
        !self.is_vacant() && self.0 & (PARKED | BLOCKING | REVOKED) == 0
    }
}

/// Proof that its bearer was made owner of a lane, good until another worker is.
///
/// It is the bearer's number that counts, not the epoch: a word can name a worker again only
/// after that worker went back to the spares, by which it gave up every earlier token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token(u64);

impl Token {
    /// The token of `worker` for a change of hands with number `epoch`.
    pub(crate) fn new(epoch: u64, worker: WorkerId) -> Token {
        Token((epoch * EPOCH_ONE) | u64::from(worker))
    }

    /// The number of the change of hands that made this token.
    pub(crate) fn epoch(self) -> u64 {
        self.0 / EPOCH_ONE
    }

    /// The lower half of the word while the bearer runs items.
    #[inline(always)]
    fn low(self) -> u64 {
        self.0 & LOW
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
        // the one who frees, or of the one who takes the lane.
        self.0.store(1, Ordering::Relaxed);
        asym::light();
    }

    /// Whether the worker is inside a section; asked after [`asym::heavy`].
    pub(crate) fn is_inside(&self) -> bool {
        // Acquire: pairs with the Release in `leave`.
        self.0.load(Ordering::Acquire) != 0
    }
}

/// Why a lane was not taken.
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

    /// Begins a section: true if `token` still holds the lane. On false no section began; ask
    /// [`Owner::only_revoked`] whether to try again. A taker that has not finished loses.
    #[inline(always)]
    pub(crate) fn enter(&self, mark: &Mark, token: Token) -> bool {
        self.try_enter(mark, token) || (self.take_back(token) && self.try_enter(mark, token))
    }

    /// Begins a section if the word names the bearer of `token` and carries no flag.
    #[inline(always)]
    fn try_enter(&self, mark: &Mark, token: Token) -> bool {
        mark.shield();
        // Acquire: pairs with the Release of a thief that gives the word back, and of the taker
        // that handed the lane over.
        if self.0.load(Ordering::Acquire) & LOW == token.low() {
            return true;
        }
        mark.leave();
        false
    }

    /// Undoes an unfinished take-over: the owner is here, so it was not blocked for long.
    #[cold]
    fn take_back(&self, token: Token) -> bool {
        // Relaxed: the `try_enter` that follows acquires.
        self.change(token.low() | REVOKED, token.low(), Ordering::Relaxed)
    }

    /// Whether a failed [`Owner::enter`] is to be tried again: the lane is not lost, somebody
    /// else was at the word. A thief gives it back soon.
    pub(crate) fn only_revoked(&self, token: Token) -> bool {
        // Relaxed: a hint; the retried `enter` synchronises.
        let word = self.0.load(Ordering::Relaxed);
        word & LOW & !(REVOKED | STEALING) == token.low()
    }

    /// The owner announces that it sleeps. False: somebody is at the word, look again.
    /// On true the caller must look at the inbox once more before it sleeps.
    pub(crate) fn announce_park(&self, token: Token) -> bool {
        // Release: who occupies the lane once it is vacated, or takes it from a waking owner, sees
        // the owner's sections; pairs with the Acquire in its `enter`.
        let parked = self.change(token.low(), token.low() | PARKED, Ordering::Release);
        // SeqCst: the announcement before the look at the inbox; pairs with the fence in `notice`.
        fence(Ordering::SeqCst);
        parked
    }

    /// The owner takes its announcement back. False: a waker was faster (its wake-up may still
    /// be on the way), and the owner must take the lane up.
    pub(crate) fn cancel_park(&self, token: Token) -> bool {
        // Relaxed: the owner's next `enter` acquires.
        self.change(token.low() | PARKED, token.low(), Ordering::Relaxed)
    }

    /// Whether the sleeping owner is still announced as parked.
    pub(crate) fn still_parked(&self, token: Token) -> bool {
        // Relaxed: a stale yes costs nothing, since the claimer wakes the owner after the change;
        // what it brought is acquired with the inbox.
        self.0.load(Ordering::Relaxed) & LOW == token.low() | PARKED
    }

    /// The word as seen by one who has published work for this lane.
    #[inline]
    pub(crate) fn notice(&self) -> OwnerView {
        // SeqCst: the publication before the look; pairs with the fence in `announce_park`,
        // `vacate`, `announce_blocking` and `give_back`.
        fence(Ordering::SeqCst);
        self.view()
    }

    /// Claims the duty of waking the parked owner. At most one caller gets the worker's number.
    pub(crate) fn claim_wake(&self, seen: OwnerView) -> Option<WorkerId> {
        if !seen.is_parked() {
            return None;
        }
        // Relaxed: the flag carries no data. The claimer's fence in `notice` came before, so the
        // owner that sees the flag gone and announces another sleep sees the work.
        self.0
            .compare_exchange(
                seen.0,
                seen.0 ^ (PARKED | WAKING),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok()
            .then(|| seen.worker())
    }

    /// A parked owner gives the lane up. False: it was woken meanwhile and must look again.
    /// On true the caller must look at the inbox once more: there may be nobody else to do it.
    pub(crate) fn vacate(&self, token: Token) -> bool {
        // Relaxed: there was no section since `announce_park`, whose fence makes this a release;
        // pairs with the Acquire in `view` of who occupies the lane.
        let vacated = self.change(token.low() | PARKED, 0, Ordering::Relaxed);
        // SeqCst: the vacancy before the leaver's last look at the inbox; pairs with `notice`.
        fence(Ordering::SeqCst);
        vacated
    }

    /// A worker that sleeps takes up the lane that it was given, or for which it was woken. False:
    /// somebody who was awake has it.
    pub(crate) fn take_up(&self, token: Token) -> bool {
        // Relaxed: an exchange continues the release of whoever gave the lane, which the owner's
        // next `enter` acquires.
        self.change(token.low() | WAKING, token.low(), Ordering::Relaxed)
    }

    /// Makes the calling worker the owner of a lane that nobody holds, or whose owner is not up
    /// yet, in one step. That one finds out when it wakes up; it may have to be woken for it.
    /// `None`: somebody else was faster.
    pub(crate) fn occupy(&self, seen: OwnerView, me: WorkerId) -> Option<Token> {
        if !(seen.is_vacant() || seen.is_waking()) {
            return None;
        }
        self.give(seen, me, 0)
    }

    /// Gives a lane that nobody holds to a spare that the caller has claimed. `None`: somebody
    /// else was faster.
    pub(crate) fn assign(&self, seen: OwnerView, spare: WorkerId) -> Option<Token> {
        if !seen.is_vacant() {
            return None;
        }
        self.give(seen, spare, WAKING)
    }

    /// Replaces the word of a lane that nobody runs.
    fn give(&self, seen: OwnerView, worker: WorkerId, flag: u64) -> Option<Token> {
        let token = seen.vacant_token_for(worker);
        // Relaxed: an exchange continues the release of the leaver, of the sleeper, or of who gave
        // the lane to it; `worker` acquires that when it enters. The caller itself has done
        // nothing to the queue.
        self.0
            .compare_exchange(seen.0, token.0 | flag, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
            .then_some(token)
    }

    /// The owner declares that it blocks. False: the lane is being taken, or is lost already.
    /// On true the caller must look for waiting work once more.
    pub(crate) fn announce_blocking(&self, token: Token) -> bool {
        // Release: a taker skips the fence of `revoke` for a declared block, so this publishes
        // the owner's last section; pairs with the Acquire in `hold` and in `enter`.
        let declared = self.change(token.low(), token.low() | BLOCKING, Ordering::Release);
        // SeqCst: the declaration before the look at the inbox; pairs with the fence in `notice`.
        fence(Ordering::SeqCst);
        declared
    }

    /// The block is over. True: the lane is still the caller's. An unfinished taker loses.
    pub(crate) fn end_blocking(&self, token: Token) -> bool {
        let declared = token.low() | BLOCKING;
        loop {
            // Relaxed: the owner's next `enter` acquires.
            if self.change(declared, token.low(), Ordering::Relaxed)
                || self.change(declared | REVOKED, token.low(), Ordering::Relaxed)
            {
                return true;
            }
            // Relaxed: a hint; the next exchange synchronises.
            let word = self.0.load(Ordering::Relaxed);
            if word & LOW & !(REVOKED | STEALING) != declared {
                return false;
            }
            // A thief copies a few words out of the queue, or a taker has given up meanwhile.
            spin_hint();
        }
    }

    /// Replaces worker and flags `from` by `to`, whatever the epoch. False: they are others.
    fn change(&self, from: u64, to: u64, success: Ordering) -> bool {
        // Relaxed: only the value is needed; a stale one fails the exchange, and the caller has
        // itself seen the word change to what it asks for.
        let mut word = self.0.load(Ordering::Relaxed);
        while word & LOW == from {
            let next = word & !LOW | to;
            // Relaxed on failure: the value alone decides.
            match self
                .0
                .compare_exchange_weak(word, next, success, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }
}

impl OwnerView {
    /// The token that [`Owner::assign`] makes valid. Its epoch is a new one: a spare that looks
    /// at its offer too early must not take the lane for lost.
    pub(crate) fn vacant_token_for(self, worker: WorkerId) -> Token {
        self.token_for(worker)
    }

    /// The token that makes `worker` the owner in place of whom this word names, one epoch later.
    fn token_for(self, worker: WorkerId) -> Token {
        debug_assert!(
            worker != 0 && worker <= MAX_WORKER_ID,
            "a lane goes to a real worker"
        );
        Token((self.0 & !LOW).wrapping_add(EPOCH_ONE) | u64::from(worker))
    }
}
