//! Systems with a tokio context: what asks for a tokio runtime runs inside tasks, what libraries
//! spawn on tokio cannot hold up wq, and all of it ends with the System.

#![cfg(feature = "tokio")]

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use wq::System;
use wq::tokio::Driver;

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A System of two lanes with a context of so many threads; both have names that begin with `tag`.
fn system(tag: &str, threads: usize) -> System {
    let tokio = Driver::builder().name(tag).threads(threads);
    let tokio = tokio.build().expect("a tokio runtime");
    let builder = System::builder().name(tag).workers(2);
    tokio.attach(builder).build().expect("a System")
}

/// Whether the calling thread is a worker of the System with this tag.
fn on_worker_of(tag: &str) -> bool {
    let thread = thread::current();
    let name = thread.name().unwrap_or_default().to_owned();
    name.starts_with(&format!("{tag}/")) && !name.contains("tokio")
}

/// A runtime's thread that is held inside a task until the value is dropped.
struct Held(#[expect(dead_code, reason = "dropping it lets the thread go")] Sender<()>);

/// What a library must not do: a task on tokio that blocks. Returns once it does.
fn hold_a_thread(before: impl Future<Output = ()> + Send + 'static) -> (Held, Receiver<()>) {
    let (hold, held) = channel::<()>();
    let (inside, is_inside) = channel();
    drop(tokio::spawn(async move {
        before.await;
        inside.send(()).expect("the test waits");
        // An error: the test has let it go.
        let _ = held.recv();
    }));
    (Held(hold), is_inside)
}

/// An echo of so many bytes over tokio's sockets, both ends as tasks of the System.
async fn echo(bytes: usize) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = wq::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap()
    });
    let client = wq::spawn(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (mut read, mut write) = stream.split();
        let sent = vec![7; bytes];
        let send = async {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let mut echoed = Vec::new();
        let (_, received) = tokio::join!(send, read.read_to_end(&mut echoed));
        assert_eq!(echoed, sent);
        received.unwrap()
    });
    let (sent, received) = (server.await.unwrap(), client.await.unwrap());
    assert_eq!(sent as usize, received);
    received
}

/// Sockets, timers, files and children of tokio's work in tasks, which stay on wq's workers.
#[test]
fn tokio_io_runs_on_wq_workers() {
    let system = system("tk1", 2);
    system.run(async {
        let echoes = join_all((1..20).map(|n| wq::spawn(echo(n * 10_000)))).await;
        assert!(
            echoes
                .into_iter()
                .zip(1..)
                .all(|(got, n)| got.unwrap() == n * 10_000)
        );

        let start = Instant::now();
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(start.elapsed() >= Duration::from_millis(5));
        assert!(on_worker_of("tk1"), "a woken task is polled by wq");
        let late = tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>());
        assert!(late.await.is_err());

        let manifest = tokio::fs::read_to_string("Cargo.toml").await.unwrap();
        assert!(manifest.contains("wq-async"));
        let status = tokio::process::Command::new("true").status().await;
        assert!(status.unwrap().success());
    });
    assert_eq!(system.stats().rescues, 0);
}

/// What a library spawns runs on the driver, and its result comes back.
#[test]
fn tokio_spawn_runs_on_the_driver() {
    system("tk2", 2).run(async {
        let name = || thread::current().name().map(str::to_owned);
        let of_task = tokio::spawn(async move { name() }).await.unwrap();
        assert_eq!(of_task.as_deref(), Some("tk2/tokio"));
        let of_blocking = tokio::task::spawn_blocking(name).await.unwrap();
        assert_eq!(of_blocking.as_deref(), Some("tk2/tokio"));
        let panicked = tokio::spawn(async { panic!("on purpose") }).await;
        assert!(panicked.unwrap_err().is_panic());
    });
}

