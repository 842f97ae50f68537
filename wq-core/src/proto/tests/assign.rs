//! Models of the assignment of a lane to a spare worker.

use loom::model;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::Guarded;
use crate::proto::assign::{Assignment, Offer};
use crate::proto::owner::{Mark, Owner, Token, WorkerId};
use crate::proto::park::Parker;

/// Holds every lane when a model begins.
const FIRST: WorkerId = 1;
/// The spare that is offered a lane.
const SPARE: WorkerId = 2;
/// Who else can take a lane.
const OTHER: WorkerId = 3;

/// Lanes, workers, and how often the spare went back to the stack.
struct Pool {
    lanes: [Owner; 2],
    marks: [Mark; 4],
    /// Queue of the first lane.
    queue: Guarded<usize>,
    offer: Assignment,
    parker: Parker,
    /// Times that the spare was put back. Relaxed: only counted.
    backs: AtomicUsize,
}

impl Pool {
    /// `FIRST` holds both lanes.
    fn new() -> (Arc<Pool>, [Token; 2]) {
        let pool = Pool {
            lanes: [Owner::vacant(), Owner::vacant()],
            marks: std::array::from_fn(|_| Mark::new()),
            queue: Guarded::new(0),
            offer: Assignment::new(),
            parker: Parker::new(),
            backs: AtomicUsize::new(0),
        };
        let tokens = [0, 1].map(|at| {
            let lane = &pool.lanes[at];
            lane.occupy(lane.view(), FIRST).expect("the lane is new")
        });
        (Arc::new(pool), tokens)
    }

    /// A taker's attempt to give lane `at` to the spare, which it has claimed.
    fn give(&self, at: u32) -> bool {
        let lane = &self.lanes[at as usize];
        let seen = lane.view();
        let claim = if seen.worker() == FIRST {
            lane.revoke(seen, Some(&self.marks[FIRST as usize])).ok()
        } else {
            None
        };
        let Some(claim) = claim else {
            self.backs.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        let token = claim.next_token(SPARE);
        self.offer.offer(at, token);
        if claim.hand_over(SPARE).is_some() {
            return true;
        }
        if self.offer.withdraw(at, token) {
            self.backs.fetch_add(1, Ordering::Relaxed);
        }
        false
    }

    /// One look of the spare. True: it has what it was offered, or went back to the stack.
    fn look(&self) -> bool {
        match self.offer.look(SPARE, |at| self.lanes[at as usize].view()) {
            Offer::None => return false,
            Offer::Lane(_, token) if self.push(SPARE, token) => {}
            Offer::Lane(..) | Offer::Lost => {
                self.backs.fetch_add(1, Ordering::Relaxed);
            }
        }
        true
    }

    /// A worker's push into the first lane, if it holds it.
    fn push(&self, worker: WorkerId, token: Token) -> bool {
        let mark = &self.marks[worker as usize];
        while !self.lanes[0].enter(mark, token) {
            if !self.lanes[0].only_revoked(token) {
                return false;
            }
        }
        self.queue.write(|items| *items += 1);
        mark.leave();
        true
    }
}

/// Goal: a spare that was offered a lane ends up with it or back on the stack, once. Method: a
/// taker offers and hands over while the owner comes back and the spare wakes for no reason.
#[test]
fn loom_offered_spare_gets_the_lane_or_goes_back() {
    model(|| {
        let (pool, tokens) = Pool::new();
        let taker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.give(0))
        };
        let spare = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.look())
        };
        let kept = pool.push(FIRST, tokens[0]);
        let given = taker.join().unwrap();
        let looked = spare.join().unwrap();
        let settled = looked || pool.look();
        assert!(kept || given, "the lane is with nobody");
        let backs = pool.backs.load(Ordering::Relaxed);
        assert_eq!(given, backs == 0, "with a lane, or on the stack once");
        assert!(settled || !given, "the spare sleeps on a lane of its own");
        assert_eq!(
            pool.queue.read(|n| *n),
            usize::from(kept) + usize::from(given)
        );
    });
}

