//! The parent's ends of a child's pipes.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::descriptor::descriptor;
use crate::io::Async;

/// What a child reads as its standard input.
///
/// [`close`](AsyncWrite::poll_close) or the drop ends it; afterwards writes fail with
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe), as they do when the child reads no more. Nothing is
/// buffered here. It has no `AsFd`, unlike the other two: there is no descriptor once it was
/// closed.
///
/// # Cancellation
/// A write that is dropped has written nothing, or what it has said.
///
/// # Examples
/// ```
/// use futures::io::AsyncWriteExt;
/// use std::process::Stdio;
///
/// # wq::block_on(async {
/// let mut cat = wq::process::Command::new("cat");
/// let mut cat = cat.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
/// let mut stdin: wq::process::ChildStdin = cat.stdin.take().unwrap();
/// stdin.write_all(b"text").await?;
/// drop(stdin); // or the wait would not end
/// assert!(cat.wait().await?.success());
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct ChildStdin {
    /// `None` once it was closed.
    io: Option<Async<File>>,
}

impl ChildStdin {
    /// The pipe, while it is open.
    fn open(&self) -> io::Result<&Async<File>> {
        let closed = || io::Error::new(io::ErrorKind::BrokenPipe, "the pipe was closed");
        self.io.as_ref().ok_or_else(closed)
    }
}

impl TryFrom<std::process::ChildStdin> for ChildStdin {
    type Error = io::Error;

    /// Sets this end to non-blocking and registers it.
    fn try_from(stdin: std::process::ChildStdin) -> io::Result<ChildStdin> {
        let io = Async::new(File::from(OwnedFd::from(stdin)))?;
        Ok(ChildStdin { io: Some(io) })
    }
}

impl TryFrom<ChildStdin> for Stdio {
    type Error = io::Error;

    /// For another child, which writes to this one.
    fn try_from(stdin: ChildStdin) -> io::Result<Stdio> {
        stdin.open()?;
        stdin.io.map_or_else(|| Ok(Stdio::null()), into_stdio)
    }
}

impl AsyncWrite for ChildStdin {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.open()?.poll_write_with(cx, |mut io| io.write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.open()?
            .poll_write_with(cx, |mut io| io.write_vectored(bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io = None;
        Poll::Ready(Ok(()))
    }
}

/// Gives a pipe to a child, which expects its reads and writes to block.
fn into_stdio(io: Async<File>) -> io::Result<Stdio> {
    let file = io.into_inner()?;
    let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(flags & !OFlag::O_NONBLOCK))?;
    Ok(Stdio::from(file))
}

/// The two that are read.
macro_rules! read_end {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// # Cancellation
        /// A read that is dropped has taken nothing.
        #[derive(Debug)]
        pub struct $name {
            io: Async<File>,
        }

        impl $name {
            /// All that comes from now on.
            pub(super) fn read_all(self) -> ReadAll {
                ReadAll { io: Some(self.io), bytes: Vec::new() }
            }
        }

        impl TryFrom<std::process::$name> for $name {
            type Error = io::Error;

            /// Sets this end to non-blocking and registers it.
            fn try_from(pipe: std::process::$name) -> io::Result<$name> {
                let io = Async::new(File::from(OwnedFd::from(pipe)))?;
                Ok($name { io })
            }
        }

        impl TryFrom<$name> for Stdio {
            type Error = io::Error;

            /// For another child, which reads what this one writes.
            fn try_from(pipe: $name) -> io::Result<Stdio> {
                into_stdio(pipe.io)
            }
        }

        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.io.poll_read_with(cx, |mut io| io.read(buf))
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                self.io.poll_read_with(cx, |mut io| io.read_vectored(bufs))
            }
        }

        descriptor!($name);
    };
}

read_end! {
    /// What a child writes to its standard output.
    ///
    /// # Examples
    /// ```
    /// use std::process::Stdio;
    /// use wq::process::{ChildStdout, Command};
    ///
    /// # wq::block_on(async {
    /// let mut echo = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
    /// let stdout: ChildStdout = echo.stdout.take().unwrap();
    /// // Another child reads it.
    /// let count = Command::new("wc").arg("-c").stdin(Stdio::try_from(stdout)?).output().await?;
    /// assert_eq!(count.stdout.trim_ascii(), b"6");
    /// assert!(echo.wait().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    ChildStdout
}

read_end! {
    /// What a child writes to its standard error.
    ///
    /// # Examples
    /// ```
    /// use futures::io::AsyncReadExt;
    /// use std::process::Stdio;
    /// use wq::process::{ChildStderr, Command};
    ///
    /// # wq::block_on(async {
    /// let mut cat = Command::new("cat").arg("/none").stderr(Stdio::piped()).spawn()?;
    /// let mut stderr: ChildStderr = cat.stderr.take().unwrap();
    /// let mut text = String::new();
    /// stderr.read_to_string(&mut text).await?;
    /// assert!(text.contains("/none"));
    /// assert!(!cat.wait().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    ChildStderr
}

/// Reads a pipe to its end.
#[derive(Debug)]
pub(super) struct ReadAll {
    /// `None` when it was.
    io: Option<Async<File>>,
    bytes: Vec<u8>,
}

impl ReadAll {
    /// Room for one read: as much as a pipe holds, by default.
    const ROOM: usize = 1 << 16;
    /// Reads in one poll, so that a child that writes without end leaves others their turn.
    const READS: usize = 16;

    /// Of nothing.
    pub(super) fn none() -> ReadAll {
        ReadAll {
            io: None,
            bytes: Vec::new(),
        }
    }

    /// Ready at the end.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..ReadAll::READS {
            let Some(io) = &self.io else {
                return Poll::Ready(Ok(()));
            };
            let len = self.bytes.len();
            self.bytes.resize(len + ReadAll::ROOM, 0);
            let bytes = &mut self.bytes[len..];
            let answer = io.poll_read_with(cx, |mut io| io.read(bytes));
            let read = match &answer {
                Poll::Ready(Ok(read)) => *read,
                _ => 0,
            };
            self.bytes.truncate(len + read);
            if ready!(answer)? == 0 {
                self.io = None;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// What was read.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
