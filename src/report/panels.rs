//! Four views of one metric: score and error rate, over a linear and a logarithmic axis.
//!
//! A curve that jumps on one scale may be straight on another: a sudden rise of accuracy over linear compute, a steady fall of the
//! error rate where both axes are logarithmic.

use crate::schema::{Axis, Curve, Point};

use super::format;
use super::plot::{
    Anchor, Drawing, Shape, free_range, legend, line, multiples, outline, power_label, round_step, short, text, title,
    values,
};
use super::style::Role;
use super::view::TaskView;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 46.0;
/// Width of one panel, and the room between two of them, which holds the labels of the right one.
const PANEL: f64 = 306.0;
const BETWEEN: f64 = 56.0;
const HEIGHT: f64 = 160.0;
/// Below a panel: tick labels, and the title of the one below.
const GAP: f64 = 52.0;
const SMALL: f64 = 11.5;
/// Room at both ends of a panel, so that no mark is cut.
const INSET: f64 = 12.0;
/// The error rate is drawn by its logarithm where the least is smaller than the largest by this factor; else that shows nothing.
const FALL: f64 = 5.0;
/// The family of a curve over the models of all families.
const ALL: &str = "*";
/// Lines stand this far apart at one model, and no more than the second all together.
const DODGE: f64 = 2.0;
const DODGE_WHOLE: f64 = 10.0;
/// Ticks closer to the floor than by this factor give way to it.
const CLOSE: f64 = 1.7;

/// One scale, from values to places between 0 and 1.
#[derive(Debug, Clone)]
struct Ruled {
    is_log: bool,
    from: f64,
    to: f64,
    ticks: Vec<(f64, String)>,
}

impl Ruled {
    fn part(&self, value: f64) -> f64 {
        let place = |value: f64| if self.is_log { value.log10() } else { value };
        (place(value) - place(self.from)) / (place(self.to) - place(self.from))
    }
}

/// Draws the all-or-nothing metric of a task four times. None without scores, or where they are no fractions.
pub(super) fn draw(view: &TaskView<'_>) -> Option<Drawing> {
    let name = view.main().next()?.axis.as_str();
    let axis = format::axis(name);
    // The models of all families in one line would run to and fro over the lines of the families.
    let is_single = view.main().all(|curve| curve.family == ALL);
    let curves: Vec<&Curve> = view.main().filter(|curve| curve.axis == name && (is_single || curve.family != ALL)).collect();
    let scored = || curves.iter().flat_map(|curve| &curve.points).filter(|point| point.score.is_some());
    let drawn = || scored().flat_map(|point| [point.score, point.low, point.high]).flatten();
    if scored().next().is_none() || !drawn().all(|value| (0.0..=1.0).contains(&value)) {
        return None;
    }
    let labels: Vec<String> = curves.iter().map(|curve| view.label(&curve.prompt, &curve.family)).collect();
    let mut chances: Vec<f64> = curves.iter().filter_map(|curve| curve.chance).collect();
    chances.sort_by(f64::total_cmp);
    chances.dedup();
    let places: Vec<f64> = scored().map(|point| point.x).collect();
    let across = [linear_across(axis, &places), log_across(axis, &places)];
    let (range, ticks) = free_range(&values(&curves));
    let score = Ruled {
        is_log: false,
        from: range.0.max(0.0),
        to: range.1.min(1.0),
        ticks: ticks.into_iter().filter(|tick| (0.0..=1.0).contains(tick)).map(|tick| (tick, short(tick))).collect(),
    };
    // Half an error among all items of the model with the most: what an error of zero is drawn at.
    let most = scored().filter(|point| point.score.is_some_and(is_all)).map(|point| point.n).max();
    let floor = most.map(|n| 0.5 / n.max(1) as f64);
    let error = error_scale(&drawn().map(|value| 1.0 - value).collect::<Vec<_>>(), scored(), floor, &score);

    let mut shapes = Vec::new();
    let metric = view.task.discontinuous.as_str();
    let mut top = legend(&mut shapes, &labels, !chances.is_empty(), WIDTH - 12.0) + 34.0;
    for (is_error, down) in [(false, &score), (true, &error)] {
        for (column, over) in across.iter().enumerate() {
            let left = (column as f64).mul_add(PANEL + BETWEEN, LEFT);
            let what = if is_error { format!("error rate (1 − {metric})") } else { metric.to_owned() };
            let by = if down.is_log { ", log scale" } else { "" };
            title(&mut shapes, (left, top - 10.0), &format!("{what}{by}"));
            let frame = Frame { left, top, over, down, is_error, floor: floor.unwrap_or(0.0) };
            frame.grid(&mut shapes);
            for chance in &chances {
                frame.level(&mut shapes, if is_error { 1.0 - chance } else { *chance });
            }
            for (number, curve) in curves.iter().enumerate() {
                frame.curve(&mut shapes, (number, curves.len()), curve);
            }
        }
        top += HEIGHT + GAP;
    }
    let bottom = top - GAP;
    for (column, scale) in [format::LINEAR, format::LOG].into_iter().enumerate() {
        let middle = (column as f64).mul_add(PANEL + BETWEEN, LEFT + PANEL / 2.0);
        text(&mut shapes, (middle, bottom + 36.0), &format::title(axis, scale), Role::Muted, SMALL, Anchor::Middle);
    }
    let mut height = bottom + 46.0;
    if let Some(floor) = floor.filter(|_| error.is_log) {
        let words = format!("none: no error at all, drawn at {floor:.1e}, half an error among the items.");
        text(&mut shapes, (LEFT, bottom + 56.0), &words, Role::Muted, SMALL, Anchor::Start);
        height += 20.0;
    }
    let title = format!("{}: {metric} and its error rate against {name}, linear and logarithmic", view.task.name);
    Some(Drawing { title, width: WIDTH, height, shapes })
}

