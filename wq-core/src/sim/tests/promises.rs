//! More timelines, derived from the kernel's rules: order, coalescing, limits, flush, priority.

use std::future::Future as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use super::timelines::on_one_cpu;
use crate::pool::Pool;
use crate::sim::trace::Trace;
use crate::sim::{Sim, Spec, burn, delay, ms, simulate, sleep};
use crate::{Queue, Queued, Work, Workqueue};

/// An item that burns for so long.
fn burner(trace: &Trace, name: &'static str, time: Duration) -> impl FnOnce() + Send + 'static {
    let trace = trace.clone();
    move || {
        trace.mark(name, 'r');
        burn(time);
        trace.mark(name, 'e');
    }
}

/// A re-queueable item that burns ten milliseconds.
fn ten_ms_work(sim: &Sim) -> Work {
    let trace = sim.trace.clone();
    Work::new(move || {
        trace.mark("w", 'r');
        burn(ms(10));
        trace.mark("w", 'e');
    })
}

/// A per-CPU queue.
fn percpu(sim: &Sim) -> Workqueue {
    Workqueue::percpu("managed")
        .system(&sim.system)
        .build()
        .expect("a good queue")
}

/// The test's thread waits until this many milliseconds after the start.
fn wait_until(sim: &Sim, at: u64) {
    let now = Duration::from_nanos(sim.here.now_ns());
    sleep(ms(at).checked_sub(now).expect("moments come in order"));
}

/// A run that a timer wakes while it still runs was woken: it does not go behind all that is new,
/// as one that yields does.
#[test]
fn woken_while_running_is_no_yield() {
    on_one_cpu(|sim| {
        let queue = percpu(sim);
        let trace = sim.trace.clone();
        let mut alarm = Box::pin(delay(ms(1)));
        let mut rung = false;
        drop(queue.spawn(std::future::poll_fn(move |cx| {
            trace.mark("w", if rung { 'e' } else { 'r' });
            if rung {
                return Poll::Ready(());
            }
            rung = true;
            assert!(alarm.as_mut().poll(cx).is_pending(), "it rings later");
            burn(ms(5));
            Poll::Pending
        })));
        for name in ["a", "b"] {
            drop(queue.spawn_fn(burner(&sim.trace, name, ms(5))));
        }
        queue.flush().wait().expect("all end");
        assert_eq!(sim.trace.rows(), ["a r5 e10", "b r10 e15", "w r0 e5"]);
    });
}

/// T5: no poll of an item of an ordered queue before the one ahead is ready.
#[test]
fn t5_ordered_futures_do_not_interleave() {
    on_one_cpu(|sim| {
        let queue = Workqueue::ordered("t5")
            .system(&sim.system)
            .build()
            .expect("a good queue");
        for name in ["a", "b", "c"] {
            let trace = sim.trace.clone();
            drop(queue.spawn(async move {
                trace.mark(name, 'r');
                burn(ms(1));
                trace.mark(name, 's');
                delay(ms(10)).await;
                trace.mark(name, 'r');
                burn(ms(1));
                trace.mark(name, 'e');
            }));
        }
        queue.flush().wait().expect("all end");
        let rows = ["a r0 s1 r11 e12", "b r12 s13 r23 e24", "c r24 s25 r35 e36"];
        assert_eq!(sim.trace.rows(), rows);
    });
}

/// T6: an item that is queued again while it runs runs once more, after itself, never beside.
#[test]
fn t6_a_running_item_runs_again_after_itself() {
    for seed in 0..8 {
        simulate(Spec { cpus: 2, seed }, |sim| {
            let (queue, work) = (percpu(sim), ten_ms_work(sim));
            assert_eq!(queue.queue_on(0, &work), Queued::New);
            wait_until(sim, 1);
            assert_eq!(queue.queue_on(1, &work), Queued::New);
            queue.flush().wait().expect("all end");
            assert_eq!(sim.trace.rows(), ["w r0 e10 r10 e20"]);
        });
    }
}

/// T7: five requests during a run are one more run.
#[test]
fn t7_requests_during_a_run_coalesce() {
    on_one_cpu(|sim| {
        let (queue, work) = (percpu(sim), ten_ms_work(sim));
        assert_eq!(queue.queue(&work), Queued::New);
        wait_until(sim, 1);
        assert_eq!(queue.queue(&work), Queued::New);
        for at in 2..6 {
            wait_until(sim, at);
            assert_eq!(queue.queue(&work), Queued::AlreadyPending);
        }
        queue.flush().wait().expect("all end");
        assert_eq!(sim.trace.rows(), ["w r0 e10 r10 e20"]);
    });
}

/// A lane whose worker blocks on a CPU that another lane keeps busy (where no spotter runs) is seen
/// by the busy worker between two of its items, sooner than by the monitor.
#[test]
fn a_busy_worker_sees_that_its_neighbour_blocks() {
    let item = Duration::from_micros(50);
    on_one_cpu(|sim| {
        let normal = percpu(sim);
        let urgent = Workqueue::percpu("urgent")
            .highpri()
            .system(&sim.system)
            .build()
            .expect("a good queue");
        // A worker that must be made for it would look by itself.
        for _ in 0..3 {
            drop(urgent.spawn_fn(|| sleep(ms(1))));
        }
        urgent.flush().wait().expect("all end");
        let seen_before = sim.system.stats().handovers_sibling;
        let (trace, next) = (sim.trace.clone(), urgent.clone());
        // Behind so many that the lane knows what its items cost.
        for n in 0..200 {
            let (trace, next) = (trace.clone(), next.clone());
            drop(normal.spawn_fn(move || {
                burn(item);
                if n == 40 {
                    drop(next.spawn_fn(napper(&trace)));
                    drop(next.spawn_fn(burner(&trace, "second", item)));
                }
            }));
        }
        normal.flush().wait().expect("all end");
        urgent.flush().wait().expect("all end");
        let begin = |what: char, item: &str| {
            let mut events = sim.trace.events().into_iter();
            let event = events.find(|event| event.what == what && event.item == item);
            event.expect("it ran").at_ns
        };
        let late_ns = begin('r', "second") - begin('s', "first");
        assert!(
            late_ns <= 2 * item.as_nanos() as u64,
            "late by {late_ns} ns"
        );
        assert!(sim.system.stats().handovers_sibling > seen_before);
    });
}

/// An item that blocks its thread for ten milliseconds at once.
fn napper(trace: &Trace) -> impl FnOnce() + Send + 'static {
    let trace = trace.clone();
    move || {
        trace.mark("first", 's');
        sleep(ms(10));
    }
}

