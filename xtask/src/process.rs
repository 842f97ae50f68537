//! A child process that can be shown as a line to repeat, timed, and stopped when it hangs.

use std::fmt;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};

/// How often a child with a time limit is looked at; short beside any limit in use.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A command to be run: program, arguments, added environment, folder.
#[derive(Clone, Debug)]
pub(crate) struct Cmd {
    /// Program name as looked up in `PATH`.
    program: String,
    /// Arguments in order.
    args: Vec<String>,
    /// Variables set for the child; shown before the command.
    env: Vec<(String, String)>,
    /// Variables taken away from the child.
    removed: Vec<&'static str>,
    /// Where to run; none means the current folder.
    dir: Option<PathBuf>,
}

/// What a captured child left behind.
#[derive(Debug)]
pub(crate) struct Captured {
    /// True when it exited with status 0 inside its time limit.
    pub(crate) success: bool,
    /// True when it was killed because its time was over.
    pub(crate) timed_out: bool,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
    /// From start to end.
    pub(crate) elapsed: Duration,
}

impl Cmd {
    /// A command of this program without arguments.
    pub(crate) fn new(program: &str) -> Self {
        let program = program.to_owned();
        Self {
            program,
            args: Vec::new(),
            env: Vec::new(),
            removed: Vec::new(),
            dir: None,
        }
    }

    /// `cargo` with these words, split at blanks: no argument of ours has a blank inside.
    pub(crate) fn cargo(words: &str) -> Self {
        Self::new("cargo").words(words)
    }

    /// Adds arguments, split at blanks.
    pub(crate) fn words(mut self, words: &str) -> Self {
        self.args
            .extend(words.split_whitespace().map(str::to_owned));
        self
    }

    /// Adds one argument as it is.
    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets a variable for the child.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Takes a variable away from the child.
    pub(crate) fn without_env(mut self, name: &'static str) -> Self {
        self.removed.push(name);
        self
    }

    /// Runs the child in this folder.
    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// Runs with our own input and output; an error names the exit status.
    pub(crate) fn run(&self) -> Outcome {
        let status = self
            .command()
            .status()
            .map_err(|error| self.not_started(&error))?;
        if status.success() {
            Ok(())
        } else {
            Err(self.ended_with(status))
        }
    }

    /// Runs to the end and keeps what it prints; kills it, with its children, after `limit`.
    pub(crate) fn capture(&self, limit: Duration) -> Outcome<Captured> {
        let start = Instant::now();
        let mut child = self
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that a hung grandchild can be killed with it.
            .process_group(0)
            .spawn()
            .map_err(|error| self.not_started(&error))?;
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let status = wait_until(&mut child, start + limit);
        let text = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
        Ok(Captured {
            success: status.is_some_and(|status| status.success()),
            timed_out: status.is_none(),
            stdout: text(stdout),
            stderr: text(stderr),
            elapsed: start.elapsed(),
        })
    }

    /// The same as `std` wants it.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        for name in &self.removed {
            command.env_remove(name);
        }
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    /// The failure of a program that could not be started at all.
    fn not_started(&self, error: &std::io::Error) -> Failure {
        Failure::new(format!("could not start `{}`: {error}", self.program))
    }

    /// The failure of a program that ran and said no.
    fn ended_with(&self, status: ExitStatus) -> Failure {
        Failure::new(format!("`{}` ended with {status}", self.program))
    }
}

impl fmt::Display for Cmd {
    /// The line to paste into a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        f.write_str(&self.program)?;
        self.args
            .iter()
            .try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

/// The word as a shell needs it: in quotes when it has a character that a shell would take.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Reads a stream to its end on a thread, so that a full pipe never stops the child.
fn collect(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What came before an error is still worth showing.
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for the child; past the deadline kills its group and returns none.
fn wait_until(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            kill_group(child);
            return None;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Kills the child and everything in its group, then collects it.
fn kill_group(child: &mut Child) {
    // `std` can signal one process only; the group needs the `kill` program.
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shown command can be pasted: variables first, odd words quoted.
    #[test]
    fn a_shown_command_can_be_pasted() {
        let cmd = Cmd::cargo("test -p wq-core")
            .env("RUSTFLAGS", "--cfg loom")
            .arg("it's");
        assert_eq!(
            cmd.to_string(),
            r"RUSTFLAGS='--cfg loom' cargo test -p wq-core 'it'\''s'"
        );
    }

    /// A child that hangs is killed with its own child: the pipe that the grandchild holds ends.
    #[test]
    fn a_hung_child_is_killed_with_its_children() {
        let cmd = Cmd::new("sh").arg("-c").arg("echo begun; sleep 600 & wait");
        let captured = cmd
            .capture(Duration::from_millis(300))
            .expect("sh can be started");
        assert!(captured.timed_out && !captured.success);
        assert_eq!(captured.stdout, "begun\n");
    }

    /// Both streams and the exit status are told apart.
    #[test]
    fn streams_and_status_are_kept() {
        let cmd = Cmd::new("sh")
            .arg("-c")
            .arg("echo out; echo err >&2; exit 3");
        let captured = cmd
            .capture(Duration::from_secs(60))
            .expect("sh can be started");
        assert!(!captured.success && !captured.timed_out);
        assert_eq!(
            (captured.stdout.as_str(), captured.stderr.as_str()),
            ("out\n", "err\n")
        );
    }
}
