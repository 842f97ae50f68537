//! Models of a lane whose owner goes away (parks, leaves, blocks) while others bring work.

use loom::model;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::Guarded;
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
    marks: [Mark; 3],
    parker: Parker,
    /// Items at the door.
    inbox: AtomicUsize,
    /// Items executed, under the protocol.
    done: Guarded<usize>,
    /// Somebody saw that work waits and nobody serves it, and would make a worker.
    noticed: AtomicUsize,
}

impl Lane {
    /// A lane that `FIRST` holds.
    fn held() -> (Arc<Lane>, Token) {
        let lane = Lane {
            owner: Owner::vacant(),
            marks: std::array::from_fn(|_| Mark::new()),
            parker: Parker::new(),
            inbox: AtomicUsize::new(0),
            done: Guarded::new(0),
            noticed: AtomicUsize::new(0),
        };
        let token = lane.owner.occupy(lane.owner.view(), FIRST);
        (Arc::new(lane), token.expect("the lane is new"))
    }

    /// Brings one item. True: the inbox was empty.
    fn post(&self) -> bool {
        self.inbox.fetch_add(1, Ordering::Release) == 0
    }

    /// The look before a sleep.
    fn has_work(&self) -> bool {
        self.inbox.load(Ordering::Relaxed) > 0
    }

    /// Executes all that waits, as `worker`. `None`: it does not hold the lane.
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

    /// Works until `want` items are done, sleeping in between.
    fn work_until(&self, token: Token, want: usize) {
        while self.serve(FIRST, token).expect("nobody takes the lane") < want {
            if !self.owner.announce_park(token) {
                continue;
            }
            if self.has_work() {
                // If it fails, the wake-up finds an owner that is awake.
                let _ = self.owner.cancel_park(token);
                continue;
            }
            while self.owner.still_parked(token) {
                self.parker.park(None);
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
}

/// Goal: no wake-up is lost: nobody sleeps while work waits. Method: two pushers bring an item
/// each to an owner that sleeps whenever it sees nothing; a lost wake-up never ends.
#[test]
fn loom_parked_owner_is_woken_for_every_item() {
    model(|| {
        let (lane, token) = Lane::held();
        let pushers = [(); 2].map(|()| {
            let lane = Arc::clone(&lane);
            thread::spawn(move || lane.post_and_kick())
        });
        lane.work_until(token, 2);
        pushers
            .into_iter()
            .for_each(|pusher| pusher.join().unwrap());
        assert_eq!(lane.done.read(|done| *done), 2);
    });
}

/// Goal: the owner that gives a parked lane up leaves no item behind, and the next one sees its
/// sections. Method: it works, announces its sleep, and leaves if nothing came; a pusher brings an
/// item, wakes it or occupies the lane itself.
#[test]
fn loom_leaving_owner_leaves_nothing_behind() {
    model(|| {
        let (lane, token) = Lane::held();
        let pusher = {
            let lane = Arc::clone(&lane);
            thread::spawn(move || lane.post_and_kick())
        };
        lane.serve(FIRST, token);
        while lane.owner.announce_park(token) {
            if lane.has_work() && lane.owner.cancel_park(token) {
                lane.serve(FIRST, token);
            } else if !lane.owner.vacate(token) {
                // Woken: the lane is still held.
                lane.serve(FIRST, token);
            } else if lane.has_work() {
                // The last look: the pusher may have come too early to find the lane vacant.
                let back = lane.owner.occupy(lane.owner.view(), FIRST);
                if let Some(token) = back {
                    lane.serve(FIRST, token);
                }
                break;
            }
        }
        pusher.join().unwrap();
        assert!(!lane.has_work(), "an item was left behind");
        assert_eq!(lane.done.read(|done| *done), 1);
    });
}

/// Goal: work that comes while the owner blocks is served, without the victim's help once the
/// block is declared and looked over. Method: the owner works, declares, looks, then blocks for
/// ever; a pusher that sees the declaration takes the lane over.
#[test]
fn loom_declared_block_strands_no_item() {
    model(|| {
        let (lane, token) = Lane::held();
        let pusher = {
            let lane = Arc::clone(&lane);
            thread::spawn(move || {
                lane.post();
                let seen = lane.owner.notice();
                if !seen.is_blocking() {
                    return;
                }
                let mark = &lane.marks[FIRST as usize];
                let claim = lane.owner.revoke(seen, Some(mark)).ok();
                if let Some(token) = claim.and_then(|claim| claim.hand_over(SECOND)) {
                    lane.serve(SECOND, token).expect("just handed over");
                }
            })
        };
        lane.serve(FIRST, token);
        assert!(lane.owner.announce_blocking(token), "nobody is at the word");
        if lane.has_work() && lane.owner.end_blocking(token) {
            lane.serve(FIRST, token);
        }
        pusher.join().unwrap();
        assert!(!lane.has_work(), "an item was left behind");
        assert_eq!(lane.done.read(|done| *done), 1);
    });
}

/// Goal: whoever gives a blocked lane back sees the work of those who meanwhile saw a spoiled
/// word and went away. Method: a taker without a worker to give (or a thief) claims and gives
/// back, then looks; a pusher brings an item and looks at the word; one of them must notice.
fn given_back_block_is_noticed(hold: bool) {
    model(move || {
        let (lane, token) = Lane::held();
        assert!(lane.owner.announce_blocking(token), "nobody is at the word");
        let taker = {
            let lane = Arc::clone(&lane);
            thread::spawn(move || {
                let mark = &lane.marks[FIRST as usize];
                let claim = lane.owner.revoke(lane.owner.view(), Some(mark));
                let claim = claim.expect("nobody else is at the word");
                if hold {
                    claim.hold().expect("nobody can undo it").give_back();
                } else {
                    claim.give_back();
                }
                if lane.has_work() {
                    lane.noticed.store(1, Ordering::Relaxed);
                }
            })
        };
        lane.post();
        if !lane.owner.notice().is_revoked() {
            lane.noticed.store(1, Ordering::Relaxed);
        }
        taker.join().unwrap();
        assert_eq!(
            lane.noticed.load(Ordering::Relaxed),
            1,
            "an item was left behind"
        );
    });
}

/// Goal and method: see `given_back_block_is_noticed`, for a taker.
#[test]
fn loom_block_given_back_by_a_taker_is_noticed() {
    given_back_block_is_noticed(false);
}

/// Goal and method: see `given_back_block_is_noticed`, for a thief.
#[test]
fn loom_block_given_back_by_a_thief_is_noticed() {
    given_back_block_is_noticed(true);
}
