//! A tokio context for the tasks of a System, so that libraries which ask for a tokio runtime run
//! inside them unmodified.
//!
//! With `#[wq::main(tokio = true)]`, or [`Driver::attach`] on the builder of a System, every worker
//! has entered a tokio runtime for as long as it lives. So `tokio::net`, `tokio::time`,
//! `tokio::spawn`, `tokio::fs` work in any task of that System, and with them reqwest, sqlx, tonic,
//! and the rest of that world. Nothing is to be written for each task.
//!
//! ```
//! use std::time::Duration;
//!
//! #[wq::main(tokio = true)]
//! async fn main() {
//!     tokio::time::sleep(Duration::from_millis(1)).await; // a timer of tokio's
//!     let sum = tokio::spawn(async { 1 + 1 }).await; // a task on tokio's threads
//!     assert_eq!(sum.unwrap(), 2);
//!     let file = wq::spawn(async { std::fs::read("Cargo.toml") }); // on wq, and may block
//!     assert!(file.await.unwrap().is_ok());
//! }
//! ```
//!
//! A program without the attribute gives the default System a context, or a System of its own:
//!
//! ```
//! let tokio = wq::tokio::Driver::new()?;
//! tokio.attach(wq::System::builder()).build()?.install_default()?;
//! let slept = wq::spawn(async { tokio::time::sleep(std::time::Duration::from_millis(1)).await });
//! assert!(slept.wait().is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What runs where
//!
//! A future that a task of wq polls runs on wq, whatever it is made of: tokio's sockets and timers
//! only wake it. What a library itself gives to `tokio::spawn` runs on the [`Driver`]'s threads,
//! not on a queue: it knows no priority, no limit and no flush, and must not block. If it does
//! block, wq's own tasks, timers and sockets do not notice, since they do not need those threads;
//! and tokio's sockets and timers are served by another of the Driver's threads within some
//! milliseconds, as long as one is left.
//!
//! | of tokio's | in a task of such a System |
//! |---|---|
//! | `net`, `time`, `signal`, `process` | work; the Driver's threads wait for the events |
//! | `sync`, `io` | work, as they do without a context |
//! | `spawn`, `JoinSet` | run on the Driver's threads |
//! | `spawn_blocking`, `fs` | work, on threads of tokio's; not needed here |
//! | `block_in_place(f)` | calls `f`; that the task blocks is noticed as always |
//! | `Handle::current().block_on(f)` | works; so does `wq::block_on(f)` |
//! | `LocalSet`, `spawn_local` | not on queues; on a thread, inside a task, as elsewhere |
//!
//! # What it costs
//!
//! One thread that watches, and four or more that run tokio (see [`DriverBuilder::threads`]), all
//! asleep while tokio has nothing to do. An event of a tokio socket is seen by one of them, which
//! wakes the task on its worker: one wake-up across threads more than with sockets of wq's own.
//!
//! # The end
//!
//! A Driver ends when the Systems that it was attached to have stopped and its handles are gone:
//! the tasks that are left on it are dropped, and its threads get a second to leave. So
//! `System::shutdown` returns after the tasks of wq have ended, then tokio.

mod compat;
mod driver;
mod service;
mod watch;

pub use compat::Compat;
pub use driver::{Driver, DriverBuilder, DriverError, EnterGuard};
