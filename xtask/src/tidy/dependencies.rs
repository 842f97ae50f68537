//! Every dependency has a reason: a line of `deny.toml` that names it.
//!
//! The reasons stand together in one list, so that a reviewer sees the whole price at a glance.

use std::collections::BTreeSet;

use super::{Report, Rule, Tree};

/// Where the reasons stand.
const REASONS: &str = "deny.toml";

/// How a line of reasons begins; names follow, with commas, then two blanks and the reason.
const MARK: &str = "#   ";

/// Checks all manifests.
pub(super) fn check(tree: &Tree, report: &mut Report) {
    let reasons = reasons(tree.text(REASONS).unwrap_or_default());
    let manifests = || {
        tree.texts()
            .filter(|(path, _)| path.ends_with("Cargo.toml"))
    };
    let ours: BTreeSet<&str> = manifests().filter_map(|(_, text)| package(text)).collect();
    for (path, text) in manifests() {
        for (line, name) in dependencies(text) {
            if !ours.contains(name) && !reasons.contains(name) {
                let message = format!("`{name}` has no line with its reason in {REASONS}");
                report.add(Rule::Dependency, path, line, message);
            }
        }
    }
}

/// The names that have a reason.
fn reasons(text: &str) -> BTreeSet<&str> {
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix(MARK)?.split_once("  "));
    names
        .flat_map(|(names, _)| names.split(", "))
        .map(str::trim)
        .collect()
}

/// The name of the manifest's package.
fn package(manifest: &str) -> Option<&str> {
    entries(manifest)
        .find(|(_, section, key, _)| *section == "package" && *key == "name")
        .map(|(_, _, _, value)| value.trim_matches('"'))
}

/// The names in all sections of dependencies, each with its line.
fn dependencies(manifest: &str) -> impl Iterator<Item = (usize, &str)> {
    entries(manifest).filter_map(|(line, section, key, _)| {
        let of_section = section.rsplit_once("dependencies")?.1;
        // `[dependencies.name]` has the name in the section, `[dependencies]` in the key.
        let name = of_section.strip_prefix('.').unwrap_or(key);
        Some((line, name.split('.').next().unwrap_or(name)))
    })
}

/// The `key = value` lines of a manifest: line, section, key, value.
fn entries(manifest: &str) -> impl Iterator<Item = (usize, &str, &str, &str)> {
    let mut section = "";
    manifest.lines().enumerate().filter_map(move |(at, line)| {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim().trim_matches(['[', ']']);
            return None;
        }
        let (key, value) = line
            .split_once('=')
            .filter(|_| !line.starts_with([' ', '#']))?;
        Some((at + 1, section, key.trim(), value.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dependencies are found in every kind of section, and nothing else is taken for one.
    #[test]
    fn every_kind_of_section_is_read() {
        let manifest = "[package]\nname = \"p\"\n[dependencies]\na = \"1\"\nb.workspace = true\n\
                        # c = 1\n[target.'cfg(x)'.dev-dependencies]\nd = { version = \"1\" }\n\
                        [dependencies.e]\nversion = \"1\"\n[features]\nf = []\n";
        let found: Vec<(usize, &str)> = dependencies(manifest).collect();
        assert_eq!(found, [(4, "a"), (5, "b"), (8, "d"), (10, "e")]);
        assert_eq!(package(manifest), Some("p"));
    }

    /// One line may give the reason for several.
    #[test]
    fn one_line_may_name_several() {
        let text = "# Heading:\n#   a, b   why\n#   c  why\n";
        assert_eq!(
            reasons(text).into_iter().collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
    }
}
