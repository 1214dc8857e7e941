//! What smaller models say of larger ones: the scores that the curves they allow would have there.
//!
//! The direct forecast draws curves as the verdict does, weighed by the smaller models alone, over a range that reaches to the
//! model to be foretold, so that a rise may lie ahead. Beside it stand the simple rules that it must beat, and two forecasts that go
//! another way: in two steps, from scale to a soft metric and from that to the score, and by the law -log Q = A C^-a.
//!
//! A *prediction* is of a model that was run; a *projection* is of one that was not. The sums are the same.

use nalgebra::{Matrix2, Vector2};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Binomial, ChiSquared, Distribution, StandardNormal};
use serde::Serialize;

use crate::curves::CURVES;
use crate::schema::Sizes;
use crate::stats::BetaBinomial;

use super::definition::{ALPHA, CORRELATION};
use super::likelihood::{Items, NODES};
use super::posterior::Weighed;

/// Fewest sizes that a forecast is made from.
pub(super) const SIZES: usize = 4;
/// Draws from a predictive distribution.
const DRAWS: usize = 2_000;
/// Draws whose tails are added up for a surprise.
const TAILS: usize = 400;
/// The ends of a 90 % interval.
const ENDS: (f64, f64) = (0.05, 0.95);
/// Distance over which an earlier model counts less for the level, and for the slope, of a damped trend, in decades.
const LEVEL_MEMORY: f64 = 0.5;
const SLOPE_MEMORY: f64 = 1.0;
/// Spread of slopes that a damped trend expects, per decade.
const SLOPE_SPREAD: f64 = 0.15;

/// A score foretold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Foretold {
    /// The median.
    pub score: f64,
    /// Lower end of the 90 % interval of a score of as many items.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
}

/// The curves that the smaller models allow.
pub(super) struct Forecast {
    weighed: Weighed,
    sizes: Sizes,
}

impl Forecast {
    /// Weighs curves by `training` models, by rising scale; none for fewer than four sizes. `furthest` is the largest scale that will
    /// be asked for.
    pub(super) fn new(training: &[Items], furthest: f64, chance: f64, is_pooled: bool) -> Option<Self> {
        let mut scales: Vec<f64> = training.iter().map(|item| item.x).collect();
        let own = Sizes::new(&scales, chance).filter(|sizes| sizes.count >= SIZES)?;
        scales.push(furthest.max(own.last));
        // The plateau that the definition asks for is that of the models that were seen.
        let sizes = Sizes { plateau_end: own.plateau_end, gap: own.gap, ..Sizes::new(&scales, chance)? };
        Some(Self { weighed: Weighed::ahead(training, &sizes, is_pooled), sizes })
    }

    /// The scores at a scale: family, weight, score and correlation of items of every draw.
    fn scores(&self, x: f64) -> Vec<(usize, f64, f64, f64)> {
        let mut scores = Vec::new();
        self.weighed.each(|family, proposal, noise, weight| {
            for (node, part) in NODES {
                let score = proposal.score(noise.shift.mul_add(node, x), &self.sizes);
                scores.push((family, weight * part, score, noise.correlation()));
            }
        });
        scores.sort_by(|a, b| a.2.total_cmp(&b.2));
        scores
    }

    /// The score at a scale, and the interval of what `n` items of a model there would show.
    pub(super) fn at(&self, x: f64, n: f64) -> Foretold {
        let scores = self.scores(x);
        let drawn = systematic(&scores, DRAWS);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut seen: Vec<f64> = drawn.iter().map(|(.., score, rho)| observed(*score, *rho, n, &mut rng)).collect();
        seen.sort_by(f64::total_cmp);
        let median = drawn.get(drawn.len() / 2).map_or(f64::NAN, |(.., score, _)| *score);
        Foretold { score: median, low: quantile(&seen, ENDS.0), high: quantile(&seen, ENDS.1) }
    }

    /// Per family of curves its name, its probability, and its median at a scale; those of some probability only.
    pub(super) fn by_shape(&self, x: f64) -> Vec<(&'static str, f64, f64)> {
        let scores = self.scores(x);
        let own = |index: usize| -> Vec<_> { scores.iter().filter(|(family, ..)| *family == index).copied().collect() };
        CURVES
            .iter()
            .enumerate()
            .filter(|(index, _)| self.weighed.families.get(*index).is_some_and(|p| *p >= 0.005))
            .filter_map(|(index, family)| {
                let drawn = systematic(&own(index), 101);
                Some((family.name(), *self.weighed.families.get(index)?, drawn.get(50)?.2))
            })
            .collect()
    }

