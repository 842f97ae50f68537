//! A plot of lateness distributions, written as SVG by hand: it is one picture of one kind.
//!
//! Across: lateness, logarithmic. Upwards: the share of beats that were at most so late,
//! stretched towards the top (90 %, 99 %, 99.9 % are equally far apart), because the tail is
//! what one looks for. A curve further left and steeper is better.

use std::fmt::{self, Write};
use std::time::Duration;

use super::heartbeat::Lateness;
use super::report::short;

/// The picture's size, in pixels.
const SIZE: (f64, f64) = (960.0, 572.0);

/// The plot's own rectangle within it: left, top, right, bottom.
const PLOT: (f64, f64, f64, f64) = (80.0, 60.0, 936.0, 390.0);

/// The least lateness shown, in powers of ten of a second.
const LEAST: i32 = -6;

/// The share at the top is 1 minus ten to the minus this.
const NINES: f64 = 4.0;

/// Colours that stay apart in print and for the colour-blind.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// One distribution.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What the legend calls it.
    pub name: String,
    /// Curves of one group have one colour.
    pub group: usize,
    /// Drawn with dashes, to tell the curves of a group apart.
    pub dashed: bool,
    /// What is plotted.
    pub lateness: Lateness,
}

/// The whole picture.
#[must_use]
pub fn plot(title: &str, curves: &[Curve]) -> String {
    let mut svg = String::new();
    let most = curves
        .iter()
        .map(|curve| exponent_above(curve.lateness.max()))
        .max();
    let axis = Axis {
        most: most.unwrap_or(0).max(LEAST + 1),
    };
    // Writing to a string cannot fail.
    let _ = draw(&mut svg, title, &axis, curves);
    svg
}

/// Where things are across.
struct Axis {
    /// The right end, in powers of ten of a second.
    most: i32,
}

impl Axis {
    /// Pixels from the left for a lateness.
    fn x(&self, lateness: Duration) -> f64 {
        let log = lateness.as_secs_f64().max(1e-12).log10();
        let share = (log - f64::from(LEAST)) / f64::from(self.most - LEAST);
        PLOT.0 + share.clamp(0.0, 1.0) * (PLOT.2 - PLOT.0)
    }
}

/// Pixels from the top for a share of beats.
fn y(share: f64) -> f64 {
    let nines = -(1.0 - share).max(1e-12).log10();
    PLOT.3 - (nines / NINES).clamp(0.0, 1.0) * (PLOT.3 - PLOT.1)
}

/// The power of ten of a second at or above a duration.
fn exponent_above(duration: Duration) -> i32 {
    duration.as_secs_f64().max(1e-9).log10().ceil() as i32
}

/// Draws all of it.
fn draw(svg: &mut String, title: &str, axis: &Axis, curves: &[Curve]) -> fmt::Result {
    let (width, height) = SIZE;
    writeln!(
        svg,
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' \
         width='{width}' height='{height}' font-family='sans-serif' font-size='14' fill='#222'>\n\
         <rect width='{width}' height='{height}' fill='white'/>\n\
         <text x='{}' y='30' font-size='18' text-anchor='middle'>{}</text>",
        width / 2.0,
        escape(title)
    )?;
    draw_grid(svg, axis)?;
    for curve in curves {
        draw_curve(svg, axis, curve)?;
    }
    for (row, curve) in curves.iter().enumerate() {
        draw_legend(svg, row, curve)?;
    }
    svg.write_str("</svg>\n")
}

/// Lines and numbers of both axes.
fn draw_grid(svg: &mut String, axis: &Axis) -> fmt::Result {
    let (left, top, right, bottom) = PLOT;
    for power in LEAST..=axis.most {
        let at = Duration::from_secs_f64(10f64.powi(power));
        let (x, label) = (axis.x(at), power_name(power));
        writeln!(
            svg,
            "<path d='M{x:.1} {top}V{bottom}' stroke='#ddd'/>\
             <text x='{x:.1}' y='{}' text-anchor='middle'>{label}</text>",
            bottom + 20.0
        )?;
    }
    for (share, label) in [
        (0.0, "0 %"),
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
    ] {
        let y = y(share);
        writeln!(
            svg,
            "<path d='M{left} {y:.1}H{right}' stroke='#ddd'/>\
             <text x='{}' y='{:.1}' text-anchor='end'>{label}</text>",
            left - 8.0,
            y + 5.0
        )?;
    }
    writeln!(
        svg,
        "<text x='{}' y='{}' text-anchor='middle'>beats at most so late (share, stretched upwards) \
         over lateness (logarithmic)</text>",
        (left + right) / 2.0,
        bottom + 42.0
    )
}

