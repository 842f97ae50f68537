//! Files and directories: `std::fs` as `async` functions that run in place.
//!
//! | to | use |
//! |---|---|
//! | read or write a whole file | [`read`], [`read_to_string`], [`write()`] |
//! | read, write and seek piece by piece | [`File`], [`OpenOptions`] |
//! | list a directory | [`read_dir`] |
//! | ask and change what the file system says | [`metadata`], [`rename`], [`create_dir_all`], ... |
//!
//! Nothing is sent to another thread and back. A call does its work in the poll in which it is
//! first awaited, on the worker, under the mark of [`may_block`](crate::may_block()): a read that
//! finds its data in the page cache costs what `std::fs` costs, and one that waits for the disk
//! loses its lane to another worker. `std::fs` itself in a task is as good; this module is for code
//! that wants `futures::io` traits, streams, and one way to write things.
//!
//! Since each call is always ready, a task that does nothing else does not let others run in
//! between; after a millisecond of that the lane is taken from it.
//! [`yield_now`](crate::yield_now()) says so earlier.
//!
//! # Cancellation
//! A call that was not polled has done nothing, and one that was has done all: no call of this
//! module can be dropped half-way. An abort or a time limit takes effect when the task next
//! suspends, which these calls do not: a loop over many files needs a `yield_now` between them for
//! that.

#![forbid(unsafe_code)]

mod dir;
mod file;

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use wq_core::may_block;

pub use dir::{ReadDir, read_dir};
pub use file::{File, OpenOptions};

/// The path without symbolic links and dots, from the root on.
///
/// # Errors
/// Those of [`std::fs::canonicalize`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// assert!(wq::fs::canonicalize(".").await?.is_absolute());
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    may_block(|| fs::canonicalize(path))
}

/// Copies a file with its permissions; how many bytes it has.
///
/// # Errors
/// Those of [`std::fs::copy`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// # let temporary = tempfile::tempdir()?;
/// # let dir = temporary.path();
/// wq::fs::write(dir.join("a"), "seven b").await?;
/// assert_eq!(wq::fs::copy(dir.join("a"), dir.join("b")).await?, 7);
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    may_block(|| fs::copy(from, to))
}

/// Makes a directory whose parent is there.
///
/// # Errors
/// Those of [`std::fs::create_dir`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// # let temporary = tempfile::tempdir()?;
/// # let dir = temporary.path();
/// wq::fs::create_dir(dir.join("new")).await?;
/// assert!(wq::fs::metadata(dir.join("new")).await?.is_dir());
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    may_block(|| fs::create_dir(path))
}

/// Makes a directory and all of its parents that are missing.
///
/// # Errors
/// Those of [`std::fs::create_dir_all`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// # let temporary = tempfile::tempdir()?;
/// # let dir = temporary.path();
/// wq::fs::create_dir_all(dir.join("new/and/deep")).await?;
/// assert!(wq::fs::metadata(dir.join("new/and/deep")).await?.is_dir());
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    may_block(|| fs::create_dir_all(path))
}

/// Gives a file another name.
///
/// # Errors
/// Those of [`std::fs::hard_link`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// # let temporary = tempfile::tempdir()?;
/// # let dir = temporary.path();
/// wq::fs::write(dir.join("a"), "text").await?;
/// wq::fs::hard_link(dir.join("a"), dir.join("b")).await?;
/// assert_eq!(wq::fs::read_to_string(dir.join("b")).await?, "text");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    may_block(|| fs::hard_link(original, link))
}

/// What the file system knows of a file; symbolic links are followed.
///
/// # Errors
/// Those of [`std::fs::metadata`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// assert!(wq::fs::metadata("Cargo.toml").await?.is_file());
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    may_block(|| fs::metadata(path))
}

/// The whole of a file.
///
/// # Errors
/// Those of [`std::fs::read`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// assert!(wq::fs::read("Cargo.toml").await?.starts_with(b"[package]"));
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    may_block(|| fs::read(path))
}

/// Where a symbolic link leads.
///
/// # Errors
/// Those of [`std::fs::read_link`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// assert!(wq::fs::read_link("Cargo.toml").await.is_err()); // it is no link
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    may_block(|| fs::read_link(path))
}

