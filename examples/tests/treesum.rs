//! treesum as its users meet it: the built program, run on trees made for it.
//!
//! Every test that is about the job runs it on each runtime.

#![forbid(unsafe_code)]

mod common;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use common::{Ended, Running, run};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, Uid, mkfifo};
use serde_json::Value;
use tempfile::TempDir;
use wq_examples::treesum::hash;
use wq_examples::treesum::runner::Runtime;

/// Where the built program is.
const TREESUM: &str = env!("CARGO_BIN_EXE_treesum");

/// A made tree, and beside it a place for treesum's own output.
struct Made {
    /// Removed at the end.
    dir: TempDir,
    /// What a right digest is made of: the files that can be read.
    good: Vec<(String, Vec<u8>)>,
}

impl Made {
    /// A tree of `count` files in nested directories, from empty to some hundred kilobytes.
    fn with_files(count: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("tree")).unwrap();
        let mut made = Self {
            dir,
            good: Vec::new(),
        };
        for n in 0..count {
            let size = if n % 50 == 7 {
                70_000 * (n % 5) + 1
            } else {
                n * 13 % 3000
            };
            let bytes = (0..size).map(|at| (at * 7 + n) as u8).collect();
            made.add(&format!("d{}/e{}/file {n}", n % 7, n % 3), bytes);
        }
        made
    }

    /// Adds a file that can be read.
    fn add(&mut self, name: &str, bytes: Vec<u8>) {
        let path = self.tree().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &bytes).unwrap();
        self.good.push((name.into(), bytes));
    }

    /// The tree's root.
    fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    /// The digest that a run must have.
    fn digest(&self) -> String {
        let files = self.good.iter().map(|(name, bytes)| {
            let summed = hash::sum(&bytes[..], || false).unwrap().unwrap();
            (name.as_bytes(), summed.digest)
        });
        hash::tree(files).to_string()
    }

    /// treesum on this tree, with JSON; its output goes beside the tree.
    fn treesum(&self, runtime: Runtime, words: &str) -> Command {
        let mut command = Command::new(TREESUM);
        command
            .current_dir(self.dir.path())
            .arg("tree")
            .arg("--json");
        command
            .args(["--runtime", runtime.name()])
            .args(words.split_whitespace());
        command
    }

    /// The journal's lines, split at the tabs.
    fn journal(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.dir.path().join("treesum.journal")).unwrap();
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "the last line is cut off"
        );
        text.lines()
            .map(|line| line.split('\t').map(String::from).collect())
            .collect()
    }
}

/// The JSON object that a run printed.
fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// The failures of a run as (path, reason), sorted by path.
fn failures<'a>(json: &'a Value) -> Vec<(&'a str, &'a str)> {
    let text = |value: &'a Value| value.as_str().unwrap();
    let failures = json["failures"].as_array().unwrap();
    failures
        .iter()
        .map(|failure| (text(&failure["path"]), text(&failure["reason"])))
        .collect()
}

/// Goal: the digest is the tree's. Method: against one made here from the files' bytes.
#[test]
fn every_runtime_finds_the_sequential_digest() {
    let made = Made::with_files(400);
    for runtime in Runtime::ALL {
        let ended = run(&mut made.treesum(runtime, "--verify --jobs 16"));
        assert_eq!(ended.status.code(), Some(0), "{runtime}: {ended:?}");
        let json = json(&ended);
        assert_eq!(json["digest"], made.digest(), "{runtime}");
        assert_eq!(
            (&json["files"], &json["verified"]),
            (&400.into(), &true.into()),
            "{runtime}"
        );
        let bytes: usize = made.good.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(json["bytes"], bytes, "{runtime}");
    }
}

