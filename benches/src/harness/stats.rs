//! Medians, quartiles and the bootstrap; pure functions of the rounds.

use super::random::XorShift;

/// Seed of every bootstrap; arbitrary, odd, and fixed so that figures never change.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
/// Resamples of a bootstrap.
const RESAMPLES: usize = 2000;
/// Share of the resamples outside the bounds, on each side.
const TAIL: f64 = 0.025;

/// Middle and spread of a row's rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// Half of the rounds are below.
    pub(crate) median: f64,
    /// A quarter of the rounds is below.
    pub(crate) lower_quartile: f64,
    /// Three quarters of the rounds are below.
    pub(crate) upper_quartile: f64,
    /// Smallest round.
    pub(crate) min: f64,
    /// Largest round.
    pub(crate) max: f64,
}

/// How many times better than the base a row is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    /// Median of the ratios by round.
    pub(crate) median: f64,
    /// Lower 95 % bound.
    pub(crate) low: f64,
    /// Upper 95 % bound.
    pub(crate) high: f64,
}

impl Spread {
    /// Summarises at least one value.
    pub(crate) fn of(values: &[f64]) -> Self {
        let sorted = sorted(values);
        Self {
            median: quantile(&sorted, 0.5),
            lower_quartile: quantile(&sorted, 0.25),
            upper_quartile: quantile(&sorted, 0.75),
            min: sorted[0],
            max: sorted[sorted.len() - 1],
        }
    }

    /// The distance of the quartiles as a share of the median.
    pub(crate) fn relative_iqr(&self) -> f64 {
        (self.upper_quartile - self.lower_quartile) / self.median
    }
}

impl Ratio {
    /// Pairs the rounds of base and row: what both met at the same minute cancels out. The bounds
    /// are the percentile bootstrap of the median.
    pub(crate) fn paired(base: &[f64], row: &[f64]) -> Self {
        let ratios: Vec<f64> = base.iter().zip(row).map(|(base, row)| base / row).collect();
        let (low, high) = bootstrap_median(&ratios);
        Self {
            median: quantile(&sorted(&ratios), 0.5),
            low,
            high,
        }
    }
}

/// 95 % bounds of the median of at least one value; always the same for the same values.
fn bootstrap_median(values: &[f64]) -> (f64, f64) {
    let mut random = XorShift::new(SEED);
    let resample = |_| {
        let drawn: Vec<f64> = values
            .iter()
            .map(|_| values[random.below(values.len())])
            .collect();
        quantile(&sorted(&drawn), 0.5)
    };
    let medians = sorted(&(0..RESAMPLES).map(resample).collect::<Vec<_>>());
    (quantile(&medians, TAIL), quantile(&medians, 1.0 - TAIL))
}

/// The value below which `share` of the sorted values lie, interpolated.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    let weight = place - place.floor();
    // Not `a + w * (b - a)`: that is not exact when both are the same infinity.
    if below == above {
        sorted[below]
    } else {
        sorted[below] * (1.0 - weight) + sorted[above] * weight
    }
}

/// The values in ascending order.
fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quartiles of a known row, interpolated between neighbours.
    #[test]
    fn spread_of_known_values() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.5, 4.0));
        assert_eq!((spread.lower_quartile, spread.upper_quartile), (1.75, 3.25));
        assert_eq!(spread.relative_iqr(), 0.6);
        assert_eq!(Spread::of(&[7.0]).median, 7.0);
    }

    /// A constant ratio has no spread, whatever the rounds do together.
    #[test]
    fn pairing_cancels_what_both_met() {
        let row = [1.0, 10.0, 3.0, 200.0, 5.0];
        let base = row.map(|value| 2.0 * value);
        let ratio = Ratio::paired(&base, &row);
        assert_eq!((ratio.low, ratio.median, ratio.high), (2.0, 2.0, 2.0));
    }

    /// For 1..=99 the median's 95 % bounds from order statistics are the values 40 and 60.
    #[test]
    fn bootstrap_agrees_with_order_statistics() {
        let values: Vec<f64> = (1..=99).map(f64::from).collect();
        let (low, high) = bootstrap_median(&values);
        assert!((38.0..=43.0).contains(&low), "{low}");
        assert!((57.0..=62.0).contains(&high), "{high}");
        assert_eq!(
            bootstrap_median(&values),
            (low, high),
            "the same data, the same bounds"
        );
    }

    /// A single wild round moves neither the median nor the lower bound.
    #[test]
    fn one_wild_round_decides_nothing() {
        let mut base = vec![2.0; 15];
        base[7] = 1000.0;
        let ratio = Ratio::paired(&base, &[1.0; 15]);
        assert_eq!((ratio.low, ratio.median, ratio.high), (2.0, 2.0, 2.0));
    }
}
