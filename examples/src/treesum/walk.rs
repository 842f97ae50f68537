//! Which files a tree has: by git when its root is a checkout, else by walking.
//!
//! Nothing is opened here. Links are listed as files and followed when they are read, so that a
//! broken one is met and named; a link to a directory is counted and left alone, because its
//! content is listed where it lives (or lies outside of the tree).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::failure::{Failure, FailureKind};

/// Who said which files there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedBy {
    /// `git ls-files`: tracked files only.
    Git,
    /// The directories themselves, without `.git` and cargo's build output.
    Walk,
}

/// The files of a tree, sorted by path.
#[derive(Debug)]
pub struct Listing {
    /// The tree's root, as the system names it (links resolved).
    pub root: PathBuf,
    /// Paths to read, relative to the root.
    pub files: Vec<PathBuf>,
    /// Directories that could not be listed.
    pub failures: Vec<Failure>,
    /// Links to directories, left alone.
    pub links_skipped: usize,
    /// Who listed them.
    pub by: ListedBy,
    /// Why git was not asked although the root is a checkout.
    pub note: Option<String>,
}

/// Lists the tree under `dir`, leaving out the `excluded` files (treesum's own output).
///
/// # Errors
///
/// When `dir` is no directory or cannot be entered.
pub fn list(dir: &Path, excluded: &[PathBuf]) -> io::Result<Listing> {
    let root = fs::canonicalize(dir)?;
    // Asked for its errors: "not a directory" and "no permission" end here, with the root's name.
    fs::read_dir(&root)?;
    let mut found = Found::default();
    let (by, note) = if fs::symlink_metadata(root.join(".git")).is_ok() {
        match tracked(&root) {
            Ok(paths) => {
                paths.into_iter().for_each(|path| found.add(&root, path));
                (ListedBy::Git, None)
            }
            Err(why) => (ListedBy::Walk, Some(why)),
        }
    } else {
        (ListedBy::Walk, None)
    };
    if by == ListedBy::Walk {
        walk(&root, &mut found);
    }
    found
        .files
        .retain(|path| !excluded.contains(&root.join(path)));
    found.files.sort_unstable();
    // An unmerged path is listed once for each of its sides.
    found.files.dedup();
    let Found {
        files,
        failures,
        links_skipped,
    } = found;
    Ok(Listing {
        root,
        files,
        failures,
        links_skipped,
        by,
        note,
    })
}

/// Where a file that may not exist yet will be, as the system names it.
///
/// # Errors
///
/// When its directory does not exist or cannot be entered.
pub fn future_path(file: &Path) -> io::Result<PathBuf> {
    let parent = file.parent().filter(|parent| *parent != Path::new(""));
    let parent = fs::canonicalize(parent.unwrap_or(Path::new(".")))?;
    Ok(file
        .file_name()
        .map_or(parent.clone(), |name| parent.join(name)))
}

/// What a listing gathers on its way.
#[derive(Default)]
struct Found {
    /// Relative paths, in the order met.
    files: Vec<PathBuf>,
    /// Directories without a listing.
    failures: Vec<Failure>,
    /// Links to directories.
    links_skipped: usize,
}

impl Found {
    /// Takes one path that is no directory of the tree; its content is looked at later.
    fn add(&mut self, root: &Path, path: PathBuf) {
        let full = root.join(&path);
        let is_link = fs::symlink_metadata(&full).is_ok_and(|meta| meta.is_symlink());
        if is_link && fs::metadata(&full).is_ok_and(|meta| meta.is_dir()) {
            self.links_skipped += 1;
        } else {
            self.files.push(path);
        }
    }

    /// Notes a directory that could not be listed.
    fn fail(&mut self, root: &Path, path: PathBuf, error: &io::Error) {
        let kind = FailureKind::of(error, &root.join(&path));
        self.failures.push(Failure { path, kind });
    }
}

/// Git's list of tracked files, or why there is none.
fn tracked(root: &Path) -> Result<Vec<PathBuf>, String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["ls-files", "-z", "--cached", "--recurse-submodules"])
        // Inherited from a hook, these would make git answer for another repository.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        // A root whose own `.git` is unusable must not be taken for a part of a repository above.
        .env("GIT_CEILING_DIRECTORIES", root.parent().unwrap_or(root))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("git could not be run ({error})"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "git failed ({})",
            words.lines().next().unwrap_or("no message")
        ));
    }
    let names = output
        .stdout
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty());
    Ok(names
        .map(|name| PathBuf::from(OsStr::from_bytes(name)))
        .collect())
}

