//! Words and blanks: what no file may contain.

use super::{Report, Rule, Tree};
use crate::source::{Source, has_word, words};

/// Marks of unfinished business; a rule that is known to be missing belongs to an issue.
const UNFINISHED_MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Macros that must not reach the main branch.
const UNFINISHED_MACROS: [&str; 3] = ["dbg", "todo", "unimplemented"];

/// Words that tell readers that what they do not understand is easy.
const BELITTLING: [&str; 3] = ["simply", "just", "obviously"];

/// Checks all files.
pub(super) fn check(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.texts() {
        check_blanks(path, text, report);
        if path.ends_with(".md") {
            check_prose(path, text, report);
        }
    }
    for (path, source) in tree.sources() {
        check_comments(path, source, report);
        check_macros(path, source, report);
    }
}

/// No trailing blanks, no tabs, one newline at the end.
fn check_blanks(path: &str, text: &str, report: &mut Report) {
    for (at, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            report.add(
                Rule::Whitespace,
                path,
                at + 1,
                "blanks at the end of the line",
            );
        } else if line.contains('\t') {
            report.add(Rule::Whitespace, path, at + 1, "a tab; indent with spaces");
        }
    }
    let lines = text.lines().count();
    if !text.is_empty() && !text.ends_with('\n') {
        report.add(
            Rule::Whitespace,
            path,
            lines,
            "no newline at the end of the file",
        );
    } else if text.ends_with("\n\n") {
        report.add(
            Rule::Whitespace,
            path,
            lines,
            "blank lines at the end of the file",
        );
    }
}

/// The marks, in the prose of a Markdown file: not where it quotes them as code.
fn check_prose(path: &str, text: &str, report: &mut Report) {
    for (line, prose) in super::links::prose_lines(text) {
        for mark in UNFINISHED_MARKS
            .iter()
            .filter(|mark| has_word(&prose, mark))
        {
            report.add(
                Rule::Unfinished,
                path,
                line,
                format!("{mark}: finish it or open an issue"),
            );
        }
    }
}

/// The marks and the words, in comments: not where they quote code between backticks.
fn check_comments(path: &str, source: &Source, report: &mut Report) {
    for line in 1..=source.line_count() {
        let comment = without_code_spans(source.comment_line(line));
        for (_, word) in words(&comment) {
            if UNFINISHED_MARKS.contains(&word) {
                let message = format!("{word}: finish it or open an issue");
                report.add(Rule::Unfinished, path, line, message);
            }
            if BELITTLING.contains(&word.to_lowercase().as_str()) {
                let message = format!("the word \"{word}\" in a comment: say it without");
                report.add(Rule::Wording, path, line, message);
            }
        }
    }
}

/// The macros, in code.
fn check_macros(path: &str, source: &Source, report: &mut Report) {
    for (at, word) in source.words() {
        if UNFINISHED_MACROS.contains(&word) && source.code[at + word.len()..].starts_with('!') {
            let message = format!("`{word}!` is for the workbench");
            report.add(Rule::Unfinished, path, source.line_of(at), message);
        }
    }
}

/// The line with everything between pairs of backticks taken out.
pub(super) fn without_code_spans(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    // An odd number of backticks leaves the last one unpaired; what follows it is prose.
    let paired = parts.len() - (parts.len() + 1) % 2;
    let is_prose = |at: usize| at % 2 == 0 || at >= paired;
    let kept = parts
        .iter()
        .enumerate()
        .filter(|(at, _)| is_prose(*at))
        .map(|(_, part)| *part);
    kept.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::without_code_spans;

    /// Pairs of backticks hide what is between them; a lone one hides nothing.
    #[test]
    fn only_pairs_of_backticks_hide() {
        assert_eq!(without_code_spans("a `b` c").replace(' ', ""), "ac");
        assert_eq!(without_code_spans("a `b` c ` d").replace(' ', ""), "acd");
        assert_eq!(without_code_spans("a ` b"), "a   b");
        assert_eq!(without_code_spans("`b`"), " ");
    }
}
