//! The page with everything that was measured: tables and pictures, the losses first.
//!
//! It is made from a folder of kept figures alone, so that it can be made again without measuring.

mod kept;
mod plot;
mod tables;

use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

use super::folder::Folder;
use super::naming;
use super::table::number;
use crate::case::Case;
use crate::group::Group;
use kept::{Figures, Kept, Setting, of_group};

/// What stands above all tables.
const HEAD: &str = "\
# Benchmarks\n\n\
wq beside tokio, async-executor and smol. This page and its pictures were made by one command, \
from the figures that stand beside it in `{name}`; it is not written by hand:\n\n\
```sh\ncargo bench -p wq-benches -- --record {folder}              # everything\n\
cargo bench -p wq-benches -- --record {folder} --minutes 7  # again and again, in pieces\n\
cargo bench -p wq-benches -- --record {folder} --minutes 0  # the page alone\n```\n\n\
What a case does, how rounds take turns, and what the words mean is told in \
[benches/README.md](../benches/README.md). \"Times better\" is the peer's figure divided by wq's \
in the same round: the median, and in brackets its 95 % bounds. It is a loss where both bounds are \
below 1, level where 1 lies between them. \"Best peer\" is the runtime that was the best in a case \
of all that are not wq, whichever it was, chosen afterwards: nobody can have all of them at once. \
Operations are compared by time, lateness by its 99th percentile.\n\n";

/// What the sign behind a revision means.
const CHANGED: &str =
    "\nA `+` behind a revision: it is not certain that no file but pages was changed.\n";

/// Whether a row that is kept has figures that the page can show.
pub(crate) fn has_figures(row: &Value) -> bool {
    Figures::read(row).is_some()
}

/// Makes the page `FOLDER.md` of kept cases, and a picture for each group in the folder.
pub(crate) fn write(cases: &'static [Case], folder: &Folder, values: &[Value]) -> io::Result<()> {
    let kept = Kept::all(cases, values);
    let mut text = head(cases, folder, &kept);
    for group in Group::ALL {
        let cases = of_group(&kept, *group);
        let picture = plot::render(*group, &cases);
        let path = folder.path().join(format!("{}.svg", group.name()));
        match &picture {
            Some(picture) => put(&path, picture)?,
            None => remove(&path)?,
        }
        if !cases.is_empty() {
            text += &section(*group, &cases, picture.is_some().then_some(folder.name()));
        }
    }
    text += &missing(&kept);
    put(&folder.page(), &text)
}

/// Writes a file and says so.
fn put(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text).map_err(|error| naming(path, &error))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// Removes what an earlier page showed and this one does not.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(naming(path, &error)),
        _ => Ok(()),
    }
}

/// What it is, where it was measured, what is not measured, and what was lost.
fn head(cases: &[Case], folder: &Folder, kept: &[Kept]) -> String {
    let text = HEAD.replace("{name}", folder.name());
    let mut text = text.replace("{folder}", folder.word()) + "## Where and when\n\n";
    for (place, (setting, cases)) in settings(kept).iter().enumerate() {
        text += &setting_line(setting, cases, place > 0);
    }
    if kept.iter().any(|case| case.setting.revision.ends_with('+')) {
        text += CHANGED;
    }
    let is_quick = |case: &Kept| case.setting.rounds.contains("quick");
    if kept.iter().any(is_quick) {
        text += "\n**Some of it is from `--quick` runs: a look, not a measurement.**\n";
    }
    text + &unmeasured(cases, kept)
        + "\n## Won and lost\n\n"
        + &tables::balance(cases, kept)
        + "\n## Losses\n\n"
        + &tables::losses(kept)
}

/// The different settings with their cases; first the one that most cases have.
fn settings(kept: &[Kept]) -> Vec<(&Setting, Vec<&Kept>)> {
    let mut found: Vec<(&Setting, Vec<&Kept>)> = Vec::new();
    for case in kept {
        match found.iter_mut().find(|(known, _)| **known == case.setting) {
            Some((_, cases)) => cases.push(case),
            None => found.push((&case.setting, vec![case])),
        }
    }
    found.sort_by_key(|(_, cases)| std::cmp::Reverse(cases.len()));
    found
}

