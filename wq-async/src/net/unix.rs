//! Unix domain sockets.

#![forbid(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::unix::net::{self as std_unix, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use socket2::{Domain, SockAddr, Socket, Type};

use super::back_off::{BackOff, Pause};
use super::split::{self, OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use super::stream::stream;
use crate::by_ref::{reads_by_ref, writes_by_ref};
use crate::descriptor::descriptor;
use crate::io::{Async, Direction};

/// A Unix domain socket that accepts connections.
///
/// Its path is not removed when it is dropped.
///
/// # Examples
/// ```
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
/// use wq::net::{UnixListener, UnixStream};
///
/// # wq::block_on(async {
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("socket");
/// let listener = UnixListener::bind(&path)?;
/// let mut client = UnixStream::connect(&path).await?;
/// let (mut server, _) = listener.accept().await?;
/// client.write_all(b"x").await?;
/// let mut byte = [0];
/// server.read_exact(&mut byte).await?;
/// assert_eq!(&byte, b"x");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct UnixListener {
    io: Async<std_unix::UnixListener>,
    back_off: BackOff,
}

/// A Unix domain connection.
///
/// # Examples
/// ```
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
/// use wq::net::UnixStream;
///
/// # wq::block_on(async {
/// let (mut one, mut other) = UnixStream::pair()?;
/// one.write_all(b"hello").await?;
/// let mut text = [0; 5];
/// other.read_exact(&mut text).await?;
/// assert_eq!(&text, b"hello");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct UnixStream {
    io: Async<std_unix::UnixStream>,
}

/// A Unix domain socket for datagrams.
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// let (one, other) = wq::net::UnixDatagram::pair()?;
/// one.send(b"hello").await?;
/// let mut datagram = [0; 16];
/// assert_eq!(other.recv(&mut datagram).await?, 5);
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct UnixDatagram {
    io: Async<std_unix::UnixDatagram>,
}

impl UnixListener {
    /// Listens at a path, which must not exist yet.
    ///
    /// # Errors
    /// Those of `bind` and `listen`.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        std_unix::UnixListener::bind(path)?.try_into()
    }

    /// Accepts a connection. Several tasks may do so at once.
    ///
    /// # Errors
    /// As for [`TcpListener::accept`](super::TcpListener::accept), with the same waits.
    ///
    /// # Cancellation
    /// Dropping the future loses no connection.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let failures = self.back_off.wait().await;
        let accepted = self.io.read_with(std_unix::UnixListener::accept).await;
        let accepted = accepted.and_then(|(stream, peer)| Ok((stream.try_into()?, peer)));
        self.back_off.note(failures, &accepted);
        accepted
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }
}

impl TryFrom<std_unix::UnixListener> for UnixListener {
    type Error = io::Error;

    /// Sets the listener to non-blocking and registers it.
    fn try_from(listener: std_unix::UnixListener) -> io::Result<UnixListener> {
        Ok(UnixListener {
            io: Async::new(listener)?,
            back_off: BackOff::default(),
        })
    }
}

impl UnixStream {
    /// Connects to whoever listens at a path.
    ///
    /// # Errors
    /// Those of `connect`.
    ///
    /// # Cancellation
    /// Dropping the future closes the socket.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        let address = SockAddr::unix(path)?;
        let mut pause = Pause::up_to(FULL_BACKLOG_PAUSE);
        loop {
            match socket.connect(&address) {
                Ok(()) => break,
                // The listener's queue is full, which no descriptor tells the end of.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => pause.wait().await,
                Err(error) => return Err(error),
            }
        }
        std_unix::UnixStream::from(socket).try_into()
    }

    /// Two connected streams.
    ///
    /// # Errors
    /// Those of `socketpair`.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = std_unix::UnixStream::pair()?;
        Ok((one.try_into()?, other.try_into()?))
    }

    /// The peer's address.
    ///
    /// # Errors
    /// If the peer has gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().peer_addr()
    }

    /// Its own address.
    ///
    /// # Errors
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }
}

/// The longest wait of a connect before it asks a listener with a full queue again.
const FULL_BACKLOG_PAUSE: Duration = Duration::from_secs(1);

/// The longest wait before a datagram is tried again whose receiver has no room.
const FULL_RECEIVER_PAUSE: Duration = Duration::from_millis(16);

// A read ends behind a piece that descriptors were sent with, though there is more: none is known
// to have taken all.
stream!(UnixStream, std_unix::UnixStream, |_| 0);

impl UnixDatagram {
    /// A socket at a path, which must not exist yet.
    ///
    /// # Errors
    /// Those of `bind`.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        std_unix::UnixDatagram::bind(path)?.try_into()
    }

    /// A socket without an address.
    ///
    /// # Errors
    /// Those of `socket`.
    pub fn unbound() -> io::Result<UnixDatagram> {
        std_unix::UnixDatagram::unbound()?.try_into()
    }

    /// Two connected sockets.
    ///
    /// # Errors
    /// Those of `socketpair`.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = std_unix::UnixDatagram::pair()?;
        Ok((one.try_into()?, other.try_into()?))
    }

    /// Sends to, and receives from, this peer alone.
    ///
    /// # Errors
    /// Those of `connect`.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.io.get_ref().connect(path)
    }

    /// Sends a datagram to a path.
    ///
    /// # Errors
    /// Those of `sendto`.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let directory = tempfile::tempdir()?;
    /// let path = directory.path().join("socket");
    /// let receiver = wq::net::UnixDatagram::bind(&path)?;
    /// wq::net::UnixDatagram::unbound()?.send_to(b"hello", &path).await?;
    /// let (length, from) = receiver.recv_from(&mut [0; 16]).await?;
    /// assert!(length == 5 && from.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let path = path.as_ref();
        let mut pause = Pause::up_to(FULL_RECEIVER_PAUSE);
        loop {
            match self.io.get_ref().send_to(buf, path) {
                // This socket's descriptor does not tell when the receiver has room.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => pause.wait().await,
                answer => return answer,
            }
        }
    }

    /// Receives a datagram; what does not fit into `buf` is lost.
    ///
    /// # Errors
    /// Those of `recvfrom`.
    ///
    /// # Cancellation
    /// Dropping the future loses no datagram.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.io.read_with(|io| io.recv_from(buf)).await
    }

    /// Sends a datagram to the connected peer.
    ///
    /// # Errors
    /// Those of `send`.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.io.write_with(|io| io.send(buf)).await
    }

    /// Receives a datagram of the connected peer; what does not fit into `buf` is lost.
    ///
    /// # Errors
    /// Those of `recv`.
    ///
    /// # Cancellation
    /// Dropping the future loses no datagram.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io.read_with(|io| io.recv(buf)).await
    }

    /// Its address.
    ///
    /// # Errors
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }
}

impl TryFrom<std_unix::UnixDatagram> for UnixDatagram {
    type Error = io::Error;

    /// Sets the socket to non-blocking and registers it.
    fn try_from(socket: std_unix::UnixDatagram) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram {
            io: Async::new(socket)?,
        })
    }
}

descriptor!(UnixListener, UnixDatagram);
