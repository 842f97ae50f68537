//! TCP: listeners and streams.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::SockFlag;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::addr::{ToSocketAddrs, first_that};
use super::back_off::BackOff;
use super::split::{self, OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use super::stream::stream;
use crate::by_ref::{reads_by_ref, writes_by_ref};
use crate::descriptor::descriptor;
use crate::io::{Async, Direction};
use crate::reactor::readiness::{READABLE, WRITABLE};

/// Connections that the kernel keeps until they are accepted; it cuts this to its own limit.
const BACKLOG: i32 = 4096;

/// A socket that accepts connections.
///
/// # Examples
/// ```no_run
/// # async fn serve(stream: wq::net::TcpStream) {}
/// # wq::block_on(async {
/// let listener = wq::net::TcpListener::bind(("0.0.0.0", 8080)).await?;
/// loop {
///     let (stream, _peer) = listener.accept().await?;
///     drop(wq::spawn(serve(stream)));
/// }
/// # Ok::<(), std::io::Error>(())
/// # });
/// ```
#[derive(Debug)]
pub struct TcpListener {
    io: Async<std::net::TcpListener>,
    back_off: BackOff,
}

/// A TCP connection.
///
/// Reads and writes with the traits of `futures-io`, also through a shared reference. Dropping it
/// closes it.
///
/// # Examples
/// ```no_run
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
///
/// # wq::block_on(async {
/// let mut stream = wq::net::TcpStream::connect(("example.org", 80)).await?;
/// stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
/// let mut answer = String::new();
/// stream.read_to_string(&mut answer).await?;
/// # Ok::<(), std::io::Error>(())
/// # });
/// ```
#[derive(Debug)]
pub struct TcpStream {
    io: Async<std::net::TcpStream>,
}

impl TcpListener {
    /// Listens on the first of the addresses that can be had. `SO_REUSEADDR` is set.
    ///
    /// # Errors
    /// If none can be had, that of the last one; those of the resolver.
    pub async fn bind<A: ToSocketAddrs>(address: A) -> io::Result<TcpListener> {
        let target = address.to_target();
        drop(address);
        first_that(target, async |address| {
            let socket = new_socket(address)?;
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            TcpListener::registered(socket.into())
        })
        .await
    }

    /// Of a non-blocking socket.
    fn registered(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        Ok(TcpListener {
            io: Async::registered(listener, READABLE)?,
            back_off: BackOff::default(),
        })
    }

    /// Accepts a connection. Several tasks may do so at once.
    ///
    /// # Errors
    /// If the machine lacks descriptors or memory for it (`EMFILE` and the like): the connection
    /// stays in the kernel's queue, and the next call waits first, from a millisecond to a second,
    /// longer with each failure in a row; one that was accepted and could not be registered is
    /// closed. A connection that ended before it was accepted is no error: the next one is taken.
    ///
    /// # Cancellation
    /// Dropping the future loses no connection.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let listener = wq::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let client = wq::net::TcpStream::connect(listener.local_addr()?).await?;
    /// let (server, peer) = listener.accept().await?;
    /// assert_eq!(peer, client.local_addr()?);
    /// assert_eq!(server.peer_addr()?, peer);
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let failures = self.back_off.wait().await;
        let accepted = self.io.read_with(accept_one).await;
        let accepted = accepted.and_then(|(stream, peer)| {
            let io = Async::registered(stream, READABLE | WRITABLE)?;
            Ok((TcpStream { io }, peer))
        });
        self.back_off.note(failures, &accepted);
        accepted
    }

    /// The connections, one after the other; the stream never ends. Errors are those of
    /// [`accept`](Self::accept).
    ///
    /// # Examples
    /// ```
    /// use futures::StreamExt;
    /// use wq::net::{TcpListener, TcpStream};
    ///
    /// # wq::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let _client = TcpStream::connect(listener.local_addr()?).await?;
    /// let first = listener.incoming().next().await.expect("it does not end")?;
    /// assert_eq!(first.local_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming {
            listener: self,
            next: None,
        }
    }

    /// The address that it listens on: with port 0, the one that the kernel chose.
    ///
    /// # Errors
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    /// Gives the listener to the standard library, still non-blocking.
    ///
    /// # Errors
    /// None today.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        self.io.into_inner()
    }
}

/// One attempt to accept, over those that ended while they waited.
fn accept_one(listener: &std::net::TcpListener) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    // SOCK_CLOEXEC is set by the call itself.
    let flags = (SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC).bits();
    loop {
        match SockRef::from(listener).accept4(flags) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
            Ok((socket, peer)) => {
                let peer = peer.as_socket().ok_or_else(|| {
                    io::Error::other("the connection came from an address that is not of IP")
                })?;
                return Ok((socket.into(), peer));
            }
        }
    }
}

