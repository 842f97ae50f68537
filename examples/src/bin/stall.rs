//! What one slow handler does to everybody else: see `stall --help`, and the library's `stall`
//! module.
//!
//! Smoke: --seconds 1 --svg target/stall.svg

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(wq_examples::stall::app::main(std::env::args_os().skip(1)))
}
