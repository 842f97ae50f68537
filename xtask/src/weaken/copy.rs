//! Copies of the tree in which code is weakened, and the models that are asked about them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::verdict::Verdict;
use crate::failure::{Failure, Outcome};
use crate::loom::Models;
use crate::{output, repo};

/// A weakened model explores more than the sound one: it is only stuck after many times as long.
const PATIENCE: u32 = 30;

/// The least time that a model gets: starting its process may already take a moment.
const MIN_LIMIT: Duration = Duration::from_secs(60);

/// The most that the sound models may take each.
const BASELINE_LIMIT: Duration = Duration::from_secs(30 * 60);

/// What loom says when a model loops more often than it can follow.
const TOO_MANY_BRANCHES: &str = "maximum number of branches";

/// The models as they are: all pass, each with its time.
#[derive(Debug)]
pub(super) struct Baseline {
    /// Path of the model to the time it took.
    times: BTreeMap<String, Duration>,
    /// Loom's bound on involuntary switches.
    preemptions: usize,
}

/// Brings the copy in this folder to the state of the tree, writing only what differs.
///
/// Untouched files keep their times, so that cargo rebuilds no more than it must.
pub(super) fn refresh(root: &Path, folder: &Path) -> Outcome {
    let copied = || -> io::Result<()> {
        for file in repo::files(root)? {
            let (from, to) = (fs::read(root.join(&file))?, folder.join("tree").join(&file));
            if fs::read(&to).ok().as_ref() != Some(&from) {
                fs::create_dir_all(to.parent().unwrap_or(folder))?;
                fs::write(&to, from)?;
            }
        }
        Ok(())
    };
    copied().map_err(|error| Failure::io(format!("copying to {}", folder.display()), &error))
}

/// Gives one file of the copy this text.
pub(super) fn write(folder: &Path, file: &str, text: &str) -> Outcome {
    let path = folder.join("tree").join(file);
    fs::write(&path, text).map_err(|error| Failure::io(path.display(), &error))
}

/// Builds the models of the copy in this folder; the inner error is what the compiler said.
fn build(folder: &Path) -> Outcome<Result<Models, String>> {
    Models::build(&folder.join("tree"), &folder.join("target"))
}

impl Baseline {
    /// Runs every model on the code as it is. All must pass: else a failure would prove nothing.
    pub(super) fn measure(root: &Path, scratch: &Path, preemptions: usize) -> Outcome<Self> {
        let folder = scratch.join("job0");
        refresh(root, &folder)?;
        let models = build(&folder)?.map_err(Failure::new)?;
        if models.names.is_empty() {
            return Err(Failure::new("there is no model that could notice anything"));
        }
        let mut times = BTreeMap::new();
        for name in &models.names {
            let captured = models.run(name, preemptions, BASELINE_LIMIT)?;
            if !captured.success {
                return Err(Failure::new(format!("{name} fails on the code as it is")));
            }
            output::line(&format!(
                "  {:>7.1} s  {name}",
                captured.elapsed.as_secs_f64()
            ));
            times.insert(name.clone(), captured.elapsed);
        }
        Ok(Self { times, preemptions })
    }

    /// Whether a model notices what was done to the copy: first those of the file, quick ones
    /// first, then all others.
    pub(super) fn ask(&self, folder: &Path, stem: &str) -> Outcome<Verdict> {
        let models = match build(folder)? {
            Ok(models) => models,
            Err(said) => return Ok(Verdict::Broken(said)),
        };
        for name in self.in_order(stem) {
            let limit = (self.times[name] * PATIENCE).max(MIN_LIMIT);
            let captured = models.run(name, self.preemptions, limit)?;
            let said = format!("{}{}", captured.stdout, captured.stderr);
            if captured.timed_out || said.contains(TOO_MANY_BRANCHES) {
                return Ok(Verdict::Endless(name.to_owned()));
            }
            if !captured.success {
                return Ok(Verdict::Failed(name.to_owned()));
            }
        }
        Ok(Verdict::Survived)
    }

    /// The models in the order in which they are asked about this file.
    fn in_order(&self, stem: &str) -> Vec<&str> {
        let is_own = |name: &str| name.split("::").any(|part| part == stem);
        let mut names: Vec<&str> = self.times.keys().map(String::as_str).collect();
        names.sort_by_key(|name| (!is_own(name), self.times[*name]));
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file's own models are asked before all others, and of each the quick ones first.
    #[test]
    fn own_and_quick_models_are_asked_first() {
        let second = Duration::from_secs(1);
        let times = [
            ("a::loom_x", 3),
            ("lane::loom_slow", 2),
            ("lane::loom_quick", 1),
            ("b::loom_y", 1),
        ];
        let times = times
            .map(|(name, seconds)| (name.to_owned(), second * seconds))
            .into();
        let baseline = Baseline {
            times,
            preemptions: 2,
        };
        let order = baseline.in_order("lane");
        assert_eq!(
            order,
            [
                "lane::loom_quick",
                "lane::loom_slow",
                "b::loom_y",
                "a::loom_x"
            ]
        );
    }
}
