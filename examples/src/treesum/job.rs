//! The job itself: what every runtime does with a file, and the books all of them keep.
//!
//! A runtime calls [`Job::read`] for each file (plain blocking calls, as many at a time as
//! [`Job::limit`] says), hands the result to [`Job::accept`], and from there, one after the
//! other and in that order, to [`Job::record`]. Two tasks tick meanwhile while
//! [`Job::ticking`]. The guard of [`Job::begin`] says when all is over, also
//! when the body panicked.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;

use super::failure::FailureKind;
use super::hash::{self, Summed};
use super::heartbeat::{Beat, Heartbeat};
use super::journal::{Entry, Journal, Reading};
use super::lock;
use super::usage::ThreadPeak;
use super::walk::Listing;

/// What a job is to do; the same for every runtime.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The files.
    pub listing: Arc<Listing>,
    /// How many files may be read at a time.
    pub limit: usize,
    /// Each read sleeps this long first: a stand-in for a slow disk.
    pub nap: Duration,
    /// Set by Ctrl-C: reads that have not ended give up.
    pub interrupted: Arc<AtomicBool>,
}

/// One run of the job.
#[derive(Debug)]
pub struct Job {
    /// What to do.
    plan: Plan,
    /// The last ticket given out. Its lock is held while the entry is queued, which makes the
    /// tickets' order the order of acceptance.
    tickets: Mutex<u64>,
    /// Written by whoever records, one entry at a time.
    ledger: Mutex<Ledger>,
    /// Figures for the progress bar.
    progress: Progress,
    /// In the order of [`Beat::ALL`].
    hearts: [Heartbeat; 2],
    /// True until the body has recorded its last file.
    ticking: AtomicBool,
    /// How many threads there were, at most.
    threads: ThreadPeak,
    /// When the job began.
    began: Instant,
    /// When it was over, once it is.
    ended: Mutex<Option<Instant>>,
    /// Signalled with `ended`.
    end: Condvar,
}

/// The results so far.
#[derive(Debug)]
pub struct Ledger {
    /// Where lines go.
    pub journal: Journal,
    /// All recorded results, in the order of the journal.
    pub entries: Vec<Entry>,
    /// The first error of the journal; no line is written after it.
    pub journal_error: Option<io::Error>,
}

/// Counters that anyone may read while the job runs. Relaxed: they are shown, not relied on.
#[derive(Debug, Default)]
struct Progress {
    /// Files recorded, failed ones included.
    files: AtomicU64,
    /// Bytes of the files summed.
    bytes: AtomicU64,
}

/// Says that the job is over when its body ends, in whichever way.
#[derive(Debug)]
pub struct FinishWhenDropped(Arc<Job>);

impl Drop for FinishWhenDropped {
    fn drop(&mut self) {
        self.0.stop_ticking();
        self.0.threads.sample();
        *lock(&self.0.ended) = Some(Instant::now());
        self.0.end.notify_all();
    }
}

impl Job {
    /// A job that has not begun reading; its clock runs from here.
    #[must_use]
    pub fn new(plan: Plan, journal: Journal) -> Arc<Self> {
        Arc::new(Self {
            plan,
            tickets: Mutex::default(),
            ledger: Mutex::new(Ledger {
                journal,
                entries: Vec::new(),
                journal_error: None,
            }),
            progress: Progress::default(),
            hearts: Default::default(),
            ticking: AtomicBool::new(true),
            threads: ThreadPeak::default(),
            began: Instant::now(),
            ended: Mutex::default(),
            end: Condvar::new(),
        })
    }

    /// How many files there are; each is named by its number below this.
    #[must_use]
    pub fn files(&self) -> usize {
        self.plan.listing.files.len()
    }

