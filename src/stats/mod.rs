//! Kernels of statistics: pure functions of numbers, seeded where they draw, each with its formula and source.
//!
//! Known values from scipy and statsmodels are in `tests/goldens/stats.json`, written by `tests/goldens/stats.py`.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::suboptimal_flops,
    reason = "numeric kernels over arrays of known length, where these lints only hurt"
)]

mod beta_binomial;
mod binomial;
mod censored;
mod identified;
mod integrate;
mod interval;
mod multiple;
mod paired;
mod ranks;
mod sequence;
mod trend;

pub use beta_binomial::BetaBinomial;
pub use binomial::{lower_tail, minimal_effect, upper_tail};
pub use censored::censored_lognormal;
pub use identified::imbens_manski;
pub use integrate::{Draws, Effort, adaptive, tempered};
pub use interval::{Interval, bootstrap_mean, normal_mean, wilson, wilson_at};
pub use multiple::{benjamini_hochberg, holm};
pub use paired::{McNemar, PairedMean, mcnemar, paired_interval, paired_mean};
pub use ranks::{area_under_curve, median};
pub use sequence::confidence_sequence;
pub use trend::{Contrast, Group, contrast, permutation_trend};

#[cfg(test)]
mod tests;
