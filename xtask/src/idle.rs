//! `cargo xtask idle`: an idle program wakes nobody.

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::failure::{Failure, Outcome};
use crate::process::{Captured, Cmd};

/// The test takes three quarters of a minute; one that takes so long has hung.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// The command that runs the test.
pub(crate) fn cmd(root: &Path) -> Cmd {
    Cmd::cargo("test -p wq-core --test idle -- --ignored").dir(root)
}

/// A run of the test beside other steps.
#[derive(Debug)]
pub(crate) struct Running(thread::JoinHandle<Outcome<Captured>>);

/// Begins a run.
pub(crate) fn begin(root: &Path) -> Running {
    let cmd = cmd(root);
    Running(thread::spawn(move || cmd.capture(LIMIT)))
}

impl Running {
    /// Waits for its end; an error with all that it printed unless that is a good one.
    pub(crate) fn end(self) -> Outcome {
        let ran = self.0.join();
        let captured = ran.map_err(|_| Failure::new("the step panicked"))??;
        if captured.success {
            return Ok(());
        }
        let (out, err) = (&captured.stdout, &captured.stderr);
        Err(Failure::new(format!(
            "the program is not idle:\n{out}{err}"
        )))
    }
}
