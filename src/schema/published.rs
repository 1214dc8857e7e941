//! Scores from elsewhere: one model on one task, without its records.

use super::record::Scale;

/// One score of a file of curves.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedScore {
    /// Name of the task.
    pub task: String,
    /// Name of the family; empty when the file names none.
    pub family: String,
    /// Name of the model.
    pub model: String,
    /// How the question was put; empty when the file does not say.
    pub prompt: String,
    /// Name of the metric.
    pub metric: String,
    /// The score, from 0 to 1, higher is better.
    pub score: f64,
    /// Number of items; none when neither it nor a standard error is given.
    pub n: Option<f64>,
    /// The score of a blind strategy; none when the file does not say.
    pub chance: Option<f64>,
    /// How large the model is.
    pub scale: Scale,
}
