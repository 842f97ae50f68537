//! The parent: starts one child for each runtime of a case and lets them measure in turns.
//!
//! One child is active at a time; the others are parked in a read. Each round starts with another
//! runtime, so none always follows the same neighbour. A child that dies or says nothing for a
//! minute loses its row and nothing else.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::args::{Effort, Plan};
use super::machine::Machine;
use super::protocol::{READY, RUN, Round};
use super::result::{CaseResult, Report};
use crate::cases::Case;
use crate::runtime::RuntimeId;

/// No round of any case takes a tenth of this, so a child that is silent for longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// A child that was hung up on ends within this, or is killed.
const EXIT_PATIENCE: Duration = Duration::from_secs(5);
/// How often an ending child is looked at.
const EXIT_LOOK: Duration = Duration::from_millis(2);

/// Measures the whole plan.
pub(crate) fn measure(plan: &Plan) -> Report {
    let machine = Machine::read();
    let mut cases = Vec::new();
    for (number, case) in plan.cases.iter().enumerate() {
        let runtimes = runtimes_of(plan, case);
        if runtimes.is_empty() {
            continue;
        }
        let progress = Progress {
            case,
            number: number + 1,
            cases: plan.cases.len(),
        };
        let measured = measure_case(plan, case, &runtimes, &progress);
        cases.push(CaseResult::new(case, plan.base, measured));
    }
    Progress::clear();
    Report {
        machine,
        rounds: plan.rounds,
        effort: plan.effort,
        base: plan.base,
        cases,
    }
}

/// The runtimes of a case: those chosen that suit it, and the base if any of them has use for it.
fn runtimes_of(plan: &Plan, case: &Case) -> Vec<RuntimeId> {
    let chosen = |id: &RuntimeId| plan.runtimes.contains(id) && case.suits(*id);
    let any = RuntimeId::ALL.iter().any(chosen);
    let wanted = |id: &RuntimeId| chosen(id) || (any && *id == plan.base && case.suits(*id));
    RuntimeId::ALL.iter().copied().filter(wanted).collect()
}

/// Measures one case on its runtimes, in turns.
fn measure_case(
    plan: &Plan,
    case: &Case,
    runtimes: &[RuntimeId],
    progress: &Progress<'_>,
) -> Vec<(RuntimeId, Result<Vec<Round>, String>)> {
    progress.begin();
    let start = |id: &RuntimeId| {
        progress.show(*id, 0, plan.rounds);
        Contestant::start(case, *id, plan.effort)
    };
    let mut contestants: Vec<_> = runtimes.iter().map(start).collect();
    for round in 0..plan.rounds {
        for turn in 0..contestants.len() {
            let next = (round + turn) % runtimes.len();
            progress.show(runtimes[next], round + 1, plan.rounds);
            contestants[next].run_round();
        }
    }
    runtimes
        .iter()
        .copied()
        .zip(contestants.into_iter().map(Contestant::finish))
        .collect()
}

/// One runtime's part in a case: its child while all is well, then what became of it.
struct Contestant {
    /// The living child, or why there is none.
    child: Result<Link, String>,
    /// What it has measured.
    rounds: Vec<Round>,
}

impl Contestant {
    /// Starts the child and waits until it is warm.
    fn start(case: &Case, runtime: RuntimeId, effort: Effort) -> Self {
        let child = Link::start(case, runtime, effort).and_then(|mut link| {
            let line = link.read_line()?;
            if line == READY {
                Ok(link)
            } else {
                Err(format!("the child began with `{line}`"))
            }
        });
        Self {
            child,
            rounds: Vec::new(),
        }
    }

    /// Lets the child measure one round; does nothing for one that has failed.
    fn run_round(&mut self) {
        let Ok(link) = &mut self.child else { return };
        match link.round() {
            Ok(round) => self.rounds.push(round),
            Err(reason) => self.child = Err(reason),
        }
    }

    /// Ends the child and gives its rounds.
    fn finish(self) -> Result<Vec<Round>, String> {
        let status = self.child?.hang_up()?;
        if status.success() {
            Ok(self.rounds)
        } else {
            Err(format!("the child ended: {status}"))
        }
    }
}

/// A child process and the two ends of the conversation; killed when dropped.
struct Link {
    /// The process.
    child: Child,
    /// Requests; `None` once hung up.
    requests: Option<ChildStdin>,
    /// Lines of the child; a thread reads them, so that waiting can end.
    answers: Receiver<String>,
}

impl Link {
    /// Starts this very program as the child of one row.
    fn start(case: &Case, runtime: RuntimeId, effort: Effort) -> Result<Self, String> {
        let told = |error: io::Error| format!("the child cannot be started: {error}");
        let mut child = Command::new(std::env::current_exe().map_err(told)?)
            .args(["--child", case.name, runtime.name(), effort.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(told)?;
        let requests = child.stdin.take();
        let output = child
            .stdout
            .take()
            .expect("the output was asked to be a pipe");
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            // The parent going away, or the pipe ending, both end the reading.
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines
                .map(|line| sender.send(line))
                .take_while(Result::is_ok)
                .for_each(drop);
        });
        Ok(Self {
            child,
            requests,
            answers,
        })
    }

    /// Asks for a round and waits for it.
    fn round(&mut self) -> Result<Round, String> {
        let requests = self
            .requests
            .as_mut()
            .expect("rounds come before hanging up");
        let asked = writeln!(requests, "{RUN}").and_then(|()| requests.flush());
        asked.map_err(|error| format!("the child does not listen: {error}"))?;
        Round::decode(&self.read_line()?)
    }

    /// The child's next line.
    fn read_line(&mut self) -> Result<String, String> {
        self.answers
            .recv_timeout(PATIENCE)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => format!("no answer within {} s", PATIENCE.as_secs()),
                RecvTimeoutError::Disconnected => match self.hang_up() {
                    Ok(status) => format!("the child ended early: {status}"),
                    Err(reason) => reason,
                },
            })
    }

    /// Ends the conversation and waits for the child to end.
    fn hang_up(&mut self) -> Result<ExitStatus, String> {
        drop(self.requests.take());
        let deadline = Instant::now() + EXIT_PATIENCE;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => thread::sleep(EXIT_LOOK),
                Err(error) => return Err(format!("the child is out of reach: {error}")),
            }
        }
        Err(format!(
            "the child did not end within {} s",
            EXIT_PATIENCE.as_secs()
        ))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Both fail only for a child that has ended, which is what they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The line on standard error that says where the measurement is.
struct Progress<'a> {
    /// The case at hand.
    case: &'a Case,
    /// Its number, from 1.
    number: usize,
    /// How many there are.
    cases: usize,
}

impl Progress<'_> {
    /// Says that the case begins, where there is no line to write over.
    fn begin(&self) {
        if !io::stderr().is_terminal() {
            eprintln!("[{:>2}/{}] {}", self.number, self.cases, self.case.name);
        }
    }

    /// Shows the turn, over and over on one line of a terminal.
    fn show(&self, runtime: RuntimeId, round: usize, rounds: usize) {
        if io::stderr().is_terminal() {
            let place = format!("[{:>2}/{}] {:<24}", self.number, self.cases, self.case.name);
            eprint!("\r{place} round {round:>3}/{rounds} {runtime:<20}");
        }
    }

    /// Wipes the line, where there is one.
    fn clear() {
        if io::stderr().is_terminal() {
            eprint!("\r{:78}\r", "");
        }
    }
}
