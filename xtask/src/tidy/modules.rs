//! Which Rust files are compiled, found by following `mod` lines from the crate roots.
//!
//! A file that no root reaches still looks alive to readers and to searches; nothing ever tests it.

use std::collections::BTreeMap;

use super::{Report, Rule, Tree};
use crate::source::Source;

/// Sources that are compiled one by one as test data, never as modules.
const DATA_FOLDER: &str = "/tests/ui/";

/// The folders of a package in which every file, or every folder's `main.rs`, is a root.
const TARGET_FOLDERS: [&str; 4] = ["src/bin", "tests", "examples", "benches"];

/// The manifest sections whose `path` names a root.
const TARGET_SECTIONS: [&str; 5] = ["[lib]", "[[bin]]", "[[test]]", "[[bench]]", "[[example]]"];

/// What reaches each file.
#[derive(Debug, Default)]
pub(super) struct Modules {
    /// Path to whether it is compiled for tests only.
    reached: BTreeMap<String, bool>,
}

/// A `mod name;` (or `include!`) found in a file.
#[derive(Debug)]
struct Child {
    /// The files it may mean, relative to the root.
    candidates: Vec<String>,
    /// Whether it stands in a region for tests only.
    test: bool,
}

/// Every Rust file is reached.
pub(super) fn check(tree: &Tree, report: &mut Report) {
    for (path, _) in tree.sources() {
        if !tree.modules().reached.contains_key(path) && !path.contains(DATA_FOLDER) {
            report.add(
                Rule::Orphan,
                path,
                1,
                "no crate reaches this file by `mod`: delete it?",
            );
        }
    }
}

impl Modules {
    /// Follows the modules of all packages whose manifest is among the texts.
    pub(super) fn follow(
        texts: &BTreeMap<String, String>,
        sources: &BTreeMap<String, Source>,
    ) -> Self {
        let mut modules = Self::default();
        for (path, text) in texts {
            if let Some(folder) = path.strip_suffix("Cargo.toml") {
                for root in roots(folder, text, sources) {
                    modules.visit(&root, true, false, sources);
                }
            }
        }
        modules
    }

    /// Whether the file is compiled for tests only.
    pub(super) fn is_test(&self, path: &str) -> bool {
        self.reached.get(path).copied().unwrap_or(false)
    }

    /// Notes the file and goes on to its children. A way in that is not for tests only wins.
    fn visit(&mut self, path: &str, is_root: bool, test: bool, sources: &BTreeMap<String, Source>) {
        let Some(source) = sources.get(path) else {
            return;
        };
        match self.reached.get(path) {
            Some(known) if test || !known => return,
            _ => self.reached.insert(path.to_owned(), test),
        };
        for child in children(path, is_root, source) {
            for candidate in child.candidates {
                self.visit(&candidate, false, test || child.test, sources);
            }
        }
    }
}

/// The crate roots of the package in this folder (empty, or ending with `/`).
fn roots(folder: &str, manifest: &str, sources: &BTreeMap<String, Source>) -> Vec<String> {
    let mut roots: Vec<String> = ["src/lib.rs", "src/main.rs", "build.rs"]
        .iter()
        .map(|name| format!("{folder}{name}"))
        .collect();
    roots.extend(named_roots(manifest).map(|path| format!("{folder}{path}")));
    for target in TARGET_FOLDERS {
        let inside = format!("{folder}{target}/");
        let is_root = |path: &&String| {
            let below = path.strip_prefix(&inside);
            below.is_some_and(|name| match name.split_once('/') {
                Some((_, file)) => file == "main.rs",
                None => true,
            })
        };
        roots.extend(sources.keys().filter(is_root).cloned());
    }
    roots
}

/// The `path` values of the manifest's target sections.
fn named_roots(manifest: &str) -> impl Iterator<Item = &str> {
    let mut in_target = false;
    manifest.lines().filter_map(move |line| {
        if line.starts_with('[') {
            in_target = TARGET_SECTIONS.contains(&line.trim());
        }
        let (key, value) = line.split_once('=')?;
        (in_target && key.trim() == "path").then(|| value.trim().trim_matches('"'))
    })
}

/// The files that this file's `mod` lines and `include!`s lead to.
fn children(path: &str, is_root: bool, source: &Source) -> Vec<Child> {
    let tests = source.test_regions();
    let mut found = Vec::new();
    // The inline modules around the current place: name, and where each ends.
    let mut inside: Vec<(&str, usize)> = Vec::new();
    let mut words = source.words().peekable();
    while let Some((at, word)) = words.next() {
        inside.retain(|(_, end)| at < *end);
        let test = tests.iter().any(|range| range.contains(&at));
        if word == "include" && source.code[at..].starts_with("include!(\"") {
            let candidates = vec![join(folder_of(path), literal_at(&source.text, at))];
            found.push(Child { candidates, test });
        }
        let Some((name_at, name)) = words.peek().copied().filter(|_| word == "mod") else {
            continue;
        };
        let open = name_at + name.len();
        let names: Vec<&str> = inside.iter().map(|(name, _)| *name).collect();
        match source.code[open..].trim_start().bytes().next() {
            Some(b';') => {
                let candidates = candidates(path, is_root, &names, name, attributes(source, at));
                found.push(Child { candidates, test });
            }
            Some(b'{') => {
                let brace = open + source.code[open..].find('{').unwrap_or(0);
                let end = crate::source::matching(&source.code, brace);
                inside.push((name, end.unwrap_or(source.code.len())));
            }
            _ => {}
        }
    }
    found
}

