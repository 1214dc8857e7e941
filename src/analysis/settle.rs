//! Which cells to ask more of, so that samples are spent where a verdict is not settled.
//!
//! A verdict rests on which models are above chance, and on a plateau below them that lies within a margin of it. A cell is closed when its
//! confidence sequence lies above chance, or below chance and the margin. Below the first model that is above, and where none is, it is the
//! sequence of all these cells together that has to lie below, and their own no more than half of the gain above: as in the verdict, a plateau
//! is known by its mean. The sequences of a curve hold all together with a probability of 95 % (a twentieth, divided evenly over the cells and all
//! sets of them that could be the plateau), whenever and however often one looks, and whatever was asked because of what was seen
//! (`stats::confidence_sequence`), if the items of a plateau are independent given the rates of its models, though all were asked the same. A verdict
//! is settled when every cell of its curve is closed and it is one, the records without a score counted both ways; cells that are open are asked
//! twice as often, those of the least settled verdict first. Where all are closed and there is no verdict, the cells with wide intervals are asked
//! all there is, once: to look again and again until there is one would favour whatever chance brings first.
//! Only the discontinuous metric of a task is looked at.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::schema::{ModelEntry, RunManifest, Verdict};
use crate::stats::{Interval, confidence_sequence};

use super::cells::Cells;
use super::definition::{SMALLEST_CHANCE, margin};
use super::gates::SEEN_GAIN;
use super::level::Level;
use super::models::Group;
use super::points::measure;
use super::verdict::{Finding, Question, judge};
use super::{Measured, chance, groups, in_parallel, robust};

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
    /// Cells that are to be asked more, those of the least settled verdict first; none when every verdict is settled, every sample asked, or more would not help.
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
            if !manifest.refused.iter().any(|refusal| (&refusal.task, &refusal.prompt) == (&task.name, &prompt.name)) {
                asked.extend(of_models.iter().map(|group| (task, prompt.name.as_str(), group)));
            }
        }
    }
    let mut found = in_parallel(&asked, |&(task, prompt, group)| {
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
        let judged = || robust(&question, &measured);
        Some((task, prompt, unsettled(question.chance, &samples, manifest.samples, judged), measured))
    });
    let (curves, settled) = (found.len(), found.iter().filter(|(_, _, curve, _)| curve.is_settled).count());
    // A curve as a whole, and the widest of it first: who stops in the middle has as many verdicts as could be had.
    found.sort_by(|(_, _, curve, _), (_, _, other, _)| other.width().total_cmp(&curve.width()));
    let mut more = Vec::new();
    for (task, prompt, mut curve, measured) in found {
        curve.more.sort_by(|cell, other| other.width.total_cmp(&cell.width));
        for Open { place, samples, .. } in curve.more {
            let Some(model) = measured.get(place).map(|cell| cell.point.model.clone()) else { continue };
            more.push(More { task: task.name.clone(), prompt: prompt.to_owned(), model, samples });
        }
    }
    Settling { more, settled, curves }
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
    more: Vec<Open>,
    is_settled: bool,
}

impl Unsettled {
    /// How far the verdict is from settled: the width of what is least known of it.
    fn width(&self) -> f64 {
        self.more.iter().map(|open| open.width).fold(0.0, f64::max)
    }
}

/// A cell of a curve that is to be asked more.
#[derive(Debug, Clone, Copy)]
struct Open {
    place: usize,
    /// How many samples it is to have.
    samples: usize,
    /// Of its confidence sequence.
    width: f64,
}

/// How the cells of a curve stand; `found` judges it.
fn unsettled(chance: Option<f64>, cells: &[Asked], most: usize, found: impl FnOnce() -> Finding) -> Unsettled {
    // Every cell, every beginning of the curve, and its larger half.
    let alpha = ERROR / (2 * cells.len() + 1) as f64;
    let chance = chance.unwrap_or_default().max(SMALLEST_CHANCE);
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
    let width = |place: usize| intervals.get(place).map_or(1.0, |interval| interval.high - interval.low);
    let left = || (0..cells.len()).zip(cells).filter(|(_, cell)| cell.samples < most);
    if (0..cells.len()).any(is_open) {
        let open = left().filter(|(place, _)| is_open(*place));
        let more = open.map(|(place, cell)| Open { place, samples: round(cell.samples + 1, most), width: width(place) });
        return Unsettled { more: more.collect(), is_settled: false };
    }
    let found = found();
    if !matches!(found.verdict, Verdict::Unresolved | Verdict::Inconclusive) {
        return Unsettled { more: Vec::new(), is_settled: true };
    }
    // Once, and no more where that was done.
    let is_last = found.lacks_models || cells.iter().any(|cell| cell.samples >= most);
    let widest = (0..cells.len()).map(width).fold(0.0, f64::max);
    let wide = left().filter(|(place, _)| !is_last && width(*place) >= WIDE * widest);
    let more = wide.map(|(place, _)| Open { place, samples: most, width: width(place) });
    Unsettled { more: more.collect(), is_settled: false }
}

