//! The posterior probability of every shape, and where the rise is.
//!
//! Curves are drawn from every family, weighed by the likelihood of the data, and each drawn curve is judged by its shape, not
//! by the family that it came from. The data are then changed: two items more and two items fewer right, at one model after the
//! other; the probability of a shape is the least over all these data sets, so that no verdict hangs on two items.
#![expect(clippy::indexing_slicing, reason = "arrays by shape, family and model, of known length")]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::curves::CURVES;
use crate::schema::{CurveFamily, Proposal, Sizes};
use crate::stats::{Draws, Effort, adaptive, tempered};

use super::likelihood::{DIMENSIONS, Items, Likelihood, Noise};
use super::shape::{Seen, Shape, see};

/// How much is drawn from each family.
const EFFORT: Effort = Effort { points: 768, rounds: 3, most_rounds: 14, enough: 180.0, particles: 800, least: 30.0 };
/// The same for forecasts, whose figures need not be as fine as those near a cut.
const FORECAST_EFFORT: Effort =
    Effort { points: 512, rounds: 2, most_rounds: 8, enough: 100.0, particles: 400, least: 20.0 };
/// Nats behind the best family, and half of one more for every model, beyond which a family is not worth more work: a first estimate
/// may be wrong by a good part of that.
const HOPELESS: f64 = 10.0;
/// Draws of a family that its best curve is looked for among, and steps from there.
const BEST_DRAWS: usize = 48;
const POLISHING: usize = 120;
/// Numbers that are free in the noise about a curve.
const NOISE_PARAMETERS: usize = 2;
/// Runs behind a log evidence, and nats behind the best family beyond which a family adds nothing to it, roughly as these are
/// known.
const RUNS: u64 = 3;
const NEGLECTED: f64 = 8.0;
/// Draws of each family that are looked at, and the probability below which a family is not.
const LOOKED_AT: usize = 1_000;
const NEGLIGIBLE: f64 = 1e-7;
/// Items that may go the other way.
const FLIPS: f64 = 2.0;
/// Items from which on two of them do not matter.
const MANY_ITEMS: f64 = 400.0;

/// One drawn curve.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn {
    pub(super) weight: f64,
    pub(super) seen: Seen,
}

/// What the data say.
#[derive(Debug, Clone)]
pub(super) struct Posterior {
    /// The probability of every shape.
    pub(super) shapes: [f64; Shape::COUNT],
    /// The same with two items the other way at whichever model hurts it most.
    pub(super) least: [f64; Shape::COUNT],
    /// The least probability of a rise from a plateau, at chance or above it.
    pub(super) least_rise: f64,
    /// Per family of curves the corrected criterion of Akaike of its best curve.
    pub(super) criteria: Vec<Option<f64>>,
    /// The drawn curves; their weights sum to one.
    pub(super) draws: Vec<Drawn>,
}

impl Posterior {
    /// The probability of a shape, as little as it may be.
    pub(super) fn least(&self, shape: Shape) -> f64 {
        self.least[shape as usize]
    }

    /// Quantiles of a figure of the drawn curves that `choose` keeps; none when they weigh nothing.
    pub(super) fn quantiles<const Q: usize>(
        &self,
        choose: impl Fn(&Seen) -> bool,
        value: impl Fn(&Seen) -> f64,
        at: [f64; Q],
    ) -> Option<[f64; Q]> {
        let mut kept: Vec<(f64, f64)> =
            self.draws.iter().filter(|drawn| choose(&drawn.seen)).map(|drawn| (value(&drawn.seen), drawn.weight)).collect();
        kept.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
        if total < 1e-6 {
            return None;
        }
        Some(at.map(|quantile| {
            let mut sum = 0.0;
            let found = kept.iter().find(|(_, weight)| {
                sum += weight;
                sum >= quantile * total
            });
            found.or(kept.last()).map_or(f64::NAN, |(value, _)| *value)
        }))
    }
}

/// Curves of every family, weighed by the data.
pub(super) struct Weighed {
    likelihood: Likelihood,
    draws: Vec<Draws<DIMENSIONS>>,
    /// The probability of every family.
    pub(super) families: Vec<f64>,
}

impl Weighed {
    /// Draws curves over `sizes`, which may reach beyond the items, to be foretold from.
    pub(super) fn ahead(items: &[Items], sizes: &Sizes, is_pooled: bool) -> Self {
        Self::new(items, sizes, is_pooled, FORECAST_EFFORT)
    }

