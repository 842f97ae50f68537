//! How long a lane stands still when its item blocks without saying so: from the last instruction
//! before the blocking call to the first of the item that waits behind.
//!
//! `cargo run --release -p wq-benches --example handover -- [ROUNDS]`
//!
//! One CPU's queue; each round an item that blocks, and another queued behind it. What ends the
//! block runs on other CPUs, where there are any. The first table leaves the CPU to wq; in the
//! second a thread of this program, and so of the same control group, keeps it busy. *Missed* are
//! the rounds in which the block was over before the lane went on: they count with the time that
//! they took. For a steady figure leave the machine to it.

#![expect(clippy::print_stdout, reason = "a program's answer")]

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use wq::{System, Workqueue};
use wq_benches::poison::{Kind, Poison};

/// How long an item blocks: much longer than any hand-over of an idle CPU.
const BLOCK: Duration = Duration::from_micros(500);
/// The same on a busy CPU.
const BUSY_BLOCK: Duration = Duration::from_millis(10);
/// Rounds if the command line says nothing.
const ROUNDS: usize = 2000;
/// Rounds on a busy CPU are so many times fewer: they are as many times longer.
const BUSY_SHARE: usize = 10;
/// Rounds before those that count: threads are made, lanes learn that they block.
const WARM_UP: usize = 200;

/// How an item blocks.
struct Block {
    /// What does it.
    poison: Arc<dyn Poison>,
    /// Whether the item says so.
    marked: bool,
}

/// Measures one way to block, on the queue's one CPU.
fn measure(queue: &Workqueue, block: &Arc<Block>, rounds: usize, warm_up: usize) -> Vec<Duration> {
    let all = (0..rounds + warm_up).map(|_| one_round(queue, block));
    let mut latencies: Vec<_> = all.skip(warm_up).collect();
    latencies.sort_unstable();
    latencies
}

/// One hand-over.
fn one_round(queue: &Workqueue, block: &Arc<Block>) -> Duration {
    let block = Arc::clone(block);
    let behind = (**queue).clone();
    // From inside an item, so that both are on the same CPU.
    let blocker = queue.spawn_fn(move || {
        let next = behind.spawn_fn(Instant::now);
        let begun = Instant::now();
        if block.marked {
            wq::blocking(|| block.poison.block(0));
        } else {
            block.poison.block(0);
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

/// Measures and prints every way to block.
fn table(queue: &Workqueue, length: Duration, rounds: usize, warm_up: usize) {
    println!(
        "{:<8} {:>8} {:>8} {:>8} {:>8}",
        "block", "p50", "p99", "max", "missed"
    );
    let marked = std::iter::once((Kind::Sleep, true));
    for (kind, marked) in marked.chain(Kind::ALL.map(|kind| (kind, false))) {
        let name = if marked { "marked" } else { kind.name() };
        let poison = match kind.prepare(length, 1) {
            Ok(poison) => poison,
            Err(reason) => {
                println!("{name:<8} skipped: {reason}");
                continue;
            }
        };
        let block = Arc::new(Block { poison, marked });
        let latencies = measure(queue, &block, rounds, warm_up);
        let missed = latencies.iter().filter(|took| **took >= length).count();
        let us = |share| quantile(&latencies, share).as_secs_f64() * 1e6;
        println!(
            "{name:<8} {:>8.1} {:>8.1} {:>8.1} {missed:>8}",
            us(0.5),
            us(0.99),
            us(1.0),
        );
    }
}

/// Lets the calling thread use these CPUs only.
fn stay_on(cpus: impl Iterator<Item = usize>) {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(cpu).expect("the number is a CPU's");
    }
    sched_setaffinity(Pid::from_raw(0), &set).expect("these CPUs are allowed");
}

/// Keeps a CPU busy while `measured` runs.
fn with_busy_thread(cpu: usize, measured: impl FnOnce()) {
    let go_on = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            stay_on(std::iter::once(cpu));
            // Relaxed: the flag orders nothing.
            while go_on.load(Ordering::Relaxed) {
                hint::spin_loop();
            }
        });
        measured();
        // Relaxed: see above.
        go_on.store(false, Ordering::Relaxed);
    });
}

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(ROUNDS)
        .max(1);
    let all = System::builder().build().expect("a System");
    let cpus: Vec<_> = all.topology().allowed().iter().collect();
    drop(all);
    let (cpu, others) = cpus.split_last().expect("a CPU");
    let system = System::builder()
        .cpus(cpu.to_string())
        .build()
        .expect("a System");
    // After the System: its threads take nothing after this one. What ends blocks does.
    if !others.is_empty() {
        stay_on(others.iter().copied());
    }
    let queue = Workqueue::percpu("handover")
        .system(&system)
        .build()
        .expect("a queue");
    println!("CPU {cpu} idle, {rounds} rounds, block {BLOCK:?}; us");
    table(&queue, BLOCK, rounds, WARM_UP);
    let rounds = (rounds / BUSY_SHARE).max(1);
    println!("\nCPU {cpu} with a busy thread, {rounds} rounds, block {BUSY_BLOCK:?}; us");
    with_busy_thread(*cpu, || {
        table(&queue, BUSY_BLOCK, rounds, WARM_UP / BUSY_SHARE);
    });
    println!("\n{:?}", system.stats());
}