/// One curve, as steps: between two recorded values nothing was recorded.
fn draw_curve(svg: &mut String, axis: &Axis, curve: &Curve) -> fmt::Result {
    write!(
        svg,
        "<path fill='none' stroke-width='2' {} d='",
        stroke(curve)
    )?;
    let mut at = None;
    for (late, share) in curve.lateness.curve() {
        let (x, y) = (axis.x(late), y(share));
        match at {
            None => write!(svg, "M{x:.1} {:.1}V{y:.1}", PLOT.3)?,
            Some(_) => write!(svg, "H{x:.1}V{y:.1}")?,
        }
        at = Some(x);
    }
    writeln!(svg, "'/>")
}

/// One line of the legend, below the plot.
fn draw_legend(svg: &mut String, row: usize, curve: &Curve) -> fmt::Result {
    let y = PLOT.3 + 70.0 + 18.0 * row as f64;
    let [p50, p99] = [0.5, 0.99].map(|share| short(curve.lateness.quantile(share)));
    writeln!(
        svg,
        "<path d='M{} {:.1}h44' stroke-width='3' {}/>\
         <text x='{}' y='{y:.1}'>{}</text>\
         <text x='480' y='{y:.1}'>p50 {p50}, p99 {p99}, at most {}, {} beats</text>",
        PLOT.0,
        y - 5.0,
        stroke(curve),
        PLOT.0 + 56.0,
        escape(&curve.name),
        short(curve.lateness.max()),
        curve.lateness.beats()
    )
}

/// Colour and dashes of a curve.
fn stroke(curve: &Curve) -> String {
    let colour = COLOURS[curve.group % COLOURS.len()];
    let dashes = if curve.dashed {
        " stroke-dasharray='6 4'"
    } else {
        ""
    };
    format!("stroke='{colour}'{dashes}")
}

/// A power of ten of a second in the unit that fits it.
fn power_name(power: i32) -> String {
    let (below, unit) = match power {
        0.. => (0, "s"),
        -3..=-1 => (-3, "ms"),
        _ => (-6, "us"),
    };
    format!("{:.0} {unit}", 10f64.powi(power - below))
}

/// Text that XML does not misread.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A distribution of beats from 10 us to 20 ms.
    fn lateness() -> Lateness {
        let mut lateness = Lateness::default();
        (1..2000).for_each(|n| lateness.record(Duration::from_micros(10 * n)));
        lateness
    }

    /// Goal: better is further left and up. Method: places of known values.
    #[test]
    fn places_are_in_order() {
        let axis = Axis { most: 0 };
        let places = [0, 1, 1_000, 1_000_000, 9_000_000]
            .map(Duration::from_micros)
            .map(|d| axis.x(d));
        let middle = (PLOT.0 + PLOT.2) / 2.0;
        assert_eq!(places, [PLOT.0, PLOT.0, middle, PLOT.2, PLOT.2]);
        assert_eq!([y(0.0), y(1.0)], [PLOT.3, PLOT.1]);
        assert!((y(0.9) - y(0.99) - (y(0.99) - y(0.999))).abs() < 1e-6);
    }

    /// Goal: the picture holds every curve and stays well-formed. Method: a name with markup,
    /// balanced tags, the legend's figures.
    #[test]
    fn the_picture_names_every_curve() {
        let curve = |name: &str, dashed| Curve {
            name: name.into(),
            group: 0,
            dashed,
            lateness: lateness(),
        };
        let svg = plot("a < b & c", &[curve("one <1>", false), curve("two", true)]);
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("one &lt;1&gt;"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert_eq!(
            svg.matches("p99 19.8 ms").count() + svg.matches("p99 19.9 ms").count(),
            2
        );
        assert!(svg.contains("stroke-dasharray") && svg.ends_with("</svg>\n"));
        assert!(svg.contains(">100 ms<") && !svg.contains("NaN"));
    }

    /// Goal: nothing to plot is still a picture. Method: no curves, and one without beats.
    #[test]
    fn an_empty_record_is_no_error() {
        let empty = Curve {
            name: "none".into(),
            group: 9,
            dashed: false,
            lateness: Lateness::default(),
        };
        for svg in [plot("t", &[]), plot("t", &[empty])] {
            assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"));
        }
    }
}
