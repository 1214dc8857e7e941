//! A lognormal distribution from lengths of which some are known only to exceed a limit.

use statrs::distribution::{Continuous, ContinuousCDF, Normal};

/// Rounds of expectation and maximisation; each gets closer, and stops when it moves less than this.
const ROUNDS: usize = 2_000;
const ENOUGH: f64 = 1e-10;

/// Mean and standard deviation of the logarithms, by maximum likelihood (expectation and maximisation; Dempster, Laird and Rubin 1977),
/// from lengths that were seen and a number of others of which each exceeds `limit`. None with fewer than two different lengths.
#[must_use]
pub fn censored_lognormal(seen: &[f64], limit: f64, beyond: usize) -> Option<(f64, f64)> {
    let logs: Vec<f64> = seen.iter().filter(|length| **length > 0.0).map(|length| length.ln()).collect();
    let normal = Normal::standard();
    let (count, cut) = (logs.len() as f64, beyond as f64);
    let moments = |logs: &[f64]| (logs.iter().sum::<f64>(), logs.iter().map(|log| log * log).sum::<f64>());
    let (first, second) = moments(&logs);
    let mut mean = first / count;
    let mut deviation = (second / count - mean * mean).max(0.0).sqrt();
    if logs.len() < 2 || deviation < 1e-6 || limit <= 0.0 {
        return None;
    }
    let limit = limit.ln();
    for _ in 0..ROUNDS {
        let place = (limit - mean) / deviation;
        // What is expected of a logarithm beyond the limit, and of its square.
        let hazard = normal.pdf(place) / normal.sf(place).max(f64::MIN_POSITIVE);
        let expected = deviation.mul_add(hazard, mean);
        let squared = mean.mul_add(mean, deviation * deviation) + deviation * (limit + mean) * hazard;
        let new_mean = cut.mul_add(expected, first) / (count + cut);
        let variance = cut.mul_add(squared, second) / (count + cut) - new_mean * new_mean;
        let new_deviation = variance.max(1e-12).sqrt();
        let moved = (new_mean - mean).abs() + (new_deviation - deviation).abs();
        (mean, deviation) = (new_mean, new_deviation);
        if moved < ENOUGH {
            break;
        }
    }
    Some((mean, deviation))
}
