//! Sockets: what users do with them, and what the world does to them.

#![cfg(all(target_os = "linux", not(wq_portable)))]

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use futures::future::join_all;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures::stream::StreamExt;
use wq::System;
use wq::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use wq::time::timeout;

/// Nothing in here takes as long.
const LIMIT: Duration = Duration::from_secs(30);

/// A System of two lanes that runs `main` as a task, so that workers wait for the sockets.
fn run<T: Send + 'static>(main: impl Future<Output = T> + Send + 'static) -> T {
    let system = System::builder().workers(2).build().expect("a System");
    let answer = system.run(async { wq::spawn(timeout(LIMIT, main)).await });
    answer.expect("no panic").expect("within the limit")
}

/// Two ends of a TCP connection.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (accepted, connected) = futures::join!(listener.accept(), TcpStream::connect(address));
    Ok((accepted?.0, connected?))
}

/// Sends back what comes, until the end.
async fn echo(mut stream: TcpStream) -> io::Result<u64> {
    let mut room = [0; 1024];
    let mut total = 0;
    loop {
        let n = stream.read(&mut room).await?;
        if n == 0 {
            return Ok(total);
        }
        stream.write_all(&room[..n]).await?;
        total += n as u64;
    }
}

/// Goal: what is sent comes back, over many connections at once. Method: each client sends its own
/// pattern in pieces and compares.
#[test]
fn many_connections_echo() {
    const CLIENTS: u32 = 100;
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let server = wq::spawn(async move {
            let mut connections = Vec::new();
            for _ in 0..CLIENTS {
                let (stream, _) = listener.accept().await?;
                connections.push(wq::spawn(echo(stream)));
            }
            let totals = join_all(connections).await;
            Ok::<u64, io::Error>(totals.into_iter().map(|t| t.unwrap().unwrap()).sum())
        });
        let clients = (0..CLIENTS).map(|n| {
            wq::spawn(async move {
                let mut stream = TcpStream::connect(address).await?;
                for round in 0..20_u32 {
                    let sent = (n * 1000 + round).to_le_bytes().repeat(50);
                    stream.write_all(&sent).await?;
                    let mut back = vec![0; sent.len()];
                    stream.read_exact(&mut back).await?;
                    assert_eq!(back, sent, "client {n}, round {round}");
                }
                Ok::<(), io::Error>(())
            })
        });
        for client in join_all(clients).await {
            client.expect("no panic").expect("no error");
        }
        let total = server.await.expect("no panic").expect("no error");
        assert_eq!(total, u64::from(CLIENTS) * 20 * 200);
    });
}

