//! Models of the assignment of a lane to a spare worker.

use loom::sync::atomic::{AtomicUsize, Ordering};

use super::{Guarded, race};
use crate::proto::assign::{Assignment, Offer};
use crate::proto::owner::taking::{Revoked, Standing};
use crate::proto::owner::{Mark, Owner, Token, WorkerId};
use crate::proto::park::Parker;
use crate::sync::spin_hint;

/// Holds every lane when a model begins.
const FIRST: WorkerId = 1;
/// The spare that is offered a lane.
const SPARE: WorkerId = 2;
/// Who else can take a lane.
const OTHER: WorkerId = 3;

/// Lanes, workers, and how often the spare went back to the stack.
struct Pool {
    lanes: [Owner; 2],
    /// What `FIRST` was given.
    tokens: [Token; 2],
    marks: [Mark; 4],
    /// Queue of the first lane: how many times somebody worked there.
    queue: Guarded<usize>,
    offer: Assignment,
    parker: Parker,
    /// Times that the spare was put back. Relaxed: only counted.
    backs: AtomicUsize,
}

impl Pool {
    /// `FIRST` holds both lanes.
    fn new() -> Pool {
        let lanes = [Owner::vacant(), Owner::vacant()];
        let tokens = [0, 1].map(|at: usize| {
            let token = lanes[at].occupy(lanes[at].view(), FIRST);
            token.expect("the lane is new")
        });
        Pool {
            lanes,
            tokens,
            marks: std::array::from_fn(|_| Mark::new()),
            queue: Guarded::new(0),
            offer: Assignment::new(),
            parker: Parker::new(),
            backs: AtomicUsize::new(0),
        }
    }

    /// Claims lane `at` from `victim`, if it has it.
    fn claim(&self, at: usize, victim: WorkerId) -> Option<Revoked<'_>> {
        let seen = self.lanes[at].view();
        if seen.worker() != victim {
            return None;
        }
        let mark = &self.marks[victim as usize];
        self.lanes[at].revoke(seen, mark, || Standing::Unknown).ok()
    }

    /// Notes that the spare is on the stack again.
    fn put_back(&self) {
        self.backs.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the spare went back.
    fn backs(&self) -> usize {
        self.backs.load(Ordering::Relaxed)
    }

    /// A taker's attempt to give lane `at` to the spare, which it has claimed. False: it was
    /// refused, and the taker has put the spare back.
    fn give(&self, at: usize) -> Gift {
        let Some(claim) = self.claim(at, FIRST) else {
            self.put_back();
            return Gift::PutBack;
        };
        let token = claim.next_token(SPARE);
        self.offer.offer(at as u32, token);
        if claim.hand_over(SPARE).is_some() {
            Gift::Given
        } else if self.offer.withdraw(at as u32, token) {
            self.put_back();
            Gift::PutBack
        } else {
            Gift::PutsItselfBack
        }
    }

    /// One look of the spare, which works if it got the first lane. True: it has what it was
    /// offered, or went back to the stack.
    fn look(&self) -> bool {
        match self.offer.look(SPARE, |at| self.lanes[at as usize].view()) {
            Offer::None => return false,
            Offer::Lane(0, token) if self.lanes[0].take_up(token) && self.work(SPARE, token) => {}
            Offer::Lane(..) | Offer::Lost => self.put_back(),
        }
        true
    }

    /// A worker works in the first lane, if it holds it.
    fn work(&self, worker: WorkerId, token: Token) -> bool {
        let mark = &self.marks[worker as usize];
        while !self.lanes[0].enter(mark, token) {
            if !self.lanes[0].only_revoked(token) {
                return false;
            }
            spin_hint();
        }
        self.queue.write(|items| *items += 1);
        mark.leave();
        true
    }

    /// How often somebody worked in the first lane.
    fn worked(&self) -> usize {
        self.queue.read(|items| *items)
    }
}

/// What became of the spare that a taker had claimed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gift {
    /// The lane's word names it.
    Given,
    /// The lane refused, the taker has put the spare back.
    PutBack,
    /// The lane refused, the spare has noticed and puts itself back.
    PutsItselfBack,
}

/// Goal: a spare that was offered a lane ends up with it or back on the stack, once. Method: a
/// taker offers and hands over while the owner comes back and the spare wakes for no reason.
#[test]
fn loom_offered_spare_gets_the_lane_or_goes_back() {
    race::<Pool, bool, _>(
        Pool::new,
        [
            |pool| pool.work(FIRST, pool.tokens[0]),
            |pool| pool.give(0) == Gift::Given,
            Pool::look,
        ],
        |pool, [kept, given, looked]| {
            let settled = looked || pool.look();
            assert!(kept || given, "the lane is with nobody");
            assert!(settled || !given, "the spare sleeps on a lane of its own");
            assert_eq!(
                given,
                pool.backs() == 0,
                "with a lane, or on the stack once"
            );
            assert_eq!(pool.worked(), usize::from(kept) + usize::from(given));
        },
    );
}