    /// The probability of a score at least as high as the one seen: how little the smaller models foretold it.
    pub(super) fn surprise(&self, seen: &Items) -> f64 {
        let drawn = systematic(&self.scores(seen.x), TAILS);
        let tails =
            drawn.iter().map(|(.., score, rho)| BetaBinomial::with_correlation(seen.n, *score, *rho).upper_tail(seen.right));
        tails.sum::<f64>() / drawn.len().max(1) as f64
    }
}

/// `count` of the draws, each as often as it weighs (systematic resampling), in their order.
fn systematic(scores: &[(usize, f64, f64, f64)], count: usize) -> Vec<(usize, f64, f64, f64)> {
    let total: f64 = scores.iter().map(|(_, weight, ..)| weight).sum();
    let mut kept = Vec::with_capacity(count);
    let mut sum = 0.0;
    for one in scores {
        sum += one.1;
        while kept.len() < count && (kept.len() as f64 + 0.5) / count as f64 * total <= sum {
            kept.push(*one);
        }
    }
    kept
}

/// A score of `n` items that are right with a rate about `score`.
fn observed(score: f64, rho: f64, n: f64, rng: &mut ChaCha8Rng) -> f64 {
    let size = 1.0 / rho - 1.0;
    let rate = Beta::new(score * size, (1.0 - score) * size).map_or(score, |beta| beta.sample(rng));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of items")]
    let items = n.round().max(1.0) as u64;
    Binomial::new(items, rate.clamp(0.0, 1.0)).map_or(score, |binomial| binomial.sample(rng) as f64 / items as f64)
}

fn quantile(sorted: &[f64], at: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    let place = (at * sorted.len() as f64) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// The score of the largest model of all.
pub(super) fn last_value(training: &[Items]) -> Option<f64> {
    training.last().map(Items::mean)
}

/// A straight line through all models, each of the same weight.
pub(super) fn linear(training: &[Items], x: f64) -> Option<f64> {
    let line = Line::through(training.iter().map(|item| (item.x, item.mean(), 1.0)))?;
    Some(line.at(x).clamp(0.0, 1.0))
}

/// The level of the last models and a slope that is shrunk to nothing the less the models tell of it.
pub(super) fn damped_trend(training: &[Items], x: f64) -> Option<f64> {
    let last = training.last()?.x;
    let worth =
        |item: &Items, memory: f64| item.n / (item.n - 1.0).mul_add(CORRELATION, 1.0) * ((item.x - last) / memory).exp();
    let level_weights: f64 = training.iter().map(|item| worth(item, LEVEL_MEMORY)).sum();
    let level = training.iter().map(|item| worth(item, LEVEL_MEMORY) * item.mean()).sum::<f64>() / level_weights;
    let line = Line::through(training.iter().map(|item| (item.x, item.mean(), worth(item, SLOPE_MEMORY))))?;
    // The variance of a slope of items that are right half of the time.
    let shrunk = SLOPE_SPREAD.powi(2) / SLOPE_SPREAD.mul_add(SLOPE_SPREAD, 0.25 / line.spread);
    Some((line.slope * shrunk).mul_add(x - last, level).clamp(0.0, 1.0))
}

/// A weighted least-squares line.
struct Line {
    centre: (f64, f64),
    slope: f64,
    /// The weighted sum of squares of the places about their centre.
    spread: f64,
}

impl Line {
    fn through(points: impl Iterator<Item = (f64, f64, f64)> + Clone) -> Option<Self> {
        let weight: f64 = points.clone().map(|(.., w)| w).sum();
        let x = points.clone().map(|(x, _, w)| w * x).sum::<f64>() / weight;
        let y = points.clone().map(|(_, y, w)| w * y).sum::<f64>() / weight;
        let spread: f64 = points.clone().map(|(at, _, w)| w * (at - x).powi(2)).sum();
        let slope = points.map(|(at, value, w)| w * (at - x) * (value - y)).sum::<f64>() / spread;
        (weight > 0.0 && spread > 1e-12).then_some(Self { centre: (x, y), slope, spread })
    }

    fn at(&self, x: f64) -> f64 {
        self.slope.mul_add(x - self.centre.0, self.centre.1)
    }
}

/// Why a forecast is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// Fewer than four sizes to learn from.
    FewSizes,
    /// No soft metric of the same models.
    NoSoftMetric,
    /// Fewer than three of the models are above chance, so that nothing says how scores grow.
    AtChance,
    /// The soft metric, or the score, does not get better with scale.
    NoProgress,
}

