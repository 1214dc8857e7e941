//! Curves with a known truth: what the analyzer says of them is how far it can be trusted.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::schema::{Axis, Form, Proposal, Sizes, Verdict};
use crate::stats::median;

use super::forecast::{self, Forecast};
use super::level::Level;
use super::likelihood::Items;
use super::ruler::Ruler;
use super::shape::see;
use super::verdict::{Question, judge};

/// Decades that a simulated family spans.
const DECADES: f64 = 4.5;
/// The last decades that forecasts are of.
const AHEAD: f64 = 1.0;
/// The gain as a share of the headroom.
const GAIN: (f64, f64) = (0.15, 1.0);
/// Part of its gain that a curve without a plateau must have made at the end of what would be one; below it the truth would
/// be neither.
const VISIBLE: f64 = 0.2;

/// A true curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// At chance throughout.
    Flat,
    /// On one level above chance.
    AboveChance,
    /// Linear from chance, from the first model on.
    Linear,
    /// Linear from above chance.
    LinearAbove,
    /// Linear from below chance, where there is a below.
    LinearBelow,
    /// Linear in the logit.
    Logit,
    /// A logistic function of width .8 decades.
    WideSigmoid,
    /// A plateau .08 to .2 above chance, then a jump.
    PlateauAbove,
    /// A plateau that drifts up by .25 to .5 of the gain before the rise.
    Drift,
    /// Falls and rises again.
    UShape,
    /// A plateau at chance, then linear growth.
    Hinge,
    /// A plateau at chance, then a logistic function of .25 to .6 decades.
    Gradual,
    /// A plateau at chance, then a jump and growth.
    Jump,
    /// A plateau at chance, then a logistic function of .05 to .2 decades.
    Sharp,
    /// Only the largest model is above chance.
    Late,
}

impl Truth {
    /// Every truth.
    pub const ALL: [Self; 15] = [
        Self::Flat,
        Self::AboveChance,
        Self::Linear,
        Self::LinearAbove,
        Self::LinearBelow,
        Self::Logit,
        Self::WideSigmoid,
        Self::PlateauAbove,
        Self::Drift,
        Self::UShape,
        Self::Hinge,
        Self::Gradual,
        Self::Jump,
        Self::Sharp,
        Self::Late,
    ];

    /// The word used in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::AboveChance => "above chance",
            Self::Linear => "linear",
            Self::LinearAbove => "linear, above",
            Self::LinearBelow => "linear, below",
            Self::Logit => "logit",
            Self::WideSigmoid => "wide sigmoid",
            Self::PlateauAbove => "plateau above",
            Self::Drift => "drift",
            Self::UShape => "U",
            Self::Hinge => "hinge",
            Self::Gradual => "gradual",
            Self::Jump => "jump",
            Self::Sharp => "sharp",
            Self::Late => "late",
        }
    }

    /// Whether the curve emerges from chance.
    #[must_use]
    pub fn is_emergent(self) -> bool {
        matches!(self, Self::Hinge | Self::Gradual | Self::Jump | Self::Sharp | Self::Late)
    }

    /// A curve of this truth; its knee is the place of its rise.
    fn draw(self, sizes: &Sizes, rng: &mut dyn Rng) -> Proposal {
        let chance = sizes.chance;
        let mut uniform = |low: f64, high: f64| (high - low).mul_add(rng.random::<f64>(), low);
        let headroom = 0.999 - chance;
        let gain = uniform(GAIN.0, GAIN.1) * headroom;
        let level = chance.max(1e-4);
        let at = Proposal { gain, ..Proposal::flat(level) };
        let above = uniform(0.08, 0.2).min(headroom / 2.0);
        // Late enough for a plateau, and early enough for two models after it where there are more than four.
        let last = 1.25f64.mul_add(-sizes.gap, sizes.last).max(0.25f64.mul_add(sizes.gap, sizes.plateau_end));
        let knee = uniform(sizes.plateau_end, last);
        let logit = |score: f64| (score / (1.0 - score)).ln();
        match self {
            Self::Flat => Proposal::flat(level),
            Self::AboveChance => Proposal::flat(chance + uniform(0.1, 0.4) * headroom),
            Self::Linear => Proposal { form: Form::Linear, ..at },
            Self::LinearAbove => {
                Proposal { form: Form::Linear, level: chance + above, gain: gain.min(0.99 - chance - above), ..at }
            }
            Self::LinearBelow => {
                let below = above.min(chance / 2.0);
                Proposal { form: Form::Linear, level: level - below, gain: gain + below, ..at }
            }
            Self::Logit => {
                let low = chance + uniform(0.02, 0.15).min(headroom / 2.0);
                Proposal {
                    level: low,
                    form: Form::LogitLinear { low: logit(low), high: logit((low + gain).min(0.99)) },
                    ..at
                }
            }
            Self::WideSigmoid => Proposal {
                form: Form::Logistic { width: 0.8 },
                at: uniform(0.25, 0.75).mul_add(sizes.range(), sizes.first),
                ..at
            },
            Self::PlateauAbove => Proposal {
                level: chance + above,
                gain: gain.min(0.99 - chance - above),
                form: Form::Jump { first: uniform(0.5, 1.0) },
                at: knee,
                ..at
            },
            Self::Drift => Proposal { form: Form::Hinge, at: knee, drift: uniform(0.25, 0.5), ..at },
            Self::UShape => Proposal {
                form: Form::Dip { left: uniform(0.4, 1.0) },
                at: uniform(0.3, 0.7).mul_add(sizes.range(), sizes.first),
                ..at
            },
            Self::Hinge => Proposal { form: Form::Hinge, at: knee, ..at },
            Self::Gradual => {
                let width = uniform(0.25, 0.6);
                Proposal { form: Form::Logistic { width }, at: 2.2f64.mul_add(width, knee), ..at }
            }
            Self::Jump => Proposal { form: Form::Jump { first: uniform(0.5, 1.0) }, at: knee, ..at },
            Self::Sharp => {
                let width = uniform(0.05, 0.2);
                Proposal { form: Form::Logistic { width }, at: 2.2f64.mul_add(width, knee), ..at }
            }
            Self::Late => Proposal { form: Form::Jump { first: 1.0 }, at: 0.5f64.mul_add(-sizes.gap, sizes.last), ..at },
        }
    }

    /// Whether a drawn curve shows what it is drawn for: one without a plateau must have left chance where one would end, and
    /// one that emerges must have most of its gain within the range.
    fn shows(self, proposal: &Proposal, sizes: &Sizes) -> bool {
        let gained = |x: f64| proposal.score(x, sizes) - sizes.chance;
        match self {
            Self::Logit | Self::WideSigmoid | Self::Drift => gained(sizes.plateau_end) >= VISIBLE * gained(sizes.last),
            Self::Gradual | Self::Sharp => gained(sizes.last) >= 0.1,
            _ => true,
        }
    }
}