/// Goal: a spare that is given a lane and loses it before it wakes goes back to the stack once.
/// Method: a taker hands over, another one takes the lane from the new owner, which looks at any
/// moment.
#[test]
fn loom_spare_displaced_before_it_woke_goes_back() {
    race::<Pool, bool, _>(
        Pool::new,
        [
            |pool| pool.give(0) == Gift::Given,
            |pool| {
                let claim = pool.claim(0, SPARE);
                let token = claim.and_then(|claim| claim.keep(OTHER));
                token.is_some_and(|token| pool.work(OTHER, token))
            },
            Pool::look,
        ],
        |pool, [given, displaced, looked]| {
            assert!(given, "nobody came in between");
            assert!(looked || pool.look(), "the spare was given the lane");
            assert!(pool.backs() <= 1, "back on the stack twice");
            let ways = pool.worked() + pool.backs();
            assert_eq!(ways, 1 + usize::from(displaced), "it worked or went back");
        },
    );
}

/// Goal: a worker that is awake may have the lane of a spare that is not up yet; exactly one of
/// the two gets it, and the spare goes back to the stack once if it does not. Method: a taker hands
/// over, a sibling that finds the spare waking occupies the lane and withdraws the offer, the spare
/// looks at any moment.
#[test]
fn loom_lane_of_a_waking_spare_goes_to_one() {
    race::<Pool, bool, _>(
        Pool::new,
        [
            |pool| pool.give(0) == Gift::Given,
            |pool| {
                let seen = pool.lanes[0].view();
                let waking = seen.is_waking();
                let token = waking.then(|| pool.lanes[0].occupy(seen, OTHER));
                let Some(token) = token.flatten() else {
                    return false;
                };
                if pool.offer.withdraw(0, seen.token()) {
                    pool.put_back();
                }
                pool.work(OTHER, token)
            },
            Pool::look,
        ],
        |pool, [given, occupied, looked]| {
            assert!(given, "nobody came in between");
            let settled = looked || pool.look() || occupied;
            assert!(settled, "the spare sleeps on a lane of its own");
            assert_eq!(pool.backs(), usize::from(occupied), "back once, or not");
            assert_eq!(pool.worked(), 1, "the lane went to one of them");
        },
    );
}

/// Goal: a spare takes a lane that it was given though somebody else is at the word already.
/// Method: a taker hands over, another one claims the lane from the new owner and freezes; the
/// spare looks at any moment.
#[test]
fn loom_spare_takes_a_lane_that_is_claimed_again() {
    race::<Pool, bool, _>(
        Pool::new,
        [
            |pool| pool.give(0) == Gift::Given,
            |pool| {
                // Frozen.
                let _claim = pool.claim(0, SPARE);
                false
            },
            Pool::look,
        ],
        |pool, [given, _, looked]| {
            assert!(given, "nobody came in between");
            assert!(looked || pool.look(), "the spare was given the lane");
            assert_eq!(pool.worked(), 1, "it took a lane of its own for lost");
            assert_eq!(pool.backs(), 0);
        },
    );
}

/// Goal: a look of the spare at an offer that has failed does not throw the next one away, though
/// the two lanes' tokens are equal numbers. Method: one lane is offered and refused, for its owner
/// comes back and another taker gets it; then the other lane is given; the spare looks at any
/// moment.
#[test]
fn loom_stale_look_does_not_consume_the_next_offer() {
    race::<Pool, Option<bool>, _>(
        Pool::new,
        [
            |pool| {
                // As if it had been claimed again: nobody else does it here.
                let again = pool.give(1) == Gift::PutBack;
                again.then(|| pool.give(0) == Gift::Given)
            },
            |pool| {
                let mark = &pool.marks[FIRST as usize];
                if pool.lanes[1].enter(mark, pool.tokens[1]) {
                    mark.leave();
                }
                let claim = pool.claim(1, FIRST);
                claim.and_then(|claim| claim.keep(OTHER));
                None
            },
            |pool| Some(pool.look()),
        ],
        |pool, [second, _, looked]| {
            if second.is_none() {
                assert!(
                    looked == Some(true) || pool.look(),
                    "the first offer is gone"
                );
                return;
            }
            // The first lane may be refused as busy: its owner works in the second.
            if second == Some(false) {
                return;
            }
            assert!(looked == Some(true) || pool.look(), "the offer is gone");
            assert_eq!(pool.worked(), 1, "the spare got its lane");
            assert_eq!(pool.backs(), 1, "back once, after the first attempt");
        },
    );
}

/// Goal: a taker frozen between the hand-over and the wake-up strands nobody: whoever sees the
/// spare in the owner word may kick it. Method: the taker hands over and stops; a kicker looks at
/// the word and unparks the spare; if it saw the spare there, the spare finds its lane.
#[test]
fn loom_any_kick_wakes_a_spare_with_a_lane() {
    race::<Pool, bool, _>(
        Pool::new,
        [
            // Frozen after the hand-over: no wake-up.
            |pool| pool.give(0) == Gift::Given,
            |pool| {
                let saw = pool.lanes[0].view().worker() == SPARE;
                pool.parker.unpark();
                saw
            },
            |pool| {
                let early = pool.look();
                pool.parker.park(None);
                early || pool.look()
            },
        ],
        |pool, [_, saw, settled]| {
            assert!(settled || !saw, "kicked, but did not find its lane");
            assert_eq!(pool.worked(), usize::from(settled));
        },
    );
}
