//! An async runtime with the semantics of the Linux kernel's concurrency managed workqueue.
//!
//! Write ordinary code: a task that blocks, without saying so, delays the others by tens of
//! microseconds. Say what the work is, not where it runs: queues with order, priority and limits,
//! that can be flushed, drained and cancelled.

mod blocking;
mod spawn;
#[cfg(feature = "time")]
pub mod time;
mod yield_now;

pub use blocking::{block_on, blocking, run};
pub use spawn::{current, drain, flush, spawn, spawn_fn, spawn_on, try_spawn};
pub use wq_core::*;
pub use yield_now::{YieldNow, yield_now};

#[cfg(feature = "macros")]
pub use wq_macros::{main, test};