    /// How many may be read at a time.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.plan.limit
    }

    /// What was to be done.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Reads and hashes one file, blocking the calling thread; `None` after an interrupt.
    #[must_use]
    pub fn read(&self, file: usize) -> Option<Reading> {
        if !self.plan.nap.is_zero() && !self.interrupted() {
            thread::sleep(self.plan.nap);
        }
        let path = self.plan.listing.root.join(&self.plan.listing.files[file]);
        let result = sum_file(&path, || self.interrupted()).transpose()?;
        Some(Reading { file, result })
    }

    /// Accepts a result for the journal: `queue` must hand the entry to the runtime's ordered
    /// queue before it returns.
    pub fn accept(&self, reading: Reading, queue: impl FnOnce(Entry)) {
        let mut ticket = lock(&self.tickets);
        *ticket += 1;
        queue(Entry {
            ticket: *ticket,
            reading,
        });
    }

    /// Writes an entry's line and books it.
    pub fn record(&self, entry: Entry) {
        let mut ledger = lock(&self.ledger);
        if ledger.journal_error.is_none() {
            let path = &self.plan.listing.files[entry.reading.file];
            ledger.journal_error = ledger.journal.write(&entry, path).err();
        }
        if let Ok(summed) = &entry.reading.result {
            self.progress
                .bytes
                .fetch_add(summed.bytes, Ordering::Relaxed);
        }
        self.progress.files.fetch_add(1, Ordering::Relaxed);
        ledger.entries.push(entry);
    }

    /// One of the two heartbeats.
    #[must_use]
    pub fn heart(&self, beat: Beat) -> &Heartbeat {
        &self.hearts[beat as usize]
    }

    /// Whether the heartbeats should go on.
    #[must_use]
    pub fn ticking(&self) -> bool {
        // Relaxed: a beat more or less, nothing is read because of it.
        self.ticking.load(Ordering::Relaxed)
    }

    /// Lets the heartbeats end at their next beat.
    pub fn stop_ticking(&self) {
        // Relaxed: see `ticking`.
        self.ticking.store(false, Ordering::Relaxed);
    }

    /// Whether Ctrl-C was pressed.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        // Relaxed: a flag from a signal handler, with no data behind it.
        self.plan.interrupted.load(Ordering::Relaxed)
    }

    /// A body begins: beats are due from here on. It holds the guard while it works.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> FinishWhenDropped {
        self.hearts.iter().for_each(Heartbeat::start);
        FinishWhenDropped(Arc::clone(self))
    }

    /// Waits for the end, at most `limit`; says whether it came.
    #[must_use]
    pub fn wait_for_end(&self, limit: Duration) -> bool {
        let ended = lock(&self.ended);
        let waited = self
            .end
            .wait_timeout_while(ended, limit, |ended| ended.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_some()
    }

    /// How long the job took, or has taken so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        lock(&self.ended).unwrap_or_else(Instant::now) - self.began
    }

    /// When the job was over, or now.
    #[must_use]
    pub fn end_or_now(&self) -> Instant {
        lock(&self.ended).unwrap_or_else(Instant::now)
    }

    /// Files and bytes recorded so far.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        let Progress { files, bytes } = &self.progress;
        // Relaxed: shown, not relied on.
        (files.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed))
    }

    /// The record of how many threads there were.
    #[must_use]
    pub fn threads(&self) -> &ThreadPeak {
        &self.threads
    }

    /// Reads the books, flushing the journal first.
    pub fn close<R>(&self, read: impl FnOnce(&mut Ledger) -> R) -> R {
        let mut ledger = lock(&self.ledger);
        let flushed = ledger.journal.flush().err();
        ledger.journal_error = ledger.journal_error.take().or(flushed);
        read(&mut ledger)
    }
}

/// Sums one file with plain blocking calls; `Ok(None)` when `stop` asked to give up.
///
/// # Errors
///
/// The reason why the path has no digest.
pub fn sum_file(path: &Path, stop: impl Fn() -> bool) -> Result<Option<Summed>, FailureKind> {
    let named = |error: io::Error| FailureKind::of(&error, path);
    // Asked before opening, because opening some devices does something.
    must_be_regular(&fs::metadata(path).map_err(named)?)?;
    // What is a FIFO by now must not make `open` wait for a writer; files ignore the flag.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).map_err(named)?;
    must_be_regular(&file.metadata().map_err(named)?)?;
    hash::sum(file, stop).map_err(named)
}

/// Refuses everything that is no regular file, by its kind.
fn must_be_regular(meta: &fs::Metadata) -> Result<(), FailureKind> {
    if meta.is_dir() {
        Err(FailureKind::IsDirectory)
    } else if meta.is_file() {
        Ok(())
    } else {
        Err(FailureKind::NotRegular)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use nix::sys::stat::Mode;

    use super::*;

    /// Goal: what is no file never blocks and is named. Method: one of each that can be made.
    #[test]
    fn what_is_no_file_is_named_and_never_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        nix::unistd::mkfifo(&path("fifo"), Mode::S_IRWXU).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        std::os::unix::fs::symlink("loop", path("loop")).unwrap();
        let failure = |name: &str| sum_file(&path(name), || false).unwrap_err();
        assert_eq!(failure("fifo"), FailureKind::NotRegular);
        assert_eq!(failure("socket"), FailureKind::NotRegular);
        assert_eq!(failure("."), FailureKind::IsDirectory);
        assert_eq!(failure("gone"), FailureKind::Vanished);
        assert!(matches!(failure("loop"), FailureKind::Other(words) if words.contains("links")));
        assert_eq!(
            sum_file(Path::new("/dev/null"), || false),
            Err(FailureKind::NotRegular)
        );
    }
}
