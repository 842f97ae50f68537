//! An HTTP API with a queue for each kind of request: axum's router, hyper, and wq's own sockets.
//!
//! - `/hello/NAME` runs where its connection is served, on the queue `connections`.
//! - `/report/MONTH` takes a while and blocks. It runs on `reports`, two at a time, and when more
//!   than a few wait the next one is refused with 503 instead of making all of them late.
//! - `/health` runs on `health`, at high priority: however many reports there are, it answers.
//!
//! Usage: `http_api [--connections N] [ADDRESS]`, for instance `http_api 127.0.0.1:8080`; without
//! an address it takes a free port of the loopback device. It serves N connections at a time, 1000
//! by default, until its input ends (Ctrl-D), then lets requests that have begun come to their end.
//! `http_api --check` makes requests to itself and ends.
//!
//! Smoke: --check

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use axum::body::{Body, to_bytes};
use axum::error_handling::HandleErrorLayer;
use axum::extract::Path;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use axum::{BoxError, Router};
use futures_lite::future::or;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper_util::service::TowerToHyperService;
use lexopt::prelude::*;
use wq::hyper::{Io, Timer};
use wq::net::{TcpListener, TcpStream};
use wq::tower::OnQueueLayer;
use wq::{Queue, Workqueue};
use wq_examples::arguments::value;

/// How the program is called.
const USAGE: &str = "usage: http_api [--connections N] [ADDRESS], or http_api --check";
/// Reports made at a time.
const REPORTS: usize = 2;
/// Reports that may wait; what comes beyond that is refused.
const WAITING_REPORTS: usize = 16;
/// Clients have this long to say what they want.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// What a handler, or the whole program, fails with.
type Failure = Box<dyn Error + Send + Sync>;

/// What was asked for.
struct Options {
    address: String,
    /// Those served at a time; more wait in the kernel.
    connections: usize,
    check: bool,
}

/// Says hello.
async fn hello(Path(name): Path<String>) -> String {
    format!("Hello, {name}! (on {})", wq::current().name())
}

/// Says that all is well.
async fn health() -> String {
    format!("fine (on {})", wq::current().name())
}

/// Reports that are being made now, and the most at a time.
static MAKING: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Makes a report, as slowly as a database would give the figures. It blocks: that is fine.
async fn report(Path(month): Path<u8>) -> Result<String, StatusCode> {
    if !(1..=12).contains(&month) {
        return Err(StatusCode::NOT_FOUND);
    }
    // Relaxed: counts for people.
    MOST.fetch_max(
        MAKING.fetch_add(1, Ordering::Relaxed) + 1,
        Ordering::Relaxed,
    );
    std::thread::sleep(Duration::from_millis(5));
    // Relaxed: as above.
    MAKING.fetch_sub(1, Ordering::Relaxed);
    Ok(format!("month {month}: 4711 (on {})", wq::current().name()))
}

/// What is found where, and on which queue it runs.
fn router(health_queue: &Queue, reports: &Queue) -> Router {
    // A request that its queue refuses becomes a response of that kind.
    let refused = |error: BoxError| async move {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("try again later: {error}"),
        )
    };
    let on = |queue| (HandleErrorLayer::new(refused), OnQueueLayer::new(queue));
    Router::new()
        .route("/hello/{name}", get(hello))
        .route("/health", get(health).layer(on(health_queue)))
        .route("/report/{month}", get(report).layer(on(reports)))
}

#[wq::main]
async fn main() -> Result<(), Failure> {
    let options = options().map_err(|error| format!("{error}; {USAGE}"))?;
    let listener = TcpListener::bind(&*options.address).await;
    let listener = listener.map_err(|error| format!("{}: {error}; {USAGE}", options.address))?;
    let address = listener.local_addr()?;

    let connections = Workqueue::unbound("connections")
        .max_pending(options.connections)
        .build()?;
    let health = Workqueue::percpu("health").highpri().build()?;
    let reports = Workqueue::unbound("reports")
        .max_active(REPORTS)
        .max_pending(WAITING_REPORTS)
        .build()?;
    let router = router(&health, &reports);

    // Closed when it is time to stop; nothing is ever sent.
    let (stop, stopped) = async_channel::bounded::<()>(1);
    if options.check {
        let accepting = wq::spawn(accept(listener, router, (*connections).clone(), stopped));
        ask(address).await?;
        drop(stop);
        accepting.await?;
    } else {
        println!("listening on http://{address}");
        drop(wq::spawn_fn(move || wait_for_end_of_input(stop)));
        accept(listener, router, (*connections).clone(), stopped).await;
    }
    let served = connections.stats().accepted;
    wq::drain(&connections).await?;
    println!("{served} connections, all of them ended");
    Ok(())
}

