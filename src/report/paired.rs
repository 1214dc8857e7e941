//! What pairs of items show, as reports put it: prompts against their baselines, each size against the next smaller one.

use crate::schema::{Analysis, Comparison, ComparisonKind, PairedPoint, RunManifest};

use super::format;
use super::plot::{Drawing, Shape};
use super::style::Role;
use super::view::{TaskView, main_continuous, tasks};

/// The most sizes of a family with which a report leads with pairs: a verdict on so few points has little to stand on.
const FEW_SIZES: usize = 5;
/// The part of resamples with a crossing below which it is in doubt.
const SURE: f64 = 0.95;
/// Width and height of a small plot, in units of the drawing.
const SMALL: (f64, f64) = (150.0, 40.0);
/// Room at its edges.
const MARGIN: f64 = 6.0;
/// A difference that fills half of a small plot at least: less must not look like much.
const LEAST_RANGE: f64 = 0.1;

/// The column titles of prompts against their baselines.
pub const BASELINE_HEADER: [&str; 8] =
    ["task", "prompt", "against", "by size", "helps from", "hurts at", "crossing", "at the largest"];

/// The column titles of sizes against the next smaller ones.
pub const SIZES_HEADER: [&str; 5] = ["task", "prompt", "all or nothing, by step", "last step", "continuous metric, by step"];

/// What the marks in both tables mean.
pub const MARKS: &str = "One mark per size or step, the smallest first: ▲ better, ▼ worse (paired, 5 % after Holm over the models), \
                         · neither, ? no pairs. Brackets are 95 % intervals over items.";

/// Whether pairs come before verdicts: when no family has more than five sizes, and there are pairs.
#[must_use]
pub fn pairs_lead(analysis: &Analysis) -> bool {
    let sizes = |family: &str| {
        let points = analysis.curves.iter().filter(|curve| curve.family == family).flat_map(|curve| &curve.points);
        let mut places: Vec<f64> = points.map(|point| point.x).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        places.len()
    };
    !analysis.comparisons.is_empty() && analysis.curves.iter().all(|curve| sizes(&curve.family) <= FEW_SIZES)
}

/// Prompts against their baselines, one row per task, family and pair, under `BASELINE_HEADER`.
#[must_use]
pub fn baseline_rows(manifest: &RunManifest, analysis: &Analysis) -> Vec<[String; 8]> {
    let tasks = tasks(manifest, analysis);
    tasks.iter().flat_map(|view| shown(view).into_iter().map(move |one| baseline_row(view, one))).collect()
}

/// The comparisons of a task that a table shows: with baselines, or of all pairs of prompts in a family without any.
pub(super) fn shown<'a>(view: &TaskView<'a>) -> Vec<&'a Comparison> {
    let has_baseline =
        |family: &str| view.comparisons.iter().any(|one| one.kind == ComparisonKind::Baseline && one.family == family);
    let own = view.comparisons.iter().copied().filter(|one| match one.kind {
        ComparisonKind::Baseline => true,
        ComparisonKind::Prompts => !has_baseline(&one.family),
        ComparisonKind::Sizes => false,
    });
    own.collect()
}

/// One row under `BASELINE_HEADER`.
pub(super) fn baseline_row(view: &TaskView<'_>, one: &Comparison) -> [String; 8] {
    let unit = format::unit(&one.axis);
    let helps = match (one.helps.above, one.helps.below) {
        (Some(_), None) => "every size".to_owned(),
        (Some(above), Some(_)) => {
            // Between them a difference may be too small to tell, most often because both prompts get everything right.
            let single = places_below(one, above).map_or_else(String::new, |places| format!(", and at {places}"));
            format!("{} {unit}{single}", format::scale(&one.axis, above))
        }
        (None, _) => {
            places(one, &one.better).map_or_else(|| format::NONE.to_owned(), |places| format!("only {places} {unit}"))
        }
    };
    let hurts = places(one, &one.hurts).map_or_else(|| format::NONE.to_owned(), |places| format!("{places} {unit}"));
    [
        one.task.clone(),
        view.label(&one.prompt, &one.family),
        one.baseline.clone().unwrap_or_default(),
        marks(one),
        helps,
        hurts,
        crossing(one),
        one.points.last().map_or_else(|| format::NONE.to_owned(), difference),
    ]
}

/// The scales of the models that are better below a scale, in one list.
fn places_below(one: &Comparison, above: f64) -> Option<String> {
    let axis = format::axis(&one.axis);
    let below =
        |point: &&PairedPoint| axis.coordinate(point.x) < axis.coordinate(above) && one.better.contains(&point.model);
    let models: Vec<String> = one.points.iter().filter(below).map(|point| point.model.clone()).collect();
    places(one, &models)
}

