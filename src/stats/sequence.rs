//! Confidence sequences: intervals that hold at every number of observations at once, however often one looks.

use super::beta_binomial::ln_beta;
use super::interval::Interval;

/// Parameters of the mixture: Jeffreys' prior, under which the sequence is narrow at every rate.
const MIXTURE: f64 = 0.5;
/// Halvings until an end is known to a millionth.
const HALVINGS: usize = 24;

/// The confidence sequence of the mean of numbers between zero and one of which `sum` is the sum of the first `n`: with a probability of at least
/// `1 - alpha` the mean lies in it at all `n` together.
///
/// For every rate `p` the likelihood of the data under a mixture of rates over that under `p`, `B(s + a, n - s + a) / (B(a, a) p^s (1 - p)^(n - s))`,
/// is a martingale that begins at one when `p` is the rate (for numbers between zero and one a supermartingale, by convexity), so that it ever reaches `1 / alpha` with a
/// probability of at most `alpha` (Ville 1939). The sequence is what it has not ruled out (Robbins 1970, Annals of Mathematical Statistics 41:1397;
/// Howard et al. 2021, Annals of Statistics 49:1055).
#[must_use]
pub fn confidence_sequence(sum: f64, n: f64, alpha: f64) -> Interval {
    if n <= 0.0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let sum = sum.clamp(0.0, n);
    let mixture = ln_beta(sum + MIXTURE, n - sum + MIXTURE) - ln_beta(MIXTURE, MIXTURE);
    let times = |count: f64, p: f64| if count > 0.0 { count * p.ln() } else { 0.0 };
    let is_left = |p: f64| mixture - times(sum, p) - times(n - sum, 1.0 - p) < -alpha.ln();
    let mean = sum / n;
    // Between the mean, which is never ruled out, and an end of the scale.
    let end = |mut outside: f64| {
        if is_left(outside) {
            return outside;
        }
        let mut inside = mean;
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(inside, outside);
            if is_left(middle) {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        outside
    };
    Interval { low: end(0.0), high: end(1.0) }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn it_narrows_and_holds_the_mean() {
        let wide = confidence_sequence(5.0, 25.0, 0.05);
        let narrow = confidence_sequence(50.0, 250.0, 0.05);
        assert!(wide.low < narrow.low && narrow.low < 0.2 && 0.2 < narrow.high && narrow.high < wide.high);
        // 1 / (B(.5, 25.5) / B(.5, .5)) = 8.91; (1 - p)^25 = 8.91^-1 / 20^-1 .. by hand: ln(20 / 0.1123) / 25 = 0.2073, p = 0.1872.
        let none = confidence_sequence(0.0, 25.0, 0.05);
        assert!(none.low == 0.0 && (none.high - 0.1872).abs() < 2e-3, "{none:?}");
        let all = confidence_sequence(25.0, 25.0, 0.05);
        assert!((all.low + none.high - 1.0).abs() < 1e-6 && all.high == 1.0);
        assert_eq!(confidence_sequence(0.0, 0.0, 0.05), Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn looking_after_every_observation_misses_no_more_often_than_it_says() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for rate in [0.02, 0.2, 0.5, 0.97] {
            let missed = (0..400)
                .filter(|_| {
                    let mut sum = 0.0;
                    (1..=400_u32).any(|n| {
                        sum += f64::from(u8::from(rng.random_bool(rate)));
                        let found = confidence_sequence(sum, f64::from(n), 0.1);
                        rate < found.low || rate > found.high
                    })
                })
                .count();
            // A tenth of 400, and three standard errors.
            assert!(missed <= 58, "{rate}: {missed}");
        }
    }
}
