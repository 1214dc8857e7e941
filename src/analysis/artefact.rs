//! Real, or an artefact of the metric? The same records under their other metrics, below the onset and over all sizes.
//!
//! Two questions are asked of a curve that leaves its plateau (Schaeffer, Miranda and Koyejo 2023). Do the continuous metrics of
//! the same records rise among the sizes below the onset, where the all-or-nothing one shows nothing? And does the accuracy
//! per character, to the power of the answer's length, explain the curve? It makes the jump one of the metric only where it
//! rises below the onset itself: an accuracy per character that jumps explains a jump too. The published scores of suddenness
//! stand beside them for comparison and decide nothing.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::schema::{Curve, Evidence, Verdict};
use crate::stats::median;

use super::cells::View;
use super::definition::ALPHA;
use super::evidence::items_trend;
use super::level::Level;
use super::ruler::Ruler;
use super::words;

/// Scorers that are the mean accuracy per character.
const PER_CHARACTER: [&str; 2] = ["digit-accuracy", "character-accuracy"];
/// The part of the variance between sizes, and its lower end, from which on p^L explains a curve.
const EXPLAINED: f64 = 0.9;
const EXPLAINED_LOW: f64 = 0.8;
/// Resamples of the items of every model.
const RESAMPLES: usize = 200;

