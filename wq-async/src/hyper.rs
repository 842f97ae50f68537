//! What hyper asks of a runtime: where to run its tasks, how to wait, how to read and write.
//!
//! hyper 1 brings no runtime; its `rt` traits are implemented here, so that its servers and clients
//! run on wq without tokio's: [`Executor`] runs hyper's own tasks (HTTP/2 has some) on a queue of
//! your choice, [`Timer`] serves its time limits, and [`Io`] makes of any connection with the
//! `futures::io` traits one that hyper can use. `hyper-util` is needed for none of it; where its
//! services or its client are wanted, these types serve there as well.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use futures::io::{AsyncRead, AsyncWrite};
//! use hyper::body::Incoming;
//! use hyper::server::conn::http1;
//! use hyper::service::service_fn;
//! use hyper::{Request, Response};
//! use wq::hyper::{Io, Timer};
//!
//! async fn hello(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
//!     Ok(Response::new(format!("You asked for {}\n", request.uri().path())))
//! }
//!
//! /// Serves a connection, as a task of its own.
//! fn serve(connection: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
//!     drop(wq::spawn(async move {
//!         let mut http = http1::Builder::new();
//!         let served = http.timer(Timer).serve_connection(Io::new(connection), service_fn(hello));
//!         if let Err(error) = served.await {
//!             eprintln!("a connection ended: {error}");
//!         }
//!     }));
//! }
//! ```

mod executor;
mod io;
mod timer;

pub use executor::Executor;
pub use io::Io;
pub use timer::Timer;