/// What a line through points says of another place, and the standard error of a point there.
fn extrapolate(points: &[(f64, f64)], x: f64) -> Option<(f64, f64)> {
    let line = Line::through(points.iter().map(|(x, y)| (*x, *y, 1.0)))?;
    let count = points.len() as f64;
    let squares: f64 = points.iter().map(|(x, y)| (y - line.at(*x)).powi(2)).sum();
    let scatter = squares / (count - 2.0).max(1.0);
    let variance = scatter * (1.0 + 1.0 / count + (x - line.centre.0).powi(2) / line.spread);
    Some((line.at(x), variance.sqrt()))
}

/// The one-step law: with Q the score over chance as a part of the headroom, log(-log Q) is linear in the logarithm of scale
/// (OpenAI 2023, GPT-4 Technical Report; Hu et al. 2023 for pass rates).
pub(super) fn one_step(training: &[Items], x: f64, n: f64, chance: f64) -> Result<Foretold, Refused> {
    let distinct = Sizes::new(&training.iter().map(|item| item.x).collect::<Vec<_>>(), chance);
    if distinct.is_none_or(|sizes| sizes.count < SIZES) {
        return Err(Refused::FewSizes);
    }
    if above_chance(training, chance) < 3 {
        return Err(Refused::AtChance);
    }
    // log A - a log C falls with scale: the link's argument is minus that.
    let places: Vec<f64> = training.iter().map(|item| item.x).collect();
    let link = Link::fit(Form::OneStep, training, &places, chance).ok_or(Refused::NoProgress)?;
    Ok(foretold(|[_, low, slope]| link.moved([low, slope]).score(x), training.len(), link.correlation(n), n))
}

/// How many models are above chance, each by a test of its own.
fn above_chance(training: &[Items], chance: f64) -> usize {
    let p = |item: &Items| BetaBinomial::with_correlation(item.n, chance.max(1e-3), CORRELATION).upper_tail(item.right);
    training.iter().filter(|item| p(item) < ALPHA).count()
}

/// In two steps (Dubey et al. 2024 and Bhagia et al. 2024 in form): the soft metric over scale, linear, or where it is negative, as a
/// log-probability is, a power law; and the score over the soft metric, logistic above chance.
pub(super) fn two_step(training: &[Items], soft: &[f64], x: f64, n: f64, chance: f64) -> Result<Foretold, Refused> {
    let distinct = Sizes::new(&training.iter().map(|item| item.x).collect::<Vec<_>>(), chance);
    if distinct.is_none_or(|sizes| sizes.count < SIZES) {
        return Err(Refused::FewSizes);
    }
    if soft.len() != training.len() {
        return Err(Refused::NoSoftMetric);
    }
    if above_chance(training, chance) < 2 {
        return Err(Refused::AtChance);
    }
    let is_negative = soft.iter().all(|value| *value < 0.0);
    let transform = |value: f64| if is_negative { -(-value).ln() } else { value };
    let back = |value: f64| if is_negative { -(-value).exp() } else { value };
    let points: Vec<(f64, f64)> = training.iter().zip(soft).map(|(item, value)| (item.x, transform(*value))).collect();
    let (at, error) = extrapolate(&points, x).ok_or(Refused::NoProgress)?;
    if at <= extrapolate(&points, x - 1.0).ok_or(Refused::NoProgress)?.0 {
        return Err(Refused::NoProgress);
    }
    let link = Link::fit(Form::Logistic, training, soft, chance).ok_or(Refused::NoProgress)?;
    let score = |[z, low, slope]: [f64; 3]| link.moved([low, slope]).score(back(error.mul_add(z, at)));
    Ok(foretold(score, training.len(), link.correlation(n), n))
}

/// How the share of the headroom depends on the argument of a link.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// `1 / (1 + e^-t)`.
    Logistic,
    /// `e^-e^-t`: with `t = a log C - log A` the one-step law.
    OneStep,
}

impl Form {
    /// The share and its slope.
    fn share(self, t: f64) -> (f64, f64) {
        match self {
            Self::Logistic => {
                let share = 1.0 / (1.0 + (-t).exp());
                (share, share * (1.0 - share))
            }
            Self::OneStep => {
                let fall = (-t).exp();
                let share = (-fall).exp();
                // Where nothing is left of the share, nothing is left of its slope.
                (share, if share > 0.0 { share * fall } else { 0.0 })
            }
        }
    }
}

