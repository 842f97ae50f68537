//! Programs that are told to end under load, and children by the hundred, killed, dropped, and
//! waited for without a descriptor: no task, no descriptor and no zombie is left behind. One test,
//! because it counts what the whole process has.

#![cfg(all(target_os = "linux", not(wq_portable)))]

mod deadline;

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, raise};
use wq::net::{TcpListener, TcpStream};
use wq::process::{Child, Command};
use wq::signal::{SignalKind, signal};
use wq::time::timeout;
use wq::{System, Workqueue};

use deadline::Deadline;

/// Nothing in here takes as long.
const LIMIT: Duration = Duration::from_secs(60);
/// Clients that ask, and those that never finish what they say.
const CLIENTS: usize = 20;
const STUCK: usize = 5;
/// Children at once.
const CHILDREN: usize = 200;

/// Descriptors that the process has.
fn descriptors() -> usize {
    let listing = std::fs::read_dir("/proc/self/fd").expect("procfs");
    // One is the listing's own.
    listing.count() - 1
}

/// Children that have not been reaped, running or not.
fn children() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs");
    let of_task = |task: io::Result<std::fs::DirEntry>| {
        let path = task.expect("procfs").path().join("children");
        // The thread may have ended.
        let listing = std::fs::read_to_string(path).unwrap_or_default();
        listing.split_whitespace().count()
    };
    tasks.map(of_task).sum()
}

/// Waits until something holds that nobody tells.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        thread::yield_now();
    }
}

/// Goal: see the top of this file. Method: each fault in turn, once to warm up and then counted.
#[test]
fn ends_leave_nothing_behind() {
    let _deadline = Deadline::start();
    let system = System::builder().workers(2).build().expect("a System");
    everything(&system);
    let before = descriptors();
    everything(&system);
    wait_until("all children are reaped", || children() == 0);
    // Sensors may open a file for a worker that they had not looked at before.
    wait_until("descriptors are closed", || descriptors() <= before + 4);
    children_without_descriptors(&system);
    wait_until("those are reaped", || children() == 0);
    wait_until("their descriptors are closed", || {
        descriptors() <= before + 4
    });
    let report = system.shutdown(LIMIT);
    assert_eq!((report.dropped, report.detached), (0, 0), "{report:?}");
}

/// All that counts itself.
fn everything(system: &System) {
    for _ in 0..20 {
        drop(signal(SignalKind::hangup()).expect("a listener"));
    }
    a_server_is_told_to_end(system);
    system.run(async {
        timeout(LIMIT, many_children()).await.expect("in time");
    });
}

/// Connections, some of whose handlers panic and some of which never end, and then `SIGTERM`.
fn a_server_is_told_to_end(system: &System) {
    let queue = Workqueue::unbound("server").system(system);
    let queue = queue.build().expect("a queue");
    let handlers = queue.clone();
    let answered = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&answered);
    let server = system.spawn(async move {
        let mut ends = signal(SignalKind::terminate())?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let load = wq::spawn(load(listener.local_addr()?));
        loop {
            match select(pin!(listener.accept()), pin!(ends.recv())).await {
                Either::Left((accepted, _)) => {
                    let counted = Arc::clone(&counted);
                    drop(handlers.spawn(answer(accepted?.0, counted)));
                }
                Either::Right((ended, _)) => {
                    assert_eq!(ended?, SignalKind::terminate());
                    break;
                }
            }
        }
        io::Result::Ok(load)
    });
    let load = server.wait().expect("no panic").expect("served");
    // The stuck ones hold it up.
    let report = queue.drain().wait_timeout(Duration::from_millis(50));
    let stuck = report.expect_err("some never end");
    assert!(stuck.is_timeout(), "{stuck}");
    let (heard, clients) = load.wait().expect("no panic").expect("a good load");
    drop(clients);
    let report = queue.destroy().wait().expect("nobody is in its way");
    // Relaxed: the queue has ended.
    assert_eq!(heard, answered.load(Ordering::Relaxed), "answers are whole");
    assert_eq!(report.panicked, 1, "{report:?}");
}

