//! An async runtime with the semantics of the Linux kernel's concurrency managed workqueues.
//!
//! Write ordinary code: a task may block in a system call, on a lock or in a foreign library and
//! need not say so; another worker takes its CPU over. Say what the work is and not where it runs:
//! queues with order, limits, priority and CPUs, that can be flushed, drained and cancelled.
//!
//! ```
//! use wq::Workqueue;
//!
//! #[wq::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let journal = Workqueue::ordered("journal").build()?;
//!     let read = wq::spawn(async { std::fs::read_to_string("Cargo.toml") }); // may block
//!     let lines = read.await??.lines().count();
//!     drop(journal.spawn(async move { println!("{lines} lines") }));
//!     assert_eq!(wq::flush(&journal).await?.completed, 1);
//!     Ok(())
//! }
//! ```
//!
//! # What is where
//!
//! | to | use |
//! |---|---|
//! | start a program, or a test | [`#[wq::main]`](macro@main), [`#[wq::test]`](macro@test) |
//! | run a future or a closure | [`spawn()`], [`spawn_fn`], [`spawn_on`] |
//! | keep an order, a limit, a priority, CPUs | [`Workqueue`], whose handles are [`Queue`]s |
//! | wait for what a queue has accepted | [`flush`], [`drain`], [`Workqueue::destroy`] |
//! | queue one thing again and again | [`Work`], and with a timer [`DelayedWork`] |
//! | wait for one task, or stop it | [`JoinHandle`] |
//! | wait for many tasks, or stop them | [`TaskGroup`] |
//! | borrow in an item | [`scope()`] |
//! | run futures that cannot be sent to a worker | [`LocalSet`], [`spawn_local`] |
//! | wait for some time | [`time`] |
//! | wait for Ctrl-C, `SIGTERM` and other signals | `signal` |
//! | start other programs and wait for them | `process` |
//! | keep a value for each task | [`task_local!`](macro@task_local) |
//! | wait on a thread, inside a task or not | [`block_on`], and `wait` of every wait |
//! | say in advance that code blocks | [`blocking()`] |
//! | have an instance of one's own, and end it | [`System`] |
//!
//! # The one rule
//!
//! A future that returns `Pending` is a work function that went to sleep. Its item stays *in
//! flight* from the moment it is accepted until it has returned: it keeps its slot, its turn and
//! its place in the flush, and gives up the CPU alone. So `max_active(4)` means four futures,
//! suspended or not, an ordered queue polls no future before the previous one has ended, and a
//! flush waits for suspended futures too.
//!
//! # Which System
//!
//! A [`System`] has pools, workers and queues. The free functions use that of the worker they are
//! called on; else the one that the thread has entered ([`System::enter`]); else the process's
//! default, which is made when it is first needed. `#[wq::main]` installs the default.
//!
//! # Other crates
//!
//! What needs no runtime of its own runs here: `futures`, `async-channel`, `async-lock`,
//! `tokio::sync`, and crates that bring a reactor thread, such as `async-net`. Libraries that ask
//! for a tokio runtime run with the feature `tokio`: see the module of that name.
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `macros` | yes | [`main`](macro@main) and [`test`](macro@test) |
//! | `time` | yes | [`time`] |
//! | `net` | yes | `net` and `io`: sockets and other descriptors, on Linux |
//! | `fs` | | `fs`: files and directories as `async` functions that run in place |
//! | `futures-spawn` | | `futures::task::Spawn` for [`Queue`] |
//! | `process` | | `process`: children that tasks wait for, on Linux |
//! | `signal` | | `signal`: Ctrl-C and other signals as futures and streams, on Linux |
//! | `hyper` | | `hyper`: executor, timer and connections for hyper 1 |
//! | `test-util` | | clocks that tests stop: `time::pause`, `advance`, `start_paused` |
//! | `tokio` | | `tokio`: a context for libraries that ask for a tokio runtime |
//! | `tower` | | `tower`: services (axum's routes, tonic's) whose requests run on a queue |
//! | `tracing` | | a span of `tracing` around each task, at level `TRACE`, target `wq::task` |
//!
//! # Platforms
//!
//! Linux has all of it. Other Unix systems build and keep the semantics, but cannot see whether a
//! thread is blocked: there only declared blocking ([`blocking()`], the waits, [`block_on`]) hands
//! a CPU over, and pinning and priorities do nothing. Rust 1.85 or later.
//!
//! Readers who know the kernel find things by its names: search for `queue_work`, `flush_work`,
//! `alloc_ordered_workqueue`.

#![forbid(unsafe_code)]

mod blocking;
#[cfg(any(
    feature = "fs",
    all(feature = "net", target_os = "linux", not(wq_portable))
))]
mod by_ref;
#[cfg(all(feature = "net", target_os = "linux", not(wq_portable)))]
mod descriptor;
#[cfg(feature = "fs")]
pub mod fs;
mod group;
#[cfg(feature = "hyper")]
pub mod hyper;
#[cfg(all(feature = "net", target_os = "linux", not(wq_portable)))]
pub mod io;
mod local;
#[cfg(all(feature = "net", target_os = "linux", not(wq_portable)))]
pub mod net;
#[cfg(all(feature = "process", target_os = "linux", not(wq_portable)))]
pub mod process;
#[cfg(all(feature = "net", target_os = "linux", not(wq_portable)))]
mod reactor;
#[cfg(all(feature = "signal", target_os = "linux", not(wq_portable)))]
pub mod signal;
mod spawn;
pub mod system;
mod task_local;
#[cfg(feature = "time")]
pub mod time;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "tower")]
pub mod tower;
mod yield_now;

pub use blocking::{block_on, blocking, run};
pub use group::{GroupError, JoinAll, JoinNext, TaskGroup, TryJoinAll};
pub use local::{LocalHandle, LocalSet, RunAll, RunUntil, spawn_local};
pub use spawn::{current, drain, flush, spawn, spawn_fn, spawn_on, try_spawn};
pub use task_local::{TaskLocal, TaskLocalError, TaskLocalFuture};
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

/// The program of the page for those who come from tokio.
#[cfg(doctest)]
#[doc = include_str!("../../docs/from-tokio.md")]
mod from_tokio {}
