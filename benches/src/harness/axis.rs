//! The logarithmic axis of pictures of ratios: doubling and halving are equally far from 1.

use super::stats::Ratio;

/// Width of a picture.
pub(super) const WIDTH: f64 = 920.0;
/// Ratios at which an axis may have lines.
const TICKS: [f64; 15] = [
    0.01, 0.03, 0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 1e4, 1e5,
];
/// Labels whose middles are nearer than this would touch.
const LABEL: f64 = 34.0;

/// An axis.
#[derive(Debug)]
pub(super) struct Axis {
    /// Where it begins.
    left: f64,
    /// Where it ends.
    right: f64,
    /// Logarithm of the ratio at the left end.
    from: f64,
    /// Logarithm of the ratio at the right end.
    to: f64,
}

impl Axis {
    /// One between two places that holds all bounds and the neighbourhood of 1.
    pub(super) fn around(left: f64, right: f64, ratios: impl Iterator<Item = Ratio>) -> Self {
        let (mut from, mut to) = (0.5_f64.ln(), 2.0_f64.ln());
        for ratio in ratios {
            from = from.min(ratio.low.ln());
            to = to.max(ratio.high.ln());
        }
        let margin = (to - from) * 0.03;
        Self {
            left,
            right,
            from: from - margin,
            to: to + margin,
        }
    }

    /// Where a ratio stands.
    pub(super) fn x(&self, ratio: f64) -> f64 {
        let share = (ratio.ln() - self.from) / (self.to - self.from);
        self.left + share * (self.right - self.left)
    }

    /// Lines from top to bottom with their ratios below; the one at 1 is bold.
    pub(super) fn grid(&self, top: f64, bottom: f64) -> String {
        let line = |tick: f64| {
            let (x, label) = (self.x(tick), bottom + 16.0);
            let class = if tick == 1.0 { "one" } else { "grid" };
            format!(
                "<path class=\"{class}\" d=\"M{x:.1} {top}V{bottom}\"/>\
                 <text class=\"small mid\" x=\"{x:.1}\" y=\"{label}\">{tick}x</text>\n"
            )
        };
        self.ticks().into_iter().map(line).collect()
    }

    /// The ratios that have a line. The one at 1 always has; others whose label would touch its
    /// label, or the one to their left, have none.
    fn ticks(&self) -> Vec<f64> {
        let mut ticks: Vec<f64> = Vec::new();
        for tick in TICKS {
            let is_inside = (self.from..=self.to).contains(&tick.ln());
            let touches = |other: f64| (self.x(tick) - self.x(other)).abs() < LABEL;
            let is_hidden = touches(1.0) || ticks.last().is_some_and(|last| touches(*last));
            if is_inside && (tick == 1.0 || !is_hidden) {
                ticks.push(tick);
            }
        }
        ticks
    }
}

/// Makes text safe between tags and in attributes.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An axis of the page's width that reaches to these ratios.
    fn reaching(low: f64, high: f64) -> Axis {
        let median = 1.0;
        Axis::around(200.0, 730.0, [Ratio { median, low, high }].into_iter())
    }

    /// Better is to the right of 1, on a scale where doubling and halving are equally far; the
    /// ends are inside.
    #[test]
    fn the_axis_is_logarithmic() {
        let axis = reaching(0.5, 2.0);
        let (half, one, two) = (axis.x(0.5), axis.x(1.0), axis.x(2.0));
        assert!((two - one - (one - half)).abs() < 1e-9 && half < one);
        assert!(200.0 < half && two < 730.0);
        assert_eq!(axis.ticks(), [0.5, 1.0, 2.0]);
    }

    /// However wide the axis is, 1 has its label, and no two labels touch.
    #[test]
    fn labels_do_not_touch() {
        for low in [0.001, 0.1, 0.9] {
            for high in [1.1, 40.0, 5e3, 1e5] {
                let axis = reaching(low, high);
                let ticks = axis.ticks();
                assert!(ticks.contains(&1.0), "{low} to {high}: {ticks:?}");
                let are_apart = |pair: &[f64]| axis.x(pair[1]) - axis.x(pair[0]) >= LABEL;
                assert!(
                    ticks.windows(2).all(are_apart),
                    "{low} to {high}: {ticks:?}"
                );
            }
        }
    }
}
