//! What a measurement is, before it becomes a table, JSON or a picture.

use std::fmt;

use super::args::Effort;
use super::machine::Machine;
use super::protocol::{LateRound, Measure, Round, percentile};
use super::stats::{Ratio, Spread};
use crate::case::Case;
use crate::runtime_id::RuntimeId;

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    /// Where.
    pub(crate) machine: Machine,
    /// Rounds of each row.
    pub(crate) rounds: usize,
    /// Length of the rounds.
    pub(crate) effort: Effort,
    /// What ratios are against.
    pub(crate) base: RuntimeId,
    /// The cases, in the order of the registry.
    pub(crate) cases: Vec<CaseResult>,
}

/// One case on all its runtimes.
#[derive(Debug)]
pub(crate) struct CaseResult {
    /// The case.
    pub(crate) case: &'static Case,
    /// Its rows, in the order of the registry.
    pub(crate) rows: Vec<Row>,
}

/// One case on one runtime.
#[derive(Debug)]
pub(crate) struct Row {
    /// The runtime.
    pub(crate) runtime: RuntimeId,
    /// Its figures, or why there are none.
    pub(crate) outcome: Result<Measured, Missing>,
}

/// Why a row has no figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The machine, or this user's rights, do not allow it.
    Skipped(String),
    /// Something is wrong.
    Failed(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(reason) => write!(f, "skipped: {reason}"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
        }
    }
}

/// The figures of a row.
#[derive(Debug)]
pub(crate) struct Measured {
    /// ns for each operation, or p99 lateness in ns, by round.
    pub(crate) figures: Vec<f64>,
    /// Middle and spread of these.
    pub(crate) spread: Spread,
    /// CPU ns for each operation; in cases about lateness, CPUs in use.
    pub(crate) cpu: f64,
    /// The same by round.
    pub(crate) cpus: Vec<f64>,
    /// Most threads that the process had.
    pub(crate) threads: u64,
    /// Most memory that a process of the row had resident, in KiB.
    pub(crate) memory_kib: u64,
    /// What else was done, as a multiple of what the base did in the same round.
    pub(crate) others_ratio: Option<Ratio>,
    /// Percentiles over all rounds; only in cases about lateness.
    pub(crate) lateness: Option<Lateness>,
    /// How many times better than the base; absent where the case has no base.
    pub(crate) ratio: Option<Ratio>,
}

/// How late things were, over all rounds of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lateness {
    /// Half of the samples are not later.
    pub(crate) p50_ns: u64,
    /// 99 of 100 are not later.
    pub(crate) p99_ns: u64,
    /// 999 of 1000 are not later.
    pub(crate) p999_ns: u64,
    /// The latest.
    pub(crate) max_ns: u64,
    /// What else the case did in a second: median of the rounds.
    pub(crate) others_per_s: f64,
}

/// What a ratio says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This row is what the others are compared with.
    Base,
    /// The lower bound is above 1.
    Win,
    /// 1 lies within the bounds.
    Level,
    /// The upper bound is below 1.
    Loss,
}

impl Verdict {
    /// The word in tables and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Win => "win",
            Self::Level => "level",
            Self::Loss => "loss",
        }
    }
}

impl Report {
    /// Whether a row has no figures though it should.
    pub(crate) fn has_failures(&self) -> bool {
        self.cases
            .iter()
            .flat_map(|case| &case.rows)
            .any(|row| matches!(row.outcome, Err(Missing::Failed(_))))
    }

    /// What the row's ratio says; nothing for rows without one.
    pub(crate) fn verdict(&self, row: &Row) -> Option<Verdict> {
        let ratio = row.outcome.as_ref().ok()?.ratio?;
        Some(match ratio {
            _ if row.runtime == self.base => Verdict::Base,
            Ratio { low, .. } if low > 1.0 => Verdict::Win,
            Ratio { high, .. } if high < 1.0 => Verdict::Loss,
            Ratio { .. } => Verdict::Level,
        })
    }
}

impl CaseResult {
    /// Turns the rounds of a case into rows, with the ratios against `base` where it was measured.
    pub(crate) fn new(
        case: &'static Case,
        base: RuntimeId,
        measured: Vec<(RuntimeId, Result<Vec<Round>, Missing>)>,
    ) -> Self {
        let figures_of = |rounds: &[Round]| rounds.iter().map(Round::figure).collect::<Vec<_>>();
        let base_rounds = measured.iter().find(|(id, _)| *id == base);
        let base_figures = base_rounds.and_then(|(_, rounds)| rounds.as_deref().ok());
        let base_others = base_figures.map(others_of);
        let base_figures = base_figures.map(figures_of);
        let row = |(runtime, rounds): (RuntimeId, Result<Vec<Round>, Missing>)| {
            let outcome = rounds.map(|rounds| Measured {
                figures: figures_of(&rounds),
                spread: Spread::of(&figures_of(&rounds)),
                cpu: Spread::of(&rounds.iter().map(Round::cpu).collect::<Vec<_>>()).median,
                cpus: rounds.iter().map(Round::cpu).collect(),
                threads: rounds.iter().map(|round| round.threads).max().unwrap_or(0),
                memory_kib: rounds
                    .iter()
                    .map(|round| round.memory_kib)
                    .max()
                    .unwrap_or(0),
                others_ratio: base_others
                    .as_ref()
                    .filter(|base| !base.is_empty() && base.iter().all(|rate| *rate > 0.0))
                    .map(|base| Ratio::paired(&others_of(&rounds), base)),
                lateness: Lateness::of(&rounds),
                ratio: base_figures
                    .as_ref()
                    .map(|b| Ratio::paired(b, &figures_of(&rounds))),
            });
            Row { runtime, outcome }
        };
        Self {
            case,
            rows: measured.into_iter().map(row).collect(),
        }
    }
}

