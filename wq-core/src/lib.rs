//! The engine of wq: work items, workqueues and managed worker pools.
//!
//! This crate has the semantics of the Linux kernel's concurrency managed workqueues, for futures
//! and for closures, and does no I/O. Programs depend on `wq-async`, which re-exports all of it
//! and adds free functions, time and attributes; libraries that only submit to queues may depend
//! on this one.
//!
//! ```
//! use wq_core::{Queued, System, Work, Workqueue};
//!
//! let system = System::builder().workers(2).build()?;
//! let queue = Workqueue::unbound("jobs").max_active(8).system(&system).build()?;
//! let sum = queue.spawn(async { 1 + 1 });
//! assert_eq!(sum.wait()?, 2);
//!
//! let tick = Work::new(|| println!("tick"));
//! assert_eq!(queue.queue(&tick), Queued::New);
//! assert_eq!(queue.flush().wait()?.panicked, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`System`]: one instance, with its pools, threads and queues. [`Topology`] is its machine.
//! - [`Workqueue`]: a policy and a domain to wait for; its owner flushes, drains and destroys.
//!   [`Queue`] is the handle that submits.
//! - [`JoinHandle`]: a task's result. [`Work`] and [`DelayedWork`]: items that are queued again.
//! - [`Flush`], [`Drain`], [`Destroy`], [`WorkFlush`], [`CancelWait`]: waits. Each is a future, and
//!   can wait on a thread, with and without a limit. Dropping one abandons it and leaves no trace.
//! - [`blocking`]: says in advance that code blocks. Never needed.
//! - [`timer`]: the timers that delays are made of.
//!
//! No features. `links = "wq"` keeps two major versions out of one program, since each would manage
//! every CPU as if it were alone.

#[cfg_attr(
    loom,
    expect(dead_code, reason = "the models use a part of each protocol")
)]
mod proto;
mod sync;

/// Declares what is left out of the models' build.
macro_rules! engine {
    ($($item:item)*) => { $(#[cfg(not(loom))] $item)* };
}

engine! {
    mod block;
    mod cpuset;
    mod current;
    mod entry;
    mod lane;
    mod list;
    mod os;
    mod policy;
    mod pool;
    mod queue;
    mod registry;
    mod route;
    mod run;
    mod sense;
    mod service;
    mod spin;
    mod stats;
    mod system;
    mod task;
    mod topology;
    #[cfg(test)]
    mod sim;
    mod work;
    mod worker;
    #[doc(hidden)]
    pub mod driver;
    pub mod timer;

    pub use self::block::blocking;
    pub use self::cpuset::{CpuListError, CpuSet};
    pub use self::queue::builder::{BuildError, OrderedBuilder, PercpuBuilder, UnboundBuilder};
    pub use self::queue::flush::FlushReport;
    pub use self::queue::handle::{Queue, TrySpawnError, Workqueue};
    pub use self::queue::wait::{Destroy, Drain, Flush, WaitError};
    pub use self::stats::{QueueStats, SystemStats};
    pub use self::system::builder::SystemBuilder;
    pub use self::system::shutdown::ShutdownReport;
    pub use self::system::{DefaultSystemError, EnterGuard, System};
    pub use self::task::join::{AbortHandle, AbortOnDrop, JoinError, JoinHandle};
    pub use self::topology::{AffinityScope, AffinityScopeError, FakeSpec, Topology};
    pub use self::work::delayed::{DelayedWork, Modified};
    pub use self::work::{CancelWait, Queued, Work, WorkFlush};
}
