//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Json, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ApiError;
use super::request::parse;
use super::state::Service;
use super::stream::{collect, finish, respond, submit, text, usage};
use super::tool_calls::{self, Message, Offered, offered};
use crate::ladder::{Event, Finished, Job, TokenScore};

/// Most alternatives for each token.
const MOST_TOP: u8 = 20;

#[derive(Debug, Deserialize)]
struct Body {
    messages: Vec<Message>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    logprobs: Option<bool>,
    top_logprobs: Option<u8>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
}

/// The parameters of a chat.
const OWN: [&str; 7] =
    ["messages", "max_tokens", "max_completion_tokens", "logprobs", "top_logprobs", "tools", "tool_choice"];

pub(super) async fn handle(
    State(service): State<Arc<Service>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(HeaderMap, Response), ApiError> {
    service.count();
    let (common, body): (_, Body) = parse(&body?, &OWN)?;
    let served = service.model(&common.model)?;
    let listed = body.logprobs.unwrap_or(false);
    let top = body.top_logprobs.unwrap_or(0);
    if top > MOST_TOP {
        return Err(ApiError::invalid(
            "top_logprobs",
            format!("`top_logprobs` must be between 0 and {MOST_TOP}, not {top}"),
        ));
    }
    if top > 0 && !listed {
        return Err(ApiError::invalid("top_logprobs", "`top_logprobs` needs `logprobs` to be true"));
    }
    // Without a limit a reply may fill the context, as in OpenAI's API.
    let max_tokens = body.max_completion_tokens.or(body.max_tokens).unwrap_or(served.card.shape.context);
    if max_tokens == 0 {
        return Err(ApiError::invalid("max_tokens", "a chat completion has at least one token"));
    }
    if body.messages.is_empty() {
        return Err(ApiError::invalid("messages", "`messages` is empty"));
    }
    let offered = offered(body.tools.as_ref(), body.tool_choice.as_ref())?;
    let mut generate = common.generate(max_tokens, top)?;
    let prompt = if offered.is_empty() {
        prompt(&body.messages)?
    } else {
        generate.stop.extend(tool_calls::stops(&offered));
        tool_calls::prompt(&body.messages, &offered, content)?
    };
    let job = Job { prompt: prompt.into_bytes(), generate: Some(generate), score_from: None, stream: common.is_stream() };
    let admitted = service.admit(&job, common.choices()?)?;
    let receivers = submit(served, &job, common.choices()?)?;
    let mut answer = json!({
        "id": format!("chatcmpl-{}", service.number()),
        "object": if common.is_stream() { "chat.completion.chunk" } else { "chat.completion" },
        "created": jiff::Timestamp::now().as_second(),
        "model": common.model,
    });
    if common.is_stream() {
        let include_usage = common.stream_options.unwrap_or_default().include_usage;
        let mut begun = vec![false; receivers.len()];
        let service = Arc::clone(&service);
        let render = move |index: usize, event: &Event| {
            let is_first = begun.get_mut(index).is_some_and(|begun| !std::mem::replace(begun, true));
            let role = if is_first { json!({ "role": "assistant" }) } else { json!({}) };
            let (delta, logprobs, reason) = match event {
                // Whether it is a call is known at the end.
                Event::Text { .. } if !offered.is_empty() => (role, Value::Null, None),
                Event::Finished(finished) if !offered.is_empty() => {
                    let (mut message, reason) = message(finished, &offered, &service);
                    let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
                    for (index, call) in calls.into_iter().flatten().enumerate() {
                        if let Some(call) = call.as_object_mut() {
                            call.insert("index".to_owned(), json!(index));
                        }
                    }
                    let logprobs = if listed { list(&finished.text, &finished.scores) } else { Value::Null };
                    (message, logprobs, Some(reason))
                }
                Event::Text { text: bytes, scores } => {
                    let mut delta = role;
                    if let Some(delta) = delta.as_object_mut() {
                        delta.insert("content".to_owned(), json!(text(bytes)));
                    }
                    (delta, if listed { list(bytes, scores) } else { Value::Null }, None)
                }
                Event::Finished(finished) => (role, Value::Null, Some(finish(finished.finish))),
            };
            json!({ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason })
        };
        return Ok((admitted, respond(receivers, answer, include_usage, render)));
    }
    let finished = collect(receivers).await?;
    let choices: Vec<Value> = finished
        .iter()
        .enumerate()
        .map(|(index, done)| {
            let (message, reason) = message(done, &offered, &service);
            let logprobs = if listed { list(&done.text, &done.scores) } else { Value::Null };
            json!({ "index": index, "message": message, "logprobs": logprobs, "finish_reason": reason })
        })
        .collect();
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("choices".to_owned(), Value::Array(choices));
        answer.insert("usage".to_owned(), usage(&finished));
    }
    Ok((admitted, Json(answer).into_response()))
}

/// A reply as a message, and why it ended: a call where it is one.
fn message(done: &Finished, offered: &[Offered], service: &Service) -> (Value, &'static str) {
    let reply = text(&done.text);
    match tool_calls::read(&reply, done.stop.as_deref(), offered, service.number()) {
        Some(call) => (json!({ "role": "assistant", "content": null, "tool_calls": [call] }), "tool_calls"),
        None => (json!({ "role": "assistant", "content": reply }), finish(done.finish)),
    }
}

/// The contents of the messages, joined by newlines.
fn prompt(messages: &[Message]) -> Result<String, ApiError> {
    Ok(messages.iter().map(content).collect::<Result<Vec<_>, _>>()?.join("\n"))
}

/// The text of a message.
fn content(message: &Message) -> Result<String, ApiError> {
    let invalid = || ApiError::invalid("messages", "the `content` of a message must be a string or a list of text parts");
    let part = |part: &Value| {
        let is_text = part.get("type").and_then(Value::as_str) == Some("text");
        part.get("text").and_then(Value::as_str).filter(|_| is_text).map(str::to_owned).ok_or_else(invalid)
    };
    match &message.content {
        Value::String(content) => Ok(content.clone()),
        Value::Array(parts) => parts.iter().map(part).collect::<Result<String, _>>(),
        _ => Err(invalid()),
    }
}

fn list(bytes: &[u8], scores: &[TokenScore]) -> Value {
    let entry = |token: u8, logprob: f32| json!({ "token": text(&[token]), "logprob": logprob, "bytes": [token] });
    let content = bytes.iter().zip(scores).map(|(&token, score)| {
        let mut listed = entry(token, score.logprob);
        if let Some(listed) = listed.as_object_mut() {
            let top = score.top.iter().map(|&(token, logprob)| entry(token, logprob)).collect();
            listed.insert("top_logprobs".to_owned(), Value::Array(top));
        }
        listed
    });
    json!({ "content": content.collect::<Vec<_>>() })
}
