//! hyper's servers and clients on wq, without tokio's runtime: over real sockets, with its own
//! tasks on a queue and its time limits on wq's timers.

#![cfg(feature = "hyper")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_net::{TcpListener, TcpStream};
use futures::future::join_all;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn as client;
use hyper::server::conn as server;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use wq::hyper::{Executor, Io, Timer};
use wq::{System, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A body that is at hand.
type Body = Full<Bytes>;

/// A System of two lanes.
fn system() -> System {
    System::builder().workers(2).build().expect("a System")
}

/// Gives the body back, and says on which queue.
async fn echo(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let queue = wq::current().name().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let response = Response::builder().header("queue", queue);
    Ok(response.body(Full::new(body)).unwrap())
}

/// Accepts for ever, and has `serve` make a task of each connection.
async fn listen(serve: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(wq::spawn(async move {
        let mut incoming = listener.incoming();
        while let Some(Ok(connection)) = incoming.next().await {
            serve(connection);
        }
    }));
    address
}

/// Serves HTTP/1 with pipelined and kept connections, bodies of all sizes, and both ways to write.
#[test]
fn http1_client_and_server() {
    for vectored in [false, true] {
        let io = move |stream| {
            let io = Io::new(stream);
            if vectored { io.vectored() } else { io }
        };
        system().run(async move {
            let address = listen(move |stream| {
                let mut http = server::http1::Builder::new();
                let connection = http
                    .timer(Timer)
                    .serve_connection(io(stream), service_fn(echo));
                drop(wq::spawn(async move { connection.await.unwrap() }));
            });
            let address = address.await;
            let clients = (0..8).map(|client| {
                wq::spawn(async move {
                    let stream = TcpStream::connect(address).await.unwrap();
                    let (mut send, connection) =
                        client::http1::handshake(io(stream)).await.unwrap();
                    let connection = wq::spawn(connection);
                    // Also far more than hyper, a socket or a scratch buffer takes at once.
                    for bytes in [0, 1, 1000, 16 * 1024, 16 * 1024 + 1, 1_000_000] {
                        let body = vec![client; bytes];
                        let request = Request::post("/").body(Body::from(body.clone())).unwrap();
                        let response = send.send_request(request).await.unwrap();
                        assert_eq!(response.headers()["queue"], "events_unbound");
                        let echoed = response.into_body().collect().await.unwrap().to_bytes();
                        assert!(
                            echoed == body,
                            "{bytes} bytes came back as {}",
                            echoed.len()
                        );
                    }
                    drop(send);
                    connection.await.unwrap().unwrap();
                })
            });
            for client in join_all(clients).await {
                client.unwrap();
            }
        });
    }
}

/// Goal: HTTP/2 requests run on the queue that the executor names, within its limit. Method: each
/// counts how many are inside; all are sent over one connection before the first answer is read.
#[test]
fn http2_requests_run_on_the_executors_queue() {
    /// Requests that are inside now, and the most at a time.
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    /// Stays for a while.
    async fn stay(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        MOST.fetch_max(INSIDE.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        wq::time::sleep(Duration::from_millis(1)).await;
        INSIDE.fetch_sub(1, Ordering::SeqCst);
        echo(request).await
    }
    let report = system().run(async {
        let requests = Workqueue::unbound("requests").max_active(3);
        let requests = Arc::new(requests.build().unwrap());
        let executor = Executor::new(&requests);
        let address = listen(move |stream| {
            let mut http = server::http2::Builder::new(executor.clone());
            let connection = http
                .timer(Timer)
                .serve_connection(Io::new(stream), service_fn(stay));
            drop(wq::spawn(connection));
        });
        let stream = TcpStream::connect(address.await).await.unwrap();
        let background = Executor::new(&wq::current());
        let mut http = client::http2::Builder::new(background);
        let (send, connection) = http.timer(Timer).handshake(Io::new(stream)).await.unwrap();
        drop(wq::spawn(connection));
        let responses = (0..50).map(|n: u32| {
            let mut send = send.clone();
            async move {
                let request = Request::post("/").body(Body::from(n.to_string())).unwrap();
                let response = send.send_request(request).await.unwrap();
                assert_eq!(response.headers()["queue"], "requests");
                let body = response.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body, n.to_string());
            }
        });
        join_all(responses).await;
        drop(send);
        requests.flush().await.unwrap()
    });
    assert!(report.panicked == 0);
    let most = MOST.load(Ordering::SeqCst);
    assert!((1..=3).contains(&most), "{most} requests ran at a time");
}

/// hyper's time limits end connections: a client that sends no head is let go.
#[test]
fn time_limits_are_kept() {
    let system = system();
    let ended = system.spawn(async {
        let address = listen(|stream| {
            let mut http = server::http1::Builder::new();
            http.timer(Timer)
                .header_read_timeout(Duration::from_millis(5));
            let connection = http.serve_connection(Io::new(stream), service_fn(echo));
            drop(wq::spawn(async move {
                assert!(connection.await.unwrap_err().is_timeout());
            }));
        });
        let mut stream = TcpStream::connect(address.await).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let mut rest = Vec::new();
        // To the end of the stream, which only the server's limit brings about.
        let _ = stream.read_to_end(&mut rest).await;
    });
    ended
        .wait_timeout(FOR_EVER)
        .expect("the limit is kept")
        .unwrap();
}

/// An upgraded connection speaks the `futures` traits again, and loses no byte on the way.
#[test]
fn upgrades_give_the_connection_back() {
    /// Switches to a protocol that echoes in capitals.
    async fn switch(mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        drop(wq::spawn(async move {
            let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
            let mut connection = Io::new(upgraded);
            let mut said = [0; 5];
            connection.read_exact(&mut said).await.unwrap();
            said.make_ascii_uppercase();
            connection.write_all(&said).await.unwrap();
            connection.close().await.unwrap();
        }));
        let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        let response = response
            .header("upgrade", "shout")
            .header("connection", "upgrade");
        Ok(response.body(Body::default()).unwrap())
    }
    let heard = system().run(async {
        let address = listen(|stream| {
            let http = server::http1::Builder::new();
            let connection = http.serve_connection(Io::new(stream), service_fn(switch));
            drop(wq::spawn(connection.with_upgrades()));
        });
        let mut stream = TcpStream::connect(address.await).await.unwrap();
        let head = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: shout\r\n\r\n";
        stream
            .write_all(&[&head[..], b"hello"].concat())
            .await
            .unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        heard
    });
    assert!(heard.starts_with("HTTP/1.1 101"), "{heard}");
    assert!(heard.ends_with("\r\n\r\nHELLO"), "{heard}");
}
