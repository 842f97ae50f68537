//! What may take the place of what: figures that took an hour give way to better ones only.

use std::str::FromStr;

use serde_json::Value;

use super::super::args::{Effort, Plan};
use super::super::page::has_figures;
use super::super::parent::runtimes_of;
use crate::case::Case;
use crate::runtime_id::RuntimeId;

/// Whether a case is kept as planned: this effort, so many rounds, no runtime less, and no row
/// that failed or cannot be read.
pub(super) fn is_as_planned(kept: &Value, case: &Case, plan: &Plan) -> bool {
    let is_there = |id: RuntimeId| {
        let row = rows(kept).iter().find(|row| row["runtime"] == id.name());
        row.is_some_and(|row| row["skipped"].is_string() || has_figures(row))
    };
    kept["rounds"] == plan.rounds
        && kept["effort"] == plan.effort.name()
        && runtimes_of(plan, case).into_iter().all(is_there)
}

/// What is kept of a case and would be missing from what a plan measures; empty if nothing is.
pub(super) fn lost_by_plan(kept: &Value, case: &Case, plan: &Plan) -> Vec<String> {
    let id = |row: &Value| RuntimeId::from_str(row["runtime"].as_str()?).ok();
    let figures = rows(kept)
        .iter()
        .filter(|row| has_figures(row))
        .filter_map(id);
    let figures: Vec<_> = figures.filter(|id| case.suits(*id)).collect();
    let mut lost = Vec::new();
    if figures.is_empty() {
        return lost;
    }
    let rounds = kept["rounds"].as_u64().unwrap_or(0);
    if rounds > plan.rounds as u64 {
        lost.push(format!("{rounds} rounds, not {}", plan.rounds));
    }
    if plan.effort == Effort::Quick && kept["effort"] == Effort::Full.name() {
        lost.push("full rounds, not those of `--quick`".to_owned());
    }
    let planned = runtimes_of(plan, case);
    let others = figures.iter().filter(|id| !planned.contains(id));
    let others: Vec<_> = others.map(|id| id.name()).collect();
    if !others.is_empty() {
        lost.push(format!("rows of {}", others.join(", ")));
    }
    lost
}

/// Rows without figures whose older ones have some, each with the reason.
pub(super) fn lost_rows<'a>(kept: &Value, new: &'a Value) -> Vec<(&'a str, &'a str)> {
    let had_figures = |row: &&Value| {
        let mut older = rows(kept).iter();
        older.any(|old| old["runtime"] == row["runtime"] && has_figures(old))
    };
    rows(new)
        .iter()
        .filter(had_figures)
        .filter_map(reason)
        .collect()
}

/// Rows of a case that failed, each with the reason.
pub(super) fn failed_rows(kept: &Value) -> Vec<(&str, &str)> {
    let failed = rows(kept).iter().filter(|row| row["error"].is_string());
    failed.filter_map(reason).collect()
}

/// The runtime of a row without figures, and why it has none.
fn reason(row: &Value) -> Option<(&str, &str)> {
    let why = row["error"].as_str().or(row["skipped"].as_str())?;
    Some((row["runtime"].as_str()?, why))
}

/// The rows of a case.
fn rows(case: &Value) -> &[Value] {
    case["rows"].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::kept_sample;
    use super::*;
    use crate::case::tests::named;

    /// A quick plan of all that the page shows.
    fn plan(case: &'static Case, rounds: usize) -> Plan {
        Plan {
            cases: vec![case],
            runtimes: vec![RuntimeId::Wq, RuntimeId::TokioCt, RuntimeId::Smol],
            base: RuntimeId::TokioMt,
            rounds,
            effort: Effort::Quick,
            json: None,
            svg: None,
        }
    }

    /// A case is measured again when a row has failed, is not there or has a hole, and when the
    /// plan has other rounds.
    #[test]
    fn what_is_not_as_planned_is_measured_again() {
        let (case, mut kept) = (named("yield_many"), kept_sample().swap_remove(0));
        let check = |kept: &Value, runtimes: &[RuntimeId], rounds, effort| {
            let plan = Plan {
                runtimes: runtimes.to_vec(),
                effort,
                ..plan(case, rounds)
            };
            is_as_planned(kept, case, &plan)
        };
        let (ours, quick) = (RuntimeId::Wq, Effort::Quick);
        assert!(check(&kept, &[ours], 3, quick));
        assert!(!check(&kept, &[ours], 15, quick));
        assert!(!check(&kept, &[ours], 3, Effort::Full));
        // A row that failed, and one that is not there.
        assert!(!check(&kept, &[RuntimeId::Smol], 3, quick));
        assert!(!check(&kept, &[RuntimeId::TokioPinned], 3, quick));
        kept["rows"][2]["rounds"][1] = Value::Null;
        assert!(!check(&kept, &[ours], 3, quick));
    }

    /// Less than what is kept takes no place: fewer rounds, shorter ones, fewer runtimes.
    #[test]
    fn less_does_not_take_the_place_of_more() {
        let (case, mut kept) = (named("yield_many"), kept_sample().swap_remove(0));
        kept["rounds"] = json!(15);
        let lost = |kept: &Value, plan: &Plan| lost_by_plan(kept, case, plan).join("; ");
        assert_eq!(lost(&kept, &plan(case, 15)), "");
        assert_eq!(lost(&kept, &plan(case, 31)), "");
        assert_eq!(lost(&kept, &plan(case, 5)), "15 rounds, not 5");
        let fewer = Plan {
            runtimes: vec![RuntimeId::Smol],
            ..plan(case, 15)
        };
        assert_eq!(lost(&kept, &fewer), "rows of tokio-ct, wq");
        kept["effort"] = json!("full");
        assert!(lost(&kept, &plan(case, 15)).contains("full rounds"));
        // Where nothing has figures, nothing is lost.
        kept["rows"] = json!([{ "runtime": "wq", "error": "it broke" }]);
        assert_eq!(lost(&kept, &plan(case, 3)), "");
    }

    /// A row that failed does not take the place of one with figures.
    #[test]
    fn a_failure_does_not_take_the_place_of_figures() {
        let kept = kept_sample().swap_remove(0);
        let mut new = kept.clone();
        assert_eq!(lost_rows(&kept, &new), []);
        new["rows"][1] = json!({ "runtime": "tokio-ct", "error": "it broke" });
        assert_eq!(lost_rows(&kept, &new), [("tokio-ct", "it broke")]);
        assert_eq!(lost_rows(&new, &kept), []);
        let failed = failed_rows(&new).into_iter().map(|(id, _)| id);
        assert_eq!(failed.collect::<Vec<_>>(), ["tokio-ct", "smol"]);
    }
}
