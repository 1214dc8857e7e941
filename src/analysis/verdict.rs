//! The verdict on a curve: the tests of `evidence`, in the order of the table of verdicts.
#![expect(clippy::indexing_slicing, reason = "arrays by shape, family and model, of known length")]

use crate::schema::{Evidence, Onset, Sizes, Verdict};
use crate::stats::minimal_effect;

use super::definition::{ALPHA, Definition};
use super::evidence::{Trend, above, dip, first_above, highest, items_trend, lowest, resolution, trend};
use super::level::Level;
use super::likelihood::Items;
use super::posterior::{Posterior, posterior};
use super::ruler::Ruler;
use super::shape::{Seen, Shape};
use super::words;

/// The least probability of emergence that is called emergent: by simulation, the smallest at which every null keeps to 5 %.
const EMERGENT: f64 = 0.6;
/// The least probability with which any other shape is named.
const LIKELY: f64 = 0.5;
/// What a flat curve could not have gained unseen: at its end, as a part of the headroom; at each model, by its items alone.
const SEEN_GAIN: f64 = 0.1;
/// The excess over chance for which the number of items needed is given.
const GATE: f64 = 0.03;

/// Fewest models that can show anything: three models give a monotone trend a p-value of 1/6 at best.
const MODELS: usize = 4;

/// What is asked of a curve.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    /// Chance, for metrics that have one.
    pub(super) chance: Option<f64>,
    /// The axis, and how a scale is read on it.
    pub(super) ruler: &'a Ruler,
    /// Seed of the permutation test.
    pub(super) seed: u64,
    /// Whether the models are of several families.
    pub(super) is_pooled: bool,
}

/// What the tests answer.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    pub(super) emergence: f64,
    pub(super) p_value: Option<f64>,
    pub(super) onset: Onset,
    pub(super) sharpness: Option<f64>,
    pub(super) evidence: Vec<Evidence>,
}

/// Judges a curve of levels by rising scale, each with at least one score.
pub(super) fn judge(question: &Question<'_>, levels: &[Level]) -> Finding {
    if levels.len() < MODELS {
        let words = format!("{} with scores; a trend cannot be told from fewer than {MODELS}", words::models(levels.len()));
        let mut finding = unfinished(part("resolution", Some(levels.len() as f64), None, words));
        // Where the ability is there at all can be said of any number of models.
        if let Some(chance) = question.chance {
            finding.onset = onset(levels, first_above(levels, &above(levels, chance)));
        }
        return finding;
    }
    match question.chance {
        Some(chance) => against_chance(question, levels, chance),
        None => without_chance(question, levels),
    }
}

fn part(part: &str, value: Option<f64>, p_value: Option<f64>, words: String) -> Evidence {
    Evidence { part: part.to_owned(), value, p_value, words }
}

fn unfinished(evidence: Evidence) -> Finding {
    Finding {
        verdict: Verdict::Unresolved,
        emergence: 0.0,
        p_value: None,
        onset: Onset::default(),
        sharpness: None,
        evidence: vec![evidence],
    }
}