/// Goal: large transfers survive partial writes and a slow reader, with bounded memory: the writer
/// is held back. Method: a writer sends until it would block for the first time, and says how much
/// that was; only then the reader begins.
#[test]
fn a_slow_reader_holds_the_writer_back() {
    const LEN: usize = 16 << 20;
    run(async {
        let (mut reader, mut writer) = pair().await.expect("a connection");
        let mut accepted = 0;
        let piece = vec![7; 1 << 16];
        loop {
            match writer.try_write(&piece) {
                Ok(n) => accepted += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
            assert!(accepted < 1 << 30, "the kernel's buffers have a bound");
        }
        let sending = wq::spawn(async move {
            writer.write_all(&vec![9; LEN]).await?;
            writer.close().await
        });
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.expect("reads on");
        sending.await.expect("no panic").expect("sent");
        assert_eq!(all.len(), accepted + LEN);
        assert!(all[..accepted].iter().all(|byte| *byte == 7));
        assert!(all[accepted..].iter().all(|byte| *byte == 9));
    });
}

/// Goal: data that came together with the end is read, and then the end; the other direction goes
/// on. Method: the peer sends and closes its side before we look; we read with room to spare.
#[test]
fn half_closed_is_half_open() {
    run(async {
        let (mut ours, theirs) = pair().await.expect("a connection");
        (&theirs).write_all(b"last words").await.expect("sent");
        theirs.shutdown(Shutdown::Write).expect("closed");
        let mut room = [0; 100];
        assert_eq!(ours.read(&mut room).await.expect("data"), 10);
        assert_eq!(ours.read(&mut room).await.expect("the end"), 0);
        assert_eq!(ours.read(&mut room).await.expect("it stays"), 0);
        ours.write_all(b"answer")
            .await
            .expect("the other way is open");
        ours.close().await.expect("closed");
        let mut answer = String::new();
        (&theirs).read_to_string(&mut answer).await.expect("read");
        assert_eq!(answer, "answer");
    });
}

/// Goal: a reset is an error, at once and for who waits. Method: the peer closes with unread data,
/// which sends a reset, while we wait to read.
#[test]
fn a_reset_ends_a_wait() {
    run(async {
        let (mut ours, theirs) = pair().await.expect("a connection");
        ours.write_all(b"unread").await.expect("sent");
        theirs.readable().await.expect("it came");
        let waiting = wq::spawn(async move {
            let mut room = [0; 8];
            ours.read(&mut room).await
        });
        drop(theirs);
        let error = waiting.await.expect("no panic").expect_err("reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

/// Goal: nobody there is an error of `connect`. Method: a port that was given up a moment ago.
#[test]
fn connecting_to_nobody_is_refused() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let error = TcpStream::connect(address).await.expect_err("nobody");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    });
}

/// Goal: names are resolved without a reactor's help, and a bad one is an error. Method: localhost,
/// and a text without a port.
#[test]
fn names_are_resolved() {
    run(async {
        let listener = TcpListener::bind(("localhost", 0))
            .await
            .expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let (accepted, connected) = futures::join!(
            listener.accept(),
            TcpStream::connect(format!("localhost:{port}"))
        );
        accepted.expect("accepted");
        connected.expect("connected");
        let error = TcpStream::connect("no port").await.expect_err("bad");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    });
}

/// Goal: halves work apart, know their stream, and the dropped half for writing says the end.
/// Method: two tasks; then a stream that is put together again.
#[test]
fn streams_are_split_and_reunited() {
    run(async {
        let (ours, theirs) = pair().await.expect("a connection");
        let echoing = wq::spawn(echo(theirs));
        let (mut reading, mut writing) = ours.into_split();
        let sender = wq::spawn(async move {
            for _ in 0..100 {
                writing.write_all(&[5; 1000]).await?;
            }
            Ok::<(), io::Error>(())
        });
        let mut all = Vec::new();
        reading.read_to_end(&mut all).await.expect("until the end");
        sender.await.expect("no panic").expect("sent");
        assert_eq!(all.len(), 100_000);
        assert_eq!(echoing.await.expect("no panic").expect("echoed"), 100_000);

        let (one, other) = pair().await.expect("a connection");
        let (one_reads, one_writes) = one.into_split();
        let (other_reads, other_writes) = other.into_split();
        let error = one_reads.reunite(other_writes).expect_err("not the same");
        let one = error.0.reunite(one_writes).expect("the same");
        let mut other = other_reads.reunite(error.1).expect("the same");
        (&one).write_all(b"still open").await.expect("sent");
        let mut text = [0; 10];
        other.read_exact(&mut text).await.expect("read");
        assert_eq!(&text, b"still open");
    });
}

/// Goal: several tasks wait on one listener and each connection has one of them. Method: four
/// tasks accept; as many clients as they take together.
#[test]
fn several_tasks_accept() {
    run(async {
        let listener = std::sync::Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap();
        let accepting: Vec<_> = (0..4)
            .map(|_| {
                let listener = std::sync::Arc::clone(&listener);
                wq::spawn(async move {
                    for _ in 0..10 {
                        let (mut stream, _) = listener.accept().await?;
                        stream.write_all(b"!").await?;
                    }
                    Ok::<(), io::Error>(())
                })
            })
            .collect();
        let clients = (0..40).map(|_| async move {
            let mut stream = TcpStream::connect(address).await?;
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await?;
            assert_eq!(all, b"!");
            Ok::<(), io::Error>(())
        });
        for client in join_all(clients).await {
            client.expect("served");
        }
        for task in accepting {
            task.await.expect("no panic").expect("accepted");
        }
    });
}

/// Goal: the stream of connections yields them. Method: takes two.
#[test]
fn incoming_is_a_stream() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clients =
            futures::future::join(TcpStream::connect(address), TcpStream::connect(address));
        let taken = listener.incoming().take(2).collect::<Vec<_>>();
        let (taken, _clients) = futures::join!(taken, clients);
        assert!(taken.iter().all(Result::is_ok) && taken.len() == 2);
    });
}

/// Goal: datagrams come whole, to whoever waits, and can be looked at first. Method: two sockets.
#[test]
fn datagrams_arrive() {
    run(async {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = std::sync::Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let to = other.local_addr().unwrap();
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let other = std::sync::Arc::clone(&other);
                wq::spawn(async move {
                    let mut room = [0; 64];
                    let (len, _) = other.recv_from(&mut room).await?;
                    Ok::<_, io::Error>(room[..len].to_vec())
                })
            })
            .collect();
        for n in 0..3_u8 {
            one.send_to(&[n; 10], to).await.unwrap();
        }
        let mut seen = Vec::new();
        for receiver in receivers {
            let datagram = receiver.await.unwrap().unwrap();
            assert_eq!(datagram.len(), 10);
            seen.push(datagram[0]);
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2]);
        one.connect(to).await.unwrap();
        one.send(b"peek").await.unwrap();
        let mut room = [0; 8];
        assert_eq!(other.peek_from(&mut room).await.unwrap().0, 4);
        assert_eq!(other.recv_from(&mut room).await.unwrap().0, 4);
    });
}

