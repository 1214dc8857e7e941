//! What is sent to a model and what comes back.
//!
//! A request is known by its text: it is written with the fields of its objects in the order of the alphabet, which is the one form in
//! which it is hashed, kept and compared.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// A function call that a model asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The arguments as the model wrote them: a JSON object, if it wrote them rightly.
    pub arguments: String,
    /// The id by which its result is told apart from others; empty where the dialect has none.
    pub id: String,
    /// The tool.
    pub tool: String,
}

/// A tool as it is offered to a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// What it does, for the model.
    pub about: String,
    /// The name.
    pub name: String,
    /// JSON schema of its arguments.
    pub parameters: Value,
}

/// One message of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "role", rename_all = "kebab-case")]
pub enum Message {
    /// Standing instructions.
    System {
        /// Their text.
        text: String,
    },
    /// What the person says.
    User {
        /// The text.
        text: String,
    },
    /// What the model said, or what an example has it say.
    Assistant {
        /// The text.
        text: String,
        /// The function calls that it asked for.
        #[serde(default)]
        calls: Vec<ToolCall>,
        /// What the endpoint wants to see again beside the text, in its own form: signed thinking, as a rule.
        #[serde(default)]
        replay: Option<Value>,
    },
    /// What a function call gave.
    Tool {
        /// Id of the call.
        call: String,
        /// The tool.
        tool: String,
        /// Its output, or what was wrong.
        output: String,
        /// Whether it failed.
        is_error: bool,
    },
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        match self {
            Self::System { text } => {
                fields.serialize_entry("role", "system")?;
                fields.serialize_entry("text", text)?;
            }
            Self::User { text } => {
                fields.serialize_entry("role", "user")?;
                fields.serialize_entry("text", text)?;
            }
            Self::Assistant { text, calls, replay } => {
                if !calls.is_empty() {
                    fields.serialize_entry("calls", calls)?;
                }
                if let Some(replay) = replay {
                    fields.serialize_entry("replay", replay)?;
                }
                fields.serialize_entry("role", "assistant")?;
                fields.serialize_entry("text", text)?;
            }
            Self::Tool { call, tool, output, is_error } => {
                fields.serialize_entry("call", call)?;
                fields.serialize_entry("is_error", is_error)?;
                fields.serialize_entry("output", output)?;
                fields.serialize_entry("role", "tool")?;
                fields.serialize_entry("tool", tool)?;
            }
        }
        fields.end()
    }
}

impl Message {
    /// Number of bytes that the model reads, roughly.
    #[must_use]
    pub fn length(&self) -> usize {
        match self {
            Self::System { text } | Self::User { text } => text.len(),
            Self::Assistant { text, calls, .. } => {
                text.len() + calls.iter().map(|call| call.tool.len() + call.arguments.len()).sum::<usize>()
            }
            Self::Tool { output, .. } => output.len(),
        }
    }
}

/// The messages so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Chat {
    /// The messages, the oldest first.
    pub messages: Vec<Message>,
    /// How the reply begins: the model goes on from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Functions that the model may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolSpec>,
}

/// What a model is given to continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// A text, as it is.
    Text(String),
    /// A chat.
    Chat(Chat),
}

impl Input {
    /// Number of bytes that the model reads, roughly.
    #[must_use]
    pub fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Chat(chat) => {
                let tools: usize = chat.tools.iter().map(|tool| tool.name.len() + tool.about.len() + 100).sum();
                let prefix = chat.prefix.as_ref().map_or(0, String::len);
                tools + prefix + chat.messages.iter().map(Message::length).sum::<usize>()
            }
        }
    }
}

/// What is wanted from the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// A continuation.
    Reply {
        /// Most tokens to write.
        max_tokens: u32,
        /// Sequences that end the reply; they are not part of it.
        stop: Vec<String>,
    },
    /// The log-probability of a given continuation.
    Logprob {
        /// The continuation.
        continuation: String,
    },
    /// The log-probabilities of the first token that the model would write, as far as they tell options apart.
    Options {
        /// The options.
        options: Vec<String>,
    },
}

