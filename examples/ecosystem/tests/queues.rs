//! Servers that run on tokio, with handlers on a queue of wq's: axum's own `serve`, and tonic's.

use std::convert::Infallible;
use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::error_handling::HandleErrorLayer;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{BoxError, Router};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};
use wq::Workqueue;
use wq::tower::OnQueueLayer;

/// The queue that a handler runs on; none on a thread of tokio's.
fn queue_here() -> String {
    let thread = std::thread::current();
    if thread.name().is_some_and(|name| name.contains("tokio")) {
        "none".to_owned()
    } else {
        wq::current().name().to_owned()
    }
}

/// A route with the layer runs on the queue, one without it on tokio; a closed queue refuses.
#[wq::test(tokio = true)]
async fn routes_of_axum_serve_run_on_queues() {
    let reports = Workqueue::unbound("reports").max_active(2).build().unwrap();
    let refused =
        |error: BoxError| async move { (StatusCode::SERVICE_UNAVAILABLE, error.to_string()) };
    let on_reports = (HandleErrorLayer::new(refused), OnQueueLayer::new(&reports));
    let router = Router::new()
        .route("/plain", get(async || queue_here()))
        .route("/report", get(async || queue_here()).layer(on_reports));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = wq::spawn(axum::serve(listener, router).into_future());
    let ask = |path: &'static str| {
        let url = format!("{url}{path}");
        async move {
            let response = reqwest::get(url).await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        }
    };
    assert_eq!(ask("/plain").await, (200, "none".to_owned()));
    assert_eq!(ask("/report").await, (200, "reports".to_owned()));
    reports.destroy().await.unwrap();
    let (status, why) = ask("/report").await;
    assert!(status == 503 && why.contains("closed"), "{status} {why}");
    server.abort();
}

/// A service that says where it runs.
#[derive(Clone)]
struct Where;

impl NamedService for Where {
    const NAME: &'static str = "test.Where";
}

impl Service<http::Request<Body>> for Where {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = service_fn(async |_: Request<()>| Ok(Response::new(queue_here())));
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<String, ()>::default());
            Ok(grpc.unary(answer, request).await)
        })
    }
}

/// All calls of a tonic server with the layer run on the queue.
#[wq::test(tokio = true)]
async fn calls_of_a_tonic_server_run_on_a_queue() {
    for layered in [false, true] {
        let calls = Workqueue::unbound("calls").max_active(2).build().unwrap();
        let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = incoming.local_addr().unwrap();
        let server = if layered {
            let mut server = Server::builder().layer(OnQueueLayer::new(&calls));
            wq::spawn(server.add_service(Where).serve_with_incoming(incoming))
        } else {
            let server = Server::builder().add_service(Where);
            wq::spawn(server.serve_with_incoming(incoming))
        };
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = channel.connect().await.unwrap();
        let mut grpc = tonic::client::Grpc::new(channel);
        grpc.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/test.Where/Where");
        let codec = ProstCodec::<(), String>::default();
        let answer = grpc.unary(Request::new(()), path, codec).await.unwrap();
        assert_eq!(answer.into_inner(), if layered { "calls" } else { "none" });
        server.abort();
    }
}
