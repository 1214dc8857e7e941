//! Integrals over the unit cube: the logarithm of the integral of a likelihood, and draws in proportion to it.
//!
//! Both methods are deterministic. Adaptive importance sampling is fast and good where the likelihood is not too narrow;
//! tempered sequential Monte Carlo is slower and finds narrow places. `integrate` takes the first and falls back on the second.

use nalgebra::{SMatrix, SVector};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Bins on each axis of the importance density.
const BINS: usize = 12;
/// The part of the density that stays uniform, so that no place is lost for good.
const UNIFORM: f64 = 0.3;
/// Halvings in the search for the next temperature.
const BISECTIONS: usize = 40;
/// Moves of every particle at every temperature.
const MOVES: usize = 4;

/// Weighted points of a cube.
#[derive(Debug, Clone)]
pub struct Draws<const D: usize> {
    /// Logarithm of the integral.
    pub log_integral: f64,
    /// The points.
    pub points: Vec<[f64; D]>,
    /// Their weights; the sum is one.
    pub weights: Vec<f64>,
    /// The number of equal draws that would be worth as much, `1 / sum w^2` (Kish 1965).
    pub effective: f64,
}

impl<const D: usize> Draws<D> {
    /// The points with their weights, or about `count` of them in their place: systematic resampling, in which a point that
    /// weighs more than its share stands for more.
    #[must_use]
    pub fn thinned(&self, count: usize) -> Vec<(&[f64; D], f64)> {
        if self.points.len() <= count {
            return self.points.iter().zip(self.weights.iter().copied()).collect();
        }
        let mut kept: Vec<(&[f64; D], f64)> = Vec::new();
        let mut last = None;
        for index in chosen(&self.weights, count) {
            match kept.last_mut().filter(|_| last == Some(index)) {
                Some((_, weight)) => *weight += 1.0 / count as f64,
                None => kept.push((&self.points[index], 1.0 / count as f64)),
            }
            last = Some(index);
        }
        kept
    }
}

/// How hard to try.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Points in each round of importance sampling.
    pub points: usize,
    /// Rounds at least; the first only finds the way.
    pub rounds: usize,
    /// Rounds at most, while the draws are worth less than `enough`.
    pub most_rounds: usize,
    /// Effective draws that are enough.
    pub enough: f64,
    /// Particles of the fallback.
    pub particles: usize,
    /// Effective draws below which importance sampling is not believed after all its rounds.
    pub least: f64,
}

/// Point `index` of the additive recurrence with the generalised golden ratio, a sequence of low discrepancy (Roberts 2018).
fn kronecker<const D: usize>(index: usize, shift: f64) -> [f64; D] {
    let mut ratio = 2.0_f64;
    for _ in 0..60 {
        ratio = (1.0 + ratio).powf(1.0 / (D as f64 + 1.0));
    }
    let mut power = 1.0;
    std::array::from_fn(|_| {
        power /= ratio;
        ((index + 1) as f64).mul_add(power, shift).fract()
    })
}

