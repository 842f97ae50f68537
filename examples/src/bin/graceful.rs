//! A TCP server that ends well: it stops accepting, lets what has begun come to its end, cuts off
//! what has not after a while, and says what became of everything.
//!
//! A request is a line; the answer is that line in capitals. At `SIGTERM` or Ctrl-C each connection
//! answers the request that has begun and is closed; those that keep the server waiting for longer
//! than the grace are aborted. A second signal ends the program at once.
//!
//! Usage: `graceful [--grace MS] [--connections N] [ADDRESS]`, for instance `graceful
//! 127.0.0.1:7777`; without an address it takes a free port of the loopback device, the grace is
//! 5000 ms, and 1000 connections are served at a time.
//! `graceful --check` loads itself with clients, some of which never finish a line, and sends
//! itself `SIGTERM`.
//!
//! Smoke: --check

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use futures_lite::future::or;
use futures_lite::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use lexopt::prelude::*;
use wq::net::{TcpListener, TcpStream};
use wq::signal::{SignalKind, Signals};
use wq::time::timeout;
use wq::{System, Workqueue};
use wq_examples::arguments::value;

/// How the program is called.
const USAGE: &str = "usage: graceful [--grace MS] [--connections N] [ADDRESS], or graceful --check";
/// A request that is longer than this many bytes ends its connection.
const LONGEST: usize = 4096;
/// With `--check`: clients that ask and listen, and those that never finish a line.
const CLIENTS: usize = 50;
const STUCK: usize = 3;

/// What the program fails with.
type Failure = Box<dyn Error + Send + Sync>;

/// What was asked for.
struct Options {
    address: String,
    grace: Duration,
    /// Those served at a time; more wait in the kernel.
    connections: usize,
    check: bool,
}

