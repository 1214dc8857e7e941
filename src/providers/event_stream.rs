//! Server-sent events: a reply that came in pieces, read once it is whole.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::schema::HttpResponse;

fn kind(response: &HttpResponse) -> &str {
    response.header("content-type").unwrap_or_default()
}

/// Whether a response may be made of several documents.
pub(super) fn is_in_pieces(response: &HttpResponse) -> bool {
    ["text/event-stream", "application/x-ndjson"].iter().any(|pieces| kind(response).starts_with(pieces))
}

/// The JSON documents of a response: one, or as many as its events hold.
///
/// # Errors
/// In words, when the body is no JSON, or the stream broke off inside an event.
pub(super) fn documents<T: DeserializeOwned>(response: &HttpResponse) -> Result<Vec<T>, String> {
    let kind = kind(response);
    let parse = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|error| format!("the reply is not JSON: {error}"));
    if kind.starts_with("application/x-ndjson") {
        let lines = response.body.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        return lines.map(parse).collect();
    }
    if !kind.starts_with("text/event-stream") {
        let known = kind.is_empty() || kind.contains("json") || kind.starts_with("text/plain");
        return match parse(&response.body) {
            Ok(document) => Ok(vec![document]),
            Err(_) if !known => Err(format!("the reply is `{kind}`, not JSON")),
            Err(error) => Err(error),
        };
    }
    let body = std::str::from_utf8(&response.body).map_err(|_| "the stream is not UTF-8".to_owned())?;
    let mut documents = Vec::new();
    let body = body.replace("\r\n", "\n");
    for event in body.split("\n\n") {
        let data: Vec<&str> = event
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(|data| data.strip_prefix(' ').unwrap_or(data))
            .collect();
        let data = data.join("\n");
        if !data.is_empty() && data != "[DONE]" {
            documents.push(serde_json::from_str(&data).map_err(|error| format!("an event is not JSON: {error}"))?);
        }
    }
    if documents.is_empty() { Err("the stream holds no event".to_owned()) } else { Ok(documents) }
}

/// The choices of an OpenAI-like stream put together into the one document that would have come without streaming.
///
/// # Errors
/// In words, when the stream ended before the model did.
pub(super) fn assemble(mut documents: Vec<Value>) -> Result<Value, String> {
    let is_stream = documents.len() > 1 || documents.first().is_some_and(|one| one.pointer("/choices/0/delta").is_some());
    if !is_stream {
        return documents.pop().ok_or_else(|| "the reply is empty".to_owned());
    }
    let (mut whole, mut choice, mut message) = (Map::new(), Map::new(), Map::new());
    let (mut calls, mut tokens) = (Vec::new(), Vec::new());
    for document in documents {
        if let Some(error) = document.get("error") {
            return Err(format!("the stream says: {error}"));
        }
        for name in ["model", "usage"] {
            if let Some(value) = document.get(name).filter(|value| !value.is_null()) {
                whole.insert(name.to_owned(), value.clone());
            }
        }
        let Some(piece) = document.pointer("/choices/0") else { continue };
        for name in ["finish_reason", "text"] {
            append(&mut choice, name, piece.get(name).unwrap_or(&Value::Null));
        }
        for (name, value) in piece.get("delta").and_then(Value::as_object).into_iter().flatten() {
            match name.as_str() {
                "tool_calls" => add_calls(&mut calls, value),
                _ => append(&mut message, name, value),
            }
        }
        tokens.extend(piece.pointer("/logprobs/content").and_then(Value::as_array).into_iter().flatten().cloned());
    }
    if !choice.contains_key("finish_reason") {
        return Err("the stream broke off before the end of the reply".to_owned());
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    if !tokens.is_empty() {
        choice.insert("logprobs".to_owned(), json!({ "content": tokens }));
    }
    choice.insert("message".to_owned(), message.into());
    whole.insert("choices".to_owned(), json!([choice]));
    Ok(whole.into())
}

/// Text is joined to text; of anything else the last counts.
fn append(fields: &mut Map<String, Value>, name: &str, more: &Value) {
    match (fields.get_mut(name), more) {
        (_, Value::Null) => {}
        (Some(Value::String(text)), Value::String(more)) => text.push_str(more),
        _ => drop(fields.insert(name.to_owned(), more.clone())),
    }
}

/// Pieces of function calls, told apart by their index.
fn add_calls(calls: &mut Vec<Value>, more: &Value) {
    for piece in more.as_array().into_iter().flatten() {
        let index = piece.get("index").and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
        // An index beyond the calls there are is a defect of the endpoint, not a reason to fill memory.
        match index.and_then(|index| calls.get_mut(index)).and_then(|known| known.get_mut("function")?.as_object_mut()) {
            Some(known) => {
                for name in ["name", "arguments"] {
                    append(known, name, piece.pointer(&format!("/function/{name}")).unwrap_or(&Value::Null));
                }
            }
            None => calls.push(piece.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(body: &str) -> Result<Value, String> {
        let headers = vec![("content-type".to_owned(), "text/event-stream; charset=utf-8".to_owned())];
        assemble(documents(&HttpResponse { status: 200, headers, body: body.as_bytes().to_vec() })?)
    }

    #[test]
    fn a_stream_is_what_would_have_come_at_once() {
        let whole = stream(
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"4\"}}]}\n\n: keep-alive\n\n\
             data: {\"choices\":[{\"delta\":{\"content\":\"6\",\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\r\n\r\n\
             data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"}\"}}]},\"finish_reason\":\"stop\"}]}\n\n\
             data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3}}\n\ndata: [DONE]\n\n",
        )
        .unwrap();
        assert_eq!(whole.pointer("/choices/0/message/content").unwrap(), "46");
        assert_eq!(whole.pointer("/choices/0/message/tool_calls/0/function/arguments").unwrap(), "{}");
        assert_eq!(whole.pointer("/choices/0/finish_reason").unwrap(), "stop");
        assert_eq!(whole.pointer("/usage/prompt_tokens").unwrap(), 3);
    }

    #[test]
    fn a_stream_that_breaks_off_is_no_reply() {
        let begun = "data: {\"choices\":[{\"delta\":{\"content\":\"4\"}}]}\n\n";
        assert!(stream(begun).unwrap_err().contains("broke off"));
        assert!(stream(&format!("{begun}data: {{\"choi")).unwrap_err().contains("not JSON"));
        assert!(stream("").unwrap_err().contains("no event"));
        assert!(stream(&format!("{begun}data: {{\"error\":{{\"message\":\"boom\"}}}}\n\n")).unwrap_err().contains("boom"));
    }
}
