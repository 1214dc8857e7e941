//! Which cells to ask more of, so that samples are spent where a verdict is not settled.
//!
//! A verdict rests on which models are above chance, and on a plateau below them that lies within a margin of it. A cell is closed when its
//! confidence sequence lies above chance, or below chance and the margin. Below the first model that is above, and where none is, it is the
//! sequence of all these cells together that has to lie below, and their own no more than half of the gain above: as in the verdict, a plateau
//! is known by its mean. (Items of several models have several means; the sequence is one of the mean of these, since the logarithm of a
//! Bernoulli variable's moment generating function is concave in its mean.) The sequences of a curve hold all together with a probability of 95 %
//! (a twentieth, divided evenly over the cells and all sets of them that could be the plateau), whenever and however often one looks, and whatever was asked because of what was seen
//! (Ville 1939, Robbins 1970; `stats::confidence_sequence`). A verdict is settled when every cell of its curve is closed and it is one; cells
//! that are open are asked twice as often. Where all are closed and there is no verdict, the cells with wide intervals are asked all there is, once: to look again and again
//! until there is one would favour whatever chance brings first.

use crate::schema::{ModelEntry, RunManifest, Verdict};
use crate::stats::{Interval, confidence_sequence};

use super::cells::Cells;
use super::definition::margin;
use super::gates::SEEN_GAIN;
use super::groups;
use super::level::Level;
use super::points::measure;
use super::ruler::Ruler;
use super::verdict::{Question, judge};
use super::{Measured, chance, in_parallel};

/// Samples of every cell at first.
pub const FIRST: usize = 40;
/// How often the intervals of a curve may be wrong, taken together.
const ERROR: f64 = 0.05;

/// Of a curve without a verdict, a cell is asked all there is when its interval is at least this part of the widest.
const WIDE: f64 = 0.6;

/// A cell that is to be asked more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct More {
    /// The task.
    pub task: String,
    /// The prompt.
    pub prompt: String,
    /// The model.
    pub model: String,
    /// Samples it is to have.
    pub samples: usize,
}

/// What is to be asked next, and how many curves are settled of how many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settling {
    /// Cells that are to be asked more; none when every verdict is settled, every sample asked, or more would not help.
    pub more: Vec<More>,
    /// Curves whose verdict is settled.
    pub settled: usize,
    /// All curves.
    pub curves: usize,
}

/// What is to be asked next of a run of at most `manifest.samples` samples for each cell.
#[must_use]
pub fn settle(manifest: &RunManifest, cells: &Cells) -> Settling {
    let (of_models, _) = groups(manifest, None);
    let mut asked = Vec::new();
    for task in &manifest.tasks {
        for prompt in &manifest.prompts {
            asked.extend(of_models.iter().map(|group| (task, prompt.name.as_str(), group)));
        }
    }
    let found = in_parallel(&asked, |&(task, prompt, group)| {
        let metric = task.discontinuous.as_str();
        let measured = measure(cells, task, prompt, group, metric, None);
        if measured.is_empty() {
            return None;
        }
        let chance = chance(task, metric);
        let question = Question { chance, ruler: &group.ruler, seed: manifest.seed, is_pooled: group.is_pooled };
        let repetitions = manifest.repetitions.max(1) as usize;
        let asked = |one: &Measured| Asked { level: one.level, samples: records(one).div_ceil(repetitions) };
        let samples: Vec<Asked> = measured.iter().map(asked).collect();
        Some((task, prompt, unsettled(&question, &samples, manifest.samples), measured))
    });
    let mut settling = Settling { curves: found.len(), ..Settling::default() };
    for (task, prompt, Unsettled { more, is_settled }, measured) in found {
        settling.settled += usize::from(is_settled);
        for (place, samples) in more {
            let Some(model) = measured.get(place).map(|one| one.point.model.clone()) else { continue };
            settling.more.push(More { task: task.name.clone(), prompt: prompt.to_owned(), model, samples });
        }
    }
    settling
}

/// Records of a point, scored or not.
fn records(one: &Measured) -> usize {
    let point = &one.point;
    point.answered + point.unparsed + point.truncated + point.refused + point.failed
}

/// A cell of a curve.
#[derive(Debug, Clone, Copy)]
struct Asked {
    level: Level,
    /// Samples it was asked, scored or not.
    samples: usize,
}

