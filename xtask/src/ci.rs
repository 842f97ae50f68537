//! `cargo xtask ci`: everything that a change must pass.

use std::path::Path;
use std::time::Duration;

use crate::failure::Outcome;
use crate::process::Cmd;
use crate::progress::Progress;
use crate::{loom, output, smoke};

/// What the whole may take from cold on two CPUs; slower is worth a warning, not a failure.
const BUDGET: Duration = Duration::from_secs(20 * 60);

/// The oldest compiler that the manifests promise.
const OLDEST: &str = "1.85";

/// Runs all steps in the order in which they are likely to fail.
pub(crate) fn command(root: &Path) -> Outcome {
    let before = before_models(root);
    let oldest = oldest_compiler().dir(root);
    let portable = Cmd::cargo("build -p wq-core --all-targets --target-dir target/portable")
        .env("RUSTFLAGS", "--cfg wq_portable")
        .dir(root);
    // After the commands: the models, two more commands, the examples.
    let mut progress = Progress::new(before.len() + 4);
    for (name, cmd) in &before {
        progress.command(name, cmd)?;
    }
    progress.step("loom", "cargo xtask loom", || {
        loom::all(root, loom::CI_PREEMPTIONS)
    })?;
    progress.command("portable", &portable)?;
    progress.command("oldest", &oldest)?;
    progress.step("smoke", "cargo xtask smoke", || smoke::command(root))?;
    let total = progress.finish();
    if total > BUDGET {
        let (took, budget) = (total.as_secs() / 60, BUDGET.as_secs() / 60);
        output::line(&format!("warning: {took} minutes, the budget is {budget}"));
    }
    Ok(())
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

/// The libraries as a user builds them, by the oldest compiler if it is here.
///
/// Where it is not, clippy's `incompatible_msrv` stands in for it, and this step still finds what
/// only builds with the features that tests and examples switch on.
fn oldest_compiler() -> Cmd {
    let libraries = "check -p wq-core -p wq-async -p wq-macros";
    let toolchains = Cmd::new("rustup")
        .words("toolchain list")
        .capture(Duration::from_secs(60));
    let is_here = toolchains.is_ok_and(|list| list.stdout.lines().any(|it| it.starts_with(OLDEST)));
    if is_here {
        Cmd::cargo(&format!("+{OLDEST} {libraries} --target-dir target/oldest"))
    } else {
        output::line(&format!(
            "note: no toolchain {OLDEST} here, the current one checks alone"
        ));
        Cmd::cargo(libraries)
    }
}
