//! Models of lane ownership: sections, take-over, theft, frozen takers.

use loom::model;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::thread;

use super::Guarded;
use crate::proto::owner::{Mark, Owner, Refused, Token, WorkerId};
use crate::sync::spin_hint;

/// The worker that holds the lane when a model begins.
const VICTIM: WorkerId = 1;
/// The worker that a first taker has claimed.
const SECOND: WorkerId = 2;
/// The worker that another taker has claimed.
const THIRD: WorkerId = 3;

/// A lane with its queue, its inbox and the marks of the workers that may run it.
struct Lane {
    owner: Owner,
    /// By worker number; 0 is not used.
    marks: [Mark; 4],
    /// How many items were pushed, under the protocol.
    queue: Guarded<usize>,
    /// How many items wait at the door.
    inbox: AtomicUsize,
    /// The token that a taker made, passed on without any ordering of its own.
    assigned: AtomicU64,
}

impl Lane {
    /// A lane that `VICTIM` holds.
    fn held() -> (Arc<Lane>, Token) {
        let lane = Lane {
            owner: Owner::vacant(),
            marks: std::array::from_fn(|_| Mark::new()),
            queue: Guarded::new(0),
            inbox: AtomicUsize::new(0),
            assigned: AtomicU64::new(0),
        };
        let token = lane.owner.occupy(lane.owner.view(), VICTIM);
        (Arc::new(lane), token.expect("the lane is new"))
    }

    /// A worker's push: into the queue if it holds the lane, else into the inbox.
    fn push(&self, worker: WorkerId, token: Token) -> bool {
        let entered = self.section(worker, token);
        if !entered {
            self.post();
        }
        entered
    }

    /// One section that adds an item. False: the lane is not (or not now) the worker's.
    fn section(&self, worker: WorkerId, token: Token) -> bool {
        let mark = &self.marks[worker as usize];
        let entered = self.owner.enter(mark, token);
        if entered {
            self.queue.write(|items| *items += 1);
            mark.leave();
        }
        entered
    }

    /// A worker's look for work: tries until it got in or the lane is lost.
    fn section_or_lost(&self, worker: WorkerId, token: Token) -> bool {
        loop {
            if self.section(worker, token) {
                return true;
            }
            if !self.owner.only_revoked(token) {
                return false;
            }
            spin_hint();
        }
    }

    /// Anybody's push. True: the inbox was empty.
    fn post(&self) -> bool {
        self.inbox.fetch_add(1, Ordering::AcqRel) == 0
    }

    /// What came in so far, counted once all threads have ended.
    fn total(&self) -> usize {
        self.queue.read(|items| *items) + self.inbox.load(Ordering::Acquire)
    }

    /// One attempt at a take-over by `worker`, who then pushes once.
    fn take_over(&self, worker: WorkerId) -> Option<Token> {
        let seen = self.owner.view();
        if seen.worker() != VICTIM {
            return None;
        }
        let claim = self.owner.revoke(seen, Some(&self.marks[VICTIM as usize]));
        claim.ok()?.hand_over(worker)
    }
}

/// Runs the old owner's two pushes against a taker that hands over to a successor which pushes
/// once, told of its token with the orderings given. `must_hold`: it may not find itself outside.
fn old_owner_taker_successor(tell: Ordering, hear: Ordering, must_hold: bool) {
    let (lane, token) = Lane::held();
    let taker = {
        let lane = Arc::clone(&lane);
        thread::spawn(move || {
            if let Some(token) = lane.take_over(SECOND) {
                lane.assigned.store(token.to_raw(), tell);
            }
        })
    };
    let successor = {
        let lane = Arc::clone(&lane);
        thread::spawn(move || {
            let Some(token) = Token::from_raw(lane.assigned.load(hear)) else {
                return 0;
            };
            let entered = lane.section(SECOND, token);
            assert!(entered || !must_hold, "the successor holds the lane");
            usize::from(entered)
        })
    };
    lane.push(VICTIM, token);
    lane.push(VICTIM, token);
    taker.join().unwrap();
    let pushed = 2 + successor.join().unwrap();
    assert_eq!(lane.total(), pushed, "an item was lost or counted twice");
}

/// Goal: no two threads are in a section at once, and no push is lost, when a lane is taken from
/// a worker that is awake. Method: the owner word is all that orders the successor after the old
/// owner; the assignment is told without any ordering.
#[test]
fn loom_takeover_excludes_the_old_owner() {
    model(|| old_owner_taker_successor(Ordering::Relaxed, Ordering::Relaxed, false));
}

/// Goal: a worker that was properly told of its lane never takes it for lost. Method: as above,
/// the assignment told by Release and Acquire.
#[test]
fn loom_successor_finds_itself_owner() {
    model(|| old_owner_taker_successor(Ordering::Release, Ordering::Acquire, true));
}

/// Goal: a thief and the owner are never in the queue together, see each other's changes, and the
/// owner is never told that the lane is lost. Method: the owner enters twice, insisting, while a
/// thief claims, holds, takes everything and gives back.
#[test]
fn loom_theft_excludes_the_owner_and_gives_back() {
    model(|| {
        let (lane, token) = Lane::held();
        let thief = {
            let lane = Arc::clone(&lane);
            thread::spawn(move || {
                let mark = &lane.marks[VICTIM as usize];
                let claim = lane.owner.revoke(lane.owner.view(), Some(mark));
                let Some(held) = claim.ok().and_then(|claim| claim.hold()) else {
                    return 0;
                };
                let taken = lane.queue.write(std::mem::take);
                held.give_back();
                taken
            })
        };
        for _ in 0..2 {
            assert!(lane.section_or_lost(VICTIM, token), "a thief gives back");
        }
        let taken = thief.join().unwrap();
        assert_eq!(taken + lane.total(), 2, "an item was lost or stolen twice");
    });
}

