//! The word of a re-queueable work item: pending, running, deferred, disabled.
//!
//! PENDING is an ownership token, as in the kernel: whoever sets it owns the next execution.
//! Every transition is a read-modify-write with AcqRel, the refused ones too: in the word's
//! modification order the clearing of PENDING follows each refused request and synchronises with
//! it, so the execution sees what the refused requester stored (G1, G2, G3). A plain load that
//! answers "already pending" would break that.
//! Proof and models: `docs/memory-ordering.md`, "Work item".

use crate::sync::atomic::{AtomicU64, Ordering};

/// The next execution is requested.
const PENDING: u64 = 1;
/// A worker is inside the function (or its future is in flight).
const RUNNING: u64 = 2;
/// The pending execution waits for the running one to end.
const DEFERRED: u64 = 4;
/// One level of disabling.
const DISABLE_ONE: u64 = 1 << 8;
/// All levels of disabling: 16 bits, as in the kernel.
const DISABLE_MASK: u64 = 0xffff << 8;
/// One step of the request's number.
const REQUEST_ONE: u64 = 1 << 32;

/// Number of a request: tells a stale entry of a cancelled request from the present one.
pub(crate) type Request = u32;

/// Answer to a request for an execution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a granted request must be queued or withdrawn"]
pub(crate) enum Requested {
    /// The caller owns the next execution and must queue it.
    Granted(Request),
    /// Somebody else's execution is still to come, and will see what the caller stored.
    AlreadyPending,
    /// Disabled: the request is lost.
    Disabled,
}

/// What an entry that reached a worker has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "it says what the worker does next"]
pub(crate) enum Begin {
    /// Run the function, then call [`WorkState::end`].
    Run,
    /// The item runs elsewhere; its end will wake this entry.
    Wait,
    /// The request was cancelled; do nothing.
    Stale,
}

/// What the end of an execution, or a cancellation, leaves to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a deferred execution waits to be woken"]
pub(crate) struct WakeDeferred(pub(crate) bool);

/// The word.
#[derive(Debug)]
pub(crate) struct WorkState(AtomicU64);

impl WorkState {
    /// Idle, enabled.
    pub(crate) fn new() -> WorkState {
        WorkState(AtomicU64::new(0))
    }

    /// Asks for an execution.
    pub(crate) fn request(&self) -> Requested {
        self.transition(|word| {
            if word & DISABLE_MASK != 0 {
                (word, Requested::Disabled)
            } else if word & PENDING != 0 {
                (word, Requested::AlreadyPending)
            } else {
                let next = (word | PENDING).wrapping_add(REQUEST_ONE);
                (next, Requested::Granted(request_of(next)))
            }
        })
    }

    /// What a request is answered that is not granted; `None` if one might be. A queue's place is
    /// sought only then, and before the request: a granted one is never refused, so that nobody
    /// relies on it in vain.
    pub(crate) fn look(&self) -> Option<Requested> {
        // Relaxed: a hint, where there is nothing to synchronise with; `request` decides.
        if self.0.load(Ordering::Relaxed) & (DISABLE_MASK | PENDING) == 0 {
            return None;
        }
        self.transition(|word| {
            let answer = if word & DISABLE_MASK != 0 {
                Some(Requested::Disabled)
            } else {
                (word & PENDING != 0).then_some(Requested::AlreadyPending)
            };
            (word, answer)
        })
    }

    /// Gives a granted request back unqueued, or cancels it: the one that was pending, if any was.
    /// No look before tells which that is.
    pub(crate) fn withdraw(&self) -> (Option<Request>, WakeDeferred) {
        self.transition(|word| {
            let next = word & !(PENDING | DEFERRED);
            let request = (word & PENDING != 0).then(|| request_of(word));
            (next, (request, WakeDeferred(word & DEFERRED != 0)))
        })
    }

    /// As [`WorkState::withdraw`], for one request alone: a later one stays.
    pub(crate) fn withdraw_request(&self, request: Request) -> (bool, WakeDeferred) {
        self.transition(|word| {
            if word & PENDING == 0 || request_of(word) != request {
                return (word, (false, WakeDeferred(false)));
            }
            (
                word & !(PENDING | DEFERRED),
                (true, WakeDeferred(word & DEFERRED != 0)),
            )
        })
    }

    /// The number of the latest request.
    pub(crate) fn latest(&self) -> Request {
        // Relaxed: a number to compare with; what it stands for is behind the waiters' lock.
        request_of(self.0.load(Ordering::Relaxed))
    }

    /// A worker has reached the entry of `request`.
    pub(crate) fn begin(&self, request: Request) -> Begin {
        self.transition(|word| {
            if word & PENDING == 0 || request_of(word) != request {
                (word, Begin::Stale)
            } else if word & RUNNING != 0 {
                (word | DEFERRED, Begin::Wait)
            } else {
                ((word & !(PENDING | DEFERRED)) | RUNNING, Begin::Run)
            }
        })
    }

    /// The execution is over.
    pub(crate) fn end(&self) -> WakeDeferred {
        self.transition(|word| {
            debug_assert!(word & RUNNING != 0, "only a running item ends");
            (
                word & !(RUNNING | DEFERRED),
                WakeDeferred(word & DEFERRED != 0),
            )
        })
    }

    /// One level of disabling more. False: the depth is exhausted.
    pub(crate) fn disable(&self) -> bool {
        self.transition(|word| {
            if word & DISABLE_MASK == DISABLE_MASK {
                (word, false)
            } else {
                (word + DISABLE_ONE, true)
            }
        })
    }

    /// One level of disabling less: `Some(true)` if the item is enabled now, `None` if it was
    /// not disabled.
    pub(crate) fn enable(&self) -> Option<bool> {
        self.transition(|word| {
            if word & DISABLE_MASK == 0 {
                return (word, None);
            }
            let next = word - DISABLE_ONE;
            (next, Some(next & DISABLE_MASK == 0))
        })
    }

    /// Whether an execution is to come; may be stale when it returns.
    pub(crate) fn is_pending(&self) -> bool {
        // Acquire: pairs with the Release of the transition that cleared PENDING.
        self.0.load(Ordering::Acquire) & PENDING != 0
    }

    /// Whether `request` is the one that is to come; may be stale when it returns.
    pub(crate) fn is_pending_as(&self, request: Request) -> bool {
        // Relaxed: a hint; the entry's `begin` decides, and synchronises.
        let word = self.0.load(Ordering::Relaxed);
        word & PENDING != 0 && request_of(word) == request
    }

    /// Whether the function runs; may be stale when it returns.
    pub(crate) fn is_running(&self) -> bool {
        // Acquire: pairs with the Release in `end`; who sees the end sees the execution (G4).
        self.0.load(Ordering::Acquire) & RUNNING != 0
    }

    /// Whether an execution is to come, and whether the function runs, at one moment.
    pub(crate) fn busy(&self) -> (bool, bool) {
        // Acquire: as in `is_pending` and `is_running`.
        let word = self.0.load(Ordering::Acquire);
        (word & PENDING != 0, word & RUNNING != 0)
    }

    /// Changes the word by `step`, always with a read-modify-write.
    fn transition<R>(&self, step: impl Fn(u64) -> (u64, R)) -> R {
        // Relaxed: the exchange below synchronises.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let (next, answer) = step(word);
            // AcqRel: pairs with itself, each transition with those before it (see above).
            match self
                .0
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return answer,
                Err(now) => word = now,
            }
        }
    }
}

/// The number of the latest request in `word`.
fn request_of(word: u64) -> Request {
    (word >> 32) as Request
}
