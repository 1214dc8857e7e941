//! Tools in a chat with a ladder model: functions, as OpenAI's API has them, written as the models of the ladder were trained to
//! call them in the text.
//!
//! With tools offered, each message of a user is a question (`Q:` and a line), each call of the assistant a line that begins with
//! `C:` and holds the call between two marks, each result of a tool what follows the call, and the reply begins as a call does. Two tools are known, by
//! name: `calculator` and `text`. The model writes the argument; that it calls a tool at all is its own doing.

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ApiError;

/// The tools that the ladder is trained to call, and the name of their marks.
const KNOWN: [(&str, &str); 2] = [("calculator", "calc"), ("text", "text")];

/// A function on offer.
#[derive(Debug, Clone)]
pub(super) struct Offered {
    name: String,
    mark: &'static str,
    /// The name of its one argument.
    argument: String,
}

/// A message of a chat, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    #[serde(default)]
    pub(super) role: String,
    #[serde(default)]
    pub(super) content: Value,
    #[serde(default)]
    pub(super) tool_calls: Vec<Value>,
}

/// The functions that a request offers; none when it forbids their use.
pub(super) fn offered(tools: Option<&Vec<Value>>, choice: Option<&Value>) -> Result<Vec<Offered>, ApiError> {
    let tools = tools.map(Vec::as_slice).unwrap_or_default();
    match choice {
        None | Some(Value::Null) => (),
        Some(Value::String(word)) if word == "none" => return Ok(Vec::new()),
        Some(Value::String(word)) if word == "auto" => (),
        Some(other) => {
            let words = format!("the models decide by themselves: `tool_choice` must be \"none\" or \"auto\", not {other}");
            return Err(ApiError::invalid("tool_choice", words));
        }
    }
    let mut offered = Vec::new();
    for tool in tools {
        let function = tool.get("function");
        let name = function.and_then(|function| function.get("name")?.as_str()).unwrap_or_default();
        let Some((_, mark)) = KNOWN.iter().find(|(known, _)| *known == name) else {
            let words = format!("the ladder is trained to call `calculator` and `text`, not `{name}`");
            return Err(ApiError::invalid("tools", words));
        };
        let properties = function.and_then(|function| function.get("parameters")?.get("properties")?.as_object());
        let mut arguments = properties.into_iter().flat_map(|properties| properties.keys());
        let (Some(argument), None) = (arguments.next(), arguments.next()) else {
            return Err(ApiError::invalid("tools", format!("`{name}` must have one argument")));
        };
        offered.push(Offered { name: name.to_owned(), mark, argument: argument.clone() });
    }
    Ok(offered)
}

/// The prompt of a chat with tools; `content` is how the content of a message is read.
pub(super) fn prompt(
    messages: &[Message],
    offered: &[Offered],
    content: impl Fn(&Message) -> Result<String, ApiError>,
) -> Result<String, ApiError> {
    let mut prompt = String::new();
    let mut is_called = false;
    for message in messages {
        match message.role.as_str() {
            // Nothing the models know how to obey.
            "system" | "developer" => {}
            "assistant" => {
                if !message.content.is_null() {
                    let text = content(message)?;
                    let is_written = ["A:", "C:", "T:"].iter().any(|begin| text.starts_with(begin));
                    prompt.push_str(&format!("{}{text}\n", if is_written { "" } else { "A:" }));
                    is_called = false;
                }
                for call in &message.tool_calls {
                    let call = call.get("function");
                    let name = call.and_then(|call| call.get("name")?.as_str()).unwrap_or_default();
                    let arguments = call.and_then(|call| call.get("arguments")?.as_str()).unwrap_or_default();
                    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
                    let tool = offered.iter().find(|tool| tool.name == name);
                    let input = tool.and_then(|tool| arguments.get(&tool.argument)?.as_str());
                    let (Some(tool), Some(input)) = (tool, input) else {
                        return Err(ApiError::invalid("messages", format!("a call of `{name}` that was not offered so")));
                    };
                    prompt.push_str(&format!("C:<{0}>{input}</{0}>", tool.mark));
                    is_called = true;
                }
            }
            "tool" => {
                prompt.push_str(&content(message)?);
                prompt.push('\n');
            }
            _ => {
                let text = content(message)?;
                is_called = false;
                prompt.push_str(&format!("{}{text}\n", if text.starts_with("Q:") { "" } else { "Q:" }));
            }
        }
    }
    // After the result of a call the answer comes.
    prompt.push_str(if is_called { "A:" } else { "C:" });
    Ok(prompt)
}

/// What ends a reply: a call, or the next question.
pub(super) fn stops(offered: &[Offered]) -> Vec<Vec<u8>> {
    offered.iter().map(closing).chain([b"\n".to_vec()]).collect()
}

/// The mark that ends a call of a tool.
fn closing(tool: &Offered) -> Vec<u8> {
    format!("</{}>", tool.mark).into_bytes()
}

/// The call that a reply is, with the number of its request; none when it is none, or was ended by anything but the closing mark.
pub(super) fn read(reply: &str, stop: Option<&[u8]>, offered: &[Offered], number: u64) -> Option<Value> {
    offered.iter().find_map(|tool| {
        if stop != Some(closing(tool).as_slice()) {
            return None;
        }
        let input = reply.trim_start().strip_prefix(&format!("<{}>", tool.mark))?;
        let arguments = json!({ &tool.argument: input }).to_string();
        Some(json!({
            "id": format!("call_{number}"), "type": "function", "function": { "name": tool.name, "arguments": arguments },
        }))
    })
}
