//! Models of a lane whose owner goes away (parks, leaves, blocks) while others bring work.

use loom::sync::atomic::{AtomicUsize, Ordering};

use super::{Guarded, race};
use crate::proto::owner::taking::{Revoked, Standing};
use crate::proto::owner::{Mark, Owner, Token, WorkerId};
use crate::proto::park::Parker;
use crate::sync::spin_hint;

/// The worker that holds the lane when a model begins.
const FIRST: WorkerId = 1;
/// The worker that a pusher can put in its place.
const SECOND: WorkerId = 2;

/// A lane with an inbox that has the orderings of the real one, and no more.
struct Lane {
    owner: Owner,
    /// What `FIRST` was given.
    token: Token,
    marks: [Mark; 3],
    parker: Parker,
    /// Items at the door.
    inbox: AtomicUsize,
    /// Items executed, under the protocol.
    done: Guarded<usize>,
}

impl Lane {
    /// A lane that `FIRST` holds.
    fn held() -> Lane {
        let owner = Owner::vacant();
        let token = owner.occupy(owner.view(), FIRST);
        Lane {
            token: token.expect("the lane is new"),
            owner,
            marks: std::array::from_fn(|_| Mark::new()),
            parker: Parker::new(),
            inbox: AtomicUsize::new(0),
            done: Guarded::new(0),
        }
    }

    /// A lane whose owner has declared that it blocks.
    fn blocked() -> Lane {
        let lane = Lane::held();
        let declared = lane.owner.announce_blocking(lane.token);
        assert!(declared, "nobody is at the word");
        lane
    }

    /// Brings one item. True: the inbox was empty.
    fn post(&self) -> bool {
        self.inbox.fetch_add(1, Ordering::Release) == 0
    }

    /// The look before a sleep.
    fn has_work(&self) -> bool {
        self.inbox.load(Ordering::Relaxed) > 0
    }

    /// Executes all that waits, as `worker`; how many are done. `None`: it does not hold the lane.
    fn serve(&self, worker: WorkerId, token: Token) -> Option<usize> {
        let mark = &self.marks[worker as usize];
        while !self.owner.enter(mark, token) {
            if !self.owner.only_revoked(token) {
                return None;
            }
            spin_hint();
        }
        let taken = self.inbox.swap(0, Ordering::Acquire);
        let done = self.done.write(|done| {
            *done += taken;
            *done
        });
        mark.leave();
        Some(done)
    }

    /// The owner works until `want` items are done, sleeping in between.
    fn work_until(&self, want: usize) {
        while self
            .serve(FIRST, self.token)
            .expect("nobody takes the lane")
            < want
        {
            if !self.owner.announce_park(self.token) {
                continue;
            }
            if self.has_work() && self.owner.cancel_park(self.token) {
                continue;
            }
            while self.owner.still_parked(self.token) {
                self.parker.park(None);
            }
            assert!(self.owner.take_up(self.token), "nobody takes the lane");
        }
    }

    /// The owner serves, then gives the lane up unless something comes; the last look is its own.
    fn work_and_leave(&self) {
        self.serve(FIRST, self.token);
        while self.owner.announce_park(self.token) {
            if self.has_work() && self.owner.cancel_park(self.token) {
                self.serve(FIRST, self.token);
            } else if !self.owner.vacate(self.token) {
                // Woken: the lane is still held.
                assert!(self.owner.take_up(self.token), "nobody takes the lane");
                self.serve(FIRST, self.token);
            } else {
                // The pusher may have come too early to find the lane vacant.
                let back = self.has_work().then(|| self.owner.view());
                if let Some(token) = back.and_then(|seen| self.owner.occupy(seen, FIRST)) {
                    self.serve(FIRST, token);
                }
                return;
            }
        }
    }

    /// Brings one item and sees to it that it is served.
    fn post_and_kick(&self) {
        if !self.post() {
            return;
        }
        let seen = self.owner.notice();
        if seen.is_vacant() {
            if let Some(token) = self.owner.occupy(seen, SECOND) {
                self.serve(SECOND, token).expect("just occupied");
            }
        } else if self.owner.claim_wake(seen).is_some() {
            self.parker.unpark();
        }
    }

    /// Takes the claim of a lane whose block is declared.
    fn claim(&self) -> Option<Revoked<'_>> {
        let seen = self.owner.view();
        let mark = &self.marks[FIRST as usize];
        self.owner.revoke(seen, mark, || Standing::Unknown).ok()
    }
}

/// Goal: no wake-up is lost: nobody sleeps while work waits. Method: two pushers bring an item
/// each to an owner that sleeps whenever it sees nothing; a lost wake-up never ends.
#[test]
fn loom_parked_owner_is_woken_for_every_item() {
    race::<Lane, (), _>(
        Lane::held,
        [
            |lane| lane.work_until(2),
            Lane::post_and_kick,
            Lane::post_and_kick,
        ],
        |lane, _| assert_eq!(lane.done.read(|done| *done), 2),
    );
}

