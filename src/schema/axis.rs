//! What models are ordered by, and how a place on each axis is read.

use super::record::Scale;

/// A measure of scale that models are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Training compute, in floating-point operations.
    Flops,
    /// Number of parameters.
    Params,
    /// Training tokens.
    Tokens,
    /// Loss on held-out text, in nats per token; less is better.
    Loss,
    /// Perplexity of held-out text, the exponential of the loss; less is better.
    Perplexity,
}

impl Axis {
    /// Every axis, the one that is preferred first.
    pub const ALL: [Self; 5] = [Self::Flops, Self::Params, Self::Tokens, Self::Loss, Self::Perplexity];

    /// The axis of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|axis| axis.name() == name)
    }

    /// The word used in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flops => "flops",
            Self::Params => "params",
            Self::Tokens => "tokens",
            Self::Loss => "loss",
            Self::Perplexity => "perplexity",
        }
    }

    /// The unit, as it stands behind a number.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Flops => "FLOPs",
            Self::Params => "parameters",
            Self::Tokens => "training tokens",
            Self::Loss => "nats of loss",
            Self::Perplexity => "perplexity",
        }
    }

    /// A model's measure; none when unknown, or not above zero.
    #[must_use]
    pub fn measure(self, scale: &Scale) -> Option<f64> {
        let measure = match self {
            Self::Flops => scale.flops,
            Self::Params => scale.params,
            Self::Tokens => scale.tokens,
            Self::Loss => scale.loss,
            Self::Perplexity => scale.loss.map(f64::exp),
        };
        measure.filter(|x| x.is_finite() && *x > 0.0)
    }

    /// Whether a smaller measure is a larger scale.
    #[must_use]
    pub fn falls(self) -> bool {
        matches!(self, Self::Loss | Self::Perplexity)
    }

    /// Where a measure stands on the axis, rising with ability: decades, or nats below a loss of zero. A loss is no logarithm
    /// of anything, and a perplexity stands where its loss does.
    #[must_use]
    pub fn coordinate(self, measure: f64) -> f64 {
        match self {
            Self::Flops | Self::Params | Self::Tokens => measure.log10(),
            Self::Loss => -measure,
            Self::Perplexity => -measure.ln(),
        }
    }

    /// The measure that stands at a coordinate.
    #[must_use]
    pub fn at(self, coordinate: f64) -> f64 {
        match self {
            Self::Flops | Self::Params | Self::Tokens => 10_f64.powf(coordinate),
            Self::Loss => -coordinate,
            Self::Perplexity => (-coordinate).exp(),
        }
    }

    /// A measure as a reader wants it: two figures and a power of ten, or three decimals.
    #[must_use]
    pub fn text(self, measure: f64) -> String {
        self.text_with(measure, 0)
    }

    /// Two measures, with as many figures as it takes to tell them apart.
    #[must_use]
    pub fn texts(self, measures: [f64; 2]) -> [String; 2] {
        let with = |more: usize| measures.map(|measure| self.text_with(measure, more));
        (0..4).map(with).find(|[first, second]| first != second).unwrap_or_else(|| with(0))
    }

    /// A measure with `more` figures than usual.
    fn text_with(self, measure: f64, more: usize) -> String {
        match self {
            Self::Flops | Self::Params | Self::Tokens => format!("{measure:.*e}", 1 + more),
            Self::Loss => format!("{measure:.*}", 3 + more),
            Self::Perplexity if measure < 100.0 => format!("{measure:.*}", 2 + more),
            Self::Perplexity => format!("{measure:.more$}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Axis;

    #[test]
    fn two_measures_have_as_many_figures_as_tell_them_apart() {
        assert_eq!(Axis::Flops.texts([1.2e22, 2.3e22]), ["1.2e22", "2.3e22"]);
        assert_eq!(Axis::Flops.texts([1.404e22, 1.43e22]), ["1.40e22", "1.43e22"]);
        assert_eq!(Axis::Loss.texts([2.1234, 2.1233]), ["2.1234", "2.1233"]);
        assert_eq!(Axis::Perplexity.texts([500.2, 500.4]), ["500.2", "500.4"]);
        assert_eq!(Axis::Flops.texts([1e22, 1e22]), ["1.0e22", "1.0e22"]);
    }
}
