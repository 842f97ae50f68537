//! The small programs, run as built: what they print is what their texts promise.

#![forbid(unsafe_code)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use common::{Running, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

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

/// Goal: what goes into a pipeline comes out of it, in order, within the limits. Method: the
/// program compares with the same work done one after the other, and its gauges with the limits.
#[test]
fn a_pipeline_keeps_its_limits_and_its_order() {
    let expected = [
        "all 200 blocks went through: true",
        "writers that panicked: 0",
        "in the order of the file: true",
        "read at most 4 at a time: true",
        "hashed at most one per CPU: true",
        "at most 24 inside: true",
        "as if done one after the other: true",
    ];
    assert_eq!(lines(env!("CARGO_BIN_EXE_pipeline")), expected);
}

/// Goal: jobs keep to their grid, leave out what they miss, and end when told. Method: the program
/// notes each run; no line has a time in it.
#[test]
fn cron_jobs_keep_to_their_grid() {
    let expected = [
        "ran 5 times or more: true",
        "on its grid, each turn once: true",
        "never early: true",
        "left out what it missed: true",
        "pending after the cancel: false",
        "tonight: New",
        "now: Rearmed",
        "cleaned up",
        "switched off, it was armed: true",
        "refused: true",
        "switched on: Some(true)",
        "the heart has beaten: true",
        "and stands still: true",
        "destroyed, pending: false",
    ];
    assert_eq!(lines(env!("CARGO_BIN_EXE_cron")), expected);
}

/// Goal: requests are answered beside queries that burn. Method: each answer is checked by the
/// program; here that none is missing, and that half of them, where the queries have their own
/// queue, did not wait for as long as a query takes, let alone for the eight or more in line.
#[test]
fn requests_are_answered_beside_heavy_queries() {
    let lines = lines(env!("CARGO_BIN_EXE_mixed"));
    assert!(lines[0].starts_with("queries "), "{lines:?}");
    let (last, rows) = lines[1..].split_last().unwrap();
    let rows: Vec<_> = rows.iter().map(|line| line.split_at(20)).collect();
    let names: Vec<_> = rows.iter().map(|(name, _)| name.trim_end()).collect();
    let expected = ["no queries", "on their own queue", "among the requests"];
    assert_eq!(names, expected);
    for (name, figures) in &rows {
        let figures: Vec<_> = figures.split_whitespace().collect();
        assert_eq!((figures.len(), figures[0]), (5, "300"), "{name}: {lines:?}");
    }
    let median = rows[1].1.split_whitespace().nth(1).unwrap();
    let query = last.strip_prefix("one query alone: ").unwrap();
    assert!(micros(median) < micros(query), "{lines:?}");
}

/// A duration as the programs print it, in microseconds.
fn micros(text: &str) -> u64 {
    let units = [("ns", 0), ("µs", 1), ("ms", 1000), ("s", 1_000_000)];
    let (number, factor) = units
        .into_iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
        .unwrap_or_else(|| panic!("{text} is no duration"));
    number.parse::<u64>().unwrap() * factor
}

/// Goal: programs that take no arguments say so, and those whose option is not understood name it.
#[test]
fn programs_refuse_bad_arguments() {
    for (name, program) in [
        ("pipeline", env!("CARGO_BIN_EXE_pipeline")),
        ("cron", env!("CARGO_BIN_EXE_cron")),
        ("mixed", env!("CARGO_BIN_EXE_mixed")),
    ] {
        let usage = format!("usage: {name} ");
        for nonsense in ["--nope", "nope", "-n"] {
            let ended = run(Command::new(program).arg(nonsense));
            assert_eq!(ended.status.code(), Some(1), "{ended:?}");
            assert!(ended.stderr.contains(nonsense), "{ended:?}");
            assert!(ended.stderr.contains(&usage), "{ended:?}");
            assert_eq!(ended.stdout, "", "{ended:?}");
        }
        let ended = run(Command::new(program).arg("--help"));
        assert!(ended.status.success(), "{ended:?}");
        assert!(ended.stdout.starts_with(&usage), "{ended:?}");
    }
    for (option, program) in [
        ("--jobs", env!("CARGO_BIN_EXE_treesum")),
        ("--rounds", env!("CARGO_BIN_EXE_treesum")),
        ("--slow", env!("CARGO_BIN_EXE_treesum")),
        ("--grace", env!("CARGO_BIN_EXE_graceful")),
    ] {
        let ended = run(Command::new(program).args([option, "many"]));
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let said = format!("{option}: cannot parse \"many\"");
        assert!(ended.stderr.contains(&said), "{ended:?}");
    }
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
    let address = address_of(&mut server);
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

/// Goal: arguments that servers do not understand are errors that say how they are called, and no
/// hang. Method: nonsense, and too much of it.
#[test]
fn servers_refuse_bad_arguments_and_say_how_they_are_called() {
    for (name, program) in [
        ("echo", env!("CARGO_BIN_EXE_echo")),
        ("http_api", env!("CARGO_BIN_EXE_http_api")),
        ("graceful", env!("CARGO_BIN_EXE_graceful")),
    ] {
        for arguments in [&["nowhere"][..], &["127.0.0.1:0", "what"], &["--what"]] {
            let ended = run(Command::new(program).args(arguments));
            assert!(!ended.status.success(), "{ended:?}");
            let culprit = arguments.last().unwrap();
            assert!(ended.stderr.contains(culprit), "{ended:?}");
            let usage = format!("usage: {name} [");
            assert!(ended.stderr.contains(&usage), "{ended:?}");
        }
    }
}

/// Goal: a server that runs out of descriptors says so and goes on. Method: its limit lies below
/// the connections that are opened, and they are closed again.
#[test]
fn echo_goes_on_after_it_could_not_accept() {
    let mut server = Command::new("sh");
    server.args([
        "-c",
        "ulimit -n 40; exec \"$0\"",
        env!("CARGO_BIN_EXE_echo"),
    ]);
    let mut server = Running::start(server.stdin(Stdio::piped()));
    let address = address_of(&mut server);
    let crowd: Vec<_> = (0..60)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    server.wait_for(|_, err| err.contains("a connection was not accepted"));
    drop(crowd);
    talk(&address, 3);
    drop(server.child.stdin.take());
    let ended = server.end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stdout.contains("connections served"), "{ended:?}");
}