/// What else was done in a second, by round; nothing for rounds of operations.
fn others_of(rounds: &[Round]) -> Vec<f64> {
    let rate = |round: &Round| match &round.measured {
        Measure::Lateness(late) => Some(late.others_per_s),
        Measure::Operations(_) => None,
    };
    rounds.iter().filter_map(rate).collect()
}

impl Lateness {
    /// Summarises the samples of all rounds together; nothing for rounds of operations.
    fn of(rounds: &[Round]) -> Option<Self> {
        let late: Vec<&LateRound> = rounds
            .iter()
            .filter_map(|round| match &round.measured {
                Measure::Lateness(late) => Some(late),
                Measure::Operations(_) => None,
            })
            .collect();
        let mut samples: Vec<u64> = late.iter().flat_map(|l| &l.samples_ns).copied().collect();
        samples.sort_unstable();
        let rates: Vec<_> = late.iter().map(|late| late.others_per_s).collect();
        (!samples.is_empty()).then(|| Self {
            p50_ns: percentile(&samples, 0.5),
            p99_ns: percentile(&samples, 0.99),
            p999_ns: percentile(&samples, 0.999),
            max_ns: percentile(&samples, 1.0),
            others_per_s: Spread::of(&rates).median,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::case::tests::named;

    /// A round of operations that took `ns` each.
    fn round(ns: u64) -> Round {
        let measured = Measure::Operations(10);
        Round {
            wall_ns: ns * 10,
            cpu_ns: ns * 20,
            threads: 4,
            memory_kib: 2048,
            measured,
        }
    }

    /// A round of lateness with a hundred samples, `ns` the second largest.
    fn late(ns: u64) -> Round {
        let mut samples_ns = vec![ns / 10; 98];
        samples_ns.extend([ns, ns * 3]);
        let late = LateRound {
            samples_ns,
            others_per_s: 160.0,
        };
        Round {
            measured: Measure::Lateness(late),
            ..round(100)
        }
    }

    /// A report with a faster, a slower and a failed row, a lateness case and a floor row.
    pub(crate) fn sample() -> Report {
        let base = RuntimeId::TokioMt;
        let operations = vec![
            (base, Ok([100, 110, 90].map(round).to_vec())),
            (RuntimeId::TokioCt, Ok([50, 50, 50].map(round).to_vec())),
            (
                RuntimeId::AsyncExecutor,
                Ok([400, 410, 420].map(round).to_vec()),
            ),
            (
                RuntimeId::Smol,
                Err(Missing::Failed(
                    "the child ended early <signal: 9>".to_owned(),
                )),
            ),
        ];
        let lateness = vec![
            (
                base,
                Ok([400_000_000, 390_000_000, 410_000_000].map(late).to_vec()),
            ),
            (
                RuntimeId::TokioBlocking,
                Ok([100_000, 90_000, 110_000].map(late).to_vec()),
            ),
            (
                RuntimeId::Smol,
                Err(Missing::Skipped("no /dev/fuse".to_owned())),
            ),
        ];
        let floor = vec![(RuntimeId::Bare, Ok([85, 85, 86].map(round).to_vec()))];
        let cases = vec![
            CaseResult::new(named("yield_many"), base, operations),
            CaseResult::new(named("naps_k8"), base, lateness),
            CaseResult::new(named("floor_task_local"), base, floor),
        ];
        let machine = Machine {
            cpus: 2,
            model: "Test & Sons <CPU>".to_owned(),
            kernel: "6.0".to_owned(),
            load: 0.1,
        };
        Report {
            machine,
            rounds: 3,
            effort: Effort::Quick,
            base,
            cases,
        }
    }

    /// Ratios above 1 are wins, below are losses, and what has no base has no verdict.
    #[test]
    fn verdicts_follow_the_bounds() {
        let report = sample();
        let words: Vec<Vec<_>> = report
            .cases
            .iter()
            .map(|case| case.rows.iter().map(|row| report.verdict(row)).collect())
            .collect();
        let (base, win, loss) = (Some(Verdict::Base), Some(Verdict::Win), Some(Verdict::Loss));
        assert_eq!(words[0], [base, win, loss, None]);
        assert_eq!(words[1], [base, win, None]);
        assert_eq!(words[2], [None]);
        assert!(report.has_failures());
    }

    /// Rounds become medians: CPU for each operation, or CPUs in use where lateness is measured.
    #[test]
    fn rounds_become_figures() {
        let report = sample();
        let figures = |case: usize, row: usize| {
            report.cases[case].rows[row]
                .outcome
                .as_ref()
                .expect("it has figures")
        };
        assert_eq!(
            (figures(0, 0).spread.median, figures(0, 0).cpu),
            (100.0, 200.0)
        );
        assert_eq!(
            (figures(1, 1).spread.median, figures(1, 1).cpu),
            (100_000.0, 2.0)
        );
        let late = figures(1, 1).lateness.expect("the case measures lateness");
        let percentiles = (late.p50_ns, late.p99_ns, late.p999_ns, late.max_ns);
        assert_eq!(percentiles, (10_000, 110_000, 330_000, 330_000));
        assert_eq!((late.others_per_s, figures(0, 0).lateness), (160.0, None));
        let others = |case, row| figures(case, row).others_ratio.map(|ratio| ratio.median);
        assert_eq!((others(1, 1), others(0, 1)), (Some(1.0), None));
        assert_eq!(figures(0, 0).memory_kib, 2048);
        assert_eq!(figures(0, 1).ratio.map(|ratio| ratio.median), Some(2.0));
    }
}
