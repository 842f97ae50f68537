//! The result as JSON, for a program to read. Times are ns, ratios are "times better".

use serde_json::{Value, json};

use super::machine::Machine;
use super::result::{CaseResult, Measured, Missing, Report, Row};

/// Raised whenever a reader of the old form would misread the new.
pub(super) const FORMAT: u32 = 1;

/// Renders the whole report, one row a line.
pub(crate) fn render(report: &Report) -> String {
    let head = json!({
        "format": FORMAT,
        "machine": machine_value(&report.machine),
        "rounds": report.rounds,
        "effort": report.effort.name(),
        "base": report.base.name(),
    });
    let cases = report.cases.iter();
    let rows = cases.flat_map(|case| {
        case.rows
            .iter()
            .map(move |row| row_value(report, case, row))
    });
    let rows: Vec<_> = rows.map(|row| row.to_string()).collect();
    let head = head.to_string();
    let open = head.strip_suffix('}').expect("an object ends with a brace");
    format!("{open},\n\"rows\":[\n{}\n]}}\n", rows.join(",\n"))
}

/// Where it was measured.
pub(super) fn machine_value(machine: &Machine) -> Value {
    json!({
        "cpus": machine.cpus,
        "model": machine.model,
        "kernel": machine.kernel,
        "load": machine.load,
    })
}

/// One row: an `error`, the reason why it was `skipped`, or figures.
pub(super) fn row_value(report: &Report, case: &CaseResult, row: &Row) -> Value {
    let mut value = match &row.outcome {
        Ok(measured) => figures(measured),
        Err(Missing::Failed(reason)) => json!({ "error": reason }),
        Err(Missing::Skipped(reason)) => json!({ "skipped": reason }),
    };
    value["case"] = json!(case.case.name);
    value["group"] = json!(case.case.group.name());
    value["runtime"] = json!(row.runtime.name());
    if let Some(verdict) = report.verdict(row) {
        value["verdict"] = json!(verdict.name());
    }
    value
}

/// The figures of a row; `figure` is what ratios compare.
fn figures(measured: &Measured) -> Value {
    let spread = &measured.spread;
    let mut value = json!({
        "figure": if measured.lateness.is_some() { "p99_lateness_ns" } else { "ns_per_op" },
        "rounds": measured.figures,
        "median": spread.median,
        "lower_quartile": spread.lower_quartile,
        "upper_quartile": spread.upper_quartile,
        "min": spread.min,
        "max": spread.max,
        "threads": measured.threads,
        "memory_kib": measured.memory_kib,
    });
    match measured.lateness {
        Some(late) => {
            value["cpus_in_use"] = json!(measured.cpu);
            value["lateness_ns"] = json!({
                "p50": late.p50_ns,
                "p99": late.p99_ns,
                "p999": late.p999_ns,
                "max": late.max_ns,
            });
            value["others_per_s"] = json!(late.others_per_s);
            if let Some(ratio) = measured.others_ratio {
                value["others_ratio"] = json!({
                    "median": ratio.median,
                    "low": ratio.low,
                    "high": ratio.high,
                });
            }
        }
        None => value["cpu_ns_per_op"] = json!(measured.cpu),
    }
    if let Some(ratio) = measured.ratio {
        value["ratio"] = json!({ "median": ratio.median, "low": ratio.low, "high": ratio.high });
    }
    value
}

#[cfg(test)]
mod tests {
    use super::super::result::tests::sample;
    use super::*;

    /// What is written can be read, and holds the rows in order with the right kind of figures.
    #[test]
    fn json_holds_every_row() {
        let value: Value = serde_json::from_str(&render(&sample())).expect("it is JSON");
        let rows = value["rows"].as_array().expect("rows are a list");
        assert_eq!(rows.len(), 8);
        assert_eq!(value["machine"]["model"], "Test & Sons <CPU>");
        assert_eq!(rows[0]["case"], "yield_many");
        assert_eq!(rows[0]["verdict"], "base");
        assert_eq!(rows[1]["median"], 50.0);
        assert_eq!(rows[1]["ratio"]["median"], 2.0);
        assert_eq!(rows[2]["verdict"], "loss");
        assert_eq!(rows[3]["error"], "the child ended early <signal: 9>");
        assert_eq!(rows[5]["lateness_ns"]["max"], 330_000);
        assert_eq!(rows[5]["others_per_s"], 160.0);
        assert_eq!(rows[6]["skipped"], "no /dev/fuse");
        assert!(rows[7].get("ratio").is_none() && rows[7].get("verdict").is_none());
    }
}
