//! `cargo xtask ecosystem`: libraries that ask for a tokio runtime, on wq.
//!
//! Their programs are apart from the workspace, with a lock file of their own, because they build
//! some 200 crates that nothing else needs.

use std::path::Path;

use crate::failure::Outcome;
use crate::process::Cmd;

/// Where they stand.
const MANIFEST: &str = "examples/ecosystem/Cargo.toml";

/// What is built of them; kept, since it takes minutes.
const FOLDER: &str = "target/ecosystem";

/// Builds and runs the programs, whose output is compared by their test.
pub(crate) fn command(root: &Path) -> Outcome {
    let fmt = Cmd::cargo(&format!("fmt --manifest-path {MANIFEST} -- --check"));
    fmt.dir(root).run()?;
    // Its lock file follows by itself when a library of the workspace gets another dependency.
    let test = format!("test --manifest-path {MANIFEST} --target-dir {FOLDER}");
    Cmd::cargo(&test)
        .env("RUSTFLAGS", "-Dwarnings")
        .dir(root)
        .run()
}
