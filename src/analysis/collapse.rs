//! Over which axis the families of a task fall on one curve: the marginal likelihood of the pooled curve under each.
//!
//! The data are the same under every axis, and so are the priors: each coordinate is stretched linearly to the range of the first
//! axis, so that a shift of a model means the same part of it. What is left is how well one curve with shifted models explains
//! the scores. Families that use their compute unequally are scattered over it and may be one curve over loss (Du et al. 2024).

use crate::schema::{Axis, AxisEvidence, Collapse, PublishedScore, Sizes};

use super::level::Level;
use super::likelihood::Items;
use super::models::distinct;
use super::posterior::log_evidence;
use super::ruler::span;

/// Axes that are compared. Perplexity orders models as loss does, by the same distances.
const AXES: [Axis; 4] = [Axis::Flops, Axis::Params, Axis::Tokens, Axis::Loss];
/// Fewest models.
const MODELS: usize = 4;
/// Differences of log evidence from which on they are positive, strong and very strong: twice the logarithm of a Bayes factor
/// is 2, 6 and 10 (Kass and Raftery 1995, JASA 90:773).
const STRENGTHS: [(f64, &str); 3] = [(5.0, "very strong"), (3.0, "strong"), (1.0, "positive")];

/// Compares the axes for the scores of a task, prompt and metric. None without two families, four models and two axes that all
/// of these models have.
///
/// An axis that fewer than seven in ten of the models have is not compared; models that lack one of the others are left out, so
/// that every axis has the same data.
pub(super) fn collapse(
    [task, prompt, metric]: [&str; 3],
    scores: &[&PublishedScore],
    chance: f64,
    level: impl Fn(&PublishedScore, f64) -> Level,
) -> Option<Collapse> {
    let has = |axis: Axis, one: &PublishedScore| axis.measure(&one.scale).is_some();
    let known = |axis: &Axis| scores.iter().filter(|one| has(*axis, one)).count() * 10 >= scores.len() * 7;
    let common: Vec<Axis> = AXES.into_iter().filter(known).collect();
    let kept: Vec<&PublishedScore> =
        scores.iter().copied().filter(|one| common.iter().all(|axis| has(*axis, one))).collect();
    let places = |axis: Axis| -> Vec<f64> {
        kept.iter().filter_map(|one| Some(axis.coordinate(axis.measure(&one.scale)?))).collect()
    };
    // Models of one measure are no axis.
    let axes: Vec<Axis> = common.into_iter().filter(|axis| span(places(*axis).into_iter()).1 > 0.0).collect();
    let families = distinct(kept.iter().map(|one| one.family.as_str()));
    if axes.len() < 2 || families.len() < 2 || kept.len() < MODELS {
        return None;
    }
    let range = span(places(*axes.first()?).into_iter()).1;
    let mut found = Vec::new();
    for axis in axes {
        let places = places(axis);
        let (low, own) = span(places.iter().copied());
        let mut items: Vec<Items> = kept
            .iter()
            .zip(&places)
            .map(|(one, place)| {
                let family = families.iter().position(|family| *family == one.family).unwrap_or_default();
                Level { family, ..level(one, 10_f64.powf((place - low) / own * range)) }.items(1.0)
            })
            .collect();
        items.sort_by(|a, b| a.x.total_cmp(&b.x));
        let scales: Vec<f64> = items.iter().map(|item| item.x).collect();
        let sizes = Sizes::new(&scales, chance)?;
        found.push((axis, log_evidence(&items, &sizes, true)));
    }
    found.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    let (most, error_of_most) = found.first()?.1;
    let axes: Vec<AxisEvidence> = found
        .into_iter()
        .enumerate()
        .map(|(rank, (axis, (log_evidence, error)))| {
            let behind = most - log_evidence;
            let strength = if rank == 0 { "" } else { strength(2.0f64.mul_add(-error.hypot(error_of_most), behind)) };
            AxisEvidence { axis: axis.name().to_owned(), log_evidence, error, behind, strength: strength.to_owned() }
        })
        .collect();
    let words = words(&axes, kept.len(), families.len());
    Some(Collapse {
        task: task.to_owned(),
        prompt: prompt.to_owned(),
        metric: metric.to_owned(),
        families: families.into_iter().map(str::to_owned).collect(),
        models: kept.len(),
        left_out: scores.len() - kept.len(),
        axes,
        words,
    })
}

fn strength(behind: f64) -> &'static str {
    STRENGTHS.into_iter().find(|(least, _)| behind >= *least).map_or("none", |(_, word)| word)
}

/// The finding as a sentence.
fn words(axes: &[AxisEvidence], models: usize, families: usize) -> String {
    let who = format!("{models} models of {families} families");
    let Some((best, rest)) = axes.split_first() else { return String::new() };
    let (level, behind): (Vec<&AxisEvidence>, Vec<&AxisEvidence>) = rest.iter().partition(|one| one.strength == "none");
    let against: Vec<String> = behind
        .iter()
        .map(|one| format!("{} is {:.1} nats of log evidence behind ({})", one.axis, one.behind, one.strength))
        .collect();
    let equal: Vec<&str> = level.iter().map(|one| one.axis.as_str()).collect();
    match (equal.is_empty(), against.is_empty()) {
        (true, _) => format!("{who} fall on one curve best over {}; {}", best.axis, against.join(", ")),
        (false, false) => {
            format!("{who} fall on one curve best over {} or {}; {}", best.axis, equal.join(" or "), against.join(", "))
        }
        (false, true) => {
            format!("{who} fall on one curve as well over {} as over {}", best.axis, equal.join(" or "))
        }
    }
}