/// How many samples a cell is asked in the round in which it has been asked so many: a run that goes on asks what it would have.
#[must_use]
pub fn round(samples: usize, most: usize) -> usize {
    let mut round = FIRST;
    while round < samples {
        round *= 2;
    }
    round.min(most)
}

/// How a curve stands.
#[derive(Debug, Default)]
struct Unsettled {
    /// The cells that are to be asked more, by place, and how many samples they are to have.
    more: Vec<(usize, usize)>,
    is_settled: bool,
}

fn unsettled(question: &Question<'_>, cells: &[Asked], most: usize) -> Unsettled {
    // Every cell, every beginning of the curve, and its larger half.
    let alpha = ERROR / (2 * cells.len() + 1) as f64;
    let chance = question.chance.unwrap_or_default();
    let intervals: Vec<Interval> =
        cells.iter().map(|cell| confidence_sequence(cell.level.sum, cell.level.n as f64, alpha)).collect();
    let is_above = |place: usize| intervals.get(place).is_some_and(|interval| interval.low > chance);
    let first = (0..cells.len()).find(|&place| is_above(place));
    // Where no model is above chance, the larger half is where a gain would be, and the margin what a flat curve could not have gained unseen.
    let plateau = first.map_or(cells.len() / 2..cells.len(), |first| 0..first);
    let gain = intervals.iter().map(|interval| interval.low - chance).fold(0.0, f64::max);
    let (margin, half) =
        if first.is_some() { (margin(gain), gain / 2.0) } else { (SEEN_GAIN * (1.0 - chance), 0.5 * (1.0 - chance)) };
    let pooled = cells
        .get(plateau)
        .unwrap_or_default()
        .iter()
        .fold((0.0, 0.0), |(sum, n), cell| (sum + cell.level.sum, n + cell.level.n as f64));
    let is_plateau = pooled.1 <= 0.0 || confidence_sequence(pooled.0, pooled.1, alpha).high < chance + margin;
    let is_open = |place: usize| {
        let high = intervals.get(place).map_or(1.0, |interval| interval.high);
        // Below the first that is above chance the plateau is known by its mean, and that no model of it is far above.
        let is_low = if first.is_none_or(|first| place < first) {
            is_plateau && high < chance + half.max(margin)
        } else {
            high < chance + margin
        };
        !is_above(place) && !is_low
    };
    let left = || (0..cells.len()).zip(cells).filter(|(_, cell)| cell.samples < most);
    if (0..cells.len()).any(is_open) {
        let open = left().filter(|(place, _)| is_open(*place));
        let more = open.map(|(place, cell)| (place, round(cell.samples + 1, most))).collect();
        return Unsettled { more, is_settled: false };
    }
    let scored: Vec<Level> = cells.iter().map(|cell| cell.level).filter(|level| level.n > 0).collect();
    let found = judge(question, &scored);
    if !matches!(found.verdict, Verdict::Unresolved | Verdict::Inconclusive) {
        return Unsettled { more: Vec::new(), is_settled: true };
    }
    // Once, and no more where that was done.
    let width = |place: usize| intervals.get(place).map_or(1.0, |interval| interval.high - interval.low);
    let is_last = found.lacks_models || cells.iter().any(|cell| cell.samples >= most);
    let widest = (0..cells.len()).map(width).fold(0.0, f64::max);
    let wide = left().filter(|(place, _)| !is_last && width(*place) >= WIDE * widest);
    Unsettled { more: wide.map(|(place, _)| (place, most)).collect(), is_settled: false }
}

