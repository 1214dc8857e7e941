//! The chat completions API: `POST /chat/completions` with the whole text as one user message.
//!
//! # What it measures
//! Instruction-tuned models behind any OpenAI-compatible address.
//!
//! # When it misleads
//! The API gives no log-probability of a text that the model did not write itself: metrics that need one stay without a score.
//!
//! # Reference
//! OpenAI API reference, Chat.

use serde_json::{Value, json};

use super::classify;
use super::openai_completions::{finish, usage};
use crate::schema::{Class, FinishReason, HttpRequest, HttpResponse, Need, Provider, Request, Response, Wanted};

/// Why there is no log-probability.
const NO_LOGPROB: &str = "a chat endpoint gives no log-probability of a given text";

pub(super) struct OpenAiChat;

impl Provider for OpenAiChat {
    fn name(&self) -> &'static str {
        "openai-chat"
    }

    fn source(&self) -> &'static str {
        include_str!("openai_chat.rs")
    }

    fn gives(&self, need: Need) -> Result<(), String> {
        match need {
            Need::Reply => Ok(()),
            Need::TargetLogprob | Need::ChoiceLogprobs => Err(NO_LOGPROB.to_owned()),
        }
    }

    fn encode(&self, model: &str, request: &Request, seed: u64) -> Result<HttpRequest, String> {
        let Wanted::Reply { max_tokens, stop } = &request.wanted else {
            return Err(NO_LOGPROB.to_owned());
        };
        let body = json!({
            "model": model, "messages": [{ "role": "user", "content": request.text }], "max_tokens": max_tokens, "stop": stop,
            "temperature": 0, "seed": seed,
        });
        Ok(HttpRequest { method: "POST", path: "/chat/completions".to_owned(), body: body.to_string().into_bytes() })
    }

    fn decode(&self, _request: &Request, response: &HttpResponse) -> Result<Response, String> {
        let body: Value =
            serde_json::from_slice(&response.body).map_err(|error| format!("the reply is not JSON: {error}"))?;
        let choice = body.pointer("/choices/0").ok_or("the reply has no `choices`")?;
        let message = choice.get("message").ok_or("the choice has no `message`")?;
        let refused = message.get("refusal").is_some_and(Value::is_string);
        let text = message.get("content").and_then(Value::as_str).unwrap_or_default().to_owned();
        let finish = if refused { FinishReason::Refusal } else { finish(choice)? };
        let model = body.get("model").and_then(Value::as_str).map(str::to_owned);
        Ok(Response { text, finish, logprobs: None, usage: usage(&body), model })
    }

    fn classify(&self, response: &HttpResponse) -> Class {
        classify(response)
    }
}