/// Goal: a spare that is given a lane and loses it before it wakes goes back to the stack once.
/// Method: a taker hands over, another one takes the lane from the new owner, which looks at any
/// moment.
#[test]
fn loom_spare_displaced_before_it_woke_goes_back() {
    model(|| {
        let (pool, _) = Pool::new();
        let taker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.give(0))
        };
        let other = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                let seen = pool.lanes[0].view();
                if seen.worker() != SPARE {
                    return false;
                }
                let mark = &pool.marks[SPARE as usize];
                let claim = pool.lanes[0].revoke(seen, Some(mark)).ok();
                let token = claim.and_then(|claim| claim.hand_over(OTHER));
                token.is_some_and(|token| pool.push(OTHER, token))
            })
        };
        let looked = pool.look();
        assert!(taker.join().unwrap(), "nobody came in between");
        let displaced = other.join().unwrap();
        assert!(looked || pool.look(), "the spare was given the lane");
        let backs = pool.backs.load(Ordering::Relaxed);
        let pushed = pool.queue.read(|n| *n);
        assert!(backs <= 1, "back on the stack twice");
        assert_eq!(pushed + backs, if displaced { 2 } else { 1 });
    });
}

/// Goal: a spare whose first offer failed does not throw the next one away, though the two
/// lanes' tokens are equal numbers. Method: an offer of one lane is withdrawn, then the other
/// lane is given; the spare wakes for no reason at any moment.
#[test]
fn loom_stale_look_does_not_consume_the_next_offer() {
    model(|| {
        let (pool, tokens) = Pool::new();
        let taker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                // The second lane refuses; if the spare did not notice, give it the first.
                if !pool.give(1) && pool.backs.swap(0, Ordering::Relaxed) == 1 {
                    return Some(pool.give(0));
                }
                None
            })
        };
        let spoiler = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                // The owner comes back to the second lane, and somebody else takes it.
                let mark = &pool.marks[FIRST as usize];
                if pool.lanes[1].enter(mark, tokens[1]) {
                    mark.leave();
                }
                let seen = pool.lanes[1].view();
                if seen.worker() == FIRST {
                    let claim = pool.lanes[1].revoke(seen, Some(mark)).ok();
                    let _ = claim.and_then(|claim| claim.hand_over(OTHER));
                }
            })
        };
        let looked = pool.offer.look(SPARE, |at| pool.lanes[at as usize].view());
        let second = taker.join().unwrap();
        spoiler.join().unwrap();
        if second == Some(true) && looked == Offer::None {
            assert!(pool.look(), "the offer was thrown away");
            assert_eq!(pool.backs.load(Ordering::Relaxed), 0);
        }
        if let (Some(true), Offer::Lost) = (second, looked) {
            panic!("the offer that was taken back was consumed, or the next one thrown away");
        }
    });
}

/// Goal: a taker frozen between the hand-over and the wake-up strands nobody: whoever sees the
/// spare in the owner word may kick it. Method: the taker hands over and stops; a kicker looks at
/// the word and unparks the spare; if it saw the spare there, the spare finds its lane.
#[test]
fn loom_any_kick_wakes_a_spare_with_a_lane() {
    model(|| {
        let (pool, _) = Pool::new();
        let taker = {
            let pool = Arc::clone(&pool);
            // Frozen after the hand-over: no wake-up.
            thread::spawn(move || assert!(pool.give(0), "nobody comes in between"))
        };
        let kicker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                let saw = pool.lanes[0].view().worker() == SPARE;
                pool.parker.unpark();
                saw
            })
        };
        let mut settled = pool.look();
        pool.parker.park(None);
        settled = settled || pool.look();
        let saw = kicker.join().unwrap();
        taker.join().unwrap();
        assert!(settled || !saw, "kicked, but did not find its lane");
        assert_eq!(pool.queue.read(|n| *n), usize::from(settled));
    });
}
