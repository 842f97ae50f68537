//! The files that the rules look at, in memory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::modules::Modules;
use crate::repo;
use crate::source::Source;

/// The endings of files that are checked; `.ci` holds scripts without one.
const ENDINGS: [&str; 4] = [".rs", ".md", ".toml", ".sh"];

/// Every file of the repository that a rule may read.
#[derive(Debug)]
pub struct Tree {
    /// Path relative to the root, to text.
    texts: BTreeMap<String, String>,
    /// The Rust files among them, split.
    sources: BTreeMap<String, Source>,
    /// All paths, also of files that no rule reads: links may lead there.
    paths: Vec<String>,
    /// Which file is compiled as what.
    modules: Modules,
}

impl Tree {
    /// Reads the repository at `root`.
    ///
    /// # Errors
    ///
    /// When a folder or file cannot be read, or a checked file is not UTF-8.
    pub fn read(root: &Path) -> io::Result<Self> {
        let paths = repo::files(root)?;
        let checked = paths.iter().filter(|path| is_checked(path));
        let texts = checked
            .map(|path| Ok((path.clone(), fs::read_to_string(root.join(path))?)))
            .collect::<io::Result<_>>()?;
        Ok(Self::new(texts, paths))
    }

    /// A tree of these files, for a test.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        let paths = files.iter().map(|(path, _)| (*path).to_owned()).collect();
        Self::new(files.iter().map(own).collect(), paths)
    }

    /// Splits the Rust files and follows their modules.
    fn new(texts: BTreeMap<String, String>, paths: Vec<String>) -> Self {
        let sources: BTreeMap<String, Source> = texts
            .iter()
            .filter(|(path, _)| path.ends_with(".rs"))
            .map(|(path, text)| (path.clone(), Source::new(text)))
            .collect();
        let modules = Modules::follow(&texts, &sources);
        Self {
            texts,
            sources,
            paths,
            modules,
        }
    }

    /// All checked files.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text of one file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// The Rust files.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.sources
            .iter()
            .map(|(path, source)| (path.as_str(), source))
    }

    /// Whether there is a file or folder of this name.
    pub(super) fn exists(&self, path: &str) -> bool {
        let below = |file: &String| {
            file.strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        path.is_empty() || self.paths.iter().any(below)
    }

    /// Which file is compiled as what.
    pub(super) fn modules(&self) -> &Modules {
        &self.modules
    }

    /// Whether the whole file is test code: by its place, or by the `cfg` of its `mod` line.
    pub(super) fn is_test(&self, path: &str) -> bool {
        let by_place = path
            .split('/')
            .any(|part| part == "tests" || part == "tests.rs");
        by_place || self.modules.is_test(path)
    }
}

/// Whether the rules about text apply to this file.
fn is_checked(path: &str) -> bool {
    path.starts_with(".ci/") || ENDINGS.iter().any(|ending| path.ends_with(ending))
}
