//! The program as its users start it: children, turns, files and errors, with short rounds.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// Runs the program with arguments, in the build's temporary folder.
fn run(args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_wq-benches");
    Command::new(program)
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .args(args)
        .output()
        .expect("the program starts")
}

/// Standard output as text.
fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A file of this test's own in the build's temporary folder.
fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// One case on three runtimes and a floor row: a table, JSON and SVG with all of them.
#[test]
fn a_short_run_gives_table_json_and_svg() {
    let (json, svg) = (scratch("short-run.json"), scratch("short-run.svg"));
    let output = run(&[
        "chained_spawn",
        "floor_task_local",
        "--quick",
        "--rounds",
        "3",
        "--runtimes",
        "wq,tokio-ct,async-executor,bare",
        "--json",
        json.to_str().expect("the path is text"),
        "--svg",
        svg.to_str().expect("the path is text"),
        "--bench",
    ]);
    let table = text(&output);
    assert!(
        output.status.success(),
        "{table}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for row in [
        "chained_spawn",
        "tokio-ct",
        "async-executor",
        "floor_task_local",
    ] {
        assert!(table.contains(row), "{row} is missing in\n{table}");
    }
    let value = fs::read_to_string(&json).expect("the JSON is written");
    let value: Value = serde_json::from_str(&value).expect("it is JSON");
    let rows = value["rows"].as_array().expect("rows are a list");
    let names: Vec<_> = rows.iter().map(|row| row["runtime"].as_str()).collect();
    let expected = ["wq", "tokio-mt", "tokio-ct", "async-executor", "bare"];
    assert_eq!(
        names,
        expected.map(Some),
        "the base is measured though it was not named"
    );
    for row in rows {
        assert!(row["median"].as_f64().is_some_and(|ns| ns > 0.0), "{row}");
        assert_eq!(row["rounds"].as_array().map(Vec::len), Some(3), "{row}");
        assert!(
            row["cpu_ns_per_op"].as_f64().is_some_and(|ns| ns > 0.0),
            "{row}"
        );
    }
    let picture = fs::read_to_string(&svg).expect("the picture is written");
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
}

/// wq runs every case to its end and keeps the promises that the cases check: order, limit, and
/// that a flush has waited for all. Of cases that differ in a number only, the first will do. A
/// row that this machine does not allow says why.
#[test]
fn wq_runs_every_case() {
    let json = scratch("every-case.json");
    let path = json.to_str().expect("the path is text");
    let list = text(&run(&["--list"]));
    let cases = list.lines().skip(1).take_while(|line| !line.is_empty());
    let cases = cases.filter(|line| !line.contains(" floor "));
    let cases = cases.filter_map(|line| line.split_whitespace().next());
    let is_first = |name: &&str| {
        let later = ["_k8", "_k64", "grow_"];
        name.starts_with("grow_1_") || !later.iter().any(|number| name.contains(number))
    };
    let cases: Vec<_> = cases.filter(is_first).collect();
    let args = [
        "--quick",
        "--rounds",
        "3",
        "--runtimes",
        "wq",
        "--paired-base",
        "wq",
    ];
    let output = run(&[&cases[..], &args[..], &["--json", path]].concat());
    assert!(output.status.success(), "{}", text(&output));
    let value = fs::read_to_string(&json).expect("the JSON is written");
    let value: Value = serde_json::from_str(&value).expect("it is JSON");
    let rows = value["rows"].as_array().expect("rows are a list");
    assert_eq!(rows.len(), cases.len(), "{}", text(&output));
    for row in rows {
        let measured = row["median"].as_f64().is_some_and(|figure| figure > 0.0);
        let skipped = row["skipped"].as_str().is_some_and(|why| !why.is_empty());
        assert!(measured != skipped, "{row}");
    }
}

