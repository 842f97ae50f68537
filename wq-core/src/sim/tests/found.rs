//! What seeds of the simulator have found, as timelines: each was a fault of the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sim::trace::Trace;
use crate::sim::{Sim, Spec, attempt, burn, ms, simulate, sleep};
use crate::{FakeSpec, Queue, System, Topology, Workqueue};

/// An unbound queue.
fn unbound(sim: &Sim) -> Workqueue {
    let queue = Workqueue::unbound("found").system(&sim.system).build();
    queue.expect("a good queue")
}

/// When an event of this kind of this item was told, ns.
fn when(trace: &Trace, item: &str, what: char) -> u64 {
    let events = trace.events();
    let event = events.iter().find(|e| e.item == item && e.what == what);
    event.expect("it was told").at_ns
}

/// A pool at its bound asks for one worker more while the last one that was made is not up yet:
/// the thread maker must not look for it in a loop in which no time passes.
#[test]
fn the_maker_waits_for_the_worker_that_it_has_made() {
    for seed in 0..32 {
        let build = || {
            let topology = Topology::fake(FakeSpec::new().cores(2));
            let builder = System::builder().topology(topology);
            let system = builder.workers(1).max_workers(5).build();
            system.expect("nothing is refused")
        };
        let spec = Spec { cpus: 2, seed };
        let result = attempt(spec, build, |sim| {
            let queue = unbound(sim);
            for time in [
                ms(1),
                Duration::from_micros(100),
                Duration::from_micros(100),
            ] {
                drop(queue.spawn_fn(move || sleep(time)));
            }
            drop(queue.spawn(async {
                crate::blocking(|| sleep(Duration::from_micros(100)));
            }));
            for _ in 0..3 {
                drop(queue.spawn_fn(|| {}));
            }
            queue.flush().wait().expect("all end");
        });
        result.unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
    }
}

/// An item that queues its successor, sixty times.
fn chain(queue: &Queue, left: u64) {
    let again = queue.clone();
    drop(queue.spawn_fn(move || {
        burn(Duration::from_micros(900));
        if left > 0 {
            chain(&again, left - 1);
        }
    }));
}

/// What an item spawns goes first, but as a turn of some microseconds: on a lane of which nobody
/// knows yet that its items are dear, others must not wait for a hundred of them.
#[test]
fn dear_children_leave_others_their_turn() {
    for seed in 0..8 {
        simulate(Spec { cpus: 1, seed }, |sim| {
            let queue = unbound(sim);
            chain(&queue, 60);
            sleep(ms(1));
            let trace = sim.trace.clone();
            drop(queue.spawn_fn(move || trace.mark("other", 'r')));
            queue.flush().wait().expect("the other one ends");
            let late_ns = when(&sim.trace, "other", 'r') - 1_000_000;
            assert!(late_ns < 6_000_000, "seed {seed}: late by {late_ns} ns");
            queue.drain().wait().expect("all end");
        });
    }
}

/// A burst of dear items is shared among the CPUs after one or two of them, also by a worker that
/// had cheap ones before it slept.
#[test]
fn a_burst_of_dear_items_is_shared_at_once() {
    for seed in 0..8 {
        simulate(Spec { cpus: 8, seed }, |sim| {
            let queue = unbound(sim);
            for _ in 0..3 {
                drop(queue.spawn_fn(|| {}));
            }
            queue.flush().wait().expect("all end");
            sleep(ms(5));
            let begun = sim.here.now_ns();
            let last = Arc::new(AtomicU64::new(0));
            for _ in 0..40 {
                let last = Arc::clone(&last);
                drop(queue.spawn_fn(move || {
                    burn(Duration::from_micros(900));
                    // Relaxed: one thread of the machine runs at a time.
                    last.fetch_max(crate::os::monotonic_ns(), Ordering::Relaxed);
                }));
            }
            queue.flush().wait().expect("all end");
            let took_ns = last.load(Ordering::Relaxed) - begun;
            // 36 ms of CPU time; 4.5 ms on eight CPUs.
            assert!(took_ns < 12_000_000, "seed {seed}: {took_ns} ns");
        });
    }
}
