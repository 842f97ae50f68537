//! Each program runs to its end, in time, and prints what it should.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A program that takes longer has hung.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a program and compares its output with the file of its name. It must end by itself, say
/// nothing on standard error (a panic at the end would), and succeed.
fn run(name: &str, program: &str) {
    let mut child = Command::new(program)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let end = Instant::now() + LIMIT;
    while child.try_wait().expect("it is ours").is_none() {
        if Instant::now() > end {
            child.kill().expect("it is ours");
        }
        thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().expect("it is ours");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{name}: {}\n{stderr}",
        output.status
    );
    assert_eq!(stderr, "", "{name} complains");
    let expected = format!("{}/expected/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let expected = fs::read_to_string(expected).expect("what it should print");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{name}");
}

/// axum's own `serve`, and reqwest.
#[test]
fn axum_and_reqwest_run_unmodified() {
    run("axum_reqwest", env!("CARGO_BIN_EXE_axum_reqwest"));
}

/// sqlx with sqlite.
#[test]
fn sqlx_runs_unmodified() {
    run("sqlx_sqlite", env!("CARGO_BIN_EXE_sqlx_sqlite"));
}

/// tonic, server and client.
#[test]
fn tonic_runs_unmodified() {
    run("tonic_greeter", env!("CARGO_BIN_EXE_tonic_greeter"));
}
