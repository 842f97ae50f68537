//! The engine on virtual machines under a virtual clock: seeds, each a random program, whose every
//! step is held against a model of the rules (`wq-core/src/sim/fuzz.rs`).
//!
//! `WQ_SIM_SEED=n` plays one seed and no other. For a long run there is
//! `cargo run --release -p wq-core --example simulate -- --seeds 100000`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use wq_core_sim::sim::fuzz::{self, Counts, Failure};

/// Operations of a seed.
const OPS: usize = 200;

/// Seeds of a test run: some seconds.
const SEEDS: u64 = 1_500;

/// Nothing is lost, nothing runs beside itself or out of turn, limits, flushes and delays hold,
/// and no CPU idles while work waits, whatever the program. And all that can happen has happened.
#[test]
fn promises_hold_whatever_the_program() {
    if let Some(seed) = one_seed() {
        if let Err(failure) = fuzz::run(seed, OPS) {
            panic!("{failure}");
        }
        return;
    }
    let next = AtomicU64::new(0);
    let sum: Mutex<Result<Counts, Failure>> = Mutex::new(Ok(Counts::default()));
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for job in 0..jobs {
            let (next, sum) = (&next, &sum);
            scope.spawn(move || {
                fuzz::keep_to_one_cpu(job);
                play_some(next, sum);
            });
        }
    });
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    let counts = sum.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(
        counts.missing().is_empty(),
        "never seen: {:?}",
        counts.missing()
    );
}

/// The seed that the environment asks for.
fn one_seed() -> Option<u64> {
    std::env::var("WQ_SIM_SEED").ok()?.parse().ok()
}

/// Plays seeds until there are no more, or one has failed.
fn play_some(next: &AtomicU64, sum: &Mutex<Result<Counts, Failure>>) {
    loop {
        // Relaxed: a ticket.
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= SEEDS {
            return;
        }
        let played = fuzz::run(seed, OPS);
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        match (sum.as_mut(), played) {
            (Ok(counts), Ok(outcome)) => counts.merge(&outcome.counts),
            (Ok(_), Err(failure)) => {
                *sum = Err(failure);
                // Relaxed: the others stop when they look.
                next.store(SEEDS, Ordering::Relaxed);
            }
            (Err(_), _) => return,
        }
    }
}

/// The same seed is the same run, event by event.
#[test]
fn a_seed_is_a_run() {
    fuzz::keep_to_one_cpu(0);
    for seed in 0..40 {
        if let Some(difference) = fuzz::compare(seed, OPS) {
            panic!("seed {seed}: {difference}");
        }
    }
}
