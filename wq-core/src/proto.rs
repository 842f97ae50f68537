//! The atomic handshakes of the engine, one file each, and nothing else.
//!
//! A file here holds one protocol between threads: its words, the order of their loads and
//! stores, and no policy. Each has an entry in `docs/memory-ordering.md` with the proof, and at
//! least one loom model in `proto/tests`. Whatever needs a clock, a lock, a system call or the
//! heap lives elsewhere.

pub(crate) mod abort;
pub(crate) mod arm;
pub(crate) mod assign;
pub(crate) mod asym;
pub(crate) mod counts;
pub(crate) mod crowd;
pub(crate) mod inbox;
pub(crate) mod owner;
pub(crate) mod park;
pub(crate) mod pin;
#[cfg(any(feature = "test-util", loom))]
pub(crate) mod rest;
pub(crate) mod spares;
pub(crate) mod state;
pub(crate) mod vigil;

#[cfg(all(test, loom))]
mod tests;