/// One cell of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Setting {
    /// The true curve.
    pub truth: Truth,
    /// Number of models.
    pub models: usize,
    /// Items per model.
    pub items: usize,
    /// Standard deviation of a model's shift along the axis, in decades.
    pub shift: f64,
    /// Families; with more than one the models are pooled, and each family has a shift of its own, twice as wide.
    pub families: usize,
}

/// What came out of a cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// The setting.
    pub setting: Setting,
    /// Curves.
    pub curves: usize,
    /// The part called emergent, from the last point only included.
    pub emergent: f64,
    /// How often each verdict was given.
    pub verdicts: Vec<(&'static str, usize)>,
    /// Of the curves called emergent: the median distance of the knee from that of the true curve in decades, and the part of
    /// the 95 % intervals that hold it. None where the truth has no knee.
    pub knee_error: Option<f64>,
    /// See `knee_error`.
    pub coverage: Option<f64>,
    /// The strength of the evidence of every curve, in order.
    pub emergence: Vec<f64>,
}

/// Simulates a cell; curve `i` is the same whatever else is simulated.
#[must_use]
pub fn simulate(setting: Setting, curves: usize) -> Cell {
    let found: Vec<_> = (0..curves).into_par_iter().map(|index| one(setting, index)).collect();
    let mut verdicts: Vec<(&'static str, usize)> = Vec::new();
    for (verdict, ..) in &found {
        match verdicts.iter_mut().find(|(name, _)| *name == verdict.name()) {
            Some((_, count)) => *count += 1,
            None => verdicts.push((verdict.name(), 1)),
        }
    }
    let is_emergent = |verdict: &Verdict| matches!(verdict, Verdict::Emergent | Verdict::EmergentLastPoint);
    let called = found.iter().filter(|(verdict, ..)| is_emergent(verdict)).count();
    let knees: Vec<(f64, bool)> =
        found.iter().filter(|(verdict, ..)| is_emergent(verdict)).filter_map(|(_, _, knee)| *knee).collect();
    let mean = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    Cell {
        setting,
        curves,
        emergent: called as f64 / curves as f64,
        verdicts,
        knee_error: median(knees.iter().map(|(error, _)| *error).collect()),
        coverage: mean(knees.iter().map(|(_, covered)| f64::from(u8::from(*covered))).collect()),
        emergence: found.iter().map(|(_, emergence, _)| *emergence).collect(),
    }
}

/// A true curve and what its models show.
struct Drawn {
    chance: f64,
    sizes: Sizes,
    proposal: Proposal,
    levels: Vec<Level>,
}

/// Curve `index` of a cell; none when its models are of one size.
fn draw(setting: Setting, index: usize) -> Option<Drawn> {
    let Setting { truth, models, items, shift, families } = setting;
    let label = format!("{truth:?} {models} {items} {shift} {families} {index}");
    let mut rng = ChaCha8Rng::from_seed(*blake3::hash(label.as_bytes()).as_bytes());
    let chance = 0.25 * (index % 3) as f64;
    let scales: Vec<f64> = (0..models).map(|model| 18.0 + DECADES * model as f64 / (models - 1) as f64).collect();
    let sizes = Sizes::new(&scales, chance)?;
    let mut proposal = truth.draw(&sizes, &mut rng);
    // The bound is never reached: about one curve in three shows what it is drawn for.
    for _ in 0..1_000 {
        if truth.shows(&proposal, &sizes) {
            break;
        }
        proposal = truth.draw(&sizes, &mut rng);
    }
    let of_family: Vec<f64> =
        (0..families).map(|_| if families > 1 { 2.0 * shift * normal(&mut rng) } else { 0.0 }).collect();
    let levels: Vec<Level> = scales
        .iter()
        .enumerate()
        .map(|(model, x)| {
            // A jump that only the last model has is drawn without a shift, which would undo it.
            let own = if truth == Truth::Late {
                0.0
            } else {
                shift.mul_add(normal(&mut rng), of_family.get(model % families).copied().unwrap_or_default())
            };
            let score = proposal.score(x + own, &sizes);
            let right = (0..items).filter(|_| rng.random::<f64>() < score).count() as f64;
            Level { x: 10_f64.powf(*x), n: items, sum: right, squares: right, family: model % families }
        })
        .collect();
    Some(Drawn { chance, sizes, proposal, levels })
}

/// One curve: its verdict, its evidence, and the error of its knee with whether the interval holds the true one.
fn one(setting: Setting, index: usize) -> (Verdict, f64, Option<(f64, bool)>) {
    let Setting { truth, families, .. } = setting;
    let Some(Drawn { chance, sizes, proposal, levels }) = draw(setting, index) else {
        return (Verdict::Unresolved, 0.0, None);
    };
    let ruler = Ruler::new(Axis::Flops, std::iter::empty());
    let finding = judge(&Question { chance: Some(chance), ruler: &ruler, seed: 1, is_pooled: families > 1 }, &levels);
    let knee = match (finding.onset.knee, finding.onset.low, finding.onset.high) {
        (Some(knee), Some(low), Some(high)) if truth.is_emergent() => {
            let at = see(&proposal, &sizes).knee;
            Some(((knee.log10() - at).abs(), (low.log10()..=high.log10()).contains(&at)))
        }
        _ => None,
    };
    (finding.verdict, finding.emergence, knee)
}

/// How forecasts of a cell turned out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForecastCell {
    /// The setting.
    pub setting: Setting,
    /// Models foretold.
    pub n: usize,
    /// The part of the 90 % intervals that hold the score.
    pub coverage: f64,
    /// Mean absolute error, in points of a hundred.
    pub error: f64,
    /// The same of the score of the largest known model.
    pub error_of_last: f64,
    /// The mean width of the intervals, in points.
    pub width: f64,
}