/// Curves of a metric with a chance: the posterior of shapes says what the curve is, the tests of the definition whether its
/// parts hold one by one, and both must agree.
///
/// A probability is always the least over two items going the other way at any model. `emergence` is that of the shape
/// "emergent"; the p-value is that of the definition.
fn against_chance(question: &Question<'_>, levels: &[Level], chance: f64) -> Finding {
    let unit = levels.first().map_or(1.0, |level| level.x);
    let items: Vec<Items> = levels.iter().map(|level| level.items(unit)).collect();
    let scales: Vec<f64> = items.iter().map(|item| item.x).collect();
    let Some(sizes) = Sizes::new(&scales, chance).filter(|sizes| sizes.count >= MODELS) else {
        let words = "the models are of fewer than 4 different sizes".to_owned();
        return unfinished(part("resolution", None, None, words));
    };
    let posterior = posterior(&items, &sizes, question.is_pooled);
    let rises = |seen: &Seen| matches!(seen.shape, Shape::Emergent | Shape::Breakthrough);
    let quantile = |value: fn(&Seen) -> f64| posterior.quantiles(rises, value, [0.025, 0.5, 0.975]);
    let knee = quantile(|seen| seen.knee).unwrap_or([sizes.last; 3]);
    let definition = Definition::at(knee[1], &items, &sizes, question.is_pooled);
    let holds = definition.filter(Definition::holds).filter(|definition| definition.is_at_chance(chance));
    let run = holds.map_or(0, |definition| definition.run);
    let end = posterior.quantiles(|_| true, |seen| seen.end, [0.95]).map_or(1.0, |[end]| end);
    let is_breakthrough = posterior.least_rise >= EMERGENT
        && posterior.shapes[Shape::Breakthrough as usize] > posterior.shapes[Shape::Emergent as usize]
        && definition.is_some_and(|definition| definition.rises());
    let emergence = posterior.least(Shape::Emergent);
    // A claim must stand whatever two items do; that nothing begins here need only be likely.
    let surely = |shape: Shape| posterior.least(shape) >= LIKELY;
    let likely = |shape: Shape| posterior.shapes[shape as usize] >= LIKELY;
    let resolution = resolution(levels, chance);
    let verdict = if surely(Shape::Inverse) {
        Verdict::Inverse
    } else if surely(Shape::UShaped) {
        Verdict::UShaped
    } else if emergence >= EMERGENT && run >= 2 {
        Verdict::Emergent
    } else if emergence >= EMERGENT && run == 1 {
        Verdict::EmergentLastPoint
    } else if is_breakthrough {
        Verdict::BreakthroughFromPlateau
    } else if likely(Shape::Smooth) {
        Verdict::Smooth
    } else if likely(Shape::AboveChance) {
        Verdict::AboveChance
    } else if likely(Shape::Flat) && end <= SEEN_GAIN.mul_add(1.0 - chance, chance) && resolution <= SEEN_GAIN {
        Verdict::Flat
    } else {
        Verdict::Unresolved
    };

    let p_above = above(levels, chance);
    let first = first_above(levels, &p_above);
    let mut evidence = vec![shape_words(&posterior)];
    if let Some(definition) = &definition {
        evidence.extend(definition_words(question, definition, chance));
    }
    let (_, after) = levels.split_at_checked(first).unwrap_or((levels, &[]));
    evidence.push(above_words(question, levels, after, &p_above, chance));
    if after.len() >= 2 {
        let p = items_trend(after).fall;
        let falls = if p <= ALPHA { "falls" } else { "does not fall" };
        let words = format!("among the models above chance the score {falls} ({} for a fall)", words::p(p));
        evidence.push(part("growth", None, Some(p), words));
    }
    evidence.push(trend_words(trend(levels, question.seed)));
    let least = levels.iter().map(|level| level.n).min().unwrap_or_default();
    let mut words =
        format!("{least} items would show an excess over chance of {} four times out of five", words::score(resolution));
    if verdict == Verdict::Unresolved {
        words += &format!("; an excess of {} needs {}", words::score(GATE), needed(chance, GATE));
    }
    evidence.push(part("resolution", Some(resolution), None, words));

    let mut onset = onset(levels, first);
    let mut sharpness = None;
    if matches!(verdict, Verdict::Emergent | Verdict::EmergentLastPoint | Verdict::BreakthroughFromPlateau) {
        let scale = |log: f64| unit * 10_f64.powf(log);
        onset.low = Some(scale(knee[0]));
        // With the largest model alone above chance, the rise lies between it and the one before, where the drawn curves allow.
        let (below, above) = (onset.below.unwrap_or(0.0), onset.above.unwrap_or(f64::INFINITY));
        let between = |seen: &Seen| rises(seen) && (below..=above).contains(&scale(seen.knee));
        let is_last = verdict == Verdict::EmergentLastPoint;
        // The midpoint and the sharpness are of the same drawn curves as the knee.
        let middle = |value: fn(&Seen) -> f64| {
            let last = posterior.quantiles(|seen| is_last && between(seen), value, [0.5]);
            last.or_else(|| posterior.quantiles(rises, value, [0.5])).map(|[middle]| middle)
        };
        onset.knee = Some(scale(middle(|seen| seen.knee).unwrap_or(knee[1])));
        onset.high = Some(scale(knee[2]));
        onset.midpoint = middle(|seen| seen.midpoint).map(scale);
        sharpness = middle(|seen| seen.midpoint - seen.knee);
    }
    let p_value = definition.map(|definition| definition.p_value());
    Finding { verdict, emergence, p_value, onset, sharpness, evidence }
}

/// The items per model with which an excess over chance would be seen four times out of five.
fn needed(chance: f64, excess: f64) -> usize {
    (1..=24).map(|power| 1 << power).find(|&n| minimal_effect(chance, n) <= excess).unwrap_or(usize::MAX)
}

fn shape_words(posterior: &Posterior) -> Evidence {
    let names =
        ["emergent", "breakthrough", "smooth", "a plateau too short to tell", "above chance", "flat", "inverse", "U-shaped"];
    let mut shapes: Vec<(f64, &str)> = posterior.shapes.iter().copied().zip(names).collect();
    shapes.sort_by(|a, b| b.0.total_cmp(&a.0));
    let said: Vec<String> =
        shapes.iter().take(3).filter(|(p, _)| *p >= 0.005).map(|(p, name)| format!("{name} {p:.2}")).collect();
    let least = posterior.least(Shape::Emergent);
    let words =
        format!("probability of the shapes: {}; emergent at least {least:.2} whatever two items do", said.join(", "));
    part("shape", Some(posterior.shapes[Shape::Emergent as usize]), None, words)
}