/// To foresee what a run will ask, chances closer than a part of so many are taken for the same.
const CHANCES: f64 = 10.0;

/// What part of all samples a run is likely to ask: the mean over made curves that begin at two fifths and at three quarters of the scale, rise all along, or stay
/// at chance, with the chances of its tasks.
#[must_use]
pub fn expected_share(manifest: &RunManifest) -> f64 {
    let mut chances: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for task in &manifest.tasks {
        let (sum, tasks) = chances.entry((task.chance * CHANCES).round().to_bits()).or_default();
        (*sum, *tasks) = (*sum + task.chance, *tasks + 1.0);
    }
    let (groups, _) = groups(manifest, None);
    let mut made = Vec::new();
    // The states of a training make curves like those of a family.
    for group in groups.iter().filter(|group| !group.is_training) {
        for &(sum, tasks) in chances.values() {
            made.extend(KINDS.iter().map(|&kind| (group, sum / tasks, tasks, kind)));
        }
    }
    let shares = in_parallel(&made, |&(group, chance, tasks, kind)| {
        let weight = group.models.len() as f64 * tasks;
        Some((weight * share(group, chance, manifest, kind), weight))
    });
    let (asked, all) = shares.iter().fold((0.0, 0.0), |(asked, all), (own, weight)| (asked + own, all + weight));
    if all > 0.0 { asked / all } else { 1.0 }
}

/// How a score rises.
type Kind = fn(f64) -> f64;

/// Scores over the part of the scale that lies below a model, from chance at zero to all at one.
const KINDS: [Kind; 4] = [
    |part| 1.0 / (1.0 + (-(part - 0.4) / 0.04).exp()),
    |part| 1.0 / (1.0 + (-(part - 0.75) / 0.04).exp()),
    |part| 0.8 * part,
    |_| 0.0,
];

