//! Listing a directory.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use wq_core::may_block;

/// The entries of a directory, as a stream, in no order.
///
/// An entry is `std`'s: its methods ask the file system in place, which is fine in a task.
///
/// # Errors
/// Those of [`std::fs::read_dir`].
///
/// # Examples
/// ```
/// use futures::TryStreamExt;
///
/// # wq::block_on(async {
/// let entries: Vec<_> = wq::fs::read_dir("src").await?.try_collect().await?;
/// assert!(entries.iter().any(|entry| entry.file_name() == "lib.rs"));
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    may_block(|| fs::read_dir(path)).map(ReadDir)
}

/// The entries of a directory: see [`read_dir`].
///
/// # Cancellation
/// Dropping it ends the listing.
///
/// # Examples
/// ```
/// use futures::StreamExt;
///
/// # wq::block_on(async {
/// let mut entries: wq::fs::ReadDir = wq::fs::read_dir("src").await?;
/// while let Some(entry) = entries.next().await {
///     println!("{}", entry?.path().display());
/// }
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a stream does nothing until it is read"]
pub struct ReadDir(fs::ReadDir);

impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(may_block(|| self.0.next()))
    }
}
