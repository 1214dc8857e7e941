//! Confidence sequences: intervals that hold at every number of observations at once, however often one looks.

use std::f64::consts::FRAC_PI_2;

use super::interval::Interval;

/// Rates of which the mixture consists.
const RATES: u32 = 128;
/// Halvings until an end is known to a hundred-thousandth.
const HALVINGS: usize = 18;

/// The confidence sequence of the mean of numbers between zero and one of which `sum` is the sum of the first `n`: with a probability of at least
/// `1 - alpha` the mean of what was to be expected of each, given those before it, lies in it at all `n` together. For observations of one rate that is the
/// rate; for those of several, whichever were asked because of what was seen, it is the mean of theirs, if they are independent.
///
/// `exp(l S - sum of ln(1 - m + m exp(l)))` over the expected `m` of each is a martingale that begins at one (for numbers that are not only zero and one a
/// supermartingale, by convexity), whatever `l`, and so is its mean over several `l`. The logarithm is concave in `m`, so that it is at least
/// `exp(l S - n ln(1 - m + m exp(l)))` at the mean of them; and it ever reaches `1 / alpha` with a probability of at most `alpha` (Ville 1939). The sequence
/// is what the mean over `l` has not ruled out (Robbins 1970, Annals of Mathematical Statistics 41:1397; Howard et al. 2021, Annals of Statistics 49:1055);
/// the `l` are the logits of rates as Jeffreys' prior has them, under which it is narrow at every rate. What is not ruled out is an interval, since
/// every term is convex in the mean, and holds the observed mean, at which no term is above one.
#[must_use]
pub fn confidence_sequence(sum: f64, n: f64, alpha: f64) -> Interval {
    if n <= 0.0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let sum = sum.clamp(0.0, n);
    let rate = |place: u32| ((f64::from(place) + 0.5) / f64::from(RATES) * FRAC_PI_2).sin().powi(2);
    // The part of each rate that does not depend on the mean.
    let rates: Vec<(f64, f64)> =
        (0..RATES).map(rate).map(|q| (q, sum.mul_add(q.ln(), (n - sum) * (1.0 - q).ln()))).collect();
    let is_left = |p: f64| {
        let evidence = |&(q, own): &(f64, f64)| n.mul_add(-(1.0 - p).mul_add(1.0 - q, p * q).ln(), own).exp();
        rates.iter().map(evidence).sum::<f64>() < f64::from(RATES) / alpha
    };
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
        // Of no hit the evidence against a rate p is the mean over rates q of ((1 - q) / ((1 - p)(1 - q) + p q))^25. With the many rates
        // of the mixture, arcsine distributed, its integral is 20 at p = 0.1624 (adaptive quadrature).
        let none = confidence_sequence(0.0, 25.0, 0.05);
        assert!(none.low == 0.0 && (none.high - 0.1624).abs() < 1e-3, "{none:?}");
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

    #[test]
    fn whoever_chooses_what_is_asked_by_what_was_seen_does_not_deceive_it() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        // One of two rates, always that which pulls their mean away from what was seen, or towards it.
        for away in [true, false] {
            let missed = (0..400)
                .filter(|_| {
                    let (mut sum, mut expected) = (0.0, 0.0);
                    (1..=400_u32).any(|n| {
                        let rate = if (sum > expected) == away { 0.02 } else { 0.4 };
                        expected += rate;
                        sum += f64::from(u8::from(rng.random_bool(rate)));
                        let found = confidence_sequence(sum, f64::from(n), 0.1);
                        let mean = expected / f64::from(n);
                        mean < found.low || mean > found.high
                    })
                })
                .count();
            assert!(missed <= 58, "{away}: {missed}");
        }
    }
}
