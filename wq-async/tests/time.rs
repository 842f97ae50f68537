//! Delays on the real timers of real Systems. Nothing here asserts how late a delay ends, only
//! that it does, not early, and on whose timers.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{Either, select};
use wq::time::{
    MissedTickBehavior, interval, interval_at, sleep, sleep_until, timeout, timeout_at,
};
use wq::{System, driver};

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(5);
/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// A System of two lanes.
fn system() -> System {
    System::builder().workers(2).build().expect("a System")
}

/// Inside a task the timers are its System's, on an entered thread those of the entered one, and
/// elsewhere the process's.
#[test]
fn delays_find_the_timers_of_their_system() {
    let (one, two) = (system(), system());
    let of = |system: &System| system.run(async { driver::timers() });
    assert!(!Arc::ptr_eq(&of(&one), &of(&two)));
    {
        let _entered = one.enter();
        assert!(Arc::ptr_eq(&driver::timers(), &of(&one)));
    }
    assert!(Arc::ptr_eq(&driver::timers(), &driver::process_timers()));
    // An armed delay is counted where it is armed.
    let mut armed = pin!(sleep(LONG));
    one.block_on(async { assert!(armed.as_mut().now_or_never().is_none()) });
    assert_eq!((of(&one).len(), of(&two).len()), (1, 0));
}

/// Nothing ends early, wherever it is awaited.
#[test]
fn nothing_ends_early() {
    let begun = Instant::now();
    futures::executor::block_on(sleep(SHORT));
    assert!(begun.elapsed() >= SHORT);
    system().run(async {
        let begun = Instant::now();
        sleep(SHORT).await;
        assert!(begun.elapsed() >= SHORT);
        let moment = Instant::now() + SHORT;
        sleep_until(moment).await;
        assert!(Instant::now() >= moment);
        let mut ticks = interval(SHORT);
        let first = ticks.tick().await;
        for n in 1..4 {
            assert!(ticks.tick().await >= first + n * SHORT);
            assert!(Instant::now() >= first + n * SHORT);
        }
        let start = Instant::now() + SHORT;
        let mut later = interval_at(start, SHORT);
        later.set_missed_tick_behavior(MissedTickBehavior::Delay);
        assert_eq!(later.tick().await, start);
        assert!(Instant::now() >= start);
    });
}

/// A limit ends what never ends, and leaves alone what does.
#[test]
fn limits_end_the_endless() {
    system().run(async {
        assert!(timeout(SHORT, pending::<()>()).await.is_err());
        assert_eq!(timeout(LONG, async { 7 }).await.unwrap(), 7);
        assert!(timeout_at(Instant::now(), pending::<()>()).await.is_err());
        // A handle under a limit: the task goes on, the wait does not.
        let (send, receive) = async_channel::bounded::<()>(1);
        let task = wq::spawn(async move { receive.recv().await });
        let mut task = pin!(task);
        assert!(timeout(SHORT, task.as_mut()).await.is_err());
        send.send(()).await.unwrap();
        assert!(task.await.unwrap().is_ok());
    });
}

/// Thousands of tasks sleep on two lanes, and none is forgotten.
#[test]
fn thousands_sleep() {
    let system = system();
    system.run(async {
        let tasks: Vec<_> = (0..5000u64)
            .map(|n| {
                wq::spawn(async move {
                    sleep(Duration::from_micros(n % 7 * 500)).await;
                    n
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        assert_eq!(sum, 4999 * 5000 / 2);
    });
    assert_eq!(system.stats().rescues, 0);
}

/// The loser of a race is dropped and its timer with it.
#[test]
fn a_dropped_delay_leaves_the_timers() {
    let system = system();
    let left = system.run(async {
        let (long, short) = (pin!(sleep(LONG)), pin!(sleep(SHORT)));
        let Either::Right(_) = select(long, short).await else {
            panic!("an hour has passed in 5 ms");
        };
        driver::timers()
    });
    assert!(left.is_empty(), "{} timers are armed", left.len());
}

/// A shutdown drops a task that sleeps: its destructors run, its handle says so, nobody waits.
#[test]
fn a_shutdown_drops_sleepers() {
    let system = system();
    let (send, receive) = async_channel::bounded::<()>(1);
    let (begun, has_begun) = std::sync::mpsc::channel();
    let task = system.default_queue().spawn(async move {
        let _send = send;
        begun.send(()).unwrap();
        sleep(LONG).await;
    });
    has_begun.recv().unwrap();
    let begun = Instant::now();
    let report = system.shutdown(Duration::ZERO);
    assert!(begun.elapsed() < LONG / 2, "it did not wait for the delay");
    let counts = (report.completed, report.dropped, report.detached);
    assert_eq!(counts, (0, 1, 0), "{report:?}");
    assert!(task.wait().unwrap_err().is_cancelled());
    assert!(receive.recv_blocking().is_err(), "the future was dropped");
}

/// A delay that outlives its System goes on, on the process's timers.
#[test]
fn a_delay_survives_its_system() {
    let system = system();
    let mut delay = Box::pin(sleep(SHORT * 4));
    let moment = delay.deadline();
    system.block_on(async { assert!(delay.as_mut().now_or_never().is_none()) });
    drop(system);
    futures::executor::block_on(delay);
    assert!(Instant::now() >= moment);
}
