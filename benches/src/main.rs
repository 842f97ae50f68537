//! The benchmark harness as an ordinary program; see [`wq_benches`] for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    wq_benches::main()
}