    fn new(items: &[Items], sizes: &Sizes, is_pooled: bool, effort: Effort) -> Self {
        let likelihood = Likelihood::new(items, *sizes, is_pooled);
        let hopeless = 0.5f64.mul_add(items.len() as f64, HOPELESS);
        let mut best = f64::NEG_INFINITY;
        let mut draws: Vec<Draws<DIMENSIONS>> = Vec::new();
        // From the last to the first: the curves that bend fit best, and what is far behind them need not be known well.
        for family in CURVES.iter().rev() {
            let prior = family.prior().ln();
            let own = adaptive(effort, best - hopeless - prior, |cube| {
                let (proposal, noise) = likelihood.propose(*family, cube);
                likelihood.log(&proposal, noise)
            });
            best = best.max(own.log_integral + prior);
            draws.push(own);
        }
        draws.reverse();
        let joint = |draws: &[Draws<DIMENSIONS>]| -> Vec<f64> {
            CURVES.iter().zip(draws).map(|(family, draws)| draws.log_integral + family.prior().ln()).collect()
        };
        for (index, family) in CURVES.iter().enumerate() {
            let own = &draws[index];
            if own.effective < effort.least && own.log_integral + family.prior().ln() > best - hopeless {
                draws[index] = tempered(effort.particles, 1, |cube| {
                    let (proposal, noise) = likelihood.propose(*family, cube);
                    likelihood.log(&proposal, noise)
                });
            }
        }
        let joint = joint(&draws);
        let best = joint.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = joint.iter().map(|log| (log - best).exp()).sum();
        let families = joint.iter().map(|log| (log - best).exp() / sum).collect();
        Self { likelihood, draws, families }
    }

    /// Per family the corrected criterion of Akaike of its best curve, `-2 ln L + 2 k + 2 k (k + 1) / (N - k - 1)` (Hurvich and Tsai 1989,
    /// Biometrika 76:297); none for those with fewer than three models more than parameters.
    pub(super) fn criteria(&self) -> Vec<Option<f64>> {
        let models = self.likelihood.models();
        let criterion = |(family, draws): (&&dyn CurveFamily, &Draws<DIMENSIONS>)| {
            let k = family.parameters() + NOISE_PARAMETERS;
            let freedom = models.checked_sub(k + 1).filter(|freedom| *freedom >= 2)?;
            let correction = 2.0 * (k * (k + 1)) as f64 / freedom as f64;
            Some(2.0f64.mul_add(k as f64 - self.best(*family, draws), correction))
        };
        CURVES.iter().zip(&self.draws).map(criterion).collect()
    }

    /// The greatest likelihood of a family: of its heaviest draws, and of the places about the best of them.
    fn best(&self, family: &dyn CurveFamily, draws: &Draws<DIMENSIONS>) -> f64 {
        let log = |cube: &[f64; DIMENSIONS]| {
            let (proposal, noise) = self.likelihood.propose(family, cube);
            self.likelihood.log(&proposal, noise)
        };
        let mut heaviest: Vec<(usize, f64)> = draws.weights.iter().copied().enumerate().collect();
        heaviest.sort_by(|a, b| b.1.total_cmp(&a.1));
        let tried = heaviest.iter().take(BEST_DRAWS).map(|(index, _)| (draws.points[*index], log(&draws.points[*index])));
        let Some((mut at, mut best)) = tried.max_by(|a, b| a.1.total_cmp(&b.1)) else { return f64::NEG_INFINITY };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for step in 0..POLISHING {
            let width = 0.1f64.mul_add(1.0 - step as f64 / POLISHING as f64, 0.002);
            let near = at.map(|place| {
                let moved: f64 = StandardNormal.sample(&mut rng);
                width.mul_add(moved, place).clamp(0.0, 1.0 - 1e-9)
            });
            let found = log(&near);
            if found > best {
                (at, best) = (near, found);
            }
        }
        best
    }

    /// Shows every drawn curve of some weight, with the index of its family, its noise and its weight.
    pub(super) fn each(&self, mut show: impl FnMut(usize, Proposal, Noise, f64)) {
        for (index, (family, draws)) in CURVES.iter().zip(&self.draws).enumerate() {
            let chance = self.families[index];
            if chance <= NEGLIGIBLE {
                continue;
            }
            for (cube, weight) in draws.thinned(LOOKED_AT) {
                let (proposal, noise) = self.likelihood.propose(*family, cube);
                show(index, proposal, noise, weight * chance);
            }
        }
    }
}

