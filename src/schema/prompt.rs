//! How a question is put: prompt files, and the pure state machines that carry a conversation.

use serde::{Deserialize, Serialize};

use super::exchange::{Input, Message, Request, Response, ToolSpec};
use super::task::{AnswerKind, Sample};

/// A prompt file: how any question of any task is put to a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Prompt {
    /// Unique name.
    pub name: String,
    /// Version, a label for people.
    pub version: u32,
    /// One or two sentences.
    pub about: String,
    /// The technique that carries the conversation.
    pub technique: String,
    /// Worked examples before the question.
    pub shots: usize,
    /// Template of one worked example; it begins as `ask` does, and what follows is the form of a whole reply.
    pub shot: String,
    /// Template of the question.
    pub ask: String,
    /// Sequences that end a reply.
    pub stop: Vec<String>,
    /// How the question is put to a model that chats; the whole text is one message when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<Turns>,
    /// What stands right before the answer in a reply; the whole reply is the answer when absent.
    pub answer_after: Option<String>,
    /// The tool that a tool-use prompt offers.
    pub tool: Option<String>,
    /// What opens and closes a tool call in the text.
    pub call: Option<(String, String)>,
    /// The prompt it is compared with, paired.
    pub baseline: Option<String>,
    /// Whether a reply cut at the limit counts as a reply without an answer.
    pub cut_is_unparsed: bool,
}

/// A question and its examples as turns of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Turns {
    /// Standing instructions: the system message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Template of what the person says.
    pub ask: String,
    /// Template of what the model replies in an example.
    pub reply: String,
    /// How the model's reply to the question begins, for endpoints that go on from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Sequences that end a reply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

/// What turns messages into the text that a model was trained to see.
pub trait ChatTemplate: Sync + Send + std::fmt::Debug {
    /// The text of a chat, up to where the model's reply goes on.
    ///
    /// # Errors
    /// In words, when the template refuses these messages.
    fn render(&self, messages: &[Message], tools: &[ToolSpec], prefix: Option<&str>) -> Result<String, String>;
}

/// Everything a technique may look at: the question, the rendered examples and the prompt file.
#[derive(Debug, Clone)]
pub struct Case<'a> {
    /// The sample asked.
    pub sample: &'a Sample,
    /// How its answer is read.
    pub answer: AnswerKind,
    /// The prompt file.
    pub prompt: &'a Prompt,
    /// The examples and the question, rendered: as a text, or as a chat.
    pub start: &'a Input,
    /// What turns a chat into the text that the endpoint takes; none where it takes messages, or the start is a text.
    pub template: Option<&'a dyn ChatTemplate>,
    /// The tool as it is offered to an endpoint that has functions; none where it is called in the text.
    pub function: Option<&'a ToolSpec>,
    /// Most tokens in one reply.
    pub max_tokens: u32,
}

/// One thing that happened in a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// A model's reply.
    Response(Box<Response>),
    /// What a tool gave back.
    ToolResult {
        /// The tool.
        tool: String,
        /// What it was asked.
        input: String,
        /// What it answered, or why it could not.
        output: Result<String, String>,
    },
}

/// What a technique wants next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Send this.
    Ask(Request),
    /// Have a tool compute this.
    CallTool {
        /// The tool.
        tool: String,
        /// Its input.
        input: String,
    },
    /// The conversation is over.
    Answer(Answer),
    /// The conversation cannot go on, in words: a defect of a template, not of the model.
    Fail(String),
}

/// How a conversation ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What settles the record.
    pub outcome: super::record::Outcome,
    /// The answer as read from the reply, when there is one.
    pub text: Option<String>,
    /// All up to the place where the answer stands: what a log-probability of the target is conditioned on.
    pub context: Input,
}

/// A way of leading a conversation: a pure function of what has happened so far.
pub trait Technique: Sync {
    /// The name used in prompt files.
    fn name(&self) -> &'static str;
    /// The source file, whose leading comment is the manual page.
    fn source(&self) -> &'static str;
    /// The keys of a prompt file that this technique cannot do without.
    fn required(&self) -> &'static [&'static str] {
        &[]
    }
    /// What to do next.
    fn next(&self, case: &Case<'_>, turns: &[Turn]) -> Step;
}

/// Something a model may call.
pub trait Tool: Sync {
    /// The name used in prompt files.
    fn name(&self) -> &'static str;
    /// The source file, whose leading comment is the manual page.
    fn source(&self) -> &'static str;
    /// What it does and the one argument it takes, as a model is told: its description, the argument's name, and the
    /// argument's description.
    fn about(&self) -> (&'static str, &'static str, &'static str);
    /// Computes the output for an input, within a bounded time.
    ///
    /// # Errors
    /// In words for the model and the record: what was wrong with the input.
    fn call(&self, input: &str) -> Result<String, String>;
}
