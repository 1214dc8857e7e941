//! Curves by difficulty: the easy, the middle and the hard third of the items, each by itself.
//!
//! Easy items may rise and fall again where hard ones fall and rise; in the whole that cancels into a plateau, and when the easy
//! ones turn it ends in what looks like emergence (Wu and Lo 2024, arXiv 2410.01692).
//!
//! How difficult an item is to a model is asked of the models of the other sizes, never of the model itself nor of another seed of
//! its size. Sliced by its own answers, a model that only guesses would get the easy third right and the hard one wrong, by
//! nothing but its luck, and slices made at one model would regress to the mean at all the others. So every model has thirds
//! of its own, and to the same guesses they are all alike.
//!
//! Only models above chance are asked. What those at chance get right tells their habits, such as always giving one answer: to a
//! model with the same habit such items would be easy, and hard to one with another, though neither solves any. For the same
//! reason items of a few choices are ranked among those of the same answer.

use std::collections::BTreeMap;

use crate::schema::{Curve, Evidence, Slice, SlicePoint};

use super::cells::View;
use super::definition::ALPHA;
use super::evidence::{above, dip, first_above, highest, items_trend, lowest};
use super::level::Level;
use super::points::interval;
use super::ruler::Ruler;

/// The slices, the easy one first.
const SLICES: [&str; 3] = ["easy", "middle", "hard"];
/// Fewest items of a slice at every model: with fewer, each of three slices says next to nothing.
const ITEMS: usize = 30;
/// Fewest items of every reference answer for items to be ranked among those of the same answer.
const SAME_ANSWER: usize = 10;
/// Fewest sizes.
const SIZES: usize = 4;
/// Level of every test of a slice.
const LEVEL: f64 = ALPHA / SLICES.len() as f64;

/// Adds the slices of a curve, and what they show in a sentence, where there are enough sizes and items, and models that can tell
/// how difficult they are. `bounded` are the continuous metrics that tell items apart of which as many models get each right,
/// the first choice first; `cells` are those of its sizes, by rising scale.
pub(super) fn examine(curve: &mut Curve, ruler: &Ruler, bounded: &[&str], cells: &[(f64, View<'_>)]) {
    let Some(chance) = curve.chance.filter(|_| !curve.is_training) else { return };
    let mut scales: Vec<f64> = cells.iter().map(|(scale, _)| *scale).collect();
    scales.dedup();
    if scales.len() < SIZES {
        return;
    }
    let asked = asked(&curve.metric, bounded, cells);
    let able = able(&asked, chance);
    let thirds: Vec<(&Asked<'_>, Vec<Vec<f64>>)> = asked.iter().map(|own| (own, thirds(own, &able))).collect();
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
    let below = curve.onset.below.map(|below| ruler.scale(below));
    let words = sentence(&sliced, fewest, chance, below, ruler);
    curve.evidence.push(Evidence { part: "difficulty".to_owned(), value: None, p_value: None, words });
}

/// What one model scored on each item.
struct Asked<'a> {
    scale: f64,
    model: &'a str,
    cell: View<'a>,
    /// By the metric of the curve.
    right: ByItem,
    /// By the continuous metric; empty where there is none.
    partial: ByItem,
}

/// The models that have scores, by rising scale.
fn asked<'a>(metric: &str, bounded: &[&str], cells: &[(f64, View<'a>)]) -> Vec<Asked<'a>> {
    let is_there = |metric: &&&str| cells.iter().any(|(_, cell)| cell.scores(metric).records() > 0);
    let partial = bounded.iter().find(is_there);
    cells
        .iter()
        .map(|(scale, cell)| Asked {
            scale: *scale,
            model: cell.model,
            cell: *cell,
            right: ByItem::new(*cell, metric),
            partial: partial.map(|partial| ByItem::new(*cell, partial)).unwrap_or_default(),
        })
        .filter(|own| !own.right.items.is_empty())
        .collect()
}

