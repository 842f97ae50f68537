//! `cargo xtask soak`: the main job again and again, on a tree that has always the same files.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cli::Args;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::process::Cmd;

/// How long when nobody says.
pub(crate) const DEFAULT_MINUTES: usize = 10;

/// The size of the tree: what the main job is promised to work on.
const FILES: usize = 20_000;

/// Files in one folder of it.
const FILES_PER_FOLDER: usize = 100;

/// The largest file; most are smaller, some are empty.
const MAX_BYTES: usize = 32 * 1024;

/// A run that takes longer has hung.
const RUN_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(20);

/// `cargo xtask soak`.
pub(crate) fn command(root: &Path, args: Args) -> Outcome {
    args.none()?;
    run(root, args.number("--minutes", DEFAULT_MINUTES)?)
}

/// Runs the job until the minutes are over, once at least.
pub(crate) fn run(root: &Path, minutes: usize) -> Outcome {
    let tree = root.join("target/soak/tree");
    make_tree(&tree).map_err(|error| Failure::io(format!("making {}", tree.display()), &error))?;
    let program = "--release -p wq-examples --bin treesum";
    Cmd::cargo("build").words(program).dir(root).run()?;
    // In a folder of its own: the job writes its journal to where it stands.
    let cmd = Cmd::cargo("run --quiet")
        .words(program)
        .words("-- --verify tree");
    let cmd = cmd.dir(&root.join("target/soak"));
    let start = Instant::now();
    let mut said = start;
    let mut times = Vec::new();
    while times.is_empty() || start.elapsed().as_secs() < minutes as u64 * 60 {
        times.push(run_once(&cmd, times.len() + 1)?);
        if said.elapsed() >= PROGRESS_EVERY {
            said = Instant::now();
            output::line(&format!(
                "  {} runs in {} s",
                times.len(),
                start.elapsed().as_secs()
            ));
        }
    }
    let slowest = times
        .iter()
        .max()
        .copied()
        .unwrap_or_default()
        .as_secs_f64();
    output::line(&format!(
        "soak: {} runs, the slowest {slowest:.1} s",
        times.len()
    ));
    Ok(())
}

/// One run; an error with its output unless it ends well and in time.
fn run_once(cmd: &Cmd, number: usize) -> Outcome<Duration> {
    let captured = cmd.capture(RUN_LIMIT)?;
    if captured.success {
        return Ok(captured.elapsed);
    }
    let how = if captured.timed_out { "hung" } else { "failed" };
    let (out, err) = (captured.stdout, captured.stderr);
    Err(Failure::new(format!(
        "run {number} {how}: {cmd}\n{out}{err}"
    )))
}

/// Makes the tree unless a whole one is there: the marker is written last.
fn make_tree(tree: &Path) -> io::Result<()> {
    let marker = tree.with_extension(format!("{FILES}-files"));
    if marker.exists() {
        return Ok(());
    }
    output::line(&format!("making {FILES} files in {}", tree.display()));
    for number in 0..FILES {
        let folder = tree.join(format!("{:03}", number / FILES_PER_FOLDER));
        if number % FILES_PER_FOLDER == 0 {
            fs::create_dir_all(&folder)?;
        }
        fs::write(folder.join(format!("{number:05}")), content(number))?;
    }
    fs::write(marker, "")
}

/// The bytes of a file: told by its number alone, most files short.
fn content(number: usize) -> Vec<u8> {
    // A multiplicative hash spreads the sizes; the fourth power makes the large ones rare.
    let spread = number.wrapping_mul(0x9E37_79B9) % 1000;
    let length = MAX_BYTES * spread.pow(4) / 1000_usize.pow(4);
    (0..length)
        .map(|at| (at.wrapping_mul(31) ^ number) as u8)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{FILES, MAX_BYTES, content};

    /// The files differ in size: some are empty, some near the largest, most are small.
    #[test]
    fn the_files_differ_in_size() {
        let sizes: Vec<usize> = (0..FILES / 10)
            .map(|number| content(number).len())
            .collect();
        assert!(sizes.contains(&0));
        assert!(sizes.iter().any(|size| *size > MAX_BYTES / 2));
        let small = sizes.iter().filter(|size| **size < MAX_BYTES / 8).count();
        assert!(
            small > sizes.len() / 2,
            "{small} of {} are small",
            sizes.len()
        );
    }
}
