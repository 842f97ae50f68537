//! The parent: starts one child for each runtime of a case and lets them measure in turns.
//!
//! One child is active at a time; the others are parked in a read. Each round starts with another
//! runtime, so none always follows the same neighbour. Every few rounds all children are replaced:
//! how a process happens to lie in memory then is part of the spread, not of the verdict. A child
//! that dies or says nothing for a minute loses its row and nothing else.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::ops::Range;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::args::{Effort, Plan};
use super::machine::Machine;
use super::program;
use super::protocol::{READY, RUN, Round, SKIPPED};
use super::result::{CaseResult, Missing, Report};
use crate::case::Case;
use crate::runtime_id::RuntimeId;

/// Rounds that one set of children measures.
const SITTING: usize = 5;
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
pub(super) fn runtimes_of(plan: &Plan, case: &Case) -> Vec<RuntimeId> {
    let chosen = |id: &RuntimeId| plan.runtimes.contains(id) && case.suits(*id);
    let any = RuntimeId::ALL.iter().any(chosen);
    let wanted = |id: &RuntimeId| chosen(id) || (any && *id == plan.base && case.suits(*id));
    RuntimeId::ALL.iter().copied().filter(wanted).collect()
}

/// What became of one runtime's part in a case.
type Outcome = Result<Vec<Round>, Missing>;

/// Measures one case on its runtimes, in turns, with new children for each sitting.
fn measure_case(
    plan: &Plan,
    case: &Case,
    runtimes: &[RuntimeId],
    progress: &Progress<'_>,
) -> Vec<(RuntimeId, Outcome)> {
    progress.begin();
    let mut outcomes: Vec<_> = runtimes.iter().map(|id| (*id, Ok(Vec::new()))).collect();
    // What is about a runtime's first moments has one round for each life.
    let sitting = if case.is_cold() { 1 } else { SITTING };
    for first in (0..plan.rounds).step_by(sitting) {
        let rounds = first..plan.rounds.min(first + sitting);
        // A runtime that has failed is not given another minute to fail in.
        let alive: Vec<_> = outcomes
            .iter_mut()
            .filter(|(_, outcome)| outcome.is_ok())
            .collect();
        let ids: Vec<_> = alive.iter().map(|(id, _)| *id).collect();
        let sitting = sit(plan, case, &ids, rounds, progress);
        for ((_, outcome), more) in alive.into_iter().zip(sitting) {
            join(outcome, more);
        }
    }
    outcomes
}

/// Adds a sitting to a row; the first failure is the row's.
fn join(outcome: &mut Outcome, more: Outcome) {
    if let Ok(rounds) = outcome {
        match more {
            Ok(more) => rounds.extend(more),
            Err(reason) => *outcome = Err(reason),
        }
    }
}

/// One sitting: children start, measure their rounds in turns, and end.
fn sit(
    plan: &Plan,
    case: &Case,
    runtimes: &[RuntimeId],
    rounds: Range<usize>,
    progress: &Progress<'_>,
) -> Vec<Outcome> {
    let start = |id: &RuntimeId| {
        progress.show(*id, rounds.start, plan.rounds);
        Contestant::start(&mut child_command(case, *id, plan.effort), PATIENCE)
    };
    let mut contestants: Vec<_> = runtimes.iter().map(start).collect();
    for round in rounds.clone() {
        for turn in 0..contestants.len() {
            let next = (round + turn) % runtimes.len();
            progress.show(runtimes[next], round + 1, plan.rounds);
            contestants[next].run_round();
        }
    }
    contestants.into_iter().map(Contestant::finish).collect()
}

/// This very program as the child of one row.
fn child_command(case: &Case, runtime: RuntimeId, effort: Effort) -> Command {
    let mut command = Command::new(program::path());
    command.args(["--child", case.name, runtime.name(), effort.name()]);
    command
}

/// One runtime's part in a sitting: its child while all is well, then what became of it.
struct Contestant {
    /// The living child, or why there is none.
    child: Result<Link, Missing>,
    /// What it has measured.
    rounds: Vec<Round>,
}

impl Contestant {
    /// Starts the child and waits until it is warm.
    fn start(command: &mut Command, patience: Duration) -> Self {
        let child = Link::start(command, patience).and_then(|mut link| {
            let line = link.read_line()?;
            if line == READY {
                return Ok(Ok(link));
            }
            match line.strip_prefix(SKIPPED) {
                Some(reason) => Ok(Err(Missing::Skipped(reason.to_owned()))),
                None => Err(format!("the child began with `{line}`")),
            }
        });
        Self {
            child: child.unwrap_or_else(|reason| Err(Missing::Failed(reason))),
            rounds: Vec::new(),
        }
    }

