//! `treesum`: read and hash every file of a tree, and see how late others are meanwhile.
//!
//! The job is the same on each runtime, and everything that is not the runtime's is shared:
//! [`walk`] lists the files, a [`job::Job`] reads, hashes and keeps the books, [`heartbeat`]
//! records lateness, [`journal`] writes one line a file. What remains are the three files
//! `run_*.rs`; they differ in what each runtime asks of its user, and [`compare`] counts that.
//!
//! The invariant of the books: a listed file ends as summed, as failed with its name and
//! reason, or (only after an interrupt) as unfinished. None is lost; `report` checks it.

pub mod app;
pub mod args;
pub mod compare;
pub mod failure;
pub mod hash;
pub mod heartbeat;
pub mod job;
pub mod journal;
pub mod report;
pub mod runner;
pub mod svg;
pub mod usage;
pub mod walk;
pub mod watch;

mod run_tokio_blocking;
mod run_tokio_plain;
mod run_wq;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks even after another holder panicked: every critical section here is one push or sum,
/// so the data is whole, and the report of a panicked run is wanted most.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
