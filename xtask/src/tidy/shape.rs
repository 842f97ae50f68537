//! How long things may be, and that each file says what it is for.

use std::ops::Range;

use super::{Report, Rule, Tree};
use crate::source::Source;

/// The hard limit of a function, from its `fn` to its closing brace; the aim is below 30.
const MAX_FUNCTION_LINES: usize = 70;

/// The hard limit of a file without its tests; the aim is below 400.
const MAX_FILE_LINES: usize = 800;

/// Two files fit side by side.
const MAX_LINE_CHARS: usize = 100;

/// Checks all files.
pub(super) fn check(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.texts().filter(|(path, _)| can_be_folded(path)) {
        check_width(path, text, report);
    }
    for (path, source) in tree.sources() {
        check_functions(path, source, report);
        check_module_doc(path, source, report);
        if !tree.is_test(path) {
            check_file(path, source, report);
        }
    }
}

/// Whether long lines can be folded: not the tables of Markdown, not the inline ones of manifests.
fn can_be_folded(path: &str) -> bool {
    !path.ends_with(".md") && !path.ends_with(".toml")
}

/// No line is wider than the limit.
fn check_width(path: &str, text: &str, report: &mut Report) {
    for (at, line) in text.lines().enumerate() {
        let width = line.chars().count();
        if width > MAX_LINE_CHARS {
            let message = format!("line of {width} characters, the limit is {MAX_LINE_CHARS}");
            report.add(Rule::LineWidth, path, at + 1, message);
        }
    }
}

/// No function is longer than the limit.
fn check_functions(path: &str, source: &Source, report: &mut Report) {
    for (name, range) in source.functions() {
        let (first, last) = (source.line_of(range.start), source.line_of(range.end));
        let lines = last - first + 1;
        if lines > MAX_FUNCTION_LINES {
            let message =
                format!("`{name}` has {lines} lines, the limit is {MAX_FUNCTION_LINES}: split it");
            report.add(Rule::FunctionLength, path, first, message);
        }
    }
}

/// No file is longer than the limit, its test modules not counted.
fn check_file(path: &str, source: &Source, report: &mut Report) {
    let lines_of =
        |range: Range<usize>| source.line_of(range.end) - source.line_of(range.start) + 1;
    let tests: usize = source.test_regions().into_iter().map(lines_of).sum();
    let lines = source.line_count().saturating_sub(tests);
    if lines > MAX_FILE_LINES {
        let message = format!("{lines} lines without tests, the limit is {MAX_FILE_LINES}");
        report.add(Rule::FileLength, path, 1, message);
    }
}

/// The file begins with a module doc, before any code but inner attributes.
fn check_module_doc(path: &str, source: &Source, report: &mut Report) {
    let code = source.code.trim_start();
    let first_code = source.code.len() - code.len();
    let has_doc = source.comments[..first_code].contains("//!")
        || code.starts_with("#![doc")
        || (code.starts_with("#![") && source.comments.contains("//!"));
    if !has_doc {
        report.add(
            Rule::ModuleDoc,
            path,
            1,
            "no `//!` at the top: what is this file for?",
        );
    }
}