/// The scales of models, in one list; none for no model.
fn places(one: &Comparison, models: &[String]) -> Option<String> {
    let mut places: Vec<String> = one
        .points
        .iter()
        .filter(|point| models.contains(&point.model))
        .map(|point| format::scale(&one.axis, point.x))
        .collect();
    places.dedup();
    (!places.is_empty()).then(|| places.join(", "))
}

/// A crossing with its interval. Where no model is better, a crossing is one of chance and left out.
fn crossing(one: &Comparison) -> String {
    let helps = &one.helps;
    let Some(place) = helps.crossing.filter(|_| is_better(one)) else { return format::NONE.to_owned() };
    let end = |end: Option<f64>, beyond: &str| end.map_or_else(|| beyond.to_owned(), |end| format::scale(&one.axis, end));
    let (low, high) = (end(helps.low, "below the smallest"), end(helps.high, "above the largest"));
    let share = helps.resamples.filter(|share| *share < SURE);
    let doubt = share.map_or_else(String::new, |share| format!(" in {:.0} % of resamples", share * 100.0));
    format!("{} [{low}, {high}]{doubt}", format::scale(&one.axis, place))
}

/// Whether a prompt is significantly better anywhere.
fn is_better(one: &Comparison) -> bool {
    one.helps.above.is_some() || !one.better.is_empty()
}

/// One mark per point.
fn marks(one: &Comparison) -> String {
    let mark = |point: &PairedPoint| {
        if point.n == 0 {
            '?'
        } else if one.better.contains(&point.model) {
            '▲'
        } else if one.hurts.contains(&point.model) {
            '▼'
        } else {
            '·'
        }
    };
    one.points.iter().map(mark).collect()
}

/// A difference with its interval and number of pairs.
fn difference(point: &PairedPoint) -> String {
    let Some(value) = point.difference else { return format::NONE.to_owned() };
    let interval = match (point.low, point.high) {
        (Some(low), Some(high)) => format!(" [{}, {}]", format::signed(low), format::signed(high)),
        _ => String::new(),
    };
    format!("{}{interval} n={}", format::signed(value), point.n)
}

/// Each size against the next smaller, one row per task, family and prompt, under `SIZES_HEADER`.
#[must_use]
pub fn size_rows(manifest: &RunManifest, analysis: &Analysis) -> Vec<[String; 5]> {
    let mut rows = Vec::new();
    for view in tasks(manifest, analysis) {
        for (exact, smooth) in steps(&view) {
            let of = |one: &Comparison| {
                let first = one.points.iter().find_map(|point| point.other_score);
                let last = one.points.iter().rev().find_map(|point| point.score);
                format!("{} {} → {}", marks(one), format::maybe(first, format::score), format::maybe(last, format::score))
            };
            rows.push([
                exact.task.clone(),
                view.label(&exact.prompt, &exact.family),
                of(exact),
                exact.points.last().map_or_else(|| format::NONE.to_owned(), difference),
                smooth.map_or_else(|| format::NONE.to_owned(), |one| format!("{}: {}", one.metric, of(one))),
            ]);
        }
    }
    rows
}

/// Per family and prompt the sizes on the all-or-nothing metric, and on the main continuous one where it was measured.
fn steps<'a>(view: &TaskView<'a>) -> Vec<(&'a Comparison, Option<&'a Comparison>)> {
    let sizes = |metric: Option<&'a str>| {
        let own = view.comparisons.iter().copied().filter(|one| one.kind == ComparisonKind::Sizes);
        own.filter(move |one| Some(one.metric.as_str()) == metric)
    };
    sizes(Some(&view.task.discontinuous))
        .map(|exact| {
            let smooth = sizes(main_continuous(view.task))
                .find(|other| (&other.prompt, &other.family) == (&exact.prompt, &exact.family));
            (exact, smooth.filter(|one| one.points.iter().any(|point| point.n > 0)))
        })
        .collect()
}

/// What a report of few sizes says first.
#[derive(Debug, Clone)]
pub(super) struct Lead {
    /// One sentence.
    pub(super) title: String,
    /// One finding each, as task and words.
    pub(super) findings: Vec<(String, String)>,
}

