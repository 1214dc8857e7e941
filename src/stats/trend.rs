//! Whether means rise or fall with a dose.
//!
//! Two tests answer two questions. The contrast asks whether the items alone could have made the trend; the permutation
//! test asks whether models in any other order would have shown it, so the scatter between models counts too.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use statrs::function::erf::erfc;

use super::ranks::ranks;

/// The most values whose orders are all tried; beyond it orders are drawn.
const EXACT: usize = 8;
/// Orders drawn beyond it.
const DRAWS: usize = 9_999;

/// One dose and the mean of what was measured at it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// The dose.
    pub x: f64,
    /// The mean.
    pub mean: f64,
    /// Number of items.
    pub n: f64,
    /// Variance of one item.
    pub variance: f64,
}

/// The linear trend over groups.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrast {
    /// Change of the mean per unit of dose.
    pub slope: f64,
    /// Its standard error.
    pub error: f64,
    /// One-sided p-value against "does not rise".
    pub p_rise: f64,
    /// One-sided p-value against "does not fall".
    pub p_fall: f64,
}

/// The linear trend of group means weighted by their items; none for fewer than two different doses.
///
/// `slope = sum n_i (x_i - x) y_i / S`, `S = sum n_i (x_i - x)^2`, `error^2 = sum n_i (x_i - x)^2 v_i / S^2`, with `x` the
/// weighted mean dose. With the pooled variance of a proportion as every `v_i` this is the Cochran-Armitage test
/// (Armitage 1955, Biometrics 11:375).
#[must_use]
pub fn contrast(groups: &[Group]) -> Option<Contrast> {
    let items: f64 = groups.iter().map(|group| group.n).sum();
    let centre = groups.iter().map(|group| group.n * group.x).sum::<f64>() / items;
    let spread: f64 = groups.iter().map(|group| group.n * (group.x - centre).powi(2)).sum();
    if spread.is_nan() || spread <= 1e-12 {
        return None;
    }
    let slope = groups.iter().map(|group| group.n * (group.x - centre) * group.mean).sum::<f64>() / spread;
    let squares: f64 = groups.iter().map(|group| group.n * (group.x - centre).powi(2) * group.variance).sum();
    let error = squares.sqrt() / spread;
    // Without any variance only a trend of exactly zero is no trend; rounding must not pass for one.
    let z = if error > 0.0 {
        slope / error
    } else if slope.abs() < 1e-12 {
        0.0
    } else {
        slope.signum() * f64::INFINITY
    };
    Some(Contrast { slope, error, p_rise: upper_normal(z), p_fall: upper_normal(-z) })
}

/// The upper tail of the normal distribution.
fn upper_normal(z: f64) -> f64 {
    if z == f64::INFINITY {
        0.0
    } else if z == f64::NEG_INFINITY {
        1.0
    } else {
        0.5 * erfc(z / std::f64::consts::SQRT_2)
    }
}

/// One-sided p-value against "the values do not rise with the dose", from their order alone.
///
/// The statistic is `sum rank(x_i) y_i` (ties share their mean rank; a permutation form of Page's and Spearman's tests).
/// All orders of `y` are tried up to eight values; beyond, 9,999 are drawn and `p = (1 + hits) / (1 + draws)` (Phipson and
/// Smyth 2010). Falling is tested by negated values. One for fewer than two values.
#[must_use]
pub fn permutation_trend(x: &[f64], y: &[f64], seed: u64) -> f64 {
    let count = x.len().min(y.len());
    if count < 2 {
        return 1.0;
    }
    let ranks = ranks(&x[..count]);
    let statistic = |values: &[f64]| ranks.iter().zip(values).map(|(rank, value)| rank * value).sum::<f64>();
    let mut values = y[..count].to_vec();
    let seen = statistic(&values);
    // Orders that differ only by rounding count as equal.
    let least = seen - 1e-9 * (1.0 + seen.abs());
    if count <= EXACT {
        let (mut hits, mut total) = (0_u32, 0_u32);
        for_each_order(&mut values, &mut |order| {
            total += 1;
            hits += u32::from(statistic(order) >= least);
        });
        return f64::from(hits) / f64::from(total);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let hits = (0..DRAWS)
        .filter(|_| {
            values.shuffle(&mut rng);
            statistic(&values) >= least
        })
        .count();
    (1 + hits) as f64 / (1 + DRAWS) as f64
}

/// Calls back with every order of the values (Heap 1963, Computer Journal 6:293).
fn for_each_order(values: &mut [f64], visit: &mut dyn FnMut(&[f64])) {
    let count = values.len();
    let mut state = vec![0; count];
    visit(values);
    let mut i = 1;
    while i < count {
        if state[i] < i {
            values.swap(if i % 2 == 0 { 0 } else { state[i] }, i);
            visit(values);
            state[i] += 1;
            i = 1;
        } else {
            state[i] = 0;
            i += 1;
        }
    }
}