    /// Lets the child measure one round; does nothing for one that has failed.
    fn run_round(&mut self) {
        let Ok(link) = &mut self.child else { return };
        match link.round() {
            Ok(round) => self.rounds.push(round),
            Err(reason) => self.child = Err(Missing::Failed(reason)),
        }
    }

    /// Ends the child and gives its rounds.
    fn finish(self) -> Outcome {
        let status = self.child?.hang_up().map_err(Missing::Failed)?;
        if status.success() {
            Ok(self.rounds)
        } else {
            Err(Missing::Failed(format!("the child ended: {status}")))
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
    /// How long a silence or an ending may last.
    patience: Duration,
}

impl Link {
    /// Starts a child.
    fn start(command: &mut Command, patience: Duration) -> Result<Self, String> {
        let told = |error: io::Error| format!("the child cannot be started: {error}");
        let mut child = command
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
            patience,
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
            .recv_timeout(self.patience)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => format!("no answer within {:?}", self.patience),
                RecvTimeoutError::Disconnected => match self.hang_up() {
                    Ok(status) => format!("the child ended early: {status}"),
                    Err(reason) => reason,
                },
            })
    }

    /// Ends the conversation and waits for the child to end.
    fn hang_up(&mut self) -> Result<ExitStatus, String> {
        drop(self.requests.take());
        let deadline = Instant::now() + EXIT_PATIENCE.min(self.patience);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::protocol::Measure;

    /// Long against anything that the small scripts below do, short against a test's patience.
    const SHORT: Duration = Duration::from_millis(500);

    /// What becomes of a child that is a shell script and is asked for two rounds.
    fn outcome_of(script: &str) -> Outcome {
        let mut contestant = Contestant::start(Command::new("sh").args(["-c", script]), SHORT);
        contestant.run_round();
        contestant.run_round();
        contestant.finish()
    }

    /// A child that keeps to the protocol gives its rounds and ends by itself.
    #[test]
    fn a_good_child_gives_its_rounds() {
        let outcome = outcome_of("echo ready; while read x; do echo operations 9 8 7 6 3; done");
        let round = Round {
            wall_ns: 9,
            cpu_ns: 8,
            threads: 7,
            memory_kib: 6,
            measured: Measure::Operations(3),
        };
        assert_eq!(outcome, Ok(vec![round.clone(), round]));
    }

    /// Each way to go wrong loses the row, with a reason, and never hangs the parent.
    #[test]
    fn a_bad_child_loses_its_row_with_a_reason() {
        for (script, reason) in [
            ("exit 3", "the child ended early: exit status: 3"),
            ("echo hello; read x", "the child began with `hello`"),
            (
                "echo ready; read x; echo nonsense; read x",
                "the child answered `nonsense`",
            ),
            (
                "echo ready; read x; exit 4",
                "the child ended early: exit status: 4",
            ),
            ("exec sleep 60", "no answer within 500ms"),
            (
                "echo ready; while read x; do echo operations 1 1 1 1 1; done; exit 5",
                "status: 5",
            ),
            (
                "echo ready; while read x; do echo operations 1 1 1 1 1; done; exec sleep 60",
                "not end",
            ),
        ] {
            let Err(Missing::Failed(told)) = outcome_of(script) else {
                panic!("`{script}` is a bad child");
            };
            assert!(told.contains(reason), "`{script}`: {told}");
        }
    }

    /// A child that says why it cannot measure has not failed.
    #[test]
    fn a_child_may_say_why_it_cannot_measure() {
        let outcome = outcome_of("echo skipped no such device");
        assert_eq!(outcome, Err(Missing::Skipped("no such device".to_owned())));
    }

    /// A program that is not there loses its row too.
    #[test]
    fn a_missing_program_is_told() {
        let contestant = Contestant::start(&mut Command::new("/no/such/program"), SHORT);
        let Err(Missing::Failed(told)) = contestant.finish() else {
            panic!("there is no child");
        };
        assert!(told.contains("cannot be started"), "{told}");
    }

    /// Sittings add up, and a failure in any of them is the row's.
    #[test]
    fn sittings_add_up() {
        let round = || Round {
            wall_ns: 1,
            cpu_ns: 1,
            threads: 1,
            memory_kib: 1,
            measured: Measure::Operations(1),
        };
        let mut outcome = Ok(vec![round()]);
        join(&mut outcome, Ok(vec![round(), round()]));
        assert_eq!(outcome.as_ref().map(Vec::len), Ok(3));
        let gone = || Err(Missing::Failed("gone".to_owned()));
        join(&mut outcome, gone());
        join(&mut outcome, Ok(vec![round()]));
        assert_eq!(outcome, gone());
    }
}
