//! The documented timelines: exact instants on one virtual CPU, with closures and with futures.

use crate::sim::trace::Trace;
use crate::sim::{Sim, Spec, burn, delay, ms, simulate, sleep};
use crate::{Queue, Workqueue};

/// One CPU; every choice that the seed could make is made in some run.
pub(super) fn on_one_cpu(body: impl Fn(&Sim)) {
    for seed in 0..8 {
        simulate(Spec { cpus: 1, seed }, &body);
    }
}

/// Runs 5, sleeps 10, and runs so much more, as a closure that blocks its thread.
pub(super) fn closure(
    trace: &Trace,
    name: &'static str,
    last: u64,
) -> impl FnOnce() + Send + 'static {
    let trace = trace.clone();
    move || {
        trace.mark(name, 'r');
        burn(ms(5));
        trace.mark(name, 's');
        sleep(ms(10));
        if last > 0 {
            trace.mark(name, 'r');
            burn(ms(last));
        }
        trace.mark(name, 'e');
    }
}

/// The same as a future that suspends.
pub(super) async fn future(trace: Trace, name: &'static str, last: u64) {
    trace.mark(name, 'r');
    burn(ms(5));
    trace.mark(name, 's');
    delay(ms(10)).await;
    if last > 0 {
        trace.mark(name, 'r');
        burn(ms(last));
    }
    trace.mark(name, 'e');
}

/// w0, w1 and w2 of the documentation as closures.
fn three_closures(sim: &Sim, queue: &Queue) {
    for (name, last) in [("w0", 5), ("w1", 0), ("w2", 0)] {
        drop(queue.spawn_fn(closure(&sim.trace, name, last)));
    }
}

/// The same as futures.
fn three_futures(sim: &Sim, queue: &Queue) {
    for (name, last) in [("w0", 5), ("w1", 0), ("w2", 0)] {
        drop(queue.spawn(future(sim.trace.clone(), name, last)));
    }
}

/// A per-CPU queue with a limit, and what the items told when all had ended.
fn percpu(sim: &Sim, max_active: usize, items: impl Fn(&Sim, &Queue)) -> Vec<String> {
    let queue = Workqueue::percpu("managed")
        .system(&sim.system)
        .max_active(max_active)
        .build()
        .expect("a good queue");
    items(sim, &queue);
    queue.flush().wait().expect("all end");
    sim.trace.rows()
}

/// T0: one thread for each queue, as before CMWQ; here an ordered queue.
#[test]
fn t0_an_ordered_queue_runs_one_after_the_other() {
    on_one_cpu(|sim| {
        let queue = Workqueue::ordered("t0")
            .system(&sim.system)
            .build()
            .expect("a good queue");
        three_closures(sim, &queue);
        queue.flush().wait().expect("all end");
        assert_eq!(
            sim.trace.rows(),
            ["w0 r0 s5 r15 e20", "w1 r20 s25 e35", "w2 r35 s40 e50"]
        );
    });
}

/// What T1 must give, whatever the items are.
const T1: [&str; 3] = ["w0 r0 s5 r15 e20", "w1 r5 s10 e20", "w2 r10 s15 e25"];

/// What T2 must give.
const T2: [&str; 3] = ["w0 r0 s5 r15 e20", "w1 r5 s10 e20", "w2 r20 s25 e35"];

/// T1: a sleeping item lets the next one start, at once.
#[test]
fn t1_a_blocked_closure_lets_the_next_one_start() {
    on_one_cpu(|sim| assert_eq!(percpu(sim, 3, three_closures), T1));
}

/// T2: the slot is kept while sleeping.
#[test]
fn t2_a_blocked_closure_keeps_its_slot() {
    on_one_cpu(|sim| assert_eq!(percpu(sim, 2, three_closures), T2));
}

/// T4, first half: T1 with futures.
#[test]
fn t4_a_suspended_future_lets_the_next_one_start() {
    on_one_cpu(|sim| assert_eq!(percpu(sim, 3, three_futures), T1));
}

/// T4, second half: T2 with futures.
#[test]
fn t4_a_suspended_future_keeps_its_slot() {
    on_one_cpu(|sim| assert_eq!(percpu(sim, 2, three_futures), T2));
}
