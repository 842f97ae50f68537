//! Tasks: spawning, running, waking, resuming.

use wq::Workqueue;

use crate::ground::Ground;
use crate::held::Held;
use crate::mark::{counting_begins, counting_ends};
use crate::tally::Tally;

/// Counts what a task does to spawn.
pub(super) fn spawn(ground: &Ground, times: usize) {
    let tally = Tally::of(times, || ());
    ground.run(async move {
        counting_begins();
        for _ in 0..times {
            drop(wq::spawn(async move { tally.one() }));
        }
        counting_ends();
    });
    tally.wait();
}

/// Counts what a foreign thread does to spawn.
pub(super) fn spawn_outside(ground: &Ground, times: usize) {
    let tally = Tally::of(times, || ());
    let spawn = || {
        counting_begins();
        for _ in 0..times {
            drop(ground.system.spawn(async move { tally.one() }));
        }
        counting_ends();
    };
    ground.beside_a_busy_lane(spawn, || ());
    tally.wait();
}

/// Counts what the lane does from the end of the task that spawned to that of the last one.
pub(super) fn run(ground: &Ground, times: usize) {
    let tally = Tally::of(times, counting_ends);
    ground.run(async move {
        for _ in 0..times {
            drop(wq::spawn(async move { tally.one() }));
        }
        counting_begins();
    });
    tally.wait();
}

/// The same, where they came from a foreign thread.
pub(super) fn run_from_outside(ground: &Ground, times: usize) {
    let tally = Tally::of(times, counting_ends);
    let spawn = || {
        for _ in 0..times {
            drop(ground.system.spawn(async move { tally.one() }));
        }
    };
    ground.beside_a_busy_lane(spawn, counting_begins);
    tally.wait();
}

/// Counts both, and how the task that waits is woken and resumed.
pub(super) fn spawn_join(ground: &Ground, times: usize) {
    ground.run(async move {
        counting_begins();
        for _ in 0..times {
            wq::spawn(async {}).await.expect("the task ends");
        }
        counting_ends();
    });
}

/// Counts yields of a task that is alone.
pub(super) fn yield_now(ground: &Ground, times: usize) {
    ground.run(async move {
        counting_begins();
        for _ in 0..times {
            wq::yield_now().await;
        }
        counting_ends();
    });
}

/// Counts what a task does to wake others.
pub(super) fn wake(ground: &Ground, times: usize) {
    let (held, tally) = Held::tasks(ground, times, || ());
    ground.run(async move {
        let wakers = held.take();
        counting_begins();
        for waker in wakers {
            waker.wake();
        }
        counting_ends();
    });
    tally.wait();
}

/// Counts what a foreign thread does to wake.
pub(super) fn wake_outside(ground: &Ground, times: usize) {
    let (held, tally) = Held::tasks(ground, times, || ());
    let wakers = held.take();
    let wake = || {
        counting_begins();
        for waker in wakers {
            waker.wake();
        }
        counting_ends();
    };
    ground.beside_a_busy_lane(wake, || ());
    tally.wait();
}

/// Counts what the lane does with tasks that were woken and end.
pub(super) fn resume(ground: &Ground, times: usize) {
    let (held, tally) = Held::tasks(ground, times, counting_ends);
    ground.run(async move {
        for waker in held.take() {
            waker.wake();
        }
        counting_begins();
    });
    tally.wait();
}

/// The same, where a foreign thread has woken them.
pub(super) fn resume_from_outside(ground: &Ground, times: usize) {
    let (held, tally) = Held::tasks(ground, times, counting_ends);
    let wakers = held.take();
    let wake = || {
        for waker in wakers {
            waker.wake();
        }
    };
    ground.beside_a_busy_lane(wake, counting_begins);
    tally.wait();
}

/// An ordered queue that lives as long as the process.
fn ordered() -> &'static Workqueue {
    let queue = Workqueue::ordered("order").build();
    Box::leak(Box::new(queue.expect("the queue is made")))
}

/// Counts what a task does to spawn on an ordered queue.
pub(super) fn ordered_spawn(ground: &Ground, times: usize) {
    let (queue, tally) = (ordered(), Tally::of(times, || ()));
    ground.run(async move {
        counting_begins();
        for _ in 0..times {
            drop(queue.spawn(async move { tally.one() }));
        }
        counting_ends();
    });
    tally.wait();
}

/// Counts what the lane does with tasks of an ordered queue.
pub(super) fn ordered_run(ground: &Ground, times: usize) {
    let (queue, tally) = (ordered(), Tally::of(times, counting_ends));
    ground.run(async move {
        for _ in 0..times {
            drop(queue.spawn(async move { tally.one() }));
        }
        counting_begins();
    });
    tally.wait();
}
