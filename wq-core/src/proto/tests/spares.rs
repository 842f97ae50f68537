//! Models of the spare stack.

use loom::model;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use super::Guarded;
use crate::proto::owner::WorkerId;
use crate::proto::spares::{Claim, SpareSlot, Spares};

/// A worker as the stack sees it.
struct Worker {
    slot: SpareSlot,
    /// Belongs to whoever may push or has claimed the worker.
    record: Guarded<usize>,
    /// The worker is on the stack; only for catching a double push or claim.
    stacked: AtomicBool,
}

/// A pool with workers 1 to 3; 0 is not used.
struct Pool {
    spares: Spares,
    workers: [Worker; 4],
}

impl Pool {
    /// A pool on whose stack stand `ids`, the last on top.
    fn with(ids: &[WorkerId]) -> Arc<Pool> {
        let pool = Pool {
            spares: Spares::new(),
            workers: std::array::from_fn(|_| Worker {
                slot: SpareSlot::new(),
                record: Guarded::new(0),
                stacked: AtomicBool::new(false),
            }),
        };
        ids.iter().for_each(|id| pool.push(*id));
        Arc::new(pool)
    }

    /// Puts worker `id` on the stack, after a last change to its record.
    fn push(&self, id: WorkerId) {
        let worker = &self.workers[id as usize];
        worker.record.write(|changes| *changes += 1);
        assert!(
            !worker.stacked.swap(true, Ordering::Relaxed),
            "pushed twice"
        );
        self.spares.push(id, &worker.slot);
    }

    /// Claims a spare and changes its record; counts a discarded one's record as its own too.
    fn claim(&self) -> Claim {
        let claim = self.spares.claim(|id| &self.workers[id as usize].slot);
        if let Claim::Spare(id) | Claim::Discarded(id) = claim {
            let worker = &self.workers[id as usize];
            worker.record.write(|changes| *changes += 1);
            assert!(
                worker.stacked.swap(false, Ordering::Relaxed),
                "claimed twice"
            );
        }
        claim
    }

    /// Claims until the stack is empty; who came out.
    fn drain(&self) -> Vec<WorkerId> {
        std::iter::from_fn(|| match self.claim() {
            Claim::Spare(id) => Some(id),
            Claim::Discarded(id) => panic!("worker {id} never retired"),
            Claim::Empty => None,
        })
        .collect()
    }
}

/// Goal: a worker is claimed once, and its claimer sees it as it was when it became spare.
/// Method: a worker pushes itself while two takers claim.
#[test]
fn loom_spare_is_claimed_once() {
    model(|| {
        let pool = Pool::with(&[1]);
        let claimers = [(); 2].map(|()| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.claim())
        });
        pool.push(2);
        let mut seen = pool.drain();
        for claimer in claimers {
            if let Claim::Spare(id) = claimer.join().unwrap() {
                seen.push(id);
            }
        }
        seen.extend(pool.drain());
        seen.sort_unstable();
        assert_eq!(seen, [1, 2], "a spare was lost or claimed twice");
    });
}

/// Goal: a claimer that sleeps while the top is claimed, what is below it too, and the top put
/// back, does not bring the lower one back (ABA). Method: exactly that, against one claim.
#[test]
fn loom_spare_put_back_does_not_deceive_a_claimer() {
    model(|| {
        let pool = Pool::with(&[1, 2]);
        let slow = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.claim())
        };
        let mut kept = Vec::new();
        let top = pool.claim();
        if let Claim::Spare(id) = pool.claim() {
            kept.push(id);
        }
        if let Claim::Spare(id) = top {
            pool.push(id);
        }
        if let Claim::Spare(id) = slow.join().unwrap() {
            kept.push(id);
        }
        kept.extend(pool.drain());
        kept.sort_unstable();
        assert_eq!(kept, [1, 2], "a spare was lost or claimed twice");
    });
}

/// Goal: a spare that leaves is not assigned, one that is claimed does not leave, and whoever
/// gets its record sees what it did last. Method: retire against claim.
#[test]
fn loom_spare_retires_or_is_claimed() {
    model(|| {
        let pool = Pool::with(&[1]);
        let worker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                // What it does last must come before: afterwards the record may be used again.
                pool.workers[1].record.read(|changes| *changes);
                pool.workers[1].slot.retire()
            })
        };
        let claim = pool.spares.claim(|id| &pool.workers[id as usize].slot);
        if claim == Claim::Discarded(1) {
            pool.workers[1].record.write(|changes| *changes += 1);
        }
        let retired = worker.join().unwrap();
        assert_eq!(retired, claim == Claim::Discarded(1));
        assert_eq!(!retired, claim == Claim::Spare(1));
        assert!(pool.spares.is_empty());
    });
}
