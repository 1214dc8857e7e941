//! The chat completions API: `POST /chat/completions`, as OpenAI has it and most servers follow it.
//!
//! # What it measures
//! Instruction-tuned models behind any OpenAI-compatible address. `dialect` says which server it is: `openai` (the default),
//! `azure`, `vllm`, `sglang`, `llama-cpp`, `tgi`, `openrouter`. It decides the name of the token limit, whether the reply can be
//! begun by the prompt file's `prefix`, how much thinking is asked for, and how log-probabilities are had.
//!
//! # When it misleads
//! Only vLLM gives the log-probability of a text that the model did not write itself (`prompt-logprobs`). Elsewhere options are
//! told apart by the first token of the reply (`first-token`); what fell on other tokens is kept as missing mass. Models that
//! think reject `temperature` and `stop`: `omit = ["temperature", "stop"]`.
//!
//! # Reference
//! OpenAI API reference, Chat; vLLM, SGLang, llama.cpp, TGI, OpenRouter and Azure for what they add.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use super::openai::{call, calls, document, finish, first_tokens, options, prompt_logprobs, text, usage};
use super::{Body, status, tidy};
use crate::schema::{
    Allowance, Call, Class, FinishReason, HttpRequest, HttpResponse, Input, Message, Provider, Response, Scoring, Wanted,
};

/// Most alternatives that a first token is given with.
const TOP: u8 = 20;
/// The same on TGI.
const TOP_TGI: u8 = 5;

pub(super) struct OpenAiChat;

