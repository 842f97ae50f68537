//! Time limits: what is polled first, when the limit is armed, and what is dropped.

use std::future::{pending, poll_fn, ready};
use std::io;

use super::*;
use crate::time::{sleep, timeout, timeout_at};

/// A future that is ready wins over a time limit that is over, and arms nothing.
#[test]
fn a_ready_future_is_never_too_late() {
    let timers = by_hand::enter();
    let (_, waker) = Task::new();
    let mut limited = timeout(Duration::ZERO, ready(7));
    timers.advance(MS);
    assert_eq!(poll(&mut limited, &waker), Poll::Ready(Ok(7)));
    assert_eq!(timers.fired(), 0);
}

/// The limit wakes the task, and the outcome says so.
#[test]
fn a_future_that_takes_too_long_is_given_up() {
    let timers = by_hand::enter();
    let (task, waker) = Task::new();
    let mut limited = timeout(2 * MS, pending::<()>());
    assert!(poll(&mut limited, &waker).is_pending());
    assert_eq!((pass(&timers, MS), timers.len()), (0, 1));
    assert!(poll(&mut limited, &waker).is_pending());
    assert_eq!((pass(&timers, MS), task.wakes()), (1, 1));
    let Poll::Ready(Err(elapsed)) = poll(&mut limited, &waker) else {
        panic!("the limit has passed");
    };
    assert_eq!(elapsed.to_string(), "the time limit has elapsed");
    assert_eq!(io::Error::from(elapsed).kind(), io::ErrorKind::TimedOut);
}

/// The result of a future is taken even if it is there only after the limit.
#[test]
fn a_late_result_counts_if_it_is_there() {
    let timers = by_hand::enter();
    let (_, waker) = Task::new();
    let mut limited = timeout_at(timers.now() + 2 * MS, sleep(MS));
    assert!(poll(&mut limited, &waker).is_pending());
    assert_eq!(timers.len(), 2);
    assert_eq!(pass(&timers, 9 * MS), 2);
    assert_eq!(poll(&mut limited, &waker), Poll::Ready(Ok(())));
}

/// Nothing stays armed once the future is ready and the timeout dropped.
#[test]
fn the_limit_is_disarmed_when_the_future_ends() {
    let timers = by_hand::enter();
    let (_, waker) = Task::new();
    let mut polls = 0;
    let second = poll_fn(move |_| {
        polls += 1;
        if polls == 2 {
            Poll::Ready(polls)
        } else {
            Poll::Pending
        }
    });
    let mut limited = timeout(MS, second);
    assert!(poll(&mut limited, &waker).is_pending());
    assert_eq!(timers.len(), 1);
    assert_eq!(poll(&mut limited, &waker), Poll::Ready(Ok(2)));
    drop(limited);
    assert_eq!(timers.len(), 0);
}

/// Dropping a timeout drops its future and its timer; the inner future can be had back.
#[test]
fn a_dropped_timeout_leaves_nothing_behind() {
    let timers = by_hand::enter();
    let (_, waker) = Task::new();
    let witness = Arc::new(());
    let held = Arc::clone(&witness);
    let mut limited = Box::pin(timeout(MS, async move {
        pending::<()>().await;
        drop(held);
    }));
    assert!(poll(&mut limited, &waker).is_pending());
    assert_eq!((timers.len(), Arc::strong_count(&witness)), (1, 2));
    drop(limited);
    assert_eq!((timers.len(), Arc::strong_count(&witness)), (0, 1));

    let mut limited = timeout(MS, ready('x'));
    assert_eq!(
        format!("{:?}", limited.get_ref()),
        format!("{:?}", limited.get_mut())
    );
    assert_eq!(poll(&mut limited.into_inner(), &waker), Poll::Ready('x'));
}
