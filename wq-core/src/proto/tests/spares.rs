//! Models of the spare stack.

use loom::sync::atomic::{AtomicBool, Ordering};

use super::{Guarded, race};
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
    fn with(ids: &[WorkerId]) -> Pool {
        let pool = Pool {
            spares: Spares::new(),
            workers: std::array::from_fn(|_| Worker {
                slot: SpareSlot::new(),
                record: Guarded::new(0),
                stacked: AtomicBool::new(false),
            }),
        };
        ids.iter().for_each(|id| pool.push(*id));
        pool
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

    /// Claims a spare, if there is one, and changes its record.
    fn claim_one(&self) -> Vec<WorkerId> {
        match self.spares.claim(|id| &self.workers[id as usize].slot) {
            Claim::Spare(id) => {
                let worker = &self.workers[id as usize];
                worker.record.write(|changes| *changes += 1);
                let stacked = worker.stacked.swap(false, Ordering::Relaxed);
                assert!(stacked, "claimed twice");
                vec![id]
            }
            Claim::Discarded(id) => panic!("worker {id} never retired"),
            Claim::Empty => Vec::new(),
        }
    }

    /// Claims until the stack is empty; who came out.
    fn drain(&self) -> Vec<WorkerId> {
        std::iter::from_fn(|| self.claim_one().pop()).collect()
    }
}

/// Who was claimed by several threads, in order of number.
fn sorted(claims: impl IntoIterator<Item = Vec<WorkerId>>) -> Vec<WorkerId> {
    let mut all: Vec<WorkerId> = claims.into_iter().flatten().collect();
    all.sort_unstable();
    all
}

/// Goal: a worker is claimed once, and its claimer sees it as it was when it became spare.
/// Method: a worker pushes itself while two takers claim.
#[test]
fn loom_spare_is_claimed_once() {
    race::<Pool, Vec<WorkerId>, _>(
        || Pool::with(&[1]),
        [
            |pool| {
                pool.push(2);
                Vec::new()
            },
            |pool| pool.claim_one(),
            |pool| pool.claim_one(),
        ],
        |pool, claims| {
            let all = sorted(claims.into_iter().chain([pool.drain()]));
            assert_eq!(all, [1, 2], "a spare was lost or claimed twice");
        },
    );
}

/// Goal: a claimer that sleeps while the top is claimed, what is below it too, and the top put
/// back, does not bring the lower one back (ABA). Method: exactly that, against one claim.
#[test]
fn loom_spare_put_back_does_not_deceive_a_claimer() {
    race::<Pool, Vec<WorkerId>, _>(
        || Pool::with(&[1, 2]),
        [Pool::claim_one, |pool| {
            let top = pool.claim_one();
            let kept = pool.claim_one();
            top.iter().for_each(|id| pool.push(*id));
            kept
        }],
        |pool, claims| {
            let all = sorted(claims.into_iter().chain([pool.drain()]));
            assert_eq!(all, [1, 2], "a spare was lost or claimed twice");
        },
    );
}

/// Goal: a spare that leaves is not assigned, one that is claimed does not leave, and whoever
/// gets its record sees what it did last. Method: retire against claim.
#[test]
fn loom_spare_retires_or_is_claimed() {
    race::<Pool, bool, _>(
        || Pool::with(&[1]),
        [
            |pool| {
                // What it does last must come before: afterwards the record may be used again.
                pool.workers[1].record.read(|changes| *changes);
                pool.workers[1].slot.retire()
            },
            |pool| match pool.spares.claim(|id| &pool.workers[id as usize].slot) {
                Claim::Discarded(1) => {
                    pool.workers[1].record.write(|changes| *changes += 1);
                    false
                }
                Claim::Spare(1) => true,
                other => panic!("{other:?} of one spare"),
            },
        ],
        |pool, [retired, claimed]| {
            assert!(retired != claimed, "it leaves or is claimed");
            assert!(pool.drain().is_empty(), "it was on the stack once");
        },
    );
}
