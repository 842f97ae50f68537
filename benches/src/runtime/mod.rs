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

use std::future::Future;
use std::io;
use std::net::TcpStream;
use std::time::Instant;

use wq_benches::machine;

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
