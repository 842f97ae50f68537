//! Timelines of queues with the kernel's flags: freezable ones.

use super::timelines::{closure, future, on_one_cpu};
use crate::Workqueue;
use crate::sim::{Sim, ms, sleep};

/// T2 frozen from 2 ms on until 20 ms after it is quiet: two of three items have their slots, and
/// go on to their ends; the third starts at the thaw, and a flush waits for it.
fn frozen_timeline(sim: &Sim, spawn: impl Fn(&Workqueue, &'static str)) -> Vec<String> {
    let queue = Workqueue::percpu("frozen")
        .freezable()
        .max_active(2)
        .system(&sim.system)
        .build()
        .expect("a good queue");
    for name in ["w0", "w1", "w2"] {
        spawn(&queue, name);
    }
    sleep(ms(2));
    let quiet = sim.system.freeze();
    let flush = queue.flush();
    quiet.wait().expect("two items end");
    sim.trace.mark("quiet", 'e');
    sleep(ms(20));
    assert_eq!(sim.system.thaw(), Some(true));
    flush.wait().expect("all end");
    sim.trace.mark("flush", 'e');
    sim.trace.rows()
}

/// What a freeze must give, whatever the items are: w1 runs while w0 sleeps, w2 after the thaw.
const FROZEN: [&str; 5] = [
    "flush e65",
    "quiet e25",
    "w0 r0 s5 r15 e20",
    "w1 r5 s10 r20 e25",
    "w2 r45 s50 r60 e65",
];

/// G19 with closures that block.
#[test]
fn frozen_closures_start_at_the_thaw() {
    on_one_cpu(|sim| {
        let rows = frozen_timeline(sim, |queue, name| {
            drop(queue.spawn_fn(closure(&sim.trace, name, 5)));
        });
        assert_eq!(rows, FROZEN);
    });
}

/// G19 with futures that suspend: a suspended item is active, and its resume is no start.
#[test]
fn suspended_items_go_on_while_frozen() {
    on_one_cpu(|sim| {
        let rows = frozen_timeline(sim, |queue, name| {
            drop(queue.spawn(future(sim.trace.clone(), name, 5)));
        });
        assert_eq!(rows, FROZEN);
    });
}