/// Lists every file below the root; keeps its own stack, so depth costs no thread stack.
fn walk(root: &Path, found: &mut Found) {
    let mut pending = vec![PathBuf::new()];
    while let Some(dir) = pending.pop() {
        let entries = match fs::read_dir(root.join(&dir)) {
            Ok(entries) => entries,
            Err(error) => {
                found.fail(root, dir, &error);
                continue;
            }
        };
        for entry in entries {
            match entry {
                Ok(entry) => visit(root, &dir, &entry, &mut pending, found),
                Err(error) => found.fail(root, dir.clone(), &error),
            }
        }
    }
}

/// Sorts one entry of a directory: to be listed itself, left out, or read as a file.
fn visit(
    root: &Path,
    dir: &Path,
    entry: &fs::DirEntry,
    pending: &mut Vec<PathBuf>,
    found: &mut Found,
) {
    let path = dir.join(entry.file_name());
    if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
        found.add(root, path);
    } else if !is_left_out(&entry.path()) {
        pending.push(path);
    }
}

/// Git's own data, and build output as cargo marks it. A source directory that only happens to
/// be called `target` has no such mark and is kept.
fn is_left_out(dir: &Path) -> bool {
    match dir.file_name().map(OsStr::as_bytes) {
        Some(b".git") => true,
        Some(b"target") => dir.join("CACHEDIR.TAG").exists(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory with files of the given names, each holding its own name.
    fn tree(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        dir
    }

    /// The listed paths, as text.
    fn names(listing: &Listing) -> Vec<&str> {
        listing
            .files
            .iter()
            .map(|path| path.to_str().unwrap())
            .collect()
    }

    /// Goal: build output is skipped by its mark, not by its name. Method: one of each.
    #[test]
    fn build_output_is_left_out_and_a_source_called_target_is_not() {
        let dir = tree(&[
            "a",
            "target/CACHEDIR.TAG",
            "target/o",
            "src/target/b",
            "x/.git/y",
        ]);
        let listing = list(dir.path(), &[]).unwrap();
        assert_eq!(names(&listing), ["a", "src/target/b"]);
        assert_eq!(listing.by, ListedBy::Walk);
    }

    /// Goal: links are files unless they lead to a directory. Method: one of each kind.
    #[test]
    fn links_are_listed_unless_they_lead_to_a_directory() {
        let dir = tree(&["sub/a"]);
        symlink("sub", dir.path().join("to_dir")).unwrap();
        symlink("sub/a", dir.path().join("to_file")).unwrap();
        symlink("nowhere", dir.path().join("broken")).unwrap();
        let listing = list(dir.path(), &[]).unwrap();
        assert_eq!(names(&listing), ["broken", "sub/a", "to_file"]);
        assert_eq!(listing.links_skipped, 1);
    }

    /// Goal: its own output is no input. Method: exclude a file through another spelling.
    #[test]
    fn own_output_is_left_out_however_it_is_spelled() {
        let dir = tree(&["a", "sub/journal"]);
        let own = future_path(&dir.path().join("sub/../sub/journal")).unwrap();
        assert_eq!(names(&list(dir.path(), &[own]).unwrap()), ["a"]);
    }

    /// Goal: a checkout git cannot read is walked, and says so. Method: an empty `.git`.
    #[test]
    fn a_checkout_that_git_refuses_is_walked_with_a_note() {
        let dir = tree(&["a", ".git/nothing"]);
        let listing = list(dir.path(), &[]).unwrap();
        assert_eq!((names(&listing), listing.by), (vec!["a"], ListedBy::Walk));
        assert!(listing.note.is_some_and(|note| note.starts_with("git ")));
    }

    /// Goal: a root that is no directory is an error. Method: a file, and nothing at all.
    #[test]
    fn a_root_that_is_no_directory_is_refused() {
        let dir = tree(&["a"]);
        let kind = |path: &str| list(&dir.path().join(path), &[]).unwrap_err().kind();
        assert_eq!(kind("a"), io::ErrorKind::NotADirectory);
        assert_eq!(kind("b"), io::ErrorKind::NotFound);
    }
}
