//! What a run came to, for people and for programs, and the exit code that says it in one number.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::failure::one_line;
use super::hash::Digest;
use super::heartbeat::{Beat, Lateness};
use super::runner::Run;
use super::walk::{ListedBy, Listing};

/// Failures listed in the summary; `--json` names all.
const FAILURES_SHOWN: usize = 50;

/// What the sequential sum said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Nobody asked, or an interrupt came first.
    No,
    /// The same digest.
    Same,
    /// Another digest: this one.
    Differs(Digest),
}

/// The exit code; the most serious reason wins.
#[must_use]
pub fn exit_code<'a>(runs: impl IntoIterator<Item = &'a Run>, verified: Verified) -> u8 {
    let (mut interrupted, mut failed) = (false, false);
    for run in runs {
        interrupted |= run.interrupted;
        failed |= !run.failures.is_empty() || run.journal_error.is_some();
    }
    match (interrupted, verified) {
        (true, _) => 130,
        (false, Verified::Differs(_)) => 3,
        _ if failed => 2,
        _ => 0,
    }
}

/// Megabytes a second.
#[must_use]
pub fn speed(run: &Run) -> f64 {
    run.bytes as f64 / 1e6 / run.elapsed.as_secs_f64().max(1e-9)
}

/// A duration in three digits and the unit that fits it.
#[must_use]
pub fn short(duration: Duration) -> String {
    let ns = duration.as_nanos() as f64;
    let (value, unit) = match ns {
        _ if ns < 1e3 => (ns, "ns"),
        _ if ns < 1e6 => (ns / 1e3, "us"),
        _ if ns < 1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    let decimals = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.decimals$} {unit}")
}

/// Prints the summary of one run.
///
/// # Errors
///
/// What writing gives.
pub fn print(
    to: &mut dyn Write,
    listing: &Listing,
    run: &Run,
    verified: Verified,
) -> io::Result<()> {
    print_sums(to, listing, run, verified)?;
    writeln!(
        to,
        "run by    {} in {}, {:.1} MB/s, processor time {}",
        run.runtime,
        short(run.elapsed),
        speed(run),
        short(run.cpu)
    )?;
    for (beat, lateness) in Beat::ALL.into_iter().zip(&run.lateness) {
        writeln!(to, "{:<9} {}", beat.name(), lateness_words(lateness))?;
    }
    print_threads(to, run)?;
    print_failures(to, run)
}

/// Prints what the tree came to, whoever ran it.
///
/// # Errors
///
/// What writing gives.
pub fn print_sums(
    to: &mut dyn Write,
    listing: &Listing,
    run: &Run,
    verified: Verified,
) -> io::Result<()> {
    let by = match listing.by {
        ListedBy::Git => "listed by git",
        ListedBy::Walk => "walked",
    };
    writeln!(to, "tree      {} ({by})", one_line(&listing.root))?;
    if run.interrupted {
        writeln!(
            to,
            "PARTIAL   interrupted with {} files not read",
            run.unfinished
        )?;
    }
    writeln!(to, "files     {}, {} bytes", run.files, run.bytes)?;
    if listing.links_skipped > 0 {
        writeln!(
            to,
            "skipped   {} links to directories",
            listing.links_skipped
        )?;
    }
    writeln!(to, "digest    {}", run.digest)?;
    match verified {
        Verified::No => Ok(()),
        Verified::Same => writeln!(to, "verified  the sequential sum is the same"),
        Verified::Differs(digest) => writeln!(to, "DIFFERS   {digest} when summed sequentially"),
    }
}

/// One heartbeat's lateness as a sentence.
#[must_use]
pub fn lateness_words(lateness: &Lateness) -> String {
    if lateness.beats() == 0 {
        return "heartbeat: no beat was due".into();
    }
    let [p50, p99] = [0.5, 0.99].map(|share| short(lateness.quantile(share)));
    let (max, beats) = (short(lateness.max()), lateness.beats());
    format!("heartbeat late by {p50} (p50), {p99} (p99), {max} at most; {beats} beats")
}

/// The lines about threads.
fn print_threads(to: &mut dyn Write, run: &Run) -> io::Result<()> {
    write!(to, "threads   {} at most", run.threads)?;
    if let Some(engine) = run.engine_threads {
        write!(to, ", {engine} of them the engine's")?;
    }
    writeln!(to)?;
    if !run.detached.is_empty() {
        writeln!(
            to,
            "STUCK     left behind in a read: {}",
            run.detached.join(", ")
        )?;
    }
    Ok(())
}

/// Prints what failed, each with its name and reason.
///
/// # Errors
///
/// What writing gives.
pub fn print_failures(to: &mut dyn Write, run: &Run) -> io::Result<()> {
    if !run.failures.is_empty() {
        writeln!(to, "FAILED    {} without a digest:", run.failures.len())?;
    }
    for failure in run.failures.iter().take(FAILURES_SHOWN) {
        writeln!(to, "  {}: {}", one_line(&failure.path), failure.kind)?;
    }
    let more = run.failures.len().saturating_sub(FAILURES_SHOWN);
    if more > 0 {
        writeln!(to, "  and {more} more; --json names all")?;
    }
    if let Some(error) = &run.journal_error {
        writeln!(to, "JOURNAL   incomplete: {error}")?;
    }
    Ok(())
}

