//! What operations cost, as a table that people and this program read.

use std::fmt::Write;

use super::profile::Profile;

/// What a case may cost more than what is committed.
const TOLERANCE: f64 = 0.02;

/// The first lines of a file of figures.
const HEAD: &str = "# What one operation costs: instructions of our own code, and allocations.\n\
                    # Written by `cargo xtask counts --write`; the cases are in benches/counts.\n";

/// What an operation costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    /// Instructions of our own code.
    pub(super) instructions: f64,
    /// Allocations.
    pub(super) allocations: f64,
    /// Instructions of the C library; not committed, because it is another machine's.
    pub(super) library: Option<f64>,
}

impl Cost {
    /// What `times` operations cost that the longer run has done and the shorter one has not.
    pub(super) fn of(few: &Profile, many: &Profile, times: f64) -> Self {
        let each = |figure: fn(&Profile) -> u64| {
            // A difference of counts fits a float exactly.
            (figure(many) as f64 - figure(few) as f64) / times
        };
        Self {
            instructions: each(|it| it.own),
            allocations: each(|it| it.allocations),
            library: Some(each(|it| it.other)),
        }
    }
}

/// Cases and what they cost, in order.
#[derive(Debug, Default)]
pub(super) struct Figures(Vec<(String, Cost)>);

impl Figures {
    /// Adds a case.
    pub(super) fn push(&mut self, name: &str, cost: Cost) {
        self.0.push((name.to_owned(), cost));
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a file of figures; the error names the line that is none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let cases: Option<Vec<_>> = lines.clone().map(case_of).collect();
        cases.map(Self).ok_or_else(|| {
            let wrong = lines.clone().find(|line| case_of(line).is_none());
            format!("`{}` is no line of figures", wrong.unwrap_or_default())
        })
    }

    /// The file.
    pub(super) fn render(&self) -> String {
        let mut text = format!(
            "{HEAD}# {:<22} {:>12} {:>12}\n",
            "case", "instructions", "allocations"
        );
        for (name, cost) in &self.0 {
            let (instructions, allocations) = (cost.instructions, cost.allocations);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<24} {instructions:>12.1} {allocations:>12.2}");
        }
        text
    }

    /// These beside what is committed; cases that only the latter has come last.
    pub(super) fn beside(&self, committed: &Self) -> Vec<Row> {
        let find = |among: &Self, name: &str| {
            let found = among.0.iter().find(|(other, _)| other == name);
            found.map(|(_, cost)| *cost)
        };
        let now = self.0.iter().map(|(name, cost)| Row {
            name: name.clone(),
            committed: find(committed, name),
            now: Some(*cost),
        });
        let gone = committed
            .0
            .iter()
            .filter(|(name, _)| find(self, name).is_none());
        now.chain(gone.map(|(name, cost)| Row {
            name: name.clone(),
            committed: Some(*cost),
            now: None,
        }))
        .collect()
    }
}

/// A line of figures.
fn case_of(line: &str) -> Option<(String, Cost)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    let mut number = || words.next()?.parse().ok();
    let cost = Cost {
        instructions: number()?,
        allocations: number()?,
        library: None,
    };
    words.next().is_none().then_some((name, cost))
}

/// A case as it was and as it is.
#[derive(Debug)]
pub(super) struct Row {
    /// The case.
    pub(super) name: String,
    /// What is committed.
    committed: Option<Cost>,
    /// What was counted.
    now: Option<Cost>,
}

impl Row {
    /// Whether it costs more than is tolerated.
    pub(super) fn is_dearer(&self) -> bool {
        self.both().is_some_and(|(committed, now)| {
            now.instructions > committed.instructions * (1.0 + TOLERANCE)
                || now.allocations > committed.allocations + TOLERANCE
        })
    }