/// The posterior of a curve; the items by rising scale.
pub(super) fn posterior(items: &[Items], sizes: &Sizes, is_pooled: bool) -> Posterior {
    let weighed = Weighed::new(items, sizes, is_pooled, EFFORT);
    let likelihood = &weighed.likelihood;
    // The models at which two items may go the other way.
    let few: Vec<usize> = (0..items.len()).filter(|&model| items[model].n < MANY_ITEMS).collect();
    let [more, fewer] = [FLIPS, -FLIPS].map(|flip| {
        let changed: Vec<Items> =
            items.iter().map(|item| Items { right: (item.right + flip).clamp(0.0, item.n), ..*item }).collect();
        Likelihood::new(&changed, *sizes, is_pooled)
    });
    let mut kept: Vec<Drawn> = Vec::new();
    // The summed weight of every shape: of the data as they are, and with each of these models changed, up and down.
    let mut sums = vec![[0.0; Shape::COUNT]; 2 * few.len() + 1];
    weighed.each(|_, proposal, noise, weight| {
        let seen = see(&proposal, sizes);
        kept.push(Drawn { weight, seen });
        let shape = seen.shape as usize;
        sums[0][shape] += weight;
        for (pair, &model) in few.iter().enumerate() {
            let ratios = likelihood.ratios(model, [&more, &fewer], &proposal, noise);
            for (direction, ratio) in ratios.into_iter().enumerate() {
                sums[2 * pair + direction + 1][shape] += weight * ratio;
            }
        }
    });
    for sums in &mut sums {
        let total: f64 = sums.iter().sum();
        sums.iter_mut().for_each(|sum| *sum /= total);
    }
    let total: f64 = kept.iter().map(|drawn| drawn.weight).sum();
    kept.iter_mut().for_each(|drawn| drawn.weight /= total);
    let least = std::array::from_fn(|shape| sums.iter().map(|sums| sums[shape]).fold(1.0, f64::min));
    let rise = |sums: &[f64; Shape::COUNT]| sums[Shape::Emergent as usize] + sums[Shape::Breakthrough as usize];
    let least_rise = sums.iter().map(rise).fold(1.0, f64::min);
    Posterior { shapes: sums[0], least, least_rise, criteria: weighed.criteria(), draws: kept }
}

/// The logarithm of the probability of the data under all families of curves with their priors, in nats, and its numerical standard
/// error. Importance sampling is good enough for the weights of families and not for differences of a nat between data sets, so
/// tempered sequential Monte Carlo is run several times, for the families that matter.
pub(super) fn log_evidence(items: &[Items], sizes: &Sizes, is_pooled: bool) -> (f64, f64) {
    let likelihood = Likelihood::new(items, *sizes, is_pooled);
    let log = |family: &dyn CurveFamily, cube: &[f64; DIMENSIONS]| {
        let (proposal, noise) = likelihood.propose(family, cube);
        likelihood.log(&proposal, noise)
    };
    let screened: Vec<(&dyn CurveFamily, f64)> = CURVES
        .iter()
        .map(|family| {
            (
                *family,
                adaptive(FORECAST_EFFORT, f64::NEG_INFINITY, |cube| log(*family, cube)).log_integral + family.prior().ln(),
            )
        })
        .collect();
    let best = screened.iter().map(|(_, log)| *log).fold(f64::NEG_INFINITY, f64::max);
    let sum = |logs: &[f64]| {
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + logs.iter().map(|log| (log - most).exp()).sum::<f64>().ln()
    };
    let runs: Vec<f64> = (1..=RUNS)
        .map(|seed| {
            let families = screened.iter().filter(|(_, log)| *log > best - NEGLECTED);
            let joint: Vec<f64> = families
                .map(|(family, _)| {
                    tempered(FORECAST_EFFORT.particles, seed, |cube| log(*family, cube)).log_integral + family.prior().ln()
                })
                .collect();
            sum(&joint)
        })
        .collect();
    let n = RUNS as f64;
    let mean = runs.iter().sum::<f64>() / n;
    let variance = runs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (sum(&runs) - n.ln(), (variance / n).sqrt())
}
