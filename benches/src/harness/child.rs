//! The child: one case on one runtime, warm, measured whenever the parent says so.
//!
//! Between rounds the main thread is parked in a read and the case's threads are idle, so the
//! children of one row can stay alive beside each other and take turns.

use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use super::args::Effort;
use super::machine;
use super::protocol::{LateRound, Measure, READY, RUN, Round, SKIPPED};
use crate::case::Case;
use crate::runtime_id::RuntimeId;

/// Runs the child of one row until its standard input ends.
///
/// With a number of iterations it does those and ends: for a program that counts instructions.
pub(crate) fn serve(
    case: &Case,
    runtime: RuntimeId,
    effort: Effort,
    iterations: Option<u64>,
) -> io::Result<()> {
    // Before the runtime starts: its threads are to have what this thread has.
    if let Err(reason) = case.needs.meet() {
        return tell(&format!("{SKIPPED}{reason}"));
    }
    let mut bench = Bench {
        pace: Pace::of(effort),
        iterations,
        threads: 0,
        broken: Ok(()),
    };
    (case.run)(runtime, &mut bench);
    bench.broken
}

/// How long things take, by effort.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Runs before the first round: caches, allocator, branch predictor, worker threads.
    warm_up: Duration,
    /// A round of operations: long against a time slice, short against the machine's moods.
    round: Duration,
    /// A round of lateness: a thousand arrivals a second must give a 99th percentile.
    lateness_round: Duration,
    /// The beginning of such a round that does not count: some naps, and half of one more, so that
    /// neither end of what counts lies where naps end.
    lead: Duration,
}

impl Pace {
    /// The pace of one effort.
    fn of(effort: Effort) -> Self {
        let [warm_up, round, lateness_round, lead] = match effort {
            Effort::Full => [200, 60, 1000, 325],
            Effort::Quick => [40, 15, 300, 175],
        };
        Self {
            warm_up: Duration::from_millis(warm_up),
            round: Duration::from_millis(round),
            lateness_round: Duration::from_millis(lateness_round),
            lead: Duration::from_millis(lead),
        }
    }
}

/// What a case measures itself with; it talks to the parent.
#[derive(Debug)]
pub struct Bench {
    /// How long rounds are.
    pace: Pace,
    /// Iterations to do, where nobody measures time.
    iterations: Option<u64>,
    /// Most threads seen so far.
    threads: u64,
    /// The first error of the conversation with the parent.
    broken: io::Result<()>,
}

/// Length of a round that is about a runtime's first moments: four naps.
const COLD_ROUND: Duration = Duration::from_millis(200);

/// How long a round of lateness goes on.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The beginning, of which nothing counts.
    pub lead: Duration,
    /// The rest.
    pub time: Duration,
}

/// What a case saw in one round of lateness.
#[derive(Debug)]
pub struct Observed {
    /// How late each thing was, in any order.
    pub samples_ns: Vec<u64>,
    /// What else the case did in a second: naps, burns, ticks.
    pub others_per_s: f64,
    /// Most threads seen on the way.
    pub threads: u64,
    /// The time over which all this was seen.
    pub wall: Duration,
    /// CPU time of the process in this time.
    pub cpu: Duration,
}

impl Bench {
    /// Measures a case whose iteration does `ops` operations.
    pub fn iter(&mut self, ops: u64, iteration: impl FnMut()) {
        self.iter_between(ops, || (), iteration, |()| ());
    }

    /// Measures iterations between something that is set up before each round and taken down
    /// after it, outside the measured time.
    pub fn iter_between<T>(
        &mut self,
        ops: u64,
        mut begin: impl FnMut() -> T,
        mut iteration: impl FnMut(),
        mut end: impl FnMut(T),
    ) {
        let state = begin();
        if let Some(iterations) = self.iterations {
            (0..iterations).for_each(|_| iteration());
            return end(state);
        }
        let iterations = self.calibrate(&mut iteration);
        end(state);
        self.answer(|bench| {
            let state = begin();
            let cpu = machine::process_cpu_time();
            let start = Instant::now();
            (0..iterations).for_each(|_| iteration());
            let wall = start.elapsed();
            let cpu = machine::process_cpu_time() - cpu;
            bench.count_threads(machine::peak_threads());
            end(state);
            bench.round(wall, cpu, Measure::Operations(ops * iterations))
        });
    }

    /// Measures a case about lateness; `round` is told how long to go on.
    pub fn lateness(&mut self, mut round: impl FnMut(Span) -> Observed) {
        let Pace {
            warm_up,
            lateness_round,
            lead,
            ..
        } = self.pace;
        round(Span {
            lead: Duration::ZERO,
            time: warm_up,
        });
        self.answer_lateness(|| {
            round(Span {
                lead,
                time: lateness_round,
            })
        });
    }

    /// Measures the first moments of this process's runtime, once: nothing has run on it yet, and
    /// the parent takes a new child for each round.
    pub fn cold_lateness(&mut self, mut round: impl FnMut(Span) -> Observed) {
        self.answer_lateness(|| {
            round(Span {
                lead: Duration::ZERO,
                time: COLD_ROUND,
            })
        });
    }

    /// Answers each request with a round of lateness.
    fn answer_lateness(&mut self, mut round: impl FnMut() -> Observed) {
        self.answer(|bench| {
            let Observed {
                mut samples_ns,
                others_per_s,
                threads,
                wall,
                cpu,
            } = round();
            bench.count_threads(threads);
            samples_ns.sort_unstable();
            let late = LateRound {
                samples_ns,
                others_per_s,
            };
            bench.round(wall, cpu, Measure::Lateness(late))
        });
    }

    /// Says that the machine does not allow the case; the child ends then.
    pub fn skip(&mut self, reason: &str) {
        self.broken = tell(&format!("{SKIPPED}{reason}"));
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
            memory_kib: machine::peak_memory_kib(),
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
            iterations: None,
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