/// Goal: a server that is told to end answers what has begun, refuses what is new, cuts off what
/// does not end, and says so; with either signal. Method: one client that asks, one that is idle,
/// one that never finishes its line.
#[test]
fn graceful_ends_well() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server =
            Running::start(Command::new(env!("CARGO_BIN_EXE_graceful")).args(["--grace", "3000"]));
        let address = address_of(&mut server);
        let mut asking = BufReader::new(TcpStream::connect(&address).unwrap());
        // Begun before the signal, which the answer proves, and finished after it.
        assert_eq!(ask(&mut asking, "first\nsec"), "FIRST\n");
        let mut idle = BufReader::new(TcpStream::connect(&address).unwrap());
        assert_eq!(ask(&mut idle, "only\n"), "ONLY\n");
        let mut stuck = BufReader::new(TcpStream::connect(&address).unwrap());
        assert_eq!(ask(&mut stuck, "whole\nwithout an end"), "WHOLE\n");
        kill(Pid::from_raw(server.child.id() as i32), signal).unwrap();
        server.wait_for(|out, _| out.contains("no new connections"));
        assert!(!is_served(&address), "nobody listens");
        assert_eq!(ask(&mut asking, "ond\n"), "SECOND\n");
        assert_eq!(ask(&mut asking, ""), "", "its connection is closed then");
        assert_eq!(ask(&mut idle, ""), "", "idle connections are closed");
        let ended = server.end();
        assert!(ended.status.success(), "{ended:?}");
        let lines: Vec<_> = ended.stdout.lines().skip(1).collect();
        let expected = [
            &*format!("{}: no new connections", signal.as_str()),
            "3000 ms are over",
            "3 connections: 2 ended, 1 open",
            "answered: yes",
            "1 tasks cut off, 0 threads left behind",
        ];
        assert_eq!(lines, expected, "{ended:?}");
    }
}

/// Goal: a server that has nothing left to do does not use its grace up, and a second signal ends
/// one that has. Method: the default grace, which is longer than patience would be.
#[test]
fn graceful_ends_at_once_when_it_can_or_must() {
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_graceful"))
            .args(["--grace", "600000"])
            .start()
    };
    let mut idle = start();
    let _ = address_of(&mut idle);
    kill(Pid::from_raw(idle.child.id() as i32), Signal::SIGTERM).unwrap();
    let ended = idle.end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(
        ended.stdout.contains("all connections have ended"),
        "{ended:?}"
    );

    let mut held_up = start();
    let address = address_of(&mut held_up);
    let mut stuck = BufReader::new(TcpStream::connect(&address).unwrap());
    assert_eq!(ask(&mut stuck, "whole\nwithout an end"), "WHOLE\n");
    let pid = Pid::from_raw(held_up.child.id() as i32);
    kill(pid, Signal::SIGTERM).unwrap();
    held_up.wait_for(|out, _| out.contains("no new connections"));
    kill(pid, Signal::SIGTERM).unwrap();
    let ended = held_up.end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stdout.contains("ended at once"), "{ended:?}");
}

/// Starts a command.
trait Start {
    /// With an empty input.
    fn start(&mut self) -> Running;
}

impl Start for Command {
    fn start(&mut self) -> Running {
        Running::start(self.stdin(Stdio::null()))
    }
}

/// What a server that has started prints as its address.
fn address_of(server: &mut Running) -> String {
    let mut address = String::new();
    server.wait_for(|out, _| {
        address = out.trim().rsplit(' ').next().unwrap_or_default().into();
        out.ends_with('\n')
    });
    address
}

/// Says something and gives the answer, which is empty if the connection was closed.
fn ask(client: &mut BufReader<TcpStream>, what: &str) -> String {
    client
        .get_ref()
        .set_read_timeout(Some(common::LIMIT))
        .unwrap();
    let _ = client.get_mut().write_all(what.as_bytes());
    let mut answer = String::new();
    match client.read_line(&mut answer) {
        Ok(_) => answer,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => String::new(),
        Err(error) => panic!("{error}"),
    }
}

/// Whether a server is there that answers. The port is free when it is not, so a program of another
/// test may have it by now; none of them answers in capitals and then closes.
fn is_served(address: &str) -> bool {
    TcpStream::connect(address).is_ok_and(|client| ask(&mut BufReader::new(client), "a\n") == "A\n")
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
