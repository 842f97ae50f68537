//! The tables of the page.

use std::fmt::Write;

use super::super::stats::Ratio;
use super::super::table::number;
use super::kept::{Duel, Figures, Kept, of_group};
use crate::case::Case;
use crate::group::Group;
use crate::runtime_id::RuntimeId;

/// ns in a microsecond.
const US: f64 = 1e3;

/// Head of a table of operations.
const OPERATIONS: &str = "\
| case | wq ns/op | tokio ns/op | times better [95 %] | best peer, ns/op | times better [95 %] | \
CPU ns/op: wq, tokio | what |\n|---|--:|--:|---|---|---|---|---|\n";

/// Head of a table of lateness.
const LATENESS: &str = "\
| case | wq p50, p99, p99.9 us | tokio p99 us | times better [95 %] | best peer, p99 us | \
times better [95 %] | others done, x tokio | CPUs: wq, tokio | what |\n\
|---|---|--:|---|---|---|--:|---|---|\n";

/// Head of the table without runtimes.
const FLOOR: &str = "| case | ns/op | CPU ns/op | what |\n|---|--:|--:|---|\n";

/// Head of the table of losses.
const LOSSES: &str = "\
| family | case | against | theirs | wq | times better [95 %] |\n|---|---|---|--:|--:|---|\n";

/// The table of a group.
pub(super) fn of_cases(group: Group, cases: &[&Kept]) -> String {
    let (head, line): (_, fn(&Kept, &Figures) -> String) = match group {
        Group::Floor => return floor(cases),
        _ if group.is_about_lateness() => (LATENESS, lateness_line),
        _ => (OPERATIONS, operations_line),
    };
    let rows = cases
        .iter()
        .flat_map(|case| case.ours().map(move |row| line(case, row)));
    head.to_owned() + &rows.collect::<String>()
}

/// The table without runtimes.
fn floor(cases: &[&Kept]) -> String {
    let mut text = FLOOR.to_owned();
    for (case, row) in cases
        .iter()
        .flat_map(|case| case.rows.iter().map(move |row| (case, row)))
    {
        let (name, summary) = (case.case.name, case.case.summary);
        let (figure, cpu) = (number(row.figure), number(row.cpu));
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(text, "| `{name}` | {figure} | {cpu} | {summary} |");
    }
    text
}

/// A line about operations.
fn operations_line(case: &Kept, row: &Figures) -> String {
    let (tokio, best) = (case.beside_tokio(row), case.beside_best(row));
    let theirs = tokio.map_or(String::new(), |duel| number(duel.peer.figure));
    let cpu = tokio.map_or(number(row.cpu), |duel| {
        format!("{}, {}", number(row.cpu), number(duel.peer.cpu))
    });
    format!(
        "| {} | {} | {theirs} | {} | {} | {} | {cpu} | {} |\n",
        name_of(case, row),
        number(row.figure),
        verdict(tokio),
        best_peer(best, 1.0),
        verdict(best),
        case.case.summary,
    )
}

/// A line about lateness.
fn lateness_line(case: &Kept, row: &Figures) -> String {
    let (tokio, best) = (case.beside_tokio(row), case.beside_best(row));
    let us = |ns: f64| number(ns / US);
    let theirs = tokio.map_or(String::new(), |duel| us(duel.peer.figure));
    let cpus = tokio.map_or(number(row.cpu), |duel| {
        format!("{}, {}", number(row.cpu), number(duel.peer.cpu))
    });
    let ours = row.lateness.map_or(us(row.figure), |late| {
        format!("{}, {}, {}", us(late.p50), us(row.figure), us(late.p999))
    });
    let others = row.lateness.and_then(|late| late.others);
    format!(
        "| {} | {ours} | {theirs} | {} | {} | {} | {} | {cpus} | {} |\n",
        name_of(case, row),
        verdict(tokio),
        best_peer(best, US),
        verdict(best),
        others.map_or(String::new(), number),
        case.case.summary,
    )
}

/// The case's name, and the row's where it is not the default one.
fn name_of(case: &Kept, row: &Figures) -> String {
    let name = case.case.name;
    if row.runtime == RuntimeId::Wq {
        format!("`{name}`")
    } else {
        format!("`{name}` on {}", row.runtime)
    }
}

/// The best peer's name and figure.
fn best_peer(best: Option<Duel<'_>>, unit: f64) -> String {
    best.map_or(String::new(), |duel| {
        format!("{} {}", duel.peer.runtime, number(duel.peer.figure / unit))
    })
}

/// The ratio of a duel with its bounds, and a word where it is no win.
fn verdict(duel: Option<Duel<'_>>) -> String {
    let Some(duel) = duel else {
        return String::new();
    };
    let ratio = bounds(duel.ratio);
    if duel.is_lost() {
        format!("**{ratio} loss**")
    } else if duel.is_won() {
        ratio
    } else {
        format!("{ratio} level")
    }
}

