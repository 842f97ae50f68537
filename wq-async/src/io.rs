//! Descriptors that tasks can wait for: what [`net`](crate::net) is made of, and for those of your
//! own.
//!
//! The traits are those of `futures-io`; `futures::io` and `futures-lite` have the methods. Files
//! on disk are always ready and have no place here: use `std::fs` in the task.

#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::by_ref::{reads_by_ref, writes_by_ref};
pub(crate) use crate::reactor::readiness::Direction;
use crate::reactor::readiness::{Bits, READABLE, WRITABLE};
use crate::reactor::{Reactor, Registration};

/// A descriptor that tasks can wait for: a pipe, a socket, a device, an `inotify` or a `timerfd`.
///
/// It is set to non-blocking and registered once, so that an attempt that succeeds costs one system
/// call. It works in tasks, in [`block_on`](crate::block_on), and under other executors. Any number
/// of futures may wait at once; of the tasks that use the `poll` methods and the
/// `AsyncRead` and `AsyncWrite` traits, the last one for each direction is woken.
///
/// # Cancellation
/// A dropped wait leaves no trace. No data is lost: an attempt happens inside a poll that answers.
///
/// # Examples
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// # wq::block_on(async {
/// let (ours, mut theirs) = UnixStream::pair()?;
/// let ours = wq::io::Async::new(ours)?;
/// let reader = wq::spawn(async move {
///     let mut room = [0; 16];
///     let n = ours.read_with(|mut stream| stream.read(&mut room)).await?;
///     Ok::<_, std::io::Error>(room[..n].to_vec())
/// });
/// theirs.write_all(b"hello")?;
/// assert_eq!(reader.await??, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[doc(alias = "AsyncFd")]
pub struct Async<T: AsFd> {
    registration: Registration,
    /// Always there until [`Async::into_inner`] or the drop.
    io: Option<T>,
}

impl<T: AsFd> Async<T> {
    /// Sets the descriptor to non-blocking and registers it.
    ///
    /// # Errors
    /// If the machine refuses: for a file on disk with `EPERM`, for a descriptor that is registered
    /// already with `EEXIST`. Also in a child that was forked from a process which has used this
    /// before.
    pub fn new(io: T) -> io::Result<Async<T>> {
        let flags = OFlag::from_bits_retain(fcntl(&io, FcntlArg::F_GETFL)?);
        if !flags.contains(OFlag::O_NONBLOCK) {
            fcntl(&io, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        }
        // An attempt finds out, and saves the wait if there is none.
        Async::registered(io, READABLE | WRITABLE)
    }

    /// Registers a non-blocking descriptor, of which this much is known.
    pub(crate) fn registered(io: T, known: Bits) -> io::Result<Async<T>> {
        let registration = Reactor::get()?.register(&io, known)?;
        Ok(Async {
            registration,
            io: Some(io),
        })
    }

    /// The descriptor.
    ///
    /// Whoever sets it to blocking has its readers block their workers.
    #[inline]
    pub fn get_ref(&self) -> &T {
        let Some(io) = &self.io else {
            unreachable!("only the drop and `into_inner` take it");
        };
        io
    }

    /// Ends the registration and gives the descriptor back, still non-blocking.
    ///
    /// # Errors
    /// None today.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    /// let ours = wq::io::Async::new(ours)?.into_inner()?;
    /// ours.set_nonblocking(false)?; // as it was
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn into_inner(mut self) -> io::Result<T> {
        let Some(io) = self.io.take() else {
            unreachable!("only the drop takes it");
        };
        self.registration.end(&io);
        Ok(io)
    }

    /// Waits until reading should not block.
    ///
    /// # Errors
    /// None today.
    ///
    /// # Examples
    /// ```
    /// use std::os::unix::net::UnixStream;
    ///
    /// # wq::block_on(async {
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let ours = wq::io::Async::new(ours)?;
    /// drop(theirs); // the end counts, too
    /// ours.readable().await?;
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Direction::Read).await
    }

    /// Waits until writing should not block.
    ///
    /// # Errors
    /// None today.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Direction::Write).await
    }

    /// See [`Async::readable`].
    async fn ready(&self, direction: Direction) -> io::Result<()> {
        let mut waited = false;
        self.attempt(direction, move |_| {
            // What is known may be out of date the first time: ask the machine.
            if std::mem::replace(&mut waited, true) || is_ready(self, direction) {
                return Ok(());
            }
            Err(io::ErrorKind::WouldBlock.into())
        })
        .await
    }

    /// Makes an attempt whenever reading should not block, until one does not end with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock).
    ///
    /// An attempt is one call of the machine: `read_exact` and the like would lose what they have
    /// read when the rest would block.
    ///
    /// # Errors
    /// Those of the attempt.
    pub async fn read_with<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.attempt(Direction::Read, op).await
    }

    /// Makes an attempt whenever writing should not block, until one does not end with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock).
    ///
    /// # Errors
    /// Those of the attempt.
    ///
    /// # Examples
    /// ```
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    ///
    /// # wq::block_on(async {
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// let ours = wq::io::Async::new(ours)?;
    /// assert_eq!(ours.write_with(|mut stream| stream.write(b"x")).await?, 1);
    /// theirs.read_exact(&mut [0])?;
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn write_with<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.attempt(Direction::Write, op).await
    }

    /// The future of [`Async::read_with`] and the like.
    pub(crate) fn attempt<R, F>(&self, direction: Direction, op: F) -> Attempt<'_, T, F>
    where
        F: FnMut(&T) -> io::Result<R>,
    {
        Attempt {
            io: self,
            direction,
            op,
            number: None,
        }
    }

    /// As [`Async::read_with`], for the one task that polls.
    ///
    /// # Errors
    /// Those of the attempt.
    #[inline]
    pub fn poll_read_with<R>(
        &self,
        cx: &mut Context<'_>,
        op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_attempt(cx, Direction::Read, None, op)
    }

    /// As [`Async::write_with`], for the one task that polls.
    ///
    /// # Errors
    /// Those of the attempt.
    #[inline]
    pub fn poll_write_with<R>(
        &self,
        cx: &mut Context<'_>,
        op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_attempt(cx, Direction::Write, None, op)
    }

    /// Attempts until one answers, or nothing is known that speaks for another one.
    #[inline]
    fn poll_attempt<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        number: Option<u32>,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let slot = self.registration.slot();
        loop {
            let seen = ready!(slot.poll_ready(cx, direction, number));
            match op(self.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    slot.readiness.lower(seen, direction);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                answer => return Poll::Ready(answer),
            }
        }
    }

    /// As [`Async::poll_read_with`], for a stream of bytes: an attempt that did not fill `room`
    /// bytes has taken all there was, which saves the attempt that would say so.
    #[inline]
    pub(crate) fn poll_stream(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        room: usize,
        mut op: impl FnMut(&T) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let slot = self.registration.slot();
        loop {
            let seen = ready!(slot.poll_ready(cx, direction, None));
            match op(self.get_ref()) {
                Ok(n) => {
                    if 0 < n && n < room && seen.reads_all() {
                        slot.readiness.use_up(seen, direction);
                    }
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    slot.readiness.lower(seen, direction);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                answer => return Poll::Ready(answer),
            }
        }
    }
}

