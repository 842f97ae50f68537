//! Files that could not be summed: which one and why, in words for a reader of the summary.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// One listed path that has no digest, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Relative to the tree's root.
    pub path: PathBuf,
    /// What was met there.
    pub kind: FailureKind,
}

/// Why a path has no digest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// Listed, and gone when it was opened.
    Vanished,
    /// A symbolic link is there, its target is not.
    BrokenLink,
    /// The system refused to open or list it.
    NoPermission,
    /// Listed as a file, found to be a directory.
    IsDirectory,
    /// A FIFO, socket or device: reading it might never end.
    NotRegular,
    /// The task that read it ended without a result (it panicked).
    Lost,
    /// Any other error, in the system's words.
    Other(String),
}

impl FailureKind {
    /// Names an error met at `path`; looks at the path again to tell a broken link from a
    /// file that vanished.
    #[must_use]
    pub fn of(error: &io::Error, path: &Path) -> Self {
        match error.kind() {
            ErrorKind::NotFound if fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink()) => {
                Self::BrokenLink
            }
            ErrorKind::NotFound => Self::Vanished,
            ErrorKind::PermissionDenied => Self::NoPermission,
            ErrorKind::IsADirectory => Self::IsDirectory,
            _ => Self::Other(error.to_string()),
        }
    }

    /// The reason as one word, stable for programs that read `--json` or the journal.
    #[must_use]
    pub fn tag(&self) -> &'static str {
        match self {
            Self::Vanished => "vanished",
            Self::BrokenLink => "broken-link",
            Self::NoPermission => "no-permission",
            Self::IsDirectory => "is-directory",
            Self::NotRegular => "not-regular",
            Self::Lost => "lost",
            Self::Other(_) => "other",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vanished => "vanished after it was listed",
            Self::BrokenLink => "broken link",
            Self::NoPermission => "no permission",
            Self::IsDirectory => "is a directory, not a file",
            Self::NotRegular => "not a regular file",
            Self::Lost => "lost: its task ended without a result",
            Self::Other(words) => words,
        })
    }
}

/// A path for one line of text: control characters and bytes that are not UTF-8 as `\xNN`,
/// the backslash doubled, so that every path is one line and no two look the same.
#[must_use]
pub fn one_line(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;

    let mut line = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => line.push_str("\\\\"),
                c if c.is_control() => {
                    let mut utf8 = [0; 4];
                    c.encode_utf8(&mut utf8)
                        .bytes()
                        .for_each(|byte| push_hex(&mut line, byte));
                }
                c => line.push(c),
            }
        }
        chunk
            .invalid()
            .iter()
            .for_each(|&byte| push_hex(&mut line, byte));
    }
    line
}

/// Appends one byte as `\xNN`.
fn push_hex(line: &mut String, byte: u8) {
    line.push_str(&format!("\\x{byte:02x}"));
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    /// Goal: one line a path, whatever its name. Method: the bytes that break naive writers.
    #[test]
    fn odd_names_become_one_distinct_line() {
        let line = |bytes: &[u8]| one_line(Path::new(OsStr::from_bytes(bytes)));
        assert_eq!(line("für/été".as_bytes()), "für/été");
        assert_eq!(line(b"two\nlines"), "two\\x0alines");
        assert_eq!(line(b"\xff\\xff"), "\\xff\\\\xff");
        assert_eq!(line("\u{85}".as_bytes()), "\\xc2\\x85");
    }

    /// Goal: reasons are told apart. Method: the real errors of a directory made for it.
    #[test]
    fn reasons_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        let gone = dir.path().join("gone");
        let kind = |path: &Path| FailureKind::of(&fs::File::open(path).unwrap_err(), path);
        assert_eq!(kind(&link), FailureKind::BrokenLink);
        assert_eq!(kind(&gone), FailureKind::Vanished);
        let refused = io::Error::from(ErrorKind::PermissionDenied);
        assert_eq!(FailureKind::of(&refused, &gone), FailureKind::NoPermission);
    }
}
