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

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use crate::schema::{Call, HttpRequest, Provider, Response, Wanted};

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

/// The fields of a request's body, each as a JSON text.
#[derive(Default)]
struct Body(Vec<(Cow<'static, str>, Vec<u8>)>);

impl Body {
    /// The fields of an object.
    fn new(value: Value) -> Self {
        let Value::Object(fields) = value else { return Self(Vec::new()) };
        Self(fields.into_iter().map(|(name, value)| (name.into(), text(&value))).collect())
    }

    /// Sets a field; one that is null is left out of the body.
    fn set(&mut self, name: &'static str, value: impl Serialize) {
        self.put(name.into(), text(&value));
    }

    fn put(&mut self, name: Cow<'static, str>, text: Vec<u8>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = text,
            None => self.0.push((name, text)),
        }
    }

    /// Sets a field to an object of its own.
    fn nest(&mut self, name: &'static str, inner: Self, omit: &[String]) {
        self.put(name.into(), inner.without(omit).object());
    }

    /// Without the fields that are null or omitted.
    fn without(mut self, omit: &[String]) -> Self {
        self.0.retain(|(name, text)| text != b"null" && !omit.iter().any(|omitted| omitted == name));
        self
    }

    /// The object, its fields in the order of the alphabet.
    fn object(mut self) -> Vec<u8> {
        self.0.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        // Of each field its name, a colon, a comma and two quotes.
        let length: usize = self.0.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut object = Vec::with_capacity(length + 2);
        for (name, value) in &self.0 {
            object.push(if object.is_empty() { b'{' } else { b',' });
            object.extend(text(name));
            object.push(b':');
            object.extend(value);
        }
        object.extend(if self.0.is_empty() { "{}" } else { "}" }.as_bytes());
        object
    }

    /// The request, in which the endpoint's own fields stand over the usual ones.
    fn post(self, call: &Call<'_>, path: impl Into<String>) -> HttpRequest {
        let sampling = &call.endpoint.sampling;
        let mut body = self.without(&sampling.omit);
        for (name, over) in &sampling.extra_body {
            let known = body.0.iter().find(|(known, _)| known == name);
            let mut value = known.and_then(|(_, text)| serde_json::from_slice(text).ok()).unwrap_or_default();
            merge(&mut value, over);
            body.put(name.clone().into(), text(&value));
        }
        HttpRequest { method: "POST", path: path.into(), headers: Vec::new(), body: body.object() }
    }
}

/// A value as a JSON text. Whatever a provider sends has names that are texts, so that it can be written.
fn text(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Puts a value over another, tables into tables.
fn merge(value: &mut Value, over: &Value) {
    match (value, over) {
        (Value::Object(fields), Value::Object(over)) => {
            for (name, over) in over {
                merge(fields.entry(name.clone()).or_insert(Value::Null), over);
            }
        }
        (value, over) => *value = over.clone(),
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
    use serde_json::json;

    use super::*;
    use crate::schema::{Endpoint, Input, Request};

    #[test]
    fn the_fields_of_an_endpoint_stand_over_those_of_a_body_also_inside_them() {
        let request = Request { input: Input::Text("x".to_owned()), wanted: Wanted::Options { options: Vec::new() } };
        let extra = json!({ "inner": { "b": 3, "deep": { "y": 4 } }, "a\"": [1], "plain": { "z": 5 } });
        let sampling = json!({ "temperature": null, "seed": 0, "extra_body": extra, "omit": ["left-out"] });
        let endpoint: Endpoint = serde_json::from_value(json!({
            "name": "", "provider": "", "dialect": "", "scoring": "generation", "has_functions": false, "sampling": sampling,
        }))
        .unwrap();
        let call = Call { endpoint: &endpoint, model: "m", request: &request, seed: 0 };
        let mut body = Body::new(json!({ "none": null, "left-out": 1, "plain": "text", "empty": {} }));
        let inner = Body::new(json!({ "a": 1.0, "b": 2, "none": null, "left-out": 1, "deep": { "x": null } }));
        body.nest("inner", inner, &["left-out".to_owned()]);
        body.set("empty", json!({}));
        let sent = String::from_utf8(body.post(&call, "/p").body).unwrap();
        let expected = r#"{"a\"":[1],"empty":{},"inner":{"a":1.0,"b":3,"deep":{"x":null,"y":4}},"plain":{"z":5}}"#;
        assert_eq!(sent, expected);
        assert_eq!(Body::default().object(), b"{}");
    }

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
