//! Percentiles, medians, and numbers at random.

use std::time::Duration;

/// The smallest of `sorted` that at least `per_mille` of them do not exceed; zero of none.
pub(super) fn percentile(sorted: &[Duration], per_mille: usize) -> Duration {
    let rank = (sorted.len() * per_mille).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The middle of a figure's values over rounds, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    /// `None` of no values.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let upper = values[values.len() / 2];
        let lower = values[(values.len() - 1) / 2];
        Some(Self { median: f64::midpoint(lower, upper), least, most })
    }
}

/// Numbers at random that cost next to nothing (`SplitMix64`); the same in every run.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..end`, each as likely as another.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let scaled = (u128::from(self.next()) * end as u128) >> 64;
        usize::try_from(scaled).unwrap_or_default()
    }

    /// The time until the next of events that come independently, `mean` apart.
    pub(super) fn gap(&mut self, mean: Duration) -> Duration {
        // 53 bits, as many as the number holds exactly; never 0, which has no logarithm.
        let uniform = ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        mean.mul_f64(-uniform.ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        for (per_mille, micros) in [(0, 1), (5, 1), (500, 100), (990, 198), (995, 199), (1000, 200)]
        {
            assert_eq!(percentile(&sorted, per_mille), Duration::from_micros(micros));
        }
        assert_eq!(percentile(&sorted[..1], 990), Duration::from_micros(1));
        assert_eq!(percentile(&[], 990), Duration::ZERO);
    }

    #[test]
    fn a_median_lies_in_the_middle() {
        let of = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(of(&[4.0, 1.0]), Some(Spread { median: 2.5, least: 1.0, most: 4.0 }));
    }

    #[test]
    fn random_numbers_keep_their_bounds_and_mean() {
        let mut random = Random::new(1);
        let mut seen = [0; 10];
        let mut total = Duration::ZERO;
        for _ in 0..10_000 {
            seen[random.below(10)] += 1;
            total += random.gap(Duration::from_micros(50));
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
        assert!((450..550).contains(&total.as_millis()), "{total:?}");
    }
}
