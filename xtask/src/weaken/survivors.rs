//! The list of orderings that no model misses, each with the reason why it stays.
//!
//! It is a table in `docs/weaken-survivors.md` with the columns file, function, code, weakening
//! and reason. Places are known by their code and not by a line number: those move.

use std::fs;
use std::path::Path;

use super::sites::Site;
use crate::failure::{Failure, Outcome};

/// Where the list stands.
pub(super) const LIST: &str = "docs/weaken-survivors.md";

/// The columns of the table.
const COLUMNS: usize = 5;

/// What a row is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The file, relative to the root.
    pub(super) file: String,
    /// The function.
    pub(super) function: String,
    /// The line's code.
    pub(super) code: String,
    /// What is done to it.
    pub(super) weakening: String,
}

/// All rows of the list.
#[derive(Debug, Default)]
pub(super) struct Survivors {
    /// In the order of the list.
    pub(super) keys: Vec<Key>,
}

impl Key {
    /// The key of one weakening of a site.
    pub(super) fn of(site: &Site, label: &str) -> Self {
        Self {
            file: site.file.clone(),
            function: site.function.clone(),
            code: site.code.clone(),
            weakening: label.to_owned(),
        }
    }

    /// The row to add to the list, with the reason still to be written.
    pub(super) fn row(&self, reason: &str) -> String {
        let cells = [&self.file, &self.function, &self.code, &self.weakening];
        let cells = cells.map(|cell| format!("`{}`", cell.replace('|', r"\|")));
        format!("| {} | {reason} |", cells.join(" | "))
    }
}

impl Survivors {
    /// Reads the list of the repository; none is an empty one.
    pub(super) fn read(root: &Path) -> Outcome<Self> {
        let path = root.join(LIST);
        if !path.exists() {
            return Ok(Self::default());
        }
        let text =
            fs::read_to_string(&path).map_err(|error| Failure::io(path.display(), &error))?;
        Self::parse(&text)
    }

    /// Reads the rows of the table; a row without all its cells or without a reason is an error.
    pub(super) fn parse(text: &str) -> Outcome<Self> {
        let mut survivors = Self::default();
        for (at, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.starts_with('|'))
        {
            let cells = cells(line);
            let is_rule = cells
                .iter()
                .all(|cell| cell.chars().all(|c| "-: ".contains(c)));
            if is_rule
                || cells
                    .first()
                    .is_some_and(|cell| cell.eq_ignore_ascii_case("file"))
            {
                continue;
            }
            let bad = |what| Failure::new(format!("{LIST}:{}: {what}", at + 1));
            let [file, function, code, weakening, reason] =
                <[String; COLUMNS]>::try_from(cells).map_err(|_| bad("not five columns"))?;
            if reason.is_empty() {
                return Err(bad("a survivor without a reason"));
            }
            survivors.keys.push(Key {
                file,
                function,
                code,
                weakening,
            });
        }
        Ok(survivors)
    }
}

/// The cells of a row, without the backticks around them; `\|` is a bar.
fn cells(row: &str) -> Vec<String> {
    let inner = row.trim().trim_start_matches('|').trim_end_matches('|');
    // No text has this character, so it can stand for a bar while the row is split.
    let split = inner.replace(r"\|", "\u{0}");
    let own = |cell: &str| cell.trim().trim_matches('`').replace('\u{0}', "|");
    split.split('|').map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row that the command prints is read back as the same key, bars in the code included.
    #[test]
    fn a_printed_row_is_read_back() {
        let own = |text: &str| text.to_owned();
        let code = own("x.swap(a | b, Ordering::AcqRel);");
        let (file, function) = (own("a.rs"), own("f"));
        let key = Key {
            file,
            function,
            code,
            weakening: own("AcqRel -> Acquire"),
        };
        let head =
            "# A\n\n| file | function | code | weakening | reason |\n|---|---|---|---|---|\n";
        let list = format!("{head}{}\n", key.row("because"));
        assert_eq!(
            Survivors::parse(&list).expect("it is well formed").keys,
            [key]
        );
    }

    /// A row without a reason, or without all columns, is refused with its line.
    #[test]
    fn a_row_without_a_reason_is_refused() {
        for row in [
            "| `a` | `b` | `c` | `d` | |",
            "| `a` | `b` | `c` | because |",
        ] {
            let failure = Survivors::parse(&format!("\n{row}\n")).expect_err("it is malformed");
            assert!(failure.to_string().contains(":2:"), "{failure}");
        }
    }
}
