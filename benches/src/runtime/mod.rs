//! What a case may ask of a runtime, so that each case is written once.
//!
//! Everything is generic and monomorphised: no future is boxed and no call is virtual, so the
//! harness favours nobody. Each method stands for the idiom that a user of that runtime would
//! write; where two idioms exist, the one that is better for the runtime is taken. A process
//! starts one runtime only and never stops it, which is why handles are `Copy`.

mod host;
mod smol_family;
mod tokio_family;
mod wq_family;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::TcpStream;
use std::str::FromStr;
use std::time::Instant;

use crate::harness::machine;

pub(crate) use host::{Host, Threads};
pub(crate) use smol_family::{AsyncExecutor, Smol};
pub(crate) use tokio_family::{TokioBlocking, TokioCt, TokioMt, TokioPinned};
pub(crate) use wq_family::{WqBlockOn, WqDeclared, WqMarked, WqPercpu, WqRun};

/// Threads of a runtime that takes a number; the size of the machine the goals were set on.
pub(crate) const WORKERS: usize = 2;

/// The same where a case may use fewer CPUs.
pub(crate) fn workers() -> usize {
    WORKERS.min(machine::allowed_cpus().len())
}

/// A future that cases hand to queues and groups; its result travels by other ways.
pub(crate) trait Job: Future<Output = ()> + Send + 'static {}

impl<F: Future<Output = ()> + Send + 'static> Job for F {}

/// A started runtime.
pub(crate) trait Runtime: Copy + Send + Sync + 'static {
    /// What `spawn` gives back.
    type Join<T: Send + 'static>: Send + 'static;
    /// The idiom for "one after the other, in the order of pushing".
    type Ordered<F: Job>: Ordered<F>;
    /// The idiom for "at most n of these at a time".
    type Limited: Limited;
    /// The idiom for "wait until all of these have ended".
    type Group: Group;
    /// Its TCP stream.
    type Wire: Wire;

    /// Starts the runtime of this process; called once.
    fn start() -> Self;

    /// Runs a program's root future from the main thread, as the runtime's users start theirs.
    fn run_root<F>(self, root: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Waits on a thread foreign to the runtime until `future` is ready.
    fn wait<F: Future>(self, future: F) -> F::Output;

    /// Spawns from inside a task, by the runtime's free function.
    fn spawn<F>(future: F) -> Self::Join<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Spawns from a thread that is not the runtime's, through its handle.
    fn spawn_outside<F>(self, future: F) -> Self::Join<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// The same with high priority, where the runtime has such a thing.
    fn spawn_urgent<F>(self, future: F) -> Self::Join<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_outside(future)
    }

    /// Awaits a task's output.
    fn join<T: Send + 'static>(handle: Self::Join<T>) -> impl Future<Output = T> + Send;

    /// Lets a task run on without its handle.
    fn detach<T: Send + 'static>(handle: Self::Join<T>);

    /// Lets others run first.
    fn yield_now() -> impl Future<Output = ()> + Send;

    /// Sleeps by the runtime's timer.
    fn sleep_until(deadline: Instant) -> impl Future<Output = ()> + Send;

    /// Runs a closure that blocks or burns: in place, unless the row is about marking it.
    fn block_in_task<F: FnOnce() + Send + 'static>(closure: F) -> impl Future<Output = ()> + Send {
        async move { closure() }
    }

    /// Makes a queue that runs its futures one by one.
    fn ordered<F: Job>(self) -> Self::Ordered<F>;

    /// Makes a queue that runs at most `limit` of its futures at a time.
    fn limited(self, limit: usize) -> Self::Limited;

    /// Makes a group that can be waited for.
    fn group(self) -> Self::Group;
}

/// A TCP stream of a runtime.
pub(crate) trait Wire: Send + Sized + 'static {
    /// Registers a non-blocking socket; called on the runtime.
    fn adopt(socket: TcpStream) -> io::Result<Self>;

    /// Reads what there is; 0 at the end.
    fn read(&mut self, room: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;

    /// Writes all of it.
    fn write_all(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
}

/// Futures that run one after the other.
pub(crate) trait Ordered<F>: Send + Sync + 'static {
    /// Appends a future; nobody waits for it.
    fn push(&self, job: F);
}

