//! `cargo xtask counts`: instructions of the hot paths, beside the figures that are committed.
//!
//! Time on the wall is not the same twice, instructions are: a few more on each spawn show in a
//! count, and in no benchmark. The program is `benches/counts`; `callgrind` writes down what the
//! thread that enters one mark has done when it enters the other. Each case is done `N` times and
//! `2 N` times, and the difference belongs to `N` operations alone. Only our own code is compared:
//! what the C library does for us is another machine's. Calls for memory are counted instead.

mod figures;
mod profile;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::Args;
use crate::failure::{Failure, Outcome};
use crate::process::{Captured, Cmd};
use crate::{debian, loom, output, parallel};

use figures::{Cost, Figures, Row};
use profile::Profile;

/// Where the figures are committed, by compiler.
const FIGURES: &str = "benches/counts/figures";

/// What is built and written on the way.
const FOLDER: &str = "target/counts";

/// A build that takes this long is stuck.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// A case takes a second or two.
const CASE_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Questions to tools are answered at once.
const ASK_LIMIT: Duration = Duration::from_secs(60);

/// Counts, and takes the marks by the names of their functions.
const CALLGRIND: &str = "-q --tool=callgrind --separate-threads=yes --compress-strings=no \
                         --compress-pos=no --dump-line=no --zero-before=*::counting_begins \
                         --dump-before=*::counting_ends";

/// The numbers of the two dumps that count, among those of a case; the first one is for warmth.
const DUMPS: [u32; 2] = [2, 3];

/// `cargo xtask counts`.
pub(crate) fn command(root: &Path, args: Args) -> Outcome {
    args.none()?;
    require_valgrind()?;
    if !args.has("--write") {
        return check(root);
    }
    let (now, path) = (count(root)?, committed_path(root)?);
    let folder = path.parent().unwrap_or(root);
    fs::create_dir_all(folder).map_err(|error| Failure::io(folder.display(), &error))?;
    fs::write(&path, now.render()).map_err(|error| Failure::io(path.display(), &error))?;
    output::line(&format!("wrote {}", path.display()));
    Ok(())
}

/// An error unless valgrind is there; installs it where that is possible.
pub(crate) fn require_valgrind() -> Outcome {
    let ask = || Cmd::new("valgrind").words("--version").capture(ASK_LIMIT);
    if ask().is_ok_and(|answer| answer.success) {
        return Ok(());
    }
    debian::install(&["valgrind"])
        .map_err(|cause| Failure::new(format!("there is no valgrind; {cause}")))?;
    ask().map(drop)
}

/// Counts, prints the table and compares with what is committed.
pub(crate) fn check(root: &Path) -> Outcome {
    let path = committed_path(root)?;
    let now = count(root)?;
    let committed = match fs::read_to_string(&path) {
        Ok(text) => Figures::parse(&text)
            .map_err(|cause| Failure::new(format!("{}: {cause}", path.display())))?,
        Err(_) => Figures::default(),
    };
    let rows = now.beside(&committed);
    output::table(&figures::table(&rows));
    if committed.is_empty() {
        output::line(&format!(
            "note: there is no {}, so nothing to compare with: `cargo xtask counts --write`",
            path.display()
        ));
        return Ok(());
    }
    judge(&rows)
}

/// An error if a case has become dearer, or is not the same as before; a note if it is cheaper.
fn judge(rows: &[Row]) -> Outcome {
    let names = |which: fn(&Row) -> bool| {
        let names: Vec<&str> = rows
            .iter()
            .filter(|row| which(row))
            .map(|row| row.name.as_str())
            .collect();
        names.join(", ")
    };
    let (dearer, cheaper) = (names(Row::is_dearer), names(Row::is_cheaper));
    let unpaired = names(Row::is_unpaired);
    if !cheaper.is_empty() {
        output::line(&format!(
            "note: cheaper than committed: {cheaper}; keep it: `cargo xtask counts --write`"
        ));
    }
    if dearer.is_empty() && unpaired.is_empty() {
        return Ok(());
    }
    let lines = [
        ("dearer than committed by more than 2 %", dearer),
        ("not both counted and committed", unpaired),
    ];
    let faults: Vec<String> = lines
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {names}"))
        .collect();
    Err(Failure::new(format!(
        "{}\nmend it, or, if it is worth its price, commit `cargo xtask counts --write` with the \
         reason",
        faults.join("\n")
    )))
}

