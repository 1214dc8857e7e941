//! Anthropic's Messages API: `POST /messages`.
//!
//! # What it measures
//! Claude models, with tools as functions and with thinking: `thinking_budget` for models that take a number of tokens,
//! `reasoning_effort` for those that adapt. The base address is `https://api.anthropic.com/v1`.
//!
//! # When it misleads
//! The API has no log-probabilities and no seed. Newer models reject `temperature` and a reply that is begun for them: leave
//! the first out by `omit = ["temperature"]`. A stop of nothing but blanks is applied here, not there.
//!
//! # Reference
//! Anthropic API reference, Messages, version 2023-06-01.

use serde_json::{Map, Value, json};

use super::event_stream::documents;
use super::{Body, status, tidy};
use crate::schema::{
    Allowance, Call, Class, FinishReason, HttpRequest, HttpResponse, Input, Message, Provider, Response, Scoring, ToolCall,
    Usage, Wanted,
};

pub(super) struct Anthropic;

impl Provider for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn source(&self) -> &'static str {
        include_str!("anthropic.rs")
    }

    fn authorization(&self, _dialect: &str) -> (&'static str, &'static str) {
        ("x-api-key", "")
    }

    fn is_chat(&self) -> bool {
        true
    }

    fn has_functions(&self, _dialect: &str) -> bool {
        true
    }

    fn scoring(&self, _dialect: &str) -> &'static [Scoring] {
        &[Scoring::Generation]
    }

    fn encode(&self, call: &Call<'_>) -> Result<HttpRequest, String> {
        let Input::Chat(chat) = &call.request.input else {
            return Err("the Messages API takes messages".to_owned());
        };
        let Wanted::Reply { max_tokens, stop } = &call.request.wanted else {
            return Err("the Messages API gives no log-probabilities".to_owned());
        };
        let sampling = &call.endpoint.sampling;
        let mut body = Body::new(json!({ "model": call.model, "max_tokens": max_tokens, "top_p": sampling.top_p }));
        let stops: Vec<&String> = stop.iter().filter(|stop| !stop.trim().is_empty()).collect();
        body.set("stop_sequences", if stops.is_empty() { Value::Null } else { json!(stops) });
        let thinks = sampling.thinking_budget.is_some() || sampling.reasoning_effort.is_some();
        if let Some(budget) = sampling.thinking_budget {
            body.set("thinking", json!({ "type": "enabled", "budget_tokens": budget }));
        } else if let Some(effort) = &sampling.reasoning_effort {
            body.set("thinking", json!({ "type": "adaptive" }));
            body.set("output_config", json!({ "effort": effort }));
        }
        // A model that thinks takes no temperature but its own.
        body.set("temperature", if thinks { None } else { sampling.temperature });
        let system: Vec<&str> = chat
            .messages
            .iter()
            .filter_map(|message| if let Message::System { text } = message { Some(text.as_str()) } else { None })
            .collect();
        body.set("system", (!system.is_empty()).then(|| system.join("\n\n")));
        let mut messages = messages(&chat.messages);
        if let Some(prefix) = chat.prefix.as_ref().filter(|_| !thinks) {
            // Blanks at the end are refused.
            messages.push(json!({ "role": "assistant", "content": [{ "type": "text", "text": prefix.trim_end() }] }));
        }
        body.set("messages", messages);
        if !chat.tools.is_empty() {
            let tool = |tool: &crate::schema::ToolSpec| json!({ "name": tool.name, "description": tool.about, "input_schema": tool.parameters });
            body.set("tools", chat.tools.iter().map(tool).collect::<Vec<_>>());
        }
        let mut request = body.post(call, "/messages");
        request.headers.push(("anthropic-version", "2023-06-01".to_owned()));
        Ok(request)
    }

    fn decode(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Response, String> {
        let body = whole(documents(response)?)?;
        if let Some(error) = body.get("error") {
            return Err(format!("the endpoint says: {error}"));
        }
        let content = body.get("content").and_then(Value::as_array).ok_or("the reply has no `content`")?;
        let finish = match body.get("stop_reason").and_then(Value::as_str) {
            Some("end_turn" | "stop_sequence" | "tool_use") => FinishReason::Stop,
            Some("max_tokens" | "model_context_window_exceeded") => FinishReason::Length,
            Some("refusal") => FinishReason::Refusal,
            other => return Err(format!("unknown stop_reason {other:?}")),
        };
        let mut reply = Response::new("", finish);
        let (mut thinking, mut replay) = (String::new(), Vec::new());
        for block in content {
            let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
            match text("type") {
                "text" => reply.text.push_str(text("text")),
                "thinking" | "redacted_thinking" => {
                    thinking.push_str(text("thinking"));
                    replay.push(block.clone());
                }
                "tool_use" => {
                    let arguments = block.get("input").map_or_else(|| "{}".to_owned(), Value::to_string);
                    reply.calls.push(ToolCall { id: text("id").to_owned(), tool: text("name").to_owned(), arguments });
                }
                _ => {}
            }
        }
        reply.thinking = (!thinking.is_empty()).then_some(thinking);
        reply.replay = (!replay.is_empty()).then_some(Value::Array(replay));
        reply.model = body.get("model").and_then(Value::as_str).map(str::to_owned);
        let count = |name: &str| body.pointer(&format!("/usage/{name}")).and_then(Value::as_u64);
        reply.usage = count("input_tokens").map(|fresh| {
            let cached = count("cache_read_input_tokens").unwrap_or_default();
            // What was read from the cache or written to it was read all the same.
            let written = count("cache_creation_input_tokens").unwrap_or_default();
            Usage {
                prompt_tokens: fresh + cached + written,
                completion_tokens: count("output_tokens").unwrap_or_default(),
                cached_tokens: cached,
                thinking_tokens: 0,
            }
        });
        Ok(tidy(call, reply))
    }

    fn classify(&self, response: &HttpResponse) -> Class {
        status::classify(response)
    }

    fn allowance(&self, response: &HttpResponse) -> Allowance {
        status::allowance(response)
    }
}

