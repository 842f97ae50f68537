//! The page with everything that was measured: tables and pictures, the losses first.
//!
//! It is made from a folder of kept figures alone, so that it can be made again without measuring.

mod kept;
mod plot;
mod tables;

use std::fs;
use std::io;
use std::path::Path;

use super::naming;
use super::record::Record;
use crate::case::Case;
use crate::group::Group;
use kept::{Kept, Setting, of_group};

/// What stands above all tables.
const HEAD: &str = "\
# Benchmarks\n\n\
wq beside tokio, async-executor and smol. This page and its pictures were made by one command, \
from the figures that stand beside it in `{folder}`; it is not written by hand:\n\n\
```sh\ncargo bench -p wq-benches -- --record docs/benchmarks              # everything\n\
cargo bench -p wq-benches -- --record docs/benchmarks --minutes 7  # again and again, in pieces\n\
cargo bench -p wq-benches -- --record docs/benchmarks --minutes 0  # the page alone\n```\n\n\
What a case does, how rounds take turns, and what the words mean is told in \
[benches/README.md](../benches/README.md). \"Times better\" is the peer's figure divided by wq's \
in the same round: the median, and in brackets its 95 % bounds. It is a loss where both bounds are \
below 1, level where 1 lies between them. \"Best peer\" is the runtime that was the best in a case \
of all that are not wq, whichever it was, chosen afterwards: nobody can have all of them at once. \
Operations are compared by time, lateness by its 99th percentile.\n\n";

/// Makes the page `FOLDER.md` and a picture for each group in the folder.
pub(crate) fn write(cases: &'static [Case], folder: &Path, record: &Record) -> io::Result<()> {
    let kept = Kept::all(cases, record.cases());
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let mut text = head(&name, &kept);
    for group in Group::ALL {
        let cases = of_group(&kept, *group);
        if cases.is_empty() {
            continue;
        }
        let picture = plot::render(*group, &cases);
        text += &section(*group, &cases, picture.is_some().then_some(&*name));
        if let Some(picture) = picture {
            put(&folder.join(format!("{}.svg", group.name())), &picture)?;
        }
    }
    text += &missing(&kept);
    put(&folder.with_extension("md"), &text)
}

/// Writes a file and says so.
fn put(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text).map_err(|error| naming(path, &error))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// What it is, where it was measured, and what was lost.
fn head(name: &str, kept: &[Kept]) -> String {
    let mut text = HEAD.replace("{folder}", name);
    text += "## Where and when\n\n";
    for (setting, cases) in settings(kept) {
        text += &format!("- {setting}: {cases} cases.\n");
    }
    if kept
        .iter()
        .any(|case| case.setting.rounds.contains("quick"))
    {
        text += "\n**Some of it is from `--quick` runs: a look, not a measurement.**\n";
    }
    text + "\n## Won and lost\n\n"
        + &tables::balance(kept)
        + "\n## Losses\n\n"
        + &tables::losses(kept)
}

/// The different settings, with how many cases each has.
fn settings(kept: &[Kept]) -> Vec<(&Setting, usize)> {
    let mut found: Vec<(&Setting, usize)> = Vec::new();
    for case in kept {
        match found.iter_mut().find(|(known, _)| **known == case.setting) {
            Some((_, cases)) => *cases += 1,
            None => found.push((&case.setting, 1)),
        }
    }
    found
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
        let line = move |(runtime, why)| format!("- `{name}` on {runtime}: {why}\n");
        case.missing.iter().map(|(id, why)| (*id, why)).map(line)
    });
    let lines: String = rows.collect();
    if lines.is_empty() {
        return lines;
    }
    format!("\n## Without figures\n\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::kept_sample;
    use super::super::svg::tests::assert_well_formed;
    use super::*;
    use crate::case::tests::SOME;

    /// Tables, picture, losses and what has no figures: all of it from the kept figures alone.
    #[test]
    fn the_page_has_what_was_kept() {
        let kept = Kept::all(SOME, &kept_sample());
        let text = head("figures", &kept) + &missing(&kept);
        for words in [
            "2 x Test & Sons <CPU>, Linux 6.0",
            "a look, not a measurement",
            "1 cases won, 0 level, 1 lost",
            "| tokio | `yield_many` | tokio-ct | 50.0 ns/op | 410 ns/op | 0.12 [0.12, 0.12] |",
            "| tokio | `yield_many` | tokio-mt | 100 ns/op | 410 ns/op | 0.25 [",
            "- `yield_many` on smol: the child ended early",
        ] {
            assert!(text.contains(words), "no `{words}` in\n{text}");
        }
        let operations = of_group(&kept, Group::Tokio);
        let table = section(Group::Tokio, &operations, Some("figures"));
        let line = "| `yield_many` | 410 | 100 | **0.25 [";
        assert!(
            table.contains(line) && table.contains("figures/tokio.svg"),
            "{table}"
        );
        let late = of_group(&kept, Group::Sensing);
        let table = section(Group::Sensing, &late, None);
        let line = "| `naps_k8` | 10.0, 110, 330 | 410000 | 4000 [";
        assert!(table.contains(line), "{table}");
        for (group, cases, dots) in [(Group::Tokio, operations, 2), (Group::Sensing, late, 1)] {
            let picture = plot::render(group, &cases).expect("something is compared");
            assert_well_formed(&picture);
            // The legend has two of them.
            assert_eq!(picture.matches("<circle").count(), 2 + dots, "{picture}");
        }
    }
}
