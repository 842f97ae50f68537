//! A gRPC service and its client by tonic, unmodified: wq is named in the attribute of `main` and
//! where it spawns. What `tonic-build` would write from a `.proto` file is written by hand, to do
//! without `protoc`.

use std::convert::Infallible;
use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

/// Where the method is found.
const GREET: &str = "/greet.Greeter/Greet";

/// Whom to greet.
#[derive(Clone, PartialEq, prost::Message)]
struct GreetRequest {
    #[prost(string, tag = "1")]
    name: String,
}

/// The greeting.
#[derive(Clone, PartialEq, prost::Message)]
struct GreetReply {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(uint32, tag = "2")]
    letters: u32,
}

/// The method.
async fn greet(request: Request<GreetRequest>) -> Result<Response<GreetReply>, Status> {
    let name = request.into_inner().name;
    if name.is_empty() {
        return Err(Status::invalid_argument("nobody to greet"));
    }
    let letters = name.chars().count() as u32;
    let text = format!("Hello, {name}!");
    Ok(Response::new(GreetReply { text, letters }))
}

/// The service, as `tonic-build` writes it.
#[derive(Clone)]
struct Greeter;

impl NamedService for Greeter {
    const NAME: &'static str = "greet.Greeter";
}

impl Service<http::Request<Body>> for Greeter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            if request.uri().path() != GREET {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
            Ok(grpc.unary(service_fn(greet), request).await)
        })
    }
}

/// The client, as `tonic-build` writes it.
async fn call(channel: Channel, name: &str) -> Result<GreetReply, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let path = http::uri::PathAndQuery::from_static(GREET);
    let request = Request::new(GreetRequest {
        name: name.to_owned(),
    });
    let codec = ProstCodec::<GreetRequest, GreetReply>::default();
    Ok(grpc.unary(request, path, codec).await?.into_inner())
}

#[wq::main(tokio = true)]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = incoming.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server::builder().add_service(Greeter);
    let server = wq::spawn(server.serve_with_incoming_shutdown(incoming, async {
        let _ = stopped.await;
    }));

    let channel = Endpoint::from_shared(format!("http://{address}"))?
        .connect()
        .await?;
    // A hundred calls at a time over one connection.
    let calls: Vec<_> = (0..100)
        .map(|n| {
            let channel = channel.clone();
            wq::spawn(async move { call(channel, &"x".repeat(n + 1)).await })
        })
        .collect();
    let mut letters = 0;
    for call in calls {
        letters += call.await??.letters;
    }
    println!("100 greetings have {letters} letters");
    println!("{}", call(channel.clone(), "tonic").await?.text);
    let refused = call(channel.clone(), "")
        .await
        .expect_err("there is nobody");
    assert_eq!(refused.code(), Code::InvalidArgument);
    println!("refused: {}", refused.message());

    drop(channel);
    let _ = stop.send(());
    server.await??;
    println!("the server has ended");
    Ok(())
}