/// What the machine says now.
fn is_ready<T: AsFd>(io: &Async<T>, direction: Direction) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let wanted = match direction {
        Direction::Read => PollFlags::POLLIN,
        Direction::Write => PollFlags::POLLOUT,
    };
    let mut fds = [PollFd::new(io.get_ref().as_fd(), wanted)];
    // An error counts as ready: the attempt tells it.
    poll(&mut fds, PollTimeout::ZERO) != Ok(0)
}

impl<T: AsFd> Drop for Async<T> {
    fn drop(&mut self) {
        if let Some(io) = &self.io {
            self.registration.end(io);
        }
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Async<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Async").field(self.get_ref()).finish()
    }
}

impl<T: AsFd> AsFd for Async<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

/// A future that attempts something until it does not block.
pub(crate) struct Attempt<'a, T: AsFd, F> {
    io: &'a Async<T>,
    direction: Direction,
    op: F,
    /// Its number among those that wait, once it has waited.
    number: Option<u32>,
}

// The closure is called and never pinned.
impl<T: AsFd, F> Unpin for Attempt<'_, T, F> {}

impl<T: AsFd, R, F: FnMut(&T) -> io::Result<R>> Future for Attempt<'_, T, F> {
    type Output = io::Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let slot = this.io.registration.slot();
        let number = *this.number.get_or_insert_with(|| slot.number());
        this.io
            .poll_attempt(cx, this.direction, Some(number), &mut this.op)
    }
}

impl<T: AsFd, F> Drop for Attempt<'_, T, F> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.io.registration.slot().forget(self.direction, number);
        }
    }
}

impl<T: AsFd> AsyncRead for &Async<T>
where
    for<'a> &'a T: Read,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_with(cx, |mut io| io.read(buf))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_with(cx, |mut io| io.read_vectored(bufs))
    }
}

impl<T: AsFd> AsyncWrite for &Async<T>
where
    for<'a> &'a T: Write,
{
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |mut io| io.write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |mut io| io.write_vectored(bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Most have nothing to flush, and so nothing to wait for.
        match self.get_ref().flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.poll_write_with(cx, |mut io| io.flush())
            }
            answer => Poll::Ready(answer),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What closing means is the descriptor's business; its drop does it.
        self.poll_flush(cx)
    }
}

reads_by_ref!([T: AsFd] Async<T>, [for<'a> &'a T: Read], |io| io);
writes_by_ref!([T: AsFd] Async<T>, [for<'a> &'a T: Write], |io| io);
