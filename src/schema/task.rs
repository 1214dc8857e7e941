//! What is asked: tasks, their samples, and the generators that draw samples.

use std::collections::BTreeMap;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::samples::Samples;

/// What kind of answer a task expects; it decides how a reply is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerKind {
    /// A number; digit grouping and a leading plus sign do not matter.
    Number,
    /// The rest of the line, as text.
    Text,
    /// One of the sample's choices.
    Choice,
}

impl AnswerKind {
    /// The word used in task files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Text => "text",
            Self::Choice => "choice",
        }
    }
}

/// One question with its reference answer. Its fields stand in the order of the alphabet, which is the form in which it is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The reference answer.
    pub answer: String,
    /// The options of a multiple-choice question; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// What a tool would be asked, where there is something: an expression for a calculator, a command for `text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// Name of the sample, unique within its task and stable for a seed.
    pub id: String,
    /// The question as it is put into a prompt.
    pub question: String,
    /// Worked steps that lead to the answer, where the task has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<String>,
}

/// What a generator draws: a sample without a name, and the identity of the underlying problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The question as it is put into a prompt.
    pub question: String,
    /// The reference answer.
    pub answer: String,
    /// Worked steps that lead to the answer.
    pub steps: Option<String>,
    /// What the generator's tool would be asked.
    pub expression: Option<String>,
    /// The options of a multiple-choice question.
    pub choices: Vec<String>,
    /// What makes two problems the same one: `3+5` and `5+3` share it, so that a model trained on one is never tested on
    /// the other. It begins with the name of the kind of problem, which generators may share: a sum is a sum in modular arithmetic too.
    pub identity: String,
}

/// A whole number that a generator accepts in a task file.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// The key in the task file.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Smallest accepted value.
    pub low: i64,
    /// Largest accepted value.
    pub high: i64,
    /// Value when the key is absent.
    pub default: i64,
}

/// The values of a generator's parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Parameters(pub BTreeMap<String, i64>);

impl Parameters {
    /// The value of a declared parameter, or zero for one that was never declared.
    #[must_use]
    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or_default()
    }
}

/// A procedural source of problems.
pub trait Generator: Sync {
    /// The name used in task files.
    fn name(&self) -> &'static str;
    /// The source file, whose leading comment is the manual page.
    fn source(&self) -> &'static str;
    /// The tool that its expressions are for.
    fn tool(&self) -> &'static str {
        "calculator"
    }
    /// The parameters a task file may set.
    fn parameters(&self) -> &'static [Parameter];
    /// Draws one problem.
    fn problem(&self, parameters: &Parameters, rng: &mut dyn Rng) -> Problem;
    /// Whether a held-out problem may be asked: not where it stands, with its answer, among the worked steps of another generator's problems.
    fn is_asked(&self, _problem: &Problem) -> bool {
        true
    }
}

/// Where the samples of a task come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataSource {
    /// Drawn by a generator.
    Generator {
        /// Its name.
        name: String,
        /// Its parameters, defaults filled in.
        parameters: Parameters,
    },
    /// Read from a JSON Lines file.
    Rows(Samples),
}

/// A task: what is asked and how an answer is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Unique name.
    pub name: String,
    /// Version of the task's meaning, a label for people.
    pub version: u32,
    /// One or two sentences.
    pub about: String,
    /// Where its samples come from.
    pub data: DataSource,
    /// How a reply is read.
    pub answer: AnswerKind,
    /// The scorer whose result is all or nothing.
    pub discontinuous: String,
    /// Scorers that give partial credit.
    pub continuous: Vec<String>,
    /// The best score of a strategy that does not solve the task, on the discontinuous scorer.
    pub chance: f64,
}

impl Task {
    /// Every scorer of the task, the discontinuous one first.
    pub fn scorers(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.discontinuous.as_str()).chain(self.continuous.iter().map(String::as_str))
    }
}

/// The samples of a task that one run uses: those that are asked, and those that are shown as examples.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleSet {
    /// Asked, in order.
    pub test: Samples,
    /// Shown as worked examples; never asked.
    pub shots: Vec<Sample>,
}
