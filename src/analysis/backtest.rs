//! How well smaller models would have foretold larger ones: the cut between them is rolled over the sizes of every curve, and where
//! families are pooled one family after the other is left out.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::schema::{Analysis, Axis, Curve, ModelEntry, Point, RunManifest};

use super::forecast::{self, Forecast, Foretold, Refused, SIZES};
use super::likelihood::Items;
use super::models::distinct;
use super::published::POOLED;
use super::ruler::Ruler;

/// The farthest that is foretold, in decades, and the ends of the bins of distance.
const FARTHEST: f64 = 1.5;
const BINS: [f64; 3] = [0.5, 1.0, 1.5];
/// Sizes up to which every cut is tried; with more, cuts are half a decade apart.
const EVERY_CUT: usize = 16;
/// Fewest models of a family that is left out.
const FAMILY_MODELS: usize = 3;
/// Resamples of the tasks.
const RESAMPLES: usize = 1_000;
/// How far beyond the largest model a projection reaches, in decades.
const AHEAD: f64 = 1.0;

/// Beginnings of names of metrics in published files that are no softer than the main one.
const ALL_OR_NOTHING: [&str; 2] = ["acc", "exact"];

/// A way to foretell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The curves that the smaller models allow, all shapes averaged.
    Curves,
    /// The mean of that and of the damped trend; its interval is that of the curves.
    CurvesAndTrend,
    /// The level and the shrunk slope of the last models.
    DampedTrend,
    /// The score of the largest model.
    LastValue,
    /// A straight line.
    Linear,
    /// Scale to a soft metric, that to the score.
    TwoStep,
    /// -log Q = A C^-a.
    OneStep,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 7] =
        [Self::Curves, Self::CurvesAndTrend, Self::DampedTrend, Self::LastValue, Self::Linear, Self::TwoStep, Self::OneStep];

    /// The words used in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Curves => "curves",
            Self::CurvesAndTrend => "curves and trend",
            Self::DampedTrend => "damped trend",
            Self::LastValue => "last value",
            Self::Linear => "linear",
            Self::TwoStep => "two steps",
            Self::OneStep => "one-step law",
        }
    }
}

/// What one method says of one model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Said {
    /// The method.
    pub method: Method,
    /// The score; none when the method refuses.
    pub score: Option<f64>,
    /// Lower end of the 90 % interval, where the method gives one.
    pub low: Option<f64>,
    /// Upper end of it.
    pub high: Option<f64>,
    /// Why it refuses.
    pub refusal: Option<Refused>,
}

impl Said {
    fn point(method: Method, score: Option<f64>) -> Self {
        let refusal = score.is_none().then_some(Refused::FewSizes);
        Self { method, score, low: None, high: None, refusal }
    }

    fn of(method: Method, found: Result<Foretold, Refused>) -> Self {
        let (found, refusal) = (found.ok(), found.err());
        Self {
            method,
            score: found.map(|one| one.score),
            low: found.map(|one| one.low),
            high: found.map(|one| one.high),
            refusal,
        }
    }
}

/// A model that was run, foretold from smaller ones or from other families.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// Name of the task.
    pub task: String,
    /// Name of the family; `*` for all.
    pub family: String,
    /// Name of the prompt.
    pub prompt: String,
    /// Name of the metric.
    pub metric: String,
    /// The model that is foretold.
    pub model: String,
    /// Its family, when it is foretold from the other families.
    pub left_out: Option<String>,
    /// Its scale.
    pub x: f64,
    /// Models that it is foretold from.
    pub models: usize,
    /// Decades from the largest of them; none when a family is left out.
    pub ahead: Option<f64>,
    /// The score that was seen.
    pub seen: f64,
    /// Its number of items.
    pub n: usize,
    /// What every method says.
    pub said: Vec<Said>,
}

/// A model that was not run: one ten times as large as the largest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Projection {
    /// Name of the task.
    pub task: String,
    /// Name of the family; `*` for all.
    pub family: String,
    /// Name of the prompt.
    pub prompt: String,
    /// Name of the metric.
    pub metric: String,
    /// What the axis measures.
    pub axis: String,
    /// The score of the largest model.
    pub largest: f64,
    /// Its scale.
    pub from: f64,
    /// The scale that is projected to.
    pub x: f64,
    /// The score there, with the 90 % interval of a model of as many items as the largest has.
    pub projected: Foretold,
    /// Per shape its name, its probability and its median there.
    pub by_shape: Vec<(&'static str, f64, f64)>,
}

