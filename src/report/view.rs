//! What every report shows, before it becomes HTML, Markdown or a terminal's table.

use crate::schema::{Analysis, Collapse, Comparison, Curve, Order, RunManifest, Task, Verdict};

use super::plot::{self, Drawing};
use super::{format, panels, slices};

/// The continuous metric shown where a task has it.
const MAIN_CONTINUOUS: &str = "answer-logprob";

/// One task and what was found about it.
#[derive(Debug, Clone)]
pub(super) struct TaskView<'a> {
    /// The task.
    pub(super) task: &'a Task,
    /// The stem of its plot's file name.
    pub(super) file: String,
    /// Its curves, in the order of the analysis.
    pub(super) curves: Vec<&'a Curve>,
    /// Its comparisons of pairs, in the order of the analysis.
    pub(super) comparisons: Vec<&'a Comparison>,
    /// The orders of its prompts, one per family.
    pub(super) orders: Vec<&'a Order>,
    /// Whether the run has more than one family, so that names must say which.
    pub(super) many_families: bool,
}

impl<'a> TaskView<'a> {
    /// The curves of the discontinuous scorer: one per family and prompt.
    pub(super) fn main(&self) -> impl Iterator<Item = &'a Curve> {
        self.curves.iter().copied().filter(|curve| curve.discontinuous)
    }

    /// The continuous curves shown beside them.
    pub(super) fn continuous(&self) -> impl Iterator<Item = &'a Curve> {
        let metric = main_continuous(self.task);
        self.curves.iter().copied().filter(move |curve| !curve.discontinuous && Some(curve.metric.as_str()) == metric)
    }

    /// A prompt's name on this page, with its family where there are several; the family's where the prompt has none.
    pub(super) fn label(&self, prompt: &str, family: &str) -> String {
        match (prompt, family) {
            ("", "") => "all models".to_owned(),
            // A file may not say how it was asked.
            ("", family) => family.to_owned(),
            _ if self.many_families => format!("{prompt} ({family})"),
            _ => prompt.to_owned(),
        }
    }
}

/// Every drawing of a task, with what its file's name adds to that of the task: the plot, where there are checkpoints the plot along
/// training, the four panels, and the curves by difficulty.
pub(super) fn drawings(view: &TaskView<'_>) -> Vec<(&'static str, Drawing)> {
    let (trainings, models): (Vec<&Curve>, Vec<&Curve>) = view.curves.iter().copied().partition(|curve| curve.is_training);
    let of_models = TaskView { curves: models, ..view.clone() };
    let mut found = Vec::new();
    if trainings.is_empty() || !of_models.curves.is_empty() {
        found.push(("", plot::draw(&of_models)));
    }
    if !trainings.is_empty() {
        found.push((".training", plot::draw(&TaskView { curves: trainings, ..view.clone() })));
    }
    found.extend(panels::draw(&of_models).map(|panels| (".panels", panels)));
    found.extend(slices::draw(&of_models).map(|slices| (".difficulty", slices)));
    found
}

/// The continuous metric that stands for all of a task's.
pub(super) fn main_continuous(task: &Task) -> Option<&str> {
    let main = task.continuous.iter().find(|metric| *metric == MAIN_CONTINUOUS);
    main.or_else(|| task.continuous.first()).map(String::as_str)
}

/// The tasks of a run that have curves, in its order.
pub(super) fn tasks<'a>(manifest: &'a RunManifest, analysis: &'a Analysis) -> Vec<TaskView<'a>> {
    let first = manifest.models.first().map(|model| &model.family);
    let many_families = manifest.models.iter().any(|model| Some(&model.family) != first)
        || analysis.curves.iter().any(|curve| curve.is_training);
    let mut views: Vec<TaskView<'_>> = Vec::new();
    for task in &manifest.tasks {
        let curves: Vec<&Curve> = analysis.curves.iter().filter(|curve| curve.task == task.name).collect();
        if curves.is_empty() {
            continue;
        }
        let mut file: String =
            task.name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        // Two names may differ only in what a file name cannot hold.
        while views.iter().any(|view| view.file == file) {
            file.push('_');
        }
        let orders = analysis.order.iter().filter(|order| order.task == task.name).collect();
        let comparisons = analysis.comparisons.iter().filter(|one| one.task == task.name).collect();
        views.push(TaskView { task, file, curves, comparisons, orders, many_families });
    }
    views
}

