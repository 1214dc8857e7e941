//! The curves of easy, middle and hard items, apart: one panel for each prompt and family that has them.

use crate::schema::{Axis, Curve, Slice};

use super::format;
use super::plot::{
    Drawing, GAP, LEFT, Line, Mark, Panel, RIGHT, WIDTH, draw_panel, legend, title, title_across, unit_range, x_range,
};
use super::view::TaskView;

const HEIGHT: f64 = 110.0;

/// Draws the slices of a task's curves. None where no curve has any.
pub(super) fn draw(view: &TaskView<'_>) -> Option<Drawing> {
    let first = view.main().find(|curve| !curve.slices.is_empty())?;
    let axis = format::axis(&first.axis);
    // Another axis has no place in panels that stand above one another.
    let curves: Vec<&Curve> = view.main().filter(|curve| !curve.slices.is_empty() && curve.axis == first.axis).collect();
    let labels: Vec<String> = first.slices.iter().map(|slice| slice.difficulty.clone()).collect();
    let points = curves.iter().flat_map(|curve| &curve.slices).flat_map(|slice| &slice.points);
    let x = x_range(axis, points.map(|point| point.x));
    let mut shapes = Vec::new();
    let mut bottom = legend(&mut shapes, &labels, curves.iter().any(|curve| curve.chance.is_some()), RIGHT);
    for (number, curve) in curves.iter().enumerate() {
        let top = bottom + GAP;
        let label = view.label(&curve.prompt, &curve.family);
        title(&mut shapes, (LEFT, top - 10.0), &format!("{} by difficulty, {label}", curve.metric));
        let lines: Vec<Line> = curve.slices.iter().enumerate().map(|(number, slice)| line(slice, number, axis)).collect();
        let marks = lines.iter().flat_map(|line| &line.marks);
        let drawn = marks.flat_map(|mark| [Some(mark.score), mark.low, mark.high]).chain([curve.chance]);
        let (y, ticks) = unit_range(&drawn.flatten().collect::<Vec<_>>());
        let chances = curve.chance.into_iter().collect();
        bottom = top + HEIGHT;
        let panel = Panel { lines, chances, top, bottom, x, y, ticks, axis };
        draw_panel(&mut shapes, &panel, labels.len(), number + 1 == curves.len());
    }
    let across = title_across(&mut shapes, axis, bottom);
    let title = format!("{}: {} of easy, middle and hard items against {across}", view.task.name, first.metric);
    Some(Drawing { title, width: WIDTH, height: bottom + 46.0, shapes })
}

fn line(slice: &Slice, number: usize, axis: Axis) -> Line {
    let marks = slice.points.iter().map(|point| {
        let place = axis.text(point.x);
        let note = format!("{} items, {} at {place}: {}", slice.difficulty, point.model, format::slice_point(point));
        Mark { x: point.x, score: point.score, low: point.low, high: point.high, note }
    });
    Line { number, marks: marks.collect() }
}