/// Goal: of two takers and the owner exactly one ends up with the lane, and each taker learns
/// whether its claimed worker is still to be put back. Method: both take at once while the owner
/// pushes; each winner pushes under its token.
#[test]
fn loom_two_takers_do_not_both_win() {
    model(|| {
        let (lane, token) = Lane::held();
        let takers = [SECOND, THIRD].map(|worker| {
            let lane = Arc::clone(&lane);
            thread::spawn(move || match lane.take_over(worker) {
                Some(token) => {
                    assert!(lane.section(worker, token), "the winner holds the lane");
                    1
                }
                None => 0,
            })
        });
        let kept = lane.section_or_lost(VICTIM, token);
        let won: usize = takers.map(|taker| taker.join().unwrap()).iter().sum();
        assert!(won <= 1, "both takers won");
        assert!(kept || won == 1, "the lane was lost to nobody");
        assert_eq!(lane.total(), won + usize::from(kept), "an item was lost");
    });
}

/// Goal: a taker that stops for ever between its claim and the hand-over does not stop the owner.
/// Method: the taker forgets its claim; the owner must get in without anybody's help.
#[test]
fn loom_owner_passes_a_frozen_taker() {
    model(|| {
        let (lane, token) = Lane::held();
        let taker = {
            let lane = Arc::clone(&lane);
            thread::spawn(move || {
                let mark = &lane.marks[VICTIM as usize];
                // Frozen: the claim is neither handed over nor given back.
                drop(lane.owner.revoke(lane.owner.view(), Some(mark)));
            })
        };
        assert!(lane.section_or_lost(VICTIM, token), "the owner was stopped");
        assert!(lane.section_or_lost(VICTIM, token), "the owner was stopped");
        taker.join().unwrap();
        assert!(lane.section_or_lost(VICTIM, token), "the owner was stopped");
        assert_eq!(lane.total(), 3);
    });
}

/// Goal: a claim that was taken back is worth nothing, even if the word is spoiled again before
/// its bearer wakes up. Method: one taker claims and hands over late; another claims at any
/// moment, renewing a stale claim; the owner pushes twice; winners push too.
#[test]
fn loom_late_taker_cannot_use_a_lost_claim() {
    model(|| {
        let (lane, token) = Lane::held();
        let late = {
            let lane = Arc::clone(&lane);
            thread::spawn(move || {
                let Some(token) = lane.take_over(SECOND) else {
                    return 0;
                };
                usize::from(lane.section(SECOND, token))
            })
        };
        let monitor = {
            let lane = Arc::clone(&lane);
            thread::spawn(move || {
                let seen = lane.owner.view();
                let mark = &lane.marks[VICTIM as usize];
                let claim = if seen.worker() != VICTIM {
                    return 0;
                } else if seen.is_revoked() {
                    lane.owner.revoke_stale(seen, Some(mark))
                } else {
                    lane.owner.revoke(seen, Some(mark))
                };
                let Some(token) = claim.ok().and_then(|claim| claim.hand_over(THIRD)) else {
                    return 0;
                };
                assert!(lane.section(THIRD, token), "the monitor's worker holds it");
                1
            })
        };
        lane.push(VICTIM, token);
        lane.push(VICTIM, token);
        let pushed = 2 + late.join().unwrap() + monitor.join().unwrap();
        assert_eq!(lane.total(), pushed, "an item was lost or counted twice");
    });
}

/// Goal: a declared block needs no fence, and the owner that comes back passes a frozen taker.
/// Method: the owner works, declares, ends the block and works again, while a taker claims
/// the declared lane and hands it over or stops for ever.
#[test]
fn loom_end_of_a_block_races_the_taker() {
    for frozen in [false, true] {
        model(move || {
            let (lane, token) = Lane::held();
            let taker = {
                let lane = Arc::clone(&lane);
                thread::spawn(move || {
                    let seen = lane.owner.view();
                    if !seen.is_blocking() {
                        return 0;
                    }
                    let mark = &lane.marks[VICTIM as usize];
                    let claim = lane.owner.revoke(seen, Some(mark));
                    assert_ne!(claim.as_ref().err(), Some(&Refused::Busy));
                    if frozen {
                        return 0;
                    }
                    let Some(token) = claim.ok().and_then(|claim| claim.hand_over(SECOND)) else {
                        return 0;
                    };
                    assert!(lane.section(SECOND, token), "the successor holds the lane");
                    1
                })
            };
            assert!(lane.section(VICTIM, token));
            assert!(lane.owner.announce_blocking(token), "nobody takes it yet");
            let kept = lane.owner.end_blocking(token);
            assert!(kept || !frozen, "the owner lost the lane to nobody");
            if kept {
                assert!(lane.section(VICTIM, token), "the lane was kept");
            } else {
                assert!(!lane.section_or_lost(VICTIM, token), "the lane was lost");
            }
            let taken = taker.join().unwrap();
            assert_eq!(usize::from(kept) + taken, 1, "the lane has one owner");
            assert_eq!(lane.total(), 2);
        });
    }
}
