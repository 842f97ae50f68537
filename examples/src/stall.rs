//! `stall`: short tasks arrive a thousand times a second while handlers block or burn.
//!
//! The load is the same on each runtime: [`load`] has the handlers' blocking code, the pings and
//! their record. What remains are the three files `run_*.rs`, which differ in what each runtime
//! asks of its user; the lines that differ are counted. [`app`] runs them one after the other, with
//! a live view, and ends with a table and a plot.

pub mod app;
pub mod load;
pub mod view;

mod run_tokio_blocking;
mod run_tokio_plain;
mod run_wq;

use std::fmt;
use std::sync::Arc;

use load::Load;

/// What ends a run before its time.
pub type RunError = Box<dyn std::error::Error + Send + Sync>;

/// A way to run the handlers and the pings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Runtime {
    /// tokio, handlers as they come.
    TokioPlain,
    /// tokio, each handler's blocking part in `spawn_blocking`.
    TokioBlocking,
    /// wq, handlers as they come.
    Wq,
}

impl Runtime {
    /// All of them, as columns.
    pub const ALL: [Self; 3] = [Self::TokioPlain, Self::TokioBlocking, Self::Wq];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TokioPlain => "tokio",
            Self::TokioBlocking => "tokio spawn_blocking",
            Self::Wq => "wq",
        }
    }

    /// The program text that is its own.
    #[must_use]
    pub fn source(self) -> &'static str {
        match self {
            Self::TokioPlain => include_str!("stall/run_tokio_plain.rs"),
            Self::TokioBlocking => include_str!("stall/run_tokio_blocking.rs"),
            Self::Wq => include_str!("stall/run_wq.rs"),
        }
    }

    /// Puts the load on this runtime until the load's time is over.
    ///
    /// # Errors
    ///
    /// What the runtime says when it cannot start.
    pub fn run(self, load: &Arc<Load>) -> Result<(), RunError> {
        match self {
            Self::TokioPlain => run_tokio_plain::run(load),
            Self::TokioBlocking => run_tokio_blocking::run(load),
            Self::Wq => run_wq::run(load),
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