/// A setting, how many cases have it, and which if they are to be named.
fn setting_line(setting: &Setting, cases: &[&Kept], are_named: bool) -> String {
    let names = match are_named {
        true => format!(": {}", names(cases.iter().map(|kept| kept.case))),
        false => String::new(),
    };
    let loads = || cases.iter().filter_map(|kept| kept.load);
    let lowest = loads().min_by(f64::total_cmp);
    let load = lowest.zip(loads().max_by(f64::total_cmp));
    let load = load.map_or(String::new(), |(low, high)| {
        let (low, high) = (number(low), number(high));
        format!("; load average as cases began, that of the case before among it: {low} to {high}")
    });
    format!("- {setting}{load}; {} cases{names}.\n", cases.len())
}

/// The cases that nothing is kept of; nothing if there are none.
fn unmeasured(cases: &[Case], kept: &[Kept]) -> String {
    let is_kept = |case: &&Case| kept.iter().any(|kept| kept.case.name == case.name);
    let missing: Vec<&Case> = cases.iter().filter(|case| !is_kept(case)).collect();
    if missing.is_empty() {
        return String::new();
    }
    let line = |group: &Group| {
        let cases = missing.iter().filter(|case| case.group == *group);
        let names = names(cases.copied());
        (!names.is_empty()).then(|| format!("- {}: {names}\n", group.name()))
    };
    let lines: String = Group::ALL.iter().filter_map(line).collect();
    let (count, all) = (missing.len(), cases.len());
    format!("\n**Not measured yet: {count} of {all} cases.**\n\n{lines}")
}

/// The names of cases.
fn names<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    let names: Vec<String> = cases.map(|case| format!("`{}`", case.name)).collect();
    names.join(", ")
}

/// A group's table, and its picture if there is one.
fn section(group: Group, cases: &[&Kept], pictures: Option<&str>) -> String {
    let (name, about) = (group.name(), group.about());
    let picture = pictures.map_or(String::new(), |folder| {
        format!("![How many times better wq is: {about}]({folder}/{name}.svg)\n\n")
    });
    let table = tables::of_cases(group, cases);
    let more = match group {
        Group::Growth => tables::memory_of_a_queue(cases),
        _ => String::new(),
    };
    format!("\n## {name}: {about}\n\n{picture}{table}{more}")
}

