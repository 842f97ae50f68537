//! How soon a crowd of blocking items is inside, each on a thread of its own: from the first
//! `spawn` until the last one blocks.
//!
//! `cargo run --release -p wq-core --example growth -- [ITEMS] [ROUNDS]`

#![expect(clippy::print_stdout, reason = "a program's answer")]

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use wq_core::System;

/// Items if the command line says nothing: one less than threads that a pool has at most, so that
/// one is left in reserve.
const ITEMS: usize = 511;

/// Rounds if the command line says nothing.
const ROUNDS: usize = 10;

/// Where the items block: how many are inside, and whether they may go.
#[derive(Default)]
struct Gate(Mutex<(usize, bool)>, Condvar);

impl Gate {
    /// One more is inside, and stays until the gate opens.
    fn pass(&self) {
        let mut inside = self.0.lock().expect("nobody panics");
        inside.0 += 1;
        self.1.notify_all();
        while !inside.1 {
            inside = self.1.wait(inside).expect("nobody panics");
        }
    }

    /// Waits until so many are inside, then opens; how long that took.
    fn fill(&self, n: usize) -> Duration {
        let begun = Instant::now();
        let mut inside = self.0.lock().expect("nobody panics");
        while inside.0 < n {
            inside = self.1.wait(inside).expect("nobody panics");
        }
        let took = begun.elapsed();
        inside.1 = true;
        self.1.notify_all();
        took
    }
}

/// One crowd on a System that has no worker yet.
fn one_round(items: usize) -> (Duration, usize) {
    let system = System::builder().build().expect("a System");
    let gate = Arc::new(Gate::default());
    let crowd: Vec<_> = (0..items)
        .map(|_| {
            let gate = Arc::clone(&gate);
            system.default_queue().spawn_fn(move || gate.pass())
        })
        .collect();
    let took = gate.fill(items);
    for task in crowd {
        task.wait().expect("it ends");
    }
    if std::env::var_os("V").is_some() {
        println!("{took:?} {:?}", system.stats());
    }
    (took, system.stats().threads_peak)
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|n| n.parse().ok());
    let items = numbers.next().unwrap_or(ITEMS).max(1);
    let rounds = numbers.next().unwrap_or(ROUNDS).max(1);
    let mut took: Vec<_> = (0..rounds).map(|_| one_round(items)).collect();
    took.sort_unstable();
    let ms = |at: usize| took[at].0.as_secs_f64() * 1e3;
    println!(
        "{items} items inside after {:.1} ms (median of {rounds}, {:.1} to {:.1}), {} threads",
        ms(rounds / 2),
        ms(0),
        ms(rounds - 1),
        took[rounds - 1].1,
    );
}