/// T8: an item of high priority does not wait for a backlog, and what it interrupts goes on.
#[test]
fn t8_high_priority_does_not_wait_for_the_backlog() {
    on_one_cpu(|sim| {
        let normal = percpu(sim);
        let urgent = Workqueue::percpu("urgent")
            .highpri()
            .system(&sim.system)
            .build();
        let urgent = urgent.expect("a good queue");
        for name in ["n0", "n1", "n2"] {
            drop(normal.spawn_fn(burner(&sim.trace, name, ms(5))));
        }
        wait_until(sim, 1);
        drop(urgent.spawn_fn(burner(&sim.trace, "urgent", ms(2))));
        normal.flush().wait().expect("all end");
        assert_eq!(
            sim.trace.rows(),
            ["n0 r0 e7", "n1 r7 e12", "n2 r12 e17", "urgent r1 e3"]
        );
    });
}

/// T9: the lane of an item that burns for longer than 10 ms is handed on within a round of the
/// monitor. (Who then gets the CPU is the scheduler's business; the virtual one does not slice.)
#[test]
fn t9_a_hog_loses_its_lane() {
    on_one_cpu(|sim| {
        let queue = percpu(sim);
        // Without slices a busy CPU lets no new thread come up: have a spare one beforehand.
        drop(queue.spawn_fn(|| sleep(ms(1))));
        drop(queue.spawn_fn(|| sleep(ms(1))));
        wait_until(sim, 100);
        drop(queue.spawn_fn(burner(&sim.trace, "a", ms(30))));
        drop(queue.spawn_fn(burner(&sim.trace, "b", ms(1))));
        wait_until(sim, 110);
        let stats = || sim.system.stats();
        assert_eq!((stats().cpu_intensive, stats().handovers_hog), (0, 0));
        assert!(sim.system.cpu_hogs().is_empty());
        wait_until(sim, 122);
        assert_eq!((stats().cpu_intensive, stats().handovers_hog), (1, 1));
        queue.flush().wait().expect("all end");
        let hogs = sim.system.cpu_hogs();
        assert_eq!((hogs.len(), hogs[0].times), (1, 1), "{hogs:?}");
        assert!(hogs[0].name.contains("burner"), "{hogs:?}");
        assert_eq!(sim.trace.rows(), ["a r100 e130", "b r130 e131"]);
    });
}

