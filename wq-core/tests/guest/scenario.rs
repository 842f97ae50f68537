//! A scenario runs in a process of its own: what is taken away does not come back.

use std::process::Command;

/// Set in the inner process.
const INNER: &str = "WQ_TEST_GUEST";

/// Whether `test` runs inside; outside, runs it inside and checks that it succeeded.
pub(crate) fn inside(test: &str) -> bool {
    if std::env::var_os(INNER).is_some() {
        return true;
    }
    run_with(test, &[]);
    false
}

/// Runs `test` in a process of its own, in this environment, and checks that it succeeded. What it
/// could not try it says in lines that begin with "SKIPPED", which are passed on.
pub(crate) fn run_with(test: &str, environment: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INNER, "1")
        .envs(environment.iter().copied())
        .output()
        .expect("this program can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    assert!(status.success(), "{test} {environment:?}: {status}\n{said}");
    for line in said.lines().filter(|line| line.starts_with("SKIPPED")) {
        eprintln!("{test}: {line}");
    }
}

/// Says that a part of a test was not tried, and why.
pub(crate) fn skip(what: &str, why: impl std::fmt::Display) {
    eprintln!("SKIPPED {what}: {why}");
}
