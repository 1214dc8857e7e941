//! Whether the data contradict the chance level that was given.

use crate::schema::{Curve, Evidence};
use crate::stats::{lower_tail, upper_tail};

use super::cells::View;
use super::definition::ALPHA;
use super::words;

/// P-value below which a constant answer is taken to beat the given chance: every task of a run is looked at.
const SURE: f64 = 1e-3;

/// Warns when every model scores significantly less than chance, which a strategy that knows nothing would reach.
pub(super) fn contradicted_by_models(curve: &mut Curve) {
    let Some(chance) = curve.chance.filter(|chance| *chance > 0.0) else { return };
    let mut points = curve.points.iter().filter(|point| point.n > 0).peekable();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of items")]
    let is_below = |score: f64, n: usize| {
        // Partial credit is rounded up: it must not make a score look lower than it is.
        lower_tail(score.mul_add(n as f64, -1e-9).ceil().max(0.0) as usize, n, chance) <= ALPHA
    };
    if points.peek().is_none() || !points.all(|point| point.score.is_some_and(|score| is_below(score, point.n))) {
        return;
    }
    let unparsed: usize = curve.points.iter().map(|point| point.unparsed).sum();
    let unparsed = if unparsed > 0 { format!(", or it is the {unparsed} replies without an answer") } else { String::new() };
    let highest = curve.points.iter().filter_map(|point| point.score).fold(0.0, f64::max);
    let words = format!(
        "every model is significantly below a chance of {} (the best scores {}): the level given may not be that of this metric{unparsed}",
        words::score(chance),
        words::score(highest)
    );
    curve.evidence.insert(0, Evidence { part: "chance".to_owned(), value: Some(highest), p_value: None, words });
}

/// Warns when always giving the most frequent answer scores significantly more than chance.
pub(super) fn contradicted_by_items(curve: &mut Curve, cells: &[(f64, View<'_>)]) {
    let Some(chance) = curve.chance else { return };
    let Some((_, any)) = cells.first() else { return };
    // Each item once, whichever models were asked it.
    let most_items = cells.iter().map(|(_, cell)| cell.len()).max().unwrap_or_default();
    let (mut targets, mut seen) = (Vec::with_capacity(most_items), vec![false; most_items]);
    for (item, target) in
        cells.iter().flat_map(|(_, cell)| (0..cell.len()).map(|row| (cell.item(row), cell.target_index(row))))
    {
        let item = item as usize;
        if seen.len() <= item {
            seen.resize(item + 1, false);
        }
        if seen.get_mut(item).is_some_and(|seen| !std::mem::replace(seen, true)) {
            targets.push(target);
        }
    }
    let text = |target: &u32| any.target_at(*target).trim();
    targets.sort_unstable_by_key(text);
    let runs = targets.chunk_by(|a, b| text(a) == text(b)).filter_map(|run| Some((text(run.first()?), run.len())));
    let Some((answer, most)) = runs.max_by_key(|(_, count)| *count) else { return };
    // Two equal answers of a thousand are no strategy, even where chance is zero.
    let p = upper_tail(most, targets.len(), chance.max(2.0 / targets.len() as f64));
    if p >= SURE {
        return;
    }
    let share = most as f64 / targets.len() as f64;
    let words = format!(
        "always answering `{answer}` scores {} of {} items, more than the chance of {} that is given ({})",
        words::score(share),
        targets.len(),
        words::score(chance),
        words::p(p)
    );
    curve.evidence.insert(0, Evidence { part: "chance".to_owned(), value: Some(share), p_value: Some(p), words });
}
