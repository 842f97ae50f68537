//! The program: from the command line to the exit code.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use signal_hook::consts::SIGINT;

use super::args::{self, Options, Progress, Request};
use super::compare::Rounds;
use super::heartbeat::Beat;
use super::job::Plan;
use super::report::{self, Verified};
use super::runner::{self, RunError, Runtime};
use super::svg::{self, Curve};
use super::walk::{self, Listing};
use super::watch::Watch;

/// Runs treesum; returns the exit code that `--help` documents.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let outcome = match args::parse(args) {
        Ok(Request::Help) => io::stdout()
            .write_all(args::HELP.as_bytes())
            .map(|()| 0)
            .map_err(RunError::from),
        Ok(Request::Run(options)) => run(&options),
        Err(error) => Err(format!("{error}; --help lists the options").into()),
    };
    outcome.unwrap_or_else(|error| {
        // With stderr gone, too, the exit code is all that is left to say.
        let _ = writeln!(io::stderr(), "treesum: {error}");
        1
    })
}

/// Does what the options ask for.
fn run(options: &Options) -> Result<u8, RunError> {
    let (plan, svg) = prepare(options)?;
    let rounds = run_rounds(options, &plan)?;
    let verified = verify(options, &plan, &rounds);
    if let Some(path) = svg {
        write_plot(&path, options, &rounds)?;
    }
    print(options, &plan.listing, &rounds, verified)?;
    let code = report::exit_code(&rounds.0, verified);
    Ok(if code == 0 && !rounds.agree() {
        3
    } else {
        code
    })
}

/// Lists the files and gets ready for Ctrl-C. Also returns where to plot, if anywhere.
fn prepare(options: &Options) -> Result<(Plan, Option<PathBuf>), RunError> {
    let at_default = || options.compare.then(|| PathBuf::from("treesum.svg"));
    let svg = options.svg.clone().or_else(at_default);
    let mut own = Vec::new();
    for path in [Some(&options.journal), svg.as_ref()].into_iter().flatten() {
        own.push(walk::future_path(path).map_err(|e| format!("{}: {e}", path.display()))?);
    }
    let dir = options.dir.clone().unwrap_or_else(own_sources);
    let listing = walk::list(&dir, &own).map_err(|e| format!("{}: {e}", dir.display()))?;
    if let Some(note) = &listing.note {
        writeln!(
            io::stderr(),
            "treesum: {note}; the directory is walked instead"
        )?;
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    // The first Ctrl-C asks; a second one, with the flag already set, ends the process at once.
    // The order of the two registrations makes it so.
    signal_hook::flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&interrupted))?;
    signal_hook::flag::register(SIGINT, Arc::clone(&interrupted))?;
    let (limit, nap) = (options.jobs, options.slow);
    Ok((
        Plan {
            listing: Arc::new(listing),
            limit,
            nap,
            interrupted,
        },
        svg,
    ))
}

/// The sources this program was built from, or the current directory if they have moved away.
fn own_sources() -> PathBuf {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    built_from
        .filter(|dir| dir.is_dir())
        .unwrap_or(Path::new("."))
        .into()
}

/// Runs each runtime in turns when comparing, else the chosen one once.
fn run_rounds(options: &Options, plan: &Plan) -> Result<Rounds, RunError> {
    let progress = match options.progress {
        Progress::IfTerminal => io::stderr().is_terminal(),
        Progress::Always => true,
        Progress::Never => false,
    };
    let (turns, runtimes) = match options.compare {
        true => (options.rounds, &Runtime::ALL[..]),
        false => (1, std::slice::from_ref(&options.runtime)),
    };
    if options.compare && !options.cold {
        // So that the first round does not pay for the disk alone. Its digest is not needed.
        let _ = runner::sum_sequentially(plan);
    }
    let mut rounds = Rounds::default();
    for turn in 1..=turns {
        for &runtime in runtimes {
            if options.cold {
                forget(&plan.listing);
            }
            let label = format!("{runtime} {turn}/{turns} ");
            let label = if options.compare {
                label
            } else {
                String::new()
            };
            let mut watch = Watch {
                progress,
                label,
                ..Watch::default()
            };
            let run = runner::run(runtime, plan, &options.journal, &mut watch)?;
            let interrupted = run.interrupted;
            rounds.0.push(run);
            if interrupted {
                return Ok(rounds);
            }
        }
    }
    Ok(rounds)
}

/// Sums sequentially if asked to, and compares with every round.
fn verify(options: &Options, plan: &Plan, rounds: &Rounds) -> Verified {
    // Relaxed: a flag from a signal handler, with no data behind it.
    if !options.verify || plan.interrupted.load(Ordering::Relaxed) {
        return Verified::No;
    }
    match runner::sum_sequentially(plan) {
        None => Verified::No,
        Some(digest) if rounds.0.iter().all(|run| run.digest == digest) => Verified::Same,
        Some(digest) => Verified::Differs(digest),
    }
}

/// Makes the kernel drop the files' cached content. What cannot be dropped stays: it is a
/// hint, and the run tells what is wrong with a file.
fn forget(listing: &Listing) {
    for path in &listing.files {
        let path = listing.root.join(path);
        if fs::metadata(&path).is_ok_and(|meta| meta.is_file()) {
            if let Ok(file) = File::open(path) {
                let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
            }
        }
    }
}

/// Writes the plot, whole or not at all.
fn write_plot(path: &Path, options: &Options, rounds: &Rounds) -> Result<(), RunError> {
    let mut curves = Vec::new();
    for beat in Beat::ALL {
        for (group, (runtime, lateness)) in rounds.lateness(beat).into_iter().enumerate() {
            let name = format!("{runtime}, {} heartbeat", beat.name());
            let dashed = beat == Beat::Urgent;
            curves.push(Curve {
                name,
                group,
                dashed,
                lateness,
            });
        }
    }
    curves.retain(|curve| curve.lateness.beats() > 0);
    curves.sort_by_key(|curve| curve.group);
    let title = format!(
        "Heartbeats of 1 ms while up to {} reads block at a time",
        options.jobs
    );
    let unfinished = path.with_extension("svg.tmp");
    fs::write(&unfinished, svg::plot(&title, &curves))
        .and_then(|()| fs::rename(&unfinished, path))
        .map_err(|error| format!("cannot write the plot {}: {error}", path.display()))?;
    Ok(())
}

/// Prints what was asked for on stdout.
fn print(
    options: &Options,
    listing: &Listing,
    rounds: &Rounds,
    verified: Verified,
) -> io::Result<()> {
    let mut to = io::stdout().lock();
    match (options.json, options.compare, rounds.0.last()) {
        (true, true, _) => writeln!(to, "{}", rounds.to_json(listing, verified))?,
        (true, false, Some(run)) => {
            writeln!(to, "{}", report::to_json(listing, run, verified))?;
        }
        (false, true, Some(run)) => {
            report::print_sums(&mut to, listing, run, verified)?;
            report::print_failures(&mut to, run)?;
            rounds.print(&mut to)?;
        }
        (false, false, Some(run)) => report::print(&mut to, listing, run, verified)?,
        (_, _, None) => {}
    }
    to.flush()
}
