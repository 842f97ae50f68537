//! The small programs, run as built: what they print is what their texts promise.

#![forbid(unsafe_code)]

#[expect(dead_code, reason = "nobody here is talked to while it runs")]
mod common;

use std::process::Command;

use common::run;

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
/// queue, were late by less than ten queries of that row. They are due each millisecond and
/// answered one after the other: if each waited for one query, half would be late by dozens.
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
        assert_eq!((figures.len(), figures[0]), (6, "300"), "{name}: {lines:?}");
    }
    let figures: Vec<_> = rows[1].1.split_whitespace().collect();
    let (median, query) = (micros(figures[1]), micros(figures[5]));
    assert!(median < 10 * query, "{lines:?}");
    assert!(last.starts_with("one query alone: "), "{lines:?}");
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
        ("--connections", env!("CARGO_BIN_EXE_graceful")),
        ("--connections", env!("CARGO_BIN_EXE_echo")),
        ("--connections", env!("CARGO_BIN_EXE_http_api")),
    ] {
        let ended = run(Command::new(program).args([option, "many"]));
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let (said, name) = (&ended.stderr, format!("{option}: cannot parse "));
        assert!(said.contains(&name) && said.contains("many"), "{ended:?}");
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
