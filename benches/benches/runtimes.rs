//! `cargo bench -p wq-benches -- [FILTER] [--quick] ..`: the harness of [`wq_benches`].

use std::process::ExitCode;

fn main() -> ExitCode {
    wq_benches::main()
}
