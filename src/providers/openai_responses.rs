//! OpenAI's Responses API: `POST /responses`.
//!
//! # What it measures
//! The same models as chat completions, with their reasoning kept between the rounds of a conversation with tools.
//!
//! # When it misleads
//! The API has no seed and no stops: what stands behind a stop of the prompt file is cut off here, and was paid for. First-token
//! log-probabilities need the smallest reply that it allows, sixteen tokens.
//!
//! # Reference
//! OpenAI API reference, Responses.

use serde_json::{Value, json};

use super::event_stream::documents;
use super::openai::options;
use super::{Body, status, tidy};
use crate::schema::{
    Allowance, Call, Class, FinishReason, HttpRequest, HttpResponse, Input, Message, Provider, Response, Scoring, ToolCall,
    Usage, Wanted,
};

/// The smallest limit that the API takes.
const LEAST_TOKENS: u32 = 16;

pub(super) struct OpenAiResponses;

impl Provider for OpenAiResponses {
    fn name(&self) -> &'static str {
        "openai-responses"
    }

    fn source(&self) -> &'static str {
        include_str!("openai_responses.rs")
    }

    fn is_chat(&self) -> bool {
        true
    }

    fn has_functions(&self, _dialect: &str) -> bool {
        true
    }

    fn scoring(&self, _dialect: &str) -> &'static [Scoring] {
        &[Scoring::FirstToken, Scoring::Generation]
    }

    fn encode(&self, call: &Call<'_>) -> Result<HttpRequest, String> {
        let Input::Chat(chat) = &call.request.input else {
            return Err("the Responses API takes messages".to_owned());
        };
        let sampling = &call.endpoint.sampling;
        if sampling.thinking_budget.is_some() {
            return Err("the Responses API has no thinking budget; `reasoning_effort` or `extra_body` may do it".to_owned());
        }
        let mut body = Body::new(json!({
            "model": call.model, "input": input(&chat.messages), "temperature": sampling.temperature,
            "top_p": sampling.top_p, "store": false,
        }));
        let effort = sampling.reasoning_effort.as_ref();
        body.set("reasoning", effort.map_or(Value::Null, |effort| json!({ "effort": effort })));
        match &call.request.wanted {
            Wanted::Reply { max_tokens, .. } => body.set("max_output_tokens", (*max_tokens).max(LEAST_TOKENS)),
            Wanted::Options { .. } => {
                body.set("max_output_tokens", LEAST_TOKENS);
                body.set("include", json!(["message.output_text.logprobs"]));
                body.set("top_logprobs", 20);
            }
            Wanted::Logprob { .. } => {
                return Err("the Responses API gives no log-probability of a given text".to_owned());
            }
        }
        if !chat.tools.is_empty() {
            let tool = |tool: &crate::schema::ToolSpec| json!({ "type": "function", "name": tool.name, "description": tool.about, "parameters": tool.parameters });
            body.set("tools", chat.tools.iter().map(tool).collect::<Vec<_>>());
            // Nothing is stored there, so that reasoning has to travel to go on in the next round.
            body.set("include", json!(["reasoning.encrypted_content"]));
        }
        Ok(body.post(call, "/responses"))
    }

    fn decode(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Response, String> {
        let body = whole(documents(response)?)?;
        if let Some(error) = body.get("error").filter(|error| !error.is_null()) {
            return Err(format!("the endpoint says: {error}"));
        }
        let output = body.get("output").and_then(Value::as_array).ok_or("the reply has no `output`")?;
        let reason = body.pointer("/incomplete_details/reason").and_then(Value::as_str);
        let finish = match (body.get("status").and_then(Value::as_str), reason) {
            (Some("completed"), _) => FinishReason::Stop,
            (Some("incomplete"), Some("max_output_tokens")) => FinishReason::Length,
            (Some("incomplete"), Some("content_filter")) => FinishReason::Refusal,
            (status, reason) => return Err(format!("unknown status {status:?}, reason {reason:?}")),
        };
        let mut reply = Response::new("", finish);
        let (mut thinking, mut replay, mut tokens) = (String::new(), Vec::new(), Vec::new());
        let mut has_message = false;
        for item in output {
            let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let parts = |name: &str| item.get(name).and_then(Value::as_array).into_iter().flatten();
            match text(item, "type").as_str() {
                "message" => {
                    has_message = true;
                    for part in parts("content") {
                        if text(part, "type") == "refusal" {
                            reply.finish = FinishReason::Refusal;
                        }
                        reply.text.push_str(&text(part, "text"));
                        tokens.extend(part.pointer("/logprobs/0/top_logprobs").and_then(Value::as_array).cloned());
                    }
                }
                "reasoning" => {
                    parts("summary").chain(parts("content")).for_each(|part| thinking.push_str(&text(part, "text")));
                    replay.push(item.clone());
                }
                "function_call" => reply.calls.push(ToolCall {
                    id: text(item, "call_id"),
                    tool: text(item, "name"),
                    arguments: text(item, "arguments"),
                }),
                _ => {}
            }
        }
        if finish == FinishReason::Stop && !has_message && reply.calls.is_empty() {
            return Err("the reply has neither a message nor a call".to_owned());
        }
        reply.thinking = (!thinking.is_empty()).then_some(thinking);
        reply.replay = (!replay.is_empty()).then_some(Value::Array(replay));
        reply.model = body.get("model").and_then(Value::as_str).map(str::to_owned);
        let count = |path: &str| body.pointer(&format!("/usage/{path}")).and_then(Value::as_u64);
        reply.usage = count("input_tokens").map(|prompt_tokens| Usage {
            prompt_tokens,
            completion_tokens: count("output_tokens").unwrap_or_default(),
            cached_tokens: count("input_tokens_details/cached_tokens").unwrap_or_default(),
            thinking_tokens: count("output_tokens_details/reasoning_tokens").unwrap_or_default(),
        });
        if let Wanted::Options { options: wanted } = &call.request.wanted {
            let token = |entry: &Value| Some((entry.get("token")?.as_str()?.to_owned(), entry.get("logprob")?.as_f64()?));
            let tokens: Vec<(String, f64)> = tokens.iter().flatten().filter_map(token).collect();
            if tokens.is_empty() {
                return Err("the endpoint did not honour `top_logprobs`".to_owned());
            }
            reply.options = Some(options(&tokens, wanted));
            reply.text.clear();
            return Ok(reply);
        }
        Ok(tidy(call, reply))
    }

    fn classify(&self, response: &HttpResponse) -> Class {
        status::classify(response)
    }

    fn allowance(&self, response: &HttpResponse) -> Allowance {
        status::allowance(response)
    }
}