/// Rows without figures; nothing if there are none.
fn missing(kept: &[Kept]) -> String {
    let rows = kept.iter().flat_map(|case| {
        let name = case.case.name;
        let line =
            move |(runtime, why): &(String, String)| format!("- `{name}` on {runtime}: {why}\n");
        case.missing.iter().map(line)
    });
    let lines: String = rows.collect();
    if lines.is_empty() {
        return lines;
    }
    format!("\n## Without figures\n\n{lines}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::folder::tests::scratch;
    use super::super::record::tests::kept_sample;
    use super::super::svg::tests::assert_well_formed;
    use super::*;
    use crate::case::tests::SOME;

    /// The head of a page of these cases.
    fn head_of(values: &[Value]) -> String {
        head(SOME, &scratch("head"), &Kept::all(SOME, values))
    }

    /// Checks that a text has all of these.
    fn assert_has(text: &str, all: &[&str]) {
        for words in all {
            assert!(text.contains(words), "no `{words}` in\n{text}");
        }
    }

    /// Tables, picture, losses and what has no figures: all of it from the kept figures alone.
    #[test]
    fn the_page_has_what_was_kept() {
        let kept = Kept::all(SOME, &kept_sample());
        let text = head_of(&kept_sample()) + &missing(&kept);
        assert_has(
            &text,
            &[
                "2 x Test & Sons <CPU>, Linux 6.0",
                "a look, not a measurement",
                "1 cases won, 0 level, 1 lost; 2 of 12 are compared",
                "| tokio | `yield_many` | tokio-ct | 50.0 ns/op | 410 ns/op | 0.12 [0.12, 0.12] |",
                "| tokio | `yield_many` | tokio-mt | 100 ns/op | 410 ns/op | 0.25 [",
                "- `yield_many` on smol: the child ended early",
            ],
        );
        let operations = of_group(&kept, Group::Tokio);
        let table = section(Group::Tokio, &operations, Some("figures"));
        assert_has(
            &table,
            &["| `yield_many` | 410 | 100 | **0.25 [", "figures/tokio.svg"],
        );
        let late = of_group(&kept, Group::Sensing);
        let table = section(Group::Sensing, &late, None);
        assert_has(&table, &["| `naps_k8` | 10.0, 110, 330 | 410000 | 4000 ["]);
        for (group, cases, dots) in [(Group::Tokio, operations, 2), (Group::Sensing, late, 1)] {
            let picture = plot::render(group, &cases).expect("something is compared");
            assert_well_formed(&picture);
            // The legend has two of them.
            assert_eq!(picture.matches("<circle").count(), 2 + dots, "{picture}");
        }
    }

    /// The page is beside its folder, its commands have the folder as it was written, and of a
    /// group without figures no older picture stays.
    #[test]
    fn files_are_those_of_the_page() {
        let folder = scratch("page");
        fs::create_dir_all(folder.path()).expect("the folder is made");
        let picture = |name: &str| folder.path().join(name);
        fs::write(picture("net.svg"), "an older one").expect("it is written");
        write(SOME, &folder, &kept_sample()).expect("the page is written");
        let page = fs::read_to_string(folder.page()).expect("the page is there");
        let (name, command) = (
            folder.name(),
            format!("--record {} --minutes 0", folder.word()),
        );
        assert_has(
            &page,
            &[
                &command,
                &format!("({name}/tokio.svg)"),
                &format!("in `{name}`;"),
            ],
        );
        assert!(picture("tokio.svg").exists() && !picture("net.svg").exists());
        fs::remove_dir_all(folder.path()).expect("the folder is this test's own");
        fs::remove_file(folder.page()).expect("the page is this test's own");
    }

    /// What is not measured has its name on the page, and nothing is called won or lost by it.
    #[test]
    fn what_is_not_measured_is_named() {
        let text = head_of(&kept_sample());
        let names = [
            "Not measured yet: 11 of 13 cases",
            "- tokio: `ping_pong`, `chained_spawn`\n",
        ];
        assert_has(&text, &names);
        assert!(!text.contains("- sensing: `naps_k2`, `naps_k8`"), "{text}");
        let text = head_of(&[]);
        assert_has(
            &text,
            &[
                "13 of 13 cases",
                "0 of 12 are compared",
                "Nothing is compared yet",
            ],
        );
        let won = head_of(&kept_sample()[1..]);
        assert_has(&won, &["None of the 1 cases that are compared is lost"]);
        // A row that failed has no duel: it is neither won nor lost, and not compared.
        let mut failed = kept_sample();
        failed[1]["rows"][1] = json!({ "runtime": "wq", "error": "it broke" });
        assert_has(
            &head_of(&failed),
            &["0 cases won, 0 level, 1 lost; 1 of 12"],
        );
    }

    /// The setting that most cases have comes first; the cases of every other one are named.
    #[test]
    fn cases_of_a_rare_setting_are_named() {
        let mut values = kept_sample();
        values.push(values[1].clone());
        values[2]["case"] = json!("naps_k2");
        values[0]["provenance"]["revision"] = json!("0ld+");
        values[0]["machine"]["load"] = json!(1.5);
        values[1]["machine"]["load"] = json!(0.25);
        let text = head_of(&values);
        let lines: Vec<_> = text.lines().filter(|line| line.contains("wq at")).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].ends_with("0.10 to 0.25; 2 cases."), "{text}");
        assert!(text.contains(CHANGED), "{text}");
        assert_has(
            lines[1],
            &["wq at `0ld+`", "1.50 to 1.50; 1 cases: `yield_many`."],
        );
    }
}
