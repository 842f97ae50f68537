//! What sensing costs where nothing blocks: one build, with sensing and without.
//!
//! By CPU time: children in turns, as everywhere, and the ratio of the same rounds. By
//! instructions: a child under `valgrind` does a fixed number of iterations, and another one
//! several times as many; the difference belongs to the iterations alone, not to the start. How
//! many is found first, so that what differs from start to start is small beside it.
//! Valgrind lets one thread run at a time, so this counts the way of an item and not what happens
//! between CPUs; cases that have tasks in the background whose work has no end are not counted.

use std::fmt::Write;
use std::process::Command;

use super::args::{Effort, Plan};
use super::result::{Measured, Missing, Report, Row};
use super::stats::{Ratio, Spread};
use super::{parent, program};
use crate::case::Case;
use crate::runtime_id::RuntimeId;

/// Iterations of the two runs that find how many are counted.
const PILOT: [u64; 2] = [1, 9];
/// Instructions that the longer counted run is to have; a start differs by about a million.
const ENOUGH: f64 = 400e6;
/// The same with `--quick`.
const QUICK_ENOUGH: f64 = 60e6;
/// Iterations of the longer run: bounds what a case without work of its own can cost.
const MANY: [f64; 2] = [4.0, 20_000.0];
/// The shorter run has this part of the longer one's iterations.
const FEW_SHARE: u64 = 4;
/// Counts of each case and runtime, in turns; the median stands.
const COUNTS: usize = 3;
/// Counts with `--quick`.
const QUICK_COUNTS: usize = 1;
/// Cases whose tasks in the background do what they can while the case lasts.
const ENDLESS: &[&str] = &[
    "spawn_many_remote_busy1",
    "spawn_many_remote_busy2",
    "ae_web_server",
];

/// What was found.
pub(super) struct Cost {
    /// Rounds in turns, by CPU time.
    report: Report,
    /// By case, in the same order.
    instructions: Vec<Instructions>,
}

/// Instructions of a case: those of an iteration with sensing and without, or why there are none.
type Instructions = Result<[Spread; 2], Missing>;

/// Measures all of it.
pub(super) fn measure(plan: &Plan) -> Cost {
    let report = parent::measure(plan);
    let (counts, enough) = match plan.effort {
        Effort::Full => (COUNTS, ENOUGH),
        Effort::Quick => (QUICK_COUNTS, QUICK_ENOUGH),
    };
    let count = |case: &&'static Case| {
        eprintln!("instructions: {}", case.name);
        instructions(case, counts, enough)
    };
    Cost {
        instructions: plan.cases.iter().map(count).collect(),
        report,
    }
}

/// Counts the instructions of a case.
fn instructions(case: &Case, counts: usize, enough: f64) -> Instructions {
    if ENDLESS.contains(&case.name) {
        return Err(Missing::Skipped("background work without end".to_owned()));
    }
    let [one, more] = PILOT.map(|iterations| count(case, RuntimeId::Wq, iterations));
    let each = (more? - one?) / (PILOT[1] - PILOT[0]) as f64;
    let [fewest, most] = MANY;
    let many = (enough / each.max(1.0)).clamp(fewest, most) as u64;
    let few = many / FEW_SHARE;
    let mut found = [Vec::new(), Vec::new()];
    for _ in 0..counts {
        for (counted, id) in found.iter_mut().zip([RuntimeId::Wq, RuntimeId::WqDeclared]) {
            let (longer, shorter) = (count(case, id, many)?, count(case, id, few)?);
            counted.push((longer - shorter) / (many - few) as f64);
        }
    }
    Ok(found.map(|counted| Spread::of(&counted)))
}

/// Runs one child under valgrind.
fn count(case: &Case, id: RuntimeId, iterations: u64) -> Result<f64, Missing> {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--fair-sched=try"])
        .arg("--cachegrind-out-file=/dev/null")
        .arg(program::path())
        .args(["--child", case.name, id.name(), "quick"])
        .arg(iterations.to_string())
        .output()
        .map_err(|error| Missing::Skipped(format!("valgrind cannot be started: {error}")))?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        let last = told.lines().last().unwrap_or_default();
        return Err(Missing::Failed(format!(
            "under valgrind: {} {last}",
            output.status
        )));
    }
    instructions_told(&told).ok_or_else(|| Missing::Failed("valgrind counted nothing".to_owned()))
}

/// The count in what valgrind says.
fn instructions_told(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.contains("refs:"))?;
    let number = line.split("refs:").nth(1)?.trim().replace(',', "");
    number.parse().ok()
}

impl Cost {
    /// Whether a row has no figures though it should.
    pub(super) fn has_failures(&self) -> bool {
        let failed = |found: &Instructions| matches!(found, Err(Missing::Failed(_)));
        self.report.has_failures() || self.instructions.iter().any(failed)
    }

    /// The table: how much more sensing takes.
    pub(super) fn render(&self) -> String {
        let mut text = format!(
            "what sensing costs where nothing blocks: wq beside wq-declared, \
             {} rounds ({}), load {}\n\
             {:<24} {:>9} {:<18} {:>9} {:<18} {:>13} {:>8}\n",
            self.report.rounds,
            self.report.effort.name(),
            self.report.machine.load,
            "case",
            "CPU time",
            "[95 %]",
            "time",
            "[95 %]",
            "instructions",
            "spread",
        );
        for (case, counted) in self.report.cases.iter().zip(&self.instructions) {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{:<24} {} {}",
                case.case.name,
                times(&case.rows),
                instructions_cell(counted)
            );
        }
        text
    }
}

/// The columns of CPU time and time on the wall.
fn times(rows: &[Row]) -> String {
    let of = |id| {
        let row = rows.iter().find(|row| row.runtime == id);
        row.map(|row| row.outcome.as_ref())
    };
    match (of(RuntimeId::Wq), of(RuntimeId::WqDeclared)) {
        (Some(Ok(with)), Some(Ok(without))) => {
            let more = |figures: fn(&Measured) -> &[f64]| {
                // "With" is the numerator: above 1 sensing costs.
                let ratio = Ratio::paired(figures(with), figures(without));
                let bounds = format!("[{}, {}]", percent(ratio.low), percent(ratio.high));
                format!("{:>9} {bounds:<18}", percent(ratio.median))
            };
            format!("{} {}", more(|m| &m.cpus), more(|m| &m.figures))
        }
        (Some(Err(missing)), _) | (_, Some(Err(missing))) => missing.to_string(),
        (None, _) | (_, None) => "not measured".to_owned(),
    }
}

/// The columns of instructions.
fn instructions_cell(counted: &Instructions) -> String {
    match counted {
        Ok([with, without]) => {
            let spread = with.relative_iqr().max(without.relative_iqr());
            let more = percent(with.median / without.median);
            format!("{more:>13} {:>7.1}%", spread * 100.0)
        }
        Err(missing) => missing.to_string(),
    }
}

/// A ratio as what is above or below 1.
fn percent(ratio: f64) -> String {
    format!("{:+.1}%", (ratio - 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The count is read with its commas; other lines are not taken for it.
    #[test]
    fn counts_are_read() {
        let text = "==7== Cachegrind\n==7== \n==7== I refs:        3,168,001\n";
        assert_eq!(instructions_told(text), Some(3_168_001.0));
        assert_eq!(instructions_told("==7== Cachegrind"), None);
    }

    /// What is above 1 costs.
    #[test]
    fn ratios_become_percents() {
        assert_eq!([1.021, 0.95, 1.0].map(percent), ["+2.1%", "-5.0%", "+0.0%"]);
    }
}