/// Goal: one line a file, in the order of acceptance. Method: tickets are given out together
/// with the queueing, so they must count up; each path must come once, with its digest.
#[test]
fn the_journal_has_a_line_a_file_in_the_order_of_acceptance() {
    let made = Made::with_files(500);
    for runtime in Runtime::ALL {
        assert_eq!(
            run(&mut made.treesum(runtime, "--jobs 32")).status.code(),
            Some(0)
        );
        let lines = made.journal();
        for (line, ticket) in lines.iter().zip(1..) {
            assert_eq!(
                (&line[0], &line[1][..]),
                (&ticket.to_string(), "ok"),
                "{runtime}"
            );
        }
        let line = |(name, bytes): &(String, Vec<u8>)| {
            let digest = hash::sum(&bytes[..], || false).unwrap().unwrap().digest;
            vec![digest.to_string(), bytes.len().to_string(), name.clone()]
        };
        let expected: HashSet<_> = made.good.iter().map(line).collect();
        assert_eq!(lines.len(), expected.len(), "{runtime}");
        let found: HashSet<_> = lines.iter().map(|line| line[2..].to_vec()).collect();
        assert_eq!(found, expected, "{runtime}");
    }
}

/// Goal: bad files are named and harm nobody else. Method: one of each kind among good ones.
#[test]
fn bad_files_are_named_and_the_others_are_summed() {
    let made = Made::with_files(60);
    symlink("nowhere", made.tree().join("broken")).unwrap();
    symlink("circle", made.tree().join("circle")).unwrap();
    symlink("d1", made.tree().join("to a directory")).unwrap();
    mkfifo(&made.tree().join("fifo"), Mode::S_IRWXU).unwrap();
    let expected = [
        ("broken", "broken-link"),
        ("circle", "other"),
        ("fifo", "not-regular"),
    ];
    for runtime in Runtime::ALL {
        let ended = run(&mut made.treesum(runtime, "--verify"));
        assert_eq!(ended.status.code(), Some(2), "{runtime}: {ended:?}");
        let json = json(&ended);
        assert_eq!(failures(&json), expected, "{runtime}");
        assert_eq!(
            (&json["files"], &json["links_skipped"]),
            (&60.into(), &1.into())
        );
        assert_eq!(
            (&json["digest"], &json["verified"]),
            (&made.digest().into(), &true.into())
        );
        assert_eq!(made.journal().len(), 63, "{runtime}");
        assert_eq!(
            made.journal()
                .iter()
                .filter(|line| line[1] == "failed")
                .count(),
            3
        );
    }
}