/// Those that are above chance by the exact binomial test, at a level divided over all: who says what is difficult.
fn able<'a, 'b>(asked: &'b [Asked<'a>], chance: f64) -> Vec<&'b Asked<'a>> {
    let level = |own: &Asked<'_>| Level::new(own.scale, &own.right.items.iter().map(|one| one.1).collect::<Vec<_>>());
    let p_values = above(&asked.iter().map(level).collect::<Vec<_>>(), chance);
    let is_able = |p: f64| p <= ALPHA / asked.len() as f64;
    asked.iter().zip(p_values).filter(|(_, p)| is_able(*p)).map(|(own, _)| own).collect()
}

/// The scores of one model by one metric.
#[derive(Default)]
struct ByItem {
    /// Per item, the mean of its repetitions.
    items: Vec<(u32, f64)>,
    /// The mean of the items.
    mean: f64,
}

impl ByItem {
    fn new(cell: View<'_>, metric: &str) -> Self {
        let scores = cell.scores(metric);
        let items: Vec<(u32, f64)> = (0..cell.len()).filter_map(|row| Some((cell.item(row), scores.of(row)?))).collect();
        let mean = items.iter().map(|one| one.1).sum::<f64>() / items.len().max(1) as f64;
        Self { items, mean }
    }

    fn get(&self, item: u32) -> Option<f64> {
        let place = self.items.binary_search_by_key(&item, |one| one.0).ok()?;
        self.items.get(place).map(|one| one.1)
    }
}

/// How easy models find an item: what they score on it over what they score on average. Where they all have a score it ranks items
/// as their mean score does; an item that an able model has no score of must not look hard for that. None where nobody has one.
fn ease<'a>(item: u32, models: impl Iterator<Item = &'a ByItem>) -> Option<f64> {
    let (mut on_it, mut on_average, mut count) = (0.0, 0.0, 0_u32);
    for scores in models {
        if let Some(score) = scores.get(item) {
            on_it += score;
            on_average += scores.mean;
            count += 1;
        }
    }
    (count > 0).then(|| (on_it - on_average) / f64::from(count))
}

/// The scores of a model on each third of its items, the easiest for able models of other sizes first; the thirds differ by one
/// item at most, and are empty where there is no such model.
fn thirds(own: &Asked<'_>, able: &[&Asked<'_>]) -> Vec<Vec<f64>> {
    let others = || able.iter().filter(|other| other.scale.total_cmp(&own.scale).is_ne());
    let mut ranked: Vec<_> = own
        .right
        .items
        .iter()
        .filter_map(|&(item, score)| {
            let right = ease(item, others().map(|other| &other.right))?;
            let partial = ease(item, others().map(|other| &other.partial)).unwrap_or_default();
            let row = own.cell.row(item)?;
            Some((right, partial, own.cell.lot(row), score, own.cell.target(row)))
        })
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
    let ranked = among_equal_answers(ranked, |one| one.4);
    let end = |number: usize| ranked.len() * number / SLICES.len();
    (0..SLICES.len())
        .map(|number| ranked.iter().take(end(number + 1)).skip(end(number)).map(|(_, _, _, score, _)| *score).collect())
        .collect()
}

/// Ranked items by their place among those of the same reference answer, where answers are few: which of two choices is right must
/// not pass for difficulty. Where an answer has hardly any items, as with free answers, the order stays.
fn among_equal_answers<T>(ranked: Vec<T>, answer: impl Fn(&T) -> &str) -> Vec<T> {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for one in &ranked {
        counts.entry(answer(one).to_owned()).or_default().1 += 1;
    }
    if counts.values().any(|(_, all)| *all < SAME_ANSWER) {
        return ranked;
    }
    let mut placed: Vec<(f64, T)> = Vec::with_capacity(ranked.len());
    for one in ranked {
        let Some((seen, all)) = counts.get_mut(answer(&one)) else { continue };
        placed.push(((*seen as f64 + 0.5) / *all as f64, one));
        *seen += 1;
    }
    placed.sort_by(|a, b| a.0.total_cmp(&b.0));
    placed.into_iter().map(|(_, one)| one).collect()
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
            Self::FallsThenRises => "fall and then rise",
            Self::RisesThenFalls => "rise and then fall",
            Self::None => "show no trend",
        }
    }

    fn is_opposite(self, other: Self) -> bool {
        matches!((self, other), (Self::Rises, Self::Falls) | (Self::FallsThenRises, Self::RisesThenFalls))
    }
}