/// The connections of a [`TcpListener`], as a stream.
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// let listener = wq::net::TcpListener::bind("127.0.0.1:0").await?;
/// let incoming: wq::net::Incoming<'_> = listener.incoming();
/// drop(incoming); // no connection is lost
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct Incoming<'a> {
    listener: &'a TcpListener,
    next: Option<NextConnection<'a>>,
}

/// The future of the next connection.
type NextConnection<'a> =
    Pin<Box<dyn Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send + 'a>>;

impl std::fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Incoming").field(self.listener).finish()
    }
}

impl Stream for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let listener = self.listener;
        let next = self.next.get_or_insert_with(|| Box::pin(listener.accept()));
        let accepted = ready!(next.as_mut().poll(cx));
        self.next = None;
        Poll::Ready(Some(accepted.map(|(stream, _)| stream)))
    }
}

impl TryFrom<std::net::TcpListener> for TcpListener {
    type Error = io::Error;

    /// Sets the listener to non-blocking and registers it.
    fn try_from(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        TcpListener::registered(listener)
    }
}

descriptor!(TcpListener);

/// A non-blocking TCP socket of the address's family.
fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking();
    Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))
}

impl TcpStream {
    /// Connects to the first of the addresses that answers.
    ///
    /// # Errors
    /// If none answers, that of the last one; those of the resolver.
    ///
    /// # Cancellation
    /// Dropping the future closes the socket.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let listener = wq::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let stream = wq::net::TcpStream::connect(listener.local_addr()?).await?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn connect<A: ToSocketAddrs>(address: A) -> io::Result<TcpStream> {
        let target = address.to_target();
        drop(address);
        first_that(target, TcpStream::connect_to).await
    }

    /// Connects to this address.
    async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
        let socket = new_socket(address)?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(nix::libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        // Nothing is known yet: the first event tells that the attempt is over.
        let io = Async::registered(std::net::TcpStream::from(socket), 0)?;
        io.writable().await?;
        match io.get_ref().take_error()? {
            Some(error) => Err(error),
            None => Ok(TcpStream { io }),
        }
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

    /// Whether small writes are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// Those of `getsockopt`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.io.get_ref().nodelay()
    }

    /// Has small writes sent at once, or collected (the default).
    ///
    /// # Errors
    /// Those of `setsockopt`.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let listener = wq::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let stream = wq::net::TcpStream::connect(listener.local_addr()?).await?;
    /// stream.set_nodelay(true)?;
    /// assert!(stream.nodelay()?);
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.io.get_ref().set_nodelay(nodelay)
    }

    /// Hops that packets may take.
    ///
    /// # Errors
    /// Those of `getsockopt`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.io.get_ref().ttl()
    }

    /// Sets the hops that packets may take.
    ///
    /// # Errors
    /// Those of `setsockopt`.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.io.get_ref().set_ttl(ttl)
    }

    /// Reads without taking what was read away.
    ///
    /// # Errors
    /// As for reading.
    ///
    /// # Examples
    /// ```
    /// use futures::io::{AsyncReadExt, AsyncWriteExt};
    /// use wq::net::{TcpListener, TcpStream};
    ///
    /// # wq::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let mut client = TcpStream::connect(listener.local_addr()?).await?;
    /// let (mut server, _) = listener.accept().await?;
    /// client.write_all(b"x").await?;
    /// let mut byte = [0];
    /// assert_eq!(server.peek(&mut byte).await?, 1);
    /// server.read_exact(&mut byte).await?; // it is still there
    /// assert_eq!(&byte, b"x");
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io.read_with(|io| io.peek(buf)).await
    }

    /// Sends up to `len` bytes of `file` from `offset` on, without a copy through the program
    /// (`sendfile`). The number that was sent is smaller if the file ends.
    ///
    /// A part of the file that is not in memory is read from the disk meanwhile, which blocks this
    /// worker; another one takes over.
    ///
    /// # Errors
    /// Those of `sendfile`; what was sent before the error is not told.
    ///
    /// # Cancellation
    /// Dropping the future leaves a part of the file sent.
    pub async fn send_file(&self, file: &File, offset: u64, len: u64) -> io::Result<u64> {
        let mut sent = 0;
        while sent < len {
            let mut at = i64::try_from(offset + sent).map_err(io::Error::other)?;
            let count = usize::try_from(len - sent).unwrap_or(usize::MAX);
            let done = self
                .io
                .write_with(|io| Ok(sendfile64(io, file, Some(&mut at), count)?))
                .await?;
            if done == 0 {
                break;
            }
            sent += done as u64;
        }
        Ok(sent)
    }
}

// A read that does not fill its room has taken all there is.
stream!(TcpStream, std::net::TcpStream, |room| room);
