//! Echo over TCP on the loopback: what a message costs there and back.
//!
//! Both ends are in one process and on one runtime. Connections are made, and registered with the
//! runtime, before anything is measured; in an iteration a task for each connection sends messages
//! and waits for each to come back. The bare row has a thread for each end, which waits in a raw
//! `epoll` for all of its sockets.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::thread;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use wq_benches::Bench;

use super::Latch;
use crate::runtime::{Runtime, Wire};

/// How much goes over how many connections.
#[derive(Clone, Copy)]
pub(super) struct Echo {
    /// Connections.
    pub(super) connections: usize,
    /// Bytes of a message.
    pub(super) len: usize,
}

/// Messages of an iteration, over all connections; at least a few for each.
const MESSAGES: usize = 1024;
/// The fewest for each connection.
const FEWEST: usize = 4;

impl Echo {
    /// Messages for each connection and iteration.
    fn messages(self) -> usize {
        (MESSAGES / self.connections).max(FEWEST)
    }

    /// The same for all connections.
    fn all_messages(self) -> usize {
        self.messages() * self.connections
    }

    /// Connected sockets that do not block: those of the clients, those of the server.
    fn connect(self) -> io::Result<(Vec<TcpStream>, Vec<TcpStream>)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mut ends = (Vec::new(), Vec::new());
        for _ in 0..self.connections {
            let client = TcpStream::connect(address)?;
            let (server, _) = listener.accept()?;
            for socket in [&client, &server] {
                socket.set_nonblocking(true)?;
                socket.set_nodelay(true)?;
            }
            ends.0.push(client);
            ends.1.push(server);
        }
        Ok(ends)
    }
}

/// The case on a runtime.
pub(super) fn echo<R: Runtime>(runtime: R, bench: &mut Bench, shape: Echo) {
    let (clients, servers) = shape.connect().expect("loopback connections");
    let clients: Vec<_> = clients
        .into_iter()
        .map(|client| Arc::new(Mutex::new(End::<R::Wire>::Socket(client))))
        .collect();
    for server in servers {
        R::detach(runtime.spawn_outside(serve::<R::Wire>(server, shape.len)));
    }
    let latch = Latch::new();
    bench.iter(shape.all_messages() as u64, || {
        latch.expect(shape.connections);
        let (latch, clients) = (Arc::clone(&latch), clients.clone());
        runtime.run_root(async move {
            for client in clients {
                R::detach(R::spawn(exchange(client, shape, Arc::clone(&latch))));
            }
            latch.wait().await;
        });
    });
}

/// A client's end between iterations.
enum End<W> {
    /// Not registered yet, which is done on the runtime.
    Socket(TcpStream),
    /// Registered.
    Wire(W),
    /// A task has it.
    Lent,
}

impl<W: Wire> End<W> {
    /// Takes it, registered.
    fn lend(&mut self) -> W {
        match std::mem::replace(self, End::Lent) {
            End::Socket(socket) => W::adopt(socket).expect("the socket is registered"),
            End::Wire(wire) => wire,
            End::Lent => panic!("one task at a time has a client's end"),
        }
    }
}

/// Sends messages and waits for each to come back.
async fn exchange<W: Wire>(client: Arc<Mutex<End<W>>>, shape: Echo, latch: Arc<Latch>) {
    let mut wire = client.lock().expect("no task panics").lend();
    let message = vec![7; shape.len];
    let mut back = vec![0; shape.len];
    for _ in 0..shape.messages() {
        wire.write_all(&message).await.expect("the server takes it");
        let mut got = 0;
        while got < shape.len {
            let n = wire.read(&mut back[got..]).await;
            got += n.expect("the server answers");
        }
    }
    *client.lock().expect("no task panics") = End::Wire(wire);
    latch.arrive();
}

/// Sends back what comes.
async fn serve<W: Wire>(socket: TcpStream, len: usize) {
    let mut wire = W::adopt(socket).expect("the socket is registered");
    let mut room = vec![0; len.max(1024)];
    while let Ok(n) = wire.read(&mut room).await {
        if n == 0 || wire.write_all(&room[..n]).await.is_err() {
            return;
        }
    }
}

/// The case without a runtime.
pub(super) fn echo_bare(bench: &mut Bench, shape: Echo) {
    let (mut clients, servers) = shape.connect().expect("loopback connections");
    thread::spawn(move || serve_all(servers, shape.len).expect("epoll works"));
    let epoll = watch_all(&clients).expect("epoll works");
    bench.iter(shape.all_messages() as u64, || {
        exchange_all(&epoll, &mut clients, shape).expect("epoll works");
    });
}

/// An epoll with all these sockets, edge-triggered, named by their place.
fn watch_all(sockets: &[TcpStream]) -> io::Result<Epoll> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (place, socket) in sockets.iter().enumerate() {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(socket.as_fd(), EpollEvent::new(flags, place as u64))?;
    }
    Ok(epoll)
}

/// Events that are taken at a time.
const EVENTS: usize = 256;

/// The server's thread: sends back what comes, until the process ends.
fn serve_all(mut sockets: Vec<TcpStream>, len: usize) -> io::Result<()> {
    let epoll = watch_all(&sockets)?;
    let mut events = [EpollEvent::empty(); EVENTS];
    let mut room = vec![0; len.max(1024)];
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..ready] {
            let socket = &mut sockets[event.data() as usize];
            while let Some(n) = if_ready(socket.read(&mut room))? {
                write_all(socket, &room[..n])?;
                if n < room.len() {
                    break;
                }
            }
        }
    }
}

/// The client's thread: all connections at once.
fn exchange_all(epoll: &Epoll, sockets: &mut [TcpStream], shape: Echo) -> io::Result<()> {
    let message = vec![7; shape.len];
    let mut room = vec![0; shape.len];
    let mut left: Vec<_> = sockets
        .iter()
        .map(|_| (shape.messages(), shape.len))
        .collect();
    let mut open = sockets.len();
    for socket in &mut *sockets {
        write_all(socket, &message)?;
    }
    let mut events = [EpollEvent::empty(); EVENTS];
    while open > 0 {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..ready] {
            let place = event.data() as usize;
            let (messages, bytes) = &mut left[place];
            while let Some(n) = if_ready(sockets[place].read(&mut room[..*bytes]))? {
                *bytes -= n;
                if *bytes > 0 {
                    continue;
                }
                *messages -= 1;
                *bytes = shape.len;
                if *messages == 0 {
                    open -= 1;
                } else {
                    write_all(&mut sockets[place], &message)?;
                }
                break;
            }
        }
    }
    Ok(())
}

/// What an attempt answered; `None`: not ready.
fn if_ready(answer: io::Result<usize>) -> io::Result<Option<usize>> {
    match answer {
        Ok(n) => Ok(Some(n)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes all; the other thread makes room.
fn write_all(socket: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match if_ready(socket.write(bytes))? {
            Some(n) => bytes = &bytes[n..],
            None => thread::yield_now(),
        }
    }
    Ok(())
}
