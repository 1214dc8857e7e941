//! Intervals of a mean of which only bounds are known, because some values are missing.

use statrs::distribution::{ContinuousCDF, Normal};

use super::interval::Z;

/// The number of standard errors by which bounds of a mean, `width` apart, are widened so that the mean itself, wherever it lies
/// between them, is held with 95 % confidence; `error` is the larger of the bounds' standard errors.
///
/// The root `C` of `F(C + width / error) - F(-C) = 0.95` with `F` the normal distribution function (Imbens and Manski 2004,
/// Econometrica 72:1845): 1.96 where the bounds meet, 1.64 where they are far apart, because the mean cannot be near both.
#[must_use]
pub fn imbens_manski(width: f64, error: f64) -> f64 {
    let apart = (width / error).max(0.0);
    // No error, or no width that is known: the careful end.
    if !apart.is_finite() {
        return Z;
    }
    let law = Normal::standard();
    let held = |c: f64| law.cdf(c + apart) - law.cdf(-c);
    let (mut low, mut high) = (1.0, 2.0);
    // Sixty halvings leave nothing of an interval of one.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if held(middle) < 0.95 {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}
