//! The same items under two prompts, or by two sizes: differences of pairs, where a prompt begins to help, where it hurts.
//!
//! A pair is one sample of a task with a score on both sides, that of its repetitions being their mean; a call that failed or was cut
//! leaves no pair and is never a wrong answer. Two prompts are compared at every model, and each model with the next smaller size.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::schema::{Comparison, ComparisonKind, Helps, ModelEntry, Need, PairedPoint, Prompt, RunManifest, Task};
use crate::stats::{holm, mcnemar, paired_interval, paired_mean};

use super::cells::{Cells, View};
use super::definition::ALPHA;
use super::evidence::step_down;
use super::models::Group;
use super::ruler::Ruler;
use super::words;

/// Resamples of the items behind the interval of a crossing.
const RESAMPLES: usize = 1_000;
/// Differences closer to zero than this are zero: sums of scores leave such rests.
const ROUNDING: f64 = 1e-12;
/// Resamples with a crossing below which words say how many had one.
const SURE: f64 = 0.95;

/// One comparison to be made.
struct Question<'a> {
    task: &'a Task,
    group: &'a Group<'a, ModelEntry>,
    metric: &'a str,
    kind: ComparisonKind,
    prompt: &'a str,
    /// The other prompt; none for sizes.
    baseline: Option<&'a str>,
}

/// A point and the differences behind it.
struct Pairs {
    point: PairedPoint,
    /// Per item its difference, in the order of items.
    differences: Vec<(u32, f64)>,
}

/// Every comparison of a run: per task the prompts against their baselines, the other pairs of prompts, then the sizes.
/// Checkpoints are not compared: the next smaller one is an earlier state of the same model.
pub(super) fn compare(manifest: &RunManifest, cells: &Cells, groups: &[Group<'_, ModelEntry>]) -> Vec<Comparison> {
    let mut questions = Vec::new();
    for task in &manifest.tasks {
        let is_refused =
            |prompt: &str| manifest.refused.iter().any(|refusal| refusal.task == task.name && refusal.prompt == prompt);
        let prompts: Vec<&Prompt> = manifest.prompts.iter().filter(|prompt| !is_refused(&prompt.name)).collect();
        let ask = |kind, prompt, baseline, metric| {
            let groups = groups.iter().filter(|group| !group.is_training);
            groups.map(move |group| Question { task, group, metric, kind, prompt, baseline })
        };
        for (kind, prompt, baseline) in pairs(&prompts) {
            questions.extend(ask(kind, prompt, Some(baseline), task.discontinuous.as_str()));
        }
        for prompt in &prompts {
            for metric in task.scorers() {
                questions.extend(ask(ComparisonKind::Sizes, &prompt.name, None, metric));
            }
        }
    }
    questions.par_iter().with_max_len(1).filter_map(|question| comparison(question, cells, manifest.seed)).collect()
}

/// The pairs of prompts: those of a prompt and its baseline first, then the others, each in the order of the run.
fn pairs<'a>(prompts: &[&'a Prompt]) -> Vec<(ComparisonKind, &'a str, &'a str)> {
    let baseline = |prompt: &'a Prompt| {
        let name = prompt.baseline.as_deref()?;
        prompts.iter().find(|other| other.name == name && other.name != prompt.name).map(|other| other.name.as_str())
    };
    let mut found: Vec<(ComparisonKind, &str, &str)> = prompts
        .iter()
        .filter_map(|prompt| Some((ComparisonKind::Baseline, prompt.name.as_str(), baseline(prompt)?)))
        .collect();
    for (index, first) in prompts.iter().enumerate() {
        for second in prompts.iter().skip(index + 1) {
            let (first, second) = (first.name.as_str(), second.name.as_str());
            let is_there = found.iter().any(|(_, a, b)| (*a, *b) == (first, second) || (*a, *b) == (second, first));
            if !is_there {
                found.push((ComparisonKind::Prompts, second, first));
            }
        }
    }
    found
}

