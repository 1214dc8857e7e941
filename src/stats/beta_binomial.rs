//! The beta-binomial distribution: successes among items whose common rate itself varies.

use statrs::function::gamma::ln_gamma;

/// A beta-binomial distribution of `n` items; `n` may be fractional, as an effective number of items is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BetaBinomial {
    /// Number of items.
    pub n: f64,
    /// First parameter of the beta distribution of the rate.
    pub alpha: f64,
    /// Second parameter.
    pub beta: f64,
}

impl BetaBinomial {
    /// The distribution of a mean rate and an intra-class correlation `rho`: `alpha = p (1/rho - 1)`, `beta = (1-p)(1/rho - 1)`.
    #[must_use]
    pub fn with_correlation(n: f64, rate: f64, rho: f64) -> Self {
        let size = 1.0 / rho - 1.0;
        Self { n, alpha: rate * size, beta: (1.0 - rate) * size }
    }

    /// `ln P(K = k)`, with gamma functions in place of factorials so that `k` may be fractional.
    ///
    /// `ln C(n, k) + ln B(k + alpha, n - k + beta) - ln B(alpha, beta)` (Skellam 1948, JRSS B 10:257).
    #[must_use]
    pub fn ln_pmf(&self, k: f64) -> f64 {
        self.ln_pmf_with(k, self.ln_constant())
    }

    /// The part of `ln P` that depends on neither `k` nor `n`: `-ln B(alpha, beta)`.
    #[must_use]
    pub fn ln_constant(&self) -> f64 {
        -ln_beta(self.alpha, self.beta)
    }

    /// `ln P(K = k)` with the constant given, for those who ask often.
    #[must_use]
    pub fn ln_pmf_with(&self, k: f64, constant: f64) -> f64 {
        let Self { n, alpha, beta } = *self;
        let choose = ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
        choose + ln_beta(k + alpha, n - k + beta) + constant
    }

    /// `P(K >= k)`, summed over whole numbers from `k` rounded up; a fraction of an item is no success.
    #[must_use]
    pub fn upper_tail(&self, k: f64) -> f64 {
        let first = (k - 1e-9).ceil().max(0.0);
        if first <= 0.0 {
            return 1.0;
        }
        let last = (self.n - 1e-9).ceil().max(first);
        let whole = Self { n: self.n.max(last), ..*self };
        // The ratio of neighbours needs no gamma function.
        let (mut at, mut term) = (first, whole.ln_pmf(first).exp());
        let mut sum = 0.0;
        while at <= last {
            sum += term;
            let Self { n, alpha, beta } = whole;
            term *= (n - at) * (at + alpha) / ((at + 1.0) * (n - at - 1.0 + beta));
            at += 1.0;
        }
        sum.min(1.0)
    }
}

fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}
