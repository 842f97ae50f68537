//! An echo server on wq's own sockets.
//!
//! Usage: `echo [--connections N] [ADDRESS]`, for instance `echo 127.0.0.1:7777`; without an
//! address it takes a free port of the loopback device. It serves N connections at a time, 1000 by
//! default, until its input ends (Ctrl-D), then lets open connections finish. A connection that
//! cannot be accepted is told on standard error, and the server goes on.
//!
//! Smoke: none, it waits for clients

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::io::{self, Read};

use async_channel::{Receiver, Sender};
use futures_lite::future::or;
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use lexopt::prelude::*;
use wq::Workqueue;
use wq::net::{TcpListener, TcpStream};
use wq_examples::arguments::value;

/// How the program is called.
const USAGE: &str = "usage: echo [--connections N] [ADDRESS]";

/// What was asked for.
struct Options {
    address: String,
    /// Those served at a time; more wait in the kernel.
    connections: usize,
}

#[wq::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let Options {
        address,
        connections,
    } = options().map_err(|error| format!("{error}; {USAGE}"))?;
    let listener = TcpListener::bind(&*address)
        .await
        .map_err(|error| format!("{address}: {error}; {USAGE}"))?;
    println!("listening on {}", listener.local_addr()?);

    // Reading the input blocks, which is fine in a task. The channel closes when it ended.
    let (stop, stopped) = async_channel::bounded::<()>(1);
    drop(wq::spawn_fn(move || {
        let _stop = stop;
        let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
    }));

    let (done, results) = async_channel::unbounded();
    let tally = wq::spawn(add_up(results));
    let connections = Workqueue::unbound("connections")
        .max_pending(connections)
        .build()?;
    loop {
        // A place first: connections for which there is none wait in the kernel.
        let accept = async {
            let place = connections.reserve().await;
            Some((place, listener.accept().await))
        };
        match or(stop_asked(&stopped), accept).await {
            None => break,
            Some((place, Ok((stream, _)))) => drop(place?.spawn(serve(stream, done.clone()))),
            // Too many open files, say: the next call waits for a moment by itself.
            Some((_, Err(error))) => eprintln!("a connection was not accepted: {error}"),
        }
    }
    drop(done);
    wq::drain(&connections).await?;
    let (served, failed, bytes) = tally.await?;
    println!("{served} connections served, {failed} failed, {bytes} bytes echoed");
    Ok(())
}

/// Reads the command line.
fn options() -> Result<Options, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let (mut address, mut connections) = (None, 1000);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("connections") => connections = value(&mut parser, "--connections")?,
            Value(text) if address.is_none() => address = Some(text.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Options {
        address: address.unwrap_or_else(|| "127.0.0.1:0".into()),
        connections,
    })
}

/// Ends, with nothing, when it is time to stop.
async fn stop_asked<T>(stopped: &Receiver<()>) -> Option<T> {
    // Nobody ever sends: this ends with the error that the channel is closed.
    let _ = stopped.recv().await;
    None
}

/// Serves one connection and tells how it went.
async fn serve(mut stream: TcpStream, done: Sender<io::Result<u64>>) {
    let result = echo(&mut stream).await;
    // The other end of this channel waits until the last sender has gone.
    let _ = done.send(result).await;
}

/// Sends back whatever comes, until the other side has said all.
async fn echo(stream: &mut TcpStream) -> io::Result<u64> {
    let mut buffer = [0; 4096];
    let mut bytes = 0;
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(bytes);
        }
        stream.write_all(&buffer[..read]).await?;
        bytes += read as u64;
    }
}

/// Counts connections served, connections failed, and bytes.
async fn add_up(results: Receiver<io::Result<u64>>) -> (u64, u64, u64) {
    let (mut served, mut failed, mut bytes) = (0, 0, 0);
    while let Ok(result) = results.recv().await {
        match result {
            Ok(echoed) => {
                served += 1;
                bytes += echoed;
            }
            Err(_) => failed += 1,
        }
    }
    (served, failed, bytes)
}
