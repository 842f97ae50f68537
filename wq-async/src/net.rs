//! Sockets: TCP, UDP and Unix domain, with the traits of `futures-io`.
//!
//! An idle worker waits for them in place of sleeping and runs the task that it hears of itself.
//! They work in tasks, in [`block_on`](crate::block_on), and under other executors; a thread that
//! is no worker is woken by one.
//!
//! | to | use |
//! |---|---|
//! | serve, connect | [`TcpListener`], [`TcpStream`], [`UnixListener`], [`UnixStream`] |
//! | send datagrams | [`UdpSocket`], [`UnixDatagram`] |
//! | read and write from two tasks | `split`, `into_split`: [`ReadHalf`], [`OwnedReadHalf`] |
//! | look a name up | [`lookup_host`], and every `connect` and `bind` |
//! | limit a wait | [`time::timeout`](crate::time::timeout) around it |
//! | set an option that has no method | `socket2::SockRef`, or make the socket and `TryFrom` |
//! | wait for another kind of descriptor | [`io::Async`](crate::io::Async) |
//!
//! # Fairness
//! A task whose socket always has data does not suspend. When others wait behind it, its lane is
//! handed on after a millisecond, as with any item that uses its CPU.
//!
//! # Platforms
//! Linux. Elsewhere, use a crate that brings its own reactor, such as `async-net`.
//!
//! # Examples
//! ```
//! use futures::io::{AsyncReadExt, AsyncWriteExt};
//! use wq::net::{TcpListener, TcpStream};
//!
//! # wq::block_on(async {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let server = wq::spawn(async move {
//!     let (mut peer, _) = listener.accept().await?;
//!     let mut text = String::new();
//!     peer.read_to_string(&mut text).await?;
//!     Ok::<_, std::io::Error>(text)
//! });
//! let mut client = TcpStream::connect(address).await?;
//! client.write_all(b"hello").await?;
//! client.close().await?;
//! assert_eq!(server.await??, "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

#![forbid(unsafe_code)]

mod addr;
mod back_off;
mod split;
mod stream;
mod tcp;
mod udp;
mod unix;

pub use self::addr::{ToSocketAddrs, lookup_host};
pub use self::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use self::tcp::{Incoming, TcpListener, TcpStream};
pub use self::udp::UdpSocket;
pub use self::unix::{UnixDatagram, UnixListener, UnixStream};
