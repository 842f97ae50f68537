//! Heartbeats: a task that should wake each millisecond, and the record of how late it was.
//!
//! Lateness is measured against a fixed grid of due times, laid when the job begins. A wake-up
//! records every due time that has passed since the last one, so a task that was held for
//! 5 ms counts five late beats, not one: what a sleeper misses cannot be left out of its record.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::lock;

/// Between two beats.
pub const PERIOD: Duration = Duration::from_millis(1);

/// Lateness beyond this is recorded as this: it bounds the record's memory.
const CEILING: Duration = Duration::from_secs(600);

/// Which of the two heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// An ordinary task.
    Ordinary,
    /// A task of higher priority, where the runtime has such a thing.
    Urgent,
}

impl Beat {
    /// Both, in the order in which they are reported.
    pub const ALL: [Self; 2] = [Self::Ordinary, Self::Urgent];

    /// Its name in tables and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Urgent => "urgent",
        }
    }
}

/// How late the beats of one heartbeat were.
#[derive(Clone, Debug)]
pub struct Lateness(Histogram<u64>);

impl Default for Lateness {
    fn default() -> Self {
        let ceiling = u64::try_from(CEILING.as_nanos()).unwrap_or(u64::MAX);
        // Two digits are a percent, finer than any difference worth a sentence.
        Self(Histogram::new_with_bounds(1, ceiling, 2).expect("constant bounds are in range"))
    }
}

impl Lateness {
    /// Counts one beat.
    pub fn record(&mut self, late: Duration) {
        self.0
            .saturating_record(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds another record, for instance of another round.
    pub fn add(&mut self, other: &Self) {
        let added = self.0.add(&other.0);
        debug_assert!(added.is_ok(), "all records have the same bounds");
    }

    /// How many beats were due.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.0.len()
    }

    /// The lateness that a share of the beats (0.99 for p99) did not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    /// The worst.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    /// Points (lateness, share of beats at most that late), rising in both, for a plot.
    pub fn curve(&self) -> impl Iterator<Item = (Duration, f64)> + '_ {
        let beats = self.beats() as f64;
        self.0.iter_recorded().scan(0, move |sum, step| {
            *sum += step.count_since_last_iteration();
            Some((
                Duration::from_nanos(step.value_iterated_to()),
                *sum as f64 / beats,
            ))
        })
    }
}

/// The state behind a heartbeat's lock.
#[derive(Debug, Default)]
struct Grid {
    /// When the next beat is due; `None` before the first and after the last.
    next: Option<Instant>,
    /// What was recorded so far.
    lateness: Lateness,
}

impl Grid {
    /// Records each beat that was due by `now`.
    fn catch_up(&mut self, now: Instant) {
        while let Some(due) = self.next.filter(|due| *due <= now) {
            self.lateness.record(now - due);
            self.next = Some(due + PERIOD);
        }
    }
}

/// One heartbeat's record, written by its task and read by the report.
#[derive(Debug, Default)]
pub struct Heartbeat {
    /// One uncontended lock a beat; the report may come while the task is stuck.
    grid: Mutex<Grid>,
}

impl Heartbeat {
    /// Lays the grid: the first beat is due a period from now, whenever the task gets to run.
    pub fn start(&self) {
        lock(&self.grid).next = Some(Instant::now() + PERIOD);
    }

    /// When the next beat is due; now, if it never was started.
    #[must_use]
    pub fn next(&self) -> Instant {
        lock(&self.grid).next.unwrap_or_else(Instant::now)
    }

    /// The task woke up now.
    pub fn woke(&self, now: Instant) {
        lock(&self.grid).catch_up(now);
    }

    /// Ends the record at `now`: beats due by then and never seen are late by what they waited.
    #[must_use]
    pub fn finish(&self, now: Instant) -> Lateness {
        let mut grid = lock(&self.grid);
        grid.catch_up(now);
        grid.next = None;
        grid.lateness.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a stall counts once for each beat it swallowed. Method: one wake-up, 5 ms late.
    #[test]
    fn a_stall_counts_each_beat_it_swallowed() {
        let heart = Heartbeat::default();
        heart.start();
        let first = heart.next();
        heart.woke(first + 5 * PERIOD);
        let lateness = heart.finish(first + 5 * PERIOD);
        assert_eq!(lateness.beats(), 6);
        let near = |late: Duration, ms: f64| (late.as_secs_f64() * 1e3 / ms - 1.0).abs() < 0.02;
        assert!(near(lateness.max(), 5.0), "{:?}", lateness.max());
        assert!(
            near(lateness.quantile(0.5), 2.0),
            "{:?}",
            lateness.quantile(0.5)
        );
    }

    /// Goal: waking early is no beat. Method: wake before the first is due.
    #[test]
    fn an_early_wake_up_is_no_beat() {
        let heart = Heartbeat::default();
        heart.start();
        let first = heart.next();
        heart.woke(first - PERIOD / 2);
        assert_eq!(heart.finish(first - PERIOD / 2).beats(), 0);
    }

    /// Goal: a task that never woke is seen. Method: start, then only the report.
    #[test]
    fn a_task_that_never_woke_is_late() {
        let heart = Heartbeat::default();
        heart.start();
        let first = heart.next();
        assert_eq!(heart.finish(first + 99 * PERIOD).beats(), 100);
        assert_eq!(
            heart.finish(first + 200 * PERIOD).beats(),
            100,
            "finished is finished"
        );
    }

    /// Goal: a record that never started is empty, not late. Method: finish at once.
    #[test]
    fn a_heartbeat_that_never_started_has_no_beats() {
        assert_eq!(Heartbeat::default().finish(Instant::now()).beats(), 0);
    }

    /// Goal: the curve ends at one. Method: three records, merged from two parts.
    #[test]
    fn the_curve_rises_to_one() {
        let (mut all, mut more) = (Lateness::default(), Lateness::default());
        all.record(Duration::from_micros(10));
        more.record(Duration::from_micros(20));
        more.record(Duration::from_millis(1));
        all.add(&more);
        let shares: Vec<f64> = all.curve().map(|(_, share)| share).collect();
        assert_eq!(shares, [1.0 / 3.0, 2.0 / 3.0, 1.0]);
    }
}