/// Foretells, on simulated curves, the models of the last decade from those below it.
#[must_use]
pub fn simulate_forecasts(setting: Setting, curves: usize) -> ForecastCell {
    let of_curve = |index: usize| -> Vec<Turned> {
        let Some(Drawn { chance, levels, .. }) = draw(setting, index) else { return Vec::new() };
        let unit = levels.first().map_or(1.0, |level| level.x);
        let items: Vec<_> = levels.iter().map(|level| level.items(unit)).collect();
        let last = items.last().map_or(0.0, |item| item.x);
        let (known, targets): (Vec<_>, Vec<_>) = items.iter().copied().partition(|item| item.x <= last - AHEAD);
        let (Some(forecast), Some(before)) =
            (Forecast::new(&known, last, chance, setting.families > 1), forecast::last_value(&known))
        else {
            return Vec::new();
        };
        let foretell = |item: &Items| {
            let said = forecast.at(item.x, item.n);
            let seen = item.mean();
            Turned {
                error: (said.score - seen).abs(),
                holds: f64::from(u8::from((said.low - 1e-9..=said.high + 1e-9).contains(&seen))),
                width: said.high - said.low,
                error_of_last: (before - seen).abs(),
            }
        };
        targets.iter().map(foretell).collect()
    };
    let found: Vec<_> = (0..curves).into_par_iter().flat_map_iter(of_curve).collect();
    let n = found.len();
    let mean = |value: fn(&Turned) -> f64| found.iter().map(value).sum::<f64>() / n.max(1) as f64;
    ForecastCell {
        setting,
        n,
        coverage: mean(|one| one.holds),
        error: 100.0 * mean(|one| one.error),
        error_of_last: 100.0 * mean(|one| one.error_of_last),
        width: 100.0 * mean(|one| one.width),
    }
}

/// How the forecast of one model turned out.
struct Turned {
    error: f64,
    holds: f64,
    width: f64,
    error_of_last: f64,
}

/// A standard normal number (Box and Muller 1958).
fn normal(rng: &mut dyn Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}
