//! `cargo xtask smoke`: every example runs to its end, in time, and prints what it should.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::process::{Captured, Cmd};

/// Where the examples stand.
const FOLDER: &str = "examples/src/bin";

/// How an example says with what it is to be run.
const MARK: &str = "//! Smoke: ";

/// How it says that it is not to be run; a reason follows.
const NONE: &str = "none,";

/// An example that takes longer has hung.
const LIMIT: Duration = Duration::from_secs(120);

/// One example and how to run it.
#[derive(Debug)]
struct Example {
    /// The name of its program.
    name: String,
    /// Its arguments; none if it must not be run.
    args: Option<String>,
}

/// Builds and runs all examples.
pub(crate) fn command(root: &Path) -> Outcome {
    let examples = find(root)?;
    if examples.is_empty() {
        output::line(&format!("smoke: there is no example in {FOLDER}"));
        return Ok(());
    }
    Cmd::cargo("build --quiet -p wq-examples --bins")
        .dir(root)
        .run()?;
    let faults: Vec<String> = examples
        .iter()
        .filter_map(|example| run(root, example).err())
        .map(|it| it.to_string())
        .collect();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(faults.join("\n")))
    }
}

/// The examples in the folder, by name.
fn find(root: &Path) -> Outcome<Vec<Example>> {
    let folder = root.join(FOLDER);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths.into_iter().map(|path| read(&path)).collect()
}

/// The example in this file, or in this folder's `main.rs`.
fn read(path: &Path) -> Outcome<Example> {
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let file = if path.is_dir() {
        path.join("main.rs")
    } else {
        path.to_owned()
    };
    let text = fs::read_to_string(&file).map_err(|error| Failure::io(file.display(), &error))?;
    Ok(Example {
        name,
        args: args(&text),
    })
}

/// What the module doc says about how to run it.
fn args(text: &str) -> Option<String> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(MARK))
        .unwrap_or_default();
    (!line.starts_with(NONE)).then(|| line.trim().to_owned())
}

/// Runs one example and compares what it prints with the file of its name, if there is one.
fn run(root: &Path, example: &Example) -> Outcome {
    let name = &example.name;
    let Some(args) = &example.args else {
        output::line(&format!("  {name}: not run, as it says"));
        return Ok(());
    };
    let cmd = Cmd::cargo("run --quiet -p wq-examples --bin")
        .arg(name)
        .words("--")
        .words(args);
    let captured = cmd.dir(root).capture(LIMIT)?;
    judge(root, name, &captured)?;
    output::line(&format!(
        "  {name}: ok in {:.1} s",
        captured.elapsed.as_secs_f64()
    ));
    Ok(())
}

/// An error, with everything that was printed, unless the run was good.
fn judge(root: &Path, name: &str, captured: &Captured) -> Outcome {
    let expected = fs::read_to_string(root.join(format!("examples/expected/{name}.txt")));
    let fault = if captured.timed_out {
        format!("did not end within {} s", LIMIT.as_secs())
    } else if !captured.success {
        "ended with an error".to_owned()
    } else if expected
        .as_ref()
        .is_ok_and(|expected| *expected != captured.stdout)
    {
        format!("printed something else than examples/expected/{name}.txt")
    } else {
        return Ok(());
    };
    let (out, err) = (&captured.stdout, &captured.stderr);
    Err(Failure::new(format!(
        "example `{name}` {fault}; its output:\n{out}{err}"
    )))
}

#[cfg(test)]
mod tests {
    use super::args;

    /// Arguments are taken from the doc; without a line there are none, with `none` it is not run.
    #[test]
    fn the_module_doc_says_how_to_run() {
        assert_eq!(
            args("//! A.\n//!\n//! Smoke: --verify docs\n"),
            Some("--verify docs".into())
        );
        assert_eq!(args("//! A.\n"), Some(String::new()));
        assert_eq!(args("//! Smoke: none, it waits for clients\n"), None);
    }
}
