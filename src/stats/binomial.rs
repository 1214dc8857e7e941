//! Exact tests of a proportion.

use statrs::function::beta::beta_reg;

/// Probability of at least `k` successes in `n` trials of probability `p`: the one-sided p-value against "no better than
/// `p`".
///
/// `P(X >= k) = I_p(k, n - k + 1)`, the regularised incomplete beta function (NIST DLMF 8.17.5).
#[must_use]
pub fn upper_tail(k: usize, n: usize, p: f64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if k > n || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return 1.0;
    }
    beta_reg(k as f64, (n - k) as f64 + 1.0, p).clamp(0.0, 1.0)
}

/// Probability of at most `k` successes in `n` trials of probability `p`: the one-sided p-value against "no worse than
/// `p`".
///
/// `P(X <= k) = I_(1-p)(n - k, k + 1)` (NIST DLMF 8.17.5).
#[must_use]
pub fn lower_tail(k: usize, n: usize, p: f64) -> f64 {
    // Counting failures turns one tail into the other, and keeps the precision of both.
    upper_tail(n.saturating_sub(k), n, 1.0 - p)
}

/// The smallest excess over `chance` that `n` items would show with a power of 80 % in a one-sided test at 5 %.
///
/// `max(2.49 sqrt(c (1 - c) / n), 3 / n)`: the normal approximation (z.95 + z.80 = 2.49), and where chance is near zero
/// the rule of three (Hanley and Lippman-Hand 1983). Infinite without items.
#[must_use]
pub fn minimal_effect(chance: f64, n: usize) -> f64 {
    if n == 0 {
        return f64::INFINITY;
    }
    let n = n as f64;
    (2.49 * (chance * (1.0 - chance) / n).max(0.0).sqrt()).max(3.0 / n)
}
