//! How late things are while tasks that a library has spawned on tokio block for 100 ms, again and
//! again: delays and echoes of wq, delays and echoes of tokio's in tasks of wq, and the same on
//! tokio alone.
//!
//! `cargo run --release -p wq-benches --example tokio_guest -- [SECONDS] [BLOCKERS]`
//!
//! Measured without blocking tasks, and with BLOCKERS (2) of them. Lateness of a delay is from its
//! deadline to the task's next instruction; an echo of 64 bytes over the loopback device counts
//! with its whole round trip. One of each a millisecond. wq has two lanes, and a `tokio::Driver`
//! with its defaults; tokio alone has two workers. Nothing of wq's may wait for the blockers.
//! tokio's events on wq are served by another thread of the Driver within some milliseconds. On
//! tokio alone they wait for a worker.

#![expect(clippy::print_stdout, reason = "a program's answer")]

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wq::System;
use wq::tokio::Driver;

/// How long a library's task blocks.
const BLOCK: Duration = Duration::from_millis(100);
/// Time between two measurements.
const PERIOD: Duration = Duration::from_millis(1);
/// Bytes of an echo.
const MESSAGE: usize = 64;
/// Seconds for each row, and blocking tasks, if the command line says nothing.
const SECONDS: u64 = 3;
const BLOCKERS: usize = 2;

/// What was measured of one kind, sorted.
struct Lateness(Vec<Duration>);

impl Lateness {
    /// Measures again and again, `PERIOD` apart, until the time is over.
    async fn of<F: Future<Output = Duration>>(time: Duration, one: impl Fn(Instant) -> F) -> Self {
        let begin = Instant::now();
        let mut due = begin;
        let mut found = Vec::new();
        while due < begin + time {
            due = Instant::now().max(due + PERIOD);
            found.push(one(due).await);
        }
        found.sort_unstable();
        Lateness(found)
    }

    /// The value below which this share lies.
    fn quantile(&self, share: f64) -> Duration {
        self.0[((self.0.len() - 1) as f64 * share).round() as usize]
    }

    /// A line of the table.
    fn print(&self, what: &str) {
        let [p50, p99] = [0.5, 0.99].map(|share| format!("{:.0?}", self.quantile(share)));
        let most = format!("{:.0?}", self.quantile(1.0));
        println!(
            "{what:<34} {p50:>10} {p99:>10} {most:>10} {:>8}",
            self.0.len()
        );
    }
}

/// Tasks on tokio that block, until this is dropped.
struct Blockers(Arc<AtomicBool>);

impl Blockers {
    /// Starts them, with a yield of tokio's between two blocks. Needs a context.
    fn start(count: usize) -> Blockers {
        let go_on = Arc::new(AtomicBool::new(true));
        for _ in 0..count {
            let go_on = Arc::clone(&go_on);
            drop(tokio::spawn(async move {
                // Relaxed: the flag orders nothing.
                while go_on.load(Ordering::Relaxed) {
                    thread::sleep(BLOCK);
                    tokio::time::sleep(PERIOD).await;
                }
            }));
        }
        Blockers(go_on)
    }
}

