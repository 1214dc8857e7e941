//! Two measurements of the same items: tests and intervals that take the pairing into account.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::binomial::upper_tail;
use super::interval::{Interval, Z};

/// Halvings of an interval: beyond them a double has no digits left.
const HALVINGS: usize = 60;

/// The exact test of McNemar on the items that changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct McNemar {
    /// Two-sided p-value against "as many gained as lost".
    pub p_value: f64,
    /// One-sided p-value against "no more gained than lost".
    pub p_better: f64,
    /// One-sided p-value against "no more lost than gained".
    pub p_worse: f64,
}

/// McNemar's exact test: `gained` items are right only with the first measurement, `lost` ones only with the second. Items
/// that are the same with both say nothing about a difference.
///
/// Without one, each changed item is as likely to be gained as lost: `P(X >= gained)` of `gained + lost` fair coins, and
/// twice the smaller tail, at most one (McNemar 1947, Psychometrika 12:153; the sign test of Dixon and Mood 1946).
#[must_use]
pub fn mcnemar(gained: usize, lost: usize) -> McNemar {
    let changed = gained + lost;
    let (p_better, p_worse) = (upper_tail(gained, changed, 0.5), upper_tail(lost, changed, 0.5));
    McNemar { p_value: (2.0 * p_better.min(p_worse)).min(1.0), p_better, p_worse }
}

/// The 95 % interval of a difference of paired proportions, `(gained - lost) / n`; none without pairs.
///
/// The differences `d` that the score statistic does not reject: `(gained - lost - n d)^2 <= z^2 n (2 q + d (1 - d))`, with
/// `q` the probability of losing an item that is most likely under `d`, the larger root of
/// `2 n q^2 - (gained + lost - (2 n - gained + lost) d) q - lost d (1 - d) = 0` (Tango 1998, Statistics in Medicine 17:891).
/// It keeps its level where few items change, where Wald's interval has no width.
#[must_use]
pub fn paired_interval(gained: usize, lost: usize, n: usize) -> Option<Interval> {
    if n == 0 || gained + lost > n {
        return None;
    }
    let (gained, lost, n) = (gained as f64, lost as f64, n as f64);
    // How far a difference is above the rejected ones, signed: it falls as `d` rises.
    let score = |d: f64| {
        let b = (2.0 * n - gained + lost) * d - gained - lost;
        let q = ((b * b + 8.0 * n * lost * d * (1.0 - d)).max(0.0).sqrt() - b) / (4.0 * n);
        let variance = (n * (2.0 * q + d * (1.0 - d))).max(0.0);
        (gained - lost - n * d, Z * variance.sqrt())
    };
    let seen = (gained - lost) / n;
    let end = |outer: f64, is_rejected: &dyn Fn(f64) -> bool| {
        if !is_rejected(outer) {
            return outer;
        }
        let (mut inside, mut outside) = (seen, outer);
        for _ in 0..HALVINGS {
            let middle = (inside + outside) / 2.0;
            if is_rejected(middle) {
                outside = middle;
            } else {
                inside = middle;
            }
        }
        inside
    };
    let low = end(-1.0, &|d| {
        let (distance, width) = score(d);
        distance > width
    });
    let high = end(1.0, &|d| {
        let (distance, width) = score(d);
        -distance > width
    });
    Some(Interval { low, high })
}

/// A mean of paired differences, its interval and its test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedMean {
    /// The mean difference.
    pub mean: f64,
    /// Its 95 % interval; none for a single pair.
    pub interval: Option<Interval>,
    /// Two-sided p-value against a mean of zero.
    pub p_value: f64,
}

/// Student's test and interval of the mean of paired differences; none without pairs.
///
/// `mean ± t s / sqrt(n)` with `n - 1` degrees of freedom (Student 1908, Biometrika 6:1). Where all differences are equal
/// there is no spread to measure by: the p-value is that of the sign test. The result does not depend on the order of the
/// differences.
#[must_use]
pub fn paired_mean(differences: &[f64]) -> Option<PairedMean> {
    if differences.is_empty() {
        return None;
    }
    // Sums must not depend on the order in which pairs arrived.
    let mut sorted = differences.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let mean = sorted.iter().sum::<f64>() / n;
    let squares: f64 = sorted.iter().map(|difference| (difference - mean).powi(2)).sum();
    let scale = sorted.iter().fold(0.0_f64, |most, difference| most.max(difference.abs()));
    let error = (squares / (n - 1.0).max(1.0) / n).sqrt();
    // Rounding of equal values must not pass for a spread.
    if sorted.len() < 2 || error <= 1e-12 * scale {
        let count = |sign: f64| sorted.iter().filter(|difference| *difference * sign > 0.0).count();
        let p_value = mcnemar(count(1.0), count(-1.0)).p_value;
        let interval = (sorted.len() > 1).then_some(Interval { low: mean, high: mean });
        return Some(PairedMean { mean, interval, p_value });
    }
    let law = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
    let half = law.inverse_cdf(0.975) * error;
    let p_value = (2.0 * law.cdf(-(mean / error).abs())).min(1.0);
    Some(PairedMean { mean, interval: Some(Interval { low: mean - half, high: mean + half }), p_value })
}
