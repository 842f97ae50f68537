//! How long a lane stands still when its item blocks without saying so: from the last instruction
//! before the blocking call to the first of the item that waits behind.
//!
//! `cargo run --release -p wq-core --example handover -- [ROUNDS]`
//!
//! One CPU's queue; each round an item that blocks (nanosleep, or a read from a pipe that is
//! empty), and another queued behind it. For a steady figure leave the CPU to it.

#![expect(clippy::print_stdout, reason = "a program's answer")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use wq_core::{System, Workqueue};

/// How long the item sleeps: much longer than any hand-over.
const BLOCK: Duration = Duration::from_micros(500);

/// Rounds if the command line says nothing.
const ROUNDS: usize = 2000;

/// Rounds before those that count: threads are made, lanes learn that they block.
const WARM_UP: usize = 200;

/// A way to block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Block {
    /// `clock_nanosleep`.
    Sleep,
    /// A read from an empty stream; a thread fills it later.
    Read,
    /// A sleep that is declared.
    Marked,
}

/// Measures one way to block.
fn measure(system: &System, block: Block, rounds: usize) -> Vec<Duration> {
    let queue = Workqueue::percpu("handover")
        .system(system)
        .build()
        .expect("a queue");
    let (wire, feeder) = UnixStream::pair().expect("a pair of sockets");
    let (ask, asked) = mpsc::channel::<()>();
    let fed = thread::spawn(move || {
        let mut feeder = feeder;
        while asked.recv().is_ok() {
            thread::sleep(BLOCK);
            feeder.write_all(&[0]).expect("the reader is there");
        }
    });
    let mut latencies = Vec::with_capacity(rounds);
    for round in 0..rounds + WARM_UP {
        let took = one_round(&queue, block, &wire, &ask);
        if round >= WARM_UP {
            latencies.push(took);
        }
    }
    drop(ask);
    fed.join().expect("the feeder ends");
    latencies
}

/// One hand-over.
fn one_round(
    queue: &Workqueue,
    block: Block,
    wire: &UnixStream,
    ask: &mpsc::Sender<()>,
) -> Duration {
    let mut wire = wire.try_clone().expect("a descriptor");
    let ask = ask.clone();
    let behind = (**queue).clone();
    // From inside an item, so that both are on the same CPU.
    let blocker = queue.spawn_fn(move || {
        let next = behind.spawn_fn(Instant::now);
        if block == Block::Read {
            ask.send(()).expect("the feeder is there");
        }
        let begun = Instant::now();
        match block {
            Block::Sleep => thread::sleep(BLOCK),
            Block::Read => wire.read_exact(&mut [0]).expect("the feeder writes"),
            Block::Marked => wq_core::blocking(|| thread::sleep(BLOCK)),
        }
        (begun, next)
    });
    let (begun, next) = blocker.wait().expect("the item returns");
    next.wait()
        .expect("the item returns")
        .saturating_duration_since(begun)
}

/// The value below which `share` of the sorted values lie.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let at = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[at]
}

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(ROUNDS)
        .max(1);
    let all = System::builder().build().expect("a System");
    let cpu = all.topology().allowed().iter().last().expect("a CPU");
    drop(all);
    let system = System::builder()
        .cpus(cpu.to_string())
        .build()
        .expect("a System");
    println!("CPU {cpu}, {rounds} rounds, block {BLOCK:?}; us");
    println!(
        "{:<8} {:>8} {:>8} {:>8} {:>8}",
        "block", "p50", "p99", "max", "missed"
    );
    for block in [Block::Marked, Block::Sleep, Block::Read] {
        let mut latencies = measure(&system, block, rounds);
        latencies.sort_unstable();
        // The block was over before the lane went on: no hand-over.
        let missed = latencies.iter().filter(|took| **took >= BLOCK).count();
        let us = |share| quantile(&latencies, share).as_secs_f64() * 1e6;
        println!(
            "{:<8} {:>8.1} {:>8.1} {:>8.1} {missed:>8}",
            format!("{block:?}").to_lowercase(),
            us(0.5),
            us(0.99),
            us(1.0),
        );
    }
    println!("{:?}", system.stats());
}