/// Importance sampling whose density, a product of histograms, adapts between rounds (Lepage 1978, VEGAS). The rounds after
/// the first are averaged, each by what its draws are worth. It stops where the logarithm of the integral seems to be below `least`.
pub fn adaptive<const D: usize>(effort: Effort, least: f64, mut log_likelihood: impl FnMut(&[f64; D]) -> f64) -> Draws<D> {
    let mut density = [[1.0; BINS]; D];
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut points, mut logs, mut rounds) = (Vec::new(), Vec::new(), 0.0);
    // The recurrence itself is the same for every round; only its shift differs.
    let base: Vec<[f64; D]> = (0..effort.points).map(|index| kronecker(index, 0.0)).collect();
    for round in 0..effort.most_rounds.max(effort.rounds) {
        // A random shift of each axis makes every round an unbiased estimate of its own (Cranley and Patterson 1976).
        let shift: [f64; D] = std::array::from_fn(|_| rng.random());
        let mut cumulative = [[0.0; BINS + 1]; D];
        for (axis, density) in density.iter().enumerate() {
            for bin in 0..BINS {
                cumulative[axis][bin + 1] = cumulative[axis][bin] + density[bin] / BINS as f64;
            }
            cumulative[axis][BINS] = 1.0;
        }
        let logs_of_density = density.map(|axis| axis.map(f64::ln));
        let (mut own, mut own_logs) = (Vec::with_capacity(effort.points), Vec::with_capacity(effort.points));
        for base in &base {
            let mut log_weight = 0.0;
            let point: [f64; D] = std::array::from_fn(|axis| {
                let v = (base[axis] + shift[axis]).fract();
                let bin = (0..BINS - 1).find(|&bin| v < cumulative[axis][bin + 1]).unwrap_or(BINS - 1);
                let height = density[axis][bin];
                log_weight -= logs_of_density[axis][bin];
                ((bin as f64 + (v - cumulative[axis][bin]) * BINS as f64 / height) / BINS as f64).clamp(0.0, 1.0 - 1e-9)
            });
            own_logs.push(log_likelihood(&point) + log_weight);
            own.push(point);
        }
        let weights = normalised(&own_logs).1;
        for (axis, density) in density.iter_mut().enumerate() {
            *density = adapted(own.iter().map(|point| point[axis]), &weights);
        }
        if round > 0 || effort.rounds == 1 {
            // A round counts as much as its draws are worth: the early ones are poor.
            let worth = effective(&weights);
            rounds += worth;
            points.extend(own);
            logs.extend(own_logs.into_iter().map(|log| log + worth.ln()));
        }
        if round + 1 >= effort.rounds {
            let (log_sum, weights) = normalised(&logs);
            let is_low = log_sum - (effort.points as f64 * rounds).ln() < least;
            if is_low || effective(&weights) >= effort.enough {
                break;
            }
        }
    }
    let (log_sum, weights) = normalised(&logs);
    let effective = effective(&weights);
    Draws { log_integral: log_sum - (effort.points as f64 * rounds).ln(), points, weights, effective }
}

/// The number of equal draws that weighted ones are worth.
fn effective(weights: &[f64]) -> f64 {
    1.0 / weights.iter().map(|weight| weight * weight).sum::<f64>()
}

/// The next density of one axis: the weighted histogram, smoothed, beside the uniform part.
fn adapted(places: impl Iterator<Item = f64>, weights: &[f64]) -> [f64; BINS] {
    let mut counts = [0.0; BINS];
    for (place, weight) in places.zip(weights) {
        counts[((place * BINS as f64) as usize).min(BINS - 1)] += weight;
    }
    let at = |bin: usize| counts[bin.min(BINS - 1)];
    let smooth: [f64; BINS] =
        std::array::from_fn(|bin| 0.15 * at(bin.saturating_sub(1)) + 0.7 * at(bin) + 0.15 * at(bin + 1));
    let total: f64 = smooth.iter().sum();
    std::array::from_fn(|bin| UNIFORM + (1.0 - UNIFORM) * smooth[bin] / total * BINS as f64)
}

