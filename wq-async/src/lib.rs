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

/// # Examples
/// ```
/// #[wq::main(workers = 2)]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let sum = wq::spawn(async { 1 + 1 }).await?;
///     assert_eq!(sum, 2);
///     Ok(())
/// }
/// ```
///
/// A body that holds across an `.await` what cannot be sent to a worker does not compile; with
/// `local = true` it does:
///
/// ```compile_fail
/// #[wq::main]
/// async fn main() {
///     let local = std::rc::Rc::new(1);
///     wq::yield_now().await;
///     drop(local);
/// }
/// ```
/// ```
/// #[wq::main(local = true)]
/// async fn main() {
///     let local = std::rc::Rc::new(1);
///     wq::yield_now().await;
///     drop(local);
/// }
/// ```
///
/// Nor does a misspelt key:
///
/// ```compile_fail
/// #[wq::main(flavor = "multi_thread")]
/// async fn main() {}
/// ```
#[cfg(feature = "macros")]
pub use wq_macros::main;

/// # Examples
/// ```
/// #[wq::test(workers = 2)]
/// async fn adds() {
///     assert_eq!(wq::spawn(async { 1 + 1 }).await.unwrap(), 2);
/// }
/// ```
///
/// A plain function does not compile:
///
/// ```compile_fail
/// #[wq::test]
/// fn adds() {}
/// ```
#[cfg(feature = "macros")]
pub use wq_macros::test;

/// The programs of the README, as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
