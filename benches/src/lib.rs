//! Benchmarks of wq beside tokio, async-executor and smol: one harness, one process for each case
//! and runtime, rounds in turns.
//!
//! `README.md` beside this package says how to run it and how to read its tables. [`main`] is the
//! whole public surface; `cargo bench` and the binary of this package both call it.

#![forbid(unsafe_code)]

mod cases;
mod harness;
mod runtime;

pub use harness::main;