/// One comparison; none when no model has a record on either side.
fn comparison<'a>(question: &Question<'a>, cells: &'a Cells, seed: u64) -> Option<Comparison> {
    let Question { task, group, metric, kind, mut prompt, mut baseline } = *question;
    let (family, ruler) = (group.label.as_str(), &group.ruler);
    let measure_of = |model: &ModelEntry| ruler.axis.measure(&model.scale);
    let mut own: Vec<(f64, &'a ModelEntry)> =
        group.models.iter().filter_map(|model| Some((ruler.scale(measure_of(model)?), *model))).collect();
    own.sort_by(|a, b| {
        let place = |model: &ModelEntry| (model.scale.checkpoint.unwrap_or(u64::MAX), model.scale.seed);
        a.0.total_cmp(&b.0).then_with(|| (place(a.1), &a.1.name).cmp(&(place(b.1), &b.1.name)))
    });
    let cell = |prompt: &str, model: &ModelEntry| cells.of_model(&task.name, prompt, family, &model.name);
    let mut found: Vec<Pairs> = own
        .iter()
        .filter_map(|&(x, model)| {
            let (other, other_model) = match baseline {
                Some(baseline) => (cell(baseline, model), None),
                None => {
                    let smaller = next_smaller(&own, x, model)?;
                    (cell(prompt, smaller), Some(smaller.name.clone()))
                }
            };
            measure(&model.name, other_model, x, cell(prompt, model), other, metric)
        })
        .collect();
    if found.is_empty() {
        return None;
    }
    // Of two equals the one that ends ahead comes first, so that its crossing is where it takes the lead.
    let end = found.iter().rev().find_map(|pairs| pairs.point.difference.filter(|difference| difference.abs() > ROUNDING));
    if kind == ComparisonKind::Prompts
        && end.is_some_and(|end| end < 0.0)
        && let Some(other) = baseline
    {
        (prompt, baseline) = (other, Some(prompt));
        found.iter_mut().for_each(Pairs::turn);
    }
    let points: Vec<&PairedPoint> = found.iter().map(|pairs| &pairs.point).collect();
    let (better, hurts) = significant(&points);
    let helps = if baseline.is_some() { helps(&found, seed) } else { Helps::default() };
    let mut comparison = Comparison {
        task: task.name.clone(),
        family: family.to_owned(),
        metric: metric.to_owned(),
        axis: ruler.axis.name().to_owned(),
        kind,
        prompt: prompt.to_owned(),
        baseline: baseline.map(str::to_owned),
        points: found.into_iter().map(|pairs| pairs.point).collect(),
        helps,
        better,
        hurts,
        words: String::new(),
    };
    comparison.words = in_words(&comparison, ruler);
    // Everything was found on scales; what is handed on is in units of the axis.
    let known: Vec<f64> = own.iter().filter_map(|(_, model)| measure_of(model)).collect();
    let back = |scale: f64| ruler.back(scale, &known);
    comparison.points.iter_mut().for_each(|point| point.x = back(point.x));
    let helps = &mut comparison.helps;
    for place in [&mut helps.below, &mut helps.above, &mut helps.crossing, &mut helps.low, &mut helps.high] {
        *place = place.map(back);
    }
    Some(comparison)
}

/// The model to compare with: of the next smaller size, the one with the same seed and checkpoint if there is one.
fn next_smaller<'a>(models: &[(f64, &'a ModelEntry)], x: f64, model: &ModelEntry) -> Option<&'a ModelEntry> {
    let below = models.iter().map(|(place, _)| *place).filter(|place| *place < x).fold(0.0, f64::max);
    let of_size = models.iter().filter(|(place, _)| place.total_cmp(&below).is_eq()).map(|(_, other)| *other);
    of_size.min_by_key(|other| (other.scale.seed != model.scale.seed, other.scale.checkpoint != model.scale.checkpoint))
}