/// The logarithm of the sum of exponentials, and the exponentials as weights that sum to one.
fn normalised(logs: &[f64]) -> (f64, Vec<f64>) {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut weights: Vec<f64> = logs.iter().map(|log| (log - most).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    (most + sum.ln(), weights)
}

/// Tempered sequential Monte Carlo (Del Moral, Doucet and Jasra 2006, JRSS B 68:411): particles go from the uniform
/// distribution to the likelihood by powers of it, each as large as half of the particles survive; at each they are resampled
/// and moved by random walks shaped by their covariance, reflected at the faces of the cube, and by redrawing one coordinate.
pub fn tempered<const D: usize>(particles: usize, seed: u64, mut log_likelihood: impl FnMut(&[f64; D]) -> f64) -> Draws<D> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut points: Vec<[f64; D]> = (0..particles).map(|index| kronecker(index, 0.5)).collect();
    let mut logs: Vec<f64> = points.iter().map(&mut log_likelihood).collect();
    let (mut power, mut log_integral, mut scale) = (0.0, 0.0, 0.6);
    while power < 1.0 {
        let step = next_step(&logs, 1.0 - power, particles as f64 / 2.0);
        let scaled: Vec<f64> = logs.iter().map(|log| log * step).collect();
        let (log_sum, weights) = normalised(&scaled);
        log_integral += log_sum - (particles as f64).ln();
        power = (power + step).min(1.0);
        let chosen = chosen(&weights, particles);
        (points, logs) = chosen.iter().map(|&index| (points[index], logs[index])).unzip();
        let walk = walk_shape(&points);
        let mut accepted = 0.0;
        for move_index in 0..MOVES {
            let is_walk = move_index + 1 < MOVES;
            for (point, log) in points.iter_mut().zip(&mut logs) {
                let mut next = *point;
                if is_walk {
                    let noise = SVector::<f64, D>::from_fn(|_, _| normal(&mut rng));
                    let noise = walk * noise;
                    for (axis, value) in next.iter_mut().enumerate() {
                        *value = reflected(scale * noise[axis] + *value);
                    }
                } else {
                    let axis = rng.random_range(0..D);
                    next[axis] = rng.random();
                }
                let next_log = log_likelihood(&next);
                if rng.random::<f64>().ln() < power * (next_log - *log) {
                    (*point, *log) = (next, next_log);
                    accepted += if is_walk { 1.0 } else { 0.0 };
                }
            }
        }
        let rate = accepted / (particles * (MOVES - 1)) as f64;
        // A quarter accepted is near the best for such walks (Roberts, Gelman and Gilks 1997).
        scale = (scale * (rate - 0.25).exp()).clamp(0.1, 1.2);
    }
    let weights = vec![1.0 / particles as f64; particles];
    Draws { log_integral, points, weights, effective: particles as f64 }
}

/// The largest step of the power with which at least `least` effective particles survive.
fn next_step(logs: &[f64], most: f64, least: f64) -> f64 {
    let effective = |step: f64| {
        let weights = normalised(&logs.iter().map(|log| log * step).collect::<Vec<_>>()).1;
        1.0 / weights.iter().map(|weight| weight * weight).sum::<f64>()
    };
    if effective(most) >= least {
        return most;
    }
    let (mut low, mut high) = (0.0, most);
    for _ in 0..BISECTIONS {
        let middle = f64::midpoint(low, high);
        if effective(middle) >= least { low = middle } else { high = middle }
    }
    low.max(1e-6)
}

/// Systematic resampling: indices of `count` equal draws, ascending.
fn chosen(weights: &[f64], count: usize) -> Vec<usize> {
    let (mut index, mut cumulative) = (0, weights.first().copied().unwrap_or(1.0));
    (0..count)
        .map(|place| {
            let target = (place as f64 + 0.5) / count as f64;
            while cumulative < target && index + 1 < weights.len() {
                index += 1;
                cumulative += weights[index];
            }
            index
        })
        .collect()
}

/// The Cholesky factor of the covariance of the points; a diagonal one where they do not span the cube.
fn walk_shape<const D: usize>(points: &[[f64; D]]) -> SMatrix<f64, D, D> {
    let count = points.len() as f64;
    let sum = points.iter().fold(SVector::<f64, D>::zeros(), |sum, point| sum + SVector::from(*point));
    let mean = sum / count;
    let covariance = points.iter().fold(SMatrix::<f64, D, D>::identity() * 1e-8, |sum, point| {
        let difference = SVector::from(*point) - mean;
        sum + difference * difference.transpose() / count
    });
    covariance.cholesky().map_or_else(|| SMatrix::identity() * 0.1, |factor| factor.l())
}

/// A standard normal number (Box and Muller 1958).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn reflected(value: f64) -> f64 {
    let folded = value.abs() % 2.0;
    (if folded > 1.0 { 2.0 - folded } else { folded }).clamp(0.0, 1.0 - 1e-9)
}
