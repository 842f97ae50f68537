//! Random programs on virtual machines: whatever is queued where and does what, the promises hold.
//!
//! A seed is a plan (`plan`): a machine of one CPU or of a hundred with caches and nodes, queues of
//! all kinds, and some hundred operations. It is played (`play`) on the unchanged engine, and each
//! step of each item is held against a model of the documentation's rules (`ledger`), each instant
//! against work conservation (`watch`). A seed that fails is made short (`shrink`) and printed.
//!
//! Not for what depends on the order of single instructions, which the models of `proto` explore.
//! For `tests/simulate.rs` and `examples/simulate.rs`; nobody else needs it.

mod counts;
mod event;
#[cfg(test)]
mod found;
mod item;
mod ledger;
mod plan;
mod play;
mod random;
mod shrink;
mod watch;
mod world;

use std::cell::OnceCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::Spec;
use crate::os;
use ledger::Note;
use plan::Plan;
use world::World;

pub use counts::Counts;

/// A seed that broke a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    seed: u64,
    fault: String,
    /// The plan and its trace, as far as they were made short.
    trace: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, fault, trace } = self;
        write!(
            f,
            "seed {seed}: {fault}\nthe shortest plan that fails:\n{trace}"
        )
    }
}

impl std::error::Error for Failure {}

/// What a seed did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How often what happened.
    pub counts: Counts,
}

/// Plays a seed with so many operations.
///
/// # Errors
/// If a promise was broken; with the shortest plan that breaks one.
pub fn run(seed: u64, ops: usize) -> Result<Outcome, Failure> {
    let plan = Plan::of(seed, ops);
    attempt(&plan).result.map_err(|fault| {
        let (plan, attempt) = shrink::shrink(plan);
        let (last, notes) = (attempt.result.err(), attempt.notes);
        let trace = format!(
            "{}which fails so: {}\nevents until then (ns):\n{}",
            play::describe(&plan),
            last.unwrap_or_default(),
            describe(&notes)
        );
        Failure { seed, fault, trace }
    })
}

/// Plays a seed twice; where the two runs part, if they do before the last operation.
pub fn compare(seed: u64, ops: usize) -> Option<String> {
    let plan = Plan::of(seed, ops);
    let [one, two] = [attempt(&plan), attempt(&plan)].map(|attempt| {
        // What is left after the last operation ends in the order of a registry that all Systems of
        // the process share.
        let is_op = |(_, note): &(u64, Note)| matches!(note, Note::Op(_));
        let until = attempt.notes.iter().rposition(is_op);
        let mut notes = attempt.notes;
        notes.truncate(until.unwrap_or(notes.len()));
        notes
    });
    let end = one.len().min(two.len());
    let at = (0..end).find(|&at| one[at] != two[at]).unwrap_or(end);
    if at == one.len() && at == two.len() {
        return None;
    }
    let around = |notes: &[(u64, Note)]| {
        let from = at.saturating_sub(SHOWN);
        describe(&notes[from..notes.len().min(at + SHOWN)])
    };
    Some(format!("{}and\n{}", around(&one), around(&two)))
}

/// Events that are shown before and after the first one that differs.
const SHOWN: usize = 8;

/// Keeps the calling thread, and with it the machines that it makes, on one of the real CPUs: the
/// threads of a machine take turns, and hand over sooner on one CPU than across two.
pub fn keep_to_one_cpu(nth: usize) {
    let Ok(allowed) = os::get_affinity(0) else {
        return;
    };
    let cpus: Vec<usize> = allowed.iter().collect();
    if let Some(cpu) = cpus.get(nth % cpus.len().max(1)) {
        // A refusal costs time and nothing else.
        let _ = os::set_affinity(0, &crate::CpuSet::from_iter([*cpu]));
    }
}

/// What playing a plan gave.
struct Attempt {
    result: Result<Outcome, String>,
    notes: Vec<(u64, Note)>,
}

/// Plays a plan, driven by a thread of its own: what a thread has learned of its waits would make
/// the next run another one.
fn attempt(plan: &Plan) -> Attempt {
    std::thread::scope(|scope| {
        let driver = scope.spawn(|| attempt_here(plan));
        driver.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Plays a plan, driven by the calling thread.
fn attempt_here(plan: &Plan) -> Attempt {
    let spec = Spec {
        cpus: plan.shape.cpus(),
        seed: plan.seed,
    };
    let world: OnceCell<Arc<World>> = OnceCell::new();
    let played = catch_unwind(AssertUnwindSafe(|| {
        let build = || play::build_system(plan);
        super::attempt(spec, build, |sim| {
            play::play(sim, plan, |made| drop(world.set(Arc::clone(made))))
        })
    }));
    let result = match played {
        Ok(result) => result,
        Err(panic) => Err(format!("the driving thread panicked: {}", text_of(&*panic))),
    };
    let notes = world
        .get()
        .map_or_else(Vec::new, |world| world.ledger.notes());
    Attempt {
        result: result.map(|counts| Outcome { counts }),
        notes,
    }
}

/// What a panic said.
fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    let text = owned.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("in no words")
}

/// Events, one in a line.
fn describe(notes: &[(u64, Note)]) -> String {
    let line = |(at_ns, note): &(u64, Note)| format!("  {at_ns:>12} {note:?}\n");
    notes.iter().map(line).collect()
}