/// A score between chance and one as a function of a measure of the models, by maximum likelihood of the items with a weak prior on its
/// slope. Models at chance take part: that they lie on the floor is no hindrance to a likelihood.
struct Link {
    form: Form,
    chance: f64,
    centre: f64,
    spread: f64,
    low: f64,
    slope: f64,
    /// The lower triangle whose square is the covariance of `low` and `slope`, widened by how far the models scatter about the fit.
    error: Matrix2<f64>,
    /// How many times the variance of their items models scatter about the fit; one at least.
    scatter: f64,
}

impl Link {
    fn fit(form: Form, training: &[Items], soft: &[f64], chance: f64) -> Option<Self> {
        let count = soft.len() as f64;
        let centre = soft.iter().sum::<f64>() / count;
        let spread = (soft.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / count).sqrt();
        let mut link = Self { form, chance, centre, spread, low: 0.0, slope: 1.0, error: Matrix2::zeros(), scatter: 1.0 };
        if spread.is_nan() || spread <= 1e-9 {
            return None;
        }
        // Fisher scoring, with steps halved while they make it worse.
        for _ in 0..60 {
            let mut gradient = Vector2::new(0.0, -link.slope / 25.0);
            let mut information = Matrix2::new(1e-6, 0.0, 0.0, 1.0 / 25.0);
            let mut squares = 0.0;
            for (item, value) in training.iter().zip(soft) {
                let z = (value - centre) / spread;
                let (share, slope) = form.share(link.slope.mul_add(z, link.low));
                let score = (1.0 - chance).mul_add(share, chance).clamp(1e-6, 1.0 - 1e-6);
                let worth = item.n / (item.n - 1.0).mul_add(CORRELATION, 1.0);
                let steep = (1.0 - chance) * slope;
                squares += worth * (item.mean() - score).powi(2) / (score * (1.0 - score));
                let direction = Vector2::new(1.0, z);
                gradient += direction * (worth * (item.mean() - score) / (score * (1.0 - score)) * steep);
                information += direction * direction.transpose() * (worth * steep * steep / (score * (1.0 - score)));
            }
            let solved = information.cholesky()?;
            let step = solved.solve(&gradient);
            link.low += step.x.clamp(-1.0, 1.0);
            link.slope += step.y.clamp(-1.0, 1.0);
            link.scatter = (squares / (count - 2.0).max(1.0)).max(1.0);
            link.error = (solved.inverse() * link.scatter).cholesky()?.l();
        }
        (link.slope > 0.0 && link.low.is_finite()).then_some(link)
    }

    /// The same with its parameters moved by so many standard errors.
    fn moved(&self, by: [f64; 2]) -> Self {
        let moved = self.error * Vector2::from(by);
        Self { low: self.low + moved.x, slope: (self.slope + moved.y).max(0.0), ..*self }
    }

    fn score(&self, soft: f64) -> f64 {
        let z = (soft - self.centre) / self.spread;
        (1.0 - self.chance).mul_add(self.form.share(self.slope.mul_add(z, self.low)).0, self.chance)
    }

    /// The correlation of the `n` items of a model with which they scatter as the known models do.
    fn correlation(&self, n: f64) -> f64 {
        let variance = self.scatter * (n - 1.0).mul_add(CORRELATION, 1.0);
        ((variance - 1.0) / (n - 1.0).max(1.0)).clamp(CORRELATION, 0.9)
    }
}

