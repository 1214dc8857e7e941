//! Curves by difficulty: the easy, the middle and the hard third of the items, each by itself.
//!
//! Easy items may rise and fall again where hard ones fall and rise; in the whole that cancels, and what is left can pass for
//! emergence (Wu and Lo 2024, arXiv 2410.01692).
//!
//! How difficult an item is to a model is asked of the models of the other sizes, never of the model itself nor of another seed of
//! its size. Sliced by its own answers, a model that only guesses would get the easy third right and the hard one wrong, by
//! nothing but its luck, and slices made at one model would regress to the mean at all the others. So every model has thirds
//! of its own, and to the same guesses they are all alike. A habit that models share, such as always giving the same answer,
//! still makes items easy to all of them.

use std::collections::BTreeMap;

use crate::schema::{Curve, Evidence, Record, Slice, SlicePoint};

use super::definition::ALPHA;
use super::evidence::{above, dip, first_above, highest, items_trend, lowest};
use super::level::Level;
use super::points::{interval, score};
use super::ruler::Ruler;

/// The slices, the easy one first.
const SLICES: [&str; 3] = ["easy", "middle", "hard"];
/// Fewest items of a slice at every model: with fewer, each of three slices says next to nothing.
const ITEMS: usize = 30;
/// Fewest sizes.
const SIZES: usize = 4;
/// Level of every test of a slice.
const LEVEL: f64 = ALPHA / SLICES.len() as f64;

/// Adds the slices of a curve, and what they show in a sentence, where there are enough sizes and items. `bounded` are the
/// continuous metrics that tell items apart of which as many models get each right, the first choice first; `cells` are the
/// records per size, by rising scale.
pub(super) fn examine(curve: &mut Curve, ruler: &Ruler, bounded: &[&str], cells: &[(f64, &[&Record])], seed: u64) {
    if curve.is_training {
        return;
    }
    let asked = asked(&curve.metric, bounded, cells);
    let thirds: Vec<(&Asked<'_>, Vec<Vec<f64>>)> = asked.iter().map(|own| (own, thirds(own, &asked, seed))).collect();
    let fewest = thirds.iter().flat_map(|(_, thirds)| thirds.iter().map(Vec::len)).min().unwrap_or_default();
    let mut sizes: Vec<f64> = asked.iter().map(|own| own.scale).collect();
    sizes.dedup();
    if sizes.len() < SIZES || fewest < ITEMS {
        return;
    }
    let known: Vec<f64> = curve.points.iter().map(|point| point.x).collect();
    let mut sliced = Vec::new();
    for (number, name) in SLICES.iter().enumerate() {
        let (mut points, mut levels) = (Vec::new(), Vec::new());
        for (own, scores) in thirds.iter().filter_map(|(own, thirds)| Some((own, thirds.get(number)?))) {
            let level = Level::new(own.scale, scores);
            let interval = interval(&level, scores);
            points.push(SlicePoint {
                model: own.model.to_owned(),
                x: ruler.back(own.scale, &known),
                score: level.mean(),
                n: level.n,
                low: interval.map(|interval| interval.low),
                high: interval.map(|interval| interval.high),
            });
            levels.push(level);
        }
        curve.slices.push(Slice { difficulty: (*name).to_owned(), points });
        sliced.push((*name, levels));
    }
    let words = sentence(&sliced, fewest, curve.chance, ruler);
    curve.evidence.push(Evidence { part: "difficulty".to_owned(), value: None, p_value: None, words });
}

/// What one model scored on each item.
struct Asked<'a> {
    scale: f64,
    model: &'a str,
    /// By the metric of the curve.
    right: Scores<'a>,
    /// By the continuous metric; empty where there is none.
    partial: Scores<'a>,
}

/// The models that have scores, by rising scale.
fn asked<'a>(metric: &str, bounded: &[&str], cells: &[(f64, &[&'a Record])]) -> Vec<Asked<'a>> {
    let is_there = |metric: &&&str| cells.iter().any(|(_, records)| records.iter().any(|one| score(one, metric).is_some()));
    let partial = bounded.iter().find(is_there);
    cells
        .iter()
        .filter_map(|(scale, records)| {
            Some(Asked {
                scale: *scale,
                model: &records.first()?.model,
                right: Scores::new(records, metric),
                partial: partial.map(|partial| Scores::new(records, partial)).unwrap_or_default(),
            })
        })
        .filter(|own| !own.right.items.is_empty())
        .collect()
}

/// The scores of one model by one metric.
#[derive(Default)]
struct Scores<'a> {
    /// Per item, the mean of its repetitions.
    items: BTreeMap<&'a str, f64>,
    /// The mean of the items.
    mean: f64,
}

