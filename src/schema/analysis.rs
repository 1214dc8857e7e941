//! What the analyzer finds: points, curves and verdicts, as `analysis.json` holds them.

use serde::{Deserialize, Serialize};

use super::record::Refusal;

/// Version of the format of `analysis.json`.
pub const ANALYSIS_VERSION: u32 = 1;

/// What a curve shows; decided in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The bounds of unscored records would change the verdict.
    Inconclusive,
    /// Too few items or models to tell, or no class has the evidence.
    Unresolved,
    /// Falls with scale, significantly.
    Inverse,
    /// Interior minimum, significant dip and rise.
    UShaped,
    /// A plateau at chance over at least three models and a decade, then two or more models significantly above it, growing.
    Emergent,
    /// The same plateau, and only the largest model above it.
    EmergentLastPoint,
    /// The shape of emergence from a plateau that lies above chance.
    BreakthroughFromPlateau,
    /// Grows from the first models on.
    Smooth,
    /// Above chance throughout, no trend.
    AboveChance,
    /// At or below chance throughout, with enough items to say so.
    Flat,
}

impl Verdict {
    /// The word used in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inconclusive => "inconclusive",
            Self::Unresolved => "unresolved",
            Self::Inverse => "inverse",
            Self::UShaped => "u_shaped",
            Self::Emergent => "emergent",
            Self::EmergentLastPoint => "emergent_last_point",
            Self::BreakthroughFromPlateau => "breakthrough_from_plateau",
            Self::Smooth => "smooth",
            Self::AboveChance => "above_chance",
            Self::Flat => "flat",
        }
    }
}

/// One model on a curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Name of the model.
    pub model: String,
    /// Seed of its training run.
    pub seed: Option<u64>,
    /// Training step, for a checkpoint that is not the last.
    pub checkpoint: Option<u64>,
    /// Its place on the axis.
    pub x: f64,
    /// Mean score of the scored records.
    pub score: Option<f64>,
    /// Number of scored records.
    pub n: usize,
    /// Lower end of the 95 % interval of the mean.
    pub low: Option<f64>,
    /// Upper end of it.
    pub high: Option<f64>,
    /// Mean score if every unscored record were wrong.
    pub bound_low: Option<f64>,
    /// Mean score if every unscored record were right.
    pub bound_high: Option<f64>,
    /// Lower end of the 95 % interval of the mean over all records, whatever the unscored ones would have scored (Imbens and Manski
    /// 2004); none where every record is scored, or where the metric has no bounds.
    #[serde(default)]
    pub whole_low: Option<f64>,
    /// Upper end of it.
    #[serde(default)]
    pub whole_high: Option<f64>,
    /// Records with an answer.
    pub answered: usize,
    /// Complete replies without an answer.
    pub unparsed: usize,
    /// Replies cut by the token limit.
    pub truncated: usize,
    /// Refusals.
    pub refused: usize,
    /// Calls that failed.
    pub failed: usize,
    /// Records planned and not yet there.
    pub missing: usize,
}

/// Where an ability begins, in units of the axis. What is low or below is of less scale, so of loss and perplexity it is more.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Onset {
    /// The last model not above chance.
    pub below: Option<f64>,
    /// The first model from which on all are above.
    pub above: Option<f64>,
    /// Where the fitted curve leaves chance; later form.
    pub knee: Option<f64>,
    /// Where half of the gain is reached.
    pub midpoint: Option<f64>,
    /// Lower end of the interval of the onset.
    pub low: Option<f64>,
    /// Upper end of it.
    pub high: Option<f64>,
}

/// One part of the evidence for a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was tested or measured: `plateau`, `above`, `growth`, `resolution`, `bounds` ..
    pub part: String,
    /// The number, when there is one.
    pub value: Option<f64>,
    /// Its p-value, when it is a test.
    pub p_value: Option<f64>,
    /// The finding in words.
    pub words: String,
}

