//! A case: what is measured, on which runtimes, and what that needs.
//!
//! The harness knows no case by name. The program has the registry and hands it over, so that the
//! harness and its tests are compiled without all that the cases are made of.

use std::fmt;

use crate::group::Group;
use crate::harness::child::Bench;
use crate::harness::machine;
use crate::runtime_id::RuntimeId;

/// One thing to measure.
pub struct Case {
    /// Its name on the command line and in tables.
    pub name: &'static str,
    /// The table it stands in.
    pub group: Group,
    /// One line for `--list`.
    pub summary: &'static str,
    /// Which runtimes have use for it.
    pub suits: Suits,
    /// What it needs of the process.
    pub needs: Needs,
    /// Measures it on one runtime, in a child.
    pub run: fn(RuntimeId, &mut Bench),
}

/// What a case needs of the process before its runtime starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing in particular.
    Nothing,
    /// One CPU and no more.
    OneCpu,
    /// The right to raise priority.
    Priority,
    /// That there is no such right.
    NoPriority,
}

impl Needs {
    /// Makes it so; the error is the reason why that cannot be.
    pub(crate) fn meet(self) -> Result<(), String> {
        match self {
            Self::Nothing => Ok(()),
            Self::OneCpu => {
                machine::pin_to(machine::allowed_cpus()[0]);
                Ok(())
            }
            Self::Priority if machine::may_raise_priority() => Ok(()),
            Self::Priority => Err("no right to raise priority".to_owned()),
            Self::NoPriority => machine::renounce_priority(),
        }
    }
}

/// Which runtimes have use for a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suits {
    /// Every runtime in its plain form.
    Plain,
    /// And wq's second way to start a root: the root does the work that is measured.
    Roots,
    /// Those that the goals for blocking name, tokio with marked blocking among them.
    Poison,
    /// The same, and a thread for each task.
    Hogs,
    /// The same without threads, and both kinds of urgent queue.
    Highpri,
    /// Plain runtimes, and two threads without one.
    Mutex,
    /// One of each family.
    Growth,
    /// Plain runtimes that wait for sockets, and threads that do so by hand.
    Echo,
    /// Marked and unmarked, and what the work takes without a runtime.
    Pool,
    /// Those that end within the bounds of patience.
    Crowd,
    /// None: a floor row.
    Bare,
}

impl Case {
    /// Whether a filter means this case.
    pub(crate) fn is(&self, filter: &str) -> bool {
        self.name.contains(filter) || self.group.name().contains(filter)
    }

    /// Whether a runtime has use for this case.
    pub(crate) fn suits(&self, id: RuntimeId) -> bool {
        use RuntimeId as Id;
        let plain = matches!(
            id,
            Id::Wq | Id::TokioMt | Id::TokioPinned | Id::TokioCt | Id::AsyncExecutor | Id::Smol
        );
        let poison = matches!(id, Id::Wq | Id::TokioMt | Id::TokioBlocking | Id::Smol);
        if id == Id::WqDeclared {
            // What sensing costs where nothing blocks is asked there, and only there.
            return matches!(self.suits, Suits::Plain | Suits::Roots);
        }
        match self.suits {
            Suits::Plain => plain,
            Suits::Roots => plain || id == Id::WqBlockOn,
            Suits::Poison => poison,
            Suits::Hogs => poison || id == Id::Bare,
            Suits::Highpri => poison || id == Id::WqPercpu,
            Suits::Mutex => matches!(id, Id::Wq | Id::TokioMt | Id::Smol | Id::Bare),
            Suits::Growth => matches!(id, Id::Wq | Id::TokioMt | Id::Smol),
            Suits::Echo => (plain && id != Id::TokioPinned) || id == Id::Bare,
            Suits::Pool => poison || matches!(id, Id::WqMarked | Id::Bare),
            Suits::Crowd => matches!(id, Id::Wq | Id::WqMarked | Id::TokioBlocking),
            Suits::Bare => id == Id::Bare,
        }
    }

    /// Whether the case is about a runtime's first moments.
    pub(crate) fn is_cold(&self) -> bool {
        self.group == Group::SensingCold
    }

    /// The same case with needs.
    #[must_use]
    pub const fn needing(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A registry for the harness's tests: a case or two of most groups, which nobody measures.
    pub(crate) static SOME: &[Case] = &[
        case("yield_many", Group::Tokio, Suits::Plain),
        case("ping_pong", Group::Tokio, Suits::Roots),
        case("chained_spawn", Group::Tokio, Suits::Plain),
        case("ae_spawn_one", Group::AsyncExecutor, Suits::Roots),
        case("spawn_join_local", Group::Spawning, Suits::Plain),
        case("ordered_queue", Group::Queues, Suits::Plain),
        case("grow_1_queue", Group::Growth, Suits::Growth),
        case("echo_1", Group::Net, Suits::Echo),
        case("naps_k2", Group::Sensing, Suits::Poison),
        case("naps_k8", Group::Sensing, Suits::Poison),
        case("cold_naps_k2", Group::SensingCold, Suits::Poison),
        case("highpri_k2", Group::SensingHighpri, Suits::Highpri),
        case("floor_task_local", Group::Floor, Suits::Bare),
    ];

    /// An entry of it.
    const fn case(name: &'static str, group: Group, suits: Suits) -> Case {
        Case {
            name,
            group,
            summary: "a case of the tests",
            suits,
            needs: Needs::Nothing,
            run: |_, _| unreachable!(),
        }
    }

    /// The one of that name.
    pub(crate) fn named(name: &str) -> &'static Case {
        let found = SOME.iter().find(|case| case.name == name);
        found.expect("the registry of the tests has it")
    }

    /// A row needs a runtime that has use for the case; what sensing costs is asked where nothing
    /// blocks and nowhere else.
    #[test]
    fn runtimes_suit_the_cases_they_have_use_for() {
        use RuntimeId as Id;
        let check = |name, suits: [Id; 2], suits_not: [Id; 2]| {
            let does = |id: &Id| named(name).suits(*id);
            assert!(suits.iter().all(does), "{name}");
            assert!(!suits_not.iter().any(does), "{name}");
        };
        check(
            "yield_many",
            [Id::Wq, Id::WqDeclared],
            [Id::WqBlockOn, Id::Bare],
        );
        check(
            "ping_pong",
            [Id::WqBlockOn, Id::Smol],
            [Id::WqMarked, Id::TokioBlocking],
        );
        check(
            "naps_k2",
            [Id::Wq, Id::TokioBlocking],
            [Id::WqDeclared, Id::TokioCt],
        );
        check(
            "highpri_k2",
            [Id::Wq, Id::WqPercpu],
            [Id::WqDeclared, Id::Bare],
        );
    }
}