/// The files that `mod name;` may mean, given the inline modules around it and its attributes.
fn candidates(
    path: &str,
    is_root: bool,
    inside: &[&str],
    name: &str,
    attributes: &str,
) -> Vec<String> {
    let own = if is_root || path.ends_with("/mod.rs") {
        folder_of(path).to_owned()
    } else {
        path.trim_end_matches(".rs").to_owned()
    };
    let around = inside.iter().fold(own, |folder, name| join(&folder, name));
    if let Some(at) = attributes.find("path") {
        // Without inline modules, `#[path]` starts from the file's folder.
        let base = if inside.is_empty() {
            folder_of(path)
        } else {
            &around
        };
        return vec![join(base, literal_at(attributes, at))];
    }
    vec![
        join(&around, &format!("{name}.rs")),
        join(&around, &format!("{name}/mod.rs")),
    ]
}

/// The text between the end of the item before and this place: its attributes and visibility.
fn attributes(source: &Source, at: usize) -> &str {
    let start = source.code[..at]
        .rfind([';', '{', '}'])
        .map_or(0, |end| end + 1);
    // A comment may hold anything; an attribute begins behind the last one.
    let comment_end = source.comments[start..at].trim_end().len();
    if source.code[start..at].contains("path") {
        &source.text[start..at]
    } else {
        &source.text[start + comment_end..at]
    }
}

/// The first string literal behind this place.
fn literal_at(text: &str, at: usize) -> &str {
    text[at..].split('"').nth(1).unwrap_or_default()
}

/// The folder of a file, without the last `/`.
pub(super) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A path below a folder, with `.` and `..` resolved.
pub(super) fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way of reaching a file is followed; what is left over is an orphan.
    #[test]
    fn every_way_to_a_file_is_followed() {
        let files = [
            (
                "a/Cargo.toml",
                "[[bin]]\nname = \"x\"\npath = \"odd/place.rs\"\n",
            ),
            (
                "a/src/lib.rs",
                "mod b;\nmod c { mod d; }\n#[path = \"sys/e.rs\"]\nmod e;\n",
            ),
            (
                "a/src/b.rs",
                "/// The path to it.\nmod f;\n#[cfg(test)]\nmod tests;\n",
            ),
            ("a/src/b/f.rs", "include!(\"g.rs\");"),
            ("a/src/b/g.rs", ""),
            ("a/src/b/tests.rs", "mod h;"),
            ("a/src/b/tests/h.rs", ""),
            ("a/src/c/d/mod.rs", ""),
            ("a/src/sys/e.rs", ""),
            ("a/src/bin/i.rs", ""),
            ("a/src/bin/j/main.rs", "mod k;"),
            ("a/src/bin/j/k.rs", ""),
            ("a/tests/l.rs", "mod common;"),
            ("a/tests/common/mod.rs", ""),
            ("a/odd/place.rs", ""),
            ("a/build.rs", ""),
        ];
        let tree = Tree::of(&files);
        let orphans: Vec<&str> = tree
            .sources()
            .map(|(path, _)| path)
            .filter(|path| !tree.modules().reached.contains_key(*path))
            .collect();
        assert!(orphans.is_empty(), "{orphans:?}");
        assert!(
            tree.modules().is_test("a/src/b/tests/h.rs"),
            "a child of a test module"
        );
        assert!(!tree.modules().is_test("a/src/b/f.rs"));
    }

    /// A file that is a module both for tests and for users counts as the latter.
    #[test]
    fn a_file_with_two_ways_in_is_not_test_code() {
        let lib = "#[cfg(test)]\nmod a;\n#[path = \"b.rs\"]\nmod c;\n";
        let files = [("Cargo.toml", ""), ("src/lib.rs", lib)];
        let more = [
            ("src/a.rs", "#[path = \"b.rs\"]\nmod b;\n"),
            ("src/b.rs", "mod d;"),
            ("src/b/d.rs", ""),
        ];
        let tree = Tree::of(&[&files[..], &more[..]].concat());
        assert!(tree.modules().is_test("src/a.rs"));
        assert!(!tree.modules().is_test("src/b.rs"));
        assert!(
            !tree.modules().is_test("src/b/d.rs"),
            "its children are seen again"
        );
    }
}
