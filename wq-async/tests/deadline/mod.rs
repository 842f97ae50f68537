//! A limit for a whole test: one that waits for ever ends the process, which says where.

use std::io::{self, Write};
use std::panic::Location;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// No test takes as long, on a slow machine either.
const LIMIT: Duration = Duration::from_secs(120);

/// The test is over when this is dropped.
#[must_use = "the test is limited for as long as this lives"]
pub(crate) struct Deadline(#[expect(dead_code, reason = "its drop is heard")] Sender<()>);

impl Deadline {
    /// Limits the calling test.
    #[track_caller]
    pub(crate) fn start() -> Deadline {
        Deadline::after(LIMIT, Location::caller())
    }

    /// Limits the test that stands there.
    fn after(limit: Duration, test: &'static Location<'static>) -> Deadline {
        let (over, is_over) = mpsc::channel();
        thread::spawn(move || {
            if is_over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                // Not `eprintln`, which the harness catches and would lose.
                let _ = writeln!(io::stderr(), "{test}: not over after {limit:?}");
                std::process::abort();
            }
        });
        Deadline(over)
    }
}
