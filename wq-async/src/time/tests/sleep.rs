//! Sleeps: order, precision, who is woken, and what is left behind.

use std::sync::mpsc;
use std::thread;

use futures::StreamExt;
use futures::executor::block_on;
use futures::stream::FuturesUnordered;
use wq_core::timer::Fire;

use super::*;
use crate::time::{FAR_FUTURE, sleep, sleep_until};

/// A nanosecond before its deadline a sleep is pending, at its deadline it is ready.
#[test]
fn a_sleep_ends_at_its_deadline_and_not_before() {
    let timers = by_hand::enter();
    let (task, waker) = Task::new();
    let mut sleep = sleep(3 * MS);
    assert_eq!(sleep.deadline(), timers.now() + 3 * MS);
    assert!(poll(&mut sleep, &waker).is_pending());
    assert_eq!(pass(&timers, 3 * MS - Duration::from_nanos(1)), 0);
    assert!(poll(&mut sleep, &waker).is_pending() && !sleep.is_elapsed());
    assert_eq!(pass(&timers, Duration::from_nanos(1)), 1);
    assert_eq!(task.wakes(), 1);
    assert!(sleep.is_elapsed());
    assert!(poll(&mut sleep, &waker).is_ready());
    assert!(
        poll(&mut sleep, &waker).is_ready(),
        "ready once, ready ever after"
    );
}

/// A deadline that has passed needs no timer.
#[test]
fn a_sleep_of_no_time_is_ready_at_once() {
    let timers = by_hand::enter();
    let (task, waker) = Task::new();
    assert!(poll(&mut sleep(Duration::ZERO), &waker).is_ready());
    assert!(poll(&mut sleep_until(timers.now()), &waker).is_ready());
    assert_eq!((timers.fired(), task.wakes()), (0, 0));
}

/// Time counts from the call; timers are armed by the first poll and disarmed by the drop.
#[test]
fn a_sleep_holds_a_timer_from_its_first_poll_to_its_drop() {
    let timers = by_hand::enter();
    let (task, waker) = Task::new();
    let mut pending: Vec<_> = (1..=100).map(|n| sleep(n * MS)).collect();
    assert_eq!(timers.len(), 0, "nothing is armed before the first poll");
    pass(&timers, MS / 2);
    for sleep in &mut pending {
        assert!(poll(sleep, &waker).is_pending());
        assert!(poll(sleep, &waker).is_pending());
    }
    assert_eq!(timers.len(), 100, "a second poll arms nothing");
    assert_eq!(Arc::strong_count(&task), 102, "one waker for each timer");
    drop(pending);
    assert_eq!(timers.len(), 0);
    assert_eq!(Arc::strong_count(&task), 2);
    assert_eq!((pass(&timers, 200 * MS), task.wakes()), (0, 0));
}

/// Ten thousand sleeps in scrambled order end in the order of their deadlines.
#[test]
fn ten_thousand_sleeps_end_in_order() {
    let timers = by_hand::enter();
    let count = 10_000_u32;
    let after = |number: u32| Duration::from_micros(u64::from(number) * 7919 % 5_000);
    let mut sleeps: FuturesUnordered<_> = (0..count)
        .map(|number| {
            let sleep = sleep(MS + after(number));
            async move {
                sleep.await;
                number
            }
        })
        .collect();
    let (_, waker) = Task::new();
    let mut context = Context::from_waker(&waker);
    // The set takes turns with its caller, so one poll does not reach all of its futures.
    while timers.len() < count as usize {
        assert!(sleeps.poll_next_unpin(&mut context).is_pending());
    }
    assert_eq!(pass(&timers, 10 * MS), count as usize);
    let ended: Vec<u32> = block_on(sleeps.by_ref().collect());
    assert_eq!(ended.len(), count as usize);
    assert!(
        ended
            .windows(2)
            .all(|pair| after(pair[0]) <= after(pair[1]))
    );
    assert_eq!(timers.len(), 0);
}

/// The task that polled last is woken, and only that.
#[test]
fn a_sleep_wakes_the_task_that_polled_last() {
    let timers = by_hand::enter();
    let ((first, first_waker), (second, second_waker)) = (Task::new(), Task::new());
    let mut sleep = sleep(MS);
    assert!(poll(&mut sleep, &first_waker).is_pending());
    assert!(poll(&mut sleep, &second_waker).is_pending());
    assert!(poll(&mut sleep, &second_waker.clone()).is_pending());
    assert_eq!((timers.len(), Arc::strong_count(&first)), (1, 2));
    assert_eq!(Arc::strong_count(&second), 3);
    pass(&timers, MS);
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
    assert!(poll(&mut sleep, &first_waker).is_ready());

    Pin::new(&mut sleep).reset(timers.now() + MS);
    for waker in [&first_waker, &second_waker, &first_waker] {
        assert!(poll(&mut sleep, waker).is_pending());
    }
    pass(&timers, MS);
    assert_eq!(
        (first.wakes(), second.wakes()),
        (1, 1),
        "back and forth, the last one counts"
    );
}