/// One model on the curve of a slice of the items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlicePoint {
    /// Name of the model.
    pub model: String,
    /// Its place on the axis, in units of the axis.
    pub x: f64,
    /// Mean score of the items.
    pub score: f64,
    /// Number of items; the repetitions of one count once, by their mean.
    pub n: usize,
    /// Lower end of the 95 % interval of the mean.
    pub low: Option<f64>,
    /// Upper end of it.
    pub high: Option<f64>,
}

/// A third of the items by difficulty: to each model, what the models of the other sizes find easy or hard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// `easy`, `middle` or `hard`.
    pub difficulty: String,
    /// The models, in the order of the curve.
    pub points: Vec<SlicePoint>,
}

/// One task, put by one prompt, judged by one metric, over the models of a family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Name of the task.
    pub task: String,
    /// Name of the family; `*` for all families together, `FAMILY: training of MODEL` for the checkpoints of one training run.
    pub family: String,
    /// Name of the prompt.
    pub prompt: String,
    /// Name of the metric: the mean of a scorer.
    pub metric: String,
    /// What the axis measures: `flops`, `params`, `tokens`, `loss` or `perplexity`.
    pub axis: String,
    /// Whether its points are the checkpoints of one training run, and no models trained independently.
    #[serde(default)]
    pub is_training: bool,
    /// True for the metric of the task that is all or nothing.
    pub discontinuous: bool,
    /// The best score of a strategy that does not solve the task; none for metrics without one.
    pub chance: Option<f64>,
    /// The models, by rising scale: by falling loss or perplexity.
    pub points: Vec<Point>,
    /// The same by the difficulty of the items, the easy third first; empty where there are too few items or sizes, for other
    /// metrics than the discontinuous one, along a training run and for published scores.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<Slice>,
    /// What the curve shows.
    pub verdict: Verdict,
    /// Strength of the evidence for emergence, 0 to 1.
    pub emergence: f64,
    /// The largest p-value of the tests that make up the definition.
    pub p_value: Option<f64>,
    /// The p-value adjusted over tasks (Benjamini-Hochberg).
    pub q_value: Option<f64>,
    /// Where the ability begins.
    pub onset: Onset,
    /// From the knee to half of the gain: decades, or nats where the axis is loss or perplexity.
    pub sharpness: Option<f64>,
    /// The parts of the evidence, in numbers and in words.
    pub evidence: Vec<Evidence>,
}

/// The prompts of one task in the order in which they begin to work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Name of the task.
    pub task: String,
    /// Name of the family.
    pub family: String,
    /// The prompts, the earliest first, with the scale of their first model above chance; none for those that never work.
    pub prompts: Vec<(String, Option<f64>)>,
}

/// What two measurements of the same items differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComparisonKind {
    /// A prompt against the `baseline` of its file.
    Baseline,
    /// Two prompts of which neither is the other's baseline.
    Prompts,
    /// Each model against the next smaller size of its family, by the same prompt.
    Sizes,
}

impl ComparisonKind {
    /// The word used in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Prompts => "prompts",
            Self::Sizes => "sizes",
        }
    }
}

/// Pairs of one model, or of a model and the next smaller one: the same items, measured twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairedPoint {
    /// Name of the model.
    pub model: String,
    /// The next smaller model, where sizes are compared.
    pub other_model: Option<String>,
    /// The model's place on the axis.
    pub x: f64,
    /// Mean score over the pairs.
    pub score: Option<f64>,
    /// Mean score of what it is compared with, over the same pairs.
    pub other_score: Option<f64>,
    /// Pairs: items with a score on both sides.
    pub n: usize,
    /// Items with a record on one side or both that are no pair, because a side is missing, failed or truncated.
    pub unpaired: usize,
    /// Mean of score minus other score.
    pub difference: Option<f64>,
    /// Lower end of its 95 % interval: Tango's for right or wrong, Student's for partial credit.
    pub low: Option<f64>,
    /// Upper end of it.
    pub high: Option<f64>,
    /// Two-sided p-value against no difference, for this point alone: McNemar's exact test, or Student's.
    pub p_value: Option<f64>,
    /// Items with the higher score on this side.
    pub gained: usize,
    /// Items with the higher score on the other side.
    pub lost: usize,
}

