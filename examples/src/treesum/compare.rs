//! The same job on each runtime in turns: a table, and the lines of code that differ.
//!
//! Rounds are interleaved (A B C, A B C, ..), so a machine that slows down meanwhile slows all
//! of them. Times are medians of the rounds; lateness is that of all rounds together.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::heartbeat::{Beat, Lateness};
use super::report::{self, Verified, lateness_json, short};
use super::runner::{Run, Runtime};
use super::walk::Listing;

/// All rounds, in the order in which they were run.
#[derive(Debug, Default)]
pub struct Rounds(pub Vec<Run>);

/// One runtime's rounds, put together.
struct Row<'a> {
    /// Who.
    runtime: Runtime,
    /// Its rounds.
    runs: Vec<&'a Run>,
}

impl Rounds {
    /// The rows of the table.
    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        Runtime::ALL.into_iter().map(|runtime| {
            let runs = self.0.iter().filter(|run| run.runtime == runtime).collect();
            Row { runtime, runs }
        })
    }

    /// Whether every round that was not interrupted summed the same.
    #[must_use]
    pub fn agree(&self) -> bool {
        let mut whole = self.0.iter().filter(|run| !run.interrupted);
        let first = whole.next();
        whole.all(|run| first.is_some_and(|first| first.digest == run.digest))
    }

    /// Each runtime's lateness over all rounds.
    #[must_use]
    pub fn lateness(&self, beat: Beat) -> Vec<(Runtime, Lateness)> {
        self.rows()
            .map(|row| (row.runtime, row.lateness(beat)))
            .collect()
    }

    /// Prints the table.
    ///
    /// # Errors
    ///
    /// What writing gives.
    pub fn print(&self, to: &mut dyn Write) -> io::Result<()> {
        writeln!(to)?;
        writeln!(
            to,
            "{:<15}{:>9}{:>8}{:>10}{:>9}  {:^27}  {:^27}",
            "",
            "time",
            "MB/s",
            "cpu time",
            "threads",
            "ordinary heartbeat late by",
            "urgent heartbeat late by"
        )?;
        let late = format!("{:>8}{:>9}{:>10}", "p50", "p99", "max");
        writeln!(to, "{:<51}  {late}  {late}", "")?;
        for row in self.rows().filter(|row| !row.runs.is_empty()) {
            row.print(to)?;
        }
        if !self.agree() {
            writeln!(to, "THE DIGESTS DIFFER between rounds")?;
        }
        writeln!(
            to,
            "Tokio has no priorities: its urgent heartbeat is one more ordinary task."
        )?;
        let first = Runtime::ALL[0];
        for other in &Runtime::ALL[1..] {
            let lines = Difference::between(first.source(), other.source());
            writeln!(
                to,
                "lines of code: {first} {}, {other} {}; {} only in {first}, {} only in {other}",
                lines.left,
                lines.right,
                lines.left - lines.common,
                lines.right - lines.common
            )?;
        }
        Ok(())
    }

    /// All figures for programs.
    #[must_use]
    pub fn to_json(&self, listing: &Listing, verified: Verified) -> Value {
        let rows = self.rows().map(|row| {
            let lines = Difference::between(Runtime::ALL[0].source(), row.runtime.source());
            json!({
                "runtime": row.runtime.name(),
                "median_seconds": row.median(|run| run.elapsed).as_secs_f64(),
                "median_cpu_seconds": row.median(|run| run.cpu).as_secs_f64(),
                "lateness_us": {
                    "ordinary": lateness_json(&row.lateness(Beat::Ordinary)),
                    "urgent": lateness_json(&row.lateness(Beat::Urgent)),
                },
                "code_lines": lines.right,
                "code_lines_that_differ": lines.left + lines.right - 2 * lines.common,
                "rounds": row.runs.iter()
                    .map(|run| report::to_json(listing, run, verified))
                    .collect::<Vec<_>>(),
            })
        });
        json!({ "digests_agree": self.agree(), "runtimes": rows.collect::<Vec<_>>() })
    }
}

impl Row<'_> {
    /// The median of a duration over the rounds (the lower one of two middles).
    fn median(&self, of: impl Fn(&Run) -> Duration) -> Duration {
        let mut values: Vec<_> = self.runs.iter().map(|run| of(run)).collect();
        values.sort_unstable();
        values
            .get(values.len().saturating_sub(1) / 2)
            .copied()
            .unwrap_or_default()
    }

    /// One heartbeat's lateness over the rounds.
    fn lateness(&self, beat: Beat) -> Lateness {
        let mut all = Lateness::default();
        self.runs
            .iter()
            .for_each(|run| all.add(&run.lateness[beat as usize]));
        all
    }

    /// Prints the row.
    fn print(&self, to: &mut dyn Write) -> io::Result<()> {
        let time = self.median(|run| run.elapsed);
        let bytes = self.runs.iter().map(|run| run.bytes).max().unwrap_or(0);
        let mb_per_s = bytes as f64 / 1e6 / time.as_secs_f64().max(1e-9);
        let cpu = short(self.median(|run| run.cpu));
        let threads = self.runs.iter().map(|run| run.threads).max().unwrap_or(0);
        let [ordinary, urgent] = Beat::ALL.map(|beat| {
            let late = self.lateness(beat);
            let [p50, p99] = [0.5, 0.99].map(|share| short(late.quantile(share)));
            format!("{p50:>8}{p99:>9}{:>10}", short(late.max()))
        });
        writeln!(
            to,
            "{:<15}{:>9}{mb_per_s:>8.1}{cpu:>10}{threads:>9}  {ordinary}  {urgent}",
            self.runtime,
            short(time)
        )
    }
}

/// How two texts differ, in lines of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Lines of code of the one.
    pub left: usize,
    /// Lines of code of the other.
    pub right: usize,
    /// The most lines that both have, in the same order.
    pub common: usize,
}

impl Difference {
    /// Compares two texts; blank lines, comments and indentation do not count.
    #[must_use]
    pub fn between(left: &str, right: &str) -> Self {
        let (left, right) = (code(left), code(right));
        // The longest common subsequence, a row of its table at a time.
        let mut row = vec![0; right.len() + 1];
        for one in &left {
            let mut diagonal = 0;
            for (at, other) in right.iter().enumerate() {
                let above = row[at + 1];
                row[at + 1] = if one == other {
                    diagonal + 1
                } else {
                    above.max(row[at])
                };
                diagonal = above;
            }
        }
        Self {
            left: left.len(),
            right: right.len(),
            common: row[right.len()],
        }
    }
}

/// The lines that are neither blank nor comments, without their indentation.
fn code(text: &str) -> Vec<&str> {
    text.lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with("//"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only code counts, and order matters. Method: small texts counted by hand.
    #[test]
    fn differing_lines_are_counted() {
        let left = "//! Doc.\n\na\n  b // kept\nc\n";
        let right = "a\n// other\nc\nb // kept\nd\n";
        let difference = Difference {
            left: 3,
            right: 4,
            common: 2,
        };
        assert_eq!(Difference::between(left, right), difference);
        assert_eq!(Difference::between("", "x").common, 0);
        assert_eq!(Difference::between(left, left).common, 3);
    }

    /// Goal: the three programs are comparable. Method: most of their lines are the same.
    #[test]
    fn the_programs_share_most_of_their_lines() {
        for other in Runtime::ALL {
            let lines = Difference::between(Runtime::ALL[0].source(), other.source());
            assert!(2 * lines.common > lines.left, "{other}: {lines:?}");
        }
    }
}