/// The pairs of two cells; none when both are empty.
fn measure(
    model: &str,
    other_model: Option<String>,
    x: f64,
    cell: Option<View<'_>>,
    other: Option<View<'_>>,
    metric: &str,
) -> Option<Pairs> {
    let len = |cell: &Option<View<'_>>| cell.map_or(0, |cell| cell.len());
    let (mut items, mut scored) = (len(&cell) + len(&other), Vec::new());
    if items == 0 {
        return None;
    }
    if let (Some(cell), Some(other)) = (cell, other) {
        // One name with two reference answers is not one problem, and log-probabilities had in two ways are no pair.
        let is_weighed = crate::scorers::find(metric).is_some_and(|scorer| scorer.need() != Need::Reply);
        let (scores, other_scores) = (cell.scores(metric), other.scores(metric));
        for row in 0..cell.len() {
            let Some(other_row) = other.row(cell.item(row)) else { continue };
            items -= 1;
            let is_same =
                cell.target(row) == other.target(other_row) && (!is_weighed || cell.method(row) == other.method(other_row));
            if let (true, Some(score), Some(other_score)) = (is_same, scores.of(row), other_scores.of(other_row)) {
                scored.push((cell.item(row), score, other_score));
            }
        }
    }
    let n = scored.len();
    let mean = |value: fn(&(u32, f64, f64)) -> f64| (n > 0).then(|| scored.iter().map(value).sum::<f64>() / n as f64);
    let differences: Vec<f64> = scored.iter().map(|(_, score, other)| score - other).collect();
    let gained = differences.iter().filter(|difference| **difference > ROUNDING).count();
    let lost = differences.iter().filter(|difference| **difference < -ROUNDING).count();
    let is_whole = |score: f64| score.abs() < f64::EPSILON || (score - 1.0).abs() < f64::EPSILON;
    let (difference, interval, p_value) = if scored.iter().all(|(_, score, other)| is_whole(*score) && is_whole(*other)) {
        let difference = (n > 0).then(|| (gained as f64 - lost as f64) / n as f64);
        (difference, paired_interval(gained, lost, n), (n > 0).then(|| mcnemar(gained, lost).p_value))
    } else {
        let found = paired_mean(&differences);
        (found.map(|found| found.mean), found.and_then(|found| found.interval), found.map(|found| found.p_value))
    };
    let point = PairedPoint {
        model: model.to_owned(),
        other_model,
        x,
        score: mean(|(_, score, _)| *score),
        other_score: mean(|(_, _, other)| *other),
        n,
        unpaired: items - n,
        difference,
        low: interval.map(|interval| interval.low),
        high: interval.map(|interval| interval.high),
        p_value,
        gained,
        lost,
    };
    Some(Pairs { point, differences: scored.iter().map(|(item, score, other)| (*item, score - other)).collect() })
}

impl Pairs {
    /// The same pairs seen from the other side.
    fn turn(&mut self) {
        let point = &mut self.point;
        std::mem::swap(&mut point.score, &mut point.other_score);
        std::mem::swap(&mut point.gained, &mut point.lost);
        point.difference = point.difference.map(|difference| -difference);
        (point.low, point.high) = (point.high.map(|high| -high), point.low.map(|low| -low));
        self.differences.iter_mut().for_each(|(_, difference)| *difference = -*difference);
    }
}

/// The models that are significantly better, and those that are significantly worse: at 5 % after Holm over the models.
fn significant(points: &[&PairedPoint]) -> (Vec<String>, Vec<String>) {
    let tested: Vec<(&PairedPoint, f64, f64)> =
        points.iter().filter_map(|point| Some((*point, point.difference?, point.p_value?))).collect();
    let p_values: Vec<f64> = tested.iter().map(|(.., p)| *p).collect();
    let (mut better, mut worse) = (Vec::new(), Vec::new());
    for ((point, difference, _), p) in tested.iter().zip(holm(&p_values)) {
        if p <= ALPHA {
            if *difference > 0.0 { &mut better } else { &mut worse }.push(point.model.clone());
        }
    }
    (better, worse)
}