impl Drop for Blockers {
    fn drop(&mut self) {
        // Relaxed: see above.
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Lateness of wq's delays and round trips of its sockets.
async fn of_wq(time: Duration) -> io::Result<[Lateness; 2]> {
    let listener = wq::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    drop(wq::spawn(async move {
        let (mut peer, _) = listener.accept().await?;
        let mut message = [0; MESSAGE];
        loop {
            peer.read_exact(&mut message).await?;
            peer.write_all(&message).await?;
        }
        #[expect(unreachable_code, reason = "it ends with an error, and so has a type")]
        Ok::<(), io::Error>(())
    }));
    let stream = wq::net::TcpStream::connect(address).await?;
    let stream = smol::lock::Mutex::new(stream);
    let delays = wq::spawn(Lateness::of(time, |due| async move {
        wq::time::sleep_until(due).await;
        due.elapsed()
    }));
    let echoes = Lateness::of(time, async |due| {
        wq::time::sleep_until(due).await;
        let mut stream = stream.lock().await;
        let begin = Instant::now();
        let mut message = [0; MESSAGE];
        stream.write_all(&message).await.expect("the peer is here");
        stream
            .read_exact(&mut message)
            .await
            .expect("the peer is here");
        begin.elapsed()
    });
    let echoes = echoes.await;
    Ok([delays.await.map_err(io::Error::other)?, echoes])
}

/// The same of tokio's, wherever it is polled; `spawn` starts a task there.
async fn of_tokio(time: Duration, spawn: fn(Job) -> ()) -> io::Result<[Lateness; 2]> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    spawn(Box::pin(async move {
        let Ok((mut peer, _)) = listener.accept().await else {
            return;
        };
        let mut message = [0; MESSAGE];
        while peer.read_exact(&mut message).await.is_ok() {
            if peer.write_all(&message).await.is_err() {
                return;
            }
        }
    }));
    let stream = tokio::net::TcpStream::connect(address).await?;
    let stream = smol::lock::Mutex::new(stream);
    let (tell, told) = tokio::sync::oneshot::channel();
    spawn(Box::pin(async move {
        let delays = Lateness::of(time, |due| async move {
            tokio::time::sleep_until(due.into()).await;
            due.elapsed()
        });
        let _ = tell.send(delays.await);
    }));
    let echoes = Lateness::of(time, async |due: Instant| {
        tokio::time::sleep_until(due.into()).await;
        let mut stream = stream.lock().await;
        let begin = Instant::now();
        let mut message = [0; MESSAGE];
        stream.write_all(&message).await.expect("the peer is here");
        stream
            .read_exact(&mut message)
            .await
            .expect("the peer is here");
        begin.elapsed()
    });
    let echoes = echoes.await;
    Ok([told.await.map_err(io::Error::other)?, echoes])
}

/// A task of some runtime.
type Job = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// All rows with so many blockers.
fn table(time: Duration, blockers: usize) -> Result<(), Box<dyn std::error::Error>> {
    println!("{blockers} tasks on tokio that block for {BLOCK:?}:");
    println!(
        "{:<34} {:>10} {:>10} {:>10} {:>8}",
        "", "p50", "p99", "max", "samples"
    );
    let driver = Driver::new()?;
    let system = driver.attach(System::builder().workers(2)).build()?;
    let [delays, echoes, on_wq_delays, on_wq_echoes] = system.block_on(driver.compat(async {
        let _blockers = Blockers::start(blockers);
        let wq = system
            .spawn(of_wq(time))
            .await
            .map_err(io::Error::other)??;
        let guest = system.spawn(of_tokio(time, |job| drop(wq::spawn(job))));
        let tokio = guest.await.map_err(io::Error::other)??;
        let ([a, b], [c, d]) = (wq, tokio);
        Ok::<_, io::Error>([a, b, c, d])
    }))?;
    delays.print("wq: delays of wq::time");
    echoes.print("wq: echoes over wq::net");
    on_wq_delays.print("wq: delays of tokio::time");
    on_wq_echoes.print("wq: echoes over tokio::net");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let [delays, echoes] = runtime.block_on(async {
        let _blockers = Blockers::start(blockers);
        let measured = tokio::spawn(of_tokio(time, |job| drop(tokio::spawn(job))));
        measured.await.map_err(io::Error::other)?
    })?;
    delays.print("tokio alone: delays");
    echoes.print("tokio alone: echoes");
    println!();
    runtime.shutdown_timeout(2 * BLOCK);
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(SECONDS), |text| text.parse())?;
    let blockers = arguments.next().map_or(Ok(BLOCKERS), |text| text.parse())?;
    let time = Duration::from_secs(seconds);
    table(time, 0)?;
    table(time, blockers)
}
