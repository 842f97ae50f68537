//! The loom models, one file for each protocol file, and what they share.
//!
//! Run: `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 cargo test --release -p wq-core --lib
//! --target-dir target/loom -- loom_`. Loom tries every interleaving (up to the bound on
//! preemptions) and every value that a load may return. It treats SeqCst accesses as AcqRel and
//! honours only SeqCst fences, and it knows no `membarrier`: both sides of an asymmetric fence are
//! full fences here.
//!
//! Loom looks for another order of two accesses only if the later one's thread did not touch the
//! word in between, so a load that comes before a thread's "load, then store" is never tried after
//! it. Which side comes first depends on who was started first: [`race`] starts its parts forwards
//! and backwards, and the thread that checks takes no part.

mod abort;
mod arm;
mod assign;
mod counts;
mod crowd;
mod inbox;
mod owner;
mod park;
mod pin;
mod rest;
mod sleep;
mod spares;
mod state;
mod vigil;

use std::sync::{Mutex, MutexGuard, PoisonError};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// Runs `parts` at once on what `setup` makes, in every interleaving, started forwards and
/// backwards, then `check`s the answers.
pub(crate) fn race<S, R, const N: usize>(
    setup: fn() -> S,
    parts: [fn(&S) -> R; N],
    check: fn(&S, [R; N]),
) where
    S: Send + Sync + 'static,
    R: Send + 'static,
{
    for order in orders(N) {
        loom::model(move || {
            let shared = Arc::new(setup());
            let threads: Vec<_> = order
                .iter()
                .map(|&at| {
                    let shared = Arc::clone(&shared);
                    (at, thread::spawn(move || parts[at](&shared)))
                })
                .collect();
            let mut answers: Vec<_> = threads
                .into_iter()
                .map(|(at, thread)| (at, thread.join().unwrap()))
                .collect();
            answers.sort_by_key(|(at, _)| *at);
            let answers: Vec<R> = answers.into_iter().map(|(_, answer)| answer).collect();
            let Ok(answers) = <[R; N]>::try_from(answers) else {
                unreachable!("each part answers once");
            };
            check(&shared, answers);
        });
    }
}

/// `0..n` forwards and backwards: of any two parts each is started first once.
fn orders(n: usize) -> [Vec<usize>; 2] {
    [(0..n).collect(), (0..n).rev().collect()]
}

/// Plain memory under a protocol: loom fails the model if two accesses are not ordered.
#[derive(Debug)]
pub(crate) struct Guarded<T> {
    /// What loom watches.
    watched: UnsafeCell<()>,
    /// What the model counts. The lock is invisible to loom and never contended: loom runs one
    /// thread at a time.
    value: Mutex<T>,
}

// SAFETY: the cell guards `()`, so even unordered accesses, which loom reports, do no harm.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    /// Guards `value`.
    pub(crate) fn new(value: T) -> Guarded<T> {
        Guarded {
            watched: UnsafeCell::new(()),
            value: Mutex::new(value),
        }
    }

    /// A write, as loom sees it.
    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        self.watched.with_mut(|_| change(&mut self.lock()))
    }

    /// A read, as loom sees it.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.watched.with(|_| look(&self.lock()))
    }

    /// The value, unseen by loom.
    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
