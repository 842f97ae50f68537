//! Timelines of queues with the kernel's flags: freezable, CPU intensive.

use super::timelines::{closure, future, on_one_cpu};
use crate::Workqueue;
use crate::sim::trace::Trace;
use crate::sim::{Sim, burn, ms, sleep};

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

/// Runs 5, says that it sleeps, for 10, and runs so much more. (Undeclared sleeps are noticed a
/// moment sooner or later, which is not what T3 is about.)
fn declared(trace: &Trace, name: &'static str, last: u64) -> impl FnOnce() + Send + 'static {
    let trace = trace.clone();
    move || {
        trace.mark(name, 'r');
        burn(ms(5));
        trace.mark(name, 's');
        crate::blocking(|| sleep(ms(10)));
        if last > 0 {
            trace.mark(name, 'r');
            burn(ms(last));
        }
        trace.mark(name, 'e');
    }
}

/// T3: w1 and w2 are CPU intensive. They do not start before 5 ms, because w0 counts as running
/// until then; at 5 ms both do, because neither counts. The virtual CPU has no slices, so the
/// second one gets it when the first sleeps; that it was given the lane at the first one's start,
/// the count of hand-overs tells.
fn t3(sim: &Sim, intensive: bool) -> (Vec<u64>, Vec<String>) {
    let normal = Workqueue::percpu("normal").system(&sim.system).build();
    let normal = normal.expect("a good queue");
    let burns = Workqueue::percpu("burns").system(&sim.system);
    let burns = if intensive {
        burns.cpu_intensive()
    } else {
        burns
    };
    let burns = burns.build().expect("a good queue");
    // The workers exist beforehand: on a busy CPU none comes up.
    for _ in 0..4 {
        drop(normal.spawn_fn(|| sleep(ms(1))));
    }
    normal.flush().wait().expect("all end");
    sleep(ms(100 - sim.here.now_ns() / 1_000_000));
    let before = sim.system.stats().handovers_marked;
    drop(normal.spawn_fn(declared(&sim.trace, "w0", 5)));
    drop(burns.spawn_fn(declared(&sim.trace, "w1", 0)));
    drop(burns.spawn_fn(declared(&sim.trace, "w2", 0)));
    let marked = [4, 3].map(|time| {
        sleep(ms(time));
        sim.system.stats().handovers_marked - before
    });
    normal.flush().wait().expect("it ends");
    burns.flush().wait().expect("all end");
    (marked.to_vec(), sim.trace.rows())
}

/// T3, and T1 beside it.
#[test]
fn t3_intensive_items_start_together() {
    on_one_cpu(|sim| {
        let (marked, rows) = t3(sim, true);
        assert_eq!(rows, T3);
        assert_eq!(
            marked,
            [0, 2],
            "at 4 and at 7 ms: of w0, and of w1 while it runs"
        );
    });
    on_one_cpu(|sim| {
        let (marked, rows) = t3(sim, false);
        assert_eq!(rows, T3, "T1 on a CPU without slices is the same");
        assert_eq!(marked, [0, 1]);
    });
}

/// What T3 must give.
const T3: [&str; 3] = [
    "w0 r100 s105 r115 e120",
    "w1 r105 s110 e120",
    "w2 r110 s115 e125",
];