fn is_all(score: f64) -> bool {
    1.0 - score < 1e-9
}

/// From zero, or where less is better, from the least able model to the most able one.
fn linear_across(axis: Axis, places: &[f64]) -> Ruled {
    let (low, high) = ends(places);
    let (from, to) = match (axis.falls(), high > low) {
        (true, true) => (high, low),
        (true, false) => (high + 0.5, high - 0.5),
        (false, _) => (0.0, high),
    };
    let step = round_step((from - to).abs() / 4.0);
    let label = |x: f64| if axis.falls() { short(x) } else { power(x) };
    let ticks = multiples(step, from.min(to), from.max(to)).into_iter().map(|x| (x, label(x))).collect();
    Ruled { is_log: false, from, to, ticks }
}

fn log_across(axis: Axis, places: &[f64]) -> Ruled {
    let (low, high) = ends(places);
    let (low, high) = if high / low < 1.0 + 1e-9 { (low / 2.0, high * 2.0) } else { (low, high) };
    let ticks = if high / low < 10.0 {
        let step = round_step((high - low) / 4.0);
        let label = |x: f64| if axis.falls() { short(x) } else { power(x) };
        multiples(step, low, high).into_iter().filter(|x| *x > 0.0).map(|x| (x, label(x))).collect()
    } else {
        let label = |x: f64| if axis.falls() { short(x) } else { power(x) };
        decades(low, high, 6).into_iter().map(|x| (x, label(x))).collect()
    };
    let (from, to) = if axis.falls() { (high, low) } else { (low, high) };
    Ruled { is_log: true, from, to, ticks }
}

/// The scale of an error rate: by its logarithm where it falls by a factor, and the other way up from the score where it does not.
fn error_scale<'a>(errors: &[f64], points: impl Iterator<Item = &'a Point>, floor: Option<f64>, score: &Ruled) -> Ruled {
    let means: Vec<f64> = points.filter_map(|point| Some(1.0 - point.score?)).filter(|error| *error > 1e-9).collect();
    let (least, _) = ends(&means);
    let least = floor.map_or(least, |floor| floor.min(least));
    let most = errors.iter().copied().fold(0.0, f64::max);
    if means.is_empty() || most < FALL * least {
        let ticks = score.ticks.iter().map(|(tick, _)| (1.0 - tick, short(1.0 - tick))).collect();
        return Ruled { is_log: false, from: 1.0 - score.to, to: 1.0 - score.from, ticks };
    }
    // The lower end is a round number, so that the least mark stands on or above a line.
    let power = 10_f64.powf(least.log10().floor());
    let from = [5.0, 2.0, 1.0].into_iter().map(|times| times * power).find(|low| *low <= least * (1.0 + 1e-9));
    let from = from.unwrap_or(power);
    let label = |tick: f64| if tick >= 0.001 { short(tick) } else { format!("{tick:.0e}") };
    let is_apart = |tick: &f64| floor.is_none_or(|floor| *tick > CLOSE * floor);
    let ticks = decades(from, 1.0, 4).into_iter().filter(is_apart).map(|tick| (tick, label(tick)));
    let ticks = ticks.chain(floor.map(|floor| (floor, "none".to_owned()))).collect();
    Ruled { is_log: true, from, to: 1.0, ticks }
}

