//! The legacy completions API: `POST /completions` with a text, as vLLM, SGLang, llama.cpp and `onset serve` offer it.
//!
//! # What it measures
//! Base models as they are: the prompt file's text goes out unchanged. Models tuned for chat see their own form when
//! `chat_template` names their template. The log-probability of a given continuation is had by `echo` with no new token, or by
//! vLLM's `prompt_logprobs`. `dialect` is `openai` (the default), `vllm`, `sglang`, `llama-cpp` or `tgi`.
//!
//! # When it misleads
//! A server that ignores `echo` or `logprobs` answers 200 all the same; the reply is refused here, not taken for a zero.
//! llama.cpp does: its dialect tells options apart by the first token, and the provider `llama-cpp` scores any text. A
//! continuation whose first characters share a token with the prompt is scored from the next token on.
//!
//! # Reference
//! OpenAI API reference, Completions.

use serde_json::{Value, json};

use super::openai::{document, finish, first_tokens, options, prompt_logprobs, text, usage};
use super::{Body, status, tidy};
use crate::schema::{
    Allowance, Call, Class, HttpRequest, HttpResponse, Input, Logprobs, Provider, Response, Scoring, Wanted,
};

/// Most alternatives that OpenAI gives a token with; servers of one's own give more.
const TOP: u8 = 5;
const TOP_LOCAL: u8 = 20;

pub(super) struct OpenAiCompletions;

impl Provider for OpenAiCompletions {
    fn name(&self) -> &'static str {
        "openai-completions"
    }

    fn source(&self) -> &'static str {
        include_str!("openai_completions.rs")
    }

    fn dialects(&self) -> &'static [&'static str] {
        &["openai", "vllm", "sglang", "llama-cpp", "tgi"]
    }

    fn is_chat(&self) -> bool {
        false
    }

    fn scoring(&self, dialect: &str) -> &'static [Scoring] {
        match dialect {
            "vllm" => &[Scoring::Echo, Scoring::PromptLogprobs, Scoring::FirstToken, Scoring::Generation],
            "llama-cpp" | "tgi" => &[Scoring::FirstToken, Scoring::Generation],
            _ => &[Scoring::Echo, Scoring::FirstToken, Scoring::Generation],
        }
    }

    fn encode(&self, call: &Call<'_>) -> Result<HttpRequest, String> {
        let Input::Text(text) = &call.request.input else {
            return Err("a completions endpoint takes a text; `chat_template` makes one of messages".to_owned());
        };
        let (dialect, sampling) = (call.endpoint.dialect.as_str(), &call.endpoint.sampling);
        if sampling.reasoning_effort.is_some() {
            return Err("the completions API has no `reasoning_effort`".to_owned());
        }
        let mut body = Body::new(json!({
            "model": call.model, "prompt": text, "temperature": sampling.temperature, "top_p": sampling.top_p,
            "seed": call.seed,
        }));
        match (sampling.thinking_budget, dialect) {
            (None, _) => {}
            (Some(budget), "vllm") => body.set("thinking_token_budget", budget),
            (Some(_), _) => return Err(format!("the dialect `{dialect}` has no thinking budget")),
        }
        match &call.request.wanted {
            Wanted::Reply { max_tokens, stop } => {
                body.set("max_tokens", *max_tokens);
                body.set("stop", (!stop.is_empty()).then_some(stop));
            }
            Wanted::Logprob { continuation } => {
                body.set("prompt", format!("{text}{continuation}"));
                if call.endpoint.scoring == Scoring::PromptLogprobs {
                    body.set("prompt_logprobs", 0);
                    body.set("max_tokens", 1);
                } else {
                    body.set("echo", true);
                    body.set("logprobs", 1);
                    body.set("max_tokens", 0);
                }
            }
            Wanted::Options { .. } => {
                body.set("max_tokens", 1);
                body.set("logprobs", if dialect == "openai" { TOP } else { TOP_LOCAL });
            }
        }
        Ok(body.post(call, "/completions"))
    }

    fn decode(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Response, String> {
        let (body, choice) = document(response)?;
        let mut reply = Response::new("", finish(&choice.finish_reason)?);
        (reply.usage, reply.model) = (usage(&body.usage), text(&body.model));
        match &call.request.wanted {
            Wanted::Reply { .. } => {
                reply.text = text(&choice.text).ok_or("the choice has no `text`")?;
                return Ok(tidy(call, reply));
            }
            Wanted::Logprob { continuation } if call.endpoint.scoring == Scoring::PromptLogprobs => {
                reply.logprobs = Some(prompt_logprobs(&choice.prompt_logprobs, continuation)?);
            }
            Wanted::Logprob { continuation } => {
                let Input::Text(text) = &call.request.input else {
                    return Err("a completions endpoint takes a text".to_owned());
                };
                reply.logprobs = Some(scored_span(&choice.logprobs, text, continuation)?);
            }
            Wanted::Options { options: wanted } => reply.options = Some(options(&first_tokens(&choice)?, wanted)),
        }
        Ok(reply)
    }

    fn classify(&self, response: &HttpResponse) -> Class {
        status::classify(response)
    }

    fn allowance(&self, response: &HttpResponse) -> Allowance {
        status::allowance(response)
    }
}

/// Sums the log-probabilities of the tokens that begin inside the continuation.
fn scored_span(logprobs: &Value, text: &str, continuation: &str) -> Result<Logprobs, String> {
    let list = |name: &str| logprobs.get(name).and_then(Value::as_array);
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