/// How well a method did at a distance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Accuracy {
    /// The method.
    pub method: Method,
    /// The distance in words.
    pub ahead: String,
    /// Models foretold.
    pub n: usize,
    /// Tasks that they are of.
    pub tasks: usize,
    /// Models that the method refused.
    pub refused: usize,
    /// Mean absolute error, in points of a hundred.
    pub error: Option<f64>,
    /// Its 95 % interval, by a bootstrap of tasks.
    pub interval: Option<[f64; 2]>,
    /// The error of `Curves` on the very models that this method foretold.
    pub error_of_curves: Option<f64>,
    /// The part of the 90 % intervals that hold the score, where the method gives one.
    pub coverage: Option<f64>,
    /// The interval of that part, by a bootstrap of tasks.
    pub coverage_interval: Option<[f64; 2]>,
    /// The mean width of the 90 % intervals, in points.
    pub width: Option<f64>,
}

/// Everything that was foretold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backtest {
    /// The run or file.
    pub run: String,
    /// How well every method did.
    pub accuracy: Vec<Accuracy>,
    /// Every model foretold.
    pub predictions: Vec<Prediction>,
    /// What all models say of larger ones.
    pub projections: Vec<Projection>,
}

/// A curve as a forecast needs it.
struct Series<'a> {
    curve: &'a Curve,
    chance: f64,
    ruler: Ruler,
    unit: f64,
    points: Vec<(&'a Point, Items)>,
    soft: Vec<f64>,
    families: Vec<&'a str>,
}

/// Foretells the larger models of every curve that has a chance level, and projects all.
#[must_use]
pub fn backtest(manifest: &RunManifest, analysis: &Analysis) -> Backtest {
    let series: Vec<Series<'_>> =
        analysis.curves.iter().filter_map(|curve| Series::new(manifest, analysis, curve)).collect();
    let found: Vec<(Vec<Prediction>, Option<Projection>)> =
        series.par_iter().with_max_len(1).map(|one| (one.predictions(), one.projection())).collect();
    let (predictions, projections): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let predictions: Vec<Prediction> = predictions.into_iter().flatten().collect();
    Backtest {
        run: analysis.run.clone(),
        accuracy: accuracy(&predictions),
        predictions,
        projections: projections.into_iter().flatten().collect(),
    }
}

impl<'a> Series<'a> {
    fn new(manifest: &'a RunManifest, analysis: &'a Analysis, curve: &'a Curve) -> Option<Self> {
        let chance = curve.chance?;
        let axis = Axis::named(&curve.axis)?;
        let of_curve = |model: &&ModelEntry| curve.points.iter().any(|point| point.model == model.name);
        let ruler = Ruler::new(axis, manifest.models.iter().filter(of_curve).map(|model| &model.scale));
        let unit = ruler.scale(curve.points.first()?.x);
        let mut points: Vec<(&Point, Items)> = curve
            .points
            .iter()
            .filter_map(|point| {
                let n = point.n as f64;
                let x = (ruler.scale(point.x) / unit).log10();
                Some((point, Items { x, right: point.score? * n, n, family: 0 }))
            })
            .collect();
        // The soft metric of the same records that has a score wherever the curve has one.
        let soft = analysis
            .curves
            .iter()
            .filter(|other| {
                !other.discontinuous
                    && !ALL_OR_NOTHING.iter().any(|word| other.metric.starts_with(word))
                    && (&other.task, &other.prompt, &other.family) == (&curve.task, &curve.prompt, &curve.family)
            })
            .find_map(|other| {
                points
                    .iter()
                    .map(|(point, _)| {
                        other.points.iter().find(|one| one.model == point.model && one.seed == point.seed)?.score
                    })
                    .collect::<Option<Vec<f64>>>()
            })
            .or_else(|| losses(manifest, axis, &points))
            .filter(|_| curve.discontinuous)
            .unwrap_or_default();
        let family = |name: &str| manifest.models.iter().find(|model| model.name == name).map_or("", |model| &model.family);
        let families: Vec<&str> = points.iter().map(|(point, _)| family(&point.model)).collect();
        let known = distinct(families.iter().copied());
        for ((_, items), family) in points.iter_mut().zip(&families) {
            items.family = known.iter().position(|one| one == family).unwrap_or_default();
        }
        Some(Self { curve, chance, ruler, unit, points, soft, families })
    }

    fn is_pooled(&self) -> bool {
        self.curve.family == POOLED
    }

