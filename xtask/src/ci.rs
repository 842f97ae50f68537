//! `cargo xtask ci`: everything that a change must pass.

use std::path::Path;
use std::time::Duration;

use crate::failure::Outcome;
use crate::process::Cmd;
use crate::progress::Progress;
use crate::{
    counts, ecosystem, features, idle, long, loom, oldest, output, sanitize, smoke, stress,
};

/// What the whole may take from cold on two CPUs; slower is worth a warning, not a failure.
const BUDGET: Duration = Duration::from_secs(20 * 60);

/// Runs all steps in the order in which they are likely to fail.
pub(crate) fn command(root: &Path) -> Outcome {
    let before = before_models(root);
    let portable = Cmd::cargo("build -p wq-core --all-targets --target-dir target/portable")
        .env("RUSTFLAGS", "--cfg wq_portable")
        .dir(root);
    // After the commands: features, models, idleness, stress twice, instructions, portable build,
    // oldest compiler, examples, other people's libraries.
    let mut progress = Progress::new(before.len() + 10);
    for (name, cmd) in &before {
        progress.command(name, cmd)?;
    }
    progress.step("features", "cargo xtask features", || {
        features::command(root)
    })?;
    // It waits nearly all of the time: beside the models, which do not care for the clock.
    let idle = idle::begin(root);
    progress.step("loom", "cargo xtask loom", || {
        loom::all(root, loom::CI_PREEMPTIONS)
    })?;
    progress.step("idle", "cargo xtask idle", || idle.end())?;
    progress.step("stress", "cargo xtask stress", || {
        stress::plain(root, stress::DEFAULT_SECONDS)
    })?;
    progress.step("stress, tsan", "cargo xtask stress --tsan", || {
        stress_under_tsan(root)
    })?;
    progress.step("counts", "cargo xtask counts", || counts_if_possible(root))?;
    progress.command("portable", &portable)?;
    progress.step("oldest", "cargo xtask oldest", || oldest::check(root))?;
    progress.step("smoke", "cargo xtask smoke", || smoke::command(root))?;
    progress.step("ecosystem", "cargo xtask ecosystem", || {
        ecosystem::command(root)
    })?;
    let total = progress.finish();
    if total > BUDGET {
        let (took, budget) = (total.as_secs() / 60, BUDGET.as_secs() / 60);
        output::line(&format!("warning: {took} minutes, the budget is {budget}"));
    }
    Ok(())
}

/// The stress test under ThreadSanitizer, where the machine has what that needs: CI asks for
/// nothing but a Rust toolchain.
fn stress_under_tsan(root: &Path) -> Outcome {
    match sanitize::tsan_is_there() {
        Ok(()) => stress::tsan(root, stress::DEFAULT_SECONDS),
        Err(missing) => {
            long::loud_skip("ThreadSanitizer", &missing);
            Ok(())
        }
    }
}

/// The instructions of the hot paths, where valgrind is there or can be installed.
fn counts_if_possible(root: &Path) -> Outcome {
    match counts::require_valgrind() {
        Ok(()) => counts::check(root),
        Err(missing) => {
            long::loud_skip("The count of instructions", &missing);
            Ok(())
        }
    }
}

/// The steps that are one command each.
fn before_models(root: &Path) -> Vec<(&'static str, Cmd)> {
    let doc = "doc --workspace --no-deps --document-private-items";
    [
        ("fmt", Cmd::cargo("fmt --all -- --check")),
        (
            "clippy",
            Cmd::cargo("clippy --workspace --all-targets -- -D warnings"),
        ),
        ("test", Cmd::cargo("test --workspace")),
        ("doc", Cmd::cargo(doc).env("RUSTDOCFLAGS", "-Dwarnings")),
    ]
    .into_iter()
    .map(|(name, cmd)| (name, cmd.dir(root)))
    .collect()
}
