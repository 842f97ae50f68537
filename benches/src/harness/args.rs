//! The command line, by hand: few flags, and errors that say what would have been right.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::folder::Folder;
use crate::case::Case;
use crate::runtime_id::RuntimeId;

/// What `--help` prints and what follows an error.
pub(crate) const USAGE: &str = "\
usage: cargo bench -p wq-benches -- [FILTER..] [options]

  FILTER..              cases whose name or group contains one of these (default: all)
  --runtimes A,B        these runtimes only, and the base (default: all that suit a case)
  --paired-base NAME    the runtime that ratios are against (default: tokio-mt)
  --rounds N            rounds for each row (default: 15; with --quick: 5)
  --cost                what sensing costs where nothing blocks: wq against wq-declared, by CPU
                        time and (with valgrind) by instructions; default: the scheduler groups
  --quick               short rounds: a look, not a measurement
  --json FILE           write the figures for a program to read
  --svg FILE            write bars of the ratios
  --record FOLDER       keep the figures of each case in FOLDER, measure only what it lacks, and
                        write the page FOLDER.md with pictures; never less in place of more
  --minutes N           with --record: begin no case after so long; 0: write the page alone
  --list                print the cases and the runtimes
  --help                print this";

/// Rounds of a row unless the command line says otherwise.
const ROUNDS: usize = 15;
/// Rounds of a row under `--quick`.
const QUICK_ROUNDS: usize = 5;
/// Fewer rounds have no spread and no bounds worth printing.
const MIN_ROUNDS: usize = 3;
/// Bounds the time that a slip of the finger can cost.
const MAX_ROUNDS: usize = 1000;
/// A day: nobody waits for longer.
const MAX_MINUTES: u64 = 24 * 60;

/// How long the rounds of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Long enough to trust.
    Full,
    /// Long enough to see that everything runs.
    Quick,
}

/// What the parent is to measure and where the figures go.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The chosen cases, in the order of the registry.
    pub(crate) cases: Vec<&'static Case>,
    /// The chosen runtimes, in the order of the registry.
    pub(crate) runtimes: Vec<RuntimeId>,
    /// The runtime that ratios are against; measured wherever the case allows it.
    pub(crate) base: RuntimeId,
    /// Rounds of each row.
    pub(crate) rounds: usize,
    /// Length of the rounds.
    pub(crate) effort: Effort,
    /// Where `--json` points.
    pub(crate) json: Option<PathBuf>,
    /// Where `--svg` points.
    pub(crate) svg: Option<PathBuf>,
}

impl Plan {
    /// The same for one case, which is not written anywhere.
    pub(crate) fn of_one(&self, case: &'static Case) -> Self {
        Self {
            cases: vec![case],
            runtimes: self.runtimes.clone(),
            base: self.base,
            rounds: self.rounds,
            effort: self.effort,
            json: None,
            svg: None,
        }
    }

    /// The files that are to be written.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.json.iter().chain(&self.svg).map(PathBuf::as_path)
    }
}

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Action {
    /// Print the usage.
    Help,
    /// Print cases and runtimes.
    List,
    /// Measure.
    Measure(Plan),
    /// Measure what sensing costs.
    Cost(Plan),
    /// Measure what a folder lacks, and write its page.
    Record {
        /// What it should have.
        plan: Plan,
        /// The folder.
        folder: Folder,
        /// No case is begun later than this.
        within: Option<Duration>,
    },
    /// Be the child of one row: not for people.
    Child {
        /// The row's case.
        case: &'static Case,
        /// The row's runtime.
        runtime: RuntimeId,
        /// Length of the rounds.
        effort: Effort,
        /// Do this many iterations and end, without a word to the parent.
        iterations: Option<u64>,
    },
}

/// The flags as they were read, before anything is looked up.
#[derive(Default)]
struct Raw {
    filters: Vec<String>,
    runtimes: Option<Vec<RuntimeId>>,
    base: Option<RuntimeId>,
    rounds: Option<usize>,
    quick: bool,
    cost: bool,
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
    record: Option<Folder>,
    minutes: Option<u64>,
}

