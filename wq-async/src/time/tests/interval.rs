//! Intervals: exact schedules under each behaviour, compared tick by tick.

use futures::StreamExt;
use futures::executor::block_on;

use super::*;
use crate::time::MissedTickBehavior::{self, Burst, Delay, Skip};
use crate::time::{FAR_FUTURE, Interval, interval, interval_at};

/// An interval, a clock and a reader of ticks in milliseconds since the start.
struct Bench {
    timers: Arc<Timers>,
    start: Instant,
    interval: Interval,
    waker: Waker,
}

impl Bench {
    /// An interval that starts now.
    fn new(period: Duration, behavior: MissedTickBehavior) -> Self {
        let timers = by_hand::enter();
        let (start, (_, waker)) = (timers.now(), Task::new());
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(behavior);
        Self {
            timers,
            start,
            interval,
            waker,
        }
    }

    /// The ticks that are there now, by the moments for which they were scheduled.
    fn ticks(&mut self) -> Vec<u128> {
        let mut ticks = Vec::new();
        let mut context = Context::from_waker(&self.waker);
        while let Poll::Ready(tick) = self.interval.poll_tick(&mut context) {
            assert!(tick <= self.timers.now(), "a tick came early");
            ticks.push((tick - self.start).as_millis());
        }
        ticks
    }

    /// Lets time pass and reads the ticks that are there then.
    fn ticks_after(&mut self, by: Duration) -> Vec<u128> {
        pass(&self.timers, by);
        self.ticks()
    }

    /// When the next tick will be, in milliseconds since the start.
    fn next(&self) -> u128 {
        let next = self.timers.next_deadline().expect("the interval waits");
        (next - self.start).as_millis()
    }
}

/// The first tick is immediate, the rest follow by the period; between ticks nothing happens.
#[test]
fn ticks_come_at_once_and_then_by_the_period() {
    let mut bench = Bench::new(10 * MS, Burst);
    assert_eq!(bench.ticks(), [0]);
    assert_eq!(bench.ticks_after(9 * MS), []);
    assert_eq!(bench.ticks_after(MS), [10]);
    assert_eq!(bench.ticks_after(10 * MS), [20]);
    assert_eq!((bench.timers.len(), bench.interval.period()), (1, 10 * MS));
    let timers = Arc::clone(&bench.timers);
    drop(bench);
    assert_eq!(timers.len(), 0);
}

/// The table in the documentation: a second tick at 130 ms instead of 50.
#[test]
fn missed_ticks_follow_the_documented_table() {
    let table: [(MissedTickBehavior, &[u128], [u128; 2]); 3] = [
        (Burst, &[50, 100], [150, 200]),
        (Delay, &[50], [180, 230]),
        (Skip, &[50], [150, 200]),
    ];
    for (behavior, at_130, later) in table {
        let mut bench = Bench::new(50 * MS, behavior);
        assert_eq!(bench.interval.missed_tick_behavior(), behavior);
        assert_eq!(bench.ticks(), [0]);
        assert_eq!(bench.ticks_after(130 * MS), at_130, "{behavior:?}");
        for next in later {
            assert_eq!(bench.next(), next, "{behavior:?}");
            let pause = bench.start + Duration::from_millis(next as u64) - bench.timers.now();
            assert_eq!(bench.ticks_after(pause), [next], "{behavior:?}");
        }
    }
}

/// A tick that is late, but not missed, does not shift the schedule of any behaviour.
#[test]
fn a_late_tick_does_not_shift_the_schedule() {
    for behavior in [Burst, Delay, Skip] {
        let mut bench = Bench::new(50 * MS, behavior);
        assert_eq!(bench.ticks(), [0]);
        assert_eq!(bench.ticks_after(55 * MS), [50]);
        assert_eq!(bench.next(), 100, "{behavior:?}");
    }
}

/// With a period below the grace for lateness, one period late is missed.
#[test]
fn short_periods_count_missed_ticks_too() {
    for (behavior, expected, next) in [
        (Burst, vec![2, 4], 6),
        (Delay, vec![2], 7),
        (Skip, vec![2], 6),
    ] {
        let mut bench = Bench::new(2 * MS, behavior);
        assert_eq!(bench.ticks(), [0]);
        assert_eq!(bench.ticks_after(5 * MS), expected, "{behavior:?}");
        assert_eq!(bench.next(), next, "{behavior:?}");
    }
}

/// Late by a whole number of periods, `Skip` goes on with the next one, not with the present.
#[test]
fn skipping_whole_periods_keeps_the_schedule() {
    let mut bench = Bench::new(10 * MS, Skip);
    assert_eq!(bench.ticks(), [0]);
    assert_eq!(bench.ticks_after(40 * MS), [10]);
    assert_eq!(bench.next(), 50);
}

/// A wait for a tick that is given up loses no tick.
#[test]
fn an_abandoned_wait_loses_no_tick() {
    let mut bench = Bench::new(10 * MS, Burst);
    assert_eq!(bench.ticks(), [0]);
    {
        let mut wait = pin!(bench.interval.tick());
        let mut context = Context::from_waker(&bench.waker);
        assert!(wait.as_mut().poll(&mut context).is_pending());
        pass(&bench.timers, 10 * MS);
    }
    assert_eq!(bench.ticks(), [10]);
}

/// Each reset moves the next tick, whether it is waited for or not.
#[test]
fn resets_move_the_next_tick() {
    let mut bench = Bench::new(10 * MS, Burst);
    assert_eq!(bench.ticks(), [0]);
    assert_eq!(bench.ticks_after(4 * MS), []);
    bench.interval.reset();
    assert_eq!(bench.ticks_after(6 * MS), []);
    assert_eq!(bench.ticks_after(4 * MS), [14]);
    bench.interval.reset_after(3 * MS);
    assert_eq!(bench.ticks_after(3 * MS), [17]);
    bench.interval.reset_immediately();
    assert_eq!(bench.ticks(), [17]);
    bench.interval.reset_at(bench.start + 30 * MS);
    assert_eq!(bench.ticks_after(12 * MS), []);
    assert_eq!(bench.ticks_after(MS), [30]);
    assert_eq!(bench.ticks_after(10 * MS), [40]);
}

/// A start of its own, a period past the clock's end, and then no tick for 30 years.
#[test]
fn an_endless_period_ticks_once() {
    let timers = by_hand::enter();
    let start = timers.now() + 5 * MS;
    let mut interval = interval_at(start, Duration::MAX);
    interval.set_missed_tick_behavior(Skip);
    let (task, waker) = Task::new();
    let mut context = Context::from_waker(&waker);
    assert!(interval.poll_tick(&mut context).is_pending());
    assert_eq!((pass(&timers, 25 * MS), task.wakes()), (1, 1));
    assert_eq!(interval.poll_tick(&mut context), Poll::Ready(start));
    assert!(interval.poll_tick(&mut context).is_pending());
    assert_eq!(pass(&timers, FAR_FUTURE - 26 * MS), 0);
}

/// By the machine's clock, as a stream.
#[test]
fn an_interval_is_a_stream_of_ticks() {
    let period = 2 * MS;
    let ticks: Vec<Instant> = block_on(interval(period).take(5).collect());
    assert!(ticks.windows(2).all(|pair| pair[1] == pair[0] + period));
    assert!(*ticks.last().expect("five ticks") <= Instant::now());
}

/// A period of zero would tick without end.
#[test]
#[should_panic(expected = "period must not be zero")]
fn a_period_of_zero_is_refused() {
    let _interval = interval(Duration::ZERO);
}
