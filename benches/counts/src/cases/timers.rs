//! Timers that never fire.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use wq::time::{Sleep, sleep};
use wq::{DelayedWork, Queue, Queued};

use crate::ground::Ground;
use crate::mark::{counting_begins, counting_ends};

/// Long against any run of this program.
const LATER: Duration = Duration::from_secs(3600);

/// So many timers that are not armed yet.
fn sleeps(times: usize) -> Vec<Pin<Box<Sleep>>> {
    (0..times).map(|_| Box::pin(sleep(LATER))).collect()
}

/// Polls all of them once, which arms them.
async fn arm_all(sleeps: &mut [Pin<Box<Sleep>>]) {
    poll_fn(|context| {
        for sleep in &mut *sleeps {
            assert!(sleep.as_mut().poll(context).is_pending());
        }
        Poll::Ready(())
    })
    .await;
}

/// Counts what a task does to arm.
pub(super) fn arm(ground: &Ground, times: usize) {
    ground.run(async move {
        let mut sleeps = sleeps(times);
        counting_begins();
        arm_all(&mut sleeps).await;
        counting_ends();
    });
}

/// Counts what a task does to drop an armed timer.
pub(super) fn cancel(ground: &Ground, times: usize) {
    ground.run(async move {
        let mut sleeps = sleeps(times);
        arm_all(&mut sleeps).await;
        counting_begins();
        drop(sleeps);
        counting_ends();
    });
}

/// So many delayed items.
fn delayed(times: usize) -> Vec<DelayedWork> {
    (0..times).map(|_| DelayedWork::new(|| ())).collect()
}

/// Arms all of them.
fn queue_all(queue: &Queue, works: &[DelayedWork]) {
    for work in works {
        assert_eq!(queue.queue_after(work, LATER), Queued::New);
    }
}

/// Takes all of them back.
fn cancel_all(works: &[DelayedWork]) {
    for work in works {
        assert!(work.cancel());
    }
}

/// Counts what a task does to queue a delayed item.
pub(super) fn delayed_arm(ground: &Ground, times: usize) {
    let queue = ground.queue;
    ground.run(async move {
        let works = delayed(times);
        counting_begins();
        queue_all(queue, &works);
        counting_ends();
        cancel_all(&works);
    });
}

/// Counts what a task does to cancel a delayed item that is armed.
pub(super) fn delayed_cancel(ground: &Ground, times: usize) {
    let queue = ground.queue;
    ground.run(async move {
        let works = delayed(times);
        queue_all(queue, &works);
        counting_begins();
        cancel_all(&works);
        counting_ends();
    });
}
