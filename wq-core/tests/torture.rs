//! Torture of everything that queues and items can do, by eight threads at a time on real CPUs:
//! requests, delays, cancels, disables, flushes, drains, destroys, freezes, other limits and
//! attributes, CPUs that go and come back, threads that are refused, lanes that are taken.
//!
//! Runs of an item never overlap; what is accepted is executed or cancelled; what was stored before
//! a request, coalesced or not, is seen by a later run; nobody waits for ever, or the dump is told.
//! `WQ_TORTURE_SECONDS` and `WQ_TORTURE_SEED` ask for another time and another dice.

#[path = "torture/changes.rs"]
mod changes;
#[path = "torture/deeds.rs"]
mod deeds;
#[path = "torture/dice.rs"]
mod dice;
#[path = "torture/item.rs"]
mod item;
#[path = "torture/requests.rs"]
mod requests;
#[path = "torture/tasks.rs"]
mod tasks;
#[path = "torture/world.rs"]
mod world;

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use wq_core::driver::{allow_cpus, be_patient, on_machine, refuse_threads};
use wq_core::{FakeSpec, System, SystemBuilder};

use deeds::{DEEDS, Hand};
use world::World;

/// Threads that torture.
pub(crate) const THREADS: usize = 8;

/// Longer than any wait that ends, on a crowded machine under a sanitizer, too.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(60);

/// Who waits without a limit is told of a little later.
const MORE: Duration = Duration::from_secs(30);

/// The monitor leaves missing wake-ups alone for so long: each rescue is a lost one, then.
const PATIENCE: Duration = Duration::from_secs(5);

/// A System lives for so long.
const ROUND: Duration = Duration::from_secs(10);

/// A number from the environment.
fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

/// Some seconds of it, on this machine and on one with two nodes.
#[test]
fn stress_everything_at_once_briefly() {
    torture(Duration::from_secs(4));
}

/// Five minutes of it.
#[test]
#[ignore = "takes five minutes"]
fn stress_everything_at_once() {
    torture(Duration::from_secs(300));
}

/// So long, in rounds with a fresh System each. Every deed was done in the end.
#[expect(clippy::print_stdout, reason = "the figures, shown with `--nocapture`")]
fn torture(time: Duration) {
    let time = asked("WQ_TORTURE_SECONDS").map_or(time, Duration::from_secs);
    let clock = std::time::UNIX_EPOCH.elapsed().expect("a clock");
    let mut seed = asked("WQ_TORTURE_SEED").unwrap_or(clock.as_secs() << 8);
    let mut done = vec![0; DEEDS.len()];
    let end = Instant::now() + time;
    let mut nth = 0;
    while nth < 2 || Instant::now() < end {
        println!("WQ_TORTURE_SEED={seed}");
        let left = end.saturating_duration_since(Instant::now());
        // The first two share what is there, however short.
        let share = if nth == 0 { left / 2 } else { left };
        let of_round = round(share.min(ROUND), seed, nth % 2 == 1);
        done.iter_mut()
            .zip(of_round)
            .for_each(|(sum, more)| *sum += more);
        (nth, seed) = (nth + 1, seed + 1);
    }
    for ((name, ..), done) in DEEDS.iter().zip(&done) {
        println!("  {done:>9}  {name}");
    }
    assert!(!done.contains(&0), "some deed was never done");
}

/// A round on a System of its own, on this machine or on one that it is told of; what was done.
fn round(time: Duration, seed: u64, told: bool) -> Vec<u64> {
    let (builder, cpus) = machine(told);
    let system = builder
        .keep_alive(Duration::from_millis(5))
        .build()
        .expect("a System");
    be_patient(&system, PATIENCE);
    let world = World::new(&system, cpus);
    thread::scope(|scope| {
        for me in 0..THREADS {
            let world = &world;
            let seed = (seed << 4 | me as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            scope.spawn(move || {
                let _leaves = Leaves(world, me);
                Hand::new(world, me, seed).work();
            });
        }
        watch(&world, time);
    });
    refuse_threads(&system, false);
    allow_cpus(&system, &format!("0-{}", cpus - 1));
    world.check();
    let done = world
        .done
        .iter()
        .map(|done| done.load(Ordering::SeqCst))
        .collect();
    drop(world);
    let report = system.shutdown(Duration::from_secs(10));
    assert_eq!(report.detached, 0, "{report:?}");
    done
}

/// A builder for this machine, or for one with two nodes of two caches each, and its CPUs.
fn machine(told: bool) -> (SystemBuilder, usize) {
    let builder = System::builder();
    if told {
        let spec = FakeSpec::new().nodes(2).caches(2).cores(2);
        return (on_machine(builder, spec), 8);
    }
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    (builder, cpus)
}

/// Tells that a thread leaves; who panics ends the round.
struct Leaves<'a>(&'a World, usize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.threads[self.1]
            .has_left
            .store(true, Ordering::SeqCst);
        if thread::panicking() {
            self.0.over.store(true, Ordering::SeqCst);
        }
    }
}

/// Lets them work for `time`, and waits until they have left. Who does not get on, also where no
/// wait has a limit, ends the program with a dump.
#[expect(clippy::print_stderr, reason = "the report of a hang")]
fn watch(world: &World, time: Duration) {
    let begun = Instant::now();
    let mut seen = [(0, begun); THREADS];
    while world
        .threads
        .iter()
        .any(|thread| !thread.has_left.load(Ordering::SeqCst))
    {
        thread::park_timeout(Duration::from_millis(20));
        let now = Instant::now();
        if now >= begun + time {
            world.over.store(true, Ordering::SeqCst);
        }
        for (thread, seen) in world.threads.iter().zip(&mut seen) {
            let deeds = thread.deeds.load(Ordering::Relaxed);
            if seen.0 != deeds || thread.has_left.load(Ordering::SeqCst) {
                *seen = (deeds, now);
            }
            if now - seen.1 > FOR_EVER + MORE {
                let deed = DEEDS[thread.deed.load(Ordering::Relaxed) as usize].0;
                eprintln!("\"{deed}\" does not end");
                eprintln!("{}", world.system.dump());
                std::process::abort();
            }
        }
    }
}
