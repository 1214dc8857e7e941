//! Numbers and text as a reader wants them, one way for all reports.

use crate::schema::{Axis, Point, RunManifest, SlicePoint, Verdict};

/// The scales of an axis in words.
pub(super) const LOG: &str = "log scale";
pub(super) const LINEAR: &str = "linear scale";

/// What stands for a number that is not there.
pub(super) const NONE: &str = "–";

/// A score: three decimals, a real minus sign.
pub(super) fn score(value: f64) -> String {
    let text = format!("{value:.3}");
    if text == "-0.000" { "0.000".to_owned() } else { text.replace('-', "−") }
}

/// A difference of scores: as a score, with a plus sign above zero.
pub(super) fn signed(value: f64) -> String {
    let text = score(value);
    if value > 0.0 && text != "0.000" { format!("+{text}") } else { text }
}

/// A number that may be absent.
pub(super) fn maybe(value: Option<f64>, format: fn(f64) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), format)
}

/// The axis of that name; one that is not known is read as compute is.
pub(super) fn axis(name: &str) -> Axis {
    Axis::named(name).unwrap_or(Axis::Flops)
}

/// A place on an axis, without its unit.
pub(super) fn scale(name: &str, x: f64) -> String {
    axis(name).text(x)
}

/// A p-value or q-value.
pub(super) fn p(value: f64) -> String {
    if value < 0.001 { "< 0.001".to_owned() } else { format!("{value:.3}") }
}

/// The unit of an axis in words.
pub(super) fn unit(name: &str) -> &'static str {
    axis(name).unit()
}

/// The title of an axis as a plot draws it: `scale` says how, where that is not by loss itself.
pub(super) fn title(axis: Axis, scale: &str) -> String {
    match axis {
        Axis::Flops => format!("training compute (FLOPs, {scale})"),
        Axis::Params => format!("parameters ({scale})"),
        Axis::Tokens => format!("training tokens ({scale})"),
        Axis::Loss if scale == LINEAR => "held-out loss (nats per token), better to the right".to_owned(),
        Axis::Loss => format!("held-out loss (nats, {scale}), better to the right"),
        Axis::Perplexity => format!("held-out perplexity ({scale}), better to the right"),
    }
}

/// A score with its interval and the number of items behind it.
pub(super) fn point(point: &Point) -> String {
    measured(point.score, (point.low, point.high), point.n)
}

/// The same of a slice of the items.
pub(super) fn slice_point(point: &SlicePoint) -> String {
    measured(Some(point.score), (point.low, point.high), point.n)
}

fn measured(mean: Option<f64>, interval: (Option<f64>, Option<f64>), n: usize) -> String {
    match (mean, interval) {
        (Some(mean), (Some(low), Some(high))) => format!("{} [{}, {}] n={n}", score(mean), score(low), score(high)),
        (Some(mean), _) => format!("{} n={n}", score(mean)),
        _ => NONE.to_owned(),
    }
}

/// A verdict as words for people.
pub(super) fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::UShaped => "U-shaped".to_owned(),
        Verdict::EmergentLastPoint => "emergent, last point only".to_owned(),
        other => other.name().replace('_', " "),
    }
}

/// What a verdict means, in one line.
pub(super) fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Inconclusive => "records without a score could change the verdict",
        Verdict::Unresolved => "too few items or models to tell, or no class has the evidence",
        Verdict::Inverse => "falls with scale",
        Verdict::UShaped => "falls, then rises",
        Verdict::Emergent => "at chance over three or more models and a decade, then two or more models above it",
        Verdict::EmergentLastPoint => "at chance, and only the largest model above it: suggestive",
        Verdict::BreakthroughFromPlateau => "the same shape, from a plateau above chance",
        Verdict::Smooth => "grows from the first models on",
        Verdict::AboveChance => "above chance throughout, no trend",
        Verdict::Flat => "no better than chance throughout, or no trend where there is no chance",
    }
}

/// Text for HTML and SVG, also inside attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters are not allowed in XML at all.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Text for Markdown, also inside a table.
pub(super) fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Where a report comes from: the program, and the run or the file of scores, which nobody began and which has no samples.
pub(super) fn origin(manifest: &RunManifest) -> Vec<String> {
    let mut parts = vec![format!("onset {}", manifest.program)];
    if manifest.started.is_empty() {
        parts.push(format!("published scores: {}", manifest.run));
        parts.push(format!("seed {}", manifest.seed));
    } else {
        parts.push(format!("run {}", manifest.run));
        parts.push(format!("begun {}", manifest.started));
        parts.push(format!("seed {}", manifest.seed));
        parts.push(format!("{} samples per task", manifest.samples));
    }
    parts
}