/// A median and the 90 % interval of the scores of `n` items with a correlation, for a score that depends on errors of a fit to
/// `models` with two parameters: Student's.
fn foretold(score: impl Fn([f64; 3]) -> f64, models: usize, correlation: f64, n: f64) -> Foretold {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let freedom = models.saturating_sub(2).max(1) as f64;
    let mut seen: Vec<f64> = (0..DRAWS)
        .map(|_| {
            // One estimate of the scatter widens them all.
            let chi = ChiSquared::new(freedom).map_or(freedom, |law| law.sample(&mut rng));
            let wide = (freedom / chi.max(1e-9)).sqrt();
            let errors: [f64; 3] = std::array::from_fn(|_| {
                let error: f64 = StandardNormal.sample(&mut rng);
                wide * error
            });
            observed(score(errors).clamp(1e-6, 1.0 - 1e-6), correlation, n, &mut rng)
        })
        .collect();
    seen.sort_by(f64::total_cmp);
    Foretold { score: score([0.0; 3]), low: quantile(&seen, ENDS.0), high: quantile(&seen, ENDS.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: f64 = 500.0;

    fn items(scores: impl Fn(f64) -> f64, count: usize) -> Vec<Items> {
        (0..count)
            .map(|index| {
                let x = 0.5 * index as f64;
                Items { x, right: (N * scores(x)).round(), n: N, family: 0 }
            })
            .collect()
    }

    #[test]
    fn what_grows_steadily_is_foretold_and_a_jump_is_a_surprise() {
        let line = |x: f64| 0.1f64.mul_add(x, 0.3);
        let forecast = Forecast::new(&items(line, 7), 4.0, 0.25, false).unwrap();
        let said = forecast.at(4.0, N);
        assert!((said.score - line(4.0)).abs() < 0.05, "{said:?}");
        assert!(said.low < line(4.0) && line(4.0) < said.high && said.high - said.low < 0.4, "{said:?}");
        assert!(forecast.surprise(&Items { x: 4.0, right: N * line(4.0), n: N, family: 0 }) > 0.1);
        let shapes = forecast.by_shape(4.0);
        assert!((shapes.iter().map(|(_, p, _)| p).sum::<f64>() - 1.0).abs() < 0.05, "{shapes:?}");
        let flat = Forecast::new(&items(|_| 0.25, 7), 3.5, 0.25, false).unwrap();
        assert!((flat.at(3.5, N).score - 0.25).abs() < 0.02);
        assert!(flat.surprise(&Items { x: 3.5, right: 0.9 * N, n: N, family: 0 }) < 0.05);
        assert!(Forecast::new(&items(line, 3), 4.0, 0.25, false).is_none(), "three sizes foretell nothing");
    }

    #[test]
    fn simple_rules_are_what_they_say() {
        let line = items(|x| 0.1f64.mul_add(x, 0.3), 7);
        assert!((last_value(&line).unwrap() - 0.6).abs() < 1e-9);
        assert!((linear(&line, 4.0).unwrap() - 0.7).abs() < 1e-9);
        // Damped: no farther than the line, no lower than the level of the last models.
        let damped = damped_trend(&line, 4.0).unwrap();
        assert!(damped > 0.55 && damped < 0.7, "{damped}");
        assert_eq!(last_value(&[]), None);
    }

    #[test]
    fn the_one_step_law_finds_its_own_curve_and_refuses_chance() {
        // -log Q = 3 C^-.4 over a chance of .25.
        let law = |x: f64| 0.75f64.mul_add((-3.0 * 10_f64.powf(-0.4 * x)).exp(), 0.25);
        let said = one_step(&items(law, 6), 4.0, N, 0.25).unwrap();
        assert!((said.score - law(4.0)).abs() < 0.02, "{said:?} {}", law(4.0));
        assert!(said.low < law(4.0) && law(4.0) < said.high);
        assert_eq!(one_step(&items(|_| 0.25, 6), 4.0, N, 0.25), Err(Refused::AtChance));
        assert_eq!(one_step(&items(law, 3), 4.0, N, 0.25), Err(Refused::FewSizes));
        assert_eq!(one_step(&items(|x| 0.7 - 0.1 * x, 4), 3.0, N, 0.25), Err(Refused::NoProgress));
    }

    #[test]
    fn two_steps_follow_a_soft_metric_to_the_score() {
        let soft = |x: f64| -3.0 * 10_f64.powf(-0.3 * x);
        let score = |x: f64| 1.0 / (1.0 + (-(3.0f64.mul_add(soft(x), 4.0))).exp());
        let training = items(score, 6);
        let values: Vec<f64> = training.iter().map(|item| soft(item.x)).collect();
        let said = two_step(&training, &values, 4.0, N, 0.0).unwrap();
        assert!((said.score - score(4.0)).abs() < 0.02, "{said:?} {}", score(4.0));
        assert_eq!(two_step(&training, &[], 4.0, N, 0.0), Err(Refused::NoSoftMetric));
        assert_eq!(two_step(&items(|_| 0.25, 6), &values, 4.0, N, 0.25), Err(Refused::AtChance));
        let falling: Vec<f64> = values.iter().rev().copied().collect();
        assert_eq!(two_step(&training, &falling, 4.0, N, 0.0), Err(Refused::NoProgress));
    }
}