/// T10: raising the limit starts what waits, at once, although the first item sleeps on.
#[test]
fn t10_a_raised_limit_starts_the_next_item() {
    on_one_cpu(|sim| {
        let queue = Workqueue::unbound("t10")
            .max_active(1)
            .system(&sim.system)
            .build();
        let queue = queue.expect("a good queue");
        for name in ["a", "b"] {
            let trace = sim.trace.clone();
            drop(queue.spawn(async move {
                trace.mark(name, 'r');
                delay(ms(100)).await;
                trace.mark(name, 'e');
            }));
        }
        wait_until(sim, 7);
        queue.set_max_active(2).expect("a good limit");
        queue.flush().wait().expect("all end");
        assert_eq!(sim.trace.rows(), ["a r0 e100", "b r7 e107"]);
    });
}

/// An item that at 5 ms queues another of the same queue, which takes 20 ms.
fn parent(sim: &Sim, queue: &Queue) {
    let (trace, queue_again) = (sim.trace.clone(), queue.clone());
    drop(queue.spawn(async move {
        trace.mark("parent", 'r');
        delay(ms(5)).await;
        drop(queue_again.spawn_fn(burner(&trace, "child", ms(20))));
        trace.mark("parent", 'e');
    }));
}

/// T11: a flush does not wait for what is queued after its call; a drain does.
#[test]
fn t11_a_flush_covers_what_came_before_a_drain_all() {
    on_one_cpu(|sim| {
        let queue = percpu(sim);
        parent(sim, &queue);
        wait_until(sim, 1);
        let mut flush = std::pin::pin!(queue.flush());
        let drain = queue.drain();
        sim.system.block_on(async {
            flush.as_mut().await.expect("the parent ends");
            sim.trace.mark("flush", 'e');
        });
        drain.wait().expect("the child ends");
        sim.trace.mark("drain", 'e');
        let rows = ["child r5 e25", "drain e25", "flush e5", "parent r0 e5"];
        assert_eq!(sim.trace.rows(), rows);
    });
}

/// T11 with a flush polled late: what it covers is fixed at the call.
#[test]
fn t11_a_flush_is_fixed_at_the_call() {
    on_one_cpu(|sim| {
        let queue = percpu(sim);
        parent(sim, &queue);
        wait_until(sim, 1);
        let mut flush = std::pin::pin!(queue.flush());
        wait_until(sim, 6);
        let polled = sim.system.block_on(std::future::poll_fn(|cx| {
            Poll::Ready(flush.as_mut().poll(cx).is_ready())
        }));
        assert!(
            polled,
            "the parent has ended, and nothing else is waited for"
        );
    });
}

/// The pool of a System's default queue.
fn default_pool(sim: &Sim) -> Arc<Pool> {
    Arc::clone(sim.system.inner.own().default.get().pool(0))
}

/// T14: when the keep-alive is over, of many idle workers two stay.
#[test]
fn t14_idle_workers_leave_but_two() {
    on_one_cpu(|sim| {
        let queue = sim.system.default_queue();
        for _ in 0..40 {
            drop(queue.spawn_fn(|| sleep(ms(50))));
        }
        wait_until(sim, 200);
        let pool = default_pool(sim);
        // Relaxed: one thread of the machine runs at a time.
        let workers = || pool.nr_workers.load(Ordering::Relaxed);
        assert!(
            workers() >= 40,
            "one for each item that blocks: {}",
            workers()
        );
        wait_until(sim, 9_900);
        assert!(workers() >= 40, "the keep-alive is not over: {}", workers());
        wait_until(sim, 60_000);
        assert_eq!(workers(), 2);
    });
}
