//! Measuring what a folder lacks.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::args::Plan;
use super::super::folder::Folder;
use super::super::json::{machine_value, row_value};
use super::super::provenance::Provenance;
use super::super::result::Report;
use super::super::{parent, program};
use super::{Record, policy};
use crate::case::Case;

/// What a run has come to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What is kept now.
    pub(crate) record: Record,
    /// How many cases of the plan are still to be measured.
    pub(crate) left: usize,
    /// Rows of the plan's cases that failed, a line for each.
    pub(crate) failed: Vec<String>,
}

/// Measures what the plan wants and the folder lacks; begins no case when the time is over.
///
/// It is an error, and nothing is measured, if more is kept of a case than the plan would measure.
pub(crate) fn measure(
    registry: &'static [Case],
    plan: &Plan,
    folder: &Folder,
    within: Option<Duration>,
) -> io::Result<Outcome> {
    let begun = Instant::now();
    let is_over = || within.is_some_and(|within| begun.elapsed() >= within);
    let mut record = Record::open(registry, folder)?;
    let mut wanted = record.lacking(plan);
    if !is_over() {
        record.refuse_less(plan, &wanted)?;
    }
    // What failed the last time may fail again, and must not keep the others from their turn.
    wanted.sort_by_key(|case| record.kept(case).is_some());
    // Of the moment at which this program is new: whoever works on in the meantime changes nothing.
    let provenance = Provenance::read();
    let mut failed = Vec::new();
    for (number, case) in wanted.iter().enumerate() {
        if is_over() {
            break;
        }
        program::check()?;
        eprintln!("{} cases to go: {}", wanted.len() - number, case.name);
        let report = parent::measure(&plan.of_one(case));
        // Rows that could not be started would be kept as failed.
        program::check()?;
        failed.extend(record.take(case, case_value(&report, &provenance))?);
    }
    failed.extend(record.failed(plan));
    Ok(Outcome {
        left: record.lacking(plan).len(),
        record,
        failed,
    })
}

impl Record {
    /// The cases of a plan that are not kept as planned.
    fn lacking(&self, plan: &Plan) -> Vec<&'static Case> {
        let is_kept = |case: &Case| {
            let kept = self.kept(case);
            kept.is_some_and(|kept| policy::is_as_planned(kept, case, plan))
        };
        let cases = plan.cases.iter().copied();
        let cases = cases.filter(|case| !parent::runtimes_of(plan, case).is_empty());
        cases.filter(|case| !is_kept(case)).collect()
    }

    /// An error if more is kept of one of the cases than the plan would measure.
    fn refuse_less(&self, plan: &Plan, cases: &[&'static Case]) -> io::Result<()> {
        let lost = cases.iter().filter_map(|case| {
            let lost = policy::lost_by_plan(self.kept(case)?, case, plan);
            (!lost.is_empty()).then_some((case, lost))
        });
        let lost: Vec<_> = lost.collect();
        let Some((case, what)) = lost.first() else {
            return Ok(());
        };
        let (name, what, file) = (case.name, what.join("; "), self.file_of(case.group));
        let others = match lost.len() - 1 {
            0 => String::new(),
            others => format!(" (and {others} more cases)"),
        };
        let told = format!(
            "what is kept of `{name}`{others} would be lost: {what}. Leave `--quick`, `--rounds` \
             and `--runtimes` as they were then, choose other cases or another folder, or delete \
             {}",
            file.display()
        );
        Err(io::Error::other(told))
    }

    /// Keeps a case, unless rows with figures would give way to rows without; those rows are told.
    fn take(&mut self, case: &Case, value: Value) -> io::Result<Vec<String>> {
        let lost = self.kept(case).map_or(Vec::new(), |kept| {
            let lost = policy::lost_rows(kept, &value);
            lines(case, &lost, "; the older figures of the case stay")
        });
        if lost.is_empty() {
            self.keep(case, value)?;
        }
        Ok(lost)
    }

    /// The rows of a plan's cases that are kept as failed.
    fn failed(&self, plan: &Plan) -> Vec<String> {
        let of_case = |case: &&'static Case| {
            let kept = self.kept(case)?;
            Some(lines(case, &policy::failed_rows(kept), ""))
        };
        plan.cases.iter().filter_map(of_case).flatten().collect()
    }
}

/// A line for each row without figures.
fn lines(case: &Case, rows: &[(&str, &str)], more: &str) -> Vec<String> {
    let line = |(runtime, why): &(&str, &str)| format!("`{}` on {runtime}: {why}{more}", case.name);
    rows.iter().map(line).collect()
}

/// A report of one case as it is kept.
pub(super) fn case_value(report: &Report, provenance: &Provenance) -> Value {
    let case = &report.cases[0];
    let rows: Vec<Value> = case
        .rows
        .iter()
        .map(|row| row_value(report, case, row))
        .collect();
    json!({
        "case": case.case.name,
        "group": case.case.group.name(),
        "rounds": report.rounds,
        "effort": report.effort.name(),
        "base": report.base.name(),
        "machine": machine_value(&report.machine),
        "provenance": provenance.value(),
        "rows": rows,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::super::folder::tests::scratch;
    use super::super::tests::kept_sample;
    use super::*;
    use crate::case::tests::{SOME, named};

    /// Figures stay when the newer row has none, and the failure is told; else the newer case
    /// takes the place of the older.
    #[test]
    fn figures_stay_where_the_newer_row_failed() {
        let folder = scratch("take");
        let mut record = Record::open(SOME, &folder).expect("the folder is made");
        let (case, good) = (named("yield_many"), kept_sample().swap_remove(0));
        let mut bad = good.clone();
        bad["rows"][0] = json!({ "runtime": "tokio-mt", "error": "it broke" });
        assert!(
            record
                .take(case, bad.clone())
                .expect("it is written")
                .is_empty()
        );
        assert_eq!(record.kept(case), Some(&bad));
        assert!(
            record
                .take(case, good.clone())
                .expect("it is written")
                .is_empty()
        );
        assert_eq!(record.kept(case), Some(&good));
        let told = record.take(case, bad).expect("nothing is written");
        let line = "`yield_many` on tokio-mt: it broke; the older figures of the case stay";
        assert_eq!(told, [line]);
        assert_eq!(record.kept(case), Some(&good));
        fs::remove_dir_all(folder.path()).expect("the folder is this test's own");
    }
}
