//! Where unsafe code may stand, and that each piece of it says why it is sound.

use super::{Report, Rule, Tree};
use crate::source::{Source, has_word, matching};

/// What kind of unsafe code a word begins, and what it owes its readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A block, an `unsafe impl` or an `unsafe extern` block: a `SAFETY:` comment.
    Discharge,
    /// A function or trait: a `# Safety` section.
    Demand,
    /// A function pointer type or an attribute: nothing.
    Mention,
}

/// Checks all Rust files, and the list itself.
pub(super) fn check(tree: &Tree, allowed: &[(&str, &str)], report: &mut Report) {
    let mut used = vec![false; allowed.len()];
    for (path, source) in tree.sources() {
        let entry = allowed.iter().position(|(entry, _)| covers(entry, path));
        for (at, _) in source.words().filter(|(_, word)| *word == "unsafe") {
            match entry {
                Some(entry) => used[entry] = true,
                None => report.add(
                    Rule::UnsafeFile,
                    path,
                    source.line_of(at),
                    "unsafe code outside the files of xtask/src/tidy/unsafe_files.rs",
                ),
            }
            check_reason(path, source, at, report);
        }
    }
    for ((entry, _), _) in allowed.iter().zip(used).filter(|(_, used)| !used) {
        report.add(
            Rule::UnsafeFile,
            entry,
            1,
            "allowed to be unsafe, but is not: strike it off",
        );
    }
}

/// Whether a list entry covers this file.
fn covers(entry: &str, path: &str) -> bool {
    path == entry || (entry.ends_with('/') && path.starts_with(entry))
}

/// The unsafe code at this word carries the comment or section that it owes.
fn check_reason(path: &str, source: &Source, at: usize, report: &mut Report) {
    let kind = kind(&source.code[at + "unsafe".len()..]);
    let (owed, message) = match kind {
        // What its callers must ensure is said once, by the trait.
        Kind::Demand if is_in_trait_impl(source, at) => return,
        Kind::Discharge => ("SAFETY:", "no `// SAFETY:` above this unsafe code"),
        Kind::Demand => (
            "# Safety",
            "no `# Safety` section: what must the caller ensure?",
        ),
        Kind::Mention => return,
    };
    let line = source.line_of(at);
    if !comments_of(source, line).any(|comment| comment.contains(owed)) {
        report.add(Rule::SafetyComment, path, line, message);
    }
}

/// Whether this place is inside of an `impl Trait for Type` block.
fn is_in_trait_impl(source: &Source, at: usize) -> bool {
    source
        .words()
        .filter(|(start, word)| *word == "impl" && *start < at)
        .any(|(start, _)| {
            let Some(open) = source.code[start..].find('{').map(|brace| start + brace) else {
                return false;
            };
            let end = matching(&source.code, open).unwrap_or(source.code.len());
            has_word(&source.code[start..open], "for") && (open..end).contains(&at)
        })
}

/// What the word begins, judged by the code behind it.
fn kind(after: &str) -> Kind {
    let words: Vec<&str> = after.split_whitespace().take(3).collect();
    match words.as_slice() {
        [first, ..] if first.starts_with('(') => Kind::Mention,
        [first, ..] if first.starts_with("fn(") => Kind::Mention,
        ["extern", abi, third, ..] if abi.starts_with('"') && third.starts_with("fn(") => {
            Kind::Mention
        }
        ["extern", .., "fn"] | ["fn" | "trait" | "auto", ..] => Kind::Demand,
        _ => Kind::Discharge,
    }
}

/// The comments that belong to the statement on this line: on it, inside it, directly above it.
fn comments_of(source: &Source, line: usize) -> impl Iterator<Item = &str> {
    let first = source.statement_start(line);
    // Attributes between the comment and the code do not separate them.
    let belongs =
        |above: &usize| !source.comment_line(*above).is_empty() || is_attribute(source, *above);
    let above = (1..first).rev().take_while(belongs);
    above
        .chain(first..=line)
        .map(|line| source.comment_line(line))
}

/// Whether the line is an attribute and nothing else.
fn is_attribute(source: &Source, line: usize) -> bool {
    let code = source.code_line(line);
    code.starts_with("#[") && code.ends_with(']')
}

#[cfg(test)]
mod tests {
    use super::{Kind, kind};

    /// Blocks and impls discharge a duty, functions and traits lay one on their callers.
    #[test]
    fn each_kind_of_unsafe_code_is_known() {
        let cases = [
            (" { a() }", Kind::Discharge),
            (" impl Send for A {}", Kind::Discharge),
            (" extern \" \" { fn a(); }", Kind::Discharge),
            (" fn a() {}", Kind::Demand),
            (" trait A {}", Kind::Demand),
            (" extern \"C\" fn a() {}", Kind::Demand),
            (" fn(u8) -> u8", Kind::Mention),
            (" extern \"C\" fn(u8)", Kind::Mention),
            ("(no_mangle)", Kind::Mention),
        ];
        for (after, wanted) in cases {
            assert_eq!(kind(after), wanted, "unsafe{after}");
        }
    }
}
