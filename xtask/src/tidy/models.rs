//! The proofs in `docs/memory-ordering.md` and the loom models name each other.
//!
//! A line of that file that begins with `Model: ` names the models of the handshake above it, as
//! `proto::tests::loom_name` between backticks. A proof without its model is prose that nobody
//! runs; a model without its proof is a test that nobody can judge.

use std::collections::BTreeMap;

use super::{Report, Rule, Tree};

/// Where the handshakes are proved.
const PROOFS: &str = "docs/memory-ordering.md";

/// Where the models stand.
const MODELS: &str = "wq-core/src/proto/";

/// How the name of a model begins.
const PREFIX: &str = "loom_";

/// How a line that names models begins.
const MARK: &str = "Model: ";

/// Checks both directions.
pub(super) fn check(tree: &Tree, report: &mut Report) {
    let models = models(tree);
    let named = named(tree.text(PROOFS).unwrap_or_default(), report);
    for (name, line) in &named {
        if !models.contains_key(name) {
            let message = format!("no `fn {name}` under {MODELS}: the proof has no model");
            report.add(Rule::Model, PROOFS, *line, message);
        }
    }
    for (name, (path, line)) in models {
        if !named.contains_key(name) {
            let message = format!("`{name}` is named by no `{MARK}` line of {PROOFS}");
            report.add(Rule::Model, path, line, message);
        }
    }
}

/// Every model function: its name, file and line.
fn models(tree: &Tree) -> BTreeMap<&str, (&str, usize)> {
    let mut found = BTreeMap::new();
    for (path, source) in tree.sources().filter(|(path, _)| path.starts_with(MODELS)) {
        let mut previous = "";
        for (at, word) in source.words() {
            if previous == "fn" && word.starts_with(PREFIX) {
                found.insert(word, (path, source.line_of(at)));
            }
            previous = word;
        }
    }
    found
}

/// Every model that the proofs name, with its line; a malformed line is an offence.
fn named<'text>(proofs: &'text str, report: &mut Report) -> BTreeMap<&'text str, usize> {
    let mut found = BTreeMap::new();
    for (at, line) in proofs.lines().enumerate() {
        let Some(list) = line.strip_prefix(MARK) else {
            continue;
        };
        let paths: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
        if paths.is_empty() {
            report.add(
                Rule::Model,
                PROOFS,
                at + 1,
                "names no model between backticks",
            );
        }
        for path in paths {
            let name = path.rsplit("::").next().unwrap_or(path);
            if path.starts_with("proto::") && name.starts_with(PREFIX) {
                found.insert(name, at + 1);
            } else {
                let message = format!("`{path}` is not of the form `proto::tests::{PREFIX}..`");
                report.add(Rule::Model, PROOFS, at + 1, message);
            }
        }
    }
    found
}
