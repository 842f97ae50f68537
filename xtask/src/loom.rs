//! `cargo xtask loom`: the models of the handshakes, each in a process of its own.
//!
//! A model is a unit test of wq-core whose name begins with `loom_`; those of `proto/x.rs` stand
//! under a module `x`, so that `weaken` knows which to ask.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::Args;
use crate::failure::{Failure, Outcome};
use crate::process::{Captured, Cmd};
use crate::{output, parallel};

/// The bound on involuntary switches in CI: finds nearly everything, in minutes.
pub(crate) const CI_PREEMPTIONS: usize = 2;

/// The bound in long runs.
pub(crate) const LONG_PREEMPTIONS: usize = 3;

/// Where the modelled code stands.
pub(crate) const PROTO: &str = "wq-core/src/proto";

/// How the name of a model begins.
const PREFIX: &str = "loom_";

/// A model that takes this long is stuck or too big to be of use.
const MODEL_LIMIT: Duration = Duration::from_secs(30 * 60);

/// A build that takes this long is stuck.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Release code without what makes release builds slow: it is rebuilt for each weakening.
const PROFILE: [(&str, &str); 4] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_INCREMENTAL", "1"),
];

/// A built test program with models in it.
#[derive(Clone, Debug)]
pub(crate) struct Models {
    /// The program.
    program: PathBuf,
    /// The folder of the package, as the tests expect it.
    folder: PathBuf,
    /// The paths of the models in it.
    pub(crate) names: Vec<String>,
}

/// `cargo xtask loom`.
pub(crate) fn command(root: &Path, args: Args) -> Outcome {
    let preemptions = args.number("--preemptions", CI_PREEMPTIONS)?;
    let jobs = args.number("--jobs", parallel::default_jobs())?;
    run(root, args.optional_word()?, preemptions, jobs)
}

/// Runs all models, one for each CPU at a time.
pub(crate) fn all(root: &Path, preemptions: usize) -> Outcome {
    run(root, None, preemptions, parallel::default_jobs())
}

/// Builds and runs the models that match the filter.
fn run(root: &Path, filter: Option<&str>, preemptions: usize, jobs: usize) -> Outcome {
    if !has_protocols(root) {
        output::line(&format!("loom: there is no {PROTO}, so nothing to model"));
        return Ok(());
    }
    let target = root.join("target/loom");
    build_command(root, &target).run()?;
    let mut models = Models::build(root, &target)?.map_err(Failure::new)?;
    models
        .names
        .retain(|name| filter.is_none_or(|filter| name.contains(filter)));
    if models.names.is_empty() {
        return Err(Failure::new(match filter {
            Some(filter) => format!("no model matches `{filter}`"),
            None => format!("there is {PROTO}, but no test in it begins with `{PREFIX}`"),
        }));
    }
    let failed = models.run_all(preemptions, jobs)?;
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "models failed: {}",
        failed.join(", ")
    )))
}

/// Whether there is anything to model yet.
pub(crate) fn has_protocols(root: &Path) -> bool {
    root.join(PROTO).is_dir() || root.join(format!("{PROTO}.rs")).is_file()
}

/// The build of the test program, for this tree and target folder.
fn build_command(tree: &Path, target: &Path) -> Cmd {
    let cmd = Cmd::cargo("test --release -p wq-core --lib --no-run --target-dir")
        .arg(target.to_string_lossy())
        .env("RUSTFLAGS", "--cfg loom")
        .dir(tree);
    PROFILE
        .iter()
        .fold(cmd, |cmd, (name, value)| cmd.env(name, *value))
}

impl Models {
    /// Builds the tree's models; the inner error is what the compiler said.
    pub(crate) fn build(tree: &Path, target: &Path) -> Outcome<Result<Self, String>> {
        let built = build_command(tree, target).arg("--message-format=json-render-diagnostics");
        let built = built.capture(BUILD_LIMIT)?;
        if !built.success {
            return Ok(Err(built.stderr));
        }
        let program = executable(&built.stdout)
            .ok_or_else(|| Failure::new("cargo named no test program of wq-core"))?;
        let mut models = Self {
            program,
            folder: tree.join("wq-core"),
            names: Vec::new(),
        };
        models.names = models.list()?;
        Ok(Ok(models))
    }

    /// The paths of all models in the program.
    fn list(&self) -> Outcome<Vec<String>> {
        let listed = self.test("--list --format terse").capture(MODEL_LIMIT)?;
        let names = listed
            .stdout
            .lines()
            .filter_map(|line| line.strip_suffix(": test"));
        let is_model = |name: &&str| {
            name.rsplit("::")
                .next()
                .is_some_and(|it| it.starts_with(PREFIX))
        };
        Ok(names.filter(is_model).map(str::to_owned).collect())
    }

    /// Runs one model.
    pub(crate) fn run(&self, name: &str, preemptions: usize, limit: Duration) -> Outcome<Captured> {
        self.test("--exact")
            .arg(name)
            .env("LOOM_MAX_PREEMPTIONS", preemptions.to_string())
            .capture(limit)
    }

    /// Runs all models and prints each with its time; returns the paths of those that failed.
    fn run_all(&self, preemptions: usize, jobs: usize) -> Outcome<Vec<String>> {
        output::line(&format!(
            "{} models, at most {preemptions} preemptions",
            self.names.len()
        ));
        let results = parallel::map(jobs, &self.names, |_, name| {
            let result = self.run(name, preemptions, MODEL_LIMIT);
            if let Ok(captured) = &result {
                output::line(&report(name, captured));
            }
            result
        });
        let mut failed = Vec::new();
        for (name, result) in self.names.iter().zip(results) {
            if !result?.success {
                failed.push(name.clone());
            }
        }
        Ok(failed)
    }

    /// The test program with these arguments.
    fn test(&self, words: &str) -> Cmd {
        Cmd::new(&self.program.to_string_lossy())
            .words(words)
            .dir(&self.folder)
    }
}

/// The line about a model that has ended; with everything that it printed if it failed.
fn report(name: &str, captured: &Captured) -> String {
    let seconds = captured.elapsed.as_secs_f64();
    match captured {
        Captured { success: true, .. } => format!("  {seconds:>7.1} s  ok  {name}"),
        Captured {
            timed_out: true, ..
        } => format!("  {seconds:>7.1} s  STUCK  {name}"),
        Captured { stdout, stderr, .. } => {
            format!("  {seconds:>7.1} s  FAILED  {name}\n{stdout}{stderr}")
        }
    }
}

/// The program that cargo's JSON lines name last.
pub(crate) fn executable(json: &str) -> Option<PathBuf> {
    let mark = "\"executable\":\"";
    let at = json.rfind(mark)? + mark.len();
    json[at..].split('"').next().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::executable;

    /// The program is found among lines of other artifacts, which have none.
    #[test]
    fn the_test_program_is_found_in_cargos_lines() {
        let json =
            "{\"a\":1,\"executable\":null}\n{\"executable\":\"/t/deps/x-1\",\"fresh\":true}\n";
        assert_eq!(executable(json), Some("/t/deps/x-1".into()));
        assert_eq!(executable("{\"executable\":null}"), None);
    }
}
