//! Sockets when the machine has no descriptors left, peers reset and handlers panic: nothing spins,
//! and no task and no descriptor is left behind. One test, because it counts what the whole process
//! has.

#![cfg(all(target_os = "linux", not(wq_portable)))]

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::io::{AsyncReadExt, AsyncWriteExt};
use nix::libc::EMFILE;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use wq::net::{TcpListener, TcpStream};
use wq::time::timeout;
use wq::{System, Workqueue};

/// Nothing in here takes as long.
const LIMIT: Duration = Duration::from_secs(30);

/// Descriptors that the process has.
fn descriptors() -> usize {
    let listing = std::fs::read_dir("/proc/self/fd").expect("procfs");
    // One is the listing's own.
    listing.count() - 1
}

/// Goal: see the top of this file. Method: each fault in turn against a server, then counts.
#[test]
fn faults_leave_nothing_behind() {
    let system = System::builder().workers(2).build().expect("a System");
    let queue = Workqueue::unbound("server")
        .system(&system)
        .build()
        .expect("a queue");
    let spawner = queue.clone();
    let outcome = system.run(async move {
        // The reactor's own descriptors and those of the sensors are made by the first use.
        reset_and_panic(&spawner).await.expect("served");
        let before = descriptors();
        for _ in 0..10 {
            reset_and_panic(&spawner).await.expect("served");
        }
        timeout(LIMIT, descriptors_run_out())
            .await
            .expect("in time");
        (before, descriptors())
    });
    let report = queue.flush().wait_timeout(LIMIT).expect("no task is left");
    assert_eq!(report.panicked, 11, "each panic ended one handler");
    let (before, after) = outcome;
    // Sensors may open a file for a worker that they had not looked at before.
    assert!(after <= before + 4, "{before} descriptors, then {after}");
}

/// A server whose connections are reset by the peer, and one whose handler panics.
async fn reset_and_panic(queue: &wq::Queue) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let handlers = queue.clone();
    let server = queue.spawn(async move {
        for panics in [false, true] {
            let (stream, _) = listener.accept().await?;
            drop(handlers.spawn(handle(stream, panics)));
        }
        Ok::<(), io::Error>(())
    });
    // Unread data at the close makes it a reset.
    let resetting = TcpStream::connect(address).await?;
    resetting.readable().await?;
    drop(resetting);
    let mut other = TcpStream::connect(address).await?;
    let mut room = Vec::new();
    // Its handler's stream is dropped by the panic, which is an end or a reset for the peer.
    let _ = other.read_to_end(&mut room).await;
    server.await.expect("the server does not panic")
}

/// Says hello and reads until the end, or panics.
async fn handle(mut stream: TcpStream, panics: bool) -> io::Result<()> {
    stream.write_all(b"hello").await?;
    assert!(!panics, "this handler is to panic");
    let mut room = Vec::new();
    stream.read_to_end(&mut room).await?;
    Ok(())
}

/// Accepting fails while there are no descriptors, at a bounded rate, and goes on when there are.
async fn descriptors_run_out() {
    const WAITING: usize = 3;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let clients: Vec<_> = (0..WAITING)
        .map(|_| std::net::TcpStream::connect(address).expect("the kernel accepts"))
        .collect();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let room = 32;
    let limit = descriptors() as u64 + room;
    setrlimit(Resource::RLIMIT_NOFILE, limit.min(hard), hard).expect("a lower limit");
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    let failures = failures_within(&listener, Duration::from_millis(100)).await;
    // 1, 2, 4 .. ms lie between them.
    assert!((1..=9).contains(&failures), "{failures} failures in 100 ms");
    hoard.clear();
    let mut peers: Vec<SocketAddr> = Vec::new();
    while peers.len() < WAITING {
        match listener.accept().await {
            Ok((_, peer)) => peers.push(peer),
            Err(error) => assert_eq!(error.raw_os_error(), Some(EMFILE), "{error}"),
        }
    }
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("the limit from before");
    for client in clients {
        let address = client.local_addr().expect("an address");
        assert!(peers.contains(&address), "{address} was accepted");
    }
}

/// How often accepting fails for want of descriptors in so much time.
async fn failures_within(listener: &TcpListener, time: Duration) -> usize {
    let end = Instant::now() + time;
    let mut failures = 0;
    while let Ok(answer) = timeout(end - Instant::now().min(end), listener.accept()).await {
        let error = answer.expect_err("there is no descriptor");
        assert_eq!(error.raw_os_error(), Some(EMFILE), "{error}");
        failures += 1;
    }
    failures
}