    /// The scales after which a cut is made.
    fn cuts(&self) -> Vec<f64> {
        let mut sizes: Vec<f64> = self.points.iter().map(|(_, items)| items.x).collect();
        sizes.dedup();
        let every = sizes.len() <= EVERY_CUT;
        let mut cuts: Vec<f64> = Vec::new();
        for cut in sizes.iter().take(sizes.len().saturating_sub(1)).skip(SIZES - 1) {
            if every || cuts.last().is_none_or(|last| cut - last >= 0.5) {
                cuts.push(*cut);
            }
        }
        cuts
    }

    fn predictions(&self) -> Vec<Prediction> {
        let mut found = Vec::new();
        for cut in self.cuts() {
            let targets = |x: f64| x > cut && x - cut <= FARTHEST + 1e-9;
            found.extend(self.foretell(|index| self.x(index) <= cut, |index| targets(self.x(index)), Some(cut), None));
        }
        if self.is_pooled() {
            let mut families = self.families.clone();
            families.sort_unstable();
            families.dedup();
            for family in families {
                if self.families.iter().filter(|one| **one == family).count() >= FAMILY_MODELS {
                    let is_own = |index: usize| self.families.get(index) == Some(&family);
                    found.extend(self.foretell(|index| !is_own(index), is_own, None, Some(family)));
                }
            }
        }
        found
    }

    fn x(&self, index: usize) -> f64 {
        self.points.get(index).map_or(0.0, |(_, items)| items.x)
    }

    fn foretell(
        &self,
        is_known: impl Fn(usize) -> bool,
        is_target: impl Fn(usize) -> bool,
        cut: Option<f64>,
        left_out: Option<&str>,
    ) -> Vec<Prediction> {
        let chosen =
            |choose: &dyn Fn(usize) -> bool| (0..self.points.len()).filter(|index| choose(*index)).collect::<Vec<_>>();
        let known: Vec<Items> = chosen(&is_known).iter().filter_map(|index| Some(self.points.get(*index)?.1)).collect();
        let soft: Vec<f64> = chosen(&is_known).iter().filter_map(|index| self.soft.get(*index).copied()).collect();
        let targets = chosen(&is_target);
        let furthest = targets.iter().map(|index| self.x(*index)).fold(f64::NEG_INFINITY, f64::max);
        let Some(forecast) = Forecast::new(&known, furthest, self.chance, self.is_pooled()) else { return Vec::new() };
        targets
            .iter()
            .filter_map(|index| self.points.get(*index))
            .map(|(point, items)| {
                let x = items.x;
                let (curves, trend) = (forecast.at(x, items.n), forecast::damped_trend(&known, x));
                let both = Foretold { score: f64::midpoint(curves.score, trend.unwrap_or(curves.score)), ..curves };
                let mut said = vec![Said::of(Method::Curves, Ok(curves))];
                // Where families are mixed the last models are no neighbours, and another family has no last value.
                if !self.is_pooled() {
                    said.push(Said::of(Method::CurvesAndTrend, Ok(both)));
                }
                if left_out.is_none() {
                    said.push(Said::point(Method::DampedTrend, trend));
                    said.push(Said::point(Method::LastValue, forecast::last_value(&known)));
                }
                said.push(Said::point(Method::Linear, forecast::linear(&known, x)));
                said.push(Said::of(Method::TwoStep, forecast::two_step(&known, &soft, x, items.n, self.chance)));
                said.push(Said::of(Method::OneStep, forecast::one_step(&known, x, items.n, self.chance)));
                Prediction {
                    task: self.curve.task.clone(),
                    family: self.curve.family.clone(),
                    prompt: self.curve.prompt.clone(),
                    metric: self.curve.metric.clone(),
                    model: point.model.clone(),
                    left_out: left_out.map(str::to_owned),
                    x: point.x,
                    models: known.len(),
                    ahead: cut.map(|cut| x - cut),
                    seen: items.mean(),
                    n: point.n,
                    said,
                }
            })
            .collect()
    }

    fn projection(&self) -> Option<Projection> {
        let known: Vec<Items> = self.points.iter().map(|(_, items)| *items).collect();
        let (last, items) = self.points.last()?;
        let x = items.x + AHEAD;
        let forecast = Forecast::new(&known, x, self.chance, self.is_pooled())?;
        Some(Projection {
            task: self.curve.task.clone(),
            family: self.curve.family.clone(),
            prompt: self.curve.prompt.clone(),
            metric: self.curve.metric.clone(),
            axis: self.curve.axis.clone(),
            largest: items.mean(),
            from: last.x,
            x: self.ruler.measure(self.unit * 10_f64.powf(x)),
            projected: forecast.at(x, items.n),
            by_shape: forecast.by_shape(x),
        })
    }
}

