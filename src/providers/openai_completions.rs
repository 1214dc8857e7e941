//! The legacy completions API: `POST /completions` with a text, as vLLM, SGLang, llama.cpp and `onset serve` offer it.
//!
//! # What it measures
//! Base models as they are: the prompt file's text goes out unchanged. The log-probability of a given continuation is had by
//! `echo` with no new token.
//!
//! # When it misleads
//! A server that ignores `echo` or `logprobs` answers 200 all the same; the reply is refused here, not taken for a zero. A
//! continuation whose first characters share a token with the prompt is scored from the next token on.
//!
//! # Reference
//! OpenAI API reference, Completions.

use serde_json::{Value, json};

use super::classify;
use crate::schema::{Class, FinishReason, HttpRequest, HttpResponse, Logprobs, Provider, Request, Response, Usage, Wanted};

pub(super) struct OpenAiCompletions;

impl Provider for OpenAiCompletions {
    fn name(&self) -> &'static str {
        "openai-completions"
    }

    fn source(&self) -> &'static str {
        include_str!("openai_completions.rs")
    }

    fn encode(&self, model: &str, request: &Request, seed: u64) -> Result<HttpRequest, String> {
        let body = match &request.wanted {
            Wanted::Reply { max_tokens, stop } => json!({
                "model": model, "prompt": request.text, "max_tokens": max_tokens, "stop": stop, "temperature": 0, "seed": seed,
            }),
            Wanted::Logprob { continuation } => json!({
                "model": model, "prompt": format!("{}{continuation}", request.text), "max_tokens": 0, "echo": true,
                "logprobs": 1, "temperature": 0, "seed": seed,
            }),
        };
        Ok(HttpRequest { method: "POST", path: "/completions".to_owned(), body: body.to_string().into_bytes() })
    }

    fn decode(&self, request: &Request, response: &HttpResponse) -> Result<Response, String> {
        let body: Value =
            serde_json::from_slice(&response.body).map_err(|error| format!("the reply is not JSON: {error}"))?;
        let choice = body.pointer("/choices/0").ok_or("the reply has no `choices`")?;
        let usage = usage(&body);
        let model = body.get("model").and_then(Value::as_str).map(str::to_owned);
        let finish = finish(choice)?;
        match &request.wanted {
            Wanted::Reply { .. } => {
                let text = choice.get("text").and_then(Value::as_str).ok_or("the choice has no `text`")?.to_owned();
                Ok(Response { text, finish, logprobs: None, usage, model })
            }
            Wanted::Logprob { continuation } => {
                let logprobs = Some(scored_span(choice, &request.text, continuation)?);
                Ok(Response { text: String::new(), finish, logprobs, usage, model })
            }
        }
    }

    fn classify(&self, response: &HttpResponse) -> Class {
        classify(response)
    }
}

pub(super) fn usage(body: &Value) -> Option<Usage> {
    let count = |name: &str| body.pointer(&format!("/usage/{name}")).and_then(Value::as_u64);
    Some(Usage { prompt_tokens: count("prompt_tokens")?, completion_tokens: count("completion_tokens").unwrap_or_default() })
}

pub(super) fn finish(choice: &Value) -> Result<FinishReason, String> {
    match choice.get("finish_reason").and_then(Value::as_str) {
        Some("stop" | "tool_calls" | "eos") | None => Ok(FinishReason::Stop),
        Some("length") => Ok(FinishReason::Length),
        Some("content_filter") => Ok(FinishReason::Refusal),
        Some(other) => Err(format!("unknown finish_reason `{other}`")),
    }
}

/// Sums the log-probabilities of the tokens that begin inside the continuation.
fn scored_span(choice: &Value, text: &str, continuation: &str) -> Result<Logprobs, String> {
    let list = |name: &str| choice.pointer(&format!("/logprobs/{name}")).and_then(Value::as_array);
    let (Some(values), Some(offsets)) = (list("token_logprobs"), list("text_offset")) else {
        return Err("the endpoint did not honour echo with logprobs".to_owned());
    };
    // Offsets count characters, not bytes.
    let start = text.chars().count() as u64;
    let end = start + continuation.chars().count() as u64;
    let (mut sum, mut tokens) = (0.0, 0);
    for (value, offset) in values.iter().zip(offsets) {
        if offset.as_u64().is_some_and(|offset| (start..end).contains(&offset)) {
            sum += value.as_f64().ok_or("a token of the continuation has no log-probability")?;
            tokens += 1;
        }
    }
    if tokens == 0 { Err("no token begins inside the continuation".to_owned()) } else { Ok(Logprobs { sum, tokens }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_summed_over_the_continuation_only_and_must_be_there() {
        let request = Request { text: "ab".into(), wanted: Wanted::Logprob { continuation: "cd".into() } };
        let reply = |body: &str| HttpResponse { status: 200, headers: vec![], body: body.as_bytes().to_vec() };
        let body = r#"{"choices":[{"text":"abcd","finish_reason":"length","logprobs":{
            "token_logprobs":[null,-1.0,-2.0,-3.0],"text_offset":[0,1,2,3]}}]}"#;
        let response = OpenAiCompletions.decode(&request, &reply(body)).unwrap();
        assert_eq!(response.logprobs, Some(Logprobs { sum: -5.0, tokens: 2 }));
        let silent = r#"{"choices":[{"text":"abcd","finish_reason":"length"}]}"#;
        assert!(OpenAiCompletions.decode(&request, &reply(silent)).unwrap_err().contains("honour"));
    }
}
