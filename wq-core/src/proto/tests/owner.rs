//! Models of lane ownership: sections, take-over, theft, frozen takers.

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::thread;

use super::{Guarded, race};
use crate::proto::owner::taking::{Revoked, Standing};
use crate::proto::owner::{Mark, Owner, OwnerView, Refused, Token, WorkerId};
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
    /// What `VICTIM` was given.
    token: Token,
    /// By worker number; 0 is not used.
    marks: [Mark; 4],
    /// How many items were pushed, under the protocol.
    queue: Guarded<usize>,
    /// How many items wait at the door.
    inbox: AtomicUsize,
    /// The epoch of the token that a taker made for `SECOND`; 0 for none.
    assigned: AtomicU64,
    /// Whether `VICTIM` is off its CPU; the lock is its run queue's.
    off_cpu: Mutex<bool>,
}

impl Lane {
    /// A lane that `VICTIM` holds.
    fn held() -> Lane {
        let owner = Owner::vacant();
        let token = owner.occupy(owner.view(), VICTIM);
        Lane {
            token: token.expect("the lane is new"),
            owner,
            marks: std::array::from_fn(|_| Mark::new()),
            queue: Guarded::new(0),
            inbox: AtomicUsize::new(0),
            assigned: AtomicU64::new(0),
            off_cpu: Mutex::new(false),
        }
    }

    /// The victim's push: into the queue if it holds the lane, else into the inbox.
    fn push(&self) {
        if !self.section(VICTIM, self.token) {
            self.inbox.fetch_add(1, Ordering::Relaxed);
        }
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

    /// Claims the lane from the victim, if it still has it.
    fn claim(&self) -> Result<Revoked<'_>, Refused> {
        self.claim_as(|| Standing::Unknown)
    }

    /// Claims the lane from another worker, if that one has it.
    fn claim_from(&self, worker: WorkerId) -> Option<Revoked<'_>> {
        let seen = self.owner.view();
        let mark = &self.marks[worker as usize];
        let theirs = seen.worker() == worker;
        let claim = || self.owner.revoke(seen, mark, || Standing::Unknown);
        theirs.then(claim)?.ok()
    }

    /// As `claim`, with what is known of the victim.
    fn claim_as(&self, standing: impl FnOnce() -> Standing) -> Result<Revoked<'_>, Refused> {
        let seen = self.owner.view();
        if seen.worker() != VICTIM {
            return Err(Refused::Changed);
        }
        let mark = &self.marks[VICTIM as usize];
        self.owner.revoke(seen, mark, standing)
    }

    /// The victim's thread goes to sleep, or wakes up: its scheduler does that under the lock.
    fn switch(&self, off_cpu: bool) {
        *self.off_cpu.lock().unwrap() = off_cpu;
    }

    /// What the kernel says of the victim, under the same lock.
    fn look(&self) -> Standing {
        if *self.off_cpu.lock().unwrap() {
            Standing::Asleep
        } else {
            Standing::Awake
        }
    }

    /// One attempt at a take-over by `worker`, for itself.
    fn take_over(&self, worker: WorkerId) -> Option<Token> {
        self.claim().ok()?.keep(worker)
    }

    /// One attempt to give the lane to `SECOND`, which sleeps.
    fn give(&self) -> Option<Token> {
        self.claim().ok()?.hand_over(SECOND)
    }

    /// A take-over by `worker`, which then pushes once; how many items it pushed.
    fn take_and_push(&self, worker: WorkerId) -> usize {
        let Some(token) = self.take_over(worker) else {
            return 0;
        };
        assert!(self.section(worker, token), "the winner holds the lane");
        1
    }

    /// Passes a token on to another thread.
    fn tell(&self, token: Option<Token>, tell: Ordering) {
        self.assigned.store(token.map_or(0, Token::epoch), tell);
    }

    /// The worker that may have been told of its lane pushes once, if it finds itself owner.
    fn told_push(&self, hear: Ordering) -> Option<bool> {
        let epoch = self.assigned.load(hear);
        (epoch != 0).then(|| {
            let token = Token::new(epoch, SECOND);
            self.owner.take_up(token) && self.section(SECOND, token)
        })
    }

    /// What came in so far, counted once all threads have ended.
    fn total(&self) -> usize {
        self.queue.read(|items| *items) + self.inbox.load(Ordering::Relaxed)
    }
}