/// Goal: an error that a datagram comes back with does not make a socket spin: the next wait waits.
/// Method: sends to nobody, takes the error, then receives with a limit.
#[test]
fn a_refused_datagram_is_told_once() {
    run(async {
        let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(address).await.unwrap();
        socket.send(b"anybody there?").await.unwrap();
        let mut room = [0; 8];
        let error = socket.recv(&mut room).await.expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let quiet = timeout(Duration::from_millis(20), socket.recv(&mut room)).await;
        assert!(quiet.is_err(), "nothing more");
    });
}

/// Goal: Unix sockets do what TCP ones do. Method: a listener at a path, streams, datagrams.
#[test]
fn unix_sockets_work() {
    let dir = std::env::temp_dir().join(format!("wq-net-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("socket");
    run({
        let path = path.clone();
        async move {
            let listener = UnixListener::bind(&path).unwrap();
            let (accepted, connected) =
                futures::join!(listener.accept(), UnixStream::connect(&path));
            let (mut accepted, mut connected) = (accepted.unwrap().0, connected.unwrap());
            connected.write_all(b"hello").await.unwrap();
            connected.close().await.unwrap();
            let mut text = String::new();
            accepted.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "hello");
            let (one, other) = UnixDatagram::pair().unwrap();
            one.send(b"datagram").await.unwrap();
            let mut room = [0; 16];
            assert_eq!(other.recv(&mut room).await.unwrap(), 8);
        }
    });
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Goal: a file's part is sent as it is. Method: more than the socket's buffers hold, from an
/// offset, beyond the end.
#[test]
fn files_are_sent() {
    let path = std::env::temp_dir().join(format!("wq-send-{}", std::process::id()));
    let content: Vec<u8> = (0..8 << 20).map(|n: u32| n as u8).collect();
    std::fs::write(&path, &content).unwrap();
    run({
        let path = path.clone();
        async move {
            let (mut reader, writer) = pair().await.unwrap();
            let sending = wq::spawn(async move {
                let file = std::fs::File::open(path)?;
                writer.send_file(&file, 1000, u64::MAX >> 2).await
            });
            let mut all = Vec::new();
            reader.read_to_end(&mut all).await.unwrap();
            assert_eq!(sending.await.unwrap().unwrap() as usize, all.len());
            assert_eq!(all, content[1000..]);
        }
    });
    std::fs::remove_file(&path).unwrap();
}

/// Goal: I/O goes on while every worker is inside an item that does not end. Method: both lanes of
/// a System hold closures that wait for an echo over sockets that tasks of the same System serve.
#[test]
fn blocked_workers_do_not_stop_the_reactor() {
    run(async {
        let blocked: Vec<_> = (0..4)
            .map(|_| {
                wq::spawn(async {
                    let (ours, theirs) = pair().await?;
                    drop(wq::spawn(echo(theirs)));
                    // Blocks its thread, in the task: the echo needs the reactor meanwhile.
                    wq::block_on(async {
                        let mut ours = ours;
                        ours.write_all(b"hello").await?;
                        let mut back = [0; 5];
                        ours.read_exact(&mut back).await?;
                        Ok::<_, io::Error>(back)
                    })
                })
            })
            .collect();
        for task in blocked {
            assert_eq!(&task.await.unwrap().unwrap(), b"hello");
        }
    });
}

/// Goal: sockets work where there is no worker at all. Method: `block_on` on a plain thread, the
/// peer a std stream on another one.
#[test]
fn sockets_work_without_a_worker() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peer = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut room = [0; 5];
        stream.read_exact(&mut room).unwrap();
        stream.write_all(&room).unwrap();
    });
    let back = futures::executor::block_on(async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"hello").await?;
        let mut back = [0; 5];
        stream.read_exact(&mut back).await?;
        Ok::<_, io::Error>(back)
    });
    assert_eq!(&back.unwrap(), b"hello");
    peer.join().unwrap();
}

