//! The small programs, run as built: what they print is what their texts promise.

#![forbid(unsafe_code)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use common::{Running, run};

/// Runs a program that must succeed without complaint; returns its lines.
fn lines(program: &str) -> Vec<String> {
    let ended = run(&mut Command::new(program));
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stderr, "", "{ended:?}");
    ended.stdout.lines().map(String::from).collect()
}

/// Goal: the first program does all it shows. Method: its output, which has no times in it.
#[test]
fn hello_runs_work_of_each_kind() {
    let expected = [
        "panicked: 0",
        "pages: [1, 2]",
        "queued: New",
        "queued again: AlreadyPending",
        "sum 2, burnt 500500",
        "read itself: true",
    ];
    assert_eq!(lines(env!("CARGO_BIN_EXE_hello")), expected);
}

/// Goal: records of an ordered queue are whole and in order. Method: the program checks each.
#[test]
fn an_ordered_journal_keeps_records_whole() {
    let expected = [
        "600 halves, 0 panicked",
        "every record is whole: true",
        "ann: 200 halves, in order: true",
        "ben: 200 halves, in order: true",
        "cia: 200 halves, in order: true",
    ];
    assert_eq!(lines(env!("CARGO_BIN_EXE_ordered_journal")), expected);
}

/// Goal: limits hold exactly, and are used up. Method: gauges inside of the items.
#[test]
fn limits_hold_for_suspended_and_blocked_items() {
    let lines = lines(env!("CARGO_BIN_EXE_limits"));
    let expected = [
        "suspended items: 3 at a time",
        "blocked items: 3 at a time",
        "two active, four waiting: 6 taken, 4 given back",
    ];
    assert_eq!(lines[..3], expected);
    assert!(lines[3].starts_with("a limit of zero: ") && lines[3].contains("max_active"));
    assert_eq!(lines.len(), 4, "{lines:?}");
}

/// Goal: the verbs of delayed work do what they say. Method: the order of ticks and answers.
#[test]
fn delayed_work_ticks_when_it_should() {
    let expected = [
        "tick 1, not too early: true",
        "tick 2, not too early: true",
        "tick 3, not too early: true",
        "New",
        "AlreadyPending",
        "pending: true",
        "tick 4, put forward",
        "tick 5, flushed, pending: false",
        "cancelled while pending: true",
        "cancelled again: false",
        "New",
        "tick 6",
    ];
    assert_eq!(lines(env!("CARGO_BIN_EXE_delayed_tick")), expected);
}

/// Goal: naps end side by side and a ticker goes on. Method: every tick is on record; the
/// median cannot be a matter of naps, so it has to be far below one.
#[test]
fn blocking_tasks_leave_the_ticker_alone() {
    let lines = lines(env!("CARGO_BIN_EXE_blocking_is_fine"));
    assert!(
        lines[0].starts_with("64 naps of 50ms ended in "),
        "{lines:?}"
    );
    assert!(lines[1].contains(" ticks, late by p50 "), "{lines:?}");
    let median = lines[1]
        .split("p50 ")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .unwrap();
    let below_10_ms = median.ends_with("µs")
        || median
            .strip_suffix("ms")
            .is_some_and(|ms| ms.parse::<u32>().unwrap() < 10);
    assert!(below_10_ms, "{lines:?}");
}

/// Goal: the server echoes to many at once and ends when told. Method: several threads with
/// several connections each on std's sockets, then the end of its input.
#[test]
fn echo_serves_many_connections_and_ends_with_its_input() {
    let mut server = Running::start(
        Command::new(env!("CARGO_BIN_EXE_echo"))
            .arg("127.0.0.1:0")
            .stdin(Stdio::piped()),
    );
    let mut address = String::new();
    server.wait_for(|out, _| {
        address = out.trim().rsplit(' ').next().unwrap_or_default().into();
        out.ends_with('\n')
    });
    thread::scope(|scope| {
        for thread in 0..4 {
            let address = &address;
            scope.spawn(move || (0..5).for_each(|n| talk(address, thread * 5 + n)));
        }
    });
    drop(server.child.stdin.take());
    let ended = server.end();
    assert!(ended.status.success(), "{ended:?}");
    let bytes: usize = (0..20).map(|n| message(n).len()).sum();
    let last = format!("20 connections served, 0 failed, {bytes} bytes echoed");
    assert_eq!(ended.stdout.lines().last(), Some(&last[..]), "{ended:?}");
}

/// Goal: an address that cannot be had is an error, not a hang. Method: nonsense.
#[test]
fn echo_refuses_a_bad_address() {
    let ended = run(Command::new(env!("CARGO_BIN_EXE_echo")).arg("nowhere"));
    assert!(!ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains("nowhere"), "{ended:?}");
}

/// What connection `n` says: from little to more than any buffer in between.
fn message(n: usize) -> Vec<u8> {
    (0..n * n * 3000).map(|at| (at + n) as u8).collect()
}

/// Says everything on one thread while another one listens, and compares.
fn talk(address: &str, n: usize) {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(common::LIMIT)).unwrap();
    let (mut to, mut from) = (stream.try_clone().unwrap(), stream);
    let speaker = thread::spawn(move || {
        to.write_all(&message(n)).unwrap();
        to.shutdown(Shutdown::Write).unwrap();
    });
    let mut heard = Vec::new();
    from.read_to_end(&mut heard).unwrap();
    speaker.join().unwrap();
    assert!(
        heard == message(n),
        "connection {n}: {} bytes came back",
        heard.len()
    );
}
