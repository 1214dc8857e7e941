//! Ollama's own API: `POST /api/chat`.
//!
//! # What it measures
//! Models on one's own machine, by the templates that Ollama keeps for them. The base address is `http://localhost:11434`.
//!
//! # When it misleads
//! The server reads only as much of a prompt as its context holds and says nothing of the rest: `num_ctx` is set here to what
//! the prompt and the reply need, which makes it load a model anew when it grows. Only newer servers have log-probabilities
//! (`logprobs = "first-token"`).
//!
//! # Reference
//! Ollama API reference, Generate a chat message.

use serde_json::{Value, json};

use super::event_stream::documents;
use super::openai::options;
use super::{Body, status, tidy};
use crate::schema::{
    Allowance, Call, Chat, Class, FinishReason, HttpRequest, HttpResponse, Input, Message, Provider, Response, Scoring,
    ToolCall, Usage, Wanted,
};

/// The smallest context that is asked for.
const LEAST_CONTEXT: usize = 4096;

pub(super) struct Ollama;

impl Provider for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    fn source(&self) -> &'static str {
        include_str!("ollama.rs")
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
            return Err("Ollama's chat takes messages".to_owned());
        };
        let sampling = &call.endpoint.sampling;
        if sampling.thinking_budget.is_some() {
            return Err("Ollama has no thinking budget; `reasoning_effort` says how much".to_owned());
        }
        let mut settings =
            Body::new(json!({ "temperature": sampling.temperature, "top_p": sampling.top_p, "seed": call.seed }));
        let mut body = Body::new(json!({ "model": call.model, "messages": messages(chat), "stream": false }));
        let reply_tokens = match &call.request.wanted {
            Wanted::Reply { max_tokens, stop } => {
                settings.set("stop", if stop.is_empty() { Value::Null } else { json!(stop) });
                *max_tokens
            }
            Wanted::Options { .. } => {
                body.set("logprobs", true);
                body.set("top_logprobs", 20);
                1
            }
            Wanted::Logprob { .. } => return Err("Ollama gives no log-probability of a given text".to_owned()),
        };
        settings.set("num_predict", reply_tokens);
        // Two bytes a token are few; a power of two, so that the model is not loaded anew for every prompt.
        let context = (call.request.input.length() / 2 + reply_tokens as usize).next_power_of_two();
        settings.set("num_ctx", context.max(LEAST_CONTEXT));
        body.nest("options", settings, &sampling.omit);
        body.set(
            "think",
            sampling.reasoning_effort.as_deref().map(|effort| match effort {
                "none" => Value::from(false),
                effort => effort.into(),
            }),
        );
        if !chat.tools.is_empty() {
            let tool = |tool: &crate::schema::ToolSpec| {
                let function = json!({ "name": tool.name, "description": tool.about, "parameters": tool.parameters });
                json!({ "type": "function", "function": function })
            };
            body.set("tools", chat.tools.iter().map(tool).collect::<Vec<_>>());
        }
        Ok(body.post(call, "/api/chat"))
    }

    fn decode(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Response, String> {
        let documents: Vec<Value> = documents(response)?;
        let last = documents.last().ok_or("the reply is empty")?;
        if let Some(error) = documents.iter().find_map(|document| document.get("error")) {
            return Err(format!("the endpoint says: {error}"));
        }
        if last.get("done").and_then(Value::as_bool) != Some(true) {
            return Err("the reply broke off before its end".to_owned());
        }
        let finish = match last.get("done_reason").and_then(Value::as_str) {
            Some("stop") | None => FinishReason::Stop,
            Some("length") => FinishReason::Length,
            Some(other) => return Err(format!("unknown done_reason `{other}`")),
        };
        let mut reply = Response::new("", finish);
        let mut thinking = String::new();
        for document in &documents {
            let Some(message) = document.get("message") else { return Err("the reply has no `message`".to_owned()) };
            let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
            reply.text.push_str(text("content"));
            thinking.push_str(text("thinking"));
            for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
                let tool = call.pointer("/function/name").and_then(Value::as_str).unwrap_or_default().to_owned();
                let arguments = call.pointer("/function/arguments").map_or_else(|| "{}".to_owned(), Value::to_string);
                reply.calls.push(ToolCall { id: format!("call-{}", reply.calls.len() + 1), tool, arguments });
            }
        }
        reply.thinking = (!thinking.is_empty()).then_some(thinking);
        reply.model = last.get("model").and_then(Value::as_str).map(str::to_owned);
        let count = |name: &str| last.get(name).and_then(Value::as_u64);
        reply.usage = count("eval_count").map(|completion_tokens| Usage {
            // Left out where all of the prompt was in the cache.
            prompt_tokens: count("prompt_eval_count").unwrap_or_default(),
            completion_tokens,
            ..Usage::default()
        });
        if let Wanted::Options { options: wanted } = &call.request.wanted {
            let list = last.pointer("/logprobs/0/top_logprobs").and_then(Value::as_array);
            let token = |entry: &Value| Some((entry.get("token")?.as_str()?.to_owned(), entry.get("logprob")?.as_f64()?));
            let tokens: Vec<(String, f64)> = list.into_iter().flatten().filter_map(token).collect();
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

fn messages(chat: &Chat) -> Vec<Value> {
    let message = |message: &Message| match message {
        Message::System { text } => json!({ "role": "system", "content": text }),
        Message::User { text } => json!({ "role": "user", "content": text }),
        Message::Assistant { text, calls, .. } if calls.is_empty() => json!({ "role": "assistant", "content": text }),
        Message::Assistant { text, calls, .. } => {
            let call = |call: &ToolCall| {
                let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
                json!({ "function": { "name": call.tool, "arguments": arguments } })
            };
            json!({ "role": "assistant", "content": text, "tool_calls": calls.iter().map(call).collect::<Vec<_>>() })
        }
        Message::Tool { tool, output, .. } => json!({ "role": "tool", "tool_name": tool, "content": output }),
    };
    let begun = chat.prefix.as_ref().map(|prefix| json!({ "role": "assistant", "content": prefix }));
    chat.messages.iter().map(message).chain(begun).collect()
}
