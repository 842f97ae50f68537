//! `cargo xtask long`: what takes hours and is not asked of every change.

use std::path::Path;

use crate::failure::{Failure, Outcome};
use crate::process::Cmd;
use crate::progress::Progress;
use crate::{idle, loom, oldest, output, sanitize, soak, stress, weaken};

/// Seeds of the simulator: enough for each of its transitions to be seen thousands of times.
const SEEDS: u32 = 100_000;

/// Runs all steps, also behind a failed one: each has something of its own to say.
pub(crate) fn command(root: &Path) -> Outcome {
    let stress = "test -p wq-core --release --test stress --test torture -- --ignored";
    let stress = Cmd::cargo(stress).dir(root);
    let deep = format!("cargo xtask loom --preemptions {}", loom::LONG_PREEMPTIONS);
    let disturbed_tsan = "cargo xtask stress --tsan --seconds 600";
    let tsan_missing = sanitize::tsan_is_possible().err();
    let seeds = format!("run --release -p wq-core --example simulate -- --seeds {SEEDS}");
    let mut progress = Progress::new(11);
    let results = [
        progress.command("simulate", &Cmd::cargo(&seeds).dir(root)),
        progress.step("oldest", "cargo xtask oldest --fetch", || {
            oldest::fetch_and_check(root)
        }),
        progress.step("weaken", "cargo xtask weaken", || weaken::all(root)),
        progress.step("loom", &deep, || loom::all(root, loom::LONG_PREEMPTIONS)),
        progress.step("asan", "cargo xtask asan", || sanitize::asan(root)),
        progress.step("tsan", "cargo xtask tsan", || match &tsan_missing {
            Some(missing) => {
                loud_skip("ThreadSanitizer", missing);
                Ok(())
            }
            None => sanitize::tsan(root),
        }),
        progress.step("disturbed", "cargo xtask stress --seconds 600", || {
            stress::plain(root, stress::LONG_SECONDS)
        }),
        progress.step("disturbed, tsan", disturbed_tsan, || match &tsan_missing {
            Some(missing) => {
                loud_skip("ThreadSanitizer", missing);
                Ok(())
            }
            None => stress::tsan(root, stress::LONG_SECONDS),
        }),
        progress.command("idle", &idle::cmd(root)),
        progress.command("stress", &stress),
        progress.step("soak", "cargo xtask soak", || {
            soak::run(root, soak::DEFAULT_MINUTES)
        }),
    ];
    progress.finish();
    if let Some(missing) = &tsan_missing {
        loud_skip("ThreadSanitizer", missing);
    }
    let faults: Vec<String> = results
        .into_iter()
        .filter_map(Result::err)
        .map(|fault| fault.to_string())
        .collect();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(faults.join("\n\n")))
    }
}

/// Says that something was not run, so that nobody takes the silence for a result.
pub(crate) fn loud_skip(what: &str, missing: &Failure) {
    output::line("!!!");
    output::line(&format!("!!! {what} was SKIPPED: {missing}"));
    output::line("!!!");
}
