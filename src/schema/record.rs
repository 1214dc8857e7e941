//! What a run leaves: records, their outcomes and their scores.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::endpoint::{Endpoint, Scoring};
use super::exchange::Logprobs;
use super::prompt::Prompt;
use super::task::{AnswerKind, Sample, Task};

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// An answer was read from a complete reply.
    Answered,
    /// The reply was complete, and no answer could be read from it.
    Unparsed,
    /// The reply was cut by the token limit before an answer.
    Truncated,
    /// The provider or the model refused.
    Refused,
    /// No reply: transport, limits or server.
    Failed,
}

impl Outcome {
    /// Every outcome, in the order of reports.
    pub const ALL: [Self; 5] = [Self::Answered, Self::Unparsed, Self::Truncated, Self::Refused, Self::Failed];

    /// The word used in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Unparsed => "unparsed",
            Self::Truncated => "truncated",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// The outcome of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    /// Whether the record enters scores: a call that failed or was cut is never a wrong answer.
    #[must_use]
    pub fn is_scored(self) -> bool {
        !matches!(self, Self::Truncated | Self::Failed)
    }
}

/// What of a record decides what is made of it.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    /// See [`Record::task`].
    pub task: &'a str,
    /// See [`Record::prompt`].
    pub prompt: &'a str,
    /// See [`Record::family`].
    pub family: &'a str,
    /// See [`Record::model`].
    pub model: &'a str,
    /// See [`Record::sample`].
    pub sample: &'a str,
    /// See [`Record::outcome`].
    pub outcome: Outcome,
    /// See [`Record::target`].
    pub target: &'a str,
    /// See [`Record::method`].
    pub method: Option<Scoring>,
    /// See [`Record::missing_mass`].
    pub missing_mass: Option<f64>,
    /// See [`Record::reply_tokens`].
    pub reply_tokens: Option<u64>,
    /// See [`Record::scores`].
    pub scores: &'a [Score],
}

/// One score of one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The scorer.
    pub scorer: Cow<'static, str>,
    /// The score, in the scorer's range; absent when the record is unscored.
    pub value: Option<f64>,
}

/// The smallest and largest score of a scorer; higher is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreRange {
    /// The worst score; negative infinity for log-probabilities.
    pub low: f64,
    /// The best score.
    pub high: f64,
}

/// What a scorer has to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The reply.
    Reply,
    /// The log-probability of the reference answer in the place where the answer stands.
    TargetLogprob,
    /// The log-probabilities of all choices there, or of what they begin with.
    ChoiceLogprobs,
    /// The log-probabilities of all choices, each to its end.
    WholeChoiceLogprobs,
    /// The same, and those of the choices behind the last line of the prompt alone.
    MutualInformation,
}

/// A record as a scorer sees it.
#[derive(Debug, Clone)]
pub struct Judged<'a> {
    /// The sample asked.
    pub sample: &'a Sample,
    /// How its answer is read.
    pub kind: AnswerKind,
    /// The answer as read from the reply; none when the reply had none.
    pub answer: Option<&'a str>,
    /// Log-probability of the reference answer, when it was asked for.
    pub target: Option<Logprobs>,
    /// Log-probabilities of the sample's choices, in their order, when they were asked for; empty otherwise.
    pub choices: &'a [Logprobs],
    /// The same behind the last line of the prompt alone.
    pub domain: &'a [Logprobs],
}

/// A way of judging an answer.
pub trait Scorer: Sync {
    /// The name used in task files.
    fn name(&self) -> &'static str;
    /// The source file, whose leading comment is the manual page.
    fn source(&self) -> &'static str;
    /// What it has to be given.
    fn need(&self) -> Need;
    /// The range of its scores.
    fn range(&self) -> ScoreRange;
    /// Whether it makes sense for a kind of answer.
    fn fits(&self, kind: AnswerKind) -> bool;
    /// The score; none when what it needs is missing. A reply without an answer (`answer` is none) scores zero where the
    /// scorer judges the reply.
    fn score(&self, judged: &Judged<'_>) -> Option<f64>;
}

/// One sample, put by one prompt to one model, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The run it belongs to.
    pub run: String,
    /// Name of the task.
    pub task: String,
    /// Name of the prompt.
    pub prompt: String,
    /// Name of the model family.
    pub family: String,
    /// Name of the model.
    pub model: String,
    /// The sample's id within its task.
    pub sample: String,
    /// Repetition index, from zero.
    pub repetition: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// The answer as read from the reply.
    pub answer: Option<String>,
    /// The reference answer.
    pub target: String,
    /// What went wrong: why a record failed, or why one with an answer lacks a log-probability.
    pub detail: Option<String>,
    /// How the sample's choices were weighed; none where the answer is judged by what was written.
    #[serde(default)]
    pub method: Option<Scoring>,
    /// Probability on first tokens that begin no choice, where choices are weighed by their first tokens.
    #[serde(default)]
    pub missing_mass: Option<f64>,
    /// Tokens of its longest reply, when the endpoint counts them.
    #[serde(default)]
    pub reply_tokens: Option<u64>,
    /// Keys of its exchanges, in the order of the conversation.
    pub exchanges: Vec<ExchangeKey>,
    /// Its scores.
    pub scores: Vec<Score>,
}