/// Builds the program and counts all of its cases.
fn count(root: &Path) -> Outcome<Figures> {
    let program = build(root)?;
    let listed = Cmd::new(&program.to_string_lossy())
        .words("--list")
        .capture(ASK_LIMIT)?;
    let (times, names) = listing(&listed.stdout)
        .ok_or_else(|| Failure::new(format!("`{} --list` says nothing", program.display())))?;
    let folder = root.join(FOLDER).join("profiles");
    // What an earlier run left would be taken for this one's.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| Failure::io(folder.display(), &error))?;
    let counted = parallel::map(parallel::default_jobs(), &names, |_, name| {
        count_case(&program, &folder, name, times)
    });
    let mut figures = Figures::default();
    for (name, cost) in names.iter().zip(counted) {
        figures.push(name, cost?);
    }
    Ok(figures)
}

/// Builds the program, alone: what other packages of the workspace ask of wq is not to count.
fn build(root: &Path) -> Outcome<PathBuf> {
    let built = Cmd::cargo("build --profile counts -p wq-counts --target-dir")
        .arg(root.join(FOLDER).to_string_lossy())
        .arg("--message-format=json-render-diagnostics")
        // The clock of the samples stands still; see `sample` in wq-core/src/run.rs.
        .env("RUSTFLAGS", "--cfg wq_counts")
        .dir(root)
        .capture(BUILD_LIMIT)?;
    if !built.success {
        return Err(Failure::new(built.stderr));
    }
    loom::executable(&built.stdout).ok_or_else(|| Failure::new("cargo named no program"))
}

/// What the program's list says: the number of operations, and the names of the cases.
fn listing(text: &str) -> Option<(f64, Vec<String>)> {
    let mut lines = text.lines();
    let times = lines.next()?.parse().ok()?;
    let names = lines.filter_map(|line| line.split(' ').next());
    let names: Vec<String> = names.map(str::to_owned).collect();
    (!names.is_empty()).then_some((times, names))
}

/// Runs one case under valgrind: what one of its operations costs.
fn count_case(program: &Path, folder: &Path, name: &str, times: f64) -> Outcome<Cost> {
    let out = folder.join(name);
    let ran = Cmd::new("valgrind")
        .words(CALLGRIND)
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program.to_string_lossy())
        .arg(name)
        .capture(CASE_LIMIT)?;
    if !ran.success {
        return Err(case_failed(name, &ran));
    }
    let [few, many] = DUMPS.map(|dump| read_dump(folder, name, dump, program));
    Ok(Cost::of(&few?, &many?, times))
}

/// The failure of a case under valgrind.
fn case_failed(name: &str, ran: &Captured) -> Failure {
    let why = if ran.timed_out {
        "did not end in time"
    } else {
        "failed"
    };
    Failure::new(format!(
        "case `{name}` {why} under valgrind:\n{}",
        ran.stderr
    ))
}

/// The profile of the thread that was marked; the other threads have files of their own, or none.
fn read_dump(folder: &Path, name: &str, dump: u32, program: &Path) -> Outcome<Profile> {
    let prefix = format!("{name}.{dump}-");
    let entries = fs::read_dir(folder).map_err(|error| Failure::io(folder.display(), &error))?;
    let ours = entries.flatten().map(|entry| entry.path()).filter(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(&prefix)
    });
    let mut marked = ours
        .filter_map(|path| fs::read_to_string(path).ok())
        .filter(|text| text.contains("counting_begins"));
    let text = marked
        .next()
        .ok_or_else(|| Failure::new(format!("case `{name}` has no mark in dump {dump}")))?;
    if marked.next().is_some() {
        return Err(Failure::new(format!(
            "case `{name}`: two threads are marked in dump {dump}"
        )));
    }
    Ok(Profile::parse(&text, &program.to_string_lossy()))
}

/// The compiler's version and the architecture that it builds for, as a file's name.
fn committed_path(root: &Path) -> Outcome<PathBuf> {
    let told = Cmd::new("rustc").words("-vV").capture(ASK_LIMIT)?.stdout;
    let key = key_of(&told).ok_or_else(|| Failure::new("rustc does not tell its version"))?;
    Ok(root.join(FIGURES).join(format!("{key}.txt")))
}

/// The same, from what `rustc -vV` says.
fn key_of(told: &str) -> Option<String> {
    let value = |name| told.lines().find_map(|line| line.strip_prefix(name));
    let architecture = value("host: ")?.split('-').next()?;
    Some(format!("{}-{architecture}", value("release: ")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file is named after version and architecture, which decide what is compiled.
    #[test]
    fn figures_are_those_of_a_compiler() {
        let told = "rustc 1.95.0 (5 2026)\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n";
        assert_eq!(key_of(told).as_deref(), Some("1.95.0-x86_64"));
        assert_eq!(key_of("rustc 1.95.0"), None);
    }

    /// The list begins with a number; each line behind it with a name.
    #[test]
    fn the_list_is_read() {
        let names = vec!["spawn".to_owned(), "run".to_owned()];
        assert_eq!(listing("9\nspawn a b\nrun c\n"), Some((9.0, names)));
        assert_eq!(listing("9\n"), None);
        assert_eq!(listing(""), None);
    }
}
