//! hyper's own tasks, on a queue.

use std::future::Future;

use wq_core::Queue;

/// Runs the tasks that hyper starts on a queue: for HTTP/2, where each request is one, and for
/// clients.
///
/// A client needs a queue without a limit: its connections are tasks of the queue, too, and last;
/// with as many connections as slots no request would ever begin.
///
/// A task that the queue does not accept, because it is closed or draining, is dropped, which ends
/// its request.
///
/// # Examples
/// ```
/// use hyper::server::conn::http2;
/// use wq::Workqueue;
/// use wq::hyper::{Executor, Timer};
///
/// let requests = Workqueue::unbound("requests").max_active(64).build()?;
/// let mut http = http2::Builder::new(Executor::new(&requests));
/// http.timer(Timer);
/// # Ok::<(), wq::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Executor {
    queue: Queue,
}

impl Executor {
    /// On this queue.
    ///
    /// # Examples
    /// ```
    /// let queue = wq::Workqueue::unbound("requests").build()?;
    /// let executor = wq::hyper::Executor::new(&queue);
    /// # drop(executor);
    /// # Ok::<(), wq::BuildError>(())
    /// ```
    pub fn new(queue: &Queue) -> Executor {
        Executor {
            queue: queue.clone(),
        }
    }
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.queue.spawn(future));
    }
}
