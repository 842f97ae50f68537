//! The command line: the list of commands, their help, and their arguments.

mod args;

use std::path::Path;
use std::process::ExitCode;

pub(crate) use args::Args;

use crate::failure::{Failure, Outcome};
use crate::{
    ci, counts, ecosystem, features, idle, long, loom, oldest, output, repo, sanitize, smoke, soak,
    stress, tidy, weaken,
};

/// The exit code of a command line that makes no sense, as usual.
const USAGE_ERROR: u8 = 2;

/// One command: how it is called, what it is for, what runs it.
struct Command {
    /// The word after `cargo xtask`.
    name: &'static str,
    /// What may follow the name.
    usage: &'static str,
    /// One line for the list.
    summary: &'static str,
    /// More lines for `--help`.
    details: &'static str,
    /// Runs it in the repository at this root.
    run: fn(&Path, Args) -> Outcome,
}

/// All commands, in the order of the list.
const COMMANDS: [Command; 15] = [
    Command {
        name: "ci",
        usage: "",
        summary: "everything that a change must pass, under 20 minutes",
        details: "Runs fmt, clippy, tests (tidy among them), rustdoc, loom models, the counts of \
                  instructions,\nthe portable build, the check against the oldest supported \
                  compiler and the examples, in this\norder. Stops at the first failure and says \
                  how to repeat that step alone.",
        run: |root, args| args.none().and_then(|()| ci::command(root)),
    },
    Command {
        name: "long",
        usage: "",
        summary: "what takes hours: weakening, deep models, sanitizers, stress, soak",
        details: "Runs all of its steps, also behind a failed one, and lists at the end which \
                  failed\nand which were skipped.",
        run: |root, args| args.none().and_then(|()| long::command(root)),
    },
    Command {
        name: "tidy",
        usage: "",
        summary: "the mechanical rules of CONTRIBUTING.md",
        details: "Prints `file:line: message [rule]` for each offence. The rules are the modules \
                  of\nxtask/src/tidy; `cargo test --workspace` runs them too.",
        run: |root, args| args.none().and_then(|()| tidy::command(root)),
    },
    Command {
        name: "loom",
        usage: "[--preemptions N] [--jobs N] [FILTER]",
        summary: "the models of the engine's handshakes, every interleaving",
        details: "Runs the unit tests of wq-core whose names begin with `loom_` under `--cfg \
                  loom`, each in\na process of its own. FILTER: only those whose path contains \
                  it. --preemptions: the bound\non involuntary switches (2). --jobs: models at a \
                  time (one for each CPU).",
        run: loom::command,
    },
    Command {
        name: "weaken",
        usage: "[--list] [--preemptions N] [--jobs N] [FILE..]",
        summary: "does a model notice when an ordering is weakened?",
        details: "Weakens each ordering stronger than Relaxed, and removes each fence, in \
                  wq-core/src/proto,\none at a time and in a copy of the tree, and expects a \
                  model to fail. What survives must\nstand in docs/weaken-survivors.md with its \
                  reason. FILE: only these (paths or stems).\n--list: show what would be tried.",
        run: weaken::command,
    },
    Command {
        name: "asan",
        usage: "",
        summary: "the stress tests under AddressSanitizer and LeakSanitizer",
        details: "Needs a nightly toolchain. Runs the tests of wq-core/tests whose names begin \
                  with\n`stress_`; those that are ignored stay so.",
        run: |root, args| args.none().and_then(|()| sanitize::asan(root)),
    },
    Command {
        name: "tsan",
        usage: "",
        summary: "the stress tests under ThreadSanitizer",
        details: "Instruments the standard library too, for which it needs a nightly cargo and \
                  Debian's\nrustc-web, rust-web-src, libclang-rt-19-dev and llvm-22; as root it \
                  installs them.",
        run: |root, args| args.none().and_then(|()| sanitize::tsan(root)),
    },
    Command {
        name: "oldest",
        usage: "[--fetch]",
        summary: "the libraries under the oldest compiler that the manifests promise",
        details: "Takes the compiler from rustup or from target/oldest. --fetch: if it is in \
                  neither, unpack\nDebian's packages of it there (nothing is installed). Where \
                  it cannot be had, the current\ncompiler checks alone, and the command says so.",
        run: oldest::command,
    },
    Command {
        name: "smoke",
        usage: "",
        summary: "runs every example against the clock",
        details: "An example says how in its module doc: a line `//! Smoke: ARGS`, or `//! Smoke: \
                  none, REASON`.\nWithout one it is run without arguments. It must end by itself, \
                  with status 0; where\nexamples/expected/NAME.txt exists, it must print exactly \
                  that.",
        run: |root, args| args.none().and_then(|()| smoke::command(root)),
    },
    Command {
        name: "ecosystem",
        usage: "",
        summary: "runs libraries that ask for a tokio runtime on wq",
        details: "Builds and runs the programs of examples/ecosystem (axum, reqwest, sqlx, \
                  tonic), which are\napart from the workspace, and compares what they print. The \
                  first time it builds some\n200 crates under target/ecosystem.",
        run: |root, args| args.none().and_then(|()| ecosystem::command(root)),
    },
    Command {
        name: "features",
        usage: "",
        summary: "does each feature of wq-async build alone?",
        details: "Checks the library without features, and with each one that its manifest \
                  names.",
        run: |root, args| args.none().and_then(|()| features::command(root)),
    },
    Command {
        name: "stress",
        usage: "[--seconds N] [--tsan]",
        summary: "random work while a dice disturbs every step of the engine",
        details: "Builds with `--cfg wq_hooks` and runs the stress test for N seconds (20): at \
                  each step a lane\nmay be taken, or the thread naps. A round prints its seed, \
                  which WQ_STRESS_SEED repeats.\n--tsan: under ThreadSanitizer.",
        run: stress::command,
    },
    Command {
        name: "idle",
        usage: "",
        summary: "does an idle program wake nobody?",
        details: "Gives Systems all kinds of work, waits for half a minute and counts the \
                  wake-ups and the\nCPU time of every thread for ten seconds: there must be none.",
        run: |root, args| args.none().and_then(|()| idle::cmd(root).run()),
    },
    Command {
        name: "counts",
        usage: "[--write]",
        summary: "instructions of the hot paths, beside those that are committed",
        details: "Runs the cases of benches/counts under valgrind and compares with \
                  benches/counts/figures, by\ncompiler and architecture: more than 2 % above is \
                  an error. A compiler without figures passes\nwith a note. --write: what was \
                  counted becomes what is committed. As root it installs\nvalgrind.",
        run: counts::command,
    },
    Command {
        name: "soak",
        usage: "[--minutes N]",
        summary: "the main job again and again on a tree of 20 000 files",
        details: "Makes the tree under target/soak, then runs `treesum --verify` on it for N \
                  minutes (10).\nEvery run must verify its digest and end in time.",
        run: soak::command,
    },
];