/// What part of all samples one curve takes, of which the answers of every model are drawn.
fn share(group: &Group<'_, ModelEntry>, chance: f64, manifest: &RunManifest, kind: Kind) -> f64 {
    let &RunManifest { samples: most, seed, .. } = manifest;
    let Group { ruler, models, is_pooled, .. } = group;
    let mut places: Vec<f64> =
        models.iter().filter_map(|model| ruler.axis.measure(&model.scale)).map(|x| ruler.scale(x)).collect();
    places.sort_by(f64::total_cmp);
    let (Some(first), Some(last)) = (places.first(), places.last()) else { return 1.0 };
    let part = |x: f64| if last > first { (x / first).log(last / first) } else { 0.0 };
    let cell = |place: usize, samples: usize| {
        let x = places.get(place).copied().unwrap_or_default();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(place as u64);
        let rate = (1.0 - chance).mul_add(kind(part(x)), chance).clamp(0.0, 1.0);
        let right = (0..samples).filter(|_| rng.random_bool(rate)).count();
        Asked { level: Level::right(x, right, samples), samples }
    };
    let question = Question { chance: Some(chance), ruler, seed, is_pooled: *is_pooled };
    let mut cells: Vec<Asked> = (0..places.len()).map(|place| cell(place, FIRST.min(most))).collect();
    loop {
        let levels: Vec<Level> = cells.iter().map(|cell| cell.level).collect();
        let Unsettled { more, .. } = unsettled(question.chance, &cells, most, || judge(&question, &levels));
        if more.is_empty() {
            break;
        }
        for Open { place, samples, .. } in more {
            if let Some(known) = cells.get_mut(place) {
                *known = cell(place, samples);
            }
        }
    }
    cells.iter().map(|cell| cell.samples).sum::<usize>() as f64 / (most * cells.len()).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::ruler::Ruler;
    use crate::analysis::tests::{manifest, record};
    use crate::schema::{Axis, Outcome, Prompt};

    /// Samples that every cell has at most, and has in the run it is compared with.
    const MOST: usize = 400;

    /// Twelve models half a decade apart that score as `curve` says; each answers the same problems for a seed, whether asked at once or in batches.
    fn cell(curve: fn(f64) -> f64, seed: u64, place: usize, samples: usize) -> Asked {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(place as u64);
        let right = (0..samples).filter(|_| rng.random_bool(curve(place as f64))).count();
        Asked { level: Level::right(1e9 * 10_f64.powf(0.5 * place as f64), right, samples), samples }
    }

    fn levels(cells: &[Asked]) -> Vec<Level> {
        cells.iter().map(|cell| cell.level).collect()
    }

    #[test]
    fn a_single_hit_is_no_ability_where_chance_is_nothing() {
        let mut manifest = manifest(0.0, 6);
        manifest.samples = 400;
        let mut cells = Cells::new(&manifest);
        for (model, sample) in (0..6).flat_map(|model| (0..40).map(move |sample| (model, sample))) {
            let is_right = f64::from(u8::from(sample == 0 && (model == 1 || model == 4)));
            cells.push(&record("task", "plain", model, sample, Outcome::Answered, is_right).scored());
        }
        // Taken for one, it would have the others asked until they are known to score less.
        assert_eq!(settle(&manifest, &cells), Settling { more: Vec::new(), settled: 1, curves: 1 });
    }

    #[test]
    fn a_verdict_that_records_without_a_score_could_turn_is_not_settled() {
        let settled = |unparsed: usize| {
            let manifest = RunManifest { samples: 40, ..manifest(0.1, 6) };
            let mut cells = Cells::new(&manifest);
            for (model, sample) in (0..6).flat_map(|model| (0..40).map(move |sample| (model, sample))) {
                let is_right = f64::from(u8::from(model > 3 || sample % 10 == 0));
                let outcome = if model < 3 && sample < unparsed { Outcome::Truncated } else { Outcome::Answered };
                cells.push(&record("task", "plain", model, sample, outcome, is_right).scored());
            }
            settle(&manifest, &cells).settled
        };
        assert_eq!((settled(0), settled(30)), (1, 0));
    }

    #[test]
    fn what_is_least_settled_is_asked_first() {
        let mut manifest = manifest(0.25, 4);
        manifest.prompts.push(Prompt { name: "hardly-asked".into(), ..manifest.prompts[0].clone() });
        let mut cells = Cells::new(&manifest);
        // Of the first prompt much is known, but of its last model; all lie too close to chance to say.
        for (prompt, samples) in [("plain", [80, 80, 80, 40]), ("hardly-asked", [40, 40, 40, 20])] {
            for (model, samples) in samples.into_iter().enumerate() {
                for sample in 0..samples {
                    let is_right = f64::from(u8::from(sample % 10 < 3));
                    cells.push(&record("task", prompt, model, sample, Outcome::Answered, is_right).scored());
                }
            }
        }
        let Settling { more, settled, curves } = settle(&manifest, &cells);
        let order: Vec<(&str, &str)> = more.iter().map(|more| (&*more.prompt, &*more.model)).collect();
        let of = |prompt| ["m3", "m0", "m1", "m2"].map(|model| (prompt, model));
        assert_eq!(order, [of("hardly-asked"), of("plain")].concat());
        assert_eq!((settled, curves), (0, 2));
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
                let found = || judge(&question, &levels(&cells));
                let Unsettled { more, .. } = unsettled(question.chance, &cells, MOST, found);
                if more.is_empty() {
                    break;
                }
                more.into_iter().for_each(|Open { place, samples, .. }| cells[place] = cell(curve, seed, place, samples));
            }
            let verdict = |cells: &[Asked]| judge(&question, &levels(cells)).verdict;
            let whole: Vec<Asked> = (0..12).map(|place| cell(curve, seed, place, MOST)).collect();
            same += usize::from(verdict(&cells) == verdict(&whole));
            asked += cells.iter().map(|cell| cell.samples).sum::<usize>();
        }
        assert!(same >= 19, "{same} of 20 verdicts are the same");
        assert!(3 * asked <= 20 * 12 * MOST, "{asked} samples of {}", 20 * 12 * MOST);
    }
}
