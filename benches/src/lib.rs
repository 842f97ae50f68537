//! Benchmarks of wq beside tokio, async-executor and smol: one harness, one process for each case
//! and runtime, rounds in turns.
//!
//! `README.md` beside this package says how to run it and how to read its tables. `cargo bench`
//! and the binary of this package both call [`main`]; [`poison`] serves the examples too.

mod cases;
mod harness;
pub mod poison;
mod runtime;

pub use harness::main;