/// Runs the command line without the program's name; errors go to standard error.
pub fn run(args: &[String]) -> ExitCode {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let wants_help = words.iter().any(|word| matches!(*word, "--help" | "-h"));
    let name = words.first().copied().unwrap_or("help");
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) if wants_help => help_of(command),
        Some(command) => return finish(execute(command, &args[1..])),
        None if wants_help || name == "help" => list(),
        None => {
            eprintln!("xtask: there is no command `{name}`\n");
            list();
            return ExitCode::from(USAGE_ERROR);
        }
    }
    ExitCode::SUCCESS
}

/// Runs one command in the repository around the current folder.
fn execute(command: &Command, args: &[String]) -> Outcome {
    let explain = |cause| Failure::new(format!("{cause}\nusage: {}", usage_of(command)));
    let args = Args::parse(args, command.usage).map_err(explain)?;
    (command.run)(&repo::root()?, args)
}

/// The exit code for a result, after saying why it failed.
fn finish(result: Outcome) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nxtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// How the command is called.
fn usage_of(command: &Command) -> String {
    format!("cargo xtask {} {}", command.name, command.usage)
        .trim_end()
        .to_owned()
}

/// The help of one command.
fn help_of(command: &Command) {
    let (usage, summary, details) = (usage_of(command), command.summary, command.details);
    output::line(&format!(
        "{usage}\n\n{}: {summary}\n\n{details}",
        command.name
    ));
}

/// The list of commands.
fn list() {
    output::line("cargo xtask COMMAND [--help]\n");
    let rows: Vec<_> = COMMANDS
        .iter()
        .map(|it| vec![format!("  {}", it.name), it.summary.to_owned()])
        .collect();
    output::table(&rows);
}
