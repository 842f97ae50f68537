//! Between the I/O traits of `futures` and those of hyper, in both directions.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use pin_project::pin_project;

/// How much is read at a time. hyper hands out memory that was never written, which the `futures`
/// traits cannot fill, so bytes go through a buffer of the thread's: a copy of so much stays in the
/// nearest cache, and a connection that waits needs no buffer.
const SCRATCH: usize = 16 * 1024;

thread_local! {
    /// The calling thread's buffer, while nobody reads into it.
    static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// A connection for hyper, made of one with the `futures::io` traits; or the reverse, for what a
/// protocol upgrade gives back.
///
/// # Examples
/// ```
/// use wq::hyper::Io;
///
/// fn for_hyper(connection: async_net::TcpStream) -> impl hyper::rt::Read + hyper::rt::Write {
///     Io::new(connection).vectored()
/// }
///
/// fn upgraded(
///     connection: hyper::upgrade::Upgraded,
/// ) -> impl futures::io::AsyncRead + futures::io::AsyncWrite {
///     Io::new(connection)
/// }
/// ```
#[pin_project]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Io<T> {
    /// The connection.
    #[pin]
    inner: T,
    /// It writes several buffers at once.
    vectored: bool,
}

impl<T> Io<T> {
    /// Around a connection.
    ///
    /// # Examples
    /// ```
    /// let connection = wq::hyper::Io::new(futures::io::Cursor::new(vec![0; 10]));
    /// assert_eq!(connection.into_inner().position(), 0);
    /// ```
    pub fn new(inner: T) -> Io<T> {
        Io {
            inner,
            vectored: false,
        }
    }

    /// Says that the connection writes several buffers with one call, as sockets do: hyper then
    /// does not copy heads and bodies together. Wrong for those whose `poll_write_vectored` writes
    /// the first buffer alone.
    ///
    /// # Examples
    /// ```
    /// # async fn connect() -> std::io::Result<()> {
    /// let socket = async_net::TcpStream::connect("127.0.0.1:80").await?;
    /// let connection = wq::hyper::Io::new(socket).vectored();
    /// # drop(connection);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn vectored(self) -> Io<T> {
        Io {
            vectored: true,
            ..self
        }
    }

    /// The connection.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(wq::hyper::Io::new(7).get_ref(), &7);
    /// ```
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The connection, to be changed.
    ///
    /// # Examples
    /// ```
    /// *wq::hyper::Io::new(7).get_mut() += 1;
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// The connection, unwrapped. Nothing was read in advance.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(wq::hyper::Io::new(7).into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncRead> Read for Io<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // Taken and not borrowed: connections stand inside each other, for TLS.
        let kept = BUFFER.try_with(Cell::take).ok().flatten();
        let mut scratch = kept.unwrap_or_else(|| vec![0; SCRATCH].into());
        let room = buf.remaining().min(scratch.len());
        let read = self.project().inner.poll_read(cx, &mut scratch[..room]);
        let read = read.map_ok(|n| buf.put_slice(&scratch[..n]));
        let _ = BUFFER.try_with(|kept| kept.set(Some(scratch)));
        read
    }
}

impl<T: AsyncWrite> Write for Io<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_close(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, bufs)
    }
}

impl<T: Read> AsyncRead for Io<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(self.project().inner.poll_read(cx, buf.unfilled()))?;
        Poll::Ready(Ok(buf.filled().len()))
    }
}

impl<T: Write> AsyncWrite for Io<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// A connection that notes what it was asked for, and always has five bytes.
    #[derive(Default)]
    struct Noted(Vec<&'static str>);

    impl Noted {
        /// Notes a call.
        fn note<T>(mut self: Pin<&mut Self>, call: &'static str, answer: T) -> Poll<io::Result<T>> {
            self.0.push(call);
            Poll::Ready(Ok(answer))
        }
    }

    impl AsyncRead for Noted {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let n = buf.len().min(5);
            buf[..n].copy_from_slice(&b"bytes"[..n]);
            self.note("read", n)
        }
    }

    impl AsyncWrite for Noted {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.note("write", buf.len())
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.note("write vectored", bufs.iter().map(|buf| buf.len()).sum())
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.note("flush", ())
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.note("close", ())
        }
    }

    /// What was asked of the innermost connection, all of it.
    const ALL: [&str; 5] = ["read", "write", "write vectored", "flush", "close"];

    /// Goal: each call of hyper's reaches its counterpart, with its bytes and answers. Method: a
    /// connection that notes calls, asked by hyper's traits.
    #[test]
    fn hypers_calls_reach_their_counterparts() {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut io = Io::new(Noted::default());
        let mut room = [0; 3];
        let mut buf = ReadBuf::new(&mut room);
        assert!(Read::poll_read(Pin::new(&mut io), cx, buf.unfilled()).is_ready());
        assert_eq!(buf.filled(), b"byt");
        let two = [IoSlice::new(b"ab"), IoSlice::new(b"c")];
        let written = [
            Write::poll_write(Pin::new(&mut io), cx, b"abcd"),
            Write::poll_write_vectored(Pin::new(&mut io), cx, &two),
        ];
        let written = written.map(|n| matches!(n, Poll::Ready(Ok(3 | 4))));
        assert_eq!(written, [true, true]);
        assert!(Write::poll_flush(Pin::new(&mut io), cx).is_ready());
        assert!(Write::poll_shutdown(Pin::new(&mut io), cx).is_ready());
        assert_eq!(io.get_ref().0, ALL);
        assert!(!io.is_write_vectored());
        assert!(io.vectored().is_write_vectored());
    }

    /// The same in the other direction. Method: one inside the other, so that every call is turned
    /// twice.
    #[test]
    fn calls_of_futures_reach_their_counterparts() {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut io = Io::new(Io::new(Noted::default()));
        let mut room = [0; 3];
        let read = AsyncRead::poll_read(Pin::new(&mut io), cx, &mut room);
        assert!(matches!(read, Poll::Ready(Ok(3))));
        assert_eq!(&room, b"byt");
        let two = [IoSlice::new(b"ab"), IoSlice::new(b"c")];
        assert!(AsyncWrite::poll_write(Pin::new(&mut io), cx, b"abcd").is_ready());
        assert!(AsyncWrite::poll_write_vectored(Pin::new(&mut io), cx, &two).is_ready());
        assert!(AsyncWrite::poll_flush(Pin::new(&mut io), cx).is_ready());
        assert!(AsyncWrite::poll_close(Pin::new(&mut io), cx).is_ready());
        assert_eq!(io.get_ref().get_ref().0, ALL);
    }
}