impl<'a> Scores<'a> {
    fn new(records: &[&'a Record], metric: &str) -> Self {
        let mut repeated: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for record in records {
            if let Some(value) = score(record, metric) {
                repeated.entry(&record.sample).or_default().push(value);
            }
        }
        let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len().max(1) as f64;
        let items: BTreeMap<&str, f64> = repeated
            .into_iter()
            .map(|(sample, mut scores)| {
                // Sums must not depend on the order in which records arrived.
                scores.sort_by(f64::total_cmp);
                (sample, mean(&scores))
            })
            .collect();
        let mean = mean(&items.values().copied().collect::<Vec<_>>());
        Self { items, mean }
    }
}

/// How easy models find an item: what they score on it over what they score on average. Where they all have a score it ranks items
/// as their mean score does; an item that an able model has no score of must not look hard for that. None where nobody has one.
fn ease<'a>(sample: &str, models: impl Iterator<Item = &'a Scores<'a>>) -> Option<f64> {
    let (mut on_it, mut on_average, mut count) = (0.0, 0.0, 0_u32);
    for scores in models {
        if let Some(score) = scores.items.get(sample) {
            on_it += score;
            on_average += scores.mean;
            count += 1;
        }
    }
    (count > 0).then(|| (on_it - on_average) / f64::from(count))
}

/// The scores of a model on each third of its items, the easiest for models of other sizes first; the thirds differ by one item at
/// most.
fn thirds(own: &Asked<'_>, asked: &[Asked<'_>], seed: u64) -> Vec<Vec<f64>> {
    let others = || asked.iter().filter(|other| other.scale.total_cmp(&own.scale).is_ne());
    let mut ranked: Vec<_> = own
        .right
        .items
        .iter()
        .filter_map(|(sample, score)| {
            let right = ease(sample, others().map(|other| &other.right))?;
            let partial = ease(sample, others().map(|other| &other.partial)).unwrap_or_default();
            // Equal items are dealt by chance, but alike at every model and in every analysis.
            let dealt = *blake3::hash(format!("{seed}\n{sample}").as_bytes()).as_bytes();
            Some((right, partial, dealt, *score))
        })
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
    let end = |number: usize| ranked.len() * number / SLICES.len();
    (0..SLICES.len())
        .map(|number| ranked.iter().take(end(number + 1)).skip(end(number)).map(|(.., score)| *score).collect())
        .collect()
}

/// Which way a slice goes over scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Rises,
    Falls,
    FallsThenRises,
    RisesThenFalls,
    None,
}

impl Course {
    /// By the contrast of items, and a dip of it or of its mirror image that is significant on both sides.
    fn of(levels: &[Level]) -> Self {
        let depth = 0.1 * (highest(levels) - lowest(levels));
        let has_dip = |levels: &[Level]| dip(levels, depth).is_some_and(|dip| dip.p <= LEVEL);
        let mirrored: Vec<Level> = levels.iter().map(|level| Level { sum: -level.sum, ..*level }).collect();
        let trend = items_trend(levels);
        if has_dip(levels) {
            Self::FallsThenRises
        } else if has_dip(&mirrored) {
            Self::RisesThenFalls
        } else if trend.rise <= LEVEL {
            Self::Rises
        } else if trend.fall <= LEVEL {
            Self::Falls
        } else {
            Self::None
        }
    }

    /// What items do that go this way.
    fn words(self) -> &'static str {
        match self {
            Self::Rises => "rise",
            Self::Falls => "fall",
            Self::FallsThenRises => "fall, then rise",
            Self::RisesThenFalls => "rise, then fall",
            Self::None => "show no trend",
        }
    }

    fn is_opposite(self, other: Self) -> bool {
        matches!((self, other), (Self::Rises, Self::Falls) | (Self::FallsThenRises, Self::RisesThenFalls))
    }
}

/// What the slices show, in one sentence.
fn sentence(sliced: &[(&str, Vec<Level>)], fewest: usize, chance: Option<f64>, ruler: &Ruler) -> String {
    let courses: Vec<(&str, Course)> = sliced.iter().map(|(name, levels)| (*name, Course::of(levels))).collect();
    let is_opposed = courses.iter().any(|(_, one)| courses.iter().any(|(_, other)| one.is_opposite(*other)));
    let opposed = if is_opposed { " go opposite ways, which the whole hides" } else { "" };
    let ways: Vec<(&str, &str)> = courses.iter().map(|(name, course)| (*name, course.words())).collect();
    let ways: Vec<String> = alike(&ways).into_iter().map(|(names, words)| format!("{names} ones {words}")).collect();
    let mut out = format!("items by difficulty, in thirds of {fewest},{opposed}: {}", ways.join("; "));
    if let Some(chance) = chance {
        let firsts: Vec<(&str, Option<f64>)> = sliced
            .iter()
            .map(|(name, levels)| (*name, levels.get(first_above(levels, &above(levels, chance))).map(|level| level.x)))
            .collect();
        let firsts: Vec<String> = alike(&firsts)
            .into_iter()
            .map(|(names, first)| match first {
                Some(first) => format!("{names} ones at {} {}", ruler.text(first), ruler.axis.unit()),
                None => format!("{names} ones never"),
            })
            .collect();
        out = format!("{out}. First above chance: {}", firsts.join(", "));
    }
    out
}

/// Names of which the same holds, put together as words, in the order of the first of each.
fn alike<T: Copy + PartialEq>(named: &[(&str, T)]) -> Vec<(String, T)> {
    let mut found: Vec<(Vec<&str>, T)> = Vec::new();
    for (name, what) in named {
        match found.iter_mut().find(|(_, other)| other == what) {
            Some((names, _)) => names.push(name),
            None => found.push((vec![name], *what)),
        }
    }
    let join = |names: Vec<&str>| match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    };
    found.into_iter().map(|(names, what)| (join(names), what)).collect()
}