/// Parses the arguments after the program's name; they choose among `cases`.
pub(crate) fn parse(
    cases: &'static [Case],
    mut args: impl Iterator<Item = String>,
) -> Result<Action, String> {
    let mut raw = Raw::default();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => return Ok(Action::Help),
            "--list" => return Ok(Action::List),
            "--child" => return child(cases, &mut args),
            // Cargo passes this to every benchmark program.
            "--bench" => {}
            "--quick" => raw.quick = true,
            "--cost" => raw.cost = true,
            "--rounds" => raw.rounds = Some(rounds(&value(&mut args, "--rounds")?)?),
            "--runtimes" => raw.runtimes = Some(runtimes(&value(&mut args, "--runtimes")?)?),
            "--paired-base" => raw.base = Some(value(&mut args, "--paired-base")?.parse()?),
            "--json" => raw.json = Some(output_path(&value(&mut args, "--json")?)),
            "--svg" => raw.svg = Some(output_path(&value(&mut args, "--svg")?)),
            "--record" => raw.record = Some(folder(&value(&mut args, "--record")?)?),
            "--minutes" => raw.minutes = Some(minutes(&value(&mut args, "--minutes")?)?),
            flag if flag.starts_with('-') => return Err(format!("no option is called `{flag}`")),
            _ => raw.filters.push(arg),
        }
    }
    match (raw.cost, raw.record.take()) {
        (true, Some(_)) => Err("`--cost` keeps nothing: leave `--record` out".to_owned()),
        (true, None) => cost(cases, raw).map(Action::Cost),
        (false, Some(folder)) => record(cases, raw, folder),
        (false, None) if raw.minutes.is_some() => Err("`--minutes` wants `--record`".to_owned()),
        (false, None) => plan(cases, raw).map(Action::Measure),
    }
}

/// The plan of `--record`: the page has a table of its own form and no other file.
fn record(cases: &'static [Case], mut raw: Raw, folder: Folder) -> Result<Action, String> {
    if raw.json.is_some() || raw.svg.is_some() {
        return Err("`--record` writes its own files: leave `--json` and `--svg` out".to_owned());
    }
    if raw.base.is_some() {
        return Err("the page of `--record` compares with tokio-mt and the best peer".to_owned());
    }
    let within = raw.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    // What sensing costs is asked by `--cost`; the page has no place for it.
    let shown = RuntimeId::ALL.iter().copied();
    let shown = || shown.clone().filter(|id| *id != RuntimeId::WqDeclared);
    raw.runtimes.get_or_insert_with(|| shown().collect());
    Ok(Action::Record {
        plan: plan(cases, raw)?,
        folder,
        within,
    })
}

/// The plan of `--cost`: which runtimes is not a choice.
fn cost(cases: &'static [Case], mut raw: Raw) -> Result<Plan, String> {
    if raw.runtimes.is_some() || raw.base.is_some() {
        return Err("`--cost` compares wq with wq-declared and nothing else".to_owned());
    }
    if raw.json.is_some() || raw.svg.is_some() {
        return Err("`--cost` writes no files".to_owned());
    }
    raw.runtimes = Some(vec![RuntimeId::Wq, RuntimeId::WqDeclared]);
    raw.base = Some(RuntimeId::WqDeclared);
    let mut plan = plan(cases, raw)?;
    plan.cases.retain(|case| case.suits(RuntimeId::WqDeclared));
    plan.cases.retain(|case| !case.group.is_about_lateness());
    if plan.cases.is_empty() {
        return Err("none of these cases is without blocks".to_owned());
    }
    Ok(plan)
}

/// Looks the filters up and fills in the defaults.
fn plan(cases: &'static [Case], raw: Raw) -> Result<Plan, String> {
    let chosen = |case: &&Case| raw.filters.is_empty() || raw.filters.iter().any(|f| case.is(f));
    let cases: Vec<_> = cases.iter().filter(chosen).collect();
    if cases.is_empty() {
        let filters = raw.filters.join("`, `");
        return Err(format!(
            "no case or group contains `{filters}`; --list names them all"
        ));
    }
    let default_rounds = if raw.quick { QUICK_ROUNDS } else { ROUNDS };
    Ok(Plan {
        cases,
        runtimes: raw.runtimes.unwrap_or_else(|| RuntimeId::ALL.to_vec()),
        base: raw.base.unwrap_or(RuntimeId::TokioMt),
        rounds: raw.rounds.unwrap_or(default_rounds),
        effort: if raw.quick {
            Effort::Quick
        } else {
            Effort::Full
        },
        json: raw.json,
        svg: raw.svg,
    })
}

