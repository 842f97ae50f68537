//! Services whose requests run on a queue: per-route limits and priorities of servers.
//!
//! A server handles requests where it reads them. With [`OnQueue`] around a service, or
//! [`OnQueueLayer`] around a route of a router made of tower services (axum, tonic), each request
//! of it is an item of a queue instead: expensive reports on one with a limit, health checks on one
//! of high priority. Other requests of the same connection go on beside it where the protocol
//! allows that.
//!
//! What has no room is refused at once, after the inner service has made its future: a queue with
//! `max_pending` sheds load, and the error says so. A request whose client goes away is aborted, as
//! it would be without the queue.
//!
//! ```
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use wq::Workqueue;
//! use wq::tower::OnQueueLayer;
//!
//! # wq::block_on(async {
//! let reports = Workqueue::unbound("reports").max_active(2).max_pending(100).build()?;
//! let mut service = ServiceBuilder::new()
//!     .layer(OnQueueLayer::new(&reports))
//!     .service(service_fn(async |month: u32| {
//!         assert_eq!(wq::current().name(), "reports");
//!         Ok::<_, std::io::Error>(month * 1000) // may block, and burn CPU
//!     }));
//! assert_eq!(service.ready().await?.call(7).await?, 7000);
//! # Ok::<(), tower::BoxError>(())
//! # }).unwrap();
//! ```

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;
use wq_core::{AbortOnDrop, JoinError, Queue};

/// Puts every service that it is applied to on a queue: see [`OnQueue`].
///
/// axum's routes want errors as responses: there it stands inside a `HandleErrorLayer`, as in the
/// example `http_api`.
///
/// # Examples
/// ```
/// use tower::{Layer, ServiceExt, service_fn};
/// use wq::tower::OnQueueLayer;
///
/// # wq::block_on(async {
/// let urgent = wq::Workqueue::percpu("urgent").highpri().build()?;
/// let health = service_fn(async |()| Ok::<_, std::io::Error>("ok"));
/// let health = OnQueueLayer::new(&urgent).layer(health);
/// assert_eq!(health.oneshot(()).await?, "ok");
/// # Ok::<(), tower::BoxError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct OnQueueLayer {
    queue: Queue,
}

impl OnQueueLayer {
    /// For this queue.
    ///
    /// # Examples
    /// ```
    /// let queue = wq::Workqueue::unbound("requests").build()?;
    /// let layer = wq::tower::OnQueueLayer::new(&queue);
    /// # drop(layer);
    /// # Ok::<(), wq::BuildError>(())
    /// ```
    pub fn new(queue: &Queue) -> OnQueueLayer {
        OnQueueLayer {
            queue: queue.clone(),
        }
    }
}

impl<S> Layer<S> for OnQueueLayer {
    type Service = OnQueue<S>;

    fn layer(&self, inner: S) -> OnQueue<S> {
        OnQueue::new(&self.queue, inner)
    }
}

/// A service whose requests are items of a queue. Readiness is the inner service's: the queue is
/// asked when a request comes.
///
/// # Examples
/// ```
/// use tower::{ServiceExt, service_fn};
/// use wq::tower::OnQueue;
///
/// # wq::block_on(async {
/// let queue = wq::Workqueue::ordered("journal").build()?;
/// let service = service_fn(async |line: &'static str| Ok::<_, std::io::Error>(line.len()));
/// assert_eq!(OnQueue::new(&queue, service).oneshot("first").await?, 5);
/// # Ok::<(), tower::BoxError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct OnQueue<S> {
    queue: Queue,
    inner: S,
}

impl<S> OnQueue<S> {
    /// `inner`'s requests, on this queue.
    ///
    /// # Examples
    /// ```
    /// let queue = wq::Workqueue::unbound("requests").build()?;
    /// let service = wq::tower::OnQueue::new(&queue, "any service");
    /// # drop(service);
    /// # Ok::<(), wq::BuildError>(())
    /// ```
    pub fn new(queue: &Queue, inner: S) -> OnQueue<S> {
        OnQueue {
            queue: queue.clone(),
            inner,
        }
    }
}

impl<S, R> Service<R> for OnQueue<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
{
    type Response = S::Response;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = QueuedResponse<S::Response, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let spawned = self.queue.try_spawn(self.inner.call(request));
        QueuedResponse(match spawned {
            Ok(task) => Ok(task.abort_on_drop()),
            Err(refused) if refused.is_full() => Err(Why::Full),
            Err(_) => Err(Why::Closed),
        })
    }
}

/// The response of an [`OnQueue`] service.
///
/// Its error is the inner service's, or an [`OnQueueError`] if the request did not come to an end.
///
/// # Cancellation
/// Dropping it aborts the request: its future is dropped on a worker, unless it has ended.
#[derive(Debug)]
#[must_use = "dropping the response aborts the request"]
pub struct QueuedResponse<T, E>(Result<AbortOnDrop<Result<T, E>>, Why>);

impl<T, E> Future for QueuedResponse<T, E>
where
    T: Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
{
    type Output = Result<T, Box<dyn Error + Send + Sync>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = match &mut self.0 {
            Ok(task) => match Pin::new(task).poll(cx) {
                Poll::Ready(ended) => ended,
                Poll::Pending => return Poll::Pending,
            },
            Err(why) => return Poll::Ready(Err(Box::new(OnQueueError(std::mem::take(why))))),
        };
        Poll::Ready(match ended {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(Box::new(OnQueueError(Why::Ended(error)))),
        })
    }
}

/// Why a request on a queue has no response.
///
/// # Examples
/// ```
/// use tower::{ServiceExt, service_fn};
/// use wq::tower::{OnQueue, OnQueueError};
///
/// # wq::block_on(async {
/// let queue = wq::Workqueue::unbound("requests").build().unwrap();
/// let requests = (*queue).clone();
/// drop(queue); // closes it
/// let service = service_fn(async |()| Ok::<_, std::io::Error>(()));
/// let error = OnQueue::new(&requests, service).oneshot(()).await.unwrap_err();
/// assert!(error.downcast_ref::<OnQueueError>().unwrap().is_closed());
/// # });
/// ```
#[derive(Debug)]
pub struct OnQueueError(Why);

/// What happened.
#[derive(Debug, Default)]
enum Why {
    /// As many items wait as may.
    Full,
    /// The queue takes no more; or the response was polled after its end.
    #[default]
    Closed,
    /// The task panicked or was aborted.
    Ended(JoinError),
}

impl OnQueueError {
    /// The queue was full: as many items wait as `max_pending` allows.
    pub fn is_full(&self) -> bool {
        matches!(self.0, Why::Full)
    }

    /// The queue was closed, or is draining.
    pub fn is_closed(&self) -> bool {
        matches!(self.0, Why::Closed)
    }

    /// The request panicked.
    pub fn is_panic(&self) -> bool {
        matches!(&self.0, Why::Ended(error) if error.is_panic())
    }

    /// The request was aborted, by a shutdown for instance.
    pub fn is_cancelled(&self) -> bool {
        matches!(&self.0, Why::Ended(error) if error.is_cancelled())
    }
}

impl fmt::Display for OnQueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Full => f.write_str("the queue is full: as many requests wait as it allows"),
            Why::Closed => f.write_str("the queue is closed or draining"),
            Why::Ended(error) => write!(f, "the request did not come to its end: {error}"),
        }
    }
}

impl Error for OnQueueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Why::Ended(error) => Some(error),
            Why::Full | Why::Closed => None,
        }
    }
}
