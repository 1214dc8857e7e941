//! The priors that the families share.
//!
//! All constants were fixed by principle or by simulation, never by a labelled curve; docs/science.md has the measurements.

use crate::schema::{CURVE_DIMENSIONS, Form, Proposal, Sizes};

/// Below this a chance level is that of free answers: the level is then small and unknown, not exact.
const FREE_ANSWER: f64 = 0.005;
/// How far above chance a level still counts as at chance in these priors.
const AT_CHANCE: f64 = 0.02;

/// A level at chance: exactly (half of the prior), somewhat below (.35), or up to .02 above.
pub(super) fn level_at_chance(kind: f64, place: f64, chance: f64) -> f64 {
    if chance < FREE_ANSWER {
        return 10_f64.powf(1.7f64.mul_add(place, -4.0));
    }
    match kind {
        kind if kind < 0.5 => chance,
        // All the way down: replies without an answer score below any chance.
        kind if kind < 0.85 => chance * place.powi(3).mul_add(-1.0, 1.0),
        _ => AT_CHANCE.mul_add(place, chance),
    }
}

/// A level above chance, uniform up to .95.
pub(super) fn level_above_chance(place: f64, chance: f64) -> f64 {
    let low = chance + AT_CHANCE;
    (0.95 - low).max(0.01).mul_add(place, low)
}

/// Either of them, evenly.
pub(super) fn level_anywhere(which: f64, kind: f64, place: f64, chance: f64) -> f64 {
    if which < 0.5 { level_at_chance(kind, place, chance) } else { level_above_chance(place, chance) }
}

/// Sizes from which on a smoothly broken power law is proposed.
const MANY_SIZES: usize = 12;

/// The part of the prior that belongs to gains up to the ceiling, and to jumps that are over at once: scores saturate.
const SATURATED: f64 = 0.25;

/// A gain as a share of the headroom: log-uniform from .02 to 1, or near all of it.
pub(super) fn gain(place: f64, level: f64) -> f64 {
    let share = match (place - (1.0 - SATURATED)) / SATURATED {
        rest if rest < 0.0 => log_uniform(place / (1.0 - SATURATED), 0.02, 1.0),
        rest => 0.1f64.mul_add(rest.sqrt(), 0.9),
    };
    share * (0.999 - level)
}

fn log_uniform(place: f64, low: f64, high: f64) -> f64 {
    low * (high / low).powf(place)
}

/// The width of a sharp logistic function, .03 to .25 decades.
pub(super) fn sharp_width(place: f64) -> f64 {
    log_uniform(place, 0.03, 0.25)
}

/// The part of a gain that comes at once in a jump, .3 to all.
pub(super) fn first_part(place: f64) -> f64 {
    0.7f64.mul_add((place / (1.0 - SATURATED)).min(1.0), 0.3)
}

/// Growth over the whole range.
pub(super) fn smooth_form(width: f64, kind: f64, level: f64, gain: f64) -> Form {
    match kind {
        kind if kind < 0.27 => Form::Linear,
        kind if kind < 0.37 => Form::Power { exponent: log_uniform(width, 0.1, 1.0) },
        kind if kind < 0.6 => {
            let logit = |score: f64| (score / (1.0 - score)).ln();
            Form::LogitLinear { low: logit(level.max(1e-3)), high: logit((level + gain).clamp(2e-3, 0.999)) }
        }
        _ => Form::Logistic { width: log_uniform(width, 0.4, 1.5) },
    }
}

/// A rise that begins after the plateau that the definition asks for.
pub(super) fn rise_after_plateau(cube: &[f64; CURVE_DIMENSIONS], level: f64, sizes: &Sizes) -> Proposal {
    let knee = (sizes.last - sizes.plateau_end).mul_add(cube[3], sizes.plateau_end);
    let jump = Form::Jump { first: first_part(cube[4]) };
    let form = match cube[5] {
        kind if kind < 0.3 => jump,
        kind if kind < 0.55 => Form::Logistic { width: sharp_width(cube[4]) },
        kind if kind < 0.78 => Form::Logistic { width: log_uniform(cube[4], 0.25, 0.8) },
        // A break smoother than a hinge takes many models to tell from one.
        kind if kind < 0.85 && sizes.count >= MANY_SIZES => {
            Form::BrokenPower { exponent: log_uniform(cube[4], 0.1, 1.0), width: log_uniform(1.0 - cube[4], 0.1, 0.5) }
        }
        // A hinge at the very end would never rise.
        _ if knee > 0.25f64.mul_add(-sizes.gap, sizes.last) => jump,
        _ => Form::Hinge,
    };
    let at = if let Form::Logistic { width } = form { 2.2f64.mul_add(width, knee) } else { knee };
    let drift = if cube[7] < 0.6 { 0.0 } else { 0.2 * (cube[7] - 0.6) / 0.4 };
    Proposal { level, gain: gain(cube[2], level), form, at, drift, is_falling: false }
}