/// Messages in turn: what follows one of the same role is a part of it.
fn messages(messages: &[Message]) -> Vec<Value> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        let (role, blocks) = match message {
            Message::System { .. } => continue,
            Message::User { text } => ("user", vec![json!({ "type": "text", "text": text })]),
            Message::Assistant { text, calls, replay } => {
                // Signed thinking stands first, as it came.
                let mut blocks: Vec<Value> = replay.iter().filter_map(Value::as_array).flatten().cloned().collect();
                blocks.extend((!text.is_empty()).then(|| json!({ "type": "text", "text": text })));
                blocks.extend(calls.iter().map(|call| {
                    let input: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
                    json!({ "type": "tool_use", "id": call.id, "name": call.tool, "input": input })
                }));
                ("assistant", blocks)
            }
            Message::Tool { call, output, is_error, .. } => {
                let mut block = json!({ "type": "tool_result", "tool_use_id": call, "content": output });
                if let Some(fields) = block.as_object_mut().filter(|_| *is_error) {
                    fields.insert("is_error".to_owned(), true.into());
                }
                ("user", vec![block])
            }
        };
        match turns.last_mut() {
            Some((last, known)) if *last == role => known.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    turns.into_iter().map(|(role, content)| json!({ "role": role, "content": content })).collect()
}

/// The message that the events of a stream make up.
fn whole(mut documents: Vec<Value>) -> Result<Value, String> {
    let kind = |event: &Value| event.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if documents.len() == 1 && documents.first().is_none_or(|one| kind(one) != "message_start") {
        return documents.pop().ok_or_else(|| "the reply is empty".to_owned());
    }
    let (mut message, mut blocks, mut inputs) = (Map::new(), Vec::<Value>::new(), Vec::<String>::new());
    let mut is_whole = false;
    for event in documents {
        match kind(&event).as_str() {
            "error" => return Err(format!("the stream says: {}", event.get("error").unwrap_or(&Value::Null))),
            "message_start" => {
                message = event.get("message").and_then(Value::as_object).cloned().unwrap_or_default();
            }
            "content_block_start" => {
                blocks.push(event.get("content_block").cloned().unwrap_or_default());
                inputs.push(String::new());
            }
            "content_block_delta" => {
                let (Some(block), Some(input)) = (blocks.last_mut().and_then(Value::as_object_mut), inputs.last_mut())
                else {
                    continue;
                };
                for (name, piece) in event.get("delta").and_then(Value::as_object).into_iter().flatten() {
                    match (name.as_str(), piece.as_str()) {
                        ("type", _) | (_, None) => {}
                        ("partial_json", Some(piece)) => input.push_str(piece),
                        (_, Some(piece)) => {
                            let before = block.get(name).and_then(Value::as_str).unwrap_or_default();
                            let joined = format!("{before}{piece}");
                            block.insert(name.clone(), joined.into());
                        }
                    }
                }
            }
            "message_delta" => {
                message.extend(event.get("delta").and_then(Value::as_object).cloned().unwrap_or_default());
                let more = event.get("usage").and_then(Value::as_object).cloned().unwrap_or_default();
                if let Some(usage) = message.get_mut("usage").and_then(Value::as_object_mut) {
                    usage.extend(more);
                }
            }
            "message_stop" => is_whole = true,
            _ => {}
        }
    }
    if !is_whole {
        return Err("the stream broke off before the end of the reply".to_owned());
    }
    for (block, input) in blocks.iter_mut().zip(inputs).filter(|(_, input)| !input.is_empty()) {
        if let Some(fields) = block.as_object_mut() {
            fields.insert("input".to_owned(), serde_json::from_str(&input).unwrap_or(Value::String(input)));
        }
    }
    message.insert("content".to_owned(), blocks.into());
    Ok(message.into())
}
