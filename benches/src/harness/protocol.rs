//! The lines between parent and child.
//!
//! The child says `ready` once it is warm, or `skipped` and why this machine cannot measure it. The
//! parent says `run`; the child measures one round and answers with [`Round::encode`]'s line. The
//! end of the child's standard input ends it.

use std::str::FromStr;

/// The child's first line.
pub(crate) const READY: &str = "ready";
/// Begins the child's only line when the machine does not allow the case; the reason follows.
pub(crate) const SKIPPED: &str = "skipped ";
/// The parent's only request.
pub(crate) const RUN: &str = "run";

/// Begins the line of a round of operations.
const OPERATIONS: &str = "operations";
/// Begins the line of a round of lateness.
const LATENESS: &str = "lateness";

/// What a child measured in one round.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Round {
    /// Time on the wall.
    pub(crate) wall_ns: u64,
    /// CPU time of the child's process.
    pub(crate) cpu_ns: u64,
    /// Most threads seen so far.
    pub(crate) threads: u64,
    /// Most memory that the process has had resident so far, in KiB.
    pub(crate) memory_kib: u64,
    /// What was done or seen.
    pub(crate) measured: Measure,
}

/// What a round did or saw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Measure {
    /// That many operations.
    Operations(u64),
    /// How late things were.
    Lateness(LateRound),
}

/// How late things were in one round.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LateRound {
    /// Each of them, at least one, ascending.
    pub(crate) samples_ns: Vec<u64>,
    /// What else the case did in a second: naps, burns, ticks.
    pub(crate) others_per_s: f64,
}

impl Round {
    /// The figure that rows are compared by: ns for each operation, or the round's p99.
    pub(crate) fn figure(&self) -> f64 {
        match &self.measured {
            Measure::Operations(count) => self.wall_ns as f64 / *count as f64,
            Measure::Lateness(late) => percentile(&late.samples_ns, 0.99) as f64,
        }
    }

    /// CPU ns for each operation; where lateness is measured, CPUs in use.
    pub(crate) fn cpu(&self) -> f64 {
        let per = match &self.measured {
            Measure::Operations(count) => *count,
            Measure::Lateness(_) => self.wall_ns,
        };
        self.cpu_ns as f64 / per as f64
    }

    /// The round as one line.
    pub(crate) fn encode(&self) -> String {
        let Self {
            wall_ns,
            cpu_ns,
            threads,
            memory_kib,
            measured,
        } = self;
        let common = format!("{wall_ns} {cpu_ns} {threads} {memory_kib}");
        match measured {
            Measure::Operations(count) => format!("{OPERATIONS} {common} {count}"),
            Measure::Lateness(late) => {
                let samples: Vec<_> = late.samples_ns.iter().map(u64::to_string).collect();
                format!(
                    "{LATENESS} {common} {} {}",
                    late.others_per_s,
                    samples.join(" ")
                )
            }
        }
    }

    /// Reads the line back.
    pub(crate) fn decode(line: &str) -> Result<Self, String> {
        Self::parse(line).ok_or_else(|| format!("the child answered `{line}`"))
    }

    /// Reads the line back; nothing for any other line.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let kind = words.next()?;
        let [wall_ns, cpu_ns, threads, memory_kib] = [(); 4].map(|()| number::<u64>(words.next()));
        let measured = match kind {
            OPERATIONS => {
                let count = number(words.next()).filter(|count| *count > 0)?;
                words
                    .next()
                    .is_none()
                    .then_some(Measure::Operations(count))?
            }
            LATENESS => {
                let others_per_s = number(words.next())?;
                let samples: Option<Vec<_>> = words.map(|word| number(Some(word))).collect();
                let samples_ns = samples.filter(|samples| !samples.is_empty())?;
                Measure::Lateness(LateRound {
                    samples_ns,
                    others_per_s,
                })
            }
            _ => return None,
        };
        Some(Self {
            wall_ns: wall_ns?,
            cpu_ns: cpu_ns?,
            threads: threads?,
            memory_kib: memory_kib?,
            measured,
        })
    }
}

/// A word as a number.
fn number<T: FromStr>(word: Option<&str>) -> Option<T> {
    word?.parse().ok()
}

/// The smallest sample that `share` of the ascending samples do not exceed.
pub(crate) fn percentile(ascending: &[u64], share: f64) -> u64 {
    let rank = (share * ascending.len() as f64).ceil() as usize;
    ascending[rank.max(1) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round of ten operations.
    fn operations() -> Round {
        let measured = Measure::Operations(10);
        Round {
            wall_ns: 1200,
            cpu_ns: 2300,
            threads: 4,
            memory_kib: 5,
            measured,
        }
    }

    /// Both kinds of round come back as they went.
    #[test]
    fn rounds_survive_the_line() {
        let late = LateRound {
            samples_ns: (1..=200).collect(),
            others_per_s: 33.25,
        };
        let late = Round {
            measured: Measure::Lateness(late),
            ..operations()
        };
        for round in [operations(), late] {
            assert_eq!(Round::decode(&round.encode()), Ok(round));
        }
    }

    /// Operations are compared by their time, lateness by the round's 99th percentile.
    #[test]
    fn figures_are_time_or_p99() {
        assert_eq!((operations().figure(), operations().cpu()), (120.0, 230.0));
        let late = LateRound {
            samples_ns: (1..=200).collect(),
            others_per_s: 0.0,
        };
        let late = Round {
            measured: Measure::Lateness(late),
            ..operations()
        };
        assert_eq!((late.figure(), late.cpu()), (198.0, 2300.0 / 1200.0));
    }

    /// Percentiles are samples, never something between two of them.
    #[test]
    fn percentiles_are_samples() {
        assert_eq!(
            [0.0, 0.5, 0.99, 1.0].map(|share| percentile(&[1, 5, 9], share)),
            [1, 5, 9, 9]
        );
        assert_eq!(percentile(&[7], 0.999), 7);
    }

    /// Anything else is refused and quoted.
    #[test]
    fn other_lines_are_refused() {
        let none_measured = ["operations 1 2 3 4 0", "lateness 1 2 3 4 5"];
        let malformed = [
            "",
            "operations 1 2",
            "operations 1 2 x 4 5",
            "operations 1 2 3 4 5 6",
            "hello",
        ];
        for line in none_measured.iter().chain(&malformed) {
            let told = Round::decode(line).expect_err("the line is wrong");
            assert!(told.contains(line), "{told}");
        }
    }
}