/// The word after a flag.
fn value(args: &mut impl Iterator<Item = String>, flag: &str) -> Result<String, String> {
    let word = args.next().filter(|word| !word.starts_with("--"));
    word.ok_or_else(|| format!("`{flag}` wants a value after it"))
}

/// The number of `--rounds`.
fn rounds(text: &str) -> Result<usize, String> {
    let number = usize::from_str(text).ok();
    number
        .filter(|n| (MIN_ROUNDS..=MAX_ROUNDS).contains(n))
        .ok_or_else(|| {
            format!("`--rounds {text}`: it takes a number from {MIN_ROUNDS} to {MAX_ROUNDS}")
        })
}

/// The number of `--minutes`.
fn minutes(text: &str) -> Result<u64, String> {
    let number = u64::from_str(text).ok();
    number
        .filter(|n| *n <= MAX_MINUTES)
        .ok_or_else(|| format!("`--minutes {text}`: it takes a number up to {MAX_MINUTES}"))
}

/// The list of `--runtimes`, in the order of the registry whatever the order given.
fn runtimes(text: &str) -> Result<Vec<RuntimeId>, String> {
    let named: Vec<RuntimeId> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
    Ok(RuntimeId::ALL
        .iter()
        .copied()
        .filter(|id| named.contains(id))
        .collect())
}

/// What follows `--child`: CASE RUNTIME EFFORT `[ITERATIONS]`.
fn child(
    cases: &'static [Case],
    args: &mut impl Iterator<Item = String>,
) -> Result<Action, String> {
    let name = value(args, "--child")?;
    let case = cases.iter().find(|case| case.name == name);
    let case = case.ok_or_else(|| format!("no case is called `{name}`"))?;
    let runtime = value(args, "--child CASE")?.parse()?;
    let effort = value(args, "--child CASE RUNTIME")?.parse()?;
    let iterations = args.next().map(|word| {
        let number = u64::from_str(&word).ok().filter(|number| *number > 0);
        number.ok_or_else(|| format!("`{word}` is no number of iterations"))
    });
    Ok(Action::Child {
        case,
        runtime,
        effort,
        iterations: iterations.transpose()?,
    })
}

/// The folder of `--record`.
fn folder(word: &str) -> Result<Folder, String> {
    Folder::named(word, output_path(word))
}

/// Cargo starts a benchmark in its package's folder; a relative path on the command line means
/// the folder where the user is.
fn output_path(text: &str) -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = std::env::current_dir().ok();
    let shell = std::env::var_os("PWD").map(PathBuf::from);
    let started_by_cargo = package.is_some() && package == here;
    match shell {
        Some(folder) if started_by_cargo && folder.is_absolute() => folder.join(text),
        _ => Path::new(text).to_path_buf(),
    }
}

impl Effort {
    /// The word that stands for it between parent and child.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Quick => "quick",
        }
    }
}

