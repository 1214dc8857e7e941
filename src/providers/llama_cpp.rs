//! llama.cpp's own API: `POST /completion` with a text.
//!
//! # What it measures
//! Any GGUF model as it is. The log-probability of a given text is had by a grammar that leaves the model nothing else to
//! write: the server reports what each token would have been worth without the grammar. The base address is
//! `http://localhost:8080`, without `/v1`.
//!
//! # When it misleads
//! The tokens of a forced text are those that the model prefers, not always those of the tokenizer. The server's own defaults
//! (temperature .8, nucleus and repetition penalties) are all switched off here, and so is its cache of prompts, which makes
//! equal requests differ in the last digits.
//!
//! # Reference
//! llama.cpp, tools/server/README.md.

use serde_json::{Value, json};

use super::event_stream::documents;
use super::openai::options;
use super::{Body, status, tidy};
use crate::schema::{
    Allowance, Call, Class, FinishReason, HttpRequest, HttpResponse, Input, Logprobs, Provider, Response, Scoring, Usage,
    Wanted,
};

pub(super) struct LlamaCpp;

impl Provider for LlamaCpp {
    fn name(&self) -> &'static str {
        "llama-cpp"
    }

    fn source(&self) -> &'static str {
        include_str!("llama_cpp.rs")
    }

    fn is_chat(&self) -> bool {
        false
    }

    fn scoring(&self, _dialect: &str) -> &'static [Scoring] {
        &[Scoring::Grammar, Scoring::FirstToken, Scoring::Generation]
    }

    fn encode(&self, call: &Call<'_>) -> Result<HttpRequest, String> {
        let Input::Text(text) = &call.request.input else {
            return Err("llama.cpp's completion takes a text; `chat_template` makes one of messages".to_owned());
        };
        let sampling = &call.endpoint.sampling;
        if sampling.reasoning_effort.is_some() || sampling.thinking_budget.is_some() {
            return Err("llama.cpp's completion knows nothing of thinking".to_owned());
        }
        let mut body = Body::new(json!({
            "prompt": text, "temperature": sampling.temperature, "top_p": sampling.top_p.unwrap_or(1.0), "top_k": 0, "min_p": 0,
            "repeat_penalty": 1, "seed": call.seed, "cache_prompt": false,
        }));
        match &call.request.wanted {
            Wanted::Reply { max_tokens, stop } => {
                body.set("n_predict", *max_tokens);
                body.set("stop", stop);
            }
            Wanted::Logprob { continuation } => {
                // A token has a byte at least, and the last one ends the sequence.
                body.set("n_predict", continuation.len() + 1);
                body.set("n_probs", 1);
                body.set("temperature", 0);
                body.set("grammar", format!("root ::= {}", quoted(continuation)));
            }
            Wanted::Options { .. } => {
                body.set("n_predict", 1);
                body.set("n_probs", 20);
            }
        }
        Ok(body.post(call, "/completion"))
    }

    fn decode(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Response, String> {
        let mut documents: Vec<Value> = documents(response)?;
        let body =
            documents.pop().filter(|_| documents.is_empty()).ok_or("the reply is a stream, which was not asked for")?;
        if let Some(error) = body.get("error") {
            return Err(format!("the endpoint says: {error}"));
        }
        if body.get("truncated").and_then(Value::as_bool) == Some(true) {
            return Err("the context of the server is too small for the prompt and the reply".to_owned());
        }
        let text = body.get("content").and_then(Value::as_str).ok_or("the reply has no `content`")?;
        let finish = match body.get("stop_type").and_then(Value::as_str) {
            Some("eos" | "word") => FinishReason::Stop,
            Some("limit") => FinishReason::Length,
            other => return Err(format!("unknown stop_type {other:?}")),
        };
        let mut reply = Response::new("", finish);
        let count = |name: &str| body.get(name).and_then(Value::as_u64);
        reply.model = body.get("model").and_then(Value::as_str).map(str::to_owned);
        reply.usage = count("tokens_evaluated").map(|prompt_tokens| Usage {
            prompt_tokens,
            completion_tokens: count("tokens_predicted").unwrap_or_default(),
            ..Usage::default()
        });
        let entries = body.get("completion_probabilities").and_then(Value::as_array);
        match &call.request.wanted {
            Wanted::Reply { .. } => {
                text.clone_into(&mut reply.text);
                return Ok(tidy(call, reply));
            }
            Wanted::Logprob { continuation } => {
                reply.logprobs = Some(forced(entries.map_or(&[], Vec::as_slice), continuation)?);
            }
            Wanted::Options { options: wanted } => {
                let list = entries.and_then(|entries| entries.first()?.get("top_logprobs")?.as_array());
                let tokens: Vec<(String, f64)> = list.into_iter().flatten().filter_map(token).collect();
                if tokens.is_empty() {
                    return Err("the endpoint did not honour `n_probs`".to_owned());
                }
                reply.options = Some(options(&tokens, wanted));
            }
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

/// A string of a GBNF grammar.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn token(entry: &Value) -> Option<(String, f64)> {
    Some((entry.get("token")?.as_str()?.to_owned(), entry.get("logprob")?.as_f64()?))
}

/// Sums the tokens that spell a text; one without text, which ends the sequence, may follow. Bytes of a character that is
/// split among tokens are compared as bytes.
fn forced(entries: &[Value], continuation: &str) -> Result<Logprobs, String> {
    let (mut spelled, mut sum, mut tokens) = (Vec::new(), 0.0, 0);
    for entry in entries {
        if spelled.len() >= continuation.len() {
            break;
        }
        let logprob = entry.get("logprob").and_then(Value::as_f64).ok_or("a forced token has no `logprob`")?;
        let bytes = entry.get("bytes").and_then(Value::as_array);
        match bytes {
            Some(bytes) => spelled.extend(bytes.iter().filter_map(Value::as_u64).filter_map(|byte| u8::try_from(byte).ok())),
            None => spelled.extend(entry.get("token").and_then(Value::as_str).unwrap_or_default().bytes()),
        }
        sum += logprob;
        tokens += 1;
    }
    if spelled != continuation.as_bytes() || tokens == 0 {
        let spelled = String::from_utf8_lossy(&spelled);
        return Err(format!("the endpoint did not honour the grammar: its tokens spell {spelled:?}, not {continuation:?}"));
    }
    Ok(Logprobs { sum, tokens })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forced_text_is_summed_and_must_be_spelled() {
        let entry = |token: &str, logprob: f64| json!({ "token": token, "logprob": logprob, "bytes": token.as_bytes() });
        let entries = [entry("4", -0.5), entry("6", -0.25), entry("", -3.0)];
        assert_eq!(forced(&entries, "46"), Ok(Logprobs { sum: -0.75, tokens: 2 }));
        assert!(forced(&entries, "47").unwrap_err().contains("honour"));
        assert!(forced(&[], "46").unwrap_err().contains("honour"));
        // One character in two tokens.
        let halves = [
            json!({ "token": "\u{fffd}", "logprob": -1.0, "bytes": [0xc3] }),
            json!({ "token": "\u{fffd}", "logprob": -1.0, "bytes": [0xa9] }),
        ];
        assert_eq!(forced(&halves, "\u{e9}"), Ok(Logprobs { sum: -2.0, tokens: 2 }));
        assert_eq!(quoted("a\"\\\nb"), "\"a\\\"\\\\\\nb\"");
    }
}