/// From which scale on a prompt is better than another, in units of the axis.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Helps {
    /// The largest model before `above`; none when `above` is the smallest.
    pub below: Option<f64>,
    /// The scale from which on every model is significantly better, found from the largest down.
    pub above: Option<f64>,
    /// The last place before `above`, or before the greatest gain where there is none, at which the difference goes from zero or
    /// less to more.
    pub crossing: Option<f64>,
    /// Lower end of its 95 % interval; none when that end lies below the smallest model.
    pub low: Option<f64>,
    /// Upper end of it; none when that end lies above the largest model.
    pub high: Option<f64>,
    /// The part of resamples of the items in which there is a crossing.
    pub resamples: Option<f64>,
}

/// The same items under two prompts, or by two sizes: the paired differences over the models of a family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of the task.
    pub task: String,
    /// Name of the family.
    pub family: String,
    /// Name of the metric: all or nothing for prompts, every one of the task for sizes.
    pub metric: String,
    /// What the axis measures.
    pub axis: String,
    /// What differs.
    pub kind: ComparisonKind,
    /// Name of the prompt.
    pub prompt: String,
    /// Name of the prompt it is compared with; none for sizes.
    pub baseline: Option<String>,
    /// The differences, by rising scale.
    pub points: Vec<PairedPoint>,
    /// From where on it helps; empty for sizes.
    pub helps: Helps,
    /// Models that are significantly better (Holm over the models).
    pub better: Vec<String>,
    /// Models that are significantly worse (Holm over the models).
    pub hurts: Vec<String>,
    /// The finding in words.
    pub words: String,
}

/// What the models of all families show of one axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AxisEvidence {
    /// The axis: `flops`, `params`, `tokens` or `loss`.
    pub axis: String,
    /// Log marginal likelihood of one curve for all families, in nats.
    pub log_evidence: f64,
    /// Standard error of that, of the numerical integration alone.
    pub error: f64,
    /// How much more the best axis has: zero for the best.
    pub behind: f64,
    /// How strong that is, less twice its numerical error, in the words of Kass and Raftery 1995: `none`, `positive`, `strong` or `very strong`; empty for the best.
    pub strength: String,
}

/// Over which axis the families of a task fall on one curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Collapse {
    /// Name of the task.
    pub task: String,
    /// Name of the prompt.
    pub prompt: String,
    /// Name of the metric.
    pub metric: String,
    /// Names of the families.
    pub families: Vec<String>,
    /// Number of models: those of which every axis that is compared is known.
    pub models: usize,
    /// Number of models left out, because they lack one of the axes.
    pub left_out: usize,
    /// The axes, the best first.
    pub axes: Vec<AxisEvidence>,
    /// The finding in words.
    pub words: String,
}

/// Everything the analyzer found: the content of `analysis.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// Version of this format.
    pub version: u32,
    /// The run.
    pub run: String,
    /// The curves: by task, then prompt, then metric, in the order of the run.
    pub curves: Vec<Curve>,
    /// Per task, the prompts in the order in which they begin to work.
    pub order: Vec<Order>,
    /// Pairs of task and prompt that were not asked, and why.
    pub refused: Vec<Refusal>,
    /// Pairs of items: prompts against their baselines, then against one another, then sizes; by task in the order of the
    /// run.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
    /// Over which axis families fall on one curve, where they are pooled.
    #[serde(default)]
    pub collapse: Vec<Collapse>,
    /// What a reader must know of the records before the verdicts.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// A warning about the records of one model with one task and prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Name of the task.
    pub task: String,
    /// Name of the prompt.
    pub prompt: String,
    /// Name of the model.
    pub model: String,
    /// What is wrong, and what to do.
    pub words: String,
}

impl Warning {
    /// What it is about: `task/prompt/model`.
    #[must_use]
    pub fn about(&self) -> String {
        format!("{}/{}/{}", self.task, self.prompt, self.model)
    }
}
