//! The result as a picture: for each case a bar for each runtime, on a logarithmic axis of "times
//! better than the base". Bars to the right are better; wq's stand out.

use super::axis::{Axis, WIDTH, escape};
use super::result::{CaseResult, Report, Row};
use super::stats::Ratio;
use super::table::number;
use crate::group::Group;
use crate::runtime_id::RuntimeId;

/// Where the axis begins; names stand to the left.
const LEFT: f64 = 320.0;
/// Room for the figures at the right.
const RIGHT: f64 = 110.0;
/// Height of a bar with its gap.
const STEP: f64 = 16.0;
/// Height of a bar.
const BAR: f64 = 11.0;
/// Room above the first group.
const TOP: f64 = 84.0;
/// Room that a group's heading takes.
const GROUP: f64 = 34.0;
/// Gap between cases.
const GAP: f64 = 8.0;
/// The look of each kind of mark; a background of its own keeps it readable on a dark page.
const STYLE: &str = "\
text{font-family:system-ui,'DejaVu Sans',sans-serif;font-size:12px;fill:#1f2933}\
.title{font-size:17px;font-weight:600}.note{fill:#52606d}.group{font-size:13px;font-weight:600}\
.end{text-anchor:end}.mid{text-anchor:middle}.small{font-size:11px;fill:#7b8794}\
.grid{stroke:#e4e7eb}.one{stroke:#1f2933;stroke-width:1.5}.whisker{stroke:#1f2933}\
.peer{fill:#9fb3c8}.wq{fill:#e8590c}.ours{font-weight:600}";

/// A bar to be drawn.
struct Bar<'a> {
    /// The row it shows.
    row: &'a Row,
    /// Its length, with bounds.
    ratio: Ratio,
}

/// Renders the ratios of the whole report; cases without a base are left out.
pub(crate) fn render(report: &Report) -> String {
    let all = report.cases.iter().flat_map(|case| bars(report, case));
    let axis = Axis::around(LEFT, WIDTH - RIGHT, all.map(|bar| bar.ratio));
    let mut marks = String::new();
    let mut y = TOP;
    for group in Group::ALL {
        let in_group = report.cases.iter().filter(|case| case.case.group == *group);
        let cases: Vec<_> = in_group.map(|case| (case, bars(report, case))).collect();
        if cases.iter().all(|(_, bars)| bars.is_empty()) {
            continue;
        }
        y += GROUP;
        let about = escape(&format!("{}: {}", group.name(), group.about()));
        marks += &format!(
            "<text class=\"group\" x=\"16\" y=\"{}\">{about}</text>\n",
            y - 10.0
        );
        for (case, bars) in cases.iter().filter(|(_, bars)| !bars.is_empty()) {
            marks += &case_marks(case, bars, &axis, &mut y);
        }
    }
    let height = y + 26.0;
    let grid = axis.grid(TOP + 4.0, y);
    let head = heading(report, height);
    format!("{head}{grid}{marks}</svg>\n")
}

/// The rows of a case that have a ratio and are not the base itself.
fn bars<'a>(report: &Report, case: &'a CaseResult) -> Vec<Bar<'a>> {
    let rows = case.rows.iter().filter(|row| row.runtime != report.base);
    let bar = |row: &'a Row| {
        let ratio = row.outcome.as_ref().ok()?.ratio?;
        Some(Bar { row, ratio })
    };
    rows.filter_map(bar).collect()
}

/// Opens the picture and says what it shows.
fn heading(report: &Report, height: f64) -> String {
    let machine = &report.machine;
    let place = format!(
        "{} x {}, Linux {}; median of {} rounds and its 95 % bounds, rounds in turns",
        machine.cpus, machine.model, machine.kernel, report.rounds
    );
    let title = format!("Times better than {}", report.base);
    let how = "Bars to the right of 1 are better, logarithmic. Operations compare time, \
               lateness compares p99.";
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text class=\"title\" x=\"16\" y=\"28\">{title}</text>\n\
         <text class=\"note\" x=\"16\" y=\"48\">{how}</text>\n\
         <text class=\"note\" x=\"16\" y=\"66\">{place}</text>\n",
        title = escape(&title),
        place = escape(&place),
    )
}

/// The marks of one case; moves `y` below them.
fn case_marks(case: &CaseResult, bars: &[Bar<'_>], axis: &Axis, y: &mut f64) -> String {
    let mut marks = String::new();
    for (number, bar) in bars.iter().enumerate() {
        if number == 0 {
            let (name, base_line) = (escape(case.case.name), *y + BAR - 1.0);
            marks += &format!("<text x=\"16\" y=\"{base_line}\">{name}</text>\n");
        }
        marks += &bar_marks(bar, axis, *y);
        *y += STEP;
    }
    *y += GAP;
    marks
}

/// One bar: the runtime's name, the bar, its bounds, its figure.
fn bar_marks(bar: &Bar<'_>, axis: &Axis, y: f64) -> String {
    let Bar { row, ratio } = bar;
    let (one, end) = (axis.x(1.0), axis.x(ratio.median));
    let (low, high) = (axis.x(ratio.low), axis.x(ratio.high));
    let (from, width) = (one.min(end), (end - one).abs().max(1.0));
    let (fill, weight) = if row.runtime.is_ours() {
        ("wq", "ours")
    } else {
        ("peer", "")
    };
    let (middle, text_y) = (y + BAR / 2.0, y + BAR - 1.0);
    let label = high.max(end).max(one) + 6.0;
    format!(
        "<text class=\"end {weight}\" x=\"{}\" y=\"{text_y}\">{}</text>\n\
         <rect class=\"{fill}\" x=\"{from:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\"/>\n\
         <path class=\"whisker\" d=\"M{low:.1} {middle}H{high:.1}\"/>\n\
         <text class=\"{weight}\" x=\"{label:.1}\" y=\"{text_y}\">{}x</text>\n",
        LEFT - 8.0,
        escape(row.runtime.name()),
        number(ratio.median),
    )
}

impl RuntimeId {
    /// Whether the runtime is wq, whose rows stand out.
    pub(crate) fn is_ours(self) -> bool {
        self.name().starts_with("wq")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::result::tests::sample;
    use super::*;

    /// Walks the tags: each that opens closes, in order, and no loose `<` or `&` is left.
    pub(crate) fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        for piece in svg.split('<').skip(1) {
            let (tag, text) = piece.split_once('>').expect("each tag ends");
            assert_eq!(tag.matches('"').count() % 2, 0, "quotes pair up in <{tag}>");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "</{name}> closes the last opened");
            } else if !tag.ends_with('/') {
                open.push(tag.split(' ').next().expect("a tag has a name"));
            }
            for entity in text.split('&').skip(1) {
                let known = ["amp;", "lt;", "gt;", "quot;"];
                assert!(
                    known.iter().any(|name| entity.starts_with(name)),
                    "loose & in {text}"
                );
            }
        }
        assert!(open.is_empty(), "left open: {open:?}");
    }

    /// The picture is well-formed XML even with an awkward CPU name, and shows each ratio once.
    #[test]
    fn picture_is_well_formed_and_complete() {
        let svg = render(&sample());
        assert_well_formed(&svg);
        assert!(svg.contains("Test &amp; Sons &lt;CPU&gt;"));
        // tokio-ct, async-executor and tokio-mt-blocking; neither base, failed nor floor rows.
        assert_eq!(svg.matches("<rect class=").count(), 3);
        assert!(svg.contains(">2.00x<") && svg.contains(">0.25x<"));
    }
}
