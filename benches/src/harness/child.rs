//! The child: one case on one runtime, warm, measured whenever the parent says so.
//!
//! Between rounds the main thread is parked in a read and the case's threads are idle, so the
//! children of one row can stay alive beside each other and take turns.

use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use super::args::Effort;
use super::machine;
use super::protocol::{LateRound, Measure, READY, RUN, Round};
use crate::cases::Case;
use crate::runtime::RuntimeId;

/// Runs the child of one row until its standard input ends.
pub(crate) fn serve(case: &Case, runtime: RuntimeId, effort: Effort) -> io::Result<()> {
    let mut bench = Bench {
        pace: Pace::of(effort),
        threads: 0,
        broken: Ok(()),
    };
    (case.run)(runtime, &mut bench);
    bench.broken
}

/// How long things take, by effort.
#[derive(Clone, Copy)]
struct Pace {
    /// Runs before the first round: caches, allocator, branch predictor, worker threads.
    warm_up: Duration,
    /// A round of operations: long against a time slice, short against the machine's moods.
    round: Duration,
    /// A round of lateness: a thousand arrivals a second must give a 99th percentile.
    lateness_round: Duration,
}

impl Pace {
    /// The pace of one effort.
    fn of(effort: Effort) -> Self {
        let [warm_up, round, lateness_round] = match effort {
            Effort::Full => [200, 60, 1000],
            Effort::Quick => [40, 15, 300],
        };
        Self {
            warm_up: Duration::from_millis(warm_up),
            round: Duration::from_millis(round),
            lateness_round: Duration::from_millis(lateness_round),
        }
    }
}

/// What a case measures itself with; it talks to the parent.
pub(crate) struct Bench {
    /// How long rounds are.
    pace: Pace,
    /// Most threads seen so far.
    threads: u64,
    /// The first error of the conversation with the parent.
    broken: io::Result<()>,
}

/// What a case saw in one round of lateness.
pub(crate) struct Observed {
    /// How late each thing was, in any order.
    pub(crate) samples_ns: Vec<u64>,
    /// What else the case did in a second: naps, burns, ticks.
    pub(crate) others_per_s: f64,
    /// Most threads seen on the way.
    pub(crate) threads: u64,
}

impl Bench {
    /// Measures a case whose iteration does `ops` operations.
    pub(crate) fn iter(&mut self, ops: u64, iteration: impl FnMut()) {
        self.iter_between(ops, || (), iteration, |()| ());
    }

    /// Measures iterations between something that is set up before each round and taken down
    /// after it, outside the measured time.
    pub(crate) fn iter_between<T>(
        &mut self,
        ops: u64,
        mut begin: impl FnMut() -> T,
        mut iteration: impl FnMut(),
        mut end: impl FnMut(T),
    ) {
        let state = begin();
        let iterations = self.calibrate(&mut iteration);
        end(state);
        self.answer(|bench| {
            let state = begin();
            let cpu = machine::process_cpu_time();
            let start = Instant::now();
            (0..iterations).for_each(|_| iteration());
            let wall = start.elapsed();
            let cpu = machine::process_cpu_time() - cpu;
            bench.count_threads(machine::threads());
            end(state);
            bench.round(wall, cpu, Measure::Operations(ops * iterations))
        });
    }

    /// Measures a case about lateness; `round` is told how long to go on.
    pub(crate) fn lateness(&mut self, mut round: impl FnMut(Duration) -> Observed) {
        round(self.pace.warm_up);
        self.answer(|bench| {
            let cpu = machine::process_cpu_time();
            let start = Instant::now();
            let Observed {
                mut samples_ns,
                others_per_s,
                threads,
            } = round(bench.pace.lateness_round);
            let wall = start.elapsed();
            let cpu = machine::process_cpu_time() - cpu;
            bench.count_threads(threads);
            samples_ns.sort_unstable();
            bench.round(
                wall,
                cpu,
                Measure::Lateness(LateRound {
                    samples_ns,
                    others_per_s,
                }),
            )
        });
    }

    /// Warms up, and finds how many iterations make a round.
    fn calibrate(&self, iteration: &mut impl FnMut()) -> u64 {
        let start = Instant::now();
        let mut done = 0;
        while done == 0 || start.elapsed() < self.pace.warm_up {
            iteration();
            done += 1;
        }
        // The first iterations are slower, so only the later part of a long warm-up would be
        // exact; a round somewhat longer than asked for harms nobody.
        let each = start.elapsed().as_secs_f64() / f64::from(done);
        (self.pace.round.as_secs_f64() / each).ceil() as u64
    }

    /// Remembers the highest thread count.
    fn count_threads(&mut self, now: u64) {
        self.threads = self.threads.max(now);
    }

    /// Puts a round together.
    fn round(&self, wall: Duration, cpu: Duration, measured: Measure) -> Round {
        let (wall_ns, cpu_ns) = (wall.as_nanos() as u64, cpu.as_nanos() as u64);
        Round {
            wall_ns,
            cpu_ns,
            threads: self.threads,
            measured,
        }
    }

    /// Says that the case is ready, then answers each request until the parent hangs up.
    fn answer(&mut self, mut measure: impl FnMut(&mut Self) -> Round) {
        self.broken = (|| {
            tell(READY)?;
            for request in io::stdin().lock().lines() {
                if request? != RUN {
                    return Err(io::Error::other("the parent asked for something unknown"));
                }
                tell(&measure(self).encode())?;
            }
            Ok(())
        })();
    }
}

/// Writes a line to the parent at once.
fn tell(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calibration fills about one round, and at least one iteration is made of slow cases.
    #[test]
    fn calibration_fills_a_round() {
        let bench = Bench {
            pace: Pace::of(Effort::Quick),
            threads: 0,
            broken: Ok(()),
        };
        let spin = |time: Duration| {
            let start = Instant::now();
            while start.elapsed() < time {}
        };
        let iterations = bench.calibrate(&mut || spin(Duration::from_millis(1)));
        assert!((1..=15).contains(&iterations), "{iterations}");
        assert_eq!(bench.calibrate(&mut || spin(Duration::from_millis(60))), 1);
    }
}
