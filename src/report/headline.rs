//! What was found, in the words that a reader takes in first.

use crate::schema::{Analysis, Curve, Order, RunManifest, Verdict};

use super::format;
use super::view::TaskView;

/// The first lines of a report.
#[derive(Debug, Clone)]
pub(super) struct Headline {
    /// One sentence.
    pub(super) title: String,
    /// One finding each, as task and words.
    pub(super) findings: Vec<(String, String)>,
    /// The tasks that are not seen to emerge and what they show instead, in one sentence; empty when there are none.
    pub(super) rest: String,
    /// Who was asked what, and how much.
    pub(super) about: String,
}

/// The headline of an analysis.
pub(super) fn headline(manifest: &RunManifest, analysis: &Analysis, tasks: &[TaskView<'_>]) -> Headline {
    let mut findings = Vec::new();
    let mut rest = Vec::new();
    let mut suggestive = 0;
    let mut emergent = 0;
    for view in tasks {
        let shaped: Vec<&Curve> = view.main().filter(|curve| is_emergent(curve.verdict)).collect();
        let sure = shaped.iter().any(|curve| curve.verdict == Verdict::Emergent);
        emergent += usize::from(sure);
        suggestive += usize::from(!sure && !shaped.is_empty());
        for order in &view.orders {
            if let Some(words) = finding(view, order) {
                findings.push((view.task.name.clone(), words));
            }
        }
        if shaped.is_empty() {
            rest.push(format!("{}: {}", view.task.name, instead(view)));
        }
    }
    let count = tasks.len();
    let title = match (emergent, suggestive) {
        (0, 0) => format!("No ability is seen to emerge in {}", plural(count, "task")),
        (0, _) => format!("{suggestive} of {} may emerge, at the largest model only", plural(count, "ability")),
        (_, 0) => format!("{emergent} of {} {}", plural(count, "ability"), verb(emergent)),
        _ => format!(
            "{emergent} of {} {}, {suggestive} more at the largest model only",
            plural(count, "ability"),
            verb(emergent)
        ),
    };
    let rest = rest.join(". ");
    Headline { title, findings, rest, about: about(manifest, analysis) }
}

/// What a task shows instead of emergence: each verdict with its prompts, or the one that all have.
fn instead(view: &TaskView<'_>) -> String {
    let mut groups: Vec<(Verdict, Vec<String>)> = Vec::new();
    for curve in view.main() {
        let label = view.label(&curve.prompt, &curve.family);
        match groups.iter_mut().find(|(verdict, _)| *verdict == curve.verdict) {
            Some((_, prompts)) => prompts.push(label),
            None => groups.push((curve.verdict, vec![label])),
        }
    }
    let is_one = groups.len() == 1;
    let words = |(verdict, prompts): (Verdict, Vec<String>)| {
        let with = if is_one { "with every prompt".to_owned() } else { format!("with {}", prompts.join(", ")) };
        format!("{} {with}", format::verdict(verdict))
    };
    groups.into_iter().map(words).collect::<Vec<_>>().join("; ")
}

fn is_emergent(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Emergent | Verdict::EmergentLastPoint)
}

fn verb(count: usize) -> &'static str {
    if count == 1 { "emerges" } else { "emerge" }
}

fn plural(count: usize, word: &str) -> String {
    match (count, word) {
        (1, _) => format!("1 {word}"),
        (_, "ability") => format!("{count} abilities"),
        _ => format!("{count} {word}s"),
    }
}

