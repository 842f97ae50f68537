//! An open file.

use std::fs::{self, Metadata, Permissions};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};
use wq_core::may_block;

use crate::by_ref::{reads_by_ref, writes_by_ref};

/// An open file: `std`'s, with the traits of `futures::io`.
///
/// Reads, writes and seeks happen in place and are always ready: see [the module](super). So
/// nothing is buffered, a drop loses nothing, and a close is the drop. A shared reference reads and
/// writes too. For a pipe or a device there is `wq::io::Async`.
///
/// # Examples
/// ```
/// use futures::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom};
///
/// # wq::block_on(async {
/// # let temporary = tempfile::tempdir()?;
/// # let path = temporary.path().join("notes");
/// let mut options = wq::fs::OpenOptions::new();
/// let mut file = options.read(true).write(true).create_new(true).open(&path).await?;
/// file.write_all(b"first, second").await?;
/// file.seek(SeekFrom::Start(7)).await?;
/// let mut text = String::new();
/// file.read_to_string(&mut text).await?;
/// assert_eq!(text, "second");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct File(fs::File);

impl File {
    /// Opens a file to read it.
    ///
    /// # Errors
    /// Those of [`std::fs::File::open`].
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let file = wq::fs::File::open("Cargo.toml").await?;
    /// assert!(file.metadata().await?.len() > 0);
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        may_block(|| fs::File::open(path)).map(File)
    }

    /// Makes a file, or empties it, to write it.
    ///
    /// # Errors
    /// Those of [`std::fs::File::create`].
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// # let temporary = tempfile::tempdir()?;
    /// # let path = temporary.path().join("new");
    /// let file = wq::fs::File::create(&path).await?;
    /// file.set_len(4096).await?;
    /// assert_eq!(wq::fs::metadata(&path).await?.len(), 4096);
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        may_block(|| fs::File::create(path)).map(File)
    }

    /// The file as `std` has it.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let file: std::fs::File = wq::fs::File::open("Cargo.toml").await?.into_std();
    /// # drop(file);
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn into_std(self) -> fs::File {
        self.0
    }

    /// A second handle, with the same position.
    ///
    /// # Errors
    /// Those of [`std::fs::File::try_clone`].
    pub async fn try_clone(&self) -> io::Result<File> {
        may_block(|| self.0.try_clone()).map(File)
    }

    /// Waits until data and metadata are on the medium.
    ///
    /// # Errors
    /// Those of [`std::fs::File::sync_all`].
    #[doc(alias = "fsync")]
    pub async fn sync_all(&self) -> io::Result<()> {
        wq_core::blocking(|| self.0.sync_all())
    }

    /// Waits until the data, and what is needed to read it, are on the medium.
    ///
    /// # Errors
    /// Those of [`std::fs::File::sync_data`].
    #[doc(alias = "fdatasync")]
    pub async fn sync_data(&self) -> io::Result<()> {
        wq_core::blocking(|| self.0.sync_data())
    }

    /// Cuts the file, or lengthens it by zeros.
    ///
    /// # Errors
    /// Those of [`std::fs::File::set_len`].
    pub async fn set_len(&self, size: u64) -> io::Result<()> {
        may_block(|| self.0.set_len(size))
    }

    /// What the file system knows of it.
    ///
    /// # Errors
    /// Those of [`std::fs::File::metadata`].
    pub async fn metadata(&self) -> io::Result<Metadata> {
        may_block(|| self.0.metadata())
    }

    /// Changes who may do what.
    ///
    /// # Errors
    /// Those of [`std::fs::File::set_permissions`].
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        may_block(|| self.0.set_permissions(permissions))
    }

    /// Reads at an offset, once; the file's own position stays.
    ///
    /// # Errors
    /// Those of [`FileExt::read_at`].
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let file = wq::fs::File::open("Cargo.toml").await?;
    /// let mut name = [0; 7];
    /// assert_eq!(file.read_at(&mut name, 1).await?, 7);
    /// assert_eq!(&name, b"package");
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    #[doc(alias = "pread")]
    pub async fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        may_block(|| self.0.read_at(buf, offset))
    }

    /// Writes at an offset, once; the file's own position stays.
    ///
    /// # Errors
    /// Those of [`FileExt::write_at`].
    #[doc(alias = "pwrite")]
    pub async fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        may_block(|| self.0.write_at(buf, offset))
    }
}

impl From<fs::File> for File {
    fn from(file: fs::File) -> File {
        File(file)
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        file.0.into()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsyncRead for &File {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(may_block(|| (&self.0).read(buf)))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(may_block(|| (&self.0).read_vectored(bufs)))
    }
}

impl AsyncWrite for &File {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(may_block(|| (&self.0).write(buf)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(may_block(|| (&self.0).write_vectored(bufs)))
    }

    /// Nothing is buffered here; for the medium there is [`File::sync_all`].
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The descriptor is closed by the drop.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for &File {
    fn poll_seek(self: Pin<&mut Self>, _: &mut Context<'_>, to: SeekFrom) -> Poll<io::Result<u64>> {
        Poll::Ready(may_block(|| (&self.0).seek(to)))
    }
}

reads_by_ref!([] File, [], |file| file);
writes_by_ref!([] File, [], |file| file);

impl AsyncSeek for File {
    fn poll_seek(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        Pin::new(&mut &*self).poll_seek(cx, to)
    }
}

/// How a file is opened: `std`'s options.
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// # let temporary = tempfile::tempdir()?;
/// # let path = temporary.path().join("log");
/// let log = wq::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path).await?;
/// # drop(log);
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions(fs::OpenOptions);

/// Methods of `std`'s options of the same name.
macro_rules! options {
    ($($name:ident: $type:ty, $doc:literal;)*) => {$(
        #[doc = $doc]
        pub fn $name(&mut self, $name: $type) -> &mut OpenOptions {
            self.0.$name($name);
            self
        }
    )*};
}

impl OpenOptions {
    /// None of them.
    #[expect(clippy::new_without_default, reason = "as in std")]
    pub fn new() -> OpenOptions {
        OpenOptions(fs::OpenOptions::new())
    }

    options! {
        read: bool, "To read it.";
        write: bool, "To write it.";
        append: bool, "To write at its end, wherever that is by then.";
        truncate: bool, "Empties it.";
        create: bool, "Makes it if it is not there.";
        create_new: bool, "Makes it, and fails if it is there.";
        mode: u32, "The permission bits of a file that is made.";
        custom_flags: i32, "Further flags of the system's `open`.";
    }

    /// Opens a file in this way. It is one whose name may be looked up for long: a FIFO waits for
    /// its other end, and holds up nothing but its caller.
    ///
    /// # Errors
    /// Those of [`std::fs::OpenOptions::open`].
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        may_block(|| self.0.open(path)).map(File)
    }
}

impl From<fs::OpenOptions> for OpenOptions {
    fn from(options: fs::OpenOptions) -> OpenOptions {
        OpenOptions(options)
    }
}