/// tokio's ways to block are accepted inside tasks and block the task alone.
#[test]
fn tokio_ways_to_block_work_in_tasks() {
    let tag = "tk3";
    let system = system(tag, 2);
    let (go, may_go) = channel();
    let blocked = system.spawn(async move {
        // Blocks until the task below has run, on the same lanes.
        let text = tokio::task::block_in_place(move || may_go.recv().unwrap());
        let slept = Handle::current().block_on(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            on_worker_of(tag)
        });
        (text, slept)
    });
    let other = system.spawn(async move { go.send("went").unwrap() });
    other.wait().unwrap();
    assert_eq!(blocked.wait().unwrap(), ("went", true));
}

/// Threads that tokio makes for a blocking call of a worker that is bound to a CPU are not.
#[test]
fn blocking_threads_are_not_bound() {
    let everywhere = thread::available_parallelism().unwrap();
    let system = system("tk4", 2);
    for queue in [system.percpu_queue(), system.highpri_queue()] {
        let there = queue.spawn(async {
            tokio::task::spawn_blocking(|| thread::available_parallelism().unwrap()).await
        });
        assert_eq!(there.wait().unwrap().unwrap(), everywhere);
    }
}

/// Goal: tasks of libraries that block hold up nothing of wq's. Method: every thread of the driver
/// is held; tasks, delays and sockets of another crate must go on before they are let go.
#[test]
fn wq_goes_on_while_every_tokio_thread_is_blocked() {
    let system = system("tk5", 2);
    let done = system.spawn(async {
        let held: Vec<_> = (0..2).map(|_| hold_a_thread(async {})).collect();
        held.iter().for_each(|(_, inside)| inside.recv().unwrap());
        for _ in 0..20 {
            wq::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(wq::spawn(async { 7 }).await.unwrap(), 7);
        }
        let listener = async_net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connected = async_net::TcpStream::connect(listener.local_addr().unwrap());
        let (accepted, connected) = futures::join!(listener.accept(), connected);
        assert!(accepted.is_ok() && connected.is_ok());
        drop(held);
    });
    done.wait_timeout(FOR_EVER).expect("it goes on").unwrap();
}

/// Goal: tokio's own events are served while a task of a library blocks the thread that waited for
/// them. Method: such a task blocks right after an event, again and again; a delay and an echo of
/// tokio's must end before it is let go. Without the watcher the first of them hangs.
#[test]
fn tokio_events_are_served_while_a_tokio_task_blocks() {
    let system = system("tk6", 2);
    let done = system.spawn(async {
        for _ in 0..10 {
            let (held, inside) = hold_a_thread(tokio::time::sleep(Duration::from_millis(3)));
            inside.recv().unwrap();
            tokio::time::sleep(Duration::from_millis(3)).await;
            assert_eq!(echo(100_000).await, 100_000);
            drop(held);
        }
    });
    done.wait_timeout(FOR_EVER)
        .expect("events are served")
        .unwrap();
}

/// A future of tokio's has its context on any executor, also when it is dropped.
#[test]
fn compat_gives_a_context_anywhere() {
    /// Spawns its farewell.
    struct Farewell(Arc<Mutex<Option<tokio::task::JoinHandle<u8>>>>);
    impl Drop for Farewell {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = Some(tokio::spawn(async { 9 }));
        }
    }
    let tokio = Driver::builder().name("tk7").threads(1).build().unwrap();
    let said = Arc::new(Mutex::new(None));
    let farewell = Farewell(Arc::clone(&said));
    let nap = tokio.compat(async move {
        let _farewell = farewell;
        tokio::time::sleep(Duration::from_millis(1)).await;
        std::future::pending::<()>().await;
    });
    let mut nap = Box::pin(nap);
    assert!(nap.as_mut().now_or_never().is_none());
    drop(nap);
    assert!(Handle::try_current().is_err());
    let farewell = said.lock().unwrap().take().expect("it was dropped");
    assert_eq!(futures::executor::block_on(farewell).unwrap(), 9);

    let plain = System::builder().workers(1).build().unwrap();
    assert!(plain.run(async { Handle::try_current().is_err() }));
    let slept = plain.spawn(tokio.compat(async {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }));
    slept.wait_timeout(FOR_EVER).unwrap().unwrap();
}
