//! The chores of the workspace: one typed entry, `cargo xtask`, for what CI and people run.
//!
//! Each command stands in a file of its own name. They share four nouns: `source` (a Rust file
//! split into code and comments), `repo` (the files of the repository), `process` (a child that
//! can be shown, timed and stopped) and `progress` (steps with their seconds).
//!
//! Not here: anything that the published crates need. Nothing imports this crate, and it imports
//! nothing but `std`, so that a check never fails because a dependency could not be had.

#![forbid(unsafe_code)]

mod ci;
mod cli;
mod counts;
mod debian;
mod ecosystem;
mod failure;
mod features;
mod idle;
mod long;
mod loom;
mod oldest;
mod output;
mod parallel;
mod process;
mod progress;
mod repo;
mod sanitize;
mod smoke;
mod soak;
mod source;
mod stress;
pub mod tidy;
mod weaken;

pub use cli::run;
