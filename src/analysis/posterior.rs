//! The posterior probability of every shape, and where the rise is.
//!
//! Curves are drawn from every family, weighed by the likelihood of the data, and each drawn curve is judged by its shape, not
//! by the family that it came from. The data are then changed: two items more and two items fewer right, at one model after the
//! other; the probability of a shape is the least over all these data sets, so that no verdict hangs on two items.
#![expect(clippy::indexing_slicing, reason = "arrays by shape, family and model, of known length")]

use crate::curves::CURVES;
use crate::schema::{CurveFamily, Sizes};
use crate::stats::{Draws, Effort, adaptive, tempered};

use super::likelihood::{DIMENSIONS, Items, Likelihood};
use super::shape::{Seen, Shape, see};

/// How much is drawn from each family.
const EFFORT: Effort = Effort { points: 768, rounds: 3, most_rounds: 14, enough: 180.0, particles: 800, least: 30.0 };
/// Nats behind the best family beyond which a family is not worth the slower method.
const HOPELESS: f64 = 80.0;
/// Runs behind a log evidence, and nats behind the best family beyond which a family adds nothing to it, roughly as these are
/// known.
const RUNS: u64 = 4;
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

/// The posterior of a curve; the items by rising scale.
pub(super) fn posterior(items: &[Items], sizes: &Sizes, is_pooled: bool) -> Posterior {
    let likelihood = Likelihood::new(items, *sizes, is_pooled);
    let mut draws: Vec<Draws<DIMENSIONS>> = Vec::new();
    for family in CURVES {
        draws.push(adaptive(EFFORT, |cube| {
            let (proposal, noise) = likelihood.propose(*family, cube);
            likelihood.log(&proposal, noise)
        }));
    }
    let joint = |draws: &[Draws<DIMENSIONS>]| -> Vec<f64> {
        CURVES.iter().zip(draws).map(|(family, draws)| draws.log_integral + family.prior().ln()).collect()
    };
    let best = joint(&draws).into_iter().fold(f64::NEG_INFINITY, f64::max);
    for (index, family) in CURVES.iter().enumerate() {
        let own = &draws[index];
        if own.effective < EFFORT.least && own.log_integral + family.prior().ln() > best - HOPELESS {
            draws[index] = tempered(EFFORT.particles, 1, |cube| {
                let (proposal, noise) = likelihood.propose(*family, cube);
                likelihood.log(&proposal, noise)
            });
        }
    }
    let joint = joint(&draws);
    let best = joint.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = joint.iter().map(|log| (log - best).exp()).sum();
    let chances: Vec<f64> = joint.iter().map(|log| (log - best).exp() / sum).collect();

    let variants = flipped(items);
    let flipped: Vec<Likelihood> = [FLIPS, -FLIPS]
        .iter()
        .map(|flip| {
            let changed: Vec<Items> =
                items.iter().map(|item| Items { right: (item.right + flip).clamp(0.0, item.n), ..*item }).collect();
            Likelihood::new(&changed, *sizes, is_pooled)
        })
        .collect();
    let mut kept: Vec<Drawn> = Vec::new();
    // Per variant the summed weight of every shape.
    let mut sums = vec![[0.0; Shape::COUNT]; variants.len() + 1];
    let families = CURVES.iter().zip(&draws).zip(&chances).filter(|(_, chance)| **chance > NEGLIGIBLE);
    for ((family, draws), chance) in families {
        for (cube, weight) in draws.thinned(LOOKED_AT) {
            let weight = weight * chance;
            let (proposal, noise) = likelihood.propose(*family, cube);
            let seen = see(&proposal, sizes);
            kept.push(Drawn { weight, seen });
            let shape = seen.shape as usize;
            sums[0][shape] += weight;
            for (slot, &(model, direction)) in variants.iter().enumerate() {
                let changed = flipped[direction].of_model(model, &proposal, noise);
                sums[slot + 1][shape] += weight * changed / likelihood.of_model(model, &proposal, noise);
            }
        }
    }
    for sums in &mut sums {
        let total: f64 = sums.iter().sum();
        sums.iter_mut().for_each(|sum| *sum /= total);
    }
    let total: f64 = kept.iter().map(|drawn| drawn.weight).sum();
    kept.iter_mut().for_each(|drawn| drawn.weight /= total);
    let least = std::array::from_fn(|shape| sums.iter().map(|sums| sums[shape]).fold(1.0, f64::min));
    let rise = |sums: &[f64; Shape::COUNT]| sums[Shape::Emergent as usize] + sums[Shape::Breakthrough as usize];
    let least_rise = sums.iter().map(rise).fold(1.0, f64::min);
    Posterior { shapes: sums[0], least, least_rise, draws: kept }
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
        .map(|family| (*family, adaptive(EFFORT, |cube| log(*family, cube)).log_integral + family.prior().ln()))
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
                    tempered(EFFORT.particles, seed, |cube| log(*family, cube)).log_integral + family.prior().ln()
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

/// The models at which two items may go the other way, with the direction: 0 more right, 1 fewer.
fn flipped(items: &[Items]) -> Vec<(usize, usize)> {
    let few = items.iter().enumerate().filter(|(_, item)| item.n < MANY_ITEMS);
    few.flat_map(|(model, _)| [(model, 0), (model, 1)]).collect()
}
