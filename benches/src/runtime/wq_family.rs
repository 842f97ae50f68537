//! wq: one System with two lanes and otherwise all defaults, for every row.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::time::Instant;

use wq::{JoinHandle, Sensing, System, Workqueue};

use smol::io::{AsyncReadExt, AsyncWriteExt};

use super::{Group, Job, Limited, Ordered, Runtime, Wire, workers};

/// A program's root runs as a task of the default queue, as under `#[wq::main]`.
pub(crate) type WqRun = Wq<RootIsTask>;
/// A program's root is polled on the main thread.
pub(crate) type WqBlockOn = Wq<RootIsGuest>;

/// Nothing is sensed: what blocks must say so.
pub(crate) type WqDeclared = Wq<Declared>;
/// What blocks is marked.
pub(crate) type WqMarked = Wq<Marked>;
/// Urgent work has a per-CPU queue.
pub(crate) type WqPercpu = Wq<Percpu>;

/// The process's System.
static SYSTEM: OnceLock<System> = OnceLock::new();
/// The queue of urgent work, made when it is first needed.
static URGENT: OnceLock<Workqueue> = OnceLock::new();

/// Where a root is polled, and what else a row is about.
pub(crate) trait Root: Copy + Send + Sync + 'static {
    /// Whether what blocks says so.
    const MARKS_BLOCKING: bool = false;

    /// How the System notices what blocks; nothing for its default.
    const SENSING: Option<Sensing> = None;

    /// Makes the queue of urgent work.
    fn urgent(system: &System) -> Workqueue {
        let queue = Workqueue::unbound("urgent").highpri().system(system);
        queue.build().expect("the queue is made")
    }

    /// Drives a root.
    fn drive<F>(system: &System, root: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;
}

/// Root of [`WqRun`].
#[derive(Clone, Copy)]
pub(crate) struct RootIsTask;

/// Root of [`WqBlockOn`].
#[derive(Clone, Copy)]
pub(crate) struct RootIsGuest;

/// Root of [`WqDeclared`].
#[derive(Clone, Copy)]
pub(crate) struct Declared;

impl Root for Declared {
    const SENSING: Option<Sensing> = Some(Sensing::Declared);

    fn drive<F>(system: &System, root: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        system.run(root)
    }
}

/// Root of [`WqMarked`].
#[derive(Clone, Copy)]
pub(crate) struct Marked;

/// Root of [`WqPercpu`].
#[derive(Clone, Copy)]
pub(crate) struct Percpu;

impl Root for Marked {
    const MARKS_BLOCKING: bool = true;

    fn drive<F>(system: &System, root: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        system.run(root)
    }
}

impl Root for Percpu {
    fn urgent(system: &System) -> Workqueue {
        let queue = Workqueue::percpu("urgent").highpri().system(system);
        queue.build().expect("the queue is made")
    }

    fn drive<F>(system: &System, root: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        system.run(root)
    }
}

impl Root for RootIsTask {
    fn drive<F>(system: &System, root: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        system.run(root)
    }
}

impl Root for RootIsGuest {
    fn drive<F>(system: &System, root: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        system.block_on(root)
    }
}

/// A handle of [`SYSTEM`].
#[derive(Clone, Copy)]
pub(crate) struct Wq<R: Root> {
    /// The System, which lives as long as the process.
    system: &'static System,
    /// Chooses where a root is polled.
    root: PhantomData<R>,
}

impl<R: Root> Runtime for Wq<R> {
    type Join<T: Send + 'static> = JoinHandle<T>;
    type Ordered<F: Job> = Workqueue;
    type Limited = Workqueue;
    type Group = Workqueue;
    type Wire = wq::net::TcpStream;

    fn start() -> Self {
        let system = SYSTEM.get_or_init(|| {
            // That tasks burn CPU is the point of some cases, and not to be said in the table.
            let mut builder = System::builder().workers(workers());
            builder = builder.cpu_intensive_warning_thresh(0);
            if let Some(sensing) = R::SENSING {
                builder = builder.sensing(sensing);
            }
            let system = builder.build().expect("the System starts");
            system
                .install_default()
                .expect("the process has no System yet");
            system
        });
        Self {
            system,
            root: PhantomData,
        }
    }

    fn run_root<F>(self, root: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        R::drive(self.system, root)
    }

    fn wait<F: Future>(self, future: F) -> F::Output {
        self.system.block_on(future)
    }

    #[inline]
    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        wq::spawn(future)
    }

    #[inline]
    fn spawn_outside<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.system.spawn(future)
    }

    fn spawn_urgent<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let queue: &wq::Queue = URGENT.get_or_init(|| R::urgent(self.system));
        queue.spawn(future)
    }

    async fn block_in_task<F: FnOnce() + Send + 'static>(closure: F) {
        if R::MARKS_BLOCKING {
            wq::blocking(closure);
        } else {
            closure();
        }
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
        wq::yield_now()
    }

    fn sleep_until(deadline: Instant) -> impl Future<Output = ()> + Send {
        wq::time::sleep_until(deadline)
    }

    fn ordered<F: Job>(self) -> Workqueue {
        Workqueue::ordered("ordered")
            .system(self.system)
            .build()
            .expect("the queue is made")
    }

    fn limited(self, limit: usize) -> Workqueue {
        let builder = Workqueue::unbound("limited")
            .system(self.system)
            .max_active(limit);
        builder.build().expect("the queue is made")
    }

    fn group(self) -> Workqueue {
        Workqueue::unbound("group")
            .system(self.system)
            .build()
            .expect("the queue is made")
    }
}

impl Wire for wq::net::TcpStream {
    fn adopt(socket: std::net::TcpStream) -> io::Result<Self> {
        Self::try_from(socket)
    }

    async fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        AsyncReadExt::read(self, room).await
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        AsyncWriteExt::write_all(self, bytes).await
    }
}

impl<F: Job> Ordered<F> for Workqueue {
    #[inline]
    fn push(&self, job: F) {
        // Through `Deref`: the queue's own `spawn`, not one of this module's traits.
        let queue: &wq::Queue = self;
        drop(queue.spawn(job));
    }
}

impl Limited for Workqueue {
    #[inline]
    fn spawn<F: Job>(&self, job: F) {
        let queue: &wq::Queue = self;
        drop(queue.spawn(job));
    }
}

impl Group for Workqueue {
    #[inline]
    fn spawn<F: Job>(&self, job: F) {
        let queue: &wq::Queue = self;
        drop(queue.spawn(job));
    }

    async fn finish(&self) {
        self.flush().await.expect("the flush ends");
    }
}