/// What the connections have done so far.
#[derive(Default)]
struct Tally {
    /// Requests answered, whole.
    answered: AtomicU64,
    /// Connections that came to their end, well or not.
    ended: AtomicU64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("graceful: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves, and shuts the System down.
fn run() -> Result<(), Failure> {
    let options = options().map_err(|error| format!("{error}\n{USAGE}"))?;
    let system = System::builder().build()?;
    let clients = system.run(serve(options))?;
    // What is left has had its grace. It is dropped here, with all its destructors.
    let report = system.shutdown(Duration::ZERO);
    println!(
        "{} tasks cut off, {} threads left behind",
        report.dropped, report.detached
    );
    drop(clients);
    Ok(())
}

/// Reads the command line.
fn options() -> Result<Options, lexopt::Error> {
    let mut options = Options {
        address: "127.0.0.1:0".into(),
        grace: Duration::from_secs(5),
        connections: 1000,
        check: false,
    };
    let mut parser = lexopt::Parser::from_env();
    let mut has_address = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("grace") => options.grace = Duration::from_millis(value(&mut parser, "--grace")?),
            Long("connections") => options.connections = value(&mut parser, "--connections")?,
            Long("check") => {
                options.check = true;
                options.grace = Duration::from_millis(1000);
            }
            Value(address) if !has_address => {
                options.address = address.string()?;
                has_address = true;
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

/// Accepts until a signal comes, then brings everything to its end. Gives the clients of `--check`
/// that would not end by themselves.
async fn serve(options: Options) -> Result<Vec<TcpStream>, Failure> {
    let address = &options.address;
    let listener = TcpListener::bind(&**address).await;
    let listener = listener.map_err(|error| format!("{address}: {error}\n{USAGE}"))?;
    // From here on both are requests to end; neither kills.
    let mut signals = Signals::new([SignalKind::terminate(), SignalKind::interrupt()])?;
    let connections = Workqueue::unbound("connections")
        .max_pending(options.connections)
        .build()?;
    let tally = Arc::new(Tally::default());
    // Closed when it is time to stop; nothing is ever sent.
    let (stop, stopped) = async_channel::bounded::<()>(1);

    let own = listener.local_addr()?;
    let load = options
        .check
        .then(|| wq::spawn(load(own, Arc::clone(&tally))));
    if load.is_none() {
        println!("listening on {own}");
    }
    let signal = or(
        async { Ok(signals.recv().await?) },
        accept(&listener, &connections, &tally, &stopped),
    )
    .await?;
    // Whoever connects from now on is refused by the kernel.
    drop(listener);
    println!("{signal}: no new connections");
    or(
        end_at_once(signals),
        finish(&connections, stop, options.grace),
    )
    .await;
    tell(&connections, &tally);
    let Some(load) = load else {
        return Ok(Vec::new());
    };
    let stuck = load.await??;
    println!("every answer has come, whole");
    Ok(stuck)
}

/// Has a task serve each connection, for ever unless their queue refuses one.
async fn accept<T>(
    listener: &TcpListener,
    connections: &Workqueue,
    tally: &Arc<Tally>,
    stopped: &Receiver<()>,
) -> Result<T, Failure> {
    loop {
        // A place first: connections for which there is none wait in the kernel.
        let place = connections.reserve().await?;
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = connection(stream, Arc::clone(tally), stopped.clone());
                drop(place.spawn(connection));
            }
            // Too many open files, say: the next call waits for a moment by itself.
            Err(error) => eprintln!("a connection was not accepted: {error}"),
        }
    }
}

/// The second signal means it.
async fn end_at_once(mut signals: Signals) {
    let signal = signals.recv().await;
    println!("ended at once: {signal:?}");
    std::process::exit(1);
}

/// Lets connections end, for as long as the grace.
async fn finish(connections: &Workqueue, stop: Sender<()>, grace: Duration) {
    drop(stop);
    match timeout(grace, wq::drain(connections)).await {
        Ok(_) => println!("all connections have ended"),
        Err(_) => println!("{} ms are over", grace.as_millis()),
    }
}

/// What became of the connections.
fn tell(connections: &Workqueue, tally: &Tally) {
    let stats = connections.stats();
    // Relaxed, both: figures for people.
    let answered = tally.answered.load(Ordering::Relaxed);
    let ended = tally.ended.load(Ordering::Relaxed);
    println!(
        "{} connections: {ended} ended, {} open",
        stats.accepted, stats.in_flight
    );
    println!("answered: {}", if answered > 0 { "yes" } else { "none" });
}

/// Serves one connection until its client closes it, or it is time to stop.
async fn connection(stream: TcpStream, tally: Arc<Tally>, stopped: Receiver<()>) {
    // Clients go away, and say nonsense: that is their affair.
    let _ = answer_all(stream, &tally, &stopped).await;
    // Relaxed: a figure for people.
    tally.ended.fetch_add(1, Ordering::Relaxed);
}

/// Answers line by line.
async fn answer_all(stream: TcpStream, tally: &Tally, stopped: &Receiver<()>) -> io::Result<()> {
    let mut heard = Vec::new();
    loop {
        while let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
            let mut line: Vec<u8> = heard.drain(..=end).collect();
            line.make_ascii_uppercase();
            (&stream).write_all(&line).await?;
            // Relaxed: a figure for people.
            tally.answered.fetch_add(1, Ordering::Relaxed);
            if stopped.is_closed() && heard.is_empty() {
                return Ok(());
            }
        }
        let mut room = [0; 1024];
        let read = async { Some((&stream).read(&mut room).await) };
        let read = match or(read, stop(stopped)).await {
            Some(read) => read?,
            // A request has begun if some of it has come.
            None if heard.is_empty() => stream.try_read(&mut room).unwrap_or(0),
            None => (&stream).read(&mut room).await?,
        };
        if read == 0 || heard.len() + read > LONGEST {
            return Ok(());
        }
        heard.extend(&room[..read]);
    }
}

/// Ends, with nothing, when it is time to stop.
async fn stop<T>(stopped: &Receiver<()>) -> Option<T> {
    let _ = stopped.recv().await;
    None
}

/// For `--check`: clients; `SIGTERM` to this program when all of them are served; whether every
/// answer was whole. Gives the connections that never finish a line, which stay open until then.
async fn load(address: SocketAddr, tally: Arc<Tally>) -> Result<Vec<TcpStream>, Failure> {
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"whole\nwithout an end").await?;
        // Both came in one piece: after the answer the second one has begun.
        stream.read_exact(&mut [0; 6]).await?;
        stuck.push(stream);
    }
    let (ready, all_ready) = async_channel::bounded(CLIENTS);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| wq::spawn(client(address, n, ready.clone())))
        .collect();
    for _ in 0..CLIENTS {
        all_ready.recv().await?;
    }
    signal_hook::low_level::raise(SignalKind::terminate().as_raw_value())?;
    let mut heard = STUCK as u64;
    for client in clients {
        heard += client.await??;
    }
    // Relaxed: all connections but the stuck ones have ended.
    let answered = tally.answered.load(Ordering::Relaxed);
    if heard != answered {
        return Err(format!("{answered} answers were sent, {heard} came").into());
    }
    Ok(stuck)
}

/// Asks again and again until the server closes; how many answers came.
async fn client(address: SocketAddr, number: usize, ready: Sender<()>) -> Result<u64, Failure> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    let mut answers = 0;
    loop {
        let request = format!("request {answers} of client {number}\n");
        // The server may have closed meanwhile, in which case it has not read this.
        if stream
            .get_mut()
            .write_all(request.as_bytes())
            .await
            .is_err()
        {
            return Ok(answers);
        }
        let mut answer = String::new();
        match stream.read_line(&mut answer).await {
            Ok(0) | Err(_) => return Ok(answers),
            Ok(_) if answer == request.to_uppercase() => answers += 1,
            Ok(_) => return Err(format!("{request:?} was answered by {answer:?}").into()),
        }
        if answers == 1 {
            ready.send(()).await?;
        }
    }
}