/// Goal: an abandoned wait leaves no trace, and takes nothing away. Method: a read with a limit
/// that runs out, again and again, then data.
#[test]
fn an_abandoned_read_loses_nothing() {
    run(async {
        let (mut ours, theirs) = pair().await.unwrap();
        let mut room = [0; 8];
        for _ in 0..5 {
            let waited = timeout(Duration::from_millis(2), ours.read(&mut room)).await;
            assert!(waited.is_err(), "there is nothing to read");
            let waited = timeout(Duration::from_millis(2), ours.peek(&mut room)).await;
            assert!(waited.is_err(), "there is nothing to see");
        }
        (&theirs).write_all(b"data").await.unwrap();
        assert_eq!(ours.peek(&mut room).await.unwrap(), 4);
        assert_eq!(ours.read(&mut room).await.unwrap(), 4);
    });
}

/// Goal: what lies behind a piece that came with a descriptor is read, though a read ends between
/// them. Method: both pieces are there before the first read.
#[test]
fn a_descriptor_between_hides_nothing() {
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    run(async {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&theirs);
        let (piece, fds) = ([std::io::IoSlice::new(b"abc")], [fd]);
        let rights = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(fd, &piece, &rights, MsgFlags::empty(), None).unwrap();
        (&theirs).write_all(b"def").await.unwrap();
        let mut text = [0; 6];
        ours.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"abcdef");
    });
}

/// Goal: what lies behind urgent data is read, though a read ends before it. Method: as above.
#[test]
fn urgent_data_hides_nothing() {
    run(async {
        let (mut ours, theirs) = pair().await.unwrap();
        (&theirs).write_all(b"abc").await.unwrap();
        let socket = socket2::SockRef::from(&theirs);
        socket.send_out_of_band(b"X").unwrap();
        (&theirs).write_all(b"def").await.unwrap();
        let mut room = [0; 100];
        let mut all = Vec::new();
        while all.len() < 6 {
            let n = ours.read(&mut room).await.unwrap();
            all.extend_from_slice(&room[..n]);
        }
        assert_eq!(all, b"abcdef");
    });
}

/// Goal: a datagram waits for a receiver that is full, and does not burn a CPU meanwhile. Method:
/// sends until the receiver is full, once more in a task, and sees that the task has used almost
/// no CPU time when the receiver begins to read.
#[test]
fn a_full_receiver_is_waited_for() {
    let dir = std::env::temp_dir().join(format!("wq-full-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("receiver");
    run({
        let path = path.clone();
        async move {
            let receiver = UnixDatagram::bind(&path).unwrap();
            let sender = UnixDatagram::unbound().unwrap();
            let mut sent = 0_u32;
            while let Ok(done) =
                timeout(Duration::from_millis(20), sender.send_to(b"more", &path)).await
            {
                done.unwrap();
                sent += 1;
                assert!(sent < 100_000, "the receiver has a bound");
            }
            let waiting = wq::spawn(async move { sender.send_to(b"last", &path).await });
            let mut room = [0; 8];
            for _ in 0..sent {
                assert_eq!(receiver.recv(&mut room).await.unwrap(), 4);
            }
            receiver.recv(&mut room).await.unwrap();
            assert_eq!(&room[..4], b"last");
            assert_eq!(waiting.await.unwrap().unwrap(), 4);
        }
    });
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Goal: closing does not wait for room that nobody needs. Method: a pipe that is full, whose
/// reader does not read.
#[test]
fn nothing_to_flush_is_nothing_to_wait_for() {
    run(async {
        let (_reader, writer) = std::io::pipe().unwrap();
        let file = std::fs::File::from(std::os::fd::OwnedFd::from(writer));
        let mut pipe = wq::io::Async::new(file).unwrap();
        let fill = async { while pipe.write(&[0; 4096]).await.is_ok() {} };
        assert!(
            timeout(Duration::from_millis(20), fill).await.is_err(),
            "it is full"
        );
        pipe.close().await.unwrap();
    });
}

/// Goal: what a forked child drops stays registered in the parent, and the child is told that it
/// has no sockets. Method: the child drops a copy of a stream that the parent waits for.
#[test]
fn a_forked_child_takes_nothing_away() {
    run(async {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut place = Some(std::mem::ManuallyDrop::new(ours));
        let answer = wq_core::driver::in_forked_child(LIMIT, || {
            let refused = UnixStream::pair().is_err();
            drop(place.take().map(std::mem::ManuallyDrop::into_inner));
            u8::from(refused)
        });
        assert_eq!(answer.unwrap(), Some(1));
        ours = std::mem::ManuallyDrop::into_inner(place.take().expect("the child's is another"));
        let reader = wq::spawn(async move {
            let mut text = [0; 5];
            ours.read_exact(&mut text).await.map(|()| text)
        });
        (&theirs).write_all(b"hello").await.unwrap();
        assert_eq!(&reader.await.unwrap().unwrap(), b"hello");
    });
}
