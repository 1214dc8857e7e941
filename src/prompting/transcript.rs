//! What a model is given, as a text or as a chat, and how it grows.

use crate::schema::{Case, Chat, Input, Message, Prompt, Request, Step, ToolCall, ToolSpec, Wanted};

/// Asks a model to go on from here, within the limits of a case.
pub(super) fn ask(case: &Case<'_>, input: Input, more_stops: &[&str]) -> Step {
    let stops = match (&input, &case.prompt.turns) {
        (Input::Text(_), _) => &case.prompt.stop,
        (Input::Chat(_), Some(turns)) => &turns.stop,
        // What ends a text may stand anywhere in a reply that is free in its form; a chat ends its turn by itself.
        (Input::Chat(_), None) => &Vec::new(),
    };
    let stop = stops.iter().cloned().chain(more_stops.iter().map(|&stop| stop.to_owned())).collect();
    match put(case, input) {
        Ok(input) => Step::Ask(Request { input, wanted: Wanted::Reply { max_tokens: case.max_tokens, stop } }),
        Err(reason) => Step::Fail(reason),
    }
}

/// The input in the form that the endpoint takes.
pub(super) fn put(case: &Case<'_>, input: Input) -> Result<Input, String> {
    match (case.template, input) {
        (Some(template), Input::Chat(chat)) => {
            template.render(&chat.messages, &chat.tools, chat.prefix.as_deref()).map(Input::Text)
        }
        (_, input) => Ok(input),
    }
}

/// The input after the model has written something more, which its reply now begins with.
pub(super) fn extended(input: &Input, written: &str) -> Input {
    match input {
        Input::Text(text) => Input::Text(format!("{text}{written}")),
        Input::Chat(chat) => {
            let prefix = format!("{}{written}", chat.prefix.as_deref().unwrap_or_default());
            Input::Chat(Chat { prefix: Some(prefix).filter(|prefix| !prefix.is_empty()), ..chat.clone() })
        }
    }
}

/// A message of the model's with nothing but text.
pub(super) fn said(text: impl Into<String>) -> Message {
    Message::Assistant { text: text.into(), calls: Vec::new(), replay: None }
}

/// The reply of an example as the messages it would have been: a call that stands between two marks, and its result up to the
/// end of the line, become messages of their own.
#[must_use]
pub fn example(prompt: &Prompt, reply: &str, function: Option<&ToolSpec>, number: usize) -> Vec<Message> {
    let parts = prompt.call.as_ref().and_then(|(open, close)| {
        let (before, rest) = reply.split_once(open.as_str())?;
        let (input, rest) = rest.split_once(close.as_str())?;
        let (output, after) = rest.split_once('\n').unwrap_or((rest, ""));
        Some((before, format!("{before}{open}{input}{close}"), input, output, after))
    });
    let Some((before, spoken, input, output, after)) = parts else { return vec![said(reply)] };
    let (call, result) = match function {
        Some(function) => {
            let id = format!("example-{number}");
            let arguments = serde_json::json!({ argument_name(function): input }).to_string();
            let call = ToolCall { id: id.clone(), tool: function.name.clone(), arguments };
            let result = Message::Tool { call: id, tool: function.name.clone(), output: output.to_owned(), is_error: false };
            (Message::Assistant { text: before.trim_end().to_owned(), calls: vec![call], replay: None }, result)
        }
        None => (said(spoken), Message::User { text: output.to_owned() }),
    };
    vec![call, result, said(after.trim_start_matches('\n'))]
}

/// The name of a function's one argument.
pub(super) fn argument_name(function: &ToolSpec) -> &str {
    function.parameters.pointer("/required/0").and_then(serde_json::Value::as_str).unwrap_or_default()
}