/// Reads the command line.
fn options() -> Result<Options, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let (mut address, mut connections, mut check) = (None, 1000, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("connections") => connections = value(&mut parser, "--connections")?,
            Long("check") => check = true,
            Value(text) if address.is_none() => address = Some(text.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Options {
        address: address.unwrap_or_else(|| "127.0.0.1:0".into()),
        connections,
        check,
    })
}

/// Reading the input blocks, which is fine in a task. The channel closes when it has ended.
fn wait_for_end_of_input(stop: Sender<()>) {
    let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
    drop(stop);
}

/// Has a task serve each connection, until it is time to stop.
async fn accept(listener: TcpListener, router: Router, queue: Queue, stopped: Receiver<()>) {
    loop {
        // A place first: connections for which there is none wait in the kernel.
        let next = async {
            let place = queue.reserve().await.ok()?;
            Some((place, listener.accept().await))
        };
        match or(stop(&stopped), next).await {
            None => return,
            Some((place, Ok((stream, _)))) => {
                drop(place.spawn(serve(stream, router.clone(), stopped.clone())));
            }
            Some((_, Err(error))) => {
                // Too many open files, say: the next call waits for a moment by itself.
                eprintln!("a connection was not accepted: {error}");
            }
        }
    }
}

/// Ends, with nothing, when it is time to stop.
async fn stop<T>(stopped: &Receiver<()>) -> Option<T> {
    let _ = stopped.recv().await;
    None
}

/// Serves one connection. When it is time to stop, the request that has begun is the last one.
async fn serve(stream: TcpStream, router: Router, stopped: Receiver<()>) {
    let mut http = server::Builder::new();
    http.timer(Timer).header_read_timeout(HEAD_TIME);
    let _ = stream.set_nodelay(true);
    let connection = Io::new(stream).vectored();
    let mut served = pin!(http.serve_connection(connection, TowerToHyperService::new(router)));
    let ended = or(async { Some(served.as_mut().await) }, stop(&stopped)).await;
    let ended = match ended {
        Some(ended) => ended,
        None => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    // Clients go away, and say nonsense: that is their affair.
    drop(ended);
}

/// A client's side of one connection.
struct Client(client::SendRequest<Body>);

impl Client {
    /// Connects.
    async fn connect(address: SocketAddr) -> Result<Client, Failure> {
        let stream = TcpStream::connect(address).await?;
        let (send, connection) = client::handshake(Io::new(stream)).await?;
        drop(wq::spawn(connection));
        Ok(Client(send))
    }

    /// Asks for something: the status and the text of the answer.
    async fn get(&mut self, path: &str) -> Result<(StatusCode, String), Failure> {
        let request = Request::get(path)
            .header("host", "here")
            .body(Body::empty())?;
        self.0.ready().await?;
        let response = self.0.send_request(request).await?;
        let status = response.status();
        let body = to_bytes(Body::new(response.into_body()), 1 << 20).await?;
        Ok((status, String::from_utf8(body.into())?))
    }
}

/// Makes requests, and prints what is the same each time.
async fn ask(address: SocketAddr) -> Result<(), Failure> {
    let mut client = Client::connect(address).await?;
    for path in [
        "/hello/wq",
        "/health",
        "/report/7",
        "/report/13",
        "/nothing",
    ] {
        let (status, text) = client.get(path).await?;
        let answer = format!("{path}: {} {text}", status.as_u16());
        println!("{}", answer.trim_end());
    }

    // More reports than may wait, at the same time; and health checks beside them.
    let reports: Vec<_> = (0..100)
        .map(|n| {
            wq::spawn(async move {
                let path = format!("/report/{}", n % 12 + 1);
                Client::connect(address).await?.get(&path).await
            })
        })
        .collect();
    for _ in 0..20 {
        let (status, _) = client.get("/health").await?;
        assert_eq!(status, StatusCode::OK, "nothing holds up a health check");
    }
    let mut made = 0;
    for report in reports {
        match report.await?? {
            (StatusCode::OK, _) => made += 1,
            (StatusCode::SERVICE_UNAVAILABLE, why) if why.contains("the queue is full") => {}
            (status, text) => return Err(format!("a report came as {status}: {text}").into()),
        }
    }
    assert!(
        made >= REPORTS + WAITING_REPORTS,
        "only {made} reports were made"
    );
    // Relaxed: all reports have come to their end.
    let most = MOST.load(Ordering::Relaxed);
    assert!(most <= REPORTS, "{most} reports were made at a time");
    println!(
        "each of 100 reports was made, or refused at once; never more than {REPORTS} at a time"
    );
    Ok(())
}