/// One request, free of any provider's dialect. With the model's name and the sampling it is what an exchange is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What the model is given.
    #[serde(flatten)]
    pub input: Input,
    /// What is wanted.
    pub wanted: Wanted,
}

/// Why a model stopped writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FinishReason {
    /// It was done, or met a stop sequence.
    Stop,
    /// It met the token limit.
    Length,
    /// The provider filtered the reply, or the model refused.
    Refusal,
}

/// Tokens of one exchange, as the endpoint counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, those read from a cache included.
    pub prompt_tokens: u64,
    /// Tokens written, thinking included.
    pub completion_tokens: u64,
    /// Tokens of the prompt that were read from a cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_tokens: u64,
    /// Tokens of the completion that were thinking.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub thinking_tokens: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The log-probability of one continuation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Logprobs {
    /// Sum over its tokens, in nats.
    pub sum: f64,
    /// Number of tokens summed.
    pub tokens: u32,
}

/// What the first token says of several options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptionLogprobs {
    /// The log-probability of each option's first token, in nats; none where it is not among those that the endpoint lists.
    pub options: Vec<Option<f64>>,
    /// The probability that fell on tokens of no option, or on tokens not listed.
    pub missing: f64,
}

/// One reply, free of any provider's dialect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// What the model wrote, without the stop sequence and without its thinking; empty for a log-probability.
    pub text: String,
    /// Why it stopped.
    pub finish: FinishReason,
    /// What it thought before, where the endpoint shows it. No answer is ever looked for here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// The function calls that it asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// What the endpoint wants to see again when the chat goes on, in its own form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Value>,
    /// The log-probability that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Logprobs>,
    /// The log-probabilities of options that were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<OptionLogprobs>,
    /// Tokens, when the endpoint says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The model that the endpoint says it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

impl Response {
    /// A reply of nothing but text.
    #[must_use]
    pub fn new(text: impl Into<String>, finish: FinishReason) -> Self {
        Self {
            text: text.into(),
            finish,
            thinking: None,
            calls: Vec::new(),
            replay: None,
            logprobs: None,
            options: None,
            usage: None,
            model: None,
        }
    }
}

impl Request {
    /// How the reply begins, where the request says.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        match &self.input {
            Input::Chat(chat) => chat.prefix.as_deref(),
            Input::Text(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::json_text;

    #[test]
    fn a_request_is_written_in_the_order_of_the_alphabet_and_read_again() {
        let text = || "t\n\"".to_owned();
        let call = ToolCall { arguments: text(), id: text(), tool: text() };
        let replay = Some(json!({ "z": 1, "a": [{ "y": null, "b": 0.5 }] }));
        let messages = vec![
            Message::System { text: text() },
            Message::User { text: text() },
            Message::Assistant { text: text(), calls: Vec::new(), replay: None },
            Message::Assistant { text: text(), calls: vec![call], replay },
            Message::Tool { call: text(), tool: text(), output: text(), is_error: true },
        ];
        let tools =
            vec![ToolSpec { about: text(), name: text(), parameters: json!({ "type": "object", "properties": {} }) }];
        for input in
            [Input::Text(text()), Input::Chat(Chat::default()), Input::Chat(Chat { messages, prefix: Some(text()), tools })]
        {
            for wanted in [
                Wanted::Reply { max_tokens: 8, stop: vec![text()] },
                Wanted::Logprob { continuation: text() },
                Wanted::Options { options: vec![text(), text()] },
            ] {
                let request = Request { input: input.clone(), wanted };
                let written = serde_json::to_string(&request).unwrap();
                assert_eq!(written, json_text(&json!(request)));
                assert_eq!(serde_json::from_str::<Request>(&written).unwrap(), request);
            }
        }
    }
}
