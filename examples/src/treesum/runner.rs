//! One run of the job on one runtime, and what came of it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::failure::{Failure, FailureKind};
use super::hash::{self, Digest};
use super::heartbeat::{Beat, Lateness};
use super::job::{self, Job, Ledger, Plan};
use super::journal::Journal;
use super::usage;
use super::watch::Watch;

/// Any reason why a run could not be carried out at all.
pub type RunError = Box<dyn Error + Send + Sync>;

/// Who runs the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// wq, with blocking reads in tasks.
    Wq,
    /// Tokio's multi-threaded runtime, with blocking reads in tasks.
    Tokio,
    /// Tokio's multi-threaded runtime, with reads on its blocking pool.
    TokioBlocking,
}

impl Runtime {
    /// All, in the order of the tables.
    pub const ALL: [Self; 3] = [Self::Wq, Self::Tokio, Self::TokioBlocking];

    /// Its name in tables, in JSON and as an argument.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wq => "wq",
            Self::Tokio => "tokio",
            Self::TokioBlocking => "tokio-blocking",
        }
    }

    /// The runtime of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|runtime| runtime.name() == name)
    }

    /// The text of the file that says how it does the job.
    #[must_use]
    pub fn source(self) -> &'static str {
        match self {
            Self::Wq => include_str!("run_wq.rs"),
            Self::Tokio => include_str!("run_tokio_plain.rs"),
            Self::TokioBlocking => include_str!("run_tokio_blocking.rs"),
        }
    }

    /// Does the job; the calling thread keeps the watch.
    fn run(self, job: &Arc<Job>, watch: &mut Watch) -> Result<(), RunError> {
        match self {
            Self::Wq => super::run_wq::run(job, watch),
            Self::Tokio => super::run_tokio_plain::run(job, watch),
            Self::TokioBlocking => super::run_tokio_blocking::run(job, watch),
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What came of one run.
#[derive(Debug)]
pub struct Run {
    /// Who ran it.
    pub runtime: Runtime,
    /// How many files were summed.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// How many listed files were not read because of an interrupt.
    pub unfinished: usize,
    /// Whether Ctrl-C was pressed while it ran.
    pub interrupted: bool,
    /// What failed, by path.
    pub failures: Vec<Failure>,
    /// The digest over what was summed.
    pub digest: Digest,
    /// How long it took.
    pub elapsed: Duration,
    /// Processor time, all threads.
    pub cpu: Duration,
    /// In the order of [`Beat::ALL`].
    pub lateness: [Lateness; 2],
    /// Threads of the process at most.
    pub threads: u64,
    /// Threads at most by the engine's own count, if it has one.
    pub engine_threads: Option<usize>,
    /// Threads that a stuck read kept, by name.
    pub detached: Vec<String>,
    /// Why the journal is incomplete, if it is.
    pub journal_error: Option<io::Error>,
}

/// Runs the job once.
///
/// # Errors
///
/// When the journal cannot be created or the runtime cannot work at all. Files that fail are
/// no error here, they are part of the result.
pub fn run(
    runtime: Runtime,
    plan: &Plan,
    journal: &Path,
    watch: &mut Watch,
) -> Result<Run, RunError> {
    let journal = Journal::create(journal)
        .map_err(|error| format!("cannot write the journal {}: {error}", journal.display()))?;
    let cpu = usage::cpu_time();
    let job = Job::new(plan.clone(), journal);
    runtime.run(&job, watch)?;
    let cpu = usage::cpu_time() - cpu;
    Ok(job.close(|ledger| sum_up(runtime, &job, ledger, cpu, watch)))
}

/// Turns a closed ledger into the result.
fn sum_up(
    runtime: Runtime,
    job: &Job,
    ledger: &mut Ledger,
    cpu: Duration,
    watch: &mut Watch,
) -> Run {
    let interrupted = job.interrupted();
    let books = Books::of(job, ledger, interrupted);
    Run {
        runtime,
        files: books.files,
        bytes: books.bytes,
        unfinished: books.unfinished,
        interrupted,
        failures: books.failures,
        digest: books.digest,
        elapsed: job.elapsed(),
        cpu,
        lateness: Beat::ALL.map(|beat| job.heart(beat).finish(job.end_or_now())),
        threads: job.threads().get(),
        engine_threads: watch.engine_threads.take(),
        detached: std::mem::take(&mut watch.detached),
        journal_error: ledger.journal_error.take(),
    }
}

/// The ledger, added up.
struct Books {
    /// Files summed.
    files: usize,
    /// Their bytes.
    bytes: u64,
    /// Files given up after an interrupt.
    unfinished: usize,
    /// Everything without a digest, sorted by path.
    failures: Vec<Failure>,
    /// Over the files summed.
    digest: Digest,
}

impl Books {
    /// Adds up; a file that nobody gave a result for is lost, unless an interrupt explains it.
    fn of(job: &Job, ledger: &Ledger, interrupted: bool) -> Self {
        let listing = &job.plan().listing;
        let mut missing = vec![true; listing.files.len()];
        let mut failures = listing.failures.clone();
        let mut summed = Vec::with_capacity(ledger.entries.len());
        let mut bytes = 0;
        for reading in ledger.entries.iter().map(|entry| &entry.reading) {
            missing[reading.file] = false;
            let path = &listing.files[reading.file];
            match &reading.result {
                Ok(good) => {
                    bytes += good.bytes;
                    summed.push((path.as_os_str().as_encoded_bytes(), good.digest));
                }
                Err(kind) => failures.push(Failure {
                    path: path.clone(),
                    kind: kind.clone(),
                }),
            }
        }
        let missing = missing
            .iter()
            .zip(&listing.files)
            .filter(|(missing, _)| **missing);
        let lost: Vec<_> = missing
            .map(|(_, path)| Failure {
                path: path.clone(),
                kind: FailureKind::Lost,
            })
            .collect();
        let unfinished = if interrupted { lost.len() } else { 0 };
        failures.extend(lost.into_iter().filter(|_| !interrupted));
        failures.sort_by(|a, b| a.path.cmp(&b.path));
        Self {
            files: summed.len(),
            bytes,
            unfinished,
            failures,
            digest: hash::tree(summed),
        }
    }
}

/// Sums the same files one after the other on the calling thread, without any runtime; `None`
/// after an interrupt.
#[must_use]
pub fn sum_sequentially(plan: &Plan) -> Option<Digest> {
    // Relaxed: a flag from a signal handler, with no data behind it.
    let stop = || plan.interrupted.load(std::sync::atomic::Ordering::Relaxed);
    let listing = &plan.listing;
    let mut summed = Vec::with_capacity(listing.files.len());
    for path in &listing.files {
        match job::sum_file(&listing.root.join(path), stop) {
            Ok(Some(good)) => summed.push((path.as_os_str().as_encoded_bytes(), good.digest)),
            Ok(None) => return None,
            Err(_) => {}
        }
    }
    Some(hash::tree(summed))
}
