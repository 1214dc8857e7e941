//! The verdict on a curve: the tests of `evidence`, in the order of the table of verdicts.

use crate::schema::{Evidence, Onset, Verdict};
use crate::stats::lower_tail;

use super::evidence::{
    ALPHA, PLATEAU_MODELS, Trend, above, breakthrough, dip, highest, items_trend, lowest, margin, plateau, resolution,
    step_down, trend,
};
use super::level::{Level, pool};
use super::words;

/// Fewest models that can show anything: three models give a monotone trend a p-value of 1/6 at best.
const MODELS: usize = 4;

/// What is asked of a curve.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    /// Chance, for metrics that have one.
    pub(super) chance: Option<f64>,
    /// The unit of the axis in words.
    pub(super) unit: &'a str,
    /// Seed of the permutation test.
    pub(super) seed: u64,
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
            finding.onset = onset(levels, step_down(&above(levels, chance)));
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

/// Curves of a metric with a chance.
///
/// The p-value is that of the definition of emergence, an intersection-union test (Berger 1982, Technometrics 24:295): the
/// largest of the plateau's and of the two largest models'. The strength of the evidence, `emergence`, is one minus it,
/// times the gain `(ymax - c) / (1 - c)`; for the largest model alone it is half of what the plateau and that model give,
/// because nothing repeats it; and zero unless the plateau at chance and the rise are both there.
fn against_chance(question: &Question<'_>, levels: &[Level], chance: f64) -> Finding {
    let p_above = above(levels, chance);
    let first = step_down(&p_above);
    let (below, after) = levels.split_at_checked(first).unwrap_or((levels, &[]));
    let margin = margin(levels, chance);
    let whole = trend(levels, question.seed);
    let growing = items_trend(after).fall > ALPHA;
    // With nothing above, the plateau is that of the models that emergence would leave for it.
    let flat = plateau(if after.is_empty() { levels } else { below }, chance, margin);
    let split = if after.is_empty() { levels.len() - 2 } else { first };
    let tested = plateau(levels.get(..split).unwrap_or_default(), chance, margin);
    let second = p_above.iter().rev().nth(1).copied().unwrap_or(1.0);
    let largest = p_above.last().copied().unwrap_or(1.0);
    let p_value = tested.p.max(second).max(largest);

    let broken = breakthrough(levels, chance);
    let dipped = dip(levels, margin);
    let resolution = resolution(levels, chance);
    let at_chance = after.is_empty() && nothing_above(levels, &p_above, chance, margin);
    let verdict = if whole.fall <= ALPHA {
        Verdict::Inverse
    } else if dipped.is_some() {
        Verdict::UShaped
    } else if flat.holds() && growing_rise(after, growing) {
        if after.len() >= 2 { Verdict::Emergent } else { Verdict::EmergentLastPoint }
    } else if broken.is_some() {
        Verdict::BreakthroughFromPlateau
    } else if !after.is_empty() && whole.rise <= ALPHA && (first < 2 || trend(below, question.seed).rise <= ALPHA) {
        // Growth from the first models on must be seen: a plateau that is only too short or too few items to be shown is
        // no evidence against one.
        Verdict::Smooth
    } else if first == 0 {
        Verdict::AboveChance
    } else if at_chance && resolution <= margin {
        Verdict::Flat
    } else {
        Verdict::Unresolved
    };

    let mut evidence = Vec::new();
    evidence.push(plateau_words(question, if after.is_empty() { levels } else { below }, &flat, chance, margin));
    evidence.push(above_words(question, levels, after, &p_above, chance));
    if after.len() >= 2 {
        let words = if growing {
            "among the models above chance the score does not fall"
        } else {
            "among the models above chance the score falls"
        };
        let p = items_trend(after).fall;
        evidence.push(part("growth", None, Some(p), format!("{words} ({} for a fall)", words::p(p))));
    }
    if let Some(broken) = broken {
        let words = format!(
            "{} stay on a level of {}, above chance, and every larger one breaks out of it ({})",
            words::models(broken.models),
            words::score(broken.mean),
            words::p(broken.p)
        );
        evidence.push(part("breakthrough", Some(broken.mean), Some(broken.p), words));
    }
    if let Some((dipped, low)) = dipped.and_then(|dipped| levels.get(dipped.at).map(|low| (dipped, low))) {
        evidence.push(dip_words(question, low, dipped.p));
    }
    evidence.push(trend_words(whole));
    let words = format!(
        "{} items per model would show an excess over chance of {} four times out of five; the margin is {}{}",
        levels.iter().map(|level| level.n).min().unwrap_or_default(),
        words::score(resolution),
        words::score(margin),
        if verdict == Verdict::Unresolved && at_chance { ", so nothing can be said to be at chance" } else { "" }
    );
    evidence.push(part("resolution", Some(resolution), None, words));

    let shaped = matches!(verdict, Verdict::Emergent | Verdict::EmergentLastPoint);
    let gain = ((highest(levels) - chance) / (1.0 - chance).max(1e-9)).clamp(0.0, 1.0);
    let strength = match verdict {
        Verdict::Emergent => 1.0 - p_value,
        Verdict::EmergentLastPoint => 0.5 * (1.0 - tested.p.max(largest)),
        _ => 0.0,
    };
    let mut onset = match broken {
        Some(broken) if verdict == Verdict::BreakthroughFromPlateau => self::onset(levels, broken.models),
        _ => self::onset(levels, first),
    };
    let mut sharpness = None;
    if shaped {
        onset.knee = crossing(levels, chance + margin);
        onset.midpoint = crossing(levels, f64::midpoint(chance, highest(levels)));
        sharpness = onset.knee.zip(onset.midpoint).map(|(knee, midpoint)| (midpoint / knee).log10());
    }
    Finding { verdict, emergence: strength * gain, p_value: Some(p_value), onset, sharpness, evidence }
}

