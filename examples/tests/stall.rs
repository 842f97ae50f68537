//! The program `stall` as its user runs it.

use std::fs;
use std::process::Command;

/// Goal: a short run measures every runtime, prints its table and leaves a plot. Method: run it.
#[test]
fn a_short_run_ends_with_a_table_and_a_plot() {
    let dir = tempfile::tempdir().unwrap();
    let plot = dir.path().join("plot.svg");
    let mut stall = Command::new(env!("CARGO_BIN_EXE_stall"));
    let ended = stall.args(["--seconds", "1", "--svg"]).arg(&plot);
    let ended = ended.output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let table = String::from_utf8(ended.stdout).unwrap();
    for word in ["tokio", "spawn_blocking", "wq", "Mutex", "CPU", "threads"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    assert!(fs::read_to_string(plot).unwrap().contains("<svg"));
}

/// Goal: wrong usage ends with code 1 and says what is allowed. Method: a time of zero.
#[test]
fn wrong_usage_is_refused() {
    let mut stall = Command::new(env!("CARGO_BIN_EXE_stall"));
    let ended = stall.args(["--seconds", "0"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("1 to 3600"), "{said}");
}
