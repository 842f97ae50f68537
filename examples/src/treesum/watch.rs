//! The watch that the main thread keeps while a job runs: progress bar, thread count, Ctrl-C.
//!
//! The main thread belongs to nobody's runtime, so it notices an interrupt and a stuck read
//! whatever the runtime does.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::job::Job;

/// Between two looks: short against any run worth watching, long against the cost of a look.
const LOOK: Duration = Duration::from_millis(20);

/// Between two pictures of the bar.
const REDRAW: Duration = Duration::from_millis(100);

/// How many characters the bar itself has.
const BAR: usize = 24;

/// What the main thread sees, and where it draws.
#[derive(Debug, Default)]
pub struct Watch {
    /// Whether to draw.
    pub progress: bool,
    /// Goes before the bar: which runtime and which round.
    pub label: String,
    /// Threads at most by the engine's own count, if it has one.
    pub engine_threads: Option<usize>,
    /// Threads that a stuck read kept, by name.
    pub detached: Vec<String>,
}

impl Watch {
    /// How long reads may go on after an interrupt, before they are left behind.
    pub const GRACE: Duration = Duration::from_secs(1);

    /// For asking without waiting.
    pub const NOT_AT_ALL: Duration = Duration::ZERO;

    /// Keeps watch until the job ended, or until an interrupt and its grace have passed.
    pub fn until_end(&mut self, job: &Job) {
        let mut drawn = Instant::now();
        let mut interrupted_at = None;
        while !job.wait_for_end(LOOK) {
            job.threads().sample();
            if self.progress && drawn.elapsed() >= REDRAW {
                drawn = Instant::now();
                self.draw(job);
            }
            if job.interrupted()
                && interrupted_at.get_or_insert_with(Instant::now).elapsed() >= Self::GRACE
            {
                break;
            }
        }
        if self.progress {
            // A run shorter than the first redraw has had its picture, too.
            self.draw(job);
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }

    /// Notes the engine's own count of threads.
    pub fn note_engine(&mut self, threads_peak: usize) {
        self.engine_threads = Some(threads_peak);
    }

    /// Notes threads that had to be left behind.
    pub fn note_detached(&mut self, names: Vec<String>) {
        self.detached = names;
    }

    /// Draws the bar over the last one. Errors of a closed terminal are nobody's concern.
    fn draw(&self, job: &Job) {
        let (files, bytes) = job.progress();
        let line = bar(files, job.files() as u64, bytes, job.elapsed());
        let _ = write!(io::stderr(), "\r\x1b[K{}{line}", self.label);
    }
}

/// One picture of the bar.
fn bar(files: u64, of: u64, bytes: u64, elapsed: Duration) -> String {
    let full = if of == 0 {
        BAR
    } else {
        (files.min(of) as usize * BAR) / of as usize
    };
    let mb = bytes as f64 / 1e6;
    let speed = mb / elapsed.as_secs_f64().max(1e-9);
    format!(
        "[{}{}] {files}/{of} files, {mb:.1} MB, {speed:.0} MB/s",
        "#".repeat(full),
        ".".repeat(BAR - full),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the bar is in proportion and never breaks. Method: nothing, half, all, no files.
    #[test]
    fn the_bar_is_in_proportion() {
        let picture = |files, of| bar(files, of, 2_000_000, Duration::from_secs(1));
        let half = format!(
            "[{}{}] 5/10 files, 2.0 MB, 2 MB/s",
            "#".repeat(12),
            ".".repeat(12)
        );
        assert_eq!(picture(5, 10), half);
        assert!(picture(0, 10).starts_with(&format!("[{}]", ".".repeat(BAR))));
        assert!(picture(10, 10).starts_with(&format!("[{}]", "#".repeat(BAR))));
        assert!(picture(0, 0).contains("0/0 files"));
    }
}