/// Lateness rows carry percentiles; marked blocking is measured where it makes a difference.
#[test]
fn lateness_is_measured_beside_marked_blocking() {
    let json = scratch("lateness.json");
    let output = run(&[
        "naps_k2",
        "--quick",
        "--rounds",
        "3",
        "--runtimes",
        "tokio-mt,tokio-mt-blocking",
        "--json",
        json.to_str().expect("the path is text"),
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let value = fs::read_to_string(&json).expect("the JSON is written");
    let value: Value = serde_json::from_str(&value).expect("it is JSON");
    let rows = value["rows"].as_array().expect("rows are a list");
    // The word is in two cases' names: steady and cold.
    assert_eq!(rows.len(), 4);
    for row in rows {
        let late = &row["lateness_ns"];
        let of = |name: &str| late[name].as_u64().expect("it is a number");
        assert!(of("p50") <= of("p99") && of("p99") <= of("p999") && of("p999") <= of("max"));
        assert!(
            row["others_per_s"].as_f64().is_some_and(|naps| naps > 1.0),
            "{row}"
        );
    }
}

/// The lists name what there is; a wrong word gives exit code 2 and says what is wrong.
#[test]
fn lists_and_errors_help() {
    let list = run(&["--list"]);
    assert!(list.status.success());
    for name in [
        "spawn_many_remote_busy2",
        "naps_k64",
        "tokio-mt-pinned",
        "async-executor",
    ] {
        assert!(text(&list).contains(name), "{name} is missing in the list");
    }
    for (args, told) in [
        (
            ["no_such_case", "--quick"],
            "no case or group contains `no_such_case`",
        ),
        (["--runtimes", "tokyo"], "no runtime is called `tokyo`"),
        (["--rounds", "0"], "it takes a number from 3"),
        (["--quick", "--fast"], "no option is called `--fast`"),
    ] {
        let output = run(&args);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            errors.contains(told) && errors.contains("usage:"),
            "{args:?}: {errors}"
        );
    }
}

/// A file that cannot be written is named, and the exit code says so.
#[test]
fn an_unwritable_file_is_an_error() {
    let missing = scratch("no-such-folder").join("out.json");
    let path = missing.to_str().expect("the path is text");
    let output = run(&[
        "floor_malloc_local",
        "--quick",
        "--rounds",
        "3",
        "--json",
        path,
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(path));
}

/// What is recorded makes a page with pictures, in pieces: what was measured is not measured again,
/// and without time nothing is begun.
#[test]
fn a_record_makes_a_page_in_pieces() {
    let folder = scratch("record");
    // It is there if an earlier run of this test ended in the middle.
    let _ = fs::remove_dir_all(&folder);
    let record = |cases: &[&str], minutes| {
        let args = ["--quick", "--rounds", "3", "--runtimes", "wq,bare"];
        let args = [&args[..], &["--record", "record", "--minutes", minutes]].concat();
        let output = run(&[cases, &args[..]].concat());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        told
    };
    let both = ["grow_1_woken", "floor_task_local"];
    let told = record(&both, "0");
    assert!(told.contains("2 cases are still to be measured"), "{told}");
    let told = record(&both[1..], "5");
    assert!(told.contains("1 cases to go: floor_task_local"), "{told}");
    let told = record(&both, "5");
    assert!(told.contains("1 cases to go: grow_1_woken"), "{told}");
    let told = record(&both, "5");
    assert!(!told.contains("to go"), "{told}");
    // Other runtimes in place of those that are kept: nothing is measured, and nothing is lost.
    let args = [
        "--quick",
        "--rounds",
        "4",
        "--runtimes",
        "smol",
        "--record",
        "record",
    ];
    let output = run(&[&both[..1], &args[..]].concat());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    let lost = "what is kept of `grow_1_woken` would be lost: rows of wq";
    assert!(told.contains(lost) && !told.contains("to go"), "{told}");
    let page = fs::read_to_string(folder.with_extension("md")).expect("the page is written");
    for words in [
        "| `grow_1_woken` | ",
        "| `floor_task_local` | ",
        "(record/growth.svg)",
        "a look, not a measurement",
    ] {
        assert!(page.contains(words), "no `{words}` in\n{page}");
    }
    let picture = fs::read_to_string(folder.join("growth.svg")).expect("the picture is written");
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
}

/// A row that is kept as failed is named, its case is still to be measured, and the exit code says
/// so; the page has it too.
#[test]
fn a_failed_row_of_a_record_is_told() {
    let folder = scratch("failed-record");
    fs::create_dir_all(&folder).expect("the folder is made");
    let row = json!({ "runtime": "wq", "error": "it broke" });
    let case = json!({ "case": "echo_1", "group": "net", "rounds": 15, "rows": [row] });
    let kept = json!({ "format": 1, "cases": [case] }).to_string();
    fs::write(folder.join("net.json"), kept).expect("it is written");
    let output = run(&["echo_1", "--record", "failed-record", "--minutes", "0"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    // The word is in two cases' names.
    for words in [
        "failed: `echo_1` on wq: it broke",
        "2 cases are still to be measured",
    ] {
        assert!(told.contains(words), "no `{words}` in {told}");
    }
    let page = fs::read_to_string(folder.with_extension("md")).expect("the page is written");
    assert!(page.contains("- `echo_1` on wq: it broke"), "{page}");
}