/// Goal: no permission is named, for files and directories. Method: modes of zero; root may
/// read those, so root runs treesum as another user.
#[test]
fn what_may_not_be_read_is_named() {
    let made = Made::with_files(20);
    let secret = made.tree().join("secret");
    fs::write(&secret, "x").unwrap();
    fs::create_dir(made.tree().join("closed")).unwrap();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(made.dir.path(), open).unwrap();
    for bad in [&secret, &made.tree().join("closed")] {
        fs::set_permissions(bad, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let program = made.dir.path().join("treesum");
    fs::copy(TREESUM, &program).unwrap();
    for runtime in Runtime::ALL {
        let mut command = Command::new(&program);
        command
            .current_dir(made.dir.path())
            .args(["tree", "--json", "--journal", "/dev/null"]);
        command.args(["--runtime", runtime.name()]);
        if Uid::effective().is_root() {
            command.uid(65534).gid(65534);
        }
        let ended = run(&mut command);
        assert_eq!(ended.status.code(), Some(2), "{runtime}: {ended:?}");
        let json = json(&ended);
        let expected = [("closed", "no-permission"), ("secret", "no-permission")];
        assert_eq!(failures(&json), expected, "{runtime}");
        assert_eq!(json["digest"], made.digest(), "{runtime}");
    }
    // So that the directory can be removed by whoever runs the test.
    fs::set_permissions(
        made.tree().join("closed"),
        fs::Permissions::from_mode(0o700),
    )
    .unwrap();
}

/// Goal: tracked files only, a vanished one and a directory listed as a file are named.
/// Method: a checkout with a deleted file, an untracked file and a submodule that is not there.
#[test]
fn a_checkout_is_listed_by_git() {
    let mut made = Made::with_files(10);
    let git = |words: &str| {
        let mut command = Command::new("git");
        command
            .current_dir(made.tree())
            .args(words.split(' '))
            .env_remove("GIT_DIR");
        command.output()
    };
    if git("init -q").is_err() {
        // Nothing to test without git; the walk has its own tests.
        eprintln!("SKIPPED: there is no git here");
        return;
    }
    fs::write(made.tree().join("vanished"), "x").unwrap();
    assert!(git("add .").unwrap().status.success());
    let link = format!(
        "update-index --add --cacheinfo 160000,{},module",
        "1".repeat(40)
    );
    assert!(git(&link).unwrap().status.success());
    fs::create_dir(made.tree().join("module")).unwrap();
    fs::remove_file(made.tree().join("vanished")).unwrap();
    made.add("untracked", b"not counted".to_vec());
    made.good.pop();
    for runtime in Runtime::ALL {
        let ended = run(&mut made.treesum(runtime, ""));
        assert_eq!(ended.status.code(), Some(2), "{runtime}: {ended:?}");
        let json = json(&ended);
        assert_eq!(json["listed_by"], "git", "{runtime}: {ended:?}");
        let expected = [("module", "is-directory"), ("vanished", "vanished")];
        assert_eq!(failures(&json), expected, "{runtime}");
        assert_eq!(json["digest"], made.digest(), "{runtime}");
    }
}

/// Goal: a digest that does not hold is an error of its own. Method: a file that is different
/// each time it is read.
#[test]
fn a_tree_that_changes_meanwhile_does_not_verify() {
    let made = Made::with_files(3);
    symlink("/proc/sys/kernel/random/uuid", made.tree().join("changing")).unwrap();
    for runtime in Runtime::ALL {
        let ended = run(&mut made.treesum(runtime, "--verify"));
        assert_eq!(ended.status.code(), Some(3), "{runtime}: {ended:?}");
        assert_eq!(json(&ended)["verified"], false, "{runtime}");
    }
}

/// Goal: a journal that cannot be written is said, and the sum is still made. Method: a
/// device that is always full.
#[test]
fn a_full_disk_under_the_journal_is_said() {
    let made = Made::with_files(30);
    for runtime in Runtime::ALL {
        let ended = run(&mut made.treesum(runtime, "--journal /dev/full"));
        assert_eq!(ended.status.code(), Some(2), "{runtime}: {ended:?}");
        let json = json(&ended);
        assert!(
            json["journal_error"].as_str().unwrap().contains("space"),
            "{runtime}"
        );
        assert_eq!(json["digest"], made.digest(), "{runtime}");
    }
}

/// Goal: wrong usage is told from failed files. Method: each mistake a user can make.
#[test]
fn wrong_usage_has_its_own_exit_code() {
    let made = Made::with_files(1);
    let mistakes = [
        ("--jobs 0", "at least 1"),
        ("--journal no/such/journal", "no/such/journal"),
        ("--runtime threads", "--runtime is one of"),
        ("another", "another"),
        ("--frobnicate", "--help"),
    ];
    for (words, message) in mistakes {
        let ended = run(&mut made.treesum(Runtime::Tokio, words));
        assert_eq!(ended.status.code(), Some(1), "{words}: {ended:?}");
        assert!(ended.stderr.contains(message), "{words}: {ended:?}");
        assert_eq!(ended.stdout, "", "{words}");
    }
    for dir in ["tree/none", "tree/d0/e0/file 0"] {
        let ended = run(Command::new(TREESUM).current_dir(made.dir.path()).arg(dir));
        assert_eq!(ended.status.code(), Some(1), "{dir}: {ended:?}");
        assert!(ended.stderr.contains(dir), "{ended:?}");
    }
    let help = run(Command::new(TREESUM).arg("--help"));
    assert_eq!((help.status.code(), help.stderr.as_str()), (Some(0), ""));
    assert!(help.stdout.contains("130 interrupted"));
}

/// Goal: Ctrl-C keeps what is done. Method: interrupt once the bar shows a recorded file; each
/// read naps, so that most are still to come.
#[test]
fn an_interrupt_keeps_what_is_done() {
    let made = Made::with_files(3000);
    for runtime in Runtime::ALL {
        let mut running =
            Running::start(&mut made.treesum(runtime, "--slow 20 --jobs 2 --progress"));
        running.wait_for(|_, bar| {
            bar.split("] ")
                .any(|text| text.contains("/3000 files") && !text.starts_with("0/"))
        });
        kill(Pid::from_raw(running.child.id() as i32), Signal::SIGINT).unwrap();
        let ended = running.end();
        assert_eq!(ended.status.code(), Some(130), "{runtime}: {ended:?}");
        let json = json(&ended);
        assert_eq!(json["interrupted"], true, "{runtime}");
        let [done, unfinished] = ["files", "unfinished"].map(|key| json[key].as_u64().unwrap());
        assert_eq!(done + unfinished, 3000, "{runtime}");
        assert!(done >= 2 && unfinished > 0, "{runtime}: {done} done");
        assert_eq!(made.journal().len() as u64, done, "{runtime}");
        assert_eq!(failures(&json), [], "{runtime}");
    }
}

/// Goal: a read that never comes back does not keep the results back. Method: reads that nap
/// for hours; the time limit of all tests is minutes.
#[test]
fn a_read_that_never_ends_is_left_behind() {
    let made = Made::with_files(10);
    for runtime in Runtime::ALL {
        let mut running =
            Running::start(&mut made.treesum(runtime, "--slow 36000000 --jobs 4 --progress"));
        running.wait_for(|_, bar| bar.contains("] 0/10 files"));
        kill(Pid::from_raw(running.child.id() as i32), Signal::SIGINT).unwrap();
        let ended = running.end();
        assert_eq!(ended.status.code(), Some(130), "{runtime}: {ended:?}");
        assert_eq!(json(&ended)["unfinished"], 10, "{runtime}");
    }
}

/// Goal: a heartbeat that stands still is late, not absent. Method: reads that nap far longer
/// than a period; the beats must add up to the time whether or not the tasks got to run.
#[test]
fn every_due_beat_is_on_record() {
    let made = Made::with_files(8);
    for runtime in Runtime::ALL {
        let json = json(&run(&mut made.treesum(runtime, "--slow 50 --jobs 4")));
        let due = json["seconds"].as_f64().unwrap() * 1e3;
        for beat in ["ordinary", "urgent"] {
            let beats = json["lateness_us"][beat]["beats"].as_f64().unwrap();
            // The first grid point lies a little after the clock's start.
            assert!(
                beats > due - 50.0 && beats <= due,
                "{runtime}: {beats} of {due}"
            );
        }
    }
}

/// Goal: `--compare` shows each runtime's figures and a plot. Method: one round, both forms.
#[test]
fn a_comparison_has_a_table_and_a_plot() {
    let made = Made::with_files(50);
    let mut command = Command::new(TREESUM);
    command
        .current_dir(made.dir.path())
        .args(["tree", "--compare", "--rounds", "1", "--verify"]);
    let text = run(&mut command);
    assert_eq!(text.status.code(), Some(0), "{text:?}");
    let ended = run(command.args(["--json", "--svg", "other.svg"]));
    let json = json(&ended);
    assert_eq!(json["digests_agree"], true);
    for (at, runtime) in Runtime::ALL.into_iter().enumerate() {
        assert!(
            text.stdout
                .lines()
                .any(|line| line.starts_with(runtime.name())),
            "{text:?}"
        );
        let row = &json["runtimes"][at];
        assert_eq!(row["runtime"], runtime.name());
        assert_eq!(row["rounds"][0]["digest"], made.digest());
        assert_eq!(row["code_lines_that_differ"] == 0, at == 0, "{row}");
    }
    assert!(text.stdout.contains("lines of code"), "{text:?}");
    for name in ["treesum.svg", "other.svg"] {
        let svg = fs::read_to_string(made.dir.path().join(name)).unwrap();
        assert!(
            svg.starts_with("<svg") && svg.ends_with("</svg>\n"),
            "{name}"
        );
    }
}

/// Goal: without arguments it sums this project. Method: from elsewhere, with a plot.
#[test]
fn without_a_directory_it_sums_its_own_sources() {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(TREESUM);
    let ended = run(command
        .current_dir(elsewhere.path())
        .args(["--verify", "--svg", "x.svg"]));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.contains("verified"), "{ended:?}");
    let journal = fs::read_to_string(elsewhere.path().join("treesum.journal")).unwrap();
    assert!(
        journal.contains("\texamples/src/treesum/walk.rs\n"),
        "{journal}"
    );
    assert!(elsewhere.path().join("x.svg").exists());
}

/// Goal: treesum is safe to run often and at once. Method: four at a time on one tree, each
/// with a journal of its own.
#[test]
fn several_at_once_agree() {
    let made = Made::with_files(200);
    thread::scope(|scope| {
        for n in 0..4 {
            let (made, name) = (&made, format!("--journal journal{n}"));
            scope.spawn(move || {
                let ended = run(&mut made.treesum(Runtime::ALL[0], &name));
                assert_eq!(json(&ended)["digest"], made.digest(), "{ended:?}");
                assert!(made.dir.path().join(format!("journal{n}")).exists());
            });
        }
    });
}

/// Threads that run no file: the program's own, three services, a spotter for each of two
/// processors, a reserve in each of two pools, and two workers that were asked for at one moment.
const OTHERS: u64 = 10;

/// `max_active` of the ordered queue, on top of that of the reads: a write may block, too.
const JOURNALS: u64 = 1;

/// Goal: the figures of a large tree. Method: 20 000 files, hundreds of reads napping at a time;
/// the digest, the bound on threads, and the lateness of an ordinary heartbeat.
#[test]
#[ignore = "a measurement: needs a release build and a machine with nothing else to do"]
fn a_large_tree_keeps_its_promises() {
    let made = Made::with_files(20_000);
    // Those of the default pool, and the one that the urgent heartbeat's processor has.
    let lanes = thread::available_parallelism().unwrap().get() as u64 + 1;
    let (jobs, digest) = (256, made.digest());
    let limit = jobs + JOURNALS;
    // Reads that block leave the processors to others. With everything cached, or with naps so
    // short that the returns alone take all of both processors, lateness is the scheduler's.
    for (words, reads_block) in [
        ("--verify", false),
        ("--slow 5", false),
        ("--cold", true),
        ("--slow 20", true),
    ] {
        let ended = run(&mut made.treesum(Runtime::Wq, &format!("{words} --jobs {jobs}")));
        assert_eq!(ended.status.code(), Some(0), "{words}: {ended:?}");
        let json = json(&ended);
        assert_eq!(json["digest"], digest, "{words}");
        let threads = json["threads"]["peak"].as_u64().unwrap();
        assert!(
            threads <= lanes + limit + OTHERS,
            "{words}: {threads} threads"
        );
        let p99 = json["lateness_us"]["ordinary"]["p99"].as_f64().unwrap();
        assert!(
            !reads_block || p99 < 2000.0,
            "{words}: late by {p99} us at p99"
        );
    }
}

/// Goal: threads are bounded by lanes, limit and a few. Method: reads that nap, so that as many
/// as may are blocked at a time.
#[test]
fn threads_are_bounded_by_the_limit() {
    let made = Made::with_files(200);
    // Those of the default pool, and the one that the urgent heartbeat's processor has.
    let lanes = thread::available_parallelism().unwrap().get() as u64 + 1;
    // The more at a time the longer the naps: a loaded machine makes threads slowly.
    for (jobs, nap) in [(1, 5), (16, 60), (64, 300)] {
        let ended = run(&mut made.treesum(Runtime::Wq, &format!("--slow {nap} --jobs {jobs}")));
        let threads = &json(&ended)["threads"];
        for count in [&threads["peak"], &threads["engine"]] {
            let count = count.as_u64().unwrap();
            assert!(
                count <= lanes + jobs + JOURNALS + OTHERS,
                "{jobs} jobs: {threads}"
            );
            assert!(
                count >= jobs,
                "{jobs} reads cannot have napped at a time: {threads}"
            );
        }
    }
}