/// The first lines of a report of few sizes; none where verdicts come first.
pub(super) fn lead(analysis: &Analysis, tasks: &[TaskView<'_>]) -> Option<Lead> {
    if !pairs_lead(analysis) {
        return None;
    }
    let mut findings = Vec::new();
    // Per prompt with a baseline: tasks in which it was compared, and in which it is better somewhere.
    let mut counts: Vec<(&str, usize, usize)> = Vec::new();
    let (mut growing, mut grown) = (0, 0);
    for view in tasks {
        let shown = shown(view);
        for one in shown.iter().filter(|one| one.kind == ComparisonKind::Baseline) {
            let better = usize::from(is_better(one));
            match counts.iter_mut().find(|(prompt, ..)| *prompt == one.prompt) {
                Some((_, of, count)) => (*of, *count) = (*of + 1, *count + better),
                None => counts.push((&one.prompt, 1, better)),
            }
        }
        let mut words: Vec<String> =
            shown.iter().filter(|one| is_better(one) || !one.hurts.is_empty()).map(|one| one.words.clone()).collect();
        let steps = steps(view);
        grown += usize::from(!steps.is_empty());
        growing += usize::from(steps.iter().any(|(exact, _)| !exact.better.is_empty()));
        words.extend(hidden_growth(view, &steps));
        if !words.is_empty() {
            findings.push((view.task.name.clone(), words.join("; ")));
        }
    }
    let helping: Vec<String> = counts
        .iter()
        .filter(|(.., better)| *better > 0)
        .map(|(prompt, of, better)| format!("{prompt} in {better} of {of}"))
        .collect();
    let title = if counts.is_empty() {
        format!("A larger model is better than the next smaller one in {growing} of {grown} tasks")
    } else if helping.is_empty() {
        "No prompt is significantly better than its baseline".to_owned()
    } else {
        format!("Tasks in which a prompt helps, against its baseline: {}", helping.join(", "))
    };
    Some(Lead { title, findings })
}

/// Where the all-or-nothing metric shows no growth from size to size and the continuous one does.
fn hidden_growth(view: &TaskView<'_>, steps: &[(&Comparison, Option<&Comparison>)]) -> Vec<String> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (exact, smooth) in steps {
        let Some(smooth) = smooth.filter(|smooth| exact.better.is_empty() && !smooth.better.is_empty()) else { continue };
        let words = format!("while {} grows at {} of {} steps", smooth.metric, smooth.better.len(), smooth.points.len());
        let label = view.label(&exact.prompt, &exact.family);
        match groups.iter_mut().find(|(known, _)| *known == words) {
            Some((_, prompts)) => prompts.push(label),
            None => groups.push((words, vec![label])),
        }
    }
    let metric = &view.task.discontinuous;
    let sentence = |(words, prompts): (String, Vec<String>)| {
        format!("{metric} is no better at any size than at the next smaller with {}, {words}", prompts.join(", "))
    };
    groups.into_iter().map(sentence).collect()
}

/// The differences over the sizes as a small plot: zero dashed, bars for 95 % intervals.
pub(super) fn draw(one: &Comparison) -> Drawing {
    let (width, height) = SMALL;
    let axis = format::axis(&one.axis);
    let measured: Vec<(f64, f64, &PairedPoint)> =
        one.points.iter().filter_map(|point| Some((axis.coordinate(point.x), point.difference?, point))).collect();
    let ends = one.points.iter().flat_map(|point| [point.low, point.high, point.difference]).flatten();
    let range = ends.map(f64::abs).fold(LEAST_RANGE, f64::max);
    let (left, right) =
        measured.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (x, ..)| (low.min(*x), high.max(*x)));
    let room = width - MARGIN - MARGIN;
    let place_x = |x: f64| {
        let part = if right > left { (x - left) / (right - left) } else { 0.5 };
        part.mul_add(room, MARGIN)
    };
    let place_y = |y: f64| (y / range).mul_add(MARGIN - height / 2.0, height / 2.0);
    let line = |points, role, width, dashed| Shape::Line { points, role, width, dashed };
    let mut shapes = vec![line(vec![(0.0, place_y(0.0)), (width, place_y(0.0))], Role::Chance, 1.0, true)];
    shapes.push(line(measured.iter().map(|(x, y, _)| (place_x(*x), place_y(*y))).collect(), Role::Series(0), 1.4, false));
    for (x, y, point) in &measured {
        let (x, y) = (place_x(*x), place_y(*y));
        if let (Some(low), Some(high)) = (point.low, point.high) {
            shapes.push(line(vec![(x, place_y(low)), (x, place_y(high))], Role::Series(0), 1.0, false));
        }
        let outline = vec![(x - 2.2, y - 2.2), (x + 2.2, y - 2.2), (x + 2.2, y + 2.2), (x - 2.2, y + 2.2)];
        let note = format!("{} at {}: {}", point.model, format::scale(&one.axis, point.x), difference(point));
        shapes.push(Shape::Mark { outline, role: Role::Series(0), note });
    }
    Drawing { title: one.words.clone(), width, height, shapes }
}
