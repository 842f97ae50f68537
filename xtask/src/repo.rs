//! Where the repository is, and which files in it are ours.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// Hidden folders that hold files of ours; all other hidden folders are somebody else's.
const HIDDEN_OURS: [&str; 3] = [".cargo", ".ci", ".config"];

/// The marker that cargo leaves in a build folder, whatever its name.
const BUILD_MARKER: &str = "CACHEDIR.TAG";

/// The root of the repository: the nearest folder upwards with a `[workspace]` manifest.
pub(crate) fn root() -> Outcome<PathBuf> {
    let here = std::env::current_dir().map_err(|error| Failure::io("current folder", &error))?;
    here.ancestors()
        .find(|dir| is_root(dir))
        .map(Path::to_owned)
        .ok_or_else(|| {
            Failure::new(format!(
                "no workspace Cargo.toml in {} or above it",
                here.display()
            ))
        })
}

/// Whether this folder holds the workspace's manifest.
fn is_root(dir: &Path) -> bool {
    fs::read_to_string(dir.join("Cargo.toml")).is_ok_and(|text| text.contains("[workspace]"))
}

/// All files of ours below `root`, as sorted paths relative to it with `/` between the parts.
pub(crate) fn files(root: &Path) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if fs::symlink_metadata(&path)?.is_dir() {
                if is_ours(&path) {
                    folders.push(path);
                }
            } else if path.is_file() {
                found.push(relative(root, &path));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether to look into this folder: not hidden, not a build folder.
fn is_ours(folder: &Path) -> bool {
    let name = folder
        .file_name()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    let hidden = name.starts_with('.') && !HIDDEN_OURS.contains(&name.as_ref());
    !hidden && name != "target" && !folder.join(BUILD_MARKER).exists()
}

/// The path below `root`, written with `/`.
fn relative(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = below
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}