/// One run as JSON. Its fields keep their names: programs read them.
#[must_use]
pub fn to_json(listing: &Listing, run: &Run, verified: Verified) -> Value {
    json!({
        "root": one_line(&listing.root),
        "listed_by": match listing.by { ListedBy::Git => "git", ListedBy::Walk => "walk" },
        "links_skipped": listing.links_skipped,
        "runtime": run.runtime.name(),
        "files": run.files,
        "bytes": run.bytes,
        "seconds": run.elapsed.as_secs_f64(),
        "mb_per_s": speed(run),
        "cpu_seconds": run.cpu.as_secs_f64(),
        "digest": run.digest.to_string(),
        "verified": match verified {
            Verified::No => Value::Null,
            Verified::Same => true.into(),
            Verified::Differs(_) => false.into(),
        },
        "interrupted": run.interrupted,
        "unfinished": run.unfinished,
        "lateness_us": {
            "ordinary": lateness_json(&run.lateness[0]),
            "urgent": lateness_json(&run.lateness[1]),
        },
        "threads": {
            "peak": run.threads,
            "engine": run.engine_threads,
            "left_behind": run.detached,
        },
        "failures": run.failures.iter().map(|failure| json!({
            "path": one_line(&failure.path),
            "reason": failure.kind.tag(),
            "detail": failure.kind.to_string(),
        })).collect::<Vec<_>>(),
        "journal_error": run.journal_error.as_ref().map(ToString::to_string),
    })
}

/// One heartbeat as JSON, in microseconds.
#[must_use]
pub fn lateness_json(lateness: &Lateness) -> Value {
    let us = |duration: Duration| duration.as_nanos() as f64 / 1e3;
    json!({
        "beats": lateness.beats(),
        "p50": us(lateness.quantile(0.5)),
        "p99": us(lateness.quantile(0.99)),
        "max": us(lateness.max()),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::treesum::failure::{Failure, FailureKind};
    use crate::treesum::hash;
    use crate::treesum::runner::Runtime;

    /// A run in which nothing went wrong.
    fn good() -> Run {
        Run {
            runtime: Runtime::Tokio,
            files: 2,
            bytes: 3_000_000,
            unfinished: 0,
            interrupted: false,
            failures: Vec::new(),
            digest: hash::tree([]),
            elapsed: Duration::from_millis(1500),
            cpu: Duration::from_micros(12),
            lateness: [Lateness::default(), Lateness::default()],
            threads: 5,
            engine_threads: None,
            detached: Vec::new(),
            journal_error: None,
        }
    }

    /// A listing of nothing.
    fn listing() -> Listing {
        Listing {
            root: "/tree".into(),
            files: Vec::new(),
            failures: Vec::new(),
            links_skipped: 4,
            by: ListedBy::Walk,
            note: None,
        }
    }

    /// A failure of that reason.
    fn failed(kind: FailureKind) -> Failure {
        Failure {
            path: PathBuf::from("bad"),
            kind,
        }
    }

    /// Goal: the documented codes, the worst first. Method: each reason, then all together.
    #[test]
    fn exit_codes_are_as_documented() {
        let differs = Verified::Differs(hash::tree([]));
        let mut run = good();
        assert_eq!(exit_code([&run], Verified::Same), 0);
        assert_eq!(exit_code([&run], differs), 3);
        run.journal_error = Some(io::ErrorKind::StorageFull.into());
        assert_eq!(exit_code([&run, &good()], Verified::No), 2);
        run.failures.push(failed(FailureKind::Lost));
        assert_eq!(exit_code([&good(), &run], Verified::Same), 2);
        assert_eq!(exit_code([&run], differs), 3);
        run.interrupted = true;
        assert_eq!(exit_code([&run], differs), 130);
    }

    /// Goal: every reason reaches the summary. Method: one run with all of them.
    #[test]
    fn the_summary_names_what_went_wrong() {
        let mut run = Run {
            interrupted: true,
            unfinished: 9,
            ..good()
        };
        run.failures = vec![failed(FailureKind::BrokenLink); FAILURES_SHOWN + 1];
        run.detached = vec!["wq/u0:7".into()];
        run.journal_error = Some(io::ErrorKind::StorageFull.into());
        let mut text = Vec::new();
        print(&mut text, &listing(), &run, Verified::Differs(run.digest)).unwrap();
        let text = String::from_utf8(text).unwrap();
        for words in [
            "with 9 files not read",
            "4 links",
            "DIFFERS",
            "wq/u0:7",
            "bad: broken link",
        ] {
            assert!(text.contains(words), "{words} is missing in {text}");
        }
        assert!(
            text.contains("51 without") && text.contains("and 1 more"),
            "{text}"
        );
        assert!(text.contains("JOURNAL   incomplete"), "{text}");
        assert!(text.contains("2.0 MB/s"), "{text}");
    }

    /// Goal: programs find what the help promises. Method: the fields of a run with a failure.
    #[test]
    fn json_has_the_figures() {
        let mut run = good();
        run.failures
            .push(failed(FailureKind::Other("disk on fire".into())));
        run.lateness[1].record(Duration::from_micros(100));
        let value = to_json(&listing(), &run, Verified::Same);
        assert_eq!(value["files"], 2);
        assert_eq!(value["verified"], true);
        assert_eq!(value["failures"][0]["detail"], "disk on fire");
        assert_eq!(value["lateness_us"]["urgent"]["beats"], 1);
        assert_eq!(value["threads"]["engine"], Value::Null);
    }

    /// Goal: three digits and a unit. Method: one duration a unit.
    #[test]
    fn durations_are_short() {
        let shown = [7, 12_345, 1_500_000, 61_200_000_000]
            .map(Duration::from_nanos)
            .map(short);
        assert_eq!(shown, ["7.00 ns", "12.3 us", "1.50 ms", "61.2 s"]);
    }
}
