//! Steps with their seconds: what is running, what took how long, what to repeat.

use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::process::Cmd;

/// A fixed list of steps that are run in order and stop at the first failure.
#[derive(Debug)]
pub(crate) struct Progress {
    /// When the first step began.
    start: Instant,
    /// How many steps there will be.
    total: usize,
    /// Those that ended, with their time.
    done: Vec<(String, Duration)>,
}

impl Progress {
    /// Begins a list of `total` steps.
    pub(crate) fn new(total: usize) -> Self {
        Self {
            start: Instant::now(),
            total,
            done: Vec::new(),
        }
    }

    /// Runs a command as the next step.
    pub(crate) fn command(&mut self, name: &str, cmd: &Cmd) -> Outcome {
        let repeat = cmd.to_string();
        self.step(name, &repeat, || cmd.run())
    }

    /// Runs work of ours as the next step; `repeat` is the line that runs it alone.
    pub(crate) fn step(
        &mut self,
        name: &str,
        repeat: &str,
        work: impl FnOnce() -> Outcome,
    ) -> Outcome {
        let number = self.done.len() + 1;
        let since = self.start.elapsed().as_secs_f64();
        output::line(&format!(
            "==> [{number}/{}] {name}, at {since:.1} s: {repeat}",
            self.total
        ));
        let start = Instant::now();
        let result = work();
        let seconds = start.elapsed().as_secs_f64();
        self.done.push((name.to_owned(), start.elapsed()));
        match result {
            Ok(()) => output::line(&format!("    {name}: ok in {seconds:.1} s")),
            Err(cause) => {
                return Err(Failure::new(format!(
                    "step `{name}` failed after {seconds:.1} s: {cause}\n\
                     repeat it alone with:\n    {repeat}"
                )));
            }
        }
        Ok(())
    }

    /// Prints the table of all steps and returns the whole time.
    pub(crate) fn finish(self) -> Duration {
        let total = self.start.elapsed();
        let row = |name: &str, time: Duration| vec![name.to_owned(), seconds(time)];
        let mut rows = vec![vec!["step".to_owned(), "seconds".to_owned()]];
        rows.extend(self.done.iter().map(|(name, time)| row(name, *time)));
        rows.push(row("total", total));
        output::line("");
        output::table(&rows);
        total
    }
}

/// Seconds with one decimal, right-aligned for a table.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:>7.1}", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A failed step says which one it was, why, and how to repeat it.
    #[test]
    fn a_failed_step_says_how_to_repeat_it() {
        let mut progress = Progress::new(1);
        let failed = progress
            .step("models", "cargo xtask loom", || {
                Err(Failure::new("two of them fail"))
            })
            .expect_err("the step fails")
            .to_string();
        assert!(failed.starts_with("step `models` failed"), "{failed}");
        assert!(failed.contains("two of them fail"), "{failed}");
        assert!(failed.ends_with("    cargo xtask loom"), "{failed}");
    }
}