/// From where on a prompt helps, and where its difference crosses zero.
fn helps(found: &[Pairs], seed: u64) -> Helps {
    // A two-sided p-value of 5 % with the right sign is a one-sided one of 2.5 %. Models without pairs decide nothing; of
    // several models of one size all have to be better.
    let mut sizes: Vec<(f64, f64)> = Vec::new();
    for PairedPoint { x, difference, p_value, .. } in found.iter().map(|pairs| &pairs.point) {
        let (Some(difference), Some(p)) = (difference, p_value) else { continue };
        let p = if *difference > 0.0 { *p } else { 1.0 };
        match sizes.last_mut() {
            Some((place, most)) if place.total_cmp(x).is_eq() => *most = p.max(*most),
            _ => sizes.push((*x, p)),
        }
    }
    let first = step_down(&sizes.iter().map(|(_, p)| *p).collect::<Vec<_>>());
    let place = |index: usize| sizes.get(index).map(|(x, _)| *x);
    let above = place(first);
    let below = above.and(first.checked_sub(1).and_then(place));
    let mut helps = Helps { below, above, ..Helps::default() };
    let curve = Curve::new(found);
    let whole = curve.differences(&vec![1; curve.items]);
    // The crossing belongs to what is said to help; behind its greatest gain a difference may vanish again, because both
    // prompts get everything right.
    let greatest = whole.iter().rev().max_by(|a, b| a.difference.total_cmp(&b.difference)).map(|step| step.x);
    let Some(anchor) = above.map(f64::log10).or(greatest) else { return helps };
    if let Crossing::Within(x, _) = crossing(&whole, anchor) {
        helps.crossing = Some(10_f64.powf(x));
        let resampled = curve.resampled(anchor, seed);
        let there = resampled.iter().filter(|one| matches!(one, Crossing::Within(..))).count();
        helps.resamples = Some(there as f64 / resampled.len() as f64);
        let sorted = |end: fn(&Crossing) -> f64| {
            let mut places: Vec<f64> = resampled.iter().map(end).collect();
            places.sort_by(f64::total_cmp);
            places
        };
        // The outer ends of what 95 % of the resamples span; beyond the models there is no number.
        let cut = RESAMPLES / 40;
        let end = |place: Option<&f64>| place.filter(|place| place.is_finite()).map(|place| 10_f64.powf(*place));
        helps.low = end(sorted(Crossing::low).get(cut));
        helps.high = end(sorted(Crossing::high).get(RESAMPLES - 1 - cut));
    }
    helps
}

/// The mean difference at one size.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Its place in decades.
    x: f64,
    difference: f64,
    /// Whether no item differs: the zero of a floor, or of a ceiling, which says nothing about where a rise begins.
    is_floor: bool,
}

/// Where a difference crosses zero, in decades.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Crossing {
    /// Positive from the smallest model on.
    Before,
    /// From the first place to the second: the same one, unless the smaller model shows no difference at all. Then its zero
    /// is that of a floor, and the crossing anywhere up to the next model.
    Within(f64, f64),
    /// Never positive.
    Never,
}

impl Crossing {
    /// The lower end of its place; smaller than every number before all models, larger behind.
    fn low(&self) -> f64 {
        match self {
            Self::Before => f64::NEG_INFINITY,
            Self::Within(low, _) => *low,
            Self::Never => f64::INFINITY,
        }
    }

    /// The upper end of it.
    fn high(&self) -> f64 {
        if let Self::Within(_, high) = self { *high } else { self.low() }
    }
}

