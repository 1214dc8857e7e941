//! The plot of a task: the discontinuous score above, the main continuous metric below, over one logarithmic axis.
//!
//! A drawing is a plain list of shapes; `svg` writes it.

use std::f64::consts::PI;

use crate::schema::{Axis, Curve, Point};

use super::format;
use super::style::{COLOURS, Role};
use super::view::TaskView;

/// Width of every drawing, in units of the drawing: small, so that words stay readable on a narrow screen.
pub(super) const WIDTH: f64 = 480.0;
pub(super) const LEFT: f64 = 46.0;
pub(super) const RIGHT: f64 = WIDTH - 12.0;
const LEGEND_LINE: f64 = 19.0;
const UPPER: f64 = 210.0;
const LOWER: f64 = 130.0;
/// Between the panels: tick labels of none, a title of the lower one.
pub(super) const GAP: f64 = 34.0;
const SMALL: f64 = 11.5;
const NORMAL: f64 = 13.0;
/// Lines of different prompts stand this far apart at one model, so that no interval hides another.
const DODGE: f64 = 3.5;

/// A drawing.
#[derive(Debug, Clone)]
pub(super) struct Drawing {
    /// What it shows, for those who cannot see it.
    pub(super) title: String,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) shapes: Vec<Shape>,
}

/// Where a text stands relative to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// One element of a drawing; later ones lie above earlier ones.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// A line through points.
    Line { points: Vec<(f64, f64)>, role: Role, width: f64, dashed: bool },
    /// A filled outline with a note for the pointer.
    Mark { outline: Vec<(f64, f64)>, role: Role, note: String },
    /// Words.
    Text { x: f64, y: f64, text: String, role: Role, size: f64, anchor: Anchor, bold: bool },
}

/// One line of a panel.
pub(super) struct Line {
    /// Which colour and shape it has.
    pub(super) number: usize,
    pub(super) marks: Vec<Mark>,
}

/// A score with its interval, in units of the data.
pub(super) struct Mark {
    pub(super) x: f64,
    pub(super) score: f64,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    /// What the pointer is told.
    pub(super) note: String,
}

/// One panel and its scales.
pub(super) struct Panel {
    pub(super) lines: Vec<Line>,
    pub(super) chances: Vec<f64>,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) x: (f64, f64),
    pub(super) y: (f64, f64),
    pub(super) ticks: Vec<f64>,
    pub(super) axis: Axis,
}

impl Panel {
    fn place_x(&self, x: f64) -> f64 {
        let part = (self.axis.coordinate(x) - self.x.0) / (self.x.1 - self.x.0);
        part.mul_add(RIGHT - LEFT - 28.0, LEFT + 14.0)
    }

    fn place_y(&self, y: f64) -> f64 {
        let part = (y - self.y.0) / (self.y.1 - self.y.0);
        part.mul_add(self.top - self.bottom, self.bottom)
    }
}

/// Draws a task. Curves on another axis than the first one are left out.
pub(super) fn draw(view: &TaskView<'_>) -> Drawing {
    let name = view.main().next().map_or("flops", |curve| curve.axis.as_str());
    let axis = format::axis(name);
    let upper: Vec<&Curve> = view.main().filter(|curve| curve.axis == name).collect();
    let lower: Vec<&Curve> = view.continuous().filter(|curve| curve.axis == name).collect();
    let names: Vec<(&str, &str)> = upper.iter().map(|curve| (curve.prompt.as_str(), curve.family.as_str())).collect();
    let labels: Vec<String> = names.iter().map(|(prompt, family)| view.label(prompt, family)).collect();
    let x = x_range(axis, upper.iter().chain(&lower).flat_map(|curve| curve.points.iter().map(|point| point.x)));
    let lines = |curves: &[&Curve]| -> Vec<Line> {
        let place = |curve: &Curve| names.iter().position(|name| *name == (curve.prompt.as_str(), curve.family.as_str()));
        curves.iter().filter_map(|curve| Some(of_curve(view, curve, place(curve)?))).collect()
    };
    let mut shapes = Vec::new();

    let mut top = legend(&mut shapes, &labels, upper.iter().any(|curve| curve.chance.is_some()), RIGHT) + 34.0;
    let metric = upper.first().map_or("", |curve| curve.metric.as_str());
    title(&mut shapes, (LEFT, top - 10.0), &format!("{metric} (mean, 95 % interval)"));
    let (y, ticks) = unit_range(&values(&upper));
    let chances = chances_of(&upper);
    let panel = Panel { lines: lines(&upper), chances, top, bottom: top + UPPER, x, y, ticks, axis };
    draw_panel(&mut shapes, &panel, names.len(), lower.is_empty());
    let mut bottom = panel.bottom;
    if let Some(first) = lower.first() {
        top = bottom + GAP;
        title(&mut shapes, (LEFT, top - 10.0), &format!("{} (mean, 95 % interval)", first.metric));
        let (y, ticks) = free_range(&values(&lower));
        let chances = chances_of(&lower);
        let panel = Panel { lines: lines(&lower), chances, top, bottom: top + LOWER, x, y, ticks, axis };
        draw_panel(&mut shapes, &panel, names.len(), true);
        bottom = panel.bottom;
    }
    let title_x = title_across(&mut shapes, axis, bottom);
    Drawing {
        title: format!("{}: {metric} against {title_x} for each prompt", view.task.name),
        width: WIDTH,
        height: bottom + 46.0,
        shapes,
    }
}