fn definition_words(question: &Question<'_>, definition: &Definition, chance: f64) -> Vec<Evidence> {
    let level = definition.is_at_chance(chance);
    let plateau = format!(
        "the {} below the knee, over {}, score {} on average, {} chance ({}) by more than {} ({})",
        words::sizes(definition.before),
        question.ruler.distance(definition.decades),
        words::score(definition.plateau),
        if level { "not above" } else { "above" },
        words::score(chance),
        words::score(definition.margin),
        words::p(definition.p_plateau)
    );
    let rise = format!(
        "the largest model is {}above chance and the plateau ({}); the {} from the knee on together {}; {} up to the largest one by one",
        if definition.p_largest < ALPHA { "" } else { "not significantly " },
        words::p(definition.p_largest),
        words::sizes(definition.after),
        words::p(definition.p_after),
        words::sizes(definition.run)
    );
    vec![
        part("plateau", Some(definition.plateau), Some(definition.p_plateau), plateau),
        part("rise", Some(definition.run as f64), Some(definition.p_largest.max(definition.p_after)), rise),
    ]
}

/// The bracket that always holds: the last model not above chance and the first one above.
fn onset(levels: &[Level], first: usize) -> Onset {
    let above = levels.get(first).map(|level| level.x);
    let below = first.checked_sub(1).and_then(|last| levels.get(last)).map(|level| level.x);
    let bracket = above.and(below);
    Onset { below, above, knee: None, midpoint: None, low: bracket, high: bracket.and(above) }
}

/// Curves of a metric without a chance: only their trend can be judged, and emergence is never claimed.
fn without_chance(question: &Question<'_>, levels: &[Level]) -> Finding {
    let whole = trend(levels, question.seed);
    let dipped = dip(levels, 0.1 * (highest(levels) - lowest(levels)));
    let items = items_trend(levels);
    let verdict = if whole.fall <= ALPHA {
        Verdict::Inverse
    } else if dipped.is_some() {
        Verdict::UShaped
    } else if whole.rise <= ALPHA {
        Verdict::Smooth
    } else if items.rise > ALPHA && items.fall > ALPHA {
        Verdict::Flat
    } else {
        Verdict::Unresolved
    };
    let mut evidence = vec![trend_words(whole)];
    if let Some((dipped, low)) = dipped.and_then(|dipped| levels.get(dipped.at).map(|low| (dipped, low))) {
        evidence.push(dip_words(question, low, dipped.p));
    }
    match verdict {
        Verdict::Flat => {
            evidence.push(part("resolution", None, None, "no trend is seen; that is no proof that there is none".to_owned()))
        }
        Verdict::Unresolved => evidence.push(part(
            "resolution",
            None,
            None,
            "the items show a trend, but models in another order would show as much".to_owned(),
        )),
        _ => {}
    }
    Finding { verdict, emergence: 0.0, p_value: None, onset: Onset::default(), sharpness: None, evidence }
}

fn above_words(question: &Question<'_>, levels: &[Level], after: &[Level], p_above: &[f64], chance: f64) -> Evidence {
    let Some(first) = after.first() else {
        let p = p_above.last().copied();
        let words = format!(
            "the largest model scores {}, not significantly above a chance of {} ({})",
            levels.last().map_or_else(String::new, |level| words::score(level.mean())),
            words::score(chance),
            words::p(p.unwrap_or(1.0))
        );
        return part("above", levels.last().map(Level::mean), p, words);
    };
    let p = p_above.iter().rev().take(after.len()).copied().fold(0.0, f64::max);
    let words = if after.len() == 1 {
        format!(
            "only the largest, at {} {}, is above chance: it scores {} ({})",
            question.ruler.text(first.x),
            question.ruler.axis.unit(),
            words::score(first.mean()),
            words::p(p)
        )
    } else {
        format!(
            "{} from {} {} on are above chance, with scores of {} to {} ({} at most)",
            words::models(after.len()),
            question.ruler.text(first.x),
            question.ruler.axis.unit(),
            words::score(lowest(after)),
            words::score(highest(after)),
            words::p(p)
        )
    };
    part("above", Some(highest(after)), Some(p), words)
}

fn dip_words(question: &Question<'_>, low: &Level, p: f64) -> Evidence {
    let words = format!(
        "the score falls to {} at {} {} and rises after it ({})",
        words::score(low.mean()),
        question.ruler.text(low.x),
        question.ruler.axis.unit(),
        words::p(p)
    );
    part("dip", Some(low.mean()), Some(p), words)
}

fn trend_words(whole: Trend) -> Evidence {
    let (p, words) = if whole.rise <= ALPHA {
        (whole.rise, "over all models the score rises with scale")
    } else if whole.fall <= ALPHA {
        (whole.fall, "over all models the score falls with scale")
    } else {
        (whole.rise.min(whole.fall), "over all models the score has no significant trend")
    };
    part("trend", None, Some(p), format!("{words} ({})", words::p(p)))
}
