//! Intervals that hold a mean with 95 % confidence.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The 97.5 % quantile of the normal distribution.
pub(super) const Z: f64 = 1.959_963_984_540_054;

/// An interval, both ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Wilson's 95 % score interval of `k` successes in `n` trials, either of which may be an effective number; none without
/// trials.
///
/// `(k + z^2/2 ± z sqrt(k (n - k) / n + z^2/4)) / (n + z^2)` (Wilson 1927, JASA 22:209).
#[must_use]
pub fn wilson(k: f64, n: f64) -> Option<Interval> {
    wilson_at(k, n, Z)
}

/// Wilson's score interval for `z` standard errors.
#[must_use]
pub fn wilson_at(k: f64, n: f64, z: f64) -> Option<Interval> {
    if !(n > 0.0 && (0.0..=n).contains(&k)) {
        return None;
    }
    let centre = k + z * z / 2.0;
    let half = z * (k * (n - k) / n + z * z / 4.0).sqrt();
    let total = n + z * z;
    Some(Interval { low: ((centre - half) / total).max(0.0), high: ((centre + half) / total).min(1.0) })
}

/// The percentile bootstrap's 95 % interval of the mean; none without values, a point for a single one.
///
/// The 2.5 % and 97.5 % quantiles (linear interpolation) of the means of `resamples` samples drawn with replacement
/// (Efron 1979, Annals of Statistics 7:1). The same values and seed give the same interval, in whatever order the values
/// come. Time: `O(values * resamples)`.
#[must_use]
pub fn bootstrap_mean(values: &[f64], resamples: usize, seed: u64) -> Option<Interval> {
    if values.is_empty() || resamples == 0 {
        return None;
    }
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = values.len();
    let mut means: Vec<f64> =
        (0..resamples).map(|_| (0..count).map(|_| values[rng.random_range(0..count)]).sum::<f64>() / count as f64).collect();
    means.sort_by(f64::total_cmp);
    Some(Interval { low: quantile(&means, 0.025), high: quantile(&means, 0.975) })
}

/// The 95 % interval of a mean by the normal distribution, for many values; none of fewer than two.
#[must_use]
pub fn normal_mean(values: &[f64]) -> Option<Interval> {
    if values.len() < 2 {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let reach = Z * (squares / (n - 1.0) / n).sqrt();
    Some(Interval { low: mean - reach, high: mean + reach })
}

/// A quantile of sorted values, linear between neighbours (type 7 of Hyndman and Fan 1996).
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (place - place.floor()) * (sorted[above] - sorted[below])
}