/// Adds what the other metrics of the same records say of a curve that leaves a plateau. `cells` are those of its sizes, by rising
/// scale.
pub(super) fn examine(curve: &mut Curve, ruler: &Ruler, continuous: &[String], cells: &[(f64, View<'_>)], seed: u64) {
    let is_shaped =
        matches!(curve.verdict, Verdict::Emergent | Verdict::EmergentLastPoint | Verdict::BreakthroughFromPlateau);
    let Some(below) = curve.onset.below.filter(|_| is_shaped).map(|below| ruler.scale(below)) else { return };
    let measured: Vec<Early> = continuous.iter().filter_map(|metric| Early::of(metric, cells, below)).collect();
    let power = continuous
        .iter()
        .find(|metric| PER_CHARACTER.contains(&metric.as_str()))
        .and_then(|metric| PowerOfLength::of(&curve.metric, metric, cells, seed));
    let level = ALPHA / measured.len().max(1) as f64;
    let rising: Vec<&str> = measured.iter().filter(|one| one.p_rise <= level).map(|one| one.metric.as_str()).collect();
    let sentence = sentence(&curve.metric, &measured, &rising, power.as_ref());
    let value = power.as_ref().map(|power| power.share);
    curve.evidence.push(Evidence { part: "metric_artefact".to_owned(), value, p_value: None, words: sentence });
    for one in &measured {
        let rises = if one.p_rise <= level { "rises already" } else { "does not rise significantly" };
        let words = format!(
            "{} {rises} over the {} below the onset ({})",
            one.metric,
            words::models(one.models),
            words::p(one.p_rise)
        );
        curve.evidence.push(Evidence {
            part: format!("below_onset:{}", one.metric),
            value: Some(one.models as f64),
            p_value: Some(one.p_rise),
            words,
        });
    }
    if let Some(power) = power {
        let words = format!(
            "{} to the power of the answer's length accounts for {} [{}, {}] of the variance between sizes, over {} records",
            power.metric,
            words::score(power.share),
            words::score(power.low),
            words::score(power.high),
            power.n
        );
        curve.evidence.push(Evidence { part: "power_of_length".to_owned(), value: Some(power.share), p_value: None, words });
    }
}

/// What holds, in one sentence.
fn sentence(metric: &str, measured: &[Early], rising: &[&str], power: Option<&PowerOfLength>) -> String {
    if measured.is_empty() {
        return format!("real or an artefact of {metric}: cannot be told, no other metric was measured below the onset");
    }
    let all: Vec<&str> = measured.iter().map(|one| one.metric.as_str()).collect();
    if rising.is_empty() {
        let verb = if all.len() == 1 { "does" } else { "do" };
        let all = all.join(" and ");
        return format!("no sign of an artefact of {metric}: {all} {verb} not rise significantly below the onset either");
    }
    let verb = if rising.len() == 1 { "rises" } else { "rise" };
    let explains = power.is_some_and(|power| power.explains() && rising.contains(&power.metric.as_str()));
    if explains {
        return format!(
            "an artefact of {metric}, as far as can be seen: {} {verb} below the onset already, and accuracy per character with \
             the length of the answer explains the curve",
            rising.join(" and ")
        );
    }
    let others: Vec<&str> = all.into_iter().filter(|one| !rising.contains(one)).collect();
    let not = if others.is_empty() { String::new() } else { format!(", but not by {}", others.join(" and ")) };
    format!("progress that {metric} does not show is seen below the onset already by {}{not}", rising.join(" and "))
}

/// A continuous metric among the models below the onset.
struct Early {
    metric: String,
    models: usize,
    p_rise: f64,
}

impl Early {
    /// None with fewer than two models that have scores.
    fn of(metric: &str, cells: &[(f64, View<'_>)], below: f64) -> Option<Self> {
        let levels: Vec<Level> = cells
            .iter()
            .filter(|(x, _)| *x <= below)
            .map(|(x, cell)| Level::new(*x, &cell.scores(metric).sorted()))
            .filter(|level| level.n > 0)
            .collect();
        (levels.len() >= 2).then(|| Self {
            metric: metric.to_owned(),
            models: levels.len(),
            p_rise: items_trend(&levels).rise,
        })
    }
}

/// How far accuracy per character to the power of the length goes in explaining an all-or-nothing metric.
struct PowerOfLength {
    metric: String,
    /// Items with both scores, over all sizes.
    n: usize,
    /// The part of the variance of the score between sizes that it accounts for; negative when it is worse than the mean.
    share: f64,
    low: f64,
    high: f64,
}

/// An item: right or wrong, the part of its characters that is right, and how many characters there are.
type Spelled = (f64, f64, f64);

impl PowerOfLength {
    fn of(discontinuous: &str, metric: &str, cells: &[(f64, View<'_>)], seed: u64) -> Option<Self> {
        let spelled: Vec<Vec<Spelled>> = cells
            .iter()
            .map(|(_, cell)| {
                let (whole, part) = (cell.scores(discontinuous), cell.scores(metric));
                let length = |row: usize| cell.target(row).trim().chars().count() as f64;
                let item = |row: usize| Some((whole.of(row)?, part.of(row)?, length(row)));
                let mut own: Vec<Spelled> = (0..cell.len()).filter_map(item).collect();
                own.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2)));
                own
            })
            .filter(|own: &Vec<Spelled>| !own.is_empty())
            .collect();
        let share = share(&spelled)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut resampled: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let drawn: Vec<Vec<Spelled>> = spelled
                    .iter()
                    .map(|own| own.iter().filter_map(|_| own.get(rng.random_range(0..own.len())).copied()).collect())
                    .collect();
                self::share(&drawn)
            })
            .collect();
        resampled.sort_by(f64::total_cmp);
        let at = |part: usize| resampled.get(resampled.len() * part / 40).or(resampled.last()).copied();
        let n = spelled.iter().map(Vec::len).sum();
        Some(Self { metric: metric.to_owned(), n, share, low: at(1)?, high: at(39)? })
    }

    fn explains(&self) -> bool {
        self.share >= EXPLAINED && self.low >= EXPLAINED_LOW
    }
}

/// The part of the variance between sizes that p^L accounts for: p is the accuracy per character of a size, L the length of
/// each answer. None with fewer than three sizes, or when all score the same.
fn share(sizes: &[Vec<Spelled>]) -> Option<f64> {
    let pairs: Vec<(f64, f64)> = sizes
        .iter()
        .map(|own| {
            let n = own.len() as f64;
            let characters: f64 = own.iter().map(|(.., length)| length).sum();
            let right: f64 = own.iter().map(|(_, part, length)| part * length).sum();
            let p = right / characters.max(1.0);
            let expected = own.iter().map(|(.., length)| p.powf(*length)).sum::<f64>() / n;
            (own.iter().map(|(exact, ..)| exact).sum::<f64>() / n, expected)
        })
        .collect();
    let mean = pairs.iter().map(|(exact, _)| exact).sum::<f64>() / pairs.len() as f64;
    let total: f64 = pairs.iter().map(|(exact, _)| (exact - mean).powi(2)).sum();
    let left: f64 = pairs.iter().map(|(exact, expected)| (exact - expected).powi(2)).sum();
    (pairs.len() >= 3 && total > 0.0).then(|| 1.0 - left / total)
}

/// The published scores of suddenness of an all-or-nothing curve, for comparison.
pub(super) fn published_scores(curve: &mut Curve, ruler: &Ruler) {
    let scores: Vec<(f64, f64)> =
        curve.points.iter().filter_map(|point| Some((ruler.scale(point.x), point.score?))).collect();
    let Some((breakthroughness, linearity)) = suddenness(&scores) else { return };
    let discontinuity = discontinuity(&scores);
    let values = [("breakthroughness", breakthroughness), ("linearity", linearity), ("discontinuity", discontinuity)];
    for (part, value) in values {
        let value_words = value.map_or_else(|| "not defined".to_owned(), |value| format!("{value:.2}"));
        let words = format!("{part} {value_words} (published score, for comparison; no part of the verdict)");
        curve.evidence.push(Evidence { part: part.to_owned(), value, p_value: None, words });
    }
}

/// Breakthroughness and linearity of BIG-bench (Srivastava et al. 2022), the first of which is the emergence score of Schaeffer
/// et al. 2023: the signed range over the root of the median, or of the mean, of the squared steps. None for a score whose
/// steps are all zero.
fn suddenness(scores: &[(f64, f64)]) -> Option<(Option<f64>, Option<f64>)> {
    let squares: Vec<f64> = scores.windows(2).filter_map(|pair| Some((pair.last()?.1 - pair.first()?.1).powi(2))).collect();
    let mean = squares.iter().sum::<f64>() / squares.len() as f64;
    let median = median(squares)?;
    let most = scores.iter().enumerate().rev().max_by(|a, b| a.1.1.total_cmp(&b.1.1))?;
    let least = scores.iter().enumerate().rev().min_by(|a, b| a.1.1.total_cmp(&b.1.1))?;
    let range = most.1.1 - least.1.1;
    let signed = if most.0 < least.0 { -range } else { range };
    let over = |square: f64| (square > 0.0).then(|| signed / square.sqrt());
    Some((over(median), over(mean)))
}

/// The largest model's score less what a line in log scale through the two sizes before it projects (Chowdhery et al. 2022).
fn discontinuity(scores: &[(f64, f64)]) -> Option<f64> {
    let (last, rest) = scores.split_last()?;
    let (before, rest) = rest.split_last()?;
    let first = rest.iter().rev().find(|one| one.0 < before.0)?;
    let slope = (before.1 - first.1) / (before.0 / first.0).log10();
    Some(last.1 - slope.mul_add((last.0 / before.0).log10(), before.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_scores_are_their_formulas() {
        let scores = [(1.0, 0.0), (10.0, 0.1), (100.0, 0.1), (1000.0, 0.6)];
        let (breakthroughness, linearity) = suddenness(&scores).unwrap();
        // Steps .1, 0, .5: the median square is .01, the mean (.01 + .25) / 3.
        assert!((breakthroughness.unwrap() - 6.0).abs() < 1e-12);
        assert!((linearity.unwrap() - 0.6 / (0.26f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!((discontinuity(&scores).unwrap() - 0.5).abs() < 1e-12);
        let falling = [(1.0, 0.5), (10.0, 0.3), (100.0, 0.1)];
        assert!((suddenness(&falling).unwrap().0.unwrap() + 2.0).abs() < 1e-12);
        assert_eq!(suddenness(&[(1.0, 0.5), (10.0, 0.5)]).unwrap(), (None, None));
    }

    #[test]
    fn power_of_length_accounts_for_its_own_curve_and_not_for_a_jump() {
        // A size whose characters are right with probability p, independently, in answers of three characters.
        let own = |p: f64| -> Vec<Spelled> {
            let n = 1000_u32;
            let exact = (p.powi(3) * f64::from(n)).round() as u32;
            (0..n).map(|i| (f64::from(u8::from(i < exact)), p, 3.0)).collect()
        };
        let curve: Vec<_> = [0.1, 0.3, 0.5, 0.7, 0.9].map(own).into();
        assert!(share(&curve).unwrap() > 0.999);
        let jump: Vec<Vec<Spelled>> = [0.0, 0.0, 0.0, 1.0, 1.0].map(|exact| vec![(exact, 0.5, 3.0); 100]).into();
        assert!(share(&jump).unwrap() < 0.5);
        assert_eq!(share(&jump[..2]), None);
    }
}