/// Minus the held-out loss of every model, where all have one and it is not the scale itself: what is soft about a model whose records
/// have no soft metric.
fn losses(manifest: &RunManifest, axis: Axis, points: &[(&Point, Items)]) -> Option<Vec<f64>> {
    let loss = |point: &Point| {
        let is_own = |model: &&ModelEntry| {
            (&model.name, model.scale.seed, model.scale.checkpoint) == (&point.model, point.seed, point.checkpoint)
        };
        manifest.models.iter().find(is_own)?.scale.loss.filter(|loss| *loss > 0.0)
    };
    if axis.falls() {
        return None;
    }
    points.iter().map(|(point, _)| Some(-loss(point)?)).collect()
}

/// Per distance and method the error and the coverage.
fn accuracy(predictions: &[Prediction]) -> Vec<Accuracy> {
    let mut found = Vec::new();
    let mut low = 0.0;
    for high in BINS {
        let own: Vec<&Prediction> =
            predictions.iter().filter(|one| one.ahead.is_some_and(|ahead| ahead > low && ahead <= high + 1e-9)).collect();
        found.extend(Method::ALL.iter().filter_map(|method| of_method(*method, &format!("{low} to {high} decades"), &own)));
        low = high;
    }
    let own: Vec<&Prediction> = predictions.iter().filter(|one| one.left_out.is_some()).collect();
    found.extend(Method::ALL.iter().filter_map(|method| of_method(*method, "another family", &own)));
    found
}

/// Per task the errors, those of `Curves`, whether the intervals hold the score, and their widths.
#[derive(Default)]
struct OfTask<'a> {
    name: &'a str,
    errors: Vec<f64>,
    errors_of_curves: Vec<f64>,
    held: Vec<f64>,
    widths: Vec<f64>,
}

fn of_method(method: Method, ahead: &str, predictions: &[&Prediction]) -> Option<Accuracy> {
    let mut tasks: Vec<OfTask<'_>> = Vec::new();
    let mut refused = 0;
    for one in predictions {
        let Some(said) = one.said.iter().find(|said| said.method == method) else { continue };
        let Some(score) = said.score else {
            refused += 1;
            continue;
        };
        if !tasks.iter().any(|one_task| one_task.name == one.task) {
            tasks.push(OfTask { name: &one.task, ..OfTask::default() });
        }
        let task = tasks.iter_mut().find(|task| task.name == one.task)?;
        task.errors.push(100.0 * (score - one.seen).abs());
        let curves = one.said.iter().find(|said| said.method == Method::Curves);
        task.errors_of_curves.extend(curves.and_then(|said| said.score).map(|score| 100.0 * (score - one.seen).abs()));
        if let (Some(low), Some(high)) = (said.low, said.high) {
            task.held.push(f64::from(u8::from((low - 1e-9..=high + 1e-9).contains(&one.seen))));
            task.widths.push(100.0 * (high - low));
        }
    }
    let errors: Vec<&[f64]> = tasks.iter().map(|one| one.errors.as_slice()).collect();
    let of_curves: Vec<&[f64]> = tasks.iter().map(|one| one.errors_of_curves.as_slice()).collect();
    let held: Vec<&[f64]> = tasks.iter().map(|one| one.held.as_slice()).filter(|one| !one.is_empty()).collect();
    let widths: Vec<&[f64]> = tasks.iter().map(|one| one.widths.as_slice()).collect();
    let n = errors.iter().map(|one| one.len()).sum();
    (n + refused > 0).then(|| Accuracy {
        method,
        ahead: ahead.to_owned(),
        n,
        tasks: tasks.len(),
        refused,
        error: mean(&errors),
        interval: bootstrap(&errors),
        error_of_curves: mean(&of_curves),
        coverage: mean(&held),
        coverage_interval: bootstrap(&held),
        width: mean(&widths),
    })
}

fn mean(groups: &[&[f64]]) -> Option<f64> {
    let n: usize = groups.iter().map(|group| group.len()).sum();
    (n > 0).then(|| groups.iter().flat_map(|group| group.iter()).sum::<f64>() / n as f64)
}

/// The 95 % interval of a mean, by a bootstrap of groups; none for fewer than two.
fn bootstrap(groups: &[&[f64]]) -> Option<[f64; 2]> {
    if groups.len() < 2 {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let drawn: Vec<&[f64]> =
                (0..groups.len()).filter_map(|_| groups.get(rng.random_range(0..groups.len())).copied()).collect();
            mean(&drawn)
        })
        .collect();
    means.sort_by(f64::total_cmp);
    Some([*means.get(RESAMPLES / 40)?, *means.get(RESAMPLES - 1 - RESAMPLES / 40)?])
}
