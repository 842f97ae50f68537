//! The measuring program: arguments, the parent that takes turns, the children that measure,
//! statistics, and the three forms of the result.
//!
//! The parent never measures and a child never compares. They speak [`protocol`] over the child's
//! standard input and output; a case knows neither and only calls [`child::Bench`].

mod args;
mod axis;
pub(crate) mod child;
mod cost;
mod folder;
mod json;
pub mod machine;
mod page;
mod parent;
mod program;
mod protocol;
mod provenance;
pub(crate) mod random;
mod record;
mod result;
mod stats;
mod svg;
mod table;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::case::Case;
use crate::runtime_id::RuntimeId;
use args::{Action, Plan};
use folder::Folder;
use record::Outcome;
use result::Report;

/// Exit code for a command line that makes no sense.
const USAGE_ERROR: u8 = 2;

/// Reads the command line and does what it says with these cases; the body of the benchmark
/// program.
///
/// The program starts itself again for each row, with arguments that its own `main` must bring
/// here. Exit codes: 1 when a row failed or a file could not be written, 2 for a command line that
/// makes no sense.
#[must_use]
pub fn main(cases: &'static [Case]) -> ExitCode {
    let action = match args::parse(cases, std::env::args().skip(1)) {
        Ok(action) => action,
        Err(message) => {
            eprintln!("error: {message}\n\n{}", args::USAGE);
            return ExitCode::from(USAGE_ERROR);
        }
    };
    let outcome = match action {
        Action::Help => print(args::USAGE),
        Action::List => print(&listing(cases)),
        Action::Child {
            case,
            runtime,
            effort,
            iterations,
        } => child::serve(case, runtime, effort, iterations),
        Action::Cost(plan) => return cost(&plan),
        Action::Measure(plan) => return measure(&plan),
        Action::Record {
            plan,
            folder,
            within,
        } => return record_and_show(cases, &plan, &folder, within),
    };
    finish(outcome)
}

/// Measures, prints the table and writes the files; failed rows make the exit code 1.
fn measure(plan: &Plan) -> ExitCode {
    // Before the measurement, not after it: nobody wants to measure twice for a slip in a path.
    if let Err(error) = plan.files().try_for_each(check_writable) {
        return finish(Err(error));
    }
    machine::tell_load();
    let report = parent::measure(plan);
    let outcome = print(&table::render(&report)).and_then(|()| write_files(plan, &report));
    if report.has_failures() {
        ExitCode::FAILURE
    } else {
        finish(outcome)
    }
}

/// Measures what a folder lacks, for some time, and makes the page of what it then has; failed
/// rows make the exit code 1.
fn record_and_show(
    cases: &'static [Case],
    plan: &Plan,
    folder: &Folder,
    within: Option<Duration>,
) -> ExitCode {
    machine::tell_load();
    let outcome = record::measure(cases, plan, folder, within).and_then(|outcome| {
        page::write(cases, folder, outcome.record.cases())?;
        Ok(outcome)
    });
    match outcome {
        Ok(outcome) => tell(&outcome),
        Err(error) => finish(Err(error)),
    }
}

/// Says what failed and what is still to be done.
fn tell(outcome: &Outcome) -> ExitCode {
    for line in &outcome.failed {
        eprintln!("failed: {line}");
    }
    if outcome.left > 0 {
        let left = outcome.left;
        eprintln!("{left} cases are still to be measured: the same command goes on with them");
    }
    if outcome.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Measures what sensing costs and prints the table; a row that failed makes the exit code 1.
fn cost(plan: &Plan) -> ExitCode {
    machine::tell_load();
    let cost = cost::measure(plan);
    let outcome = print(&cost.render());
    if cost.has_failures() {
        ExitCode::FAILURE
    } else {
        finish(outcome)
    }
}

/// Writes what `--json` and `--svg` asked for and says where it went.
fn write_files(plan: &Plan, report: &Report) -> io::Result<()> {
    if let Some(path) = &plan.json {
        write_file(path, &json::render(report))?;
    }
    if let Some(path) = &plan.svg {
        write_file(path, &svg::render(report))?;
    }
    Ok(())
}

/// Opens a file for writing without touching what is in it.
fn check_writable(path: &Path) -> io::Result<()> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|error| naming(path, &error))
}

/// Writes one file.
fn write_file(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text).map_err(|error| naming(path, &error))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// The error with the file's name before it.
fn naming(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The cases and runtimes there are.
fn listing(cases: &[Case]) -> String {
    let mut text = String::from("cases:\n");
    for case in cases {
        text += &format!(
            "  {:<24} {:<16} {}\n",
            case.name,
            case.group.name(),
            case.summary
        );
    }
    text += "\nruntimes:\n";
    for id in RuntimeId::ALL {
        text += &format!("  {id:<24} {}\n", id.summary());
    }
    text
}

/// Prints to standard output; a reader that went away (`| head`) is no error.
fn print(text: &str) -> io::Result<()> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Turns an I/O error into a message and an exit code.
fn finish(outcome: io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
