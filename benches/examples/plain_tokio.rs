//! `yield_many` on tokio alone, without the harness: its figure must agree with the row
//! `yield_many` on `tokio-mt`, or something about the harness slows tokio down.
//!
//! `cargo run --release -p wq-benches --example plain_tokio`

use std::io::{self, Write};
use std::sync::mpsc;
use std::time::Instant;

use tokio::runtime::Builder;

/// Rounds; the median is printed.
const ROUNDS: usize = 31;
/// Repetitions in one round, as many as the harness makes.
const REPETITIONS: usize = 5;
/// Tasks in one repetition.
const TASKS: usize = 200;
/// Yields of each.
const YIELDS: usize = 1_000;

fn main() -> io::Result<()> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let (sender, receiver) = mpsc::sync_channel(TASKS);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..REPETITIONS {
            for _ in 0..TASKS {
                let sender = sender.clone();
                drop(runtime.spawn(async move {
                    for _ in 0..YIELDS {
                        tokio::task::yield_now().await;
                    }
                    sender.send(()).expect("the main thread waits");
                }));
            }
            receiver.iter().take(TASKS).for_each(drop);
        }
        let yields = REPETITIONS * TASKS * YIELDS;
        rounds.push(start.elapsed().as_nanos() as f64 / yields as f64);
    }
    rounds.sort_by(f64::total_cmp);
    let (low, middle, high) = (rounds[0], rounds[ROUNDS / 2], rounds[ROUNDS - 1]);
    writeln!(
        io::stdout(),
        "{middle:.1} ns for each yield ({low:.1} to {high:.1})"
    )
}