/// Names, colours and shapes of the lines, wrapped; the height it takes.
pub(super) fn legend(shapes: &mut Vec<Shape>, labels: &[String], chance: bool, right: f64) -> f64 {
    let (mut x, mut y) = (LEFT, 14.0);
    let mut entry = |shapes: &mut Vec<Shape>, label: &str, role: Role, mark: Option<usize>| {
        // A guess of the text's width that errs on the wide side.
        let width = (label.chars().count() as f64).mul_add(7.2, 46.0);
        if x + width > right && x > LEFT {
            (x, y) = (LEFT, y + LEGEND_LINE);
        }
        line(shapes, vec![(x, y - 4.0), (x + 24.0, y - 4.0)], role, 2.0, mark.is_none());
        if let Some(number) = mark {
            shapes.push(Shape::Mark { outline: outline(number, x + 12.0, y - 4.0), role, note: label.to_owned() });
        }
        text(shapes, (x + 30.0, y), label, Role::Ink, NORMAL, Anchor::Start);
        x += width;
        y
    };
    let mut height = 14.0;
    for (number, label) in labels.iter().enumerate() {
        height = entry(shapes, label, Role::Series(number), Some(number));
    }
    if chance {
        height = entry(shapes, "chance", Role::Chance, None);
    }
    height
}

/// A curve as a line of a panel.
fn of_curve(view: &TaskView<'_>, curve: &Curve, number: usize) -> Line {
    let label = view.label(&curve.prompt, &curve.family);
    let note = |point: &Point| {
        format!("{label}, {} at {}: {}", point.model, format::scale(&curve.axis, point.x), format::point(point))
    };
    let mark =
        |point: &Point| Some(Mark { x: point.x, score: point.score?, low: point.low, high: point.high, note: note(point) });
    Line { number, marks: curve.points.iter().filter_map(mark).collect() }
}

/// The chances of curves, equal neighbours once.
fn chances_of(curves: &[&Curve]) -> Vec<f64> {
    let mut chances: Vec<f64> = curves.iter().filter_map(|curve| curve.chance).collect();
    chances.dedup();
    chances
}

