//! An echo server on unmodified crates of the smol family: async-net, async-channel, futures-lite.
//!
//! They bring their own reactor; wq runs the tasks. Usage: `echo [ADDRESS]`, for instance
//! `echo 127.0.0.1:7777`; without an address it takes a free port of the loopback device. It
//! serves until its input ends (Ctrl-D), then lets open connections finish.
//!
//! Smoke: none, it waits for clients

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::io::{self, Read};

use async_channel::{Receiver, Sender};
use async_net::{TcpListener, TcpStream};
use futures_lite::future::or;
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use wq::Workqueue;

/// Connections served at a time; more wait in the kernel and in the queue.
const CONNECTIONS: usize = 1000;

#[wq::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(&address)
        .await
        .map_err(|e| format!("{address}: {e}"))?;
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
        .max_active(CONNECTIONS)
        .build()?;
    while let Some(stream) = next(&listener, &stopped).await? {
        drop(connections.spawn(serve(stream, done.clone())));
    }
    drop(done);
    wq::drain(&connections).await?;
    let (served, failed, bytes) = tally.await?;
    println!("{served} connections served, {failed} failed, {bytes} bytes echoed");
    Ok(())
}

/// The next connection; `None` when it is time to stop.
async fn next(listener: &TcpListener, stopped: &Receiver<()>) -> io::Result<Option<TcpStream>> {
    let accept = async { listener.accept().await.map(|(stream, _)| Some(stream)) };
    let stop = async {
        // Nobody ever sends: this ends with the error that the channel is closed.
        let _ = stopped.recv().await;
        Ok(None)
    };
    or(stop, accept).await
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
