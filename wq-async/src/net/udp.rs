//! UDP.

#![forbid(unsafe_code)]

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use super::addr::{ToSocketAddrs, first_that};
use crate::descriptor::descriptor;
use crate::io::Async;

/// A UDP socket.
///
/// Several tasks may send and receive at once through a shared reference.
///
/// # Examples
/// ```
/// use wq::net::UdpSocket;
///
/// # wq::block_on(async {
/// let one = UdpSocket::bind("127.0.0.1:0").await?;
/// let other = UdpSocket::bind("127.0.0.1:0").await?;
/// one.send_to(b"hello", other.local_addr()?).await?;
/// let mut datagram = [0; 16];
/// let (len, from) = other.recv_from(&mut datagram).await?;
/// assert_eq!((&datagram[..len], from), (&b"hello"[..], one.local_addr()?));
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    io: Async<std::net::UdpSocket>,
}

impl UdpSocket {
    /// A socket on the first of the addresses that can be had.
    ///
    /// # Errors
    /// If none can be had, that of the last one; those of the resolver.
    pub async fn bind<A: ToSocketAddrs>(address: A) -> io::Result<UdpSocket> {
        let target = address.to_target();
        drop(address);
        first_that(target, async |address| {
            std::net::UdpSocket::bind(address)?.try_into()
        })
        .await
    }

    /// Sends to, and receives from, this peer alone.
    ///
    /// # Errors
    /// If no address can be had, that of the last one; those of the resolver.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let one = wq::net::UdpSocket::bind("127.0.0.1:0").await?;
    /// let other = wq::net::UdpSocket::bind("127.0.0.1:0").await?;
    /// one.connect(other.local_addr()?).await?;
    /// other.connect(one.local_addr()?).await?;
    /// one.send(b"hello").await?;
    /// let mut datagram = [0; 16];
    /// assert_eq!(other.recv(&mut datagram).await?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn connect<A: ToSocketAddrs>(&self, address: A) -> io::Result<()> {
        let target = address.to_target();
        drop(address);
        first_that(target, async |address| self.io.get_ref().connect(address)).await
    }

    /// Sends a datagram to an address.
    ///
    /// # Errors
    /// Those of `sendto`; a datagram that is too large is not sent.
    pub async fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], target: A) -> io::Result<usize> {
        let to = target.to_target();
        drop(target);
        first_that(to, async |address| {
            self.io.write_with(|io| io.send_to(buf, address)).await
        })
        .await
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

    /// As [`recv_from`](Self::recv_from), and leaves the datagram where it is.
    ///
    /// # Errors
    /// Those of `recvfrom`.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let one = wq::net::UdpSocket::bind("127.0.0.1:0").await?;
    /// let other = wq::net::UdpSocket::bind("127.0.0.1:0").await?;
    /// one.send_to(b"hello", other.local_addr()?).await?;
    /// let mut datagram = [0; 16];
    /// let seen = other.peek_from(&mut datagram).await?;
    /// assert_eq!(other.recv_from(&mut datagram).await?, seen);
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.io.read_with(|io| io.peek_from(buf)).await
    }

    /// Sends a datagram to the connected peer.
    ///
    /// # Errors
    /// Those of `send`, also an earlier datagram's: "connection refused" tells that nobody was
    /// there.
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

    /// As [`recv_from`](Self::recv_from), for the one task that polls.
    ///
    /// # Errors
    /// Those of `recvfrom`.
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.io.poll_read_with(cx, |io| io.recv_from(buf))
    }

    /// As [`send_to`](Self::send_to), for the one task that polls.
    ///
    /// # Errors
    /// Those of `sendto`.
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.io.poll_write_with(cx, |io| io.send_to(buf, target))
    }

    /// Receives a datagram that is there.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if none is.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let socket = wq::net::UdpSocket::bind("127.0.0.1:0").await?;
    /// let nothing = socket.try_recv_from(&mut [0; 16]).unwrap_err();
    /// assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.io.get_ref().recv_from(buf)
    }

    /// Sends a datagram if there is room.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is none.
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.io.get_ref().send_to(buf, target)
    }

    /// Waits until there is a datagram.
    ///
    /// # Errors
    /// None today.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let one = wq::net::UdpSocket::bind("127.0.0.1:0").await?;
    /// let other = wq::net::UdpSocket::bind("127.0.0.1:0").await?;
    /// one.send_to(b"hello", other.local_addr()?).await?;
    /// other.readable().await?;
    /// assert_eq!(other.try_recv_from(&mut [0; 16])?.0, 5);
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Waits until there is room for one.
    ///
    /// # Errors
    /// None today.
    pub async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Its address.
    ///
    /// # Errors
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    /// The peer that it is connected to.
    ///
    /// # Errors
    /// If it is connected to none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().peer_addr()
    }

    /// Allows datagrams to all of a network, or not.
    ///
    /// # Errors
    /// Those of `setsockopt`.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.io.get_ref().set_broadcast(broadcast)
    }

    /// Joins a group on the interface with this address; the unspecified one leaves the choice to
    /// the kernel.
    ///
    /// # Errors
    /// Those of `setsockopt`.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.io.get_ref().join_multicast_v4(&group, &interface)
    }

    /// Leaves a group.
    ///
    /// # Errors
    /// Those of `setsockopt`.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.io.get_ref().leave_multicast_v4(&group, &interface)
    }

    /// Joins a group on the interface with this number; 0 lets the kernel choose.
    ///
    /// # Errors
    /// Those of `setsockopt`.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.io.get_ref().join_multicast_v6(group, interface)
    }

    /// Leaves a group.
    ///
    /// # Errors
    /// Those of `setsockopt`.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.io.get_ref().leave_multicast_v6(group, interface)
    }

    /// Gives the socket to the standard library, still non-blocking.
    ///
    /// # Errors
    /// None today.
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        self.io.into_inner()
    }
}

impl TryFrom<std::net::UdpSocket> for UdpSocket {
    type Error = io::Error;

    /// Sets the socket to non-blocking and registers it.
    fn try_from(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        Ok(UdpSocket {
            io: Async::new(socket)?,
        })
    }
}

descriptor!(UdpSocket);