/// Goal: no two threads are in a section at once, and no push is lost, when a lane is taken from
/// a worker that is awake. Method: the old owner pushes twice, a taker hands over, the successor
/// pushes once; the owner word is all that orders it after the old owner.
#[test]
fn loom_takeover_excludes_the_old_owner() {
    race::<Lane, usize, _>(
        Lane::held,
        [
            |lane| {
                lane.push();
                lane.push();
                2
            },
            |lane| {
                lane.tell(lane.give(), Ordering::Relaxed);
                0
            },
            |lane| usize::from(lane.told_push(Ordering::Relaxed) == Some(true)),
        ],
        |lane, pushed| {
            let pushed: usize = pushed.iter().sum();
            assert_eq!(lane.total(), pushed, "an item was lost or counted twice");
        },
    );
}

/// Goal: a worker that was properly told of its lane never takes it for lost. Method: as above,
/// the assignment told by Release and Acquire.
#[test]
fn loom_successor_finds_itself_owner() {
    race::<Lane, (), _>(
        Lane::held,
        [
            |lane| lane.push(),
            |lane| lane.tell(lane.give(), Ordering::Release),
            |lane| assert_ne!(lane.told_push(Ordering::Acquire), Some(false)),
        ],
        |_, _| (),
    );
}

/// Goal: a look that finds the victim asleep after the claim stands for the barrier. Method: the
/// old owner pushes, sleeps, wakes up and pushes; a taker that looks after its claim hands over;
/// its worker pushes, told by the owner word alone.
#[test]
fn loom_look_after_the_claim_stands_for_the_barrier() {
    race::<Lane, usize, _>(
        Lane::held,
        [
            |lane| {
                lane.push();
                lane.switch(true);
                lane.switch(false);
                lane.push();
                2
            },
            |lane| {
                let claim = lane.claim_as(|| lane.look());
                let token = claim.ok().and_then(|claim| claim.hand_over(SECOND));
                lane.tell(token, Ordering::Relaxed);
                0
            },
            |lane| usize::from(lane.told_push(Ordering::Relaxed) == Some(true)),
        ],
        |lane, pushed| {
            let pushed: usize = pushed.iter().sum();
            assert_eq!(lane.total(), pushed, "an item was lost or counted twice");
        },
    );
}

/// Goal: a taker that looked and then froze, or found the owner awake, does not stop it, and its
/// claim is worth nothing once the owner came back. Method: the owner sleeps and then insists; a
/// taker looks after its claim and either hands over late or goes away.
#[test]
fn loom_woken_owner_passes_a_taker_that_looked() {
    race::<Lane, usize, _>(
        Lane::held,
        [
            |lane| {
                lane.switch(true);
                lane.switch(false);
                usize::from(lane.section_or_lost(VICTIM, lane.token))
            },
            |lane| {
                let claim = lane.claim_as(|| lane.look());
                let token = claim.ok().and_then(|claim| claim.keep(SECOND));
                usize::from(token.is_some_and(|token| lane.section(SECOND, token)))
            },
        ],
        |lane, [kept, taken]| {
            assert!(kept + taken >= 1, "the lane was lost to nobody");
            assert_eq!(lane.total(), kept + taken);
        },
    );
}

/// Goal: a thief and the owner are never in the queue together, see each other's changes, and the
/// owner is never told that the lane is lost; also when the thief comes back and freezes. Method:
/// the owner enters twice, insisting, while a thief claims, holds, takes everything, gives back,
/// and claims once more.
#[test]
fn loom_theft_excludes_the_owner_and_gives_back() {
    race::<Lane, usize, _>(
        Lane::held,
        [
            |lane| {
                for _ in 0..2 {
                    let entered = lane.section_or_lost(VICTIM, lane.token);
                    assert!(entered, "a thief gives back");
                }
                0
            },
            |lane| {
                let Some(held) = lane.claim().ok().and_then(|claim| claim.hold()) else {
                    return 0;
                };
                let taken = lane.queue.write(std::mem::take);
                held.give_back();
                // Frozen: this claim is neither handed over nor given back.
                let _claim = lane.claim();
                taken
            },
        ],
        |lane, [_, taken]| {
            assert_eq!(taken + lane.total(), 2, "an item was lost or stolen twice");
        },
    );
}

