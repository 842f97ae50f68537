//! Mutexes that a foreign thread holds and lets go in time.
//!
//! A place has two mutexes and uses them in turn: while its thread waits for one, the feeder has
//! time to take the other for the next wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Poison;
use super::feeder::{Feed, Feeder};

/// The mutexes of a place.
#[derive(Default)]
struct Pair {
    /// Used in turn.
    locks: [Mutex<()>; 2],
    /// Waits so far; written by the place's own thread.
    waits: AtomicUsize,
}

/// See the module.
pub(super) struct Locks {
    /// By place. Leaked, so that the feeder can hold guards of it.
    pairs: &'static [Pair],
    /// Lets them go.
    feeder: Feeder,
}

impl Locks {
    /// Locks for a number of places.
    pub(super) fn new(time: Duration, places: usize) -> Self {
        let pairs: Vec<_> = (0..places).map(|_| Pair::default()).collect();
        let pairs: &'static [Pair] = Vec::leak(pairs);
        let feeder = Feeder::start(time, move || Keeper {
            held: pairs
                .iter()
                .map(|pair| [Some(take(&pair.locks[0])), None])
                .collect(),
            waits: vec![0; pairs.len()],
            pairs,
        });
        Self { pairs, feeder }
    }
}

impl Poison for Locks {
    fn block(&self, place: usize) {
        let pair = &self.pairs[place];
        // Relaxed: a place has one user at a time, and the runtime orders its visits.
        let wait = pair.waits.fetch_add(1, Ordering::Relaxed);
        self.feeder.announce(place);
        drop(take(&pair.locks[wait % 2]));
    }
}

/// The feeder's side.
struct Keeper {
    /// The same mutexes.
    pairs: &'static [Pair],
    /// Those that are held, by place.
    held: Vec<[Option<MutexGuard<'static, ()>>; 2]>,
    /// Waits that have ended, by place.
    waits: Vec<usize>,
}

impl Feed for Keeper {
    fn heard_of(&mut self, place: usize) {
        // The place waits for the other one, so this one is free or about to be.
        let other = (self.waits[place] + 1) % 2;
        self.held[place][other].get_or_insert_with(|| take(&self.pairs[place].locks[other]));
    }

    fn let_through(&mut self, place: usize) {
        self.held[place][self.waits[place] % 2] = None;
        self.waits[place] += 1;
    }
}

/// Takes a mutex that guards nothing, whatever became of others who held it.
fn take(lock: &Mutex<()>) -> MutexGuard<'_, ()> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
