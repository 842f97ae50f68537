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
//! - [`System::freeze`]: stops the queues built `freezable`; [`Freeze`] waits for what runs.
//! - [`Queue::reserve`]: waits for a place in a bounded queue.
//! - [`System::dump`]: what runs, what waits, and for how long. [`task`]: numbers, names and
//!   descriptions for it.
//! - [`scope()`]: items that borrow from whoever waits for them.
//! - [`blocking`]: says in advance that code blocks. Never needed.
//! - [`thread`](mod@thread), [`process`]: for items that start threads and children.
//! - [`timer`]: the timers that delays are made of.
//!
//! The feature `futures-spawn` adds `futures::task::Spawn` for [`Queue`], the feature `tracing` a
//! span around each task.
//!
//! `links = "wq"` keeps two major versions out of one program, since each would manage every CPU
//! as if it were alone.

#[cfg_attr(
    loom,
    expect(dead_code, reason = "the models use a part of each protocol")
)]
mod proto;
mod sync;

#[cfg(not(loom))]
mod bh;
#[cfg(not(loom))]
mod block;
#[cfg(not(loom))]
mod burners;
#[cfg(not(loom))]
mod cpuset;
#[cfg(not(loom))]
mod current;
#[cfg(not(loom))]
mod cycles;
#[cfg(not(loom))]
#[doc(hidden)]
pub mod driver;
#[cfg(not(loom))]
mod dump;
#[cfg(not(loom))]
mod entry;
#[cfg(not(loom))]
mod guard;
#[cfg(not(loom))]
mod hogs;
#[cfg(not(loom))]
mod home;
#[cfg(not(loom))]
mod hook;
#[cfg(not(loom))]
mod kind;
#[cfg(not(loom))]
mod lane;
#[cfg(not(loom))]
mod list;
#[cfg(not(loom))]
mod os;
#[cfg(not(loom))]
mod outside;
#[cfg(not(loom))]
mod policy;
#[cfg(not(loom))]
mod pool;
#[cfg(not(loom))]
pub mod process;
#[cfg(not(loom))]
mod queue;
#[cfg(not(loom))]
mod registry;
#[cfg(not(loom))]
mod rescuer;
#[cfg(not(loom))]
mod resumer;
#[cfg(not(loom))]
mod route;
#[cfg(not(loom))]
mod run;
#[cfg(not(loom))]
mod scope;
#[cfg(not(loom))]
mod sense;
#[cfg(not(loom))]
mod service;
#[cfg(not(loom))]
#[cfg(any(test, wq_sim))]
#[doc(hidden)]
pub mod sim;
#[cfg(not(loom))]
mod spin;
#[cfg(not(loom))]
mod stats;
#[cfg(not(loom))]
mod system;
#[cfg(not(loom))]
pub mod task;
#[cfg(not(loom))]
pub mod thread;
#[cfg(not(loom))]
pub mod timer;
#[cfg(not(loom))]
mod topology;
#[cfg(not(loom))]
mod work;
#[cfg(not(loom))]
mod worker;

#[cfg(not(loom))]
pub use self::block::{blocking, may_block};
#[cfg(not(loom))]
pub use self::cpuset::{CpuListError, CpuSet};
#[cfg(not(loom))]
pub use self::dump::{Dump, QueueDump, QueueKind, RunningItem, SuspendedItems, ThreadIs};
#[cfg(not(loom))]
pub use self::hogs::table::CpuHog;
#[cfg(not(loom))]
pub use self::queue::attrs::Attrs;
#[cfg(not(loom))]
pub use self::queue::bh::{BhBuilder, BhQueue, BhWorkqueue};
#[cfg(not(loom))]
pub use self::queue::builder::{BuildError, OrderedBuilder, PercpuBuilder, UnboundBuilder};
#[cfg(not(loom))]
pub use self::queue::flush::FlushReport;
#[cfg(not(loom))]
pub use self::queue::freeze::Freeze;
#[cfg(not(loom))]
pub use self::queue::handle::{Queue, TrySpawnError, Workqueue};
#[cfg(not(loom))]
pub use self::queue::reserve::{Permit, Reserve, ReserveError};
#[cfg(not(loom))]
pub use self::queue::wait::{Destroy, Drain, Flush, WaitError};
#[cfg(not(loom))]
pub use self::rescuer::{current_has_rescuer, current_is_rescuer};
#[cfg(not(loom))]
pub use self::scope::{Scope, ScopedHandle, scope};
#[cfg(not(loom))]
pub use self::sense::report::{Ability, Sensing, SensorReport, ThreadStates};
#[cfg(not(loom))]
pub use self::stats::{PoolStats, QueueStats, Running, SystemStats};
#[cfg(not(loom))]
pub use self::system::builder::SystemBuilder;
#[cfg(not(loom))]
pub use self::system::shutdown::ShutdownReport;
#[cfg(not(loom))]
pub use self::system::{DefaultSystemError, EnterGuard, System};
#[cfg(not(loom))]
pub use self::task::join::{AbortHandle, AbortOnDrop, JoinError, JoinHandle};
#[cfg(not(loom))]
pub use self::topology::{AffinityScope, AffinityScopeError, FakeSpec, Topology};
#[cfg(not(loom))]
pub use self::work::delayed::{DelayedWork, Modified};
#[cfg(not(loom))]
pub use self::work::{Busy, CancelWait, Queued, Work, WorkFlush, current_work};