/// Where the differences go from zero or less to more: the last such place before the anchor, a place in decades, or the first
/// one behind it when the difference is not positive there. Linear between models in the logarithm of scale.
fn crossing(curve: &[Step], anchor: f64) -> Crossing {
    let is_up = |step: &Step| step.difference > ROUNDING;
    let at = curve.iter().take_while(|step| step.x < anchor - 1e-9).count();
    let next = if curve.get(at).is_some_and(is_up) {
        curve.iter().take(at).rposition(|point| !is_up(point)).map(|last| last + 1)
    } else {
        let Some(next) = curve.iter().skip(at).position(is_up) else { return Crossing::Never };
        Some(at + next)
    };
    let pair = next.and_then(|next| Some((*curve.get(next.checked_sub(1)?)?, *curve.get(next)?)));
    match pair {
        None => Crossing::Before,
        Some((last, next)) if last.is_floor => Crossing::Within(last.x, next.x),
        Some((last, next)) => {
            let part = (0.0 - last.difference) / (next.difference - last.difference);
            let place = (next.x - last.x).mul_add(part, last.x);
            Crossing::Within(place, place)
        }
    }
}

/// The differences of every item at every size, ready to be drawn from.
struct Curve {
    /// Number of items.
    items: usize,
    /// Per size its place in decades, and the pairs as index of the item and difference.
    sizes: Vec<(f64, Vec<(usize, f64)>)>,
}

impl Curve {
    fn new(found: &[Pairs]) -> Self {
        let mut items: Vec<u32> = found.iter().flat_map(|pairs| pairs.differences.iter().map(|(item, _)| *item)).collect();
        items.sort_unstable();
        items.dedup();
        let mut sizes: Vec<(f64, Vec<(usize, f64)>)> = Vec::new();
        for pairs in found.iter().filter(|pairs| pairs.point.n > 0) {
            let x = pairs.point.x.log10();
            let index = |item: &u32| items.binary_search(item).ok();
            let own = pairs.differences.iter().filter_map(|(item, difference)| Some((index(item)?, *difference)));
            // Models of one size, trained with different seeds, are one place of the curve.
            match sizes.last_mut() {
                Some((place, pairs)) if (*place - x).abs() < 1e-9 => pairs.extend(own),
                _ => sizes.push((x, own.collect())),
            }
        }
        Self { items: items.len(), sizes }
    }

    /// The mean difference at every size, each sample counted as often as it says.
    fn differences(&self, counts: &[u32]) -> Vec<Step> {
        self.sizes
            .iter()
            .filter_map(|(x, pairs)| {
                let (mut sum, mut items) = (0.0, 0.0);
                for (sample, difference) in pairs {
                    let count = counts.get(*sample).copied().map_or(0.0, f64::from);
                    sum += count * difference;
                    items += count;
                }
                let is_floor = pairs.iter().all(|(_, difference)| difference.abs() <= ROUNDING);
                (items > 0.0).then(|| Step { x: *x, difference: sum / items, is_floor })
            })
            .collect()
    }

    /// Crossings of resamples: the same items at every model, so that the pairing across models is kept.
    fn resampled(&self, anchor: f64, seed: u64) -> Vec<Crossing> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut counts = vec![0; self.items];
        (0..RESAMPLES)
            .map(|_| {
                counts.fill(0);
                for _ in 0..self.items {
                    if let Some(count) = counts.get_mut(rng.random_range(0..self.items)) {
                        *count += 1;
                    }
                }
                crossing(&self.differences(&counts), anchor)
            })
            .collect()
    }
}