impl Record {
    /// What of it decides what is made of it.
    #[must_use]
    pub fn scored(&self) -> Scored<'_> {
        Scored {
            task: &self.task,
            prompt: &self.prompt,
            family: &self.family,
            model: &self.model,
            sample: &self.sample,
            outcome: self.outcome,
            target: &self.target,
            method: self.method,
            missing_mass: self.missing_mass,
            reply_tokens: self.reply_tokens,
            scores: &self.scores,
        }
    }

    /// The name by which people call a record: `task/prompt/model/sample/repetition`.
    #[must_use]
    pub fn id(&self) -> String {
        let Self { task, prompt, model, sample, repetition, .. } = self;
        RecordName { task, prompt, model, sample, repetition: *repetition }.to_string()
    }
}

/// What tells a record from the others of its run; written as people call it, `task/prompt/model/sample/repetition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordName<'a> {
    /// Name of the task.
    pub task: &'a str,
    /// Name of the prompt.
    pub prompt: &'a str,
    /// Name of the model.
    pub model: &'a str,
    /// The sample's id within its task.
    pub sample: &'a str,
    /// Repetition index, from zero.
    pub repetition: u32,
}

impl std::fmt::Display for RecordName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}/{}", self.task, self.prompt, self.model, self.sample, self.repetition)
    }
}

/// How large a model is, by every measure that may be an axis.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Scale {
    /// Number of parameters.
    pub params: Option<f64>,
    /// Training tokens.
    pub tokens: Option<f64>,
    /// Training compute, in floating-point operations.
    pub flops: Option<f64>,
    /// Pre-training loss, in nats per token.
    pub loss: Option<f64>,
    /// Seed of the training run.
    pub seed: Option<u64>,
    /// Training step of a checkpoint that is not the last.
    pub checkpoint: Option<u64>,
}

/// One model of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// Name of the model.
    pub name: String,
    /// Name of its family.
    pub family: String,
    /// Name of its endpoint.
    pub endpoint: String,
    /// Its scale.
    pub scale: Scale,
    /// Hash of its weights, for the ladder.
    pub weights: Option<String>,
}

/// A pair of a task and a prompt that do not go together, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Name of the task.
    pub task: String,
    /// Name of the prompt.
    pub prompt: String,
    /// What the prompt needs and the task does not have.
    pub reason: String,
}

/// What a run was: enough to rebuild everything derived from its records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunManifest {
    /// Version of this format.
    pub version: u32,
    /// The run's id.
    pub run: String,
    /// Version of the program.
    pub program: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// The seed of samples and shots.
    pub seed: u64,
    /// Samples per task; the most, when a run stops where its verdicts are settled.
    pub samples: usize,
    /// Whether no more is asked than the verdicts need.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_resolved: bool,
    /// How often each sample is asked.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub repetitions: u32,
    /// Empty, or what separates this run's exchanges from all others.
    pub epoch: String,
    /// The tasks, samples of files left out.
    pub tasks: Vec<Task>,
    /// The prompts.
    pub prompts: Vec<Prompt>,
    /// The endpoints of the models, as far as they decide what is sent.
    pub endpoints: Vec<Endpoint>,
    /// The models.
    pub models: Vec<ModelEntry>,
    /// Pairs of task and prompt that do not go together.
    pub refused: Vec<Refusal>,
    /// Records planned.
    pub planned: usize,
}

fn once() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_once(repetitions: &u32) -> bool {
    *repetitions == 1
}

/// What an exchange is known by: a BLAKE3 hash, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeKey(pub [u8; 32]);

impl std::fmt::Display for ExchangeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for ExchangeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for ExchangeKey {
    type Err = blake3::HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        blake3::Hash::from_hex(text).map(|hash| Self(hash.into()))
    }
}

impl Serialize for ExchangeKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ExchangeKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