/// Which way each slice goes up to a scale, or over all.
fn courses<'a>(sliced: &[(&'a str, Vec<Level>)], up_to: f64) -> Vec<(&'a str, Course)> {
    let until = |levels: &[Level]| levels.iter().filter(|level| level.x <= up_to).copied().collect::<Vec<_>>();
    sliced.iter().map(|(name, levels)| (*name, Course::of(&until(levels)))).collect()
}

/// Whether easy and hard items go opposite ways: the middle third has something of both.
fn are_opposed(courses: &[(&str, Course)]) -> bool {
    let (Some((_, easy)), Some((_, hard))) = (courses.first(), courses.last()) else { return false };
    easy.is_opposite(*hard) || hard.is_opposite(*easy)
}

/// What the slices show, in one sentence. `below` is the last scale below the onset, where they may cancel into a plateau.
fn sentence(sliced: &[(&str, Vec<Level>)], fewest: usize, chance: f64, below: Option<f64>, ruler: &Ruler) -> String {
    let ways = |courses: &[(&str, Course)]| together(courses, |course| course.words().to_owned());
    let all = courses(sliced, f64::INFINITY);
    let plateau = below.map(|below| courses(sliced, below)).filter(|courses| are_opposed(courses));
    let opposed = match plateau {
        _ if are_opposed(&all) => " go opposite ways, which the whole hides".to_owned(),
        Some(plateau) => format!(" go opposite ways below the onset ({}), which the whole hides", ways(&plateau)),
        None => String::new(),
    };
    let first = |levels: &[Level]| levels.get(first_above(levels, &above(levels, chance))).map(|level| level.x);
    let firsts: Vec<(&str, Option<f64>)> = sliced.iter().map(|(name, levels)| (*name, first(levels))).collect();
    let place = |first: Option<f64>| match first {
        Some(first) => format!("at {} {}", ruler.text(first), ruler.axis.unit()),
        None => "never".to_owned(),
    };
    format!(
        "thirds of {fewest} items by difficulty{opposed}: {}; first above chance: {}",
        ways(&all),
        together(&firsts, place)
    )
}

/// What holds of each slice; those of which the same holds are named together, in the order of the first of each.
fn together<T: Copy + PartialEq>(slices: &[(&str, T)], words: impl Fn(T) -> String) -> String {
    let mut found: Vec<(T, Vec<&str>)> = Vec::new();
    for (name, what) in slices {
        match found.iter_mut().find(|(other, _)| other == what) {
            Some((_, names)) => names.push(name),
            None => found.push((*what, vec![name])),
        }
    }
    let named = |names: &[&str]| if names.len() == SLICES.len() { "all".to_owned() } else { names.join(" and ") + " ones" };
    found.into_iter().map(|(what, names)| format!("{} {}", named(&names), words(what))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::among_equal_answers;

    #[test]
    fn which_of_two_choices_is_right_is_no_difficulty() {
        let ranked: Vec<(usize, &str)> =
            (0..20).map(|item| (item, "yes")).chain((20..40).map(|item| (item, "no"))).collect();
        let placed = among_equal_answers(ranked, |one| one.1);
        let easiest: Vec<usize> = placed.iter().take(4).map(|one| one.0).collect();
        assert_eq!(easiest, [0, 20, 1, 21]);
        assert_eq!(placed.iter().take(13).filter(|one| one.1 == "yes").count(), 7);
        // Free answers keep their order.
        let free: Vec<(usize, &str)> = vec![(0, "12"), (1, "7"), (2, "12")];
        assert_eq!(among_equal_answers(free.clone(), |one| one.1), free);
    }
}
