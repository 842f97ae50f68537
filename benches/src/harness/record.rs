//! Figures that are kept: a folder with a file for each group, in it a line for each case.
//!
//! A measurement that takes an hour is made in pieces: what is kept is not measured again, so the
//! same command goes on where it ended. Whoever wants it anew deletes the folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args::Plan;
use super::json::row_value;
use super::provenance::Provenance;
use super::result::Report;
use super::{json, naming, parent};
use crate::case::Case;
use crate::group::Group;
use crate::runtime_id::RuntimeId;

/// What was kept in a folder.
#[derive(Debug)]
pub(crate) struct Record {
    /// The folder.
    folder: PathBuf,
    /// The cases, in the order of the registry; those that it does not know any more are dropped.
    cases: Vec<Value>,
}

impl Record {
    /// Reads what is there; the folder is made if it is not.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let told = |error: io::Error| naming(folder, &error);
        fs::create_dir_all(folder).map_err(told)?;
        let mut record = Self {
            folder: folder.to_owned(),
            cases: Vec::new(),
        };
        for group in Group::ALL {
            let path = record.file_of(*group);
            match fs::read_to_string(&path) {
                Ok(text) => record.cases.extend(cases_in(&text, &path)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(naming(&path, &error)),
            }
        }
        Ok(record)
    }

    /// The cases.
    pub(crate) fn cases(&self) -> &[Value] {
        &self.cases
    }

    /// What is kept of a case.
    fn kept(&self, case: &Case) -> Option<&Value> {
        self.cases.iter().find(|kept| kept["case"] == case.name)
    }

    /// Whether a case was measured as planned: this effort, so many rounds, no runtime less, and
    /// no row that failed.
    fn has(&self, case: &Case, plan: &Plan) -> bool {
        let Some(kept) = self.kept(case) else {
            return false;
        };
        let rows = kept["rows"].as_array().map_or(&[][..], Vec::as_slice);
        let row = |id: &RuntimeId| rows.iter().find(|row| row["runtime"] == id.name());
        let is_there = |id| row(&id).is_some_and(|row| row["error"].is_null());
        kept["rounds"] == plan.rounds
            && kept["effort"] == plan.effort.name()
            && parent::runtimes_of(plan, case).into_iter().all(is_there)
    }

    /// Keeps a case in place of an older one, and writes the file of its group.
    fn keep(&mut self, case: &Case, value: Value) -> io::Result<()> {
        self.cases.retain(|kept| kept["case"] != case.name);
        self.cases.push(value);
        let group = case.group.name();
        let lines: Vec<String> = self
            .cases
            .iter()
            .filter(|kept| kept["group"] == group)
            .map(Value::to_string)
            .collect();
        let head = json!({ "format": json::FORMAT }).to_string();
        let open = head.trim_end_matches('}');
        let text = format!("{open},\n\"cases\":[\n{}\n]}}\n", lines.join(",\n"));
        let path = self.file_of(case.group);
        // Whoever ends the program in the middle has the old file or the new one.
        let new = path.with_extension("json.new");
        fs::write(&new, text).map_err(|error| naming(&new, &error))?;
        fs::rename(&new, &path).map_err(|error| naming(&path, &error))
    }

    /// Where a group's cases are.
    fn file_of(&self, group: Group) -> PathBuf {
        self.folder.join(format!("{}.json", group.name()))
    }
}

/// The cases of a file.
fn cases_in(text: &str, path: &Path) -> io::Result<Vec<Value>> {
    let wrong = |what: String| naming(path, &io::Error::other(what));
    let mut value: Value = serde_json::from_str(text).map_err(|it| wrong(it.to_string()))?;
    if value["format"] != json::FORMAT {
        return Err(wrong("another version of this program wrote it".to_owned()));
    }
    match value["cases"].take() {
        Value::Array(cases) => Ok(cases),
        _ => Err(wrong("it has no cases".to_owned())),
    }
}

/// Measures what the plan wants and the folder lacks; begins no case when the time is over. What
/// is kept, and how many cases are still to be measured.
pub(crate) fn measure(
    plan: &Plan,
    folder: &Path,
    within: Option<Duration>,
) -> io::Result<(Record, usize)> {
    let begun = Instant::now();
    let mut record = Record::open(folder)?;
    let mut left: Vec<_> = plan.cases.clone();
    left.retain(|case| !record.has(case, plan) && !parent::runtimes_of(plan, case).is_empty());
    // What failed the last time may fail again, and must not keep the others from their turn.
    left.sort_by_key(|case| record.kept(case).is_some());
    while let Some(case) = left.first().copied() {
        if within.is_some_and(|within| begun.elapsed() >= within) {
            break;
        }
        eprintln!("{} cases to go: {}", left.len(), case.name);
        let report = parent::measure(&plan.of_one(case));
        record.keep(case, case_value(&report))?;
        left.remove(0);
    }
    Ok((record, left.len()))
}

/// A report of one case as it is kept.
fn case_value(report: &Report) -> Value {
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
        "machine": json::machine_value(&report.machine),
        "provenance": Provenance::read().value(),
        "rows": rows,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::args::Effort;
    use super::super::result::tests::sample;
    use super::*;

    /// The cases of the sample as they are kept, with rows of wq in place of some others: one is
    /// lost, one is won.
    pub(crate) fn kept_sample() -> Vec<Value> {
        let mut report = sample();
        for (case, row) in [(0, 2), (1, 1)] {
            report.cases[case].rows[row].runtime = RuntimeId::Wq;
        }
        let cases: Vec<_> = report.cases.drain(..2).collect();
        let value = |case| {
            report.cases = vec![case];
            case_value(&report)
        };
        cases.into_iter().map(value).collect()
    }

    /// A plan of one case.
    fn plan(case: &'static Case, rounds: usize) -> Plan {
        Plan {
            cases: vec![case],
            runtimes: vec![RuntimeId::TokioCt],
            base: RuntimeId::TokioMt,
            rounds,
            effort: Effort::Quick,
            json: None,
            svg: None,
        }
    }

    /// What was kept is read, is not measured again, and gives way to what is newer.
    #[test]
    fn what_is_kept_is_not_measured_again() {
        let folder = std::env::temp_dir().join(format!("wq-record-{}", std::process::id()));
        let mut report = sample();
        report.cases.truncate(1);
        let case = report.cases[0].case;
        let mut record = Record::open(&folder).expect("the folder is made");
        assert!(!record.has(case, &plan(case, 3)));
        for _ in 0..2 {
            let value = case_value(&report);
            record.keep(case, value).expect("it is written");
        }
        let record = Record::open(&folder).expect("it was written");
        let (has, others) = (plan(case, 3), plan(case, 15));
        assert!(record.has(case, &has) && !record.has(case, &others));
        assert_eq!(record.cases().len(), 1);
        // A row that is not there and one that has failed are still to be measured.
        for runtime in [RuntimeId::TokioPinned, RuntimeId::Smol] {
            let runtimes = vec![runtime];
            assert!(!record.has(
                case,
                &Plan {
                    runtimes,
                    ..plan(case, 3)
                }
            ));
        }
        fs::write(folder.join("tokio.json"), "{\"format\":0}").expect("it is written");
        let told = Record::open(&folder).expect_err("it is another format");
        assert!(told.to_string().contains("tokio.json"), "{told}");
        fs::remove_dir_all(&folder).expect("the folder is this test's own");
    }
}