/// Draws a panel, one of whose lines is the last of `count`; with labels at the ticks across, or without.
pub(super) fn draw_panel(shapes: &mut Vec<Shape>, panel: &Panel, count: usize, labels: bool) {
    for tick in &panel.ticks {
        let y = panel.place_y(*tick);
        line(shapes, vec![(LEFT, y), (RIGHT, y)], Role::Grid, 1.0, false);
        text(shapes, (LEFT - 6.0, y + 4.0), &tick_label(*tick), Role::Muted, SMALL, Anchor::End);
    }
    for (x, label) in x_ticks(panel.axis, panel.x) {
        let x = panel.place_x(x);
        line(shapes, vec![(x, panel.bottom), (x, panel.bottom + 4.0)], Role::Muted, 1.0, false);
        if labels {
            text(shapes, (x, panel.bottom + 18.0), &label, Role::Muted, SMALL, Anchor::Middle);
        }
    }
    line(shapes, vec![(LEFT, panel.bottom), (RIGHT, panel.bottom)], Role::Muted, 1.0, false);
    for chance in &panel.chances {
        let y = panel.place_y(*chance);
        line(shapes, vec![(LEFT, y), (RIGHT, y)], Role::Chance, 1.6, true);
    }
    for own in &panel.lines {
        let role = Role::Series(own.number);
        let shift = (own.number as f64 - (count as f64 - 1.0) / 2.0) * DODGE;
        let places: Vec<(f64, f64, &Mark)> =
            own.marks.iter().map(|mark| (panel.place_x(mark.x) + shift, panel.place_y(mark.score), mark)).collect();
        line(shapes, places.iter().map(|(x, y, _)| (*x, *y)).collect(), role, 2.0, false);
        for (x, _, mark) in &places {
            if let (Some(low), Some(high)) = (mark.low, mark.high) {
                let (low, high) = (panel.place_y(low), panel.place_y(high));
                line(shapes, vec![(*x, low), (*x, high)], role, 1.4, false);
                line(shapes, vec![(x - 3.0, low), (x + 3.0, low)], role, 1.4, false);
                line(shapes, vec![(x - 3.0, high), (x + 3.0, high)], role, 1.4, false);
            }
        }
        for (x, y, mark) in &places {
            shapes.push(Shape::Mark { outline: outline(own.number, *x, *y), role, note: mark.note.clone() });
        }
    }
}

/// The title of the axis across, below the lowest panel.
pub(super) fn title_across(shapes: &mut Vec<Shape>, axis: Axis, bottom: f64) -> String {
    // A logarithm of compute, parameters, tokens or perplexity; the loss itself.
    let title = format::title(axis, if axis == Axis::Loss { format::LINEAR } else { format::LOG });
    text(shapes, ((LEFT + RIGHT) / 2.0, bottom + 36.0), &title, Role::Muted, SMALL, Anchor::Middle);
    title
}

/// The outline of a line's marks: a circle, square, triangle, diamond, triangle pointing down or plus; after six colours
/// the shapes move on by one, so that no two lines of thirty-six share both.
pub(super) fn outline(number: usize, x: f64, y: f64) -> Vec<(f64, f64)> {
    let ring = |corners: usize, radius: f64, turn: f64| -> Vec<(f64, f64)> {
        (0..corners)
            .map(|corner| {
                let angle = turn + 2.0 * PI * corner as f64 / corners as f64;
                (radius.mul_add(angle.sin(), x), radius.mul_add(-angle.cos(), y))
            })
            .collect()
    };
    match (number + number / COLOURS) % COLOURS {
        0 => ring(20, 4.6, 0.0),
        1 => ring(4, 5.6, PI / 4.0),
        2 => ring(3, 6.2, 0.0),
        3 => ring(4, 6.2, 0.0),
        4 => ring(3, 6.2, PI),
        _ => {
            let (arm, half) = (5.4, 1.9);
            [
                (-half, -arm),
                (half, -arm),
                (half, -half),
                (arm, -half),
                (arm, half),
                (half, half),
                (half, arm),
                (-half, arm),
                (-half, half),
                (-arm, half),
                (-arm, -half),
                (-half, -half),
            ]
            .into_iter()
            .map(|(dx, dy)| (x + dx, y + dy))
            .collect()
        }
    }
}

/// The coordinates between which all places on an axis lie; never empty.
pub(super) fn x_range(axis: Axis, places: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = places
        .map(|x| axis.coordinate(x))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    if low > high {
        (0.0, 1.0)
    } else if high - low < if axis.falls() { 1e-3 } else { 0.1 } {
        (low - 0.5, high + 0.5)
    } else {
        (low, high)
    }
}

/// What a panel of curves has to hold: scores, the ends of their intervals, and chances.
pub(super) fn values(curves: &[&Curve]) -> Vec<f64> {
    let of_points = |curve: &Curve| curve.points.iter().flat_map(|point| [point.score, point.low, point.high]).collect();
    curves.iter().flat_map(|curve| [of_points(curve), vec![curve.chance]].concat()).flatten().collect()
}

