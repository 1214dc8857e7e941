//! Curves that a score could follow over scale, and the families that propose them.

use std::f64::consts::LN_10;

/// Coordinates of the unit cube that a family may use.
pub const CURVE_DIMENSIONS: usize = 8;

/// The models of a curve as a family sees them; scales are decimal logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sizes {
    /// The smallest scale.
    pub first: f64,
    /// The second smallest, at least half a decade on (half a plateau): at chance up to here, a curve has begun a plateau.
    pub second: f64,
    /// The largest.
    pub last: f64,
    /// How far a plateau must reach: to the third size and over a decade, or over a third of a ladder that is short.
    pub plateau_end: f64,
    /// Number of different sizes.
    pub count: usize,
    /// The median gap between neighbours.
    pub gap: f64,
    /// The chance level of the score.
    pub chance: f64,
}

impl Sizes {
    /// The sizes of models at rising scales; none without at least two different ones.
    #[must_use]
    pub fn new(scales: &[f64], chance: f64) -> Option<Self> {
        let mut sizes = scales.to_vec();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        let (first, last) = (*sizes.first()?, *sizes.last()?);
        let mut gaps: Vec<f64> = sizes.windows(2).filter_map(|pair| Some(pair.last()? - pair.first()?)).collect();
        gaps.sort_by(f64::total_cmp);
        let gap = *gaps.get(gaps.len() / 2)?;
        let second = *sizes.get(1)?;
        let third = *sizes.get(2).unwrap_or(&last);
        let decade = first + ((last - first) / 3.0).min(1.0);
        let second = second.max(f64::midpoint(first, decade));
        Some(Self { first, second, last, plateau_end: third.max(decade).min(last - 1e-9), count: sizes.len(), gap, chance })
    }

    /// Decades from the smallest to the largest.
    #[must_use]
    pub fn range(&self) -> f64 {
        self.last - self.first
    }
}

/// How a curve rises, as a share of its gain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// Not at all.
    Flat,
    /// At `at` by a part `first`, then linearly to the end.
    Jump {
        /// The part that comes at once.
        first: f64,
    },
    /// Linearly from `at` on.
    Hinge,
    /// By a logistic function about `at`, of the given width in decades.
    Logistic {
        /// The width: a rise from 12 to 88 per cent takes four of it.
        width: f64,
    },
    /// Linearly over the whole range.
    Linear,
    /// Linearly in the logit of the score.
    LogitLinear {
        /// The logit at the smallest scale.
        low: f64,
        /// The logit at the largest.
        high: f64,
    },
    /// A power of scale that breaks off a plateau smoothly about `at`: with one break and no slope before it, the smoothly broken
    /// power law of Caballero et al. 2022.
    BrokenPower {
        /// The exponent after the break.
        exponent: f64,
        /// How many decades the break takes.
        width: f64,
    },
    /// What is missing from the full gain falls as a power of scale.
    Power {
        /// The exponent.
        exponent: f64,
    },
    /// Down to nothing at `at`, and up from there.
    Dip {
        /// The height at the smallest scale, as a share of the gain.
        left: f64,
    },
}

/// One curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proposal {
    /// The score before any rise.
    pub level: f64,
    /// The rise.
    pub gain: f64,
    /// How it rises.
    pub form: Form,
    /// Where, in decimal logarithms of scale.
    pub at: f64,
    /// The part of the gain that the plateau before the rise drifts up by.
    pub drift: f64,
    /// Whether it falls where its form rises.
    pub is_falling: bool,
}

impl Proposal {
    /// A curve of one level.
    #[must_use]
    pub fn flat(level: f64) -> Self {
        Self { level, gain: 0.0, form: Form::Flat, at: 0.0, drift: 0.0, is_falling: false }
    }

    /// Up to where the curve keeps one level, to a millionth of its gain.
    #[must_use]
    #[inline]
    #[expect(
        clippy::suboptimal_flops,
        reason = "a fused operation is a slow call where the processor is not known to have one"
    )]
    pub fn level_until(&self) -> f64 {
        match self.form {
            Form::Flat => f64::INFINITY,
            Form::Jump { .. } | Form::Hinge if self.drift <= 0.0 => self.at,
            Form::Logistic { width } if self.drift <= 0.0 => self.at - 14.0 * width,
            _ => f64::NEG_INFINITY,
        }
    }

    /// The score at a scale, kept away from zero and one.
    #[must_use]
    #[inline]
    pub fn score(&self, x: f64, sizes: &Sizes) -> f64 {
        self.value(x, sizes, self.drift)
    }

    /// The score at a scale of the curve without the drift of its plateau.
    #[must_use]
    pub fn without_drift(&self, x: f64, sizes: &Sizes) -> f64 {
        self.value(x, sizes, 0.0)
    }

    #[expect(
        clippy::suboptimal_flops,
        reason = "a fused operation is a slow call where the processor is not known to have one"
    )]
    #[inline]
    fn value(&self, x: f64, sizes: &Sizes, drift: f64) -> f64 {
        let ramp = || ((x - self.at) / (sizes.last - self.at).max(0.3)).clamp(0.0, 1.2);
        let mut share = match self.form {
            Form::Flat => 0.0,
            Form::Jump { first } if x >= self.at => (1.0 - first) * ramp() + first,
            Form::Jump { .. } => 0.0,
            Form::Hinge => ramp(),
            Form::Logistic { width } => logistic((x - self.at) / width),
            Form::Linear => ((x - sizes.first) / sizes.range()).clamp(0.0, 1.1),
            Form::LogitLinear { low, high } => {
                let score = logistic((high - low) * (x - sizes.first) / sizes.range() + low);
                (score - self.level) / self.gain.max(1e-6)
            }
            Form::BrokenPower { exponent, width } => {
                let power = |x: f64| (exponent * width * ((x - self.at) / width * LN_10).exp().ln_1p()).exp_m1();
                (power(x) / power(sizes.last)).min(1.2)
            }
            Form::Power { exponent } => {
                let missing = |x: f64| -(-exponent * LN_10 * (x - sizes.first)).exp_m1();
                (missing(x) / missing(sizes.last)).clamp(0.0, 1.2)
            }
            Form::Dip { left } if x < self.at => left * (self.at - x) / (self.at - sizes.first).max(0.1),
            Form::Dip { .. } => (x - self.at) / (sizes.last - self.at).max(0.1),
        };
        if drift > 0.0 {
            let end = self.knee();
            let climbed = ((x - sizes.first) / (end - sizes.first).max(0.1)).clamp(0.0, 1.0);
            share = (1.0 - drift) * share + drift * climbed;
        }
        if self.is_falling {
            share = 1.0 - share;
        }
        (self.gain * share + self.level).clamp(1e-6, 1.0 - 1e-6)
    }

    /// Where a rise begins: for a logistic function, where it has a tenth of its gain.
    fn knee(&self) -> f64 {
        match self.form {
            Form::Logistic { width } => 2.2f64.mul_add(-width, self.at),
            _ => self.at,
        }
    }
}

fn logistic(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// A family of curves with a prior over its parameters.
pub trait CurveFamily: Sync {
    /// The name used in reports.
    fn name(&self) -> &'static str;
    /// The source file, whose leading comment is the manual page.
    fn source(&self) -> &'static str;
    /// Its prior probability; those of all families sum to one.
    fn prior(&self) -> f64;
    /// How many numbers are free in a curve of it, in the form that has most.
    fn parameters(&self) -> usize;
    /// The curve at a point of the unit cube: the uniform distribution there is the prior.
    fn propose(&self, cube: &[f64; CURVE_DIMENSIONS], sizes: &Sizes) -> Proposal;
}
