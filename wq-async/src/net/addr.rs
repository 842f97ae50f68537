//! Addresses by name: what `connect` and `bind` take.
//!
//! A literal address costs nothing. A name is resolved by the system's resolver, which blocks, in
//! an item of the default queue: the manager replaces the worker for so long.

#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// What stands for one or more socket addresses.
///
/// Implemented for [`SocketAddr`] and its variants, slices of them, `(host, port)` pairs where the
/// host is an address or a name, and strings like `"localhost:80"`. Sealed: for another type,
/// resolve first.
pub trait ToSocketAddrs: sealed::Sealed {
    /// The addresses, or the name to look up.
    #[doc(hidden)]
    fn to_target(&self) -> Target;
}

/// What has to be done to get at the addresses.
#[doc(hidden)]
#[derive(Clone, Debug)]
#[expect(
    unnameable_types,
    reason = "nobody but this module implements the trait"
)]
pub enum Target {
    /// Nothing.
    Known(Vec<SocketAddr>),
    /// A name and a port to look up.
    Name(String, u16),
    /// A name with a port to look up.
    Text(String),
}

mod sealed {
    /// Keeps the trait to this module.
    #[expect(unnameable_types, reason = "so that nobody else implements it")]
    pub trait Sealed {}
}

/// Looks up the addresses of a host.
///
/// Literal addresses are answered at once; names by the system's resolver (`getaddrinfo`), which
/// blocks its own item of the default queue and nothing else.
///
/// # Errors
/// Those of the resolver. A text without a port is [`io::ErrorKind::InvalidInput`].
///
/// # Cancellation
/// Dropping the future abandons the answer; the resolver runs to its end.
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// let mut addresses = wq::net::lookup_host(("127.0.0.1", 80)).await?;
/// assert_eq!(addresses.next().map(|a| a.port()), Some(80));
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
#[doc(alias = "getaddrinfo")]
#[doc(alias = "resolve")]
pub async fn lookup_host<A: ToSocketAddrs>(
    host: A,
) -> io::Result<impl Iterator<Item = SocketAddr>> {
    let target = host.to_target();
    drop(host);
    resolve(target).await.map(Vec::into_iter)
}

/// See [`lookup_host`].
pub(super) async fn resolve(target: Target) -> io::Result<Vec<SocketAddr>> {
    let resolver = match target {
        Target::Known(addresses) => return Ok(addresses),
        Target::Name(host, port) => crate::spawn_fn(move || {
            std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port)).map(Vec::from_iter)
        }),
        Target::Text(text) => crate::spawn_fn(move || {
            std::net::ToSocketAddrs::to_socket_addrs(text.as_str()).map(Vec::from_iter)
        }),
    };
    // The only ways to fail are a System that shuts down and a panic in the resolver.
    resolver.await.map_err(io::Error::other)?
}

/// Tries each address until one works; the last error if none does.
pub(super) async fn first_that<T, F>(
    target: Target,
    mut attempt: impl FnMut(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut last = None;
    for address in resolve(target).await? {
        match attempt(address).await {
            Ok(done) => return Ok(done),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the name has no address: give one that resolves, or an address",
        )
    }))
}

/// A host that may be a literal address, with a port.
fn host_and_port(host: &str, port: u16) -> Target {
    match host.parse::<IpAddr>() {
        Ok(ip) => Target::Known(vec![SocketAddr::new(ip, port)]),
        Err(_) => Target::Name(host.into(), port),
    }
}

macro_rules! known {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {}
        impl ToSocketAddrs for $type {
            fn to_target(&self) -> Target {
                Target::Known(vec![SocketAddr::from(*self)])
            }
        }
    )*};
}

known!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl sealed::Sealed for [SocketAddr] {}
impl ToSocketAddrs for [SocketAddr] {
    fn to_target(&self) -> Target {
        Target::Known(self.to_vec())
    }
}

impl sealed::Sealed for str {}
impl ToSocketAddrs for str {
    fn to_target(&self) -> Target {
        match self.parse() {
            Ok(address) => Target::Known(vec![address]),
            Err(_) => Target::Text(self.into()),
        }
    }
}

impl sealed::Sealed for String {}
impl ToSocketAddrs for String {
    fn to_target(&self) -> Target {
        self.as_str().to_target()
    }
}

impl sealed::Sealed for (&str, u16) {}
impl ToSocketAddrs for (&str, u16) {
    fn to_target(&self) -> Target {
        host_and_port(self.0, self.1)
    }
}

impl sealed::Sealed for (String, u16) {}
impl ToSocketAddrs for (String, u16) {
    fn to_target(&self) -> Target {
        host_and_port(&self.0, self.1)
    }
}

impl<T: ToSocketAddrs + ?Sized> sealed::Sealed for &T {}
impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn to_target(&self) -> Target {
        (**self).to_target()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: literal addresses need no resolver, names do. Method: by the target.
    #[test]
    fn literals_are_known() {
        let known = |target| matches!(target, Target::Known(list) if list.len() == 1);
        assert!(known("127.0.0.1:80".to_target()));
        assert!(known("[::1]:80".to_target()));
        assert!(known(("::1", 80).to_target()));
        assert!(known((Ipv4Addr::LOCALHOST, 80).to_target()));
        assert!(matches!("localhost:80".to_target(), Target::Text(_)));
        assert!(matches!(("localhost", 80).to_target(), Target::Name(_, 80)));
    }
}
