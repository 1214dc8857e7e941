//! Google's Gemini API: `POST /models/MODEL:generateContent`.
//!
//! # What it measures
//! Gemini models, with tools as functions and with thinking: `thinking_budget` for models that take a number of tokens,
//! `reasoning_effort` (their thinking level) for newer ones. The base address is
//! `https://generativelanguage.googleapis.com/v1beta`.
//!
//! # When it misleads
//! Few models give log-probabilities (`logprobs = "first-token"`). The API takes five stops; more are applied here. A reply that
//! it blocks counts as refused; a function call that it calls malformed counts as a reply without an answer.
//!
//! # Reference
//! Gemini API reference, models.generateContent.

use serde_json::{Value, json};

use super::event_stream::documents;
use super::openai::options;
use super::{Body, status, tidy};
use crate::schema::{
    Allowance, Call, Chat, Class, FinishReason, HttpRequest, HttpResponse, Input, Message, Provider, Response, Scoring,
    ToolCall, Usage, Wanted,
};

/// Most stops that the API takes.
const MOST_STOPS: usize = 5;

pub(super) struct Gemini;

impl Provider for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn source(&self) -> &'static str {
        include_str!("gemini.rs")
    }

    fn authorization(&self, _dialect: &str) -> (&'static str, &'static str) {
        ("x-goog-api-key", "")
    }

    fn is_chat(&self) -> bool {
        true
    }

    fn has_functions(&self, _dialect: &str) -> bool {
        true
    }

    fn scoring(&self, _dialect: &str) -> &'static [Scoring] {
        &[Scoring::Generation, Scoring::FirstToken]
    }

    fn encode(&self, call: &Call<'_>) -> Result<HttpRequest, String> {
        let Input::Chat(chat) = &call.request.input else {
            return Err("the Gemini API takes messages".to_owned());
        };
        let sampling = &call.endpoint.sampling;
        let mut config = Body::new(json!({
            "temperature": sampling.temperature, "topP": sampling.top_p,
            // The API's seeds are of 32 bits.
            "seed": call.seed % (1 << 31),
        }));
        if sampling.thinking_budget.is_some() || sampling.reasoning_effort.is_some() {
            let thinking = Body::new(json!({
                "thinkingBudget": sampling.thinking_budget, "thinkingLevel": sampling.reasoning_effort, "includeThoughts": true,
            }));
            config.nest("thinkingConfig", thinking, &[]);
        }
        match &call.request.wanted {
            Wanted::Reply { max_tokens, stop } => {
                config.set("maxOutputTokens", *max_tokens);
                let stops: Vec<&String> = stop.iter().take(MOST_STOPS).collect();
                config.set("stopSequences", if stops.is_empty() { Value::Null } else { json!(stops) });
            }
            Wanted::Options { .. } => {
                config.set("maxOutputTokens", 1);
                config.set("responseLogprobs", true);
                config.set("logprobs", 20);
            }
            Wanted::Logprob { .. } => {
                return Err("the Gemini API gives no log-probability of a given text".to_owned());
            }
        }
        let mut body = Body::new(json!({ "contents": contents(chat) }));
        body.nest("generationConfig", config, &sampling.omit);
        let system: Vec<Value> = chat
            .messages
            .iter()
            .filter_map(|message| if let Message::System { text } = message { Some(json!({ "text": text })) } else { None })
            .collect();
        body.set("systemInstruction", if system.is_empty() { Value::Null } else { json!({ "parts": system }) });
        if !chat.tools.is_empty() {
            let tool = |tool: &crate::schema::ToolSpec| {
                let mut parameters = tool.parameters.clone();
                // A keyword of JSON schema that this API does not know and refuses.
                if let Some(fields) = parameters.as_object_mut() {
                    fields.remove("additionalProperties");
                }
                json!({ "name": tool.name, "description": tool.about, "parameters": parameters })
            };
            let declared: Vec<Value> = chat.tools.iter().map(tool).collect();
            body.set("tools", json!([{ "functionDeclarations": declared }]));
        }
        let model = call.model.strip_prefix("models/").unwrap_or(call.model);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
        if !model.chars().all(plain) {
            return Err(format!("no name of a Gemini model: `{model}`"));
        }
        Ok(body.post(call, format!("/models/{model}:generateContent")))
    }

    fn decode(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Response, String> {
        let mut documents: Vec<Value> = documents(response)?;
        let body =
            documents.pop().filter(|_| documents.is_empty()).ok_or("the reply is a stream, which was not asked for")?;
        if let Some(error) = body.get("error") {
            return Err(format!("the endpoint says: {error}"));
        }
        let count = |name: &str| body.pointer(&format!("/usageMetadata/{name}")).and_then(Value::as_u64);
        let usage = count("promptTokenCount").map(|prompt_tokens| {
            let thinking_tokens = count("thoughtsTokenCount").unwrap_or_default();
            Usage {
                prompt_tokens,
                completion_tokens: count("candidatesTokenCount").unwrap_or_default() + thinking_tokens,
                cached_tokens: count("cachedContentTokenCount").unwrap_or_default(),
                thinking_tokens,
            }
        });
        let model = body.get("modelVersion").and_then(Value::as_str).map(str::to_owned);
        let Some(candidate) = body.pointer("/candidates/0") else {
            return match body.pointer("/promptFeedback/blockReason") {
                Some(_) => Ok(Response { usage, model, ..Response::new("", FinishReason::Refusal) }),
                None => Err("the reply has no `candidates`".to_owned()),
            };
        };
        let finish = match candidate.get("finishReason").and_then(Value::as_str) {
            // Gateways that speak this API have names of their own for a reply that ends in a call.
            Some("STOP" | "MALFORMED_FUNCTION_CALL" | "FUNCTION_CALL" | "TOOL_CALLS") => FinishReason::Stop,
            Some("MAX_TOKENS") => FinishReason::Length,
            Some("SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE") => {
                FinishReason::Refusal
            }
            other => return Err(format!("unknown finishReason {other:?}")),
        };
        let mut reply = Response { usage, model, ..Response::new("", finish) };
        let parts = candidate.pointer("/content/parts").and_then(Value::as_array);
        let is_malformed = candidate.get("finishReason").is_some_and(|reason| reason == "MALFORMED_FUNCTION_CALL");
        if parts.is_none() && finish == FinishReason::Stop && !is_malformed {
            return Err("the candidate has no `content`".to_owned());
        }
        let mut thinking = String::new();
        for part in parts.into_iter().flatten() {
            let text = part.get("text").and_then(Value::as_str).unwrap_or_default();
            if part.get("thought").and_then(Value::as_bool) == Some(true) {
                thinking.push_str(text);
            } else {
                reply.text.push_str(text);
            }
            if let Some(function) = part.get("functionCall") {
                let field = |name: &str| function.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                let arguments = function.get("args").map_or_else(|| "{}".to_owned(), Value::to_string);
                reply.calls.push(ToolCall { id: field("id"), tool: field("name"), arguments });
            }
        }
        reply.thinking = (!thinking.is_empty()).then_some(thinking);
        if !reply.calls.is_empty() {
            // Signatures of thinking stand on the parts.
            reply.replay = candidate.get("content").cloned();
        }
        if let Wanted::Options { options: wanted } = &call.request.wanted {
            let list = candidate.pointer("/logprobsResult/topCandidates/0/candidates").and_then(Value::as_array);
            let token =
                |entry: &Value| Some((entry.get("token")?.as_str()?.to_owned(), entry.get("logProbability")?.as_f64()?));
            let tokens: Vec<(String, f64)> = list.into_iter().flatten().filter_map(token).collect();
            if tokens.is_empty() {
                return Err("the endpoint did not honour `responseLogprobs`".to_owned());
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

fn contents(chat: &Chat) -> Vec<Value> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    let mut add = |role, parts: Vec<Value>| match turns.last_mut() {
        Some((last, known)) if *last == role => known.extend(parts),
        _ => turns.push((role, parts)),
    };
    for message in &chat.messages {
        match message {
            Message::System { .. } => {}
            Message::User { text } => add("user", vec![json!({ "text": text })]),
            Message::Assistant { replay: Some(content), .. } => {
                add("model", content.get("parts").and_then(Value::as_array).cloned().unwrap_or_default());
            }
            Message::Assistant { text, calls, .. } => {
                let mut parts: Vec<Value> = (!text.is_empty()).then(|| json!({ "text": text })).into_iter().collect();
                parts.extend(calls.iter().map(|call| {
                    let args: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
                    json!({ "functionCall": { "name": call.tool, "args": args } })
                }));
                add("model", parts);
            }
            Message::Tool { call, tool, output, is_error } => {
                let name = if *is_error { "error" } else { "result" };
                let mut function = json!({ "name": tool, "response": { name: output } });
                if let Some(fields) = function.as_object_mut()
                    && !call.is_empty()
                    && !call.starts_with("example-")
                {
                    fields.insert("id".to_owned(), call.as_str().into());
                }
                add("user", vec![json!({ "functionResponse": function })]);
            }
        }
    }
    turns.into_iter().map(|(role, parts)| json!({ "role": role, "parts": parts })).collect()
}
