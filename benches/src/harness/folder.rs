//! The folder of `--record`, and the page beside it.

use std::path::{Path, PathBuf};

/// A folder of kept figures.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    /// As it was written on the command line.
    word: String,
    /// Its last part.
    name: String,
    /// Where it is.
    path: PathBuf,
}

impl Folder {
    /// One that is written like this and is there. The page has the word in its commands and the
    /// name in its links, so both must be fit for that.
    pub(crate) fn named(word: &str, path: PathBuf) -> Result<Self, String> {
        let name = Path::new(word).file_name().and_then(|name| name.to_str());
        let Some(name) = name else {
            return Err(format!(
                "`--record {word}`: the page beside it is called like it, so it wants a name"
            ));
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+/".contains(c);
        if !word.chars().all(is_plain) {
            return Err(format!(
                "`--record {word}`: the page has it in commands and links, so it takes letters, \
                 digits and `._-+/`"
            ));
        }
        Ok(Self {
            word: word.to_owned(),
            name: name.to_owned(),
            path,
        })
    }

    /// As it was written on the command line.
    pub(crate) fn word(&self) -> &str {
        &self.word
    }

    /// Its last part.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The page beside it.
    pub(crate) fn page(&self) -> PathBuf {
        self.path.with_file_name(format!("{}.md", self.name))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A folder of a test's own, which is not there yet.
    pub(crate) fn scratch(name: &str) -> Folder {
        let name = format!("wq-benches-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        // It is there if an earlier process of that number ended in the middle.
        let _ = std::fs::remove_dir_all(&path);
        Folder::named(&name, path).expect("the name is plain")
    }

    /// The page is called like the folder, dots and all.
    #[test]
    fn the_page_is_beside_the_folder() {
        for (word, page) in [
            ("docs/benchmarks", "/top/docs/benchmarks.md"),
            ("v1.2/", "/top/v1.2.md"),
            ("./a", "/top/a.md"),
        ] {
            let folder = Folder::named(word, Path::new("/top").join(word));
            let folder = folder.expect("the name is plain");
            assert_eq!((folder.page(), folder.word()), (PathBuf::from(page), word));
        }
    }

    /// What would make no page, or a page with broken commands and links, is refused.
    #[test]
    fn names_that_make_no_page_are_refused() {
        for (word, told) in [
            (".", "wants a name"),
            ("..", "wants a name"),
            ("/", "wants a name"),
            ("", "wants a name"),
            ("my figures", "letters, digits"),
            ("a/$(b)", "letters, digits"),
        ] {
            let refused = Folder::named(word, PathBuf::from(word)).expect_err(word);
            assert!(refused.contains(told), "{refused}");
        }
    }
}
