//! async-executor, plain and as smol composes it with async-io.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use smol::channel;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::lock::Semaphore;
use smol::{Async, Executor, Task, Timer};
use tokio_util::task::TaskTracker;

use super::{Group, Job, Limited, Ordered, Runtime, Wire, workers};

/// async-executor alone: threads wait by futures-lite's parker, and the main thread runs tasks
/// while it waits for its root, as in that crate's own benchmarks.
pub(crate) type AsyncExecutor = Executors<HelpingRoot>;
/// async-executor on threads that poll async-io when idle; the main thread only waits.
pub(crate) type Smol = Executors<WaitingRoot>;

/// The process's executor.
static EXECUTOR: Executor<'static> = Executor::new();

/// How threads wait.
pub(crate) trait Style: Copy + Send + Sync + 'static {
    /// Drives a future on the calling thread.
    fn block_on<F: Future>(future: F) -> F::Output;

    /// Drives a root.
    fn root<F: Future>(root: F) -> F::Output;
}

/// Style of [`AsyncExecutor`].
#[derive(Clone, Copy)]
pub(crate) struct HelpingRoot;

/// Style of [`Smol`].
#[derive(Clone, Copy)]
pub(crate) struct WaitingRoot;

impl Style for HelpingRoot {
    fn block_on<F: Future>(future: F) -> F::Output {
        smol::future::block_on(future)
    }

    fn root<F: Future>(root: F) -> F::Output {
        smol::future::block_on(EXECUTOR.run(root))
    }
}

impl Style for WaitingRoot {
    fn block_on<F: Future>(future: F) -> F::Output {
        smol::block_on(future)
    }

    fn root<F: Future>(root: F) -> F::Output {
        smol::block_on(root)
    }
}

/// A handle of [`EXECUTOR`].
#[derive(Clone, Copy)]
pub(crate) struct Executors<S: Style>(PhantomData<S>);

impl<S: Style> Runtime for Executors<S> {
    type Join<T: Send + 'static> = Task<T>;
    type Ordered<F: Job> = channel::Sender<F>;
    type Limited = Arc<Semaphore>;
    type Group = Tracked;
    type Wire = Async<TcpStream>;

    fn start() -> Self {
        for number in 0..workers() {
            let builder = thread::Builder::new().name(format!("executor-{number}"));
            let runner = || S::block_on(EXECUTOR.run(std::future::pending::<()>()));
            builder.spawn(runner).expect("the executor's thread starts");
        }
        Self(PhantomData)
    }

    fn run_root<F>(self, root: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        S::root(root)
    }

    fn wait<F: Future>(self, future: F) -> F::Output {
        S::block_on(future)
    }

    #[inline]
    fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        EXECUTOR.spawn(future)
    }

    #[inline]
    fn spawn_outside<F>(self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        EXECUTOR.spawn(future)
    }

    #[inline]
    fn join<T: Send + 'static>(handle: Task<T>) -> impl Future<Output = T> + Send {
        handle
    }

    #[inline]
    fn detach<T: Send + 'static>(handle: Task<T>) {
        handle.detach();
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> + Send {
        smol::future::yield_now()
    }

    async fn sleep_until(deadline: Instant) {
        Timer::at(deadline).await;
    }

    fn ordered<F: Job>(self) -> channel::Sender<F> {
        let (sender, receiver) = channel::unbounded::<F>();
        let consumer = async move {
            while let Ok(job) = receiver.recv().await {
                job.await;
            }
        };
        EXECUTOR.spawn(consumer).detach();
        sender
    }

    fn limited(self, limit: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(limit))
    }

    fn group(self) -> Tracked {
        Tracked(TaskTracker::new())
    }
}

impl<F: Job> Ordered<F> for channel::Sender<F> {
    #[inline]
    fn push(&self, job: F) {
        assert!(
            self.try_send(job).is_ok(),
            "the consumer lives as long as the queue"
        );
    }
}

impl Limited for Arc<Semaphore> {
    #[inline]
    fn spawn<F: Job>(&self, job: F) {
        let semaphore = Self::clone(self);
        let task = async move {
            let _permit = semaphore.acquire().await;
            job.await;
        };
        EXECUTOR.spawn(task).detach();
    }
}

/// tokio-util's tracker around tasks of this executor; it needs no tokio runtime.
pub(crate) struct Tracked(TaskTracker);

impl Group for Tracked {
    #[inline]
    fn spawn<F: Job>(&self, job: F) {
        EXECUTOR.spawn(self.0.track_future(job)).detach();
    }

    async fn finish(&self) {
        self.0.close();
        self.0.wait().await;
        self.0.reopen();
    }
}

impl Wire for Async<TcpStream> {
    fn adopt(socket: TcpStream) -> io::Result<Self> {
        Self::new(socket)
    }

    async fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        AsyncReadExt::read(self, room).await
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        AsyncWriteExt::write_all(self, bytes).await
    }
}