/// Goal: the owner that gives a parked lane up leaves no item behind, and the next one sees its
/// sections. Method: it works, announces its sleep, and leaves if nothing came; a pusher brings an
/// item, wakes it or occupies the lane itself.
#[test]
fn loom_leaving_owner_leaves_nothing_behind() {
    race::<Lane, (), _>(
        Lane::held,
        [Lane::work_and_leave, Lane::post_and_kick],
        |lane, _| {
            assert!(!lane.has_work(), "an item was left behind");
            assert_eq!(lane.done.read(|done| *done), 1);
        },
    );
}

/// Goal: a worker that is awake may have the lane of an owner that was woken and is not up yet; it
/// sees the owner's sections, and each item is served once. Method: the owner works, sleeps, and
/// works again if it still has the lane; a pusher brings an item and claims the wake-up; a sibling
/// that finds the owner waking serves in its place.
#[test]
fn loom_lane_of_a_waking_owner_goes_to_one() {
    race::<Lane, Option<usize>, _>(
        Lane::held,
        [
            |lane| {
                lane.serve(FIRST, lane.token);
                let announced = lane.owner.announce_park(lane.token);
                assert!(announced, "nobody is at the word");
                if lane.has_work() && lane.owner.cancel_park(lane.token) {
                    return lane.serve(FIRST, lane.token);
                }
                // The wake-up may come at any time, or from nobody.
                if lane.owner.still_parked(lane.token) || !lane.owner.take_up(lane.token) {
                    return None;
                }
                lane.serve(FIRST, lane.token)
            },
            |lane| {
                lane.post_and_kick();
                None
            },
            |lane| {
                let seen = lane.owner.view();
                if !seen.is_waking() {
                    return None;
                }
                let token = lane.owner.occupy(seen, SECOND)?;
                Some(lane.serve(SECOND, token).expect("just occupied"))
            },
        ],
        |lane, [first, _, second]| {
            if first.is_none() && second.is_none() {
                let left = lane.owner.view();
                let asleep = left.is_parked() || left.is_waking();
                assert!(asleep || lane.done.read(|done| *done) == 1, "left behind");
                return;
            }
            assert_eq!(lane.done.read(|done| *done), 1, "served once");
        },
    );
}

/// Goal: work that comes while the owner blocks is served, without the victim's help once the
/// block is declared and looked over. Method: the owner works, declares, looks, then blocks for
/// ever; a pusher that sees the declaration takes the lane over.
#[test]
fn loom_declared_block_strands_no_item() {
    race::<Lane, (), _>(
        Lane::held,
        [
            |lane| {
                lane.serve(FIRST, lane.token);
                let declared = lane.owner.announce_blocking(lane.token);
                assert!(declared, "nobody is at the word");
                if lane.has_work() && lane.owner.end_blocking(lane.token) {
                    lane.serve(FIRST, lane.token);
                }
            },
            |lane| {
                lane.post();
                if !lane.owner.notice().is_blocking() {
                    return;
                }
                let token = lane.claim().and_then(|claim| claim.keep(SECOND));
                if let Some(token) = token {
                    lane.serve(SECOND, token).expect("just handed over");
                }
            },
        ],
        |lane, _| {
            assert!(!lane.has_work(), "an item was left behind");
            assert_eq!(lane.done.read(|done| *done), 1);
        },
    );
}

/// Brings an item to a blocked lane. True: somebody is needed, and the bringer sees it.
fn post_and_notice(lane: &Lane) -> bool {
    lane.post();
    !lane.owner.notice().is_revoked()
}

/// Goal: whoever gives a blocked lane back sees the work of those who meanwhile saw a spoiled
/// word and went away. Method: a taker without a worker to give claims, gives back, and looks; a
/// pusher brings an item and looks at the word; one of them must notice.
#[test]
fn loom_block_given_back_by_a_taker_is_noticed() {
    race::<Lane, bool, _>(
        Lane::blocked,
        [post_and_notice, |lane| {
            lane.claim()
                .expect("nobody else is at the word")
                .give_back();
            lane.has_work()
        }],
        |_, [by_pusher, by_taker]| assert!(by_pusher || by_taker, "an item was left behind"),
    );
}

/// Goal: as above for a thief. Method: it makes its claim a lock before it gives back.
#[test]
fn loom_block_given_back_by_a_thief_is_noticed() {
    race::<Lane, bool, _>(
        Lane::blocked,
        [post_and_notice, |lane| {
            let claim = lane.claim().expect("nobody else is at the word");
            claim.hold().expect("nobody undoes it").give_back();
            lane.has_work()
        }],
        |_, [by_pusher, by_thief]| assert!(by_pusher || by_thief, "an item was left behind"),
    );
}