/// Powers of ten between two values, thinned to so many; where they are few, twice and five times each as well.
#[expect(clippy::cast_possible_truncation, reason = "the exponent of a float fits")]
fn decades(low: f64, high: f64, most: usize) -> Vec<f64> {
    let whole = ((low.log10() - 1e-9).ceil() as i32, (high.log10() + 1e-9).floor() as i32);
    let found: Vec<f64> = (whole.0..=whole.1).map(|power| 10_f64.powi(power)).collect();
    if found.len() >= 3 {
        let every = found.len().div_ceil(most);
        return found.into_iter().step_by(every).collect();
    }
    (low.log10().floor() as i32..=whole.1)
        .flat_map(|power| [1.0, 2.0, 5.0].map(|times| times * 10_f64.powi(power)))
        .filter(|x| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(x))
        .collect()
}

/// `0`, `10²³` or `2×10²³`.
#[expect(clippy::cast_possible_truncation, reason = "the exponent of a float fits")]
fn power(x: f64) -> String {
    if x <= 0.0 {
        return "0".to_owned();
    }
    let exponent = (x.log10() + 1e-9).floor() as i32;
    let times = x / 10_f64.powi(exponent);
    let power = power_label(exponent);
    if (times - 1.0).abs() < 1e-6 { power } else { format!("{}×{power}", short(times)) }
}

fn ends(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)))
}

/// A mark of three quarters of the size that the main plot has, at a tenth of a unit: four panels in one file are to stay small.
fn small(number: usize, x: f64, y: f64) -> Vec<(f64, f64)> {
    let place = |middle: f64, offset: f64| (0.75f64.mul_add(offset, middle) * 10.0).round() / 10.0;
    outline(number, 0.0, 0.0).into_iter().map(|(dx, dy)| (place(x, dx), place(y, dy))).collect()
}

/// One panel and its scales.
struct Frame<'a> {
    left: f64,
    top: f64,
    over: &'a Ruled,
    down: &'a Ruled,
    is_error: bool,
    /// Where an error of zero is drawn on a logarithmic scale.
    floor: f64,
}

impl Frame<'_> {
    fn x(&self, value: f64) -> f64 {
        self.over.part(value).mul_add(2.0f64.mul_add(-INSET, PANEL), self.left + INSET)
    }

    /// An error of zero is drawn at its floor, and what else lies below a logarithmic scale at its end.
    fn y(&self, value: f64) -> f64 {
        let value = match value {
            value if !self.down.is_log => value,
            value if value < 1e-9 => self.floor.max(self.down.from),
            value => value.max(self.down.from),
        };
        self.down.part(value).clamp(0.0, 1.0).mul_add(-HEIGHT, self.top + HEIGHT)
    }

    fn grid(&self, shapes: &mut Vec<Shape>) {
        let (right, bottom) = (self.left + PANEL, self.top + HEIGHT);
        for (value, label) in &self.down.ticks {
            let y = self.y(*value);
            line(shapes, vec![(self.left, y), (right, y)], Role::Grid, 1.0, false);
            text(shapes, (self.left - 6.0, y + 4.0), label, Role::Muted, SMALL, Anchor::End);
        }
        for (value, label) in &self.over.ticks {
            let x = self.x(*value);
            line(shapes, vec![(x, bottom), (x, bottom + 4.0)], Role::Muted, 1.0, false);
            text(shapes, (x, bottom + 18.0), label, Role::Muted, SMALL, Anchor::Middle);
        }
        line(shapes, vec![(self.left, bottom), (right, bottom)], Role::Muted, 1.0, false);
    }

    fn level(&self, shapes: &mut Vec<Shape>, value: f64) {
        let y = self.y(value);
        line(shapes, vec![(self.left, y), (self.left + PANEL, y)], Role::Chance, 1.6, true);
    }

    fn curve(&self, shapes: &mut Vec<Shape>, (number, count): (usize, usize), curve: &Curve) {
        let dodge = DODGE.min(DODGE_WHOLE / count as f64);
        let shift = (number as f64 - (count as f64 - 1.0) / 2.0) * dodge;
        let role = Role::Series(number);
        let turned = |value: f64| if self.is_error { 1.0 - value } else { value };
        let places: Vec<(f64, f64, &Point)> = curve
            .points
            .iter()
            .filter_map(|point| Some((self.x(point.x) + shift, self.y(turned(point.score?)), point)))
            .collect();
        line(shapes, places.iter().map(|(x, y, _)| (*x, *y)).collect(), role, 1.8, false);
        for (x, _, point) in &places {
            if let (Some(low), Some(high)) = (point.low, point.high) {
                let ends = vec![(*x, self.y(turned(low))), (*x, self.y(turned(high)))];
                line(shapes, ends, role, 1.2, false);
            }
        }
        for (x, y, _) in &places {
            // The numbers are said by the main plot and the table.
            shapes.push(Shape::Mark { outline: small(number, *x, *y), role, note: String::new() });
        }
    }
}
