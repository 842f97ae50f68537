//! The mechanical half of the style guide: rules that a program can check, and so must.
//!
//! `cargo test` runs them over the repository (`xtask/tests/tidy.rs`), `cargo xtask tidy` alone.
//! Every rule is a pure function of a [`Tree`], so that each one is also tested on a small tree
//! with a planted offence: a check that was never seen to fail proves nothing.
//!
//! Not here: what needs judgement (is this comment true?), and what the compiler, clippy or rustfmt
//! already refuse.

mod atomics;
mod dependencies;
mod links;
mod models;
mod modules;
mod shape;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod unsafe_files;
mod unsafety;

use std::fmt;
use std::path::Path;

pub use tree::Tree;

use crate::failure::{Failure, Outcome};
use crate::{output, repo};

/// The rules, each with the sentence that is shown for an offence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rule {
    /// A function fits a screen.
    FunctionLength,
    /// A file is one noun.
    FileLength,
    /// A line fits beside another.
    LineWidth,
    /// A file says what it is for.
    ModuleDoc,
    /// Unsafe code only in the files that are named.
    UnsafeFile,
    /// Every unsafe operation is justified where it stands.
    SafetyComment,
    /// Every ordering that orders something names its partner.
    OrderingComment,
    /// Orderings are written out, so that the checks find them.
    OrderingImport,
    /// No unfinished business.
    Unfinished,
    /// No words that belittle the reader's difficulty.
    Wording,
    /// No blanks that nobody sees, no missing end of line.
    Whitespace,
    /// No file that nothing compiles.
    Orphan,
    /// No link into nothing.
    DeadLink,
    /// The proofs and the models name each other.
    Model,
    /// No dependency without a reason.
    Dependency,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::FunctionLength,
        Self::FileLength,
        Self::LineWidth,
        Self::ModuleDoc,
        Self::UnsafeFile,
        Self::SafetyComment,
        Self::OrderingComment,
        Self::OrderingImport,
        Self::Unfinished,
        Self::Wording,
        Self::Whitespace,
        Self::Orphan,
        Self::DeadLink,
        Self::Model,
        Self::Dependency,
    ];
}

/// One place that breaks one rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offence {
    /// The file, relative to the root.
    path: String,
    /// The line, counted from 1.
    line: usize,
    /// Which rule.
    rule: Rule,
    /// What is wrong there and what would be right.
    message: String,
}

impl Offence {
    /// The rule that is broken.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.rule
    }
}

impl fmt::Display for Offence {
    /// As compilers write it, so that editors can jump there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {} [{:?}]",
            self.path, self.line, self.message, self.rule
        )
    }
}

/// Where a rule puts what it finds.
#[derive(Debug, Default)]
struct Report {
    /// In the order found.
    offences: Vec<Offence>,
}

impl Report {
    /// Notes one offence.
    fn add(&mut self, rule: Rule, path: &str, line: usize, message: impl Into<String>) {
        let (path, message) = (path.to_owned(), message.into());
        self.offences.push(Offence {
            path,
            line,
            rule,
            message,
        });
    }
}

/// Checks a tree against all rules; the offences come sorted by file and line.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Offence> {
    check_allowing(tree, unsafe_files::ALLOWED)
}

/// The same with another list of files that may be unsafe, so that a test can bring its own.
fn check_allowing(tree: &Tree, allowed: &[(&str, &str)]) -> Vec<Offence> {
    let mut report = Report::default();
    shape::check(tree, &mut report);
    text::check(tree, &mut report);
    unsafety::check(tree, allowed, &mut report);
    atomics::check(tree, &mut report);
    modules::check(tree, &mut report);
    links::check(tree, &mut report);
    models::check(tree, &mut report);
    dependencies::check(tree, &mut report);
    report.offences.sort();
    report.offences
}

/// `cargo xtask tidy`: checks the repository and prints every offence.
pub(crate) fn command(root: &Path) -> Outcome {
    let tree = Tree::read(root)
        .map_err(|error| Failure::io(format!("reading {}", root.display()), &error))?;
    let offences = check(&tree);
    for offence in &offences {
        output::line(&offence.to_string());
    }
    if offences.is_empty() {
        output::line(&format!(
            "tidy: {} files, nothing to mend",
            repo::files(root).map_or(0, |files| files.len())
        ));
        Ok(())
    } else {
        Err(Failure::new(format!(
            "{} offences against the style guide",
            offences.len()
        )))
    }
}
