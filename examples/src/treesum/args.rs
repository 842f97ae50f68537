//! The command line: what can be asked of treesum, and the text that says so.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use super::runner::Runtime;
use crate::arguments::value;

/// How many files are read at a time unless told: above the depth at which disks and file
/// servers give their best (32 to 64), with room for reads that merely wait, and far below what
/// 1024 file descriptors or an engine's bound on threads allow.
const JOBS: usize = 128;

/// How often `--compare` runs each runtime unless told: enough for a median.
const ROUNDS: usize = 3;

/// What `--help` prints.
pub const HELP: &str = "\
treesum: sum the files of a directory tree, many at a time, with plain blocking reads

Usage: treesum [OPTIONS] [DIR]

  DIR             the tree; git lists the files if DIR is the top of a checkout, else DIR is
                  walked without .git and cargo's target [default: this project's sources]

  --jobs N        read at most N files at a time [default: 128]
  --journal FILE  write one line a file there [default: treesum.journal]
  --verify        sum again, one file after the other, and compare the digests
  --compare       do the same job on wq and on tokio in turns, and compare
  --rounds N      with --compare: how often each [default: 3]
  --runtime NAME  run on wq, tokio or tokio-blocking [default: wq]
  --svg FILE      plot the heartbeats' lateness [default with --compare: treesum.svg]
  --json          print one JSON object for programs instead of the summary
  --progress      draw the progress bar even if stderr is no terminal
  --no-progress   never draw it
  --cold          make the kernel forget the files' content first, so that reads block
  --slow MS       each read sleeps MS milliseconds first, as a slow disk would
  --help          print this

Links are read through; links to directories are counted and left alone. A file that cannot
be summed is named with its reason and left out of the digest; the others are not affected.
Ctrl-C ends the run early: the journal is flushed and what is done is printed.

Exit code: 0 all summed, 1 wrong usage or nothing could be done, 2 some files (or the
journal) failed, 3 the digests differ, 130 interrupted.
";

/// Whether to draw the progress bar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// If stderr is a terminal.
    #[default]
    IfTerminal,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The tree; `None` is this project's own sources.
    pub dir: Option<PathBuf>,
    /// Files read at a time.
    pub jobs: usize,
    /// Where lines go.
    pub journal: PathBuf,
    /// Sum again sequentially.
    pub verify: bool,
    /// All runtimes in turns.
    pub compare: bool,
    /// How often each, when comparing.
    pub rounds: usize,
    /// Who runs the job, when not comparing.
    pub runtime: Runtime,
    /// Where to plot.
    pub svg: Option<PathBuf>,
    /// Print JSON.
    pub json: bool,
    /// Draw the bar.
    pub progress: Progress,
    /// Forget cached content first.
    pub cold: bool,
    /// A sleep before each read.
    pub slow: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: None,
            jobs: JOBS,
            journal: PathBuf::from("treesum.journal"),
            verify: false,
            compare: false,
            rounds: ROUNDS,
            runtime: Runtime::ALL[0],
            svg: None,
            json: false,
            progress: Progress::default(),
            cold: false,
            slow: Duration::ZERO,
        }
    }
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Only the help text.
    Help,
    /// A run.
    Run(Box<Options>),
}

/// Reads the arguments after the program's name.
///
/// # Errors
///
/// A sentence for the user, naming the argument that is wrong.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, lexopt::Error> {
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("help") | Short('h') => return Ok(Request::Help),
            Long("jobs") => options.jobs = at_least_one("jobs", value(&mut parser, "--jobs")?)?,
            Long("rounds") => {
                options.rounds = at_least_one("rounds", value(&mut parser, "--rounds")?)?;
            }
            Long("journal") => options.journal = parser.value()?.into(),
            Long("svg") => options.svg = Some(parser.value()?.into()),
            Long("runtime") => options.runtime = runtime(&parser.value()?)?,
            Long("slow") => options.slow = Duration::from_millis(value(&mut parser, "--slow")?),
            Long("verify") => options.verify = true,
            Long("compare") => options.compare = true,
            Long("json") => options.json = true,
            Long("cold") => options.cold = true,
            Long("progress") => options.progress = Progress::Always,
            Long("no-progress") => options.progress = Progress::Never,
            Value(dir) if options.dir.is_none() => options.dir = Some(dir.into()),
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(Request::Run(Box::new(options)))
}

/// A count that cannot be zero.
fn at_least_one(name: &str, count: usize) -> Result<usize, lexopt::Error> {
    match count {
        0 => Err(format!("--{name} must be at least 1").into()),
        count => Ok(count),
    }
}

/// A runtime by its name.
fn runtime(value: &OsStr) -> Result<Runtime, lexopt::Error> {
    value.to_str().and_then(Runtime::named).ok_or_else(|| {
        let names = Runtime::ALL.map(Runtime::name).join(", ");
        format!(
            "--runtime is one of {names}, not {}",
            value.to_string_lossy()
        )
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses words as a shell would pass them.
    fn parse_words(words: &str) -> Result<Options, String> {
        match parse(words.split_whitespace().map(OsString::from)) {
            Ok(Request::Run(options)) => Ok(*options),
            Ok(Request::Help) => Err("help".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Goal: options mean what the help says. Method: all of them in one line.
    #[test]
    fn every_option_is_understood() {
        let words = "--jobs 7 --verify --compare --rounds=2 --runtime tokio --journal j \
             --svg s --json --cold --slow 5 --no-progress src";
        let expected = Options {
            dir: Some("src".into()),
            jobs: 7,
            journal: "j".into(),
            verify: true,
            compare: true,
            rounds: 2,
            runtime: Runtime::Tokio,
            svg: Some("s".into()),
            json: true,
            progress: Progress::Never,
            cold: true,
            slow: Duration::from_millis(5),
        };
        assert_eq!(parse_words(words), Ok(expected));
        assert_eq!(parse_words(""), Ok(Options::default()));
    }

    /// Goal: the help is complete. Method: its options and defaults against the parser's.
    #[test]
    fn the_help_names_every_option_and_the_real_defaults() {
        let options = "jobs rounds journal svg runtime slow verify compare json cold progress";
        for name in options.split(' ') {
            assert!(HELP.contains(&format!("  --{name}")), "{name}");
        }
        for default in [JOBS, ROUNDS] {
            assert!(HELP.contains(&format!("[default: {default}]")), "{default}");
        }
        assert!(HELP.lines().all(|line| line.len() <= 100));
        assert_eq!(parse_words("--jobs 3 -h"), Err("help".into()));
    }

    /// Goal: mistakes are named. Method: one of each kind.
    #[test]
    fn mistakes_are_named() {
        let message = |words: &str| parse_words(words).unwrap_err();
        assert!(message("--jobs 0").contains("at least 1"));
        assert!(message("--rounds x").contains('x'));
        assert!(message("--jobs").contains("jobs"));
        assert!(message("--runtime smol").contains("tokio-blocking"));
        assert!(message("--fast").contains("--fast"));
        assert!(message("one two").contains("two"));
    }
}