    /// Whether what is committed is out of date, and it is not dearer.
    pub(super) fn is_cheaper(&self) -> bool {
        let cheaper = self.both().is_some_and(|(committed, now)| {
            now.instructions < committed.instructions * (1.0 - TOLERANCE)
                || now.allocations < committed.allocations - TOLERANCE
        });
        cheaper && !self.is_dearer()
    }

    /// Whether there is nothing to compare.
    pub(super) fn is_unpaired(&self) -> bool {
        self.both().is_none()
    }

    /// Both, if there are both.
    fn both(&self) -> Option<(Cost, Cost)> {
        self.committed.zip(self.now)
    }
}

/// The table for people, its heading first.
pub(super) fn table(rows: &[Row]) -> Vec<Vec<String>> {
    let heading = [
        "case",
        "committed",
        "now",
        "change",
        "allocations",
        "C library",
    ];
    let mut lines = vec![heading.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(line));
    lines
}

/// A line of it.
fn line(row: &Row) -> Vec<String> {
    let figure = |cost: Option<Cost>, of: fn(Cost) -> Option<f64>, digits: usize| {
        let figure = cost.and_then(of);
        figure.map_or("-".to_owned(), |figure| format!("{figure:.digits$}"))
    };
    let change = row.both().map_or("-".to_owned(), |(committed, now)| {
        let ratio = now.instructions / committed.instructions;
        format!("{:+.1} %", (ratio - 1.0) * 100.0)
    });
    let mut cells = vec![
        row.name.clone(),
        figure(row.committed, |cost| Some(cost.instructions), 1),
        figure(row.now, |cost| Some(cost.instructions), 1),
        change,
        figure(row.now, |cost| Some(cost.allocations), 2),
        figure(row.now, |cost| cost.library, 1),
    ];
    for cell in &mut cells[1..] {
        *cell = format!("{cell:>9}");
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case with these figures.
    fn figures(instructions: f64, allocations: f64) -> Figures {
        let cost = Cost {
            instructions,
            allocations,
            library: None,
        };
        Figures(vec![("spawn".to_owned(), cost)])
    }

    /// A file is read as it was written; what is no figure is named.
    #[test]
    fn figures_survive_the_file() {
        let text = figures(286.0, 1.0).render();
        let read = Figures::parse(&text).expect("it was written so");
        assert_eq!(read.0, figures(286.0, 1.0).0);
        assert!(Figures::parse("spawn many 1").is_err_and(|told| told.contains("spawn many")));
        assert!(Figures::parse("spawn 1 2 3").is_err());
    }

    /// Two in a hundred more are borne, three are not; an allocation more never is.
    #[test]
    fn what_is_dearer_is_told() {
        let committed = figures(200.0, 1.0);
        for (now, dearer, cheaper) in [
            (figures(203.9, 1.0), false, false),
            (figures(206.0, 1.0), true, false),
            (figures(194.0, 1.0), false, true),
            (figures(200.0, 1.1), true, false),
            (figures(100.0, 2.0), true, false),
        ] {
            let rows = now.beside(&committed);
            let told = (rows[0].is_dearer(), rows[0].is_cheaper());
            assert_eq!(told, (dearer, cheaper), "{rows:?}");
        }
    }

    /// A case that is new, and one that is gone, are both told.
    #[test]
    fn cases_without_a_partner_are_told() {
        let none = Figures::default();
        let one = figures(1.0, 1.0);
        for rows in [one.beside(&none), none.beside(&one)] {
            assert!(rows.len() == 1 && rows[0].is_unpaired() && !rows[0].is_dearer());
        }
    }

    /// What both runs do is in no figure.
    #[test]
    fn the_start_cancels() {
        let [few, many] = [(1100, 3), (1300, 5)].map(|(own, allocations)| Profile {
            own,
            other: 7,
            allocations,
        });
        let cost = Cost::of(&few, &many, 2.0);
        assert_eq!(
            (cost.instructions, cost.allocations, cost.library),
            (100.0, 1.0, Some(0.0))
        );
    }
}
