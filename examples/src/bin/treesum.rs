//! Sums a directory tree: see `treesum --help`, and the library's `treesum` module.
//!
//! Smoke: --verify --compare --rounds 1

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(wq_examples::treesum::app::main(std::env::args_os().skip(1)))
}