/// What part of all samples is likely to be asked: the mean over curves that begin at a third and at two thirds of the scale, rise all along, or stay
/// at chance, of which every cell scores what it should.
#[must_use]
pub fn expected_share(models: &[&ModelEntry], chance: f64, most: usize) -> f64 {
    let axis = super::models::shared(models, 0).unwrap_or(super::Axis::Flops);
    let Ok(group) = super::models::Group::new("", models.to_vec(), axis, false) else { return 1.0 };
    let mut places: Vec<f64> =
        group.models.iter().filter_map(|model| axis.measure(&model.scale)).map(|x| group.ruler.scale(x)).collect();
    places.sort_by(f64::total_cmp);
    let (Some(first), Some(last)) = (places.first(), places.last()) else { return 1.0 };
    let part = |x: f64| if last > first { (x / first).log(last / first) } else { 0.0 };
    let logistic = |x: f64, middle: f64, width: f64| 1.0 / (1.0 + (-(part(x) - middle) / width).exp());
    let curves: [&(dyn Fn(f64) -> f64 + Sync); 4] =
        [&|x| logistic(x, 0.4, 0.04), &|x| logistic(x, 0.75, 0.04), &|x| 0.8 * part(x), &|_| 0.0];
    let shares = in_parallel(&curves, |curve| Some(share(&group.ruler, &places, chance, most, curve)));
    shares.iter().sum::<f64>() / shares.len().max(1) as f64
}

/// What part of all samples one curve takes.
fn share(ruler: &Ruler, places: &[f64], chance: f64, most: usize, curve: &dyn Fn(f64) -> f64) -> f64 {
    let question = Question { chance: Some(chance), ruler, seed: 0, is_pooled: false };
    let cell = |x: f64, samples: usize| {
        #[expect(clippy::cast_possible_truncation, reason = "a number of samples")]
        let right = ((1.0 - chance).mul_add(curve(x), chance) * samples as f64).round() as usize;
        Asked { level: Level::right(x, right, samples), samples }
    };
    let mut cells: Vec<Asked> = places.iter().map(|x| cell(*x, FIRST.min(most))).collect();
    loop {
        let Unsettled { more, .. } = unsettled(&question, &cells, most);
        if more.is_empty() {
            break;
        }
        for (place, samples) in more {
            if let (Some(known), Some(x)) = (cells.get_mut(place), places.get(place)) {
                *known = cell(*x, samples);
            }
        }
    }
    cells.iter().map(|cell| cell.samples).sum::<usize>() as f64 / (most * cells.len()).max(1) as f64
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::schema::Axis;

    /// Samples that every cell has at most, and has in the run it is compared with.
    const MOST: usize = 400;

    /// Twelve models half a decade apart that score as `curve` says; each answers the same problems for a seed, whether asked at once or in batches.
    fn cell(curve: fn(f64) -> f64, seed: u64, place: usize, samples: usize) -> Asked {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(place as u64);
        let right = (0..samples).filter(|_| rng.random_bool(curve(place as f64))).count();
        Asked { level: Level::right(1e9 * 10_f64.powf(0.5 * place as f64), right, samples), samples }
    }

    #[test]
    fn the_verdicts_are_those_of_many_samples_with_a_third_of_them_whatever_the_seed() {
        let ruler = Ruler::new(Axis::Flops, std::iter::empty());
        let question = Question { chance: Some(0.01), ruler: &ruler, seed: 1, is_pooled: false };
        let curves: [fn(f64) -> f64; 4] = [
            |place| 0.01 + 0.97 / (1.0 + (-(place - 6.0) / 0.5).exp()),
            |place| 0.01 + 0.9 / (1.0 + (-(place - 8.5) / 0.4).exp()),
            |place| 0.05 + 0.07 * place,
            |_| 0.01,
        ];
        let (mut same, mut asked) = (0, 0);
        for (curve, seed) in curves.into_iter().flat_map(|curve| (0..5).map(move |seed| (curve, seed))) {
            let mut cells: Vec<Asked> = (0..12).map(|place| cell(curve, seed, place, FIRST)).collect();
            loop {
                let Unsettled { more, .. } = unsettled(&question, &cells, MOST);
                if more.is_empty() {
                    break;
                }
                more.into_iter().for_each(|(place, samples)| cells[place] = cell(curve, seed, place, samples));
            }
            let verdict =
                |cells: &[Asked]| judge(&question, &cells.iter().map(|cell| cell.level).collect::<Vec<_>>()).verdict;
            let whole: Vec<Asked> = (0..12).map(|place| cell(curve, seed, place, MOST)).collect();
            same += usize::from(verdict(&cells) == verdict(&whole));
            asked += cells.iter().map(|cell| cell.samples).sum::<usize>();
        }
        assert!(same >= 19, "{same} of 20 verdicts are the same");
        assert!(3 * asked <= 20 * 12 * MOST, "{asked} samples of {}", 20 * 12 * MOST);
    }
}