/// Over which axis the families of each task fall on one curve: what it is of, and the finding in words.
#[must_use]
pub fn collapse_rows(analysis: &Analysis) -> Vec<(String, String)> {
    let of = |one: &Collapse| {
        let words = [&one.task, &one.prompt, &one.metric];
        words.into_iter().filter(|word| !word.is_empty()).map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    analysis.collapse.iter().map(|one| (of(one), one.words.clone())).collect()
}

/// One line of the verdict table, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictRow {
    /// Name of the task.
    pub task: String,
    /// Name of the family.
    pub family: String,
    /// Name of the prompt.
    pub prompt: String,
    /// The verdict on the discontinuous metric.
    pub verdict: Verdict,
    /// Where the ability begins: the last model not above chance and the first one above.
    pub onset: String,
    /// Chance.
    pub chance: String,
    /// The largest model's score, its 95 % interval and number of items.
    pub largest: String,
    /// The main continuous metric and its verdict.
    pub continuous: String,
}

/// The column titles of the verdict table, in the order of `VerdictRow::cells`.
pub const VERDICT_HEADER: [&str; 7] = ["task", "prompt", "verdict", "onset", "chance", "largest model", "second metric"];

impl VerdictRow {
    /// The cells under `VERDICT_HEADER`.
    #[must_use]
    pub fn cells(&self) -> [String; 7] {
        [
            self.task.clone(),
            self.prompt.clone(),
            format::verdict(self.verdict),
            self.onset.clone(),
            self.chance.clone(),
            self.largest.clone(),
            self.continuous.clone(),
        ]
    }
}

/// The verdict table: one row per task, family and prompt, in the order of the run. Where the run has several families a
/// prompt's name says which.
#[must_use]
pub fn verdict_rows(manifest: &RunManifest, analysis: &Analysis) -> Vec<VerdictRow> {
    let tasks = tasks(manifest, analysis);
    tasks.iter().flat_map(|view| view.main().map(move |curve| row(view, curve))).collect()
}

fn row(view: &TaskView<'_>, curve: &Curve) -> VerdictRow {
    let continuous = view.continuous().find(|other| other.prompt == curve.prompt && other.family == curve.family);
    VerdictRow {
        task: curve.task.clone(),
        family: curve.family.clone(),
        prompt: view.label(&curve.prompt, &curve.family),
        verdict: curve.verdict,
        onset: onset(curve),
        chance: format::maybe(curve.chance, format::score),
        largest: curve.points.last().map_or_else(|| format::NONE.to_owned(), format::point),
        continuous: continuous.map_or_else(
            || format::NONE.to_owned(),
            |other| {
                // An endpoint that gives no log-probabilities leaves nothing to judge; that is no verdict.
                let is_measured = other.points.iter().any(|point| point.n > 0);
                let verdict = if is_measured { format::verdict(other.verdict) } else { "not measured".to_owned() };
                format!("{}: {verdict}", other.metric)
            },
        ),
    }
}

/// The title of the warnings.
pub(super) const WARNINGS: &str = "Before the verdicts";

/// The warnings of an analysis, each with what it is about.
#[must_use]
pub fn warning_rows(analysis: &Analysis) -> Vec<(String, String)> {
    analysis.warnings.iter().map(|warning| (warning.about(), warning.words.clone())).collect()
}

/// Where an ability begins, in words that fit a cell.
pub(super) fn onset(curve: &Curve) -> String {
    let unit = format::unit(&curve.axis);
    match (curve.onset.below, curve.onset.above) {
        (Some(below), Some(above)) => {
            let [below, above] = format::axis(&curve.axis).texts([below, above]);
            format!("{below} – {above} {unit}")
        }
        (None, Some(above)) => {
            // What lies below the first model is of less scale, and so of more loss.
            let sign = if format::axis(&curve.axis).falls() { '≥' } else { '≤' };
            format!("{sign} {} {unit}", format::scale(&curve.axis, above))
        }
        _ => format::NONE.to_owned(),
    }
}
