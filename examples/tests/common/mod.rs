//! What the tests of all programs share: running one with a time limit.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// No program here works for longer than a few seconds; slow machines get the rest.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// How much of a stream a failed test shows.
const SHOWN: usize = 2000;

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it said besides.
    pub(crate) stderr: String,
}

/// A running program that is killed, and fails the test, when it takes longer than [`LIMIT`].
#[derive(Debug)]
pub(crate) struct Running {
    /// The process.
    pub(crate) child: Child,
    /// Pieces of its stdout (0) and stderr (1); closed when it ended.
    pieces: Receiver<(usize, Vec<u8>)>,
    /// What was received so far.
    seen: [Vec<u8>; 2],
    /// When patience ends.
    until: Instant,
}

impl Running {
    /// Starts a program; its input is what the command says.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, pieces) = mpsc::channel();
        forward(0, child.stdout.take().unwrap(), sender.clone());
        forward(1, child.stderr.take().unwrap(), sender);
        Self {
            child,
            pieces,
            seen: [vec![], vec![]],
            until: Instant::now() + LIMIT,
        }
    }

    /// Waits until its stdout and stderr so far are as asked.
    pub(crate) fn wait_for(&mut self, mut is_there: impl FnMut(&str, &str) -> bool) {
        loop {
            let [out, err] = self
                .seen
                .each_ref()
                .map(|bytes| String::from_utf8_lossy(bytes));
            if is_there(&out, &err) {
                return;
            }
            assert!(
                self.receive(),
                "ended without what was awaited: {}",
                self.tail()
            );
        }
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        while self.receive() {}
        let status = self.child.wait().unwrap();
        let [stdout, stderr] = self
            .seen
            .each_ref()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        Ended {
            status,
            stdout,
            stderr,
        }
    }

    /// Receives one piece; false at the end of both streams.
    fn receive(&mut self) -> bool {
        let left = self.until.saturating_duration_since(Instant::now());
        match self.pieces.recv_timeout(left) {
            Ok((stream, piece)) => {
                self.seen[stream].extend(piece);
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => {
                panic!(
                    "still running after {LIMIT:?}; so far it said {}",
                    self.tail()
                )
            }
        }
    }

    /// The last that it said on both streams.
    fn tail(&self) -> String {
        let last = |bytes: &Vec<u8>| bytes[bytes.len().saturating_sub(SHOWN)..].to_vec();
        let [out, err] = self.seen.each_ref().map(last);
        format!(
            "{:?}, {:?}",
            String::from_utf8_lossy(&out),
            String::from_utf8_lossy(&err)
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failed test leaves no process behind; one that has ended is not hurt.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program without input to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    Running::start(command.stdin(Stdio::null())).end()
}

/// Reads a stream on a thread of its own, so that waiting for it can be limited.
fn forward(name: usize, mut stream: impl Read + Send + 'static, to: Sender<(usize, Vec<u8>)>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            if to.send((name, buffer[..read].to_vec())).is_err() {
                break;
            }
        }
    });
}
