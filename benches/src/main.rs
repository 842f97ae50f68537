//! The benchmark program: the cases, and the runtimes that they are measured on. What it does with
//! them is the harness's affair; see [`wq_benches`].

mod cases;
mod runtime;

use std::process::ExitCode;

fn main() -> ExitCode {
    wq_benches::main(cases::ALL)
}