/// Whether there is a rise and it lasts.
fn growing_rise(after: &[Level], growing: bool) -> bool {
    !after.is_empty() && (after.len() < 2 || growing)
}

/// Whether no model is above chance (Bonferroni over the models), and all together are not above the margin.
fn nothing_above(levels: &[Level], p_above: &[f64], chance: f64, margin: f64) -> bool {
    let all = pool(levels);
    p_above.iter().all(|p| p * levels.len() as f64 > ALPHA)
        && lower_tail(all.at_most(), all.n, (chance + margin).min(1.0)) <= ALPHA
}

/// The bracket that always holds: the last model not above chance and the first one above.
fn onset(levels: &[Level], first: usize) -> Onset {
    let above = levels.get(first).map(|level| level.x);
    let below = first.checked_sub(1).and_then(|last| levels.get(last)).map(|level| level.x);
    let bracket = above.and(below);
    Onset { below, above, knee: None, midpoint: None, low: bracket, high: bracket.and(above) }
}

/// Where the curve, drawn straight between models over log scale, rises through a value for the last time.
fn crossing(levels: &[Level], value: f64) -> Option<f64> {
    levels.windows(2).rev().find_map(|pair| {
        let [a, b] = pair else { return None };
        let (low, high) = (a.mean(), b.mean());
        let part = (value - low) / (high - low);
        (low < value && value <= high).then(|| a.x * (b.x / a.x).powf(part))
    })
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

fn plateau_words(
    question: &Question<'_>,
    below: &[Level],
    flat: &super::evidence::Plateau,
    chance: f64,
    margin: f64,
) -> Evidence {
    let Some(last) = below.last() else {
        return part("plateau", None, None, "no model is at chance".to_owned());
    };
    let mut words = format!(
        "{} up to {} {} score {} on average against a chance of {}",
        words::models(flat.models),
        words::scale(last.x),
        question.unit,
        words::score(flat.mean),
        words::score(chance)
    );
    if !flat.is_long() {
        words += &format!(
            "; too short for a plateau ({PLATEAU_MODELS} models over a decade are needed, here {:.1} decades)",
            flat.decades
        );
        return part("plateau", Some(flat.mean), None, words);
    }
    let sign = if flat.holds() { "" } else { " not shown to be" };
    words += &format!(";{sign} below {} ({})", words::score(chance + margin), words::p(flat.p));
    part("plateau", Some(flat.mean), Some(flat.p), words)
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
            words::scale(first.x),
            question.unit,
            words::score(first.mean()),
            words::p(p)
        )
    } else {
        format!(
            "{} from {} {} on are above chance, with scores of {} to {} ({} at most)",
            words::models(after.len()),
            words::scale(first.x),
            question.unit,
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
        words::scale(low.x),
        question.unit,
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
