//! `cargo bench -p wq-benches -- [FILTER] [--quick] ..`: starts the program of [`wq_benches`].
//!
//! The cases are not compiled for this target too: that takes as long as all the rest.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let program = env!("CARGO_BIN_EXE_wq-benches");
    let error = Command::new(program)
        .args(std::env::args_os().skip(1))
        .exec();
    eprintln!("error: {program}: {error}");
    ExitCode::FAILURE
}