/// From zero to one where all values are, as almost always: then the height means the same in every plot.
pub(super) fn unit_range(values: &[f64]) -> ((f64, f64), Vec<f64>) {
    if values.iter().all(|value| (0.0..=1.0).contains(value)) {
        ((0.0, 1.0), vec![0.0, 0.25, 0.5, 0.75, 1.0])
    } else {
        free_range(values)
    }
}

/// A range around all values with ticks at one, two or five times a power of ten.
#[expect(clippy::cast_possible_truncation, reason = "a handful of ticks")]
pub(super) fn free_range(values: &[f64]) -> ((f64, f64), Vec<f64>) {
    let (mut low, mut high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    if low > high {
        (low, high) = (0.0, 1.0);
    }
    if high - low < 1e-9 {
        (low, high) = (low - 0.5, high + 0.5);
    }
    let raw = (high - low) / 3.0;
    let step = round_step(raw);
    let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
    let count = ((high - low) / step).round() as usize;
    ((low, high), (0..=count).map(|tick| (tick as f64).mul_add(step, low)).collect())
}

/// Ticks of a horizontal axis between two coordinates: whole decades, thinned to seven at most, with fewer than two of them twice
/// and five times each; round losses or perplexities.
#[expect(clippy::cast_possible_truncation, reason = "the exponent of a float fits")]
fn x_ticks(axis: Axis, (low, high): (f64, f64)) -> Vec<(f64, String)> {
    if axis.falls() {
        let (most, least) = (axis.at(low), axis.at(high));
        if axis == Axis::Perplexity && most > 4.0 * least {
            let powers = (least.log10().floor() as i32..=most.log10().floor() as i32).map(|power| 10_f64.powi(power));
            let ticks = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|times| times * power));
            return ticks.filter(|x| (least..=most).contains(x)).map(|x| (x, short(x))).collect();
        }
        let step = round_step((most - least) / 4.0);
        let ticks = multiples(step, least, most).into_iter().filter(|x| *x > 0.0);
        return ticks.map(|x| (x, short(x))).collect();
    }
    let decades: Vec<i32> = ((low - 1e-9).ceil() as i32..=(high + 1e-9).floor() as i32).collect();
    if decades.len() >= 2 {
        let every = decades.len().div_ceil(7);
        return decades.iter().step_by(every).map(|decade| (10_f64.powi(*decade), power_label(*decade))).collect();
    }
    (low.floor() as i32..=high.floor() as i32)
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|times| times * 10_f64.powi(decade)))
        .filter(|x| (low - 1e-9..=high + 1e-9).contains(&x.log10()))
        .map(|x| (x, format!("{x:.0e}")))
        .collect()
}

/// The smallest of one, two or five times a power of ten that is not below `raw`.
pub(super) fn round_step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|times| times * power)
        .find(|step| *step >= 1e-9f64.mul_add(-power, raw))
        .unwrap_or(raw)
}

/// The multiples of a step between two values.
#[expect(clippy::cast_possible_truncation, reason = "a handful of ticks")]
pub(super) fn multiples(step: f64, low: f64, high: f64) -> Vec<f64> {
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|times| times as f64 * step).collect()
}

/// A number without needless zeros.
pub(super) fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `10¹²`.
pub(super) fn power_label(power: i32) -> String {
    let digit = |c: char| match c {
        '-' => '⁻',
        c => c.to_digit(10).and_then(|at| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(at as usize)).unwrap_or(c),
    };
    format!("10{}", power.to_string().chars().map(digit).collect::<String>())
}

fn tick_label(value: f64) -> String {
    let text = format::score(value);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(super) fn title(shapes: &mut Vec<Shape>, (x, y): (f64, f64), words: &str) {
    shapes.push(Shape::Text {
        x,
        y,
        text: words.to_owned(),
        role: Role::Ink,
        size: NORMAL,
        anchor: Anchor::Start,
        bold: true,
    });
}

pub(super) fn text(shapes: &mut Vec<Shape>, (x, y): (f64, f64), words: &str, role: Role, size: f64, anchor: Anchor) {
    shapes.push(Shape::Text { x, y, text: words.to_owned(), role, size, anchor, bold: false });
}

pub(super) fn line(shapes: &mut Vec<Shape>, points: Vec<(f64, f64)>, role: Role, width: f64, dashed: bool) {
    shapes.push(Shape::Line { points, role, width, dashed });
}
