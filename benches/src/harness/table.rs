//! The result as text: one table for each group, then what failed and what was lost.

use std::fmt::Write;

use super::result::{CaseResult, Measured, Missing, Report, Row, Verdict};
use crate::group::Group;

/// ns in a microsecond.
const US: f64 = 1e3;

/// Renders the whole report.
pub(crate) fn render(report: &Report) -> String {
    let mut text = heading(report);
    for group in Group::ALL {
        let cases: Vec<_> = report
            .cases
            .iter()
            .filter(|case| case.case.group == *group)
            .collect();
        if !cases.is_empty() {
            text += &format!(
                "\n{}: {}\n{}\n",
                group.name(),
                group.about(),
                header(report, *group)
            );
            cases
                .iter()
                .for_each(|case| text += &case_lines(report, case));
        }
    }
    text + &closing(report)
}

/// Where and how it was measured.
fn heading(report: &Report) -> String {
    let machine = &report.machine;
    format!(
        "{} x {}, Linux {}, load {} at the start; {} rounds ({}), medians\n",
        machine.cpus,
        machine.model,
        machine.kernel,
        machine.load,
        report.rounds,
        report.effort.name(),
    )
}

/// The column heads of a group.
fn header(report: &Report, group: Group) -> String {
    let names = format!("{:<23} {:<18}", "case", "runtime");
    let figures = if group.is_about_lateness() {
        format!(
            "{:>9} {:>9} {:>9} {:>9} {:>6} {:>7} {:>7} {:>8} {:>7}",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "max us",
            "IQR",
            "CPUs",
            "threads",
            "others/s",
            "x base"
        )
    } else {
        format!(
            "{:>10} {:>6} {:>10} {:>7} {:>7}",
            "ns/op", "IQR", "CPU ns/op", "threads", "MiB"
        )
    };
    let ratio = if group == Group::Floor {
        String::new()
    } else {
        format!("   times better than {} [95 %]", report.base)
    };
    format!("{names} {figures}{ratio}")
}

/// The lines of a case; its name stands on the first.
fn case_lines(report: &Report, case: &CaseResult) -> String {
    let mut text = String::new();
    for (number, row) in case.rows.iter().enumerate() {
        let name = if number == 0 { case.case.name } else { "" };
        let figures = match &row.outcome {
            Ok(measured) => figures(measured) + &ratio(report, row),
            Err(missing) => missing.to_string(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{name:<23} {:<18} {}",
            row.runtime,
            figures.trim_end()
        );
    }
    text
}

/// The figures of a row, without its ratio.
fn figures(measured: &Measured) -> String {
    let iqr = format!("{:.0} %", measured.spread.relative_iqr() * 100.0);
    let threads = measured.threads;
    match measured.lateness {
        Some(late) => format!(
            "{:>9} {:>9} {:>9} {:>9} {iqr:>6} {:>7.2} {threads:>7} {:>8} {:>7}",
            number(late.p50_ns as f64 / US),
            number(late.p99_ns as f64 / US),
            number(late.p999_ns as f64 / US),
            number(late.max_ns as f64 / US),
            measured.cpu,
            number(late.others_per_s),
            measured
                .others_ratio
                .map_or(String::new(), |ratio| number(ratio.median)),
        ),
        None => format!(
            "{:>10} {iqr:>6} {:>10} {threads:>7} {:>7}",
            number(measured.spread.median),
            number(measured.cpu),
            number(measured.memory_kib as f64 / 1024.0),
        ),
    }
}

/// The ratio of a row with its bounds and what they say.
fn ratio(report: &Report, row: &Row) -> String {
    let ratio = row
        .outcome
        .as_ref()
        .ok()
        .and_then(|measured| measured.ratio);
    match (ratio, report.verdict(row)) {
        (Some(_), Some(Verdict::Base)) => format!("   {:>8} base", "1.00"),
        (Some(ratio), Some(verdict)) => {
            let bounds = format!("[{}, {}]", number(ratio.low), number(ratio.high));
            format!(
                "   {:>8} {bounds:<18} {}",
                number(ratio.median),
                verdict.name()
            )
        }
        _ => String::new(),
    }
}

/// Rows that failed, and the rows of wq that lost.
fn closing(report: &Report) -> String {
    let mut text = String::from("\n");
    let rows = || {
        report
            .cases
            .iter()
            .flat_map(|case| case.rows.iter().map(move |r| (case, r)))
    };
    for (case, row) in rows() {
        match &row.outcome {
            Ok(_) => {}
            Err(Missing::Failed(reason)) => {
                text += &format!("failed: {} on {}: {reason}\n", case.case.name, row.runtime);
            }
            Err(Missing::Skipped(reason)) => {
                text += &format!("skipped: {} on {}: {reason}\n", case.case.name, row.runtime);
            }
        }
    }
    let ours: Vec<_> = rows().filter(|(_, row)| row.runtime.is_ours()).collect();
    let lost = |row: &Row| report.verdict(row) == Some(Verdict::Loss);
    for (case, row) in ours.iter().filter(|(_, row)| lost(row)) {
        text += &format!(
            "lost: {} on {} against {}\n",
            case.case.name, row.runtime, report.base
        );
    }
    if !ours.is_empty() && !ours.iter().any(|(_, row)| lost(row)) {
        text += &format!("no row of wq is lost against {}\n", report.base);
    }
    text
}

/// A figure with about three significant digits, never in exponents.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::super::result::tests::sample;
    use super::*;

    /// Digits shrink as figures grow.
    #[test]
    fn numbers_keep_three_digits() {
        let shown = [0.5, 9.994, 9.996, 85.0, 99.96, 1234.4].map(number);
        assert_eq!(shown, ["0.50", "9.99", "10.0", "85.0", "100", "1234"]);
    }

    /// Each group has its header; ratios, verdicts and failures stand where they belong.
    #[test]
    fn table_shows_every_row() {
        let text = render(&sample());
        let line = |words: &[&str]| {
            let found = text
                .lines()
                .find(|line| words.iter().all(|word| line.contains(word)));
            found.unwrap_or_else(|| panic!("no line with {words:?} in\n{text}"))
        };
        line(&["yield_many", "tokio-mt", "100", "1.00 base"]);
        line(&["tokio-ct", "50.0", "2.00 [1.80, 2.20]", "win"]);
        line(&["async-executor", "410", "0.25", "loss"]);
        line(&["smol", "failed: the child ended early <signal: 9>"]);
        line(&["naps_k8", "tokio-mt", "40000", "410000", "160"]);
        line(&["smol", "skipped: no /dev/fuse"]);
        assert!(text.contains("skipped: naps_k8 on smol: no /dev/fuse"));
        // Threads, and MiB.
        assert!(line(&["floor_task_local", "bare", "85.0"]).ends_with("4    2.00"));
        assert!(text.contains("failed: yield_many on smol"));
        assert!(
            text.lines().all(|line| line.trim_end() == line),
            "no trailing blanks\n{text}"
        );
    }

    /// Columns stand under their heads.
    #[test]
    fn columns_line_up() {
        let text = render(&sample());
        let place = |needle: &str, line: &str| {
            let row = text
                .lines()
                .find(|row| row.contains(line))
                .expect("the line is there");
            row.find(needle).expect("the word is there") + needle.len()
        };
        assert_eq!(
            place("ns/op", "ns/op"),
            place("100", "yield_many              tokio-mt")
        );
    }
}
