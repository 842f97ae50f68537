//! The picture of a group: a dot for each case, at how many times better wq is, with its bounds.
//!
//! What is left of 1 is lost. A background of its own keeps the picture readable on a dark page.

use super::super::axis::{Axis, WIDTH, escape};
use super::super::stats::Ratio;
use super::super::table::number;
use super::kept::{Duel, Kept};
use crate::group::Group;
use crate::runtime_id::RuntimeId;

/// Where the axis begins; names stand to the left.
const LEFT: f64 = 200.0;
/// Room for the figures at the right.
const RIGHT: f64 = 190.0;
/// Height of a case.
const STEP: f64 = 30.0;
/// How far tokio's dot is above the middle of its case, and the best peer's below.
const APART: f64 = 6.0;
/// Room above the first case.
const TOP: f64 = 78.0;
/// Radius of a dot.
const DOT: f64 = 4.0;
/// The look of each kind of mark.
const STYLE: &str = "\
text{font-family:system-ui,'DejaVu Sans',sans-serif;font-size:12px;fill:#1f2933}\
.title{font-size:17px;font-weight:600}.note{fill:#52606d}\
.end{text-anchor:end}.mid{text-anchor:middle}.small{font-size:11px;fill:#52606d}\
.grid{stroke:#e4e7eb}.one{stroke:#1f2933;stroke-width:1.5}\
.tokio{stroke:#0072b2;fill:#0072b2;stroke-width:1.5}\
.best{stroke:#d55e00;fill:#ffffff;stroke-width:1.5}\
.lost{font-weight:600;fill:#b00020}";

/// The dots of a case.
struct Line<'a> {
    /// Its name.
    name: &'a str,
    /// Against tokio.
    tokio: Option<Duel<'a>>,
    /// Against the best peer, where that is another one.
    best: Option<Duel<'a>>,
}

impl Line<'_> {
    /// The ratios on it.
    fn ratios(&self) -> impl Iterator<Item = Ratio> {
        let duels = self.tokio.iter().chain(&self.best);
        duels.map(|duel| duel.ratio)
    }
}

/// Renders a group; nothing where nothing is compared.
pub(super) fn render(group: Group, cases: &[&Kept]) -> Option<String> {
    let lines: Vec<Line<'_>> = cases.iter().filter_map(|case| line_of(case)).collect();
    if lines.is_empty() {
        return None;
    }
    let axis = Axis::around(LEFT, WIDTH - RIGHT, lines.iter().flat_map(Line::ratios));
    let bottom = TOP + STEP * lines.len() as f64;
    let mut marks = axis.grid(TOP - 8.0, bottom);
    for (place, line) in lines.iter().enumerate() {
        marks += &line_marks(line, &axis, TOP + STEP * (place as f64 + 0.5));
    }
    Some(heading(group, bottom + 30.0) + &marks + "</svg>\n")
}

/// The dots of wq's default row.
fn line_of(case: &Kept) -> Option<Line<'_>> {
    let row = case.row(RuntimeId::Wq)?;
    let best = case.beside_best(row);
    let line = Line {
        name: case.case.name,
        tokio: case.beside_tokio(row),
        best: best.filter(|duel| duel.peer.runtime != RuntimeId::TokioMt),
    };
    let is_compared = line.tokio.is_some() || line.best.is_some();
    is_compared.then_some(line)
}

/// Opens the picture and says what it shows.
fn heading(group: Group, height: f64) -> String {
    let title = escape(&format!("{}: {}", group.name(), group.about()));
    let what = if group.is_about_lateness() {
        "p99 lateness"
    } else {
        "time for each operation"
    };
    let (dot, ring) = (18.0, 330.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text class=\"title\" x=\"16\" y=\"28\">{title}</text>\n\
         <circle class=\"tokio\" cx=\"{dot}\" cy=\"45\" r=\"{DOT}\"/>\
         <text class=\"note\" x=\"{}\" y=\"49\">wq times better than tokio multi_thread</text>\n\
         <circle class=\"best\" cx=\"{ring}\" cy=\"45\" r=\"{DOT}\"/>\
         <text class=\"note\" x=\"{}\" y=\"49\">than the best peer, if that is another one; \
         by {what}, with 95 % bounds</text>\n",
        dot + 10.0,
        ring + 10.0,
    )
}

/// The marks of a case around a height.
fn line_marks(line: &Line<'_>, axis: &Axis, y: f64) -> String {
    let mut marks = format!(
        "<text class=\"end\" x=\"{}\" y=\"{}\">{}</text>\n",
        LEFT - 12.0,
        y + 4.0,
        escape(line.name)
    );
    let dots = [("tokio", &line.tokio, -APART), ("best", &line.best, APART)];
    let are_two = line.ratios().count() == 2;
    for (class, duel, apart) in dots {
        if let Some(duel) = duel {
            let y = if are_two { y + apart } else { y };
            marks += &dot_marks(class, duel, axis, y);
        }
    }
    marks
}

/// A dot with its bounds and its figure.
fn dot_marks(class: &str, duel: &Duel<'_>, axis: &Axis, y: f64) -> String {
    let Ratio { median, low, high } = duel.ratio;
    let (x, from, to) = (axis.x(median), axis.x(low), axis.x(high));
    let (lost, word) = if duel.is_lost() {
        ("lost", " lost")
    } else if duel.is_won() {
        ("", "")
    } else {
        ("", " level")
    };
    let whom = if class == "best" {
        format!(" {}", duel.peer.runtime)
    } else {
        String::new()
    };
    format!(
        "<path class=\"{class}\" d=\"M{from:.1} {y:.1}H{to:.1}\"/>\
         <circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{DOT}\"/>\
         <text class=\"small {lost}\" x=\"{}\" y=\"{:.1}\">{}x{whom}{word}</text>\n",
        WIDTH - RIGHT + 14.0,
        y + 4.0,
        number(median),
    )
}
