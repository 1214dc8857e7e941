//! `POST /v1/completions`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Json, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::request::parse;
use super::state::Service;
use super::stream::{collect, finish, respond, submit, text, usage};
use crate::ladder::{Event, Finished, Job, PROMPT_TOP, TokenScore};

/// Tokens written when the request names no limit, as in OpenAI's API.
const DEFAULT_TOKENS: usize = 16;

#[derive(Debug, Deserialize)]
struct Body {
    prompt: Value,
    max_tokens: Option<usize>,
    echo: Option<bool>,
    logprobs: Option<u8>,
}

/// A token of a reply or of its prompt, as the API lists it.
struct Listed<'a> {
    token: u8,
    logprob: Option<f32>,
    top: Option<&'a [(u8, f32)]>,
}

/// The parameters of a completion.
const OWN: [&str; 4] = ["prompt", "max_tokens", "echo", "logprobs"];

pub(super) async fn handle(
    State(service): State<Arc<Service>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(HeaderMap, Response), ApiError> {
    service.count();
    let (common, body): (_, Body) = parse(&body?, &OWN)?;
    let served = service.model(&common.model)?;
    let prompt = prompt(body.prompt)?;
    let top = body.logprobs.unwrap_or(0);
    if usize::from(top) > PROMPT_TOP {
        return Err(ApiError::invalid("logprobs", format!("`logprobs` must be between 0 and {PROMPT_TOP}, not {top}")));
    }
    let echo = body.echo.unwrap_or(false);
    let scored = echo && body.logprobs.is_some();
    if scored && common.is_stream() {
        return Err(ApiError::invalid("echo", "`echo` with `logprobs` cannot be streamed"));
    }
    let max_tokens = body.max_tokens.unwrap_or(DEFAULT_TOKENS);
    if max_tokens == 0 && !echo {
        return Err(ApiError::invalid("max_tokens", "`max_tokens` 0 asks for nothing without `echo`"));
    }
    let generate = common.generate(max_tokens, top)?;
    let job = Job {
        prompt: prompt.as_bytes().to_vec(),
        generate: (max_tokens > 0).then_some(generate),
        // The first byte has no score in this API.
        score_from: scored.then_some(1),
        stream: common.is_stream(),
    };
    let admitted = service.admit(&job, common.choices()?)?;
    let receivers = submit(served, &job, common.choices()?)?;
    let head = json!({
        "id": format!("cmpl-{}", service.number()),
        "object": "text_completion",
        "created": jiff::Timestamp::now().as_second(),
        "model": common.model,
    });
    let listed = body.logprobs.is_some();
    if common.is_stream() {
        let include_usage = common.stream_options.unwrap_or_default().include_usage;
        let mut states =
            vec![(if echo { prompt.clone() } else { String::new() }, if echo { prompt.len() } else { 0 }); receivers.len()];
        let render = move |index: usize, event: &Event| {
            let mut unused = Default::default();
            let (before, offset) = states.get_mut(index).unwrap_or(&mut unused);
            let before = std::mem::take(before);
            let (bytes, scores, reason): (&[u8], &[TokenScore], _) = match event {
                Event::Text { text, scores } => (text, scores, None),
                Event::Finished(finished) => (&[], &[], Some(finish(finished.finish))),
            };
            let logprobs = if listed { list(reply(bytes, scores), *offset, top) } else { Value::Null };
            *offset += bytes.len();
            json!({ "index": index, "text": before + &text(bytes), "logprobs": logprobs, "finish_reason": reason })
        };
        return Ok((admitted, respond(receivers, head, include_usage, render)));
    }
    let finished = collect(receivers).await?;
    let choices: Vec<Value> = finished
        .iter()
        .enumerate()
        .map(|(index, done)| {
            let reply = reply(&done.text, &done.scores);
            let logprobs = match (listed, echo) {
                (false, _) => Value::Null,
                (true, false) => list(reply, 0, top),
                (true, true) => list(echoed(&job, done, top).chain(reply), 0, top),
            };
            let text = if echo { prompt.clone() + &text(&done.text) } else { text(&done.text) };
            json!({ "index": index, "text": text, "logprobs": logprobs, "finish_reason": finish(done.finish) })
        })
        .collect();
    let mut answer = head;
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("choices".to_owned(), Value::Array(choices));
        answer.insert("usage".to_owned(), usage(&finished));
    }
    Ok((admitted, Json(answer).into_response()))
}

fn prompt(prompt: Value) -> Result<String, ApiError> {
    match prompt {
        Value::String(prompt) => Ok(prompt),
        Value::Array(mut prompts) if prompts.len() == 1 => match prompts.pop() {
            Some(Value::String(prompt)) => Ok(prompt),
            _ => Err(ApiError::invalid("prompt", "`prompt` must be a string, or a list of one string")),
        },
        _ => Err(ApiError::invalid("prompt", "`prompt` must be a string, or a list of one string")),
    }
}

fn reply<'a>(bytes: &'a [u8], scores: &'a [TokenScore]) -> impl Iterator<Item = Listed<'a>> {
    bytes.iter().zip(scores).map(|(&token, score)| Listed { token, logprob: Some(score.logprob), top: Some(&score.top) })
}

fn echoed<'a>(job: &'a Job, done: &'a Finished, top: u8) -> impl Iterator<Item = Listed<'a>> {
    job.prompt.iter().zip(&done.prompt_scores).map(move |(&token, score)| Listed {
        token,
        logprob: score.map(|score| score.logprob),
        top: score.as_ref().and_then(|score| score.top.get(..usize::from(top))),
    })
}

/// The `logprobs` object of a choice. Two tokens never have the same text, so that no alternative hides another.
fn list<'a>(listed: impl Iterator<Item = Listed<'a>>, offset: usize, top: u8) -> Value {
    let (mut tokens, mut logprobs, mut tops, mut offsets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (index, Listed { token, logprob, top }) in listed.enumerate() {
        tokens.push(text(&[token]));
        logprobs.push(logprob);
        offsets.push(offset + index);
        tops.push(
            top.map(|top| top.iter().map(|&(token, logprob)| (text(&[token]), json!(logprob))).collect::<Map<_, _>>()),
        );
    }
    let tops = if top > 0 { json!(tops) } else { Value::Null };
    json!({ "tokens": tokens, "token_logprobs": logprobs, "top_logprobs": tops, "text_offset": offsets })
}
