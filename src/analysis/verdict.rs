//! The verdict on a curve: the tests of `evidence`, in the order of the table of verdicts.
#![expect(clippy::indexing_slicing, reason = "arrays by shape, family and model, of known length")]

use crate::curves::CURVES;
use crate::schema::{Evidence, Onset, Sizes, Verdict};

use super::definition::{ALPHA, Definition};
use super::evidence::{Trend, above, dip, first_above, highest, items_trend, lowest, trend};
use super::forecast::Forecast;
use super::gates::Gates;
use super::level::Level;
use super::likelihood::Items;
use super::posterior::{Posterior, posterior};
use super::ruler::Ruler;
use super::shape::{Seen, Shape};
use super::words;

/// Fewest models that can show anything: three models give a monotone trend a p-value of 1/6 at best.
pub(super) const MODELS: usize = 4;

/// Models from which on a criterion of best fits can tell a bend from a line.
const MANY_MODELS: usize = 25;

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
    /// Whether it is unresolved for want of models, and not of samples.
    pub(super) lacks_models: bool,
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

pub(super) fn part(part: &str, value: Option<f64>, p_value: Option<f64>, words: String) -> Evidence {
    Evidence { part: part.to_owned(), value, p_value, words }
}

fn unfinished(evidence: Evidence) -> Finding {
    Finding {
        verdict: Verdict::Unresolved,
        emergence: 0.0,
        p_value: None,
        onset: Onset::default(),
        sharpness: None,
        lacks_models: true,
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
    let p_above = above(levels, chance);
    let definition = Definition::at(knee[1], &items, &p_above, &sizes, question.is_pooled);
    let gates = Gates::new(&posterior, definition, levels, chance);
    let verdict = gates.verdict();

    let first = first_above(levels, &p_above);
    let mut evidence = vec![shape_words(&posterior), part("change", None, None, gates.change(verdict))];
    let has_knee = quantile(|seen| seen.knee).is_some();
    if let Some(definition) = &definition {
        evidence.extend(definition_words(question, definition, chance, has_knee));
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
    evidence.push(gates.resolution_words(verdict));
    evidence.push(criterion_words(&posterior, levels.len()));

    let rising = matches!(verdict, Verdict::Emergent | Verdict::EmergentLastPoint | Verdict::BreakthroughFromPlateau);
    let mut onset = match (verdict, &definition) {
        // What never begins has no onset; what is there at every size begins at the smallest or before.
        (Verdict::Flat | Verdict::Inverse, _) => Onset::default(),
        (Verdict::AboveChance, _) => onset(levels, 0),
        // Of many families one that is behind its scale would move the step-down to the end.
        (_, Some(_)) if rising && question.is_pooled => {
            onset(levels, levels.partition_point(|level| (level.x / unit).log10() < knee[1]))
        }
        // A plateau may lie a little above chance, and that of a breakthrough does: what rises, rises above both.
        (_, Some(definition)) if rising => {
            onset(levels, first_above(levels, &above(levels, definition.plateau.max(chance))))
        }
        _ => onset(levels, first),
    };
    let mut sharpness = None;
    if rising {
        let scale = |log: f64| unit * 10_f64.powf(log);
        // With the largest model alone above chance, the rise lies between it and the one before, where the drawn curves allow.
        let (below, above) = (onset.below.unwrap_or(0.0), onset.above.unwrap_or(f64::INFINITY));
        let between = |seen: &Seen| rises(seen) && (below..=above).contains(&scale(seen.knee));
        let is_last = verdict == Verdict::EmergentLastPoint && !question.is_pooled;
        // The midpoint and the sharpness are of the same drawn curves as the knee.
        let of = |value: fn(&Seen) -> f64| {
            let last = posterior.quantiles(|seen| is_last && between(seen), value, [0.025, 0.5, 0.975]);
            last.or_else(|| posterior.quantiles(rises, value, [0.025, 0.5, 0.975]))
        };
        if let (Some([_, knee, _]), Some(midpoint), Some(width), Some([low, _, high])) = (
            of(|seen| seen.knee),
            of(|seen| seen.midpoint),
            of(|seen| seen.midpoint - seen.knee),
            quantile(|seen| seen.knee),
        ) {
            // That the model before the last is not above chance is no proof that the rise has not begun there: the interval is that of
            // all curves that rise.
            let (low, high) = (low.min(knee), high.max(knee));
            onset.low = Some(scale(low));
            onset.high = Some(scale(high));
            onset.knee = Some(scale(knee));
            onset.midpoint = Some(scale(midpoint[1]));
            sharpness = Some(width[1]);
            evidence.push(knee_words(question, [low, knee, high].map(scale), scale(midpoint[1]), width));
        }
    }
    if sharpness.is_some()
        && let Some(below) = onset.below
    {
        evidence.push(surprise(question, &items, (below / unit).log10(), chance));
    }
    let p_value = definition.map(|definition| definition.p_value());
    let (emergence, lacks_models) = (posterior.least(Shape::Emergent), gates.lacks_models(verdict));
    Finding { verdict, emergence, p_value, onset, sharpness, lacks_models, evidence }
}

/// Where the rise is, of the drawn curves that rise: the knee with its 95 % interval, the midpoint, and how far apart they are.
fn knee_words(question: &Question<'_>, [low, knee, high]: [f64; 3], midpoint: f64, width: [f64; 3]) -> Evidence {
    let (ruler, [least, middle, most]) = (question.ruler, width);
    let words = format!(
        "the rise has a tenth of its gain at {} {} (95 % between {} and {}) and half of it at {}, {} later ({} to {})",
        ruler.text(knee),
        ruler.axis.unit(),
        ruler.text(low),
        ruler.text(high),
        ruler.text(midpoint),
        ruler.distance(middle),
        ruler.distance(least),
        ruler.distance(most)
    );
    part("knee", Some(ruler.measure(knee)), None, words)
}

fn shape_words(posterior: &Posterior) -> Evidence {
    let mut shapes: Vec<(f64, &str)> = posterior.shapes.iter().copied().zip(Shape::NAMES).collect();
    shapes.sort_by(|a, b| b.0.total_cmp(&a.0));
    let said: Vec<String> =
        shapes.iter().take(3).filter(|(p, _)| *p >= 0.005).map(|(p, name)| format!("{name} {p:.2}")).collect();
    let least = posterior.least(Shape::Emergent);
    let words =
        format!("probability of the shapes: {}; emergent at least {least:.2} whatever two items do", said.join(", "));
    part("shape", Some(posterior.shapes[Shape::Emergent as usize]), None, words)
}

/// Another way to weigh families, as a check: by the best curve of each and not by all, with a penalty for every free number.
fn criterion_words(posterior: &Posterior, models: usize) -> Evidence {
    let known = || CURVES.iter().zip(&posterior.criteria).filter_map(|(family, found)| Some((family.name(), (*found)?)));
    let best = known().map(|(_, found)| found).fold(f64::INFINITY, f64::min);
    let sum: f64 = known().map(|(_, found)| (0.5 * (best - found)).exp()).sum();
    let mut weights: Vec<(&str, f64)> = known().map(|(name, found)| (name, (0.5 * (best - found)).exp() / sum)).collect();
    weights.sort_by(|a, b| b.1.total_cmp(&a.1));
    let Some((_, first)) = weights.first().copied().filter(|_| weights.len() == CURVES.len()) else {
        let words = "too few models to compare best fits by AICc".to_owned();
        return part("aicc", None, None, words);
    };
    let said: Vec<String> = weights
        .iter()
        .take(3)
        .filter(|(_, weight)| *weight >= 0.005)
        .map(|(name, weight)| format!("{name} {weight:.2}"))
        .collect();
    let mut words = format!("as a check, weights of the best curves by AICc: {}", said.join(", "));
    if models < MANY_MODELS {
        words += &format!("; with {} it favours the fewest free numbers", words::models(models));
    }
    part("aicc", Some(first), None, words)
}

fn definition_words(question: &Question<'_>, definition: &Definition, chance: f64, has_knee: bool) -> Vec<Evidence> {
    let level = definition.plateau <= chance + definition.margin;
    let mut plateau = format!(
        "the {} {}, over {}, score {} on average ({} items), {} chance of {} by more than {} ({} against a plateau that is)",
        words::sizes(definition.before),
        if has_knee { "below the knee" } else { "before the largest" },
        question.ruler.distance(definition.decades),
        words::score(definition.plateau),
        definition.plateau_items,
        match (level, definition.p_plateau < ALPHA) {
            (true, true) => "not above",
            (true, false) => "not seen and not ruled out to be above",
            (false, _) => "above",
        },
        words::score(chance),
        words::score(definition.margin),
        words::p(definition.p_plateau)
    );
    if definition.strays > 0 {
        plateau += &format!("; {} of them above it alone", words::models(definition.strays));
    }
    if let Some(climb) = definition.climb {
        plateau += &format!("; among themselves they rise by {}", words::score(climb));
    }
    let rise = format!(
        "the largest model is {}above chance and the plateau ({}; with two items fewer right {}), the {} from the knee on together {}above ({}); {}",
        if definition.p_largest < ALPHA { "" } else { "not significantly " },
        words::p(definition.p_largest),
        words::p(definition.p_largest_less),
        words::sizes(definition.after),
        if definition.p_after < ALPHA { "" } else { "not significantly " },
        words::p(definition.p_after),
        match definition.run {
            0 => "not even the largest is above by the margin, taken alone".to_owned(),
            1 => "the largest alone is above by the margin, one by one".to_owned(),
            run => format!("the largest {run} are above by the margin, one by one"),
        }
    );
    vec![
        part("plateau", Some(definition.plateau), Some(definition.p_plateau), plateau),
        part("rise", Some(definition.run as f64), Some(definition.p_largest.max(definition.p_after)), rise),
    ]
}

/// How far the largest model lies outside what the models below the onset foretell of it: the second half of the definition, that an
/// ability could not have been foreseen from smaller models.
fn surprise(question: &Question<'_>, items: &[Items], below: f64, chance: f64) -> Evidence {
    let known: Vec<Items> = items.iter().filter(|item| item.x <= below + 1e-9).copied().collect();
    let forecast =
        items.last().and_then(|largest| Some((largest, Forecast::new(&known, largest.x, chance, question.is_pooled)?)));
    let Some((largest, forecast)) = forecast else {
        let words = "fewer than four sizes below the onset: nothing can be foretold from them".to_owned();
        return part("surprise", None, None, words);
    };
    let (said, p) = (forecast.at(largest.x, largest.n), forecast.surprise(largest));
    let words = format!(
        "from the {} below the onset the largest is foretold to score {}, 90 % between {} and {}; it scores {}: a score as high had a probability of \
         {}",
        words::models(known.len()),
        words::score(said.score),
        words::score(said.low),
        words::score(said.high),
        words::score(largest.mean()),
        if p < 0.001 { "less than 0.001".to_owned() } else { format!("{p:.3}") }
    );
    part("surprise", Some(said.score), Some(p), words)
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
    Finding {
        verdict,
        emergence: 0.0,
        p_value: None,
        onset: Onset::default(),
        sharpness: None,
        lacks_models: false,
        evidence,
    }
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
