//! tokio's schedulers: `multi_thread` plain, pinned and with marked blocking, `current_thread`.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime as TokioRuntime};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use wq_benches::machine;

use super::{Group, Job, Limited, Ordered, Runtime, Wire, workers};

/// `multi_thread` with two workers, otherwise as tokio's builder makes it.
pub(crate) type TokioMt = Tokio<Plain>;
/// `multi_thread` whose workers pin themselves, one CPU each, when they start.
pub(crate) type TokioPinned = Tokio<Pinned>;
/// `multi_thread` whose tasks wrap what blocks in `spawn_blocking`.
pub(crate) type TokioBlocking = Tokio<Blocking>;
/// `current_thread`: only the thread inside `block_on` runs tasks.
pub(crate) type TokioCt = Tokio<CurrentThread>;

/// How one flavour is built and how its tasks block.
pub(crate) trait Flavour: Copy + Send + Sync + 'static {
    /// Whether closures that block go to the blocking pool.
    const MARKS_BLOCKING: bool = false;

    /// Builds the runtime.
    fn build() -> std::io::Result<TokioRuntime>;
}

/// Flavour of [`TokioMt`].
#[derive(Clone, Copy)]
pub(crate) struct Plain;

/// Flavour of [`TokioPinned`].
#[derive(Clone, Copy)]
pub(crate) struct Pinned;

/// Flavour of [`TokioBlocking`].
#[derive(Clone, Copy)]
pub(crate) struct Blocking;

/// Flavour of [`TokioCt`].
#[derive(Clone, Copy)]
pub(crate) struct CurrentThread;

impl Flavour for Plain {
    fn build() -> std::io::Result<TokioRuntime> {
        Builder::new_multi_thread()
            .worker_threads(workers())
            .enable_all()
            .build()
    }
}

impl Flavour for Pinned {
    fn build() -> std::io::Result<TokioRuntime> {
        let cpus = machine::allowed_cpus();
        let next = AtomicUsize::new(0);
        Builder::new_multi_thread()
            .worker_threads(workers())
            .enable_all()
            .on_thread_start(move || {
                // Relaxed: the number only has to be different for each thread.
                let turn = next.fetch_add(1, Ordering::Relaxed);
                machine::pin_to(cpus[turn % cpus.len()]);
            })
            .build()
    }
}

impl Flavour for Blocking {
    const MARKS_BLOCKING: bool = true;

    fn build() -> std::io::Result<TokioRuntime> {
        Plain::build()
    }
}

impl Flavour for CurrentThread {
    fn build() -> std::io::Result<TokioRuntime> {
        Builder::new_current_thread().enable_all().build()
    }
}

/// The process's tokio runtime.
#[derive(Clone, Copy)]
pub(crate) struct Tokio<K: Flavour> {
    /// Leaked: it lives as long as the process.
    runtime: &'static TokioRuntime,
    /// Chooses how tasks block.
    flavour: PhantomData<K>,
}

impl<K: Flavour> Runtime for Tokio<K> {
    type Join<T: Send + 'static> = JoinHandle<T>;
    type Ordered<F: Job> = mpsc::UnboundedSender<F>;
    type Limited = Arc<Semaphore>;
    type Group = TaskTracker;
    type Wire = tokio::net::TcpStream;

    fn start() -> Self {
        let runtime = K::build().expect("tokio's runtime starts");
        Self {
            runtime: Box::leak(Box::new(runtime)),
            flavour: PhantomData,
        }
    }

    fn run_root<F>(self, root: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime.block_on(root)
    }

    fn wait<F: Future>(self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    #[inline]
    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(future)
    }

    #[inline]
    fn spawn_outside<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime.spawn(future)
    }

    async fn join<T: Send + 'static>(handle: JoinHandle<T>) -> T {
        handle
            .await
            .expect("no task of a case panics or is aborted")
    }

    #[inline]
    fn detach<T: Send + 'static>(handle: JoinHandle<T>) {
        drop(handle);
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }

    fn sleep_until(deadline: Instant) -> impl Future<Output = ()> + Send {
        tokio::time::sleep_until(deadline.into())
    }

    async fn block_in_task<F: FnOnce() + Send + 'static>(closure: F) {
        if K::MARKS_BLOCKING {
            tokio::task::spawn_blocking(closure)
                .await
                .expect("no closure of a case panics");
        } else {
            closure();
        }
    }

    fn ordered<F: Job>(self) -> mpsc::UnboundedSender<F> {
        let (sender, mut receiver) = mpsc::unbounded_channel::<F>();
        let consumer = async move {
            while let Some(job) = receiver.recv().await {
                job.await;
            }
        };
        Self::detach(self.spawn_outside(consumer));
        sender
    }

    fn limited(self, limit: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(limit))
    }

    fn group(self) -> TaskTracker {
        TaskTracker::new()
    }
}

impl<F: Job> Ordered<F> for mpsc::UnboundedSender<F> {
    #[inline]
    fn push(&self, job: F) {
        assert!(
            self.send(job).is_ok(),
            "the consumer lives as long as the queue"
        );
    }
}

impl Limited for Arc<Semaphore> {
    #[inline]
    fn spawn<F: Job>(&self, job: F) {
        let semaphore = Self::clone(self);
        drop(tokio::spawn(async move {
            let _permit = semaphore
                .acquire()
                .await
                .expect("the semaphore is never closed");
            job.await;
        }));
    }
}

impl Group for TaskTracker {
    #[inline]
    fn spawn<F: Job>(&self, job: F) {
        drop(Self::spawn(self, job));
    }

    async fn finish(&self) {
        self.close();
        self.wait().await;
        self.reopen();
    }
}

impl Wire for tokio::net::TcpStream {
    fn adopt(socket: std::net::TcpStream) -> io::Result<Self> {
        Self::from_std(socket)
    }

    async fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        AsyncReadExt::read(self, room).await
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        AsyncWriteExt::write_all(self, bytes).await
    }
}
