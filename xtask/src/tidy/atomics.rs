//! Orderings in the engine: each one that orders something names its partner.

use super::{Report, Rule, Tree};
use crate::source::{Source, has_word};

/// Where the rule holds: the crate with all the handshakes.
const SCOPE: &str = "wq-core/src/";

/// The orderings that promise something to another thread.
const STRONG: [&str; 4] = ["Acquire", "Release", "AcqRel", "SeqCst"];

/// How far above the statement its comment may stand.
const REACH_LINES: usize = 3;

/// Checks the engine's code, its tests not counted.
pub(super) fn check(tree: &Tree, report: &mut Report) {
    for (path, source) in tree.sources() {
        if path.starts_with(SCOPE) && !tree.is_test(path) {
            check_file(path, source, report);
        }
    }
}

/// Checks one file.
fn check_file(path: &str, source: &Source, report: &mut Report) {
    let tests = source.test_regions();
    for (at, _) in source.words().filter(|(_, word)| *word == "Ordering") {
        if tests.iter().any(|range| range.contains(&at)) {
            continue;
        }
        let line = source.line_of(at);
        let after = &source.code[at + "Ordering".len()..];
        let Some(name) = after.strip_prefix("::") else {
            continue;
        };
        if is_import(source, line, name) {
            if !imports_strong(name) {
                continue;
            }
            let message = "write `Ordering::Acquire` in full: the checks look for it";
            report.add(Rule::OrderingImport, path, line, message);
        } else if STRONG.iter().any(|strong| name.starts_with(strong)) && !explained(source, line) {
            let message = "no comment says what this ordering pairs with";
            report.add(Rule::OrderingComment, path, line, message);
        }
    }
}

/// Whether the `Ordering::` on this line, followed by this, belongs to a `use`.
fn is_import(source: &Source, line: usize, after: &str) -> bool {
    after.starts_with(['{', '*']) || has_word(source.code_line(line), "use")
}

/// Whether an import brings in the bare name of a strong ordering; `Relaxed` hides nothing.
fn imports_strong(after: &str) -> bool {
    let imported = after.split(';').next().unwrap_or(after);
    imported.starts_with('*') || STRONG.iter().any(|strong| has_word(imported, strong))
}

/// Whether a comment stands on the line, in its statement, or a few lines above either.
fn explained(source: &Source, line: usize) -> bool {
    let first = source
        .statement_start(line)
        .saturating_sub(REACH_LINES)
        .max(1);
    (first..=line).any(|line| explains(source.comment_line(line)))
}

/// Whether a comment may be about an ordering: docs are about the item, unless they say so.
fn explains(comment: &str) -> bool {
    let is_doc = comment.starts_with("///") || comment.starts_with("//!");
    !comment.is_empty() && (!is_doc || comment.to_lowercase().contains("pair"))
}
