//! The hot paths of wq, each done a known number of times between two marks, for `cargo xtask
//! counts`, which runs this under valgrind.
//!
//! A case is done three times: once to be warm, then `N` and `2 N` times. What the second does more
//! than the first has no start in it, and no first time of anything. One lane, and nothing that
//! looks at the clock: what the lane's thread does is then the same in every run.
//!
//! Not here: what happens between CPUs, and how long any of it takes. The benchmarks measure that.

mod cases;
mod ground;
mod held;
mod mark;
mod tally;

use std::io::{self, Write};
use std::process::ExitCode;

use cases::{ALL, Case};
use ground::Ground;

/// Times that a case is done in the shorter run that counts.
const FEW: usize = 1000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["--list"] => list(),
        [name] => match ALL.iter().find(|case| case.name == *name) {
            Some(case) => count(case),
            None => wrong(&format!("no case is called `{name}`")),
        },
        _ => wrong("one argument is needed"),
    }
}

/// Does one case, three times.
fn count(case: &Case) -> ExitCode {
    let ground = Ground::prepare();
    for times in [FEW, FEW, 2 * FEW] {
        (case.run)(&ground, times);
    }
    ExitCode::SUCCESS
}

/// Prints the cases: name, and what one operation is.
fn list() -> ExitCode {
    let lines: Vec<String> = ALL
        .iter()
        .map(|case| format!("{} {}\n", case.name, case.about))
        .collect();
    // The program that reads it has no use for a half.
    match write!(io::stdout(), "{FEW}\n{}", lines.concat()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Says what was wrong with the command line.
fn wrong(what: &str) -> ExitCode {
    eprintln!("error: {what}; usage: wq-counts --list | CASE");
    ExitCode::from(2)
}
