//! What TCP and Unix streams have in common: reading, writing and closing.

#![forbid(unsafe_code)]

/// Implements the stream's methods and traits for a type whose field `io` is an `Async` of the
/// standard library's `$std`. `$full` says of how many bytes a read is full, given its room: one
/// that is not full has taken all there was.
macro_rules! stream {
    ($name:ident, $std:ty, $full:expr) => {
        impl $name {
            /// Gives the stream to the standard library, still non-blocking.
            ///
            /// # Errors
            /// None today.
            pub fn into_std(self) -> io::Result<$std> {
                self.io.into_inner()
            }

            /// Waits until there is something to read, or the end.
            ///
            /// # Errors
            /// None today.
            ///
            /// # Cancellation
            /// Dropping the future leaves no trace.
            pub async fn readable(&self) -> io::Result<()> {
                self.io.readable().await
            }

            /// Waits until there is room to write.
            ///
            /// # Errors
            /// None today.
            ///
            /// # Cancellation
            /// Dropping the future leaves no trace.
            pub async fn writable(&self) -> io::Result<()> {
                self.io.writable().await
            }

            /// Reads what there is now.
            ///
            /// # Errors
            /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is nothing.
            ///
            /// # Examples
            /// ```
            /// # wq::block_on(async {
            /// let (one, _other) = wq::net::UnixStream::pair()?;
            /// let nothing = one.try_read(&mut [0; 16]).unwrap_err();
            /// assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
            /// # Ok::<(), std::io::Error>(())
            /// # }).unwrap();
            /// ```
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                (&mut self.io.get_ref()).read(buf)
            }

            /// Writes what there is room for now.
            ///
            /// # Errors
            /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is none.
            pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                (&mut self.io.get_ref()).write(buf)
            }

            /// Closes one or both directions. The peer reads the end; the descriptor stays.
            ///
            /// # Errors
            /// If the stream is not connected any more.
            ///
            /// # Examples
            /// ```
            /// use futures::io::AsyncReadExt;
            ///
            /// # wq::block_on(async {
            /// let (one, mut other) = wq::net::UnixStream::pair()?;
            /// one.shutdown(std::net::Shutdown::Write)?;
            /// assert_eq!(other.read(&mut [0; 16]).await?, 0); // the end
            /// # Ok::<(), std::io::Error>(())
            /// # }).unwrap();
            /// ```
            pub fn shutdown(&self, how: std::net::Shutdown) -> io::Result<()> {
                self.io.get_ref().shutdown(how)
            }

            /// A half for reading and one for writing, for one task or a scope.
            ///
            /// # Examples
            /// ```
            /// use futures::io::{AsyncReadExt, AsyncWriteExt};
            ///
            /// # wq::block_on(async {
            /// let (mut one, mut other) = wq::net::UnixStream::pair()?;
            /// let (mut reading, mut writing) = one.split();
            /// other.write_all(b"x").await?;
            /// let mut byte = [0];
            /// let both = futures::future::join(reading.read(&mut byte), writing.write(b"y"));
            /// assert!(matches!(both.await, (Ok(1), Ok(1))));
            /// # Ok::<(), std::io::Error>(())
            /// # }).unwrap();
            /// ```
            pub fn split(&mut self) -> (ReadHalf<'_, $name>, WriteHalf<'_, $name>) {
                let stream: &$name = self;
                (ReadHalf::new(stream), WriteHalf::new(stream))
            }

            /// A half for reading and one for writing, for two tasks. Dropping the half for writing
            /// closes that direction.
            ///
            /// # Examples
            /// ```
            /// use futures::io::{AsyncReadExt, AsyncWriteExt};
            ///
            /// # wq::block_on(async {
            /// let (one, mut other) = wq::net::UnixStream::pair()?;
            /// let (mut reading, mut writing) = one.into_split();
            /// let writer = wq::spawn(async move { writing.write_all(b"x").await });
            /// let mut byte = [0];
            /// other.read_exact(&mut byte).await?;
            /// drop(other);
            /// assert_eq!(reading.read(&mut byte).await?, 0);
            /// writer.await.unwrap()?;
            /// # Ok::<(), std::io::Error>(())
            /// # }).unwrap();
            /// ```
            pub fn into_split(self) -> (OwnedReadHalf<$name>, OwnedWriteHalf<$name>) {
                split::owned(self)
            }
        }

        impl TryFrom<$std> for $name {
            type Error = io::Error;

            /// Sets the stream to non-blocking and registers it.
            fn try_from(stream: $std) -> io::Result<$name> {
                let io = Async::new(stream)?;
                Ok($name { io })
            }
        }

        impl split::Close for $name {
            fn close_writing(&self) {
                // It fails if the peer has gone, which is as good.
                let _ = self.shutdown(std::net::Shutdown::Write);
            }
        }

        descriptor!($name);

        impl AsyncRead for &$name {
            #[inline]
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let full: fn(usize) -> usize = $full;
                let room = full(buf.len());
                self.io
                    .poll_stream(cx, Direction::Read, room, |mut io| io.read(buf))
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let full: fn(usize) -> usize = $full;
                let room = full(bufs.iter().map(|buf| buf.len()).sum());
                self.io
                    .poll_stream(cx, Direction::Read, room, |mut io| io.read_vectored(bufs))
            }
        }

        impl AsyncWrite for &$name {
            #[inline]
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                let room = buf.len();
                self.io
                    .poll_stream(cx, Direction::Write, room, |mut io| io.write(buf))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let room = bufs.iter().map(|buf| buf.len()).sum();
                self.io
                    .poll_stream(cx, Direction::Write, room, |mut io| io.write_vectored(bufs))
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(match self.shutdown(std::net::Shutdown::Write) {
                    // Closed twice, or the peer was sooner.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                    answer => answer,
                })
            }
        }

        reads_by_ref!([] $name, [], |stream| stream);
        writes_by_ref!([] $name, [], |stream| stream);
    };
}

pub(super) use stream;
