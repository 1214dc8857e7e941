//! Families of HTTP APIs: pure translation, no input or output.

mod anthropic;
mod event_stream;
mod gemini;
mod llama_cpp;
mod ollama;
mod openai;
mod openai_chat;
mod openai_completions;
mod openai_responses;
mod status;

use serde_json::{Map, Value};

use crate::schema::{Call, HttpRequest, Provider, Response, Wanted, json_text};

/// Every provider.
pub static PROVIDERS: &[&dyn Provider] = &[
    &openai_completions::OpenAiCompletions,
    &openai_chat::OpenAiChat,
    &openai_responses::OpenAiResponses,
    &anthropic::Anthropic,
    &gemini::Gemini,
    &ollama::Ollama,
    &llama_cpp::LlamaCpp,
];

/// The provider of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Provider> {
    PROVIDERS.iter().find(|provider| provider.name() == name).copied()
}

/// The fields of a request's body.
struct Body(Map<String, Value>);

impl Body {
    /// The fields of an object.
    fn new(value: Value) -> Self {
        match value {
            Value::Object(fields) => Self(fields),
            _ => Self(Map::new()),
        }
    }

    /// Sets a field; one that is null is left out of the body.
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// The request, in which the endpoint's own fields stand over the usual ones.
    fn post(mut self, call: &Call<'_>, path: impl Into<String>) -> HttpRequest {
        let sampling = &call.endpoint.sampling;
        self.0.retain(|name, value| !value.is_null() && !sampling.omit.contains(name));
        merge(&mut self.0, &sampling.extra_body);
        let body = json_text(&Value::Object(self.0)).into_bytes();
        HttpRequest { method: "POST", path: path.into(), headers: Vec::new(), body }
    }
}

/// Puts fields over others, tables into tables.
fn merge(fields: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (name, value) in over {
        match (fields.get_mut(name), value) {
            (Some(Value::Object(inner)), Value::Object(value)) => merge(inner, value),
            _ => drop(fields.insert(name.clone(), value.clone())),
        }
    }
}

/// A reply with what its text says of thinking and of stops: some servers leave both in it.
fn tidy(call: &Call<'_>, mut response: Response) -> Response {
    if let Some((thinking, text)) = split_thinking(&response.text) {
        let before = response.thinking.take().unwrap_or_default();
        response.thinking = Some(format!("{before}{thinking}")).filter(|thinking| !thinking.is_empty());
        response.text = text;
    }
    if let Wanted::Reply { stop, .. } = &call.request.wanted {
        let first = stop.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| response.text.find(stop.as_str())).min();
        if let Some(first) = first {
            response.text.truncate(first);
            // What stands before a stop is whole, wherever the server went on to.
            response.finish = match response.finish {
                crate::schema::FinishReason::Length => crate::schema::FinishReason::Stop,
                other => other,
            };
        }
    }
    response
}

/// Thinking between `<think>` and `</think>` at the start of a reply, and the reply. The opening mark may have been in the
/// prompt; thinking without an end has no reply behind it.
fn split_thinking(text: &str) -> Option<(String, String)> {
    const MARKS: [(&str, &str); 2] = [("<think>", "</think>"), ("<thinking>", "</thinking>")];
    MARKS.iter().find_map(|(open, close)| {
        let inside = text.trim_start().strip_prefix(open);
        match (inside.unwrap_or(text).split_once(close), inside) {
            (Some((thinking, rest)), _) if inside.is_some() || !thinking.contains(open) => {
                Some((thinking.trim().to_owned(), rest.trim_start().to_owned()))
            }
            (None, Some(thinking)) => Some((thinking.trim().to_owned(), String::new())),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_is_told_from_the_reply() {
        let split = |text| split_thinking(text).map(|(thinking, text)| format!("{thinking}|{text}"));
        assert_eq!(split("<think>\n1+2\n</think>\n\n3").as_deref(), Some("1+2|3"));
        assert_eq!(split("so 1+2\n</think>\n3").as_deref(), Some("so 1+2|3"));
        assert_eq!(split("<think>still at it").as_deref(), Some("still at it|"));
        assert_eq!(split("3"), None);
        assert_eq!(split("3, not <think>x</think>"), None);
    }
}