impl Provider for OpenAiChat {
    fn name(&self) -> &'static str {
        "openai-chat"
    }

    fn source(&self) -> &'static str {
        include_str!("openai_chat.rs")
    }

    fn dialects(&self) -> &'static [&'static str] {
        &["openai", "azure", "vllm", "sglang", "llama-cpp", "tgi", "openrouter"]
    }

    fn authorization(&self, dialect: &str) -> (&'static str, &'static str) {
        if dialect == "azure" { ("api-key", "") } else { ("authorization", "Bearer ") }
    }

    fn is_chat(&self) -> bool {
        true
    }

    fn has_functions(&self, _dialect: &str) -> bool {
        true
    }

    fn scoring(&self, dialect: &str) -> &'static [Scoring] {
        match dialect {
            "vllm" => &[Scoring::PromptLogprobs, Scoring::FirstToken, Scoring::Generation],
            // What stands behind it is not known, and most of it gives none.
            "openrouter" => &[Scoring::Generation, Scoring::FirstToken],
            _ => &[Scoring::FirstToken, Scoring::Generation],
        }
    }

    fn encode(&self, call: &Call<'_>) -> Result<HttpRequest, String> {
        let Input::Chat(chat) = &call.request.input else {
            return Err("a chat endpoint takes messages".to_owned());
        };
        let (dialect, sampling) = (call.endpoint.dialect.as_str(), &call.endpoint.sampling);
        let mut body = Body::default();
        body.set("model", call.model);
        body.set("temperature", sampling.temperature);
        body.set("top_p", sampling.top_p);
        body.set("seed", call.seed);
        let effort = &sampling.reasoning_effort;
        match dialect {
            "azure" => {
                body.set("model", Value::Null);
                body.set("reasoning_effort", effort);
            }
            "openrouter" => {
                if effort.is_some() || sampling.thinking_budget.is_some() {
                    let reasoning = Body::new(json!({ "effort": effort, "max_tokens": sampling.thinking_budget }));
                    body.nest("reasoning", reasoning, &[]);
                }
            }
            "vllm" => {
                body.set("reasoning_effort", effort);
                body.set("thinking_token_budget", sampling.thinking_budget);
            }
            _ => body.set("reasoning_effort", effort),
        }
        if sampling.thinking_budget.is_some() && !matches!(dialect, "openrouter" | "vllm") {
            let words = "has no thinking budget; `reasoning_effort` or `extra_body` may do it";
            return Err(format!("the dialect `{dialect}` {words}"));
        }
        let limit = if matches!(dialect, "openai" | "azure") { "max_completion_tokens" } else { "max_tokens" };
        let mut begun = chat.prefix.clone();
        match &call.request.wanted {
            Wanted::Reply { max_tokens, stop } => {
                body.set(limit, *max_tokens);
                body.set("stop", (!stop.is_empty()).then_some(stop));
                if !chat.tools.is_empty() {
                    body.set("tools", chat.tools.iter().map(tool).collect::<Vec<_>>());
                }
            }
            Wanted::Options { .. } => {
                body.set(limit, 1);
                body.set("logprobs", true);
                body.set("top_logprobs", if dialect == "tgi" { TOP_TGI } else { TOP });
            }
            Wanted::Logprob { continuation } if dialect == "vllm" => {
                begun = Some(format!("{}{continuation}", begun.unwrap_or_default()));
                body.set(limit, 1);
                body.set("prompt_logprobs", 0);
            }
            Wanted::Logprob { .. } => {
                return Err(format!("the dialect `{dialect}` gives no log-probability of a given text"));
            }
        }
        let mut messages: Vec<Said<'_>> = chat.messages.iter().map(Said::of).collect();
        if let Some(prefix) = begun
            && matches!(dialect, "vllm" | "sglang" | "llama-cpp" | "openrouter")
        {
            messages.push(Said::plain("assistant", prefix));
            if matches!(dialect, "vllm" | "sglang") {
                body.set("continue_final_message", true);
            }
            if dialect == "vllm" {
                body.set("add_generation_prompt", false);
            }
        }
        body.set("messages", messages);
        Ok(body.post(call, "/chat/completions"))
    }

    fn decode(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Response, String> {
        let (body, choice) = document(response)?;
        let mut reply = Response::new("", finish(&choice.finish_reason)?);
        (reply.usage, reply.model) = (usage(&body.usage), text(&body.model));
        match &call.request.wanted {
            Wanted::Logprob { continuation } => {
                reply.logprobs = Some(prompt_logprobs(&body.prompt_logprobs, continuation)?);
                return Ok(reply);
            }
            Wanted::Options { options: wanted } => {
                reply.options = Some(options(&first_tokens(&choice)?, wanted));
                return Ok(reply);
            }
            Wanted::Reply { .. } => {}
        }
        let message = choice.message.ok_or("the choice has no `message`")?;
        let text = |name: &str| message.get(name).and_then(text);
        reply.calls = calls(&message);
        reply.thinking = text("reasoning_content").or_else(|| text("reasoning")).filter(|thinking| !thinking.is_empty());
        if text("refusal").is_some_and(|refusal| !refusal.is_empty()) {
            reply.finish = FinishReason::Refusal;
        }
        match text("content") {
            Some(content) => reply.text = content,
            // Calls, thinking that used up the limit and refusals come without content.
            None if !reply.calls.is_empty() || reply.thinking.is_some() || reply.finish != FinishReason::Stop => {}
            None => return Err("the message has no `content`".to_owned()),
        }
        if let Some(prefix) = call.request.prefix()
            && let Some(rest) = reply.text.strip_prefix(prefix)
        {
            // Some servers repeat what they were given to go on from.
            reply.text = rest.to_owned();
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

/// A message, its fields in the order of the alphabet.
#[derive(Default, Serialize)]
struct Said<'a> {
    content: Cow<'a, str>,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
}

impl<'a> Said<'a> {
    fn of(message: &'a Message) -> Self {
        match message {
            Message::System { text } => Self::plain("system", text),
            Message::User { text } => Self::plain("user", text),
            Message::Assistant { text, calls, .. } => {
                Self { tool_calls: calls.iter().map(call).collect(), ..Self::plain("assistant", text) }
            }
            Message::Tool { call, output, .. } => Self { tool_call_id: Some(call), ..Self::plain("tool", output) },
        }
    }

    fn plain(role: &'static str, content: impl Into<Cow<'a, str>>) -> Self {
        Self { content: content.into(), role, ..Self::default() }
    }
}

fn tool(tool: &crate::schema::ToolSpec) -> Value {
    let function = json!({ "name": tool.name, "description": tool.about, "parameters": tool.parameters });
    json!({ "type": "function", "function": function })
}