/// Futures of which a bounded number is in flight.
pub(crate) trait Limited: Send + Sync + 'static {
    /// Submits a future from inside a task; nobody waits for it.
    fn spawn<F: Job>(&self, job: F);
}

/// Futures that are waited for together.
pub(crate) trait Group: Send + Sync + 'static {
    /// Submits a future from inside a task.
    fn spawn<F: Job>(&self, job: F);

    /// Waits for all that were submitted; the group can be used again afterwards.
    fn finish(&self) -> impl Future<Output = ()> + Send;
}

/// The names of the runtimes, as `--runtimes` takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuntimeId {
    /// wq, one default configuration; a program's root is `System::run`.
    Wq,
    /// The same System; a program's root is `System::block_on`.
    WqBlockOn,
    /// The same build and System without sensing: only what is declared is seen.
    WqDeclared,
    /// The same System; what blocks is marked by `wq::blocking`.
    WqMarked,
    /// The same System; urgent work goes to a per-CPU queue.
    WqPercpu,
    /// tokio `multi_thread`, the usual base of the ratios.
    TokioMt,
    /// The same, each worker pinned to one CPU.
    TokioPinned,
    /// The same, what blocks wrapped in `spawn_blocking`.
    TokioBlocking,
    /// tokio `current_thread`.
    TokioCt,
    /// async-executor: two threads, and the main thread runs tasks while it waits for its root.
    AsyncExecutor,
    /// async-executor as smol composes it: two threads that also poll async-io.
    Smol,
    /// No runtime: the floor rows.
    Bare,
}

impl RuntimeId {
    /// All, in the order of tables.
    pub(crate) const ALL: &[Self] = &[
        Self::Wq,
        Self::WqBlockOn,
        Self::WqDeclared,
        Self::WqMarked,
        Self::WqPercpu,
        Self::TokioMt,
        Self::TokioPinned,
        Self::TokioBlocking,
        Self::TokioCt,
        Self::AsyncExecutor,
        Self::Smol,
        Self::Bare,
    ];

    /// The name on the command line, in tables and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wq => "wq",
            Self::WqBlockOn => "wq-block_on",
            Self::WqDeclared => "wq-declared",
            Self::WqMarked => "wq-marked",
            Self::WqPercpu => "wq-percpu",
            Self::TokioMt => "tokio-mt",
            Self::TokioPinned => "tokio-mt-pinned",
            Self::TokioBlocking => "tokio-mt-blocking",
            Self::TokioCt => "tokio-ct",
            Self::AsyncExecutor => "async-executor",
            Self::Smol => "smol",
            Self::Bare => "bare",
        }
    }

    /// One sentence for `--list`.
    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::Wq => "one System with 2 lanes, all defaults; the root is System::run",
            Self::WqBlockOn => "the same; the root is System::block_on",
            Self::WqDeclared => "the same without sensing (Sensing::Declared)",
            Self::WqMarked => "the same; what blocks is marked by wq::blocking",
            Self::WqPercpu => "the same; urgent work goes to a per-CPU highpri queue",
            Self::TokioMt => "tokio multi_thread, 2 workers",
            Self::TokioPinned => "the same, workers pinned by on_thread_start",
            Self::TokioBlocking => "the same, what blocks wrapped in spawn_blocking",
            Self::TokioCt => "tokio current_thread",
            Self::AsyncExecutor => "async-executor, 2 threads, the root's thread helps",
            Self::Smol => "async-executor as smol runs it, 2 threads, the root's thread waits",
            Self::Bare => "no runtime: the floor, or a thread for each task",
        }
    }
}

impl fmt::Display for RuntimeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` keeps the width that a table asks for.
        f.pad(self.name())
    }
}

impl FromStr for RuntimeId {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|id| id.name() == name);
        found.copied().ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|id| id.name()).collect();
            format!(
                "no runtime is called `{name}`; there are {}",
                known.join(", ")
            )
        })
    }
}