/// Answers each byte by itself; a question mark is too much.
async fn answer(mut stream: TcpStream, answered: Arc<AtomicUsize>) -> io::Result<()> {
    let mut room = [0; 1];
    while stream.read(&mut room).await? > 0 {
        assert_ne!(&room, b"?", "this handler is to panic");
        if &room == b"." {
            return Ok(());
        }
        stream.write_all(&room).await?;
        // Relaxed: a count that is read at the end.
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Clients; `SIGTERM` when each of them was served once. How many answers they got, and those that
/// say no more.
async fn load(address: SocketAddr) -> io::Result<(usize, Vec<TcpStream>)> {
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        stuck.push(ask_one(address).await?);
    }
    let mut bad = ask_one(address).await?;
    bad.write_all(b"?").await?;
    assert_eq!(bad.read(&mut [0]).await.unwrap_or(0), 0, "closed");
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(ask_one(address).await?);
    }
    let mut asking: Vec<_> = clients
        .into_iter()
        .map(|mut stream| {
            wq::spawn(async move {
                for _ in 0..100 {
                    stream.write_all(b"x").await?;
                    stream.read_exact(&mut [0]).await?;
                }
                stream.write_all(b".").await?;
                io::Result::Ok(())
            })
        })
        .collect();
    // In the middle of it.
    raise(Signal::SIGTERM)?;
    for client in asking.drain(..) {
        client.await.expect("no panic")?;
    }
    Ok((STUCK + 1 + CLIENTS * 101, stuck))
}

/// A client that was served once.
async fn ask_one(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"x").await?;
    stream.read_exact(&mut [0]).await?;
    Ok(stream)
}

/// A child that ends when its input does.
fn cat() -> Command {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    command
}

/// Very many at once: a third ends by itself, a third is killed, a third is dropped.
async fn many_children() {
    let mut all: Vec<Child> = (0..CHILDREN)
        .map(|_| cat().kill_on_drop(true).spawn().expect("started"))
        .collect();
    assert!(children() >= CHILDREN, "all of them run");
    let dropped = all.split_off(CHILDREN * 2 / 3);
    let killed = all.split_off(CHILDREN / 3);
    let waits = all.into_iter().map(|mut child| {
        wq::spawn(async move {
            let status = child.wait().await.expect("waited");
            assert!(status.success(), "{status}");
        })
    });
    let waits: Vec<_> = waits.collect();
    let killed = killed.into_iter().map(|mut child| {
        wq::spawn(async move {
            // Its input stays open meanwhile.
            let stdin = child.stdin.take();
            child.kill().expect("it may");
            let status = child.wait().await.expect("waited");
            assert_eq!(status.signal(), Some(9));
            drop(stdin);
        })
    });
    let killed: Vec<_> = killed.collect();
    drop(dropped);
    for wait in waits.into_iter().chain(killed) {
        wait.await.expect("no panic");
    }
}

/// Waits that begin, and drops that happen, while there are no descriptors.
fn children_without_descriptors(system: &System) {
    let [mut waited, dropped] = [(); 2].map(|()| cat().spawn().expect("started"));
    let mut on_thread = cat().spawn().expect("started");
    let inputs = [waited.stdin.take(), on_thread.stdin.take()];
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let limit = descriptors() as u64 + 8;
    setrlimit(Resource::RLIMIT_NOFILE, limit.min(hard), hard).expect("a lower limit");
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    let all_are_taken = || File::open("/dev/null").is_err();
    assert!(all_are_taken(), "or the wait has a descriptor");
    let (begun, has_begun) = mpsc::channel();
    let task = system.spawn(async move {
        let early = pin!(waited.wait()).poll(&mut Context::from_waker(Waker::noop()));
        assert!(early.is_pending(), "it runs");
        begun.send(()).expect("somebody listens");
        waited.wait().await
    });
    has_begun.recv_timeout(LIMIT).expect("it waits without one");
    assert!(all_are_taken(), "the wait had one, or might have");
    let thread = thread::spawn(move || on_thread.wait().wait());
    // Its input ends with it, which gives a descriptor back, and then it does.
    drop(dropped);
    // Descriptors come back, so that the thread's wait may have one or none: both end.
    hoard.clear();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("the limit from before");
    drop(inputs);
    let status = task.wait_timeout(LIMIT).expect("in time");
    assert!(status.expect("no panic").expect("waited").success());
    let status = thread.join().expect("no panic").expect("waited");
    assert!(status.success());
    // Whoever could not be watched is reaped when the next child is started.
    wait_until("the dropped child is reaped", || {
        let next = Command::new("true").spawn().expect("started").wait().wait();
        assert!(next.expect("waited").success());
        children() == 0
    });
}