/// Goal: who occupies a lane, or is put there, sees what its last holder did. Method: the holder
/// works and leaves; another thread gives the lane to a worker that is told without ordering.
#[test]
fn loom_vacant_lane_shows_its_last_section() {
    race::<Lane, usize, _>(
        Lane::held,
        [
            |lane| {
                lane.push();
                assert!(
                    lane.owner.announce_park(lane.token),
                    "nobody is at the word"
                );
                assert!(lane.owner.vacate(lane.token), "nobody wakes the owner");
                1
            },
            |lane| {
                let token = lane.owner.assign(lane.owner.view(), SECOND);
                lane.tell(token, Ordering::Relaxed);
                0
            },
            |lane| usize::from(lane.told_push(Ordering::Relaxed) == Some(true)),
        ],
        |lane, pushed| assert_eq!(lane.total(), pushed.iter().sum::<usize>()),
    );
}

/// Goal: of two takers and the owner exactly one ends up with the lane, and each taker learns
/// whether its claimed worker is still to be put back. Method: both take at once while the owner
/// insists; each winner pushes under its token.
#[test]
fn loom_two_takers_do_not_both_win() {
    race::<Lane, usize, _>(
        Lane::held,
        [
            |lane| usize::from(lane.section_or_lost(VICTIM, lane.token)),
            |lane| lane.take_and_push(SECOND),
            |lane| lane.take_and_push(THIRD),
        ],
        |lane, [kept, second, third]| {
            assert!(second + third <= 1, "both takers won");
            assert!(kept + second + third >= 1, "the lane was lost to nobody");
            assert_eq!(lane.total(), kept + second + third, "an item was lost");
        },
    );
}

/// Goal: who takes a lane from a worker that took it and has entered nothing yet sees the sections
/// of the owner before that one, though the mark that it asks knows nothing of them. Method: a
/// worker takes the lane for itself and stops there; the next taker asks its mark, and pushes.
#[test]
fn loom_lane_taken_twice_shows_the_sections_before() {
    race::<Lane, usize, _>(
        Lane::held,
        [
            |lane| {
                lane.push();
                1
            },
            |lane| {
                // It keeps the lane, and looks at nothing.
                let _ = lane.take_over(SECOND);
                0
            },
            |lane| {
                let taken = lane.claim_from(SECOND).and_then(|claim| claim.keep(THIRD));
                taken.map_or(0, |token| usize::from(lane.section(THIRD, token)))
            },
        ],
        |lane, pushed| assert_eq!(lane.total(), pushed.iter().sum::<usize>()),
    );
}

/// Goal: a taker that stops for ever between its claim and the hand-over does not stop the owner.
/// Method: the taker forgets its claim; the owner must get in without anybody's help.
#[test]
fn loom_owner_passes_a_frozen_taker() {
    race::<Lane, (), _>(
        Lane::held,
        [
            |lane| {
                for _ in 0..2 {
                    let entered = lane.section_or_lost(VICTIM, lane.token);
                    assert!(entered, "the owner was stopped");
                }
            },
            |lane| {
                // Frozen: the claim is neither handed over nor given back.
                let _claim = lane.claim();
            },
        ],
        |lane, _| {
            let entered = lane.section_or_lost(VICTIM, lane.token);
            assert!(entered, "the owner was stopped");
            assert_eq!(lane.total(), 3);
        },
    );
}

/// Goal: a taker frozen after its claim does not keep a lane from a monitor that finds the word
/// unmoved, if the owner does not come back either. Method: the taker forgets its claim; the
/// monitor takes the lane, stale or not, and its worker pushes.
#[test]
fn loom_monitor_passes_a_frozen_taker() {
    race::<Lane, usize, _>(
        Lane::held,
        [
            |lane| {
                let _claim = lane.claim();
                0
            },
            monitor_takes,
        ],
        |lane, [_, early]| {
            // Its next round finds the word as the taker left it.
            let pushed = early + monitor_takes(lane);
            assert_eq!(pushed, 1, "the lane stands still");
            assert_eq!(lane.total(), pushed);
        },
    );
}

/// One round of a monitor that finds the lane's worker blocked; how many items were pushed.
fn monitor_takes(lane: &Lane) -> usize {
    let seen = lane.owner.view();
    let mark = &lane.marks[VICTIM as usize];
    let claim = if seen.worker() != VICTIM {
        return 0;
    } else if seen.is_revoked() {
        lane.owner.revoke_stale(seen, mark, || Standing::Unknown)
    } else {
        lane.owner.revoke(seen, mark, || Standing::Unknown)
    };
    let Some(token) = claim.ok().and_then(|claim| claim.keep(THIRD)) else {
        return 0;
    };
    assert!(lane.section(THIRD, token), "the monitor's worker holds it");
    1
}