/// A ratio with its bounds.
fn bounds(ratio: Ratio) -> String {
    let Ratio { median, low, high } = ratio;
    format!("{} [{}, {}]", number(median), number(low), number(high))
}

/// How many cases are won, level and lost, and how many there are.
pub(super) fn balance(cases: &[Case], kept: &[Kept]) -> String {
    type Beside = for<'a> fn(&'a Kept, &Figures) -> Option<Duel<'a>>;
    type IsOne = fn(RuntimeId) -> bool;
    let against: [(&str, Beside, IsOne); 2] = [
        ("tokio `multi_thread`", Kept::beside_tokio, |id| {
            id == RuntimeId::TokioMt
        }),
        (
            "the best peer of each case",
            Kept::beside_best,
            RuntimeId::is_peer,
        ),
    ];
    let mut text = String::new();
    for (name, beside, is_one) in against {
        let duels: Vec<Duel<'_>> = default_rows(kept)
            .filter_map(|(case, row)| beside(case, row))
            .collect();
        let has_one = |case: &Case| {
            let mut ids = RuntimeId::ALL.iter().filter(|id| case.suits(**id));
            case.suits(RuntimeId::Wq) && ids.any(|id| is_one(*id))
        };
        let (compared, all) = (
            duels.len(),
            cases.iter().filter(|case| has_one(case)).count(),
        );
        let won = duels.iter().filter(|duel| duel.is_won()).count();
        let lost = duels.iter().filter(|duel| duel.is_lost()).count();
        let level = compared - won - lost;
        let _ = writeln!(
            text,
            "- Against {name}: {won} cases won, {level} level, {lost} lost; \
             {compared} of {all} are compared."
        );
    }
    text
}

/// The table of what is lost, to tokio or to the best peer.
pub(super) fn losses(kept: &[Kept]) -> String {
    let (mut lines, mut compared) = (String::new(), 0);
    for (case, row) in default_rows(kept) {
        let (tokio, best) = (case.beside_tokio(row), case.beside_best(row));
        let is_other = |duel: &Duel<'_>| duel.peer.runtime != RuntimeId::TokioMt;
        compared += usize::from(tokio.or(best).is_some());
        let duels = tokio.into_iter().chain(best.filter(is_other));
        for duel in duels.filter(Duel::is_lost) {
            lines += &loss_line(case, row, duel);
        }
    }
    if compared == 0 {
        return "Nothing is compared yet.\n".to_owned();
    }
    if lines.is_empty() {
        return format!("None of the {compared} cases that are compared is lost.\n");
    }
    LOSSES.to_owned() + &lines
}

/// A line of it.
fn loss_line(case: &Kept, row: &Figures, duel: Duel<'_>) -> String {
    let group = case.case.group;
    let figure = |row: &Figures| {
        if group.is_about_lateness() {
            format!("p99 {} us", number(row.figure / US))
        } else {
            format!("{} ns/op", number(row.figure))
        }
    };
    format!(
        "| {} | `{}` | {} | {} | {} | {} |\n",
        group.name(),
        case.case.name,
        duel.peer.runtime,
        figure(duel.peer),
        figure(row),
        bounds(duel.ratio),
    )
}

/// The cases with wq's default row.
fn default_rows(kept: &[Kept]) -> impl Iterator<Item = (&Kept, &Figures)> {
    let groups = Group::ALL.iter();
    let cases = groups.flat_map(move |group| of_group(kept, *group));
    cases.filter_map(|case| Some((case, case.row(RuntimeId::Wq)?)))
}

/// What a queue takes, from the memory of the cases with one and with most of them.
pub(super) fn memory_of_a_queue(cases: &[&Kept]) -> String {
    let memory = |name: &str, runtime| {
        let case = cases.iter().find(|case| case.case.name == name)?;
        Some(case.row(runtime)?.memory_kib * 1024.0)
    };
    let each = |runtime| {
        let (one, most) = (memory(ONE_QUEUE, runtime)?, memory(MOST_QUEUES, runtime)?);
        Some(format!("{runtime} {:.0}", (most - one) / (QUEUES - 1.0)))
    };
    let runtimes = [RuntimeId::Wq, RuntimeId::TokioMt, RuntimeId::Smol];
    let bytes: Vec<String> = runtimes.into_iter().filter_map(each).collect();
    if bytes.is_empty() {
        return String::new();
    }
    format!(
        "\nBytes for each ordered queue, from what the processes had resident at most with \
         {QUEUES:.0} and with one (elsewhere: a channel and its task): {}.\n",
        bytes.join(", ")
    )
}

/// The case with one queue.
const ONE_QUEUE: &str = "grow_1_queue";
/// The case with most queues.
const MOST_QUEUES: &str = "grow_100k_queues";
/// How many those are.
const QUEUES: f64 = 100_000.0;