/// The items of a conversation: calls and reasoning are items of their own.
fn input(messages: &[Message]) -> Vec<Value> {
    let mut items = Vec::new();
    for message in messages {
        match message {
            Message::System { text } => items.push(json!({ "role": "system", "content": text })),
            Message::User { text } => items.push(json!({ "role": "user", "content": text })),
            Message::Assistant { text, calls, replay } => {
                items.extend(replay.iter().filter_map(Value::as_array).flatten().cloned());
                items.extend((!text.is_empty()).then(|| json!({ "role": "assistant", "content": text })));
                items.extend(calls.iter().map(|call| {
                    json!({ "type": "function_call", "call_id": call.id, "name": call.tool, "arguments": call.arguments })
                }));
            }
            Message::Tool { call, output, .. } => {
                items.push(json!({ "type": "function_call_output", "call_id": call, "output": output }));
            }
        }
    }
    items
}

/// The response itself, or the one that the last event of a stream carries.
fn whole(mut documents: Vec<Value>) -> Result<Value, String> {
    let last = documents.pop().ok_or("the reply is empty")?;
    match last.get("type").and_then(Value::as_str) {
        Some("response.completed" | "response.incomplete" | "response.failed") => {
            last.get("response").cloned().ok_or_else(|| "the last event has no `response`".to_owned())
        }
        Some("error") => Err(format!("the stream says: {last}")),
        Some(_) => Err("the stream broke off before the end of the reply".to_owned()),
        None => Ok(last),
    }
}
