//! Timelines of queues with the kernel's flags: freezable, CPU intensive, with a
//! rescuer; and of pools that stand still.

use std::time::Duration;

use super::timelines::{closure, future, on_one_cpu};
use crate::sim::trace::Trace;
use crate::sim::{Sim, Spec, burn, ms, simulate, sleep};
use crate::{Workqueue, driver};

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

/// T12: all workers are blocked and no thread is to be had from 50 ms to 2500 ms. An item of a
/// queue with a rescuer starts within 10 ms, whether it comes before the pool is in distress or
/// later, from outside or from another rescued one; one of a queue without starts when a thread can
/// be had, which is tried each second. Nothing is lost.
#[test]
fn t12_a_rescued_queue_goes_on_without_threads() {
    on_one_cpu(|sim| {
        let plain = Workqueue::percpu("plain").system(&sim.system).build();
        let plain = plain.expect("a good queue");
        let rescued = Workqueue::percpu("rescued").rescuer().system(&sim.system);
        let rescued = rescued.build().expect("a good queue");
        plain.spawn_fn(|| ()).wait().expect("it ends");
        sleep(ms(50) - Duration::from_nanos(sim.here.now_ns()));
        driver::refuse_threads(&sim.system, true);
        for _ in 0..10 {
            drop(plain.spawn_fn(|| sleep(ms(8_000))));
        }
        drop(rescued.spawn_fn(marker(&sim.trace, "first")));
        drop(plain.spawn_fn(marker(&sim.trace, "plain")));
        sleep(ms(950));
        let (trace, next) = (sim.trace.clone(), (*rescued).clone());
        drop(rescued.spawn_fn(move || {
            marker(&trace, "later")();
            drop(next.spawn_fn(marker(&trace, "chained")));
        }));
        sleep(ms(1_500));
        let early = sim.trace.events();
        for (item, queued_ms) in [("first", 50), ("later", 1_000), ("chained", 1_000)] {
            let event = early.iter().find(|event| event.item == item);
            let at_ns = event.expect("it is rescued").at_ns;
            let late = Duration::from_nanos(at_ns).saturating_sub(ms(queued_ms));
            assert!(late <= ms(10), "{item}: late by {late:?}");
        }
        assert!(early.iter().all(|event| event.item != "plain"));
        assert_eq!(rescued.stats().rescued, 3);
        driver::refuse_threads(&sim.system, false);
        plain.flush().wait().expect("nothing is lost");
        let events = sim.trace.events();
        let plain_ns = events
            .iter()
            .find(|event| event.item == "plain")
            .map(|e| e.at_ns);
        let plain_ns = plain_ns.expect("it runs in the end");
        // The tries are a second apart; each makes one thread, which runs what waits longest.
        assert!(
            plain_ns > 2_500_000_000,
            "no thread could be had: {plain_ns}"
        );
        assert!(
            plain_ns < 8_000_000_000,
            "a retry, and no sleeper's end: {plain_ns}"
        );
    });
}

/// An item that tells when it runs.
fn marker(trace: &Trace, name: &'static str) -> impl FnOnce() + Send + 'static {
    let trace = trace.clone();
    move || trace.mark(name, 'r')
}

/// The watchdog's 30 seconds: a pool all of whose workers are blocked, with work behind and no
/// thread to be had, is counted once, an eighth later at most; not while it goes on.
#[test]
fn a_pool_that_stands_still_for_30_s_is_told() {
    simulate(Spec { cpus: 1, seed: 1 }, |sim| {
        let queue = Workqueue::percpu("plain").system(&sim.system).build();
        let queue = queue.expect("a good queue");
        // Something starts each second, with more behind: all is well.
        for _ in 0..40 {
            drop(queue.spawn_fn(|| burn(ms(1_000))));
        }
        queue.flush().wait().expect("all end");
        assert_eq!(sim.system.stats().lockups, 0);
        driver::refuse_threads(&sim.system, true);
        for _ in 0..10 {
            drop(queue.spawn_fn(|| sleep(ms(150_000))));
        }
        sleep(ms(29_000));
        assert_eq!(sim.system.stats().lockups, 0);
        sleep(ms(5_000));
        assert_eq!(sim.system.stats().lockups, 1);
        sleep(ms(100_000));
        assert_eq!(sim.system.stats().lockups, 1, "once");
        driver::refuse_threads(&sim.system, false);
        queue.flush().wait().expect("all end");
    });
}

/// A BH thread serves two pools, and the watchdog looks at each by itself: one that starts an item
/// now and then is no stall, whichever of the two the thread was made for; one that starves behind
/// the other is.
#[test]
fn bh_pools_are_watched_one_by_one() {
    on_one_cpu(|sim| {
        sim.system.set_watchdog_thresh(ms(2_000));
        let build = |name| Workqueue::bh(name).system(&sim.system);
        let normal = build("normal").build().expect("a good queue");
        let high = build("high").highpri().build().expect("a good queue");
        // The thread is made for this one.
        normal.spawn_fn(|| ()).wait().expect("it returns");
        let keep_busy = || {
            for _ in 0..30 {
                drop(high.spawn_fn(|| burn(ms(100))));
            }
        };
        keep_busy();
        high.flush().wait().expect("all end");
        assert_eq!(sim.system.stats().lockups, 0, "it starts ten a second");
        keep_busy();
        let starves = normal.spawn_fn(|| ());
        starves.wait().expect("it returns");
        assert_eq!(sim.system.stats().lockups, 1, "nothing started for 3 s");
    });
}

/// G11: an item of high priority waits for the one that runs, and goes before those that wait, in
/// whichever BH queue they are; one that an item queues goes to the end.
#[test]
fn bh_items_run_in_order_one_at_a_time() {
    on_one_cpu(|sim| {
        let build = |name| Workqueue::bh(name).system(&sim.system);
        let normal = build("normal").build().expect("a good queue");
        let other = build("other").build().expect("a good queue");
        let high = build("high").highpri().build().expect("a good queue");
        let busy = |name| {
            let trace = sim.trace.clone();
            move || {
                trace.mark(name, 'r');
                burn(ms(5));
                trace.mark(name, 'e');
            }
        };
        let (again, last) = ((*normal).clone(), busy("n3"));
        let first = busy("n0");
        drop(normal.spawn_fn(move || {
            first();
            drop(again.spawn_fn(last));
        }));
        drop(other.spawn_fn(busy("n1")));
        drop(normal.spawn_fn(busy("n2")));
        sleep(ms(1));
        drop(high.spawn_fn(busy("h0")));
        drop(high.spawn_fn(busy("h1")));
        normal.drain().wait().expect("all end");
        let rows = [
            "h0 r5 e10",
            "h1 r10 e15",
            "n0 r0 e5",
            "n1 r15 e20",
            "n2 r20 e25",
            "n3 r25 e30",
        ];
        assert_eq!(sim.trace.rows(), rows);
    });
}