impl FromStr for Effort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "full" => Ok(Self::Full),
            "quick" => Ok(Self::Quick),
            _ => Err(format!("`{text}` is neither `full` nor `quick`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::tests::SOME;

    fn parse_words(words: &str) -> Result<Action, String> {
        parse(SOME, words.split_whitespace().map(str::to_owned))
    }

    fn plan_of(words: &str) -> Plan {
        match parse_words(words).expect("the line is right") {
            Action::Measure(plan) => plan,
            other => panic!("`{words}` gave {other:?}"),
        }
    }

    /// The line that cargo makes of the documented command is understood in full.
    #[test]
    fn documented_command_is_understood() {
        let plan = plan_of(
            "yield_many --quick --json /tmp/a.json --svg /tmp/a.svg --rounds 7 \
             --runtimes tokio-ct,tokio-mt --paired-base tokio-ct --bench",
        );
        let names: Vec<_> = plan.cases.iter().map(|case| case.name).collect();
        assert_eq!(names, ["yield_many"]);
        assert_eq!(plan.runtimes, [RuntimeId::TokioMt, RuntimeId::TokioCt]);
        assert_eq!(plan.base, RuntimeId::TokioCt);
        assert_eq!((plan.rounds, plan.effort), (7, Effort::Quick));
        assert_eq!(plan.json, Some(PathBuf::from("/tmp/a.json")));
        assert_eq!(plan.svg, Some(PathBuf::from("/tmp/a.svg")));
    }

    /// Without arguments everything is measured against tokio's `multi_thread`.
    #[test]
    fn defaults_are_all_cases_against_tokio() {
        let plan = plan_of("--bench");
        assert_eq!(plan.cases.len(), SOME.len());
        assert_eq!((plan.base, plan.rounds), (RuntimeId::TokioMt, ROUNDS));
        assert_eq!(plan_of("--quick").rounds, QUICK_ROUNDS);
    }

    /// A filter also names a group, and several filters add up.
    #[test]
    fn filters_match_names_and_groups() {
        let sensing = plan_of("sensing");
        assert!(sensing.cases.iter().any(|case| case.name == "naps_k8"));
        assert!(
            sensing
                .cases
                .iter()
                .all(|case| case.group.name().starts_with("sensing"))
        );
        let cold = plan_of("sensing-cold");
        assert!(cold.cases.iter().all(|case| case.name.starts_with("cold_")));
        assert_eq!(plan_of("ping_pong chained_spawn").cases.len(), 2);
    }

    /// The cost of sensing is asked of the scheduler's cases only, against the same build.
    #[test]
    fn cost_compares_the_same_build() {
        let Ok(Action::Cost(plan)) = parse_words("--cost --quick") else {
            panic!("the line is right");
        };
        assert_eq!(plan.base, RuntimeId::WqDeclared);
        assert_eq!(plan.runtimes, [RuntimeId::Wq, RuntimeId::WqDeclared]);
        let groups = ["tokio", "async-executor", "spawning", "queues"];
        assert!(
            plan.cases
                .iter()
                .all(|case| groups.contains(&case.group.name()))
        );
        for group in groups {
            assert!(
                plan.cases.iter().any(|case| case.group.name() == group),
                "{group}"
            );
        }
    }

    /// What is recorded is everything that the page shows, in pieces if that is wanted.
    #[test]
    fn a_record_is_of_everything_on_the_page() {
        let Ok(Action::Record {
            plan,
            folder,
            within,
        }) = parse_words("--record docs/benchmarks --minutes 7")
        else {
            panic!("the line is right");
        };
        assert_eq!(plan.cases.len(), SOME.len());
        assert!(!plan.runtimes.contains(&RuntimeId::WqDeclared));
        assert!(folder.path().ends_with("docs/benchmarks"));
        assert_eq!(within, Some(Duration::from_secs(420)));
    }

    /// Each mistake is answered with the thing that is wrong and what would be right.
    #[test]
    fn mistakes_are_named() {
        let told = |words: &str| parse_words(words).expect_err("the line is wrong");
        assert!(told("no_such_case").contains("no case or group contains `no_such_case`"));
        assert!(told("--fast").contains("no option is called `--fast`"));
        assert!(told("--json").contains("`--json` wants a value"));
        assert!(told("--json --quick").contains("`--json` wants a value"));
        assert!(told("--cost --runtimes wq").contains("wq-declared"));
        assert!(told("--cost naps_k2").contains("without blocks"));
        assert!(told("--child yield_many wq quick 0").contains("no number of iterations"));
        assert!(told("--record a --json b").contains("leave `--json`"));
        assert!(told("--record ..").contains("wants a name"));
        assert!(told("--record a --cost").contains("keeps nothing"));
        assert!(told("--minutes 7").contains("wants `--record`"));
        assert!(told("--record a --minutes 9999").contains("up to 1440"));
        assert!(told("--rounds 2").contains("from 3 to 1000"));
        assert!(told("--rounds many").contains("from 3 to 1000"));
        assert!(told("--runtimes tokio").contains("there are"));
        assert!(told("--runtimes tokio").contains("tokio-mt"));
        assert!(told("--child no_such_case").contains("no case is called"));
    }
}