/// The whole of a file, which must be UTF-8.
///
/// # Errors
/// Those of [`std::fs::read_to_string`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// assert!(wq::fs::read_to_string("Cargo.toml").await?.starts_with("[package]"));
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    may_block(|| fs::read_to_string(path))
}

/// Removes an empty directory.
///
/// # Errors
/// Those of [`std::fs::remove_dir`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// # let temporary = tempfile::tempdir()?;
/// # let dir = temporary.path();
/// wq::fs::create_dir(dir.join("new")).await?;
/// wq::fs::remove_dir(dir.join("new")).await?;
/// assert!(!wq::fs::try_exists(dir.join("new")).await?);
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    may_block(|| fs::remove_dir(path))
}

/// Removes a directory and all that is in it. Symbolic links are removed and not followed.
///
/// # Errors
/// Those of [`std::fs::remove_dir_all`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// # let temporary = tempfile::tempdir()?;
/// # let dir = temporary.path();
/// wq::fs::create_dir_all(dir.join("new/and/deep")).await?;
/// wq::fs::remove_dir_all(dir.join("new")).await?;
/// assert!(!wq::fs::try_exists(dir.join("new")).await?);
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    may_block(|| fs::remove_dir_all(path))
}

/// Removes a file.
///
/// # Errors
/// Those of [`std::fs::remove_file`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// # let temporary = tempfile::tempdir()?;
/// # let dir = temporary.path();
/// wq::fs::write(dir.join("a"), "text").await?;
/// wq::fs::remove_file(dir.join("a")).await?;
/// assert!(!wq::fs::try_exists(dir.join("a")).await?);
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    may_block(|| fs::remove_file(path))
}

/// Gives a file or a directory another name, in place of what had it.
///
/// # Errors
/// Those of [`std::fs::rename`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// # let temporary = tempfile::tempdir()?;
/// # let dir = temporary.path();
/// wq::fs::write(dir.join("a"), "text").await?;
/// wq::fs::rename(dir.join("a"), dir.join("b")).await?;
/// assert_eq!(wq::fs::read_to_string(dir.join("b")).await?, "text");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    may_block(|| fs::rename(from, to))
}

/// Changes who may do what.
///
/// # Errors
/// Those of [`std::fs::set_permissions`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// # let temporary = tempfile::tempdir()?;
/// # let dir = temporary.path();
/// wq::fs::write(dir.join("a"), "text").await?;
/// let mut permissions = wq::fs::metadata(dir.join("a")).await?.permissions();
/// permissions.set_readonly(true);
/// wq::fs::set_permissions(dir.join("a"), permissions).await?;
/// assert!(wq::fs::metadata(dir.join("a")).await?.permissions().readonly());
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    may_block(|| fs::set_permissions(path, permissions))
}

/// What the file system knows of a file; of a symbolic link itself.
///
/// # Errors
/// Those of [`std::fs::symlink_metadata`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// assert!(!wq::fs::symlink_metadata("Cargo.toml").await?.is_symlink());
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    may_block(|| fs::symlink_metadata(path))
}

/// Writes a whole file, in place of what was in it.
///
/// # Errors
/// Those of [`std::fs::write`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// # let temporary = tempfile::tempdir()?;
/// # let dir = temporary.path();
/// wq::fs::write(dir.join("a"), "text").await?;
/// assert_eq!(wq::fs::read(dir.join("a")).await?, b"text");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    may_block(|| fs::write(path, contents))
}

/// Makes a symbolic link.
///
/// # Errors
/// Those of [`std::os::unix::fs::symlink`].
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// # let temporary = tempfile::tempdir()?;
/// # let dir = temporary.path();
/// wq::fs::symlink("nowhere", dir.join("link")).await?;
/// assert_eq!(wq::fs::read_link(dir.join("link")).await?.to_str(), Some("nowhere"));
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    may_block(|| std::os::unix::fs::symlink(original, link))
}

/// Whether there is something of this name. A link that leads nowhere is nothing.
///
/// # Errors
/// If that cannot be found out, for want of rights for example.
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// assert!(wq::fs::try_exists("Cargo.toml").await?);
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    may_block(|| fs::exists(path))
}