/// The finding as a sentence.
fn in_words(comparison: &Comparison, ruler: &Ruler) -> String {
    let unit = ruler.axis.unit();
    let Comparison { points, helps, better, hurts, prompt, .. } = comparison;
    let places = |names: &[String], keep: &dyn Fn(f64) -> bool| -> Option<String> {
        let mut places: Vec<f64> =
            points.iter().filter(|point| names.contains(&point.model) && keep(point.x)).map(|point| point.x).collect();
        places.dedup_by(|a, b| a.total_cmp(b).is_eq());
        (!places.is_empty()).then(|| places.iter().map(|x| ruler.text(*x)).collect::<Vec<_>>().join(", "))
    };
    let worse = places(hurts, &|_| true);
    let Some(baseline) = &comparison.baseline else {
        let head = format!("{} with {prompt}, each size against the next smaller", comparison.metric);
        let steps = if points.len() == 1 { "the one step".to_owned() } else { format!("any of {} steps", points.len()) };
        return match (places(better, &|_| true), worse) {
            (None, None) => format!("{head}: no significant difference at {steps}"),
            (Some(better), None) => format!("{head}: better at {better} {unit}, worse at none"),
            (None, Some(worse)) => format!("{head}: worse at {worse} {unit}, better at none"),
            (Some(better), Some(worse)) => format!("{head}: better at {better} {unit}, worse at {worse}"),
        };
    };
    let is_baseline = comparison.kind == ComparisonKind::Baseline;
    let (up, down) = if is_baseline { ("helps", "hurts") } else { ("is ahead", "is behind") };
    // The unit is said once.
    let mut is_said = false;
    let mut with_unit = |text: String| {
        let text = if is_said { text } else { format!("{text} {unit}") };
        is_said = true;
        text
    };
    let mut clauses = Vec::new();
    if let Some(worse) = worse {
        clauses.push(with_unit(format!("{down} at {worse}")));
    }
    let single = places(better, &|x| helps.above.is_none_or(|above| x < above));
    match (single, helps.above.map(|above| ruler.text(above)), helps.below) {
        (_, Some(_), None) => clauses.push(format!("{up} at every size")),
        (None, Some(above), _) => clauses.push(format!("{} on", with_unit(format!("{up} from {above}")))),
        (Some(single), Some(above), _) => {
            clauses.push(format!("{} and from {above} on", with_unit(format!("{up} at {single}"))));
        }
        (Some(single), None, _) => clauses.push(with_unit(format!("{up} at {single}"))),
        (None, None, _) => {}
    }
    let last = points.iter().rfind(|point| point.difference.is_some());
    let Some(last) = last else { return format!("{prompt} and {baseline} have no pair with a score on both sides") };
    if clauses.is_empty() {
        return format!(
            "{prompt} shows no significant difference from {baseline} at any of {} (at the largest {})",
            words::models(points.len()),
            difference(last)
        );
    }
    let crossing = helps.crossing.filter(|_| !better.is_empty() || helps.above.is_some());
    let crossing =
        crossing.map_or_else(String::new, |crossing| format!("crossing at {}; ", crossing_words(crossing, helps, ruler)));
    format!("{prompt} {} against {baseline} ({crossing}at the largest {})", clauses.join(" and "), difference(last))
}

/// A crossing with its interval, and how many resamples had one where that is in doubt.
fn crossing_words(crossing: f64, helps: &Helps, ruler: &Ruler) -> String {
    let low = helps.low.map_or_else(|| "below the smallest".to_owned(), |low| ruler.text(low));
    let high = helps.high.map_or_else(|| "above the largest".to_owned(), |high| ruler.text(high));
    let share = helps.resamples.filter(|share| *share < SURE);
    let doubt = share.map_or_else(String::new, |share| format!(" in {:.0} % of the resamples", share * 100.0));
    format!("{} [{low}, {high}]{doubt}", ruler.text(crossing))
}

/// A difference with its sign and interval.
fn difference(point: &PairedPoint) -> String {
    let signed = |value: f64| if value > 0.0 { format!("+{}", words::score(value)) } else { words::score(value) };
    let interval = match (point.low, point.high) {
        (Some(low), Some(high)) => format!(" [{}, {}]", signed(low), signed(high)),
        _ => String::new(),
    };
    format!("{}{interval}, n = {}", signed(point.difference.unwrap_or_default()), point.n)
}

#[cfg(test)]
mod tests;