/// A sleep that waits is moved both ways, and wakes without being polled in between.
#[test]
fn a_reset_moves_the_wake_up() {
    let timers = by_hand::enter();
    let (task, waker) = Task::new();
    let start = timers.now();
    let mut sleep = sleep(5 * MS);
    assert!(poll(&mut sleep, &waker).is_pending());
    Pin::new(&mut sleep).reset(start + 9 * MS);
    assert_eq!((pass(&timers, 5 * MS), timers.len()), (0, 1));
    Pin::new(&mut sleep).reset(start + 7 * MS);
    assert_eq!((pass(&timers, 2 * MS), task.wakes()), (1, 1));
    assert!(poll(&mut sleep, &waker).is_ready());

    Pin::new(&mut sleep).reset(start + 20 * MS);
    assert!(!sleep.is_elapsed());
    assert!(poll(&mut sleep, &waker).is_pending());
    assert_eq!((pass(&timers, 13 * MS), task.wakes()), (1, 2));
    assert!(poll(&mut sleep, &waker).is_ready());
}

/// A reset between the wake-up and the poll that it asks for starts a new wait.
#[test]
fn a_reset_after_the_wake_up_waits_anew() {
    let timers = by_hand::enter();
    let (task, waker) = Task::new();
    let mut sleep = sleep(MS);
    assert!(poll(&mut sleep, &waker).is_pending());
    pass(&timers, MS);
    Pin::new(&mut sleep).reset(timers.now() + MS);
    assert_eq!(timers.len(), 0);
    assert!(poll(&mut sleep, &waker).is_pending());
    pass(&timers, MS);
    assert_eq!(task.wakes(), 2);
    assert!(poll(&mut sleep, &waker).is_ready());
}

/// A delay that leads past the clock's end is 30 years, and can be waited for and dropped.
#[test]
fn an_endless_sleep_is_cut_to_thirty_years() {
    let timers = by_hand::enter();
    let (_, waker) = Task::new();
    let mut sleep = sleep(Duration::MAX);
    assert_eq!(sleep.deadline(), timers.now() + FAR_FUTURE);
    assert!(poll(&mut sleep, &waker).is_pending());
    assert_eq!(pass(&timers, FAR_FUTURE - MS), 0);
    assert_eq!(pass(&timers, MS), 1);
    assert!(poll(&mut sleep, &waker).is_ready());
}

/// When the timers are stopped, a sleep goes on by those of the process.
#[test]
fn a_sleep_outlives_its_timers() {
    let timers = by_hand::enter();
    let (task, waker) = Task::new();
    let mut before = sleep(5 * MS);
    assert!(poll(&mut before, &waker).is_pending());
    timers.stop().into_iter().for_each(Fire::fire);
    assert_eq!(task.wakes(), 1, "the sleeper hears that its timer is gone");
    // The virtual clock began with the machine's, so the deadline means something to both.
    assert!(poll(&mut before, &waker).is_pending());
    while task.wakes() < 2 {
        thread::yield_now();
    }
    block_on(before);
    block_on(sleep(5 * MS));
    assert!(Instant::now() >= timers.now() + 5 * MS);
}

/// Moved while it waits by stopped timers, a sleep wakes its task to be polled again.
#[test]
fn a_reset_on_stopped_timers_is_not_lost() {
    let timers = by_hand::enter();
    let (task, waker) = Task::new();
    let mut sleep = sleep(5 * MS);
    assert!(poll(&mut sleep, &waker).is_pending());
    timers.stop().into_iter().for_each(Fire::fire);
    Pin::new(&mut sleep).reset(timers.now() + 6 * MS);
    assert_eq!(task.wakes(), 1);
    block_on(sleep);
}

/// By the machine's clock, polled by one executor first and awaited in another on another thread.
#[test]
fn a_sleep_may_change_executors() {
    let mut sleep = sleep(Duration::from_secs(3600));
    let (task, waker) = Task::new();
    block_on(async { assert!(futures::poll!(&mut sleep).is_pending()) });
    assert!(poll(&mut sleep, &waker).is_pending());
    let other = thread::spawn(move || {
        block_on(async {
            assert!(futures::poll!(&mut sleep).is_pending());
            let deadline = Instant::now() + 5 * MS;
            Pin::new(&mut sleep).reset(deadline);
            sleep.await;
            Instant::now() >= deadline
        })
    });
    assert!(other.join().expect("no panic"), "the sleep ended early");
    assert_eq!(task.wakes(), 0, "the executor left behind is not disturbed");
}

/// By the machine's clock, many sleeps in several executors at once: all end, none early.
#[test]
fn executors_on_several_threads_share_the_process_timers() {
    let (sender, receiver) = mpsc::channel();
    for thread in 0..4_u64 {
        let sender = sender.clone();
        thread::spawn(move || {
            let sleeps = (0..500_u64).map(|number| async move {
                let delay = Duration::from_micros((number * 37 + thread) % 9000);
                let start = Instant::now();
                sleep(delay).await;
                start.elapsed() >= delay
            });
            let in_time = block_on(futures::future::join_all(sleeps));
            sender.send(in_time).expect("the test listens");
        });
    }
    drop(sender);
    let all: Vec<bool> = receiver.iter().flatten().collect();
    assert_eq!(all.len(), 2000);
    assert!(
        all.into_iter().all(|in_time| in_time),
        "a sleep ended early"
    );
}

/// Sleeps cross threads, and are not pinned to a place.
#[test]
fn a_sleep_is_send_sync_and_unpin() {
    fn check<T: Send + Sync + Unpin>(_: &T) {}
    check(&sleep(MS));
    let sleep = pin!(sleep(MS));
    check(&*sleep);
}