/// Where a task emerges in a family, and what its prompts change about that.
fn finding(view: &TaskView<'_>, order: &Order) -> Option<String> {
    let curve = |prompt: &str| view.main().find(|curve| curve.prompt == prompt && curve.family == order.family);
    let (first, shaped) = order
        .prompts
        .iter()
        .filter_map(|(prompt, _)| Some((prompt, curve(prompt)?)))
        .find(|(_, curve)| is_emergent(curve.verdict))?;
    // The prompts that begin at one scale belong together; the order has them side by side.
    let mut groups: Vec<(Option<f64>, Vec<&str>)> = Vec::new();
    for (prompt, above) in &order.prompts {
        match groups.last_mut() {
            Some((scale, names)) if scale == above => names.push(prompt),
            _ => groups.push((*above, vec![prompt])),
        }
    }
    let here = groups.iter().position(|(_, names)| names.contains(&first.as_str()))?;
    // Only what has the shape is said to emerge; another prompt may begin at the same scale without it.
    let emerges = |prompt: &&str| curve(prompt).is_some_and(|curve| is_emergent(curve.verdict));
    let verb = if shaped.verdict == Verdict::Emergent { "emerges" } else { "may emerge" };
    let unit = format::unit(&shaped.axis);
    let (own, beside): (Vec<&str>, Vec<&str>) = groups.get(here)?.1.iter().copied().partition(emerges);
    let label = |prompt: &&str| view.label(prompt, &order.family).to_string();
    let mut words = format!("{verb} {} with {}", between(shaped), own.iter().map(label).collect::<Vec<_>>().join(", "));
    if !beside.is_empty() {
        words += &format!("; at the same scale, in another shape, with {}", beside.join(", "));
    }
    for (index, (above, others)) in groups.iter().enumerate() {
        let others = others.join(", ");
        words += &match above {
            None => format!("; not seen with {others}"),
            Some(_) if index == here => continue,
            Some(scale) if index < here => {
                format!("; sooner, at {} {unit}, with {others}", format::scale(&shaped.axis, *scale))
            }
            Some(scale) => format!("; later, at {} {unit}, with {others}", format::scale(&shaped.axis, *scale)),
        };
    }
    Some(words)
}

fn between(curve: &Curve) -> String {
    let unit = format::unit(&curve.axis);
    match (curve.onset.below, curve.onset.above) {
        (Some(below), Some(above)) => {
            let [below, above] = format::axis(&curve.axis).texts([below, above]);
            format!("between {below} and {above} {unit}")
        }
        _ => String::new(),
    }
}

fn about(manifest: &RunManifest, analysis: &Analysis) -> String {
    let points = || analysis.curves.iter().filter(|curve| curve.discontinuous).flat_map(|curve| &curve.points);
    let scored: usize = points().map(|point| point.n).sum();
    let lost: usize = points().map(|point| point.truncated + point.failed + point.missing).sum();
    let finals: Vec<_> = manifest.models.iter().filter(|model| model.scale.checkpoint.is_none()).collect();
    let checkpoints = match manifest.models.len() - finals.len() {
        0 => String::new(),
        count => format!(", {}", plural(count, "checkpoint")),
    };
    let mut words = format!(
        "{}{checkpoints}, {} and {}",
        plural(finals.len(), "model"),
        plural(manifest.tasks.len(), "task"),
        plural(manifest.prompts.len(), "prompt")
    );
    let first = analysis.curves.first();
    let axis = first.map_or("", |curve| curve.axis.as_str());
    let mut places: Vec<f64> = points().map(|point| point.x).collect();
    places.sort_by(|a, b| format::axis(axis).coordinate(*a).total_cmp(&format::axis(axis).coordinate(*b)));
    if let (Some(first), Some(last)) = (places.first(), places.last())
        && analysis.curves.iter().all(|curve| curve.axis == axis)
    {
        words += &format!(", from {} to {} {}", format::scale(axis, *first), format::scale(axis, *last), format::unit(axis));
    }
    let is_assumed = analysis.curves.iter().any(|curve| curve.evidence.iter().any(|one| one.part == "items"));
    words += &if is_assumed {
        format!("; {scored} items, where the file does not say how many by assumption.")
    } else {
        format!("; {scored} scored records, {lost} truncated, failed or missing.")
    };
    let mut names: Vec<_> = finals.iter().map(|model| (&model.family, model.scale.params.map(f64::to_bits))).collect();
    names.sort();
    names.dedup();
    if names.len() == finals.len() {
        words +=
            " Intervals are over items: each size was trained once, and another seed of its training may differ by more.";
    }
    words
}