/// Goal: a claim that was taken back is worth nothing, even if the word is spoiled again before
/// its bearer wakes up. Method: one taker claims and hands over late; a monitor claims at any
/// moment, renewing a stale claim; the owner pushes twice; winners push too.
#[test]
fn loom_late_taker_cannot_use_a_lost_claim() {
    race::<Lane, usize, _>(
        Lane::held,
        [
            |lane| {
                lane.push();
                lane.push();
                2
            },
            // The monitor may have renewed the claim even after the hand-over.
            |lane| {
                let token = lane.take_over(SECOND);
                usize::from(token.is_some_and(|token| lane.section(SECOND, token)))
            },
            monitor_takes,
        ],
        |lane, pushed| {
            let pushed: usize = pushed.iter().sum();
            assert_eq!(lane.total(), pushed, "an item was lost or counted twice");
        },
    );
}

/// The victim works, declares, ends the block, and works again if it kept the lane.
fn block_once(lane: &Lane) -> usize {
    assert!(lane.section(VICTIM, lane.token));
    assert!(lane.owner.announce_blocking(lane.token), "nobody takes it");
    let kept = lane.owner.end_blocking(lane.token);
    let entered = lane.section_or_lost(VICTIM, lane.token);
    assert_eq!(kept, entered, "what the end of the block says holds");
    usize::from(kept)
}

/// Claims a lane whose block was seen declared; such a claim is never refused as busy.
fn claim_blocked(lane: &Lane, seen: OwnerView) -> Option<Revoked<'_>> {
    if !seen.is_blocking() {
        return None;
    }
    let mark = &lane.marks[VICTIM as usize];
    let claim = lane.owner.revoke(seen, mark, || Standing::Unknown);
    assert_ne!(claim.as_ref().err(), Some(&Refused::Busy));
    claim.ok()
}

/// Takes a lane whose block was seen declared; how many items were pushed.
fn take_blocked(lane: &Lane, seen: OwnerView) -> usize {
    let claim = claim_blocked(lane, seen);
    let Some(token) = claim.and_then(|claim| claim.keep(SECOND)) else {
        return 0;
    };
    assert!(lane.section(SECOND, token), "the successor holds the lane");
    1
}

/// Goal: a declared block needs no fence, and has one winner. Method: the owner works, declares,
/// ends the block and works again, while a taker claims the declared lane and hands it over.
#[test]
fn loom_end_of_a_block_races_the_taker() {
    race::<Lane, usize, _>(
        Lane::held,
        [block_once, |lane| take_blocked(lane, lane.owner.view())],
        |lane, [kept, taken]| {
            assert_eq!(kept + taken, 1, "the lane has one owner");
            assert_eq!(lane.total(), 2);
        },
    );
}

/// Goal: the owner that comes back from a block passes a frozen taker. Method: as above, the
/// taker forgets its claim.
#[test]
fn loom_end_of_a_block_passes_a_frozen_taker() {
    race::<Lane, usize, _>(
        Lane::held,
        [block_once, |lane| {
            let _frozen = claim_blocked(lane, lane.owner.view());
            0
        }],
        |lane, [kept, _]| {
            assert_eq!(kept, 1, "the owner lost the lane to nobody");
            assert_eq!(lane.total(), 2);
        },
    );
}

/// Goal: a holder that looked during one block and claims during the next sees the sections in
/// between. Method: the owner blocks, works, and blocks again, all in the same word values; the
/// holder uses the queue itself.
#[test]
fn loom_second_block_shows_the_sections_before_it() {
    race::<Lane, usize, _>(
        Lane::held,
        [
            |lane| {
                let kept = block_once(lane);
                if kept == 1 {
                    assert!(lane.owner.announce_blocking(lane.token), "nobody takes it");
                }
                1 + kept
            },
            |lane| {
                let seen = lane.owner.view();
                // Loom would not by itself let the owner go on between look and claim: see
                // `tests.rs`.
                thread::yield_now();
                let claim = claim_blocked(lane, seen);
                let Some(held) = claim.and_then(|claim| claim.hold()) else {
                    return 0;
                };
                lane.queue.write(|items| *items += 1);
                held.give_back();
                1
            },
        ],
        |lane, [worked, taken]| assert_eq!(lane.total(), worked + taken),
    );
}
