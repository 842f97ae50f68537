//! `cargo xtask stress`: random work while a dice disturbs every step of the engine.
//!
//! The steps are the points of `wq-core/src/hook.rs`, which exist only under `--cfg wq_hooks`.

use std::path::Path;

use crate::cli::Args;
use crate::failure::Outcome;
use crate::output;
use crate::process::Cmd;
use crate::sanitize;

/// How long when nobody says, and in CI.
pub(crate) const DEFAULT_SECONDS: usize = 20;

/// How long in long runs.
pub(crate) const LONG_SECONDS: usize = 600;

/// The one test that throws the dice.
const TEST: &str = "stress_disturbed_at_every_step";

/// `cargo xtask stress`.
pub(crate) fn command(root: &Path, args: Args) -> Outcome {
    args.none()?;
    let seconds = args.number("--seconds", DEFAULT_SECONDS)?;
    if args.has("--tsan") {
        tsan(root, seconds)
    } else {
        plain(root, seconds)
    }
}

/// Without a detector.
pub(crate) fn plain(root: &Path, seconds: usize) -> Outcome {
    let cmd = Cmd::cargo("test -p wq-core --test stress --target-dir target/hooks")
        .env("RUSTFLAGS", "--cfg wq_hooks");
    finish(cmd, root, seconds)
}

/// Under ThreadSanitizer.
pub(crate) fn tsan(root: &Path, seconds: usize) -> Outcome {
    finish(sanitize::tsan_tests("stress")?, root, seconds)
}

/// Runs the test for so long.
fn finish(cmd: Cmd, root: &Path, seconds: usize) -> Outcome {
    let cmd = cmd
        .env("WQ_STRESS_SECONDS", seconds.to_string())
        .words("-- --exact --nocapture")
        .arg(TEST)
        .dir(root);
    output::line(&cmd.to_string());
    cmd.run()
}
