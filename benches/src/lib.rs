//! Benchmarks of wq beside tokio, async-executor and smol: one harness, one process for each case
//! and runtime, rounds in turns.
//!
//! `README.md` beside this package says how to run it and how to read its tables. The binary of
//! this package hands its cases to [`main`]; [`poison`] serves the examples too.

mod case;
mod group;
mod harness;
pub mod poison;
mod runtime_id;

pub use case::{Case, Needs, Suits};
pub use group::Group;
pub use harness::child::{Bench, Observed, Span};
pub use harness::random::XorShift;
pub use harness::{machine, main};
pub use runtime_id::RuntimeId;
