//! `onset show`: one record as it was.

use serde_json::json;

use super::diagnose::Problem;
use super::print::println;
use super::report::find;
use std::path::Path;

use super::{Global, exit};
use crate::schema::{Input, Message, Response, Wanted};

pub(super) fn show(name: &str, run: Option<&str>, out: &Path, global: &Global) -> Result<u8, Problem> {
    let (store, manifest) = find(run, out)?;
    let record = store.record(&manifest.run, name).map_err(Problem::other)?.ok_or_else(|| {
        let form = "records are named task/prompt/model/sample/repetition, as addition-3/few-shot/ladder-1m/test-00000/0";
        Problem::with_help(format!("run {} has no record `{name}`", manifest.run), form)
    })?;
    let mut exchanges = Vec::new();
    for key in &record.exchanges {
        exchanges.push((*key, store.exchange(key).map_err(Problem::other)?, store.attempts(key).map_err(Problem::other)?));
    }
    if global.json {
        let exchanges: Vec<_> = exchanges
            .iter()
            .map(|(key, exchange, attempts)| {
                let attempts: Vec<_> = attempts
                    .iter()
                    .map(|a| json!({ "at": a.at, "status": a.status, "milliseconds": a.milliseconds, "error": a.error }))
                    .collect();
                let exchange = exchange.as_ref();
                json!({
                    "key": key, "request": exchange.map(|e| &e.request), "response": exchange.map(|e| &e.response),
                    "sent": exchange.map(|e| &e.sent), "milliseconds": exchange.map(|e| e.milliseconds), "attempts": attempts,
                })
            })
            .collect();
        println!("{}", json!({ "record": record, "exchanges": exchanges }));
        return Ok(exit::DONE);
    }
    println!("{}  {}", record.id(), record.outcome.name());
    for (key, exchange, attempts) in &exchanges {
        println!("\nexchange {key}");
        for attempt in attempts {
            println!("  attempt at {} failed after {} ms: {}", attempt.at, attempt.milliseconds, attempt.error);
        }
        let Some(exchange) = exchange else {
            println!("  no reply");
            continue;
        };
        println!("  sent to {} at {} ({} ms)", exchange.model, exchange.sent, exchange.milliseconds);
        sent(&exchange.request.input);
        match &exchange.request.wanted {
            Wanted::Reply { max_tokens, stop } => println!("  wanted: at most {max_tokens} tokens, stop at {stop:?}"),
            Wanted::Logprob { continuation } => println!("  wanted: the log-probability of {continuation:?}"),
            Wanted::Options { options } => println!("  wanted: the first token's log-probabilities of {options:?}"),
        }
        came(&exchange.response);
    }
    println!("\nread: {}   reference: {}", record.answer.as_deref().unwrap_or("-"), record.target);
    if let Some(detail) = &record.detail {
        println!("detail: {detail}");
    }
    for score in &record.scores {
        println!("{}: {}", score.scorer, score.value.map_or_else(|| "unscored".to_owned(), |value| format!("{value:.4}")));
    }
    Ok(exit::DONE)
}

/// What was really sent.
fn sent(input: &Input) {
    let lines = |who: &str, text: &str| text.lines().for_each(|line| println!("  {who}> {line}"));
    match input {
        Input::Text(text) => lines("", text),
        Input::Chat(chat) => {
            for tool in &chat.tools {
                println!("  offered: {}({})", tool.name, tool.parameters);
            }
            for message in &chat.messages {
                match message {
                    Message::System { text } => lines("system ", text),
                    Message::User { text } => lines("user ", text),
                    Message::Assistant { text, calls, .. } => {
                        lines("assistant ", text);
                        calls.iter().for_each(|call| println!("  assistant> calls {}({})", call.tool, call.arguments));
                    }
                    Message::Tool { tool, output, .. } => lines(&format!("{tool} "), output),
                }
            }
            chat.prefix.iter().for_each(|prefix| println!("  reply begins: {prefix:?}"));
        }
    }
}

/// What came back.
fn came(response: &Response) {
    if let Some(logprobs) = &response.logprobs {
        println!("  < {:.4} nats over {} tokens", logprobs.sum, logprobs.tokens);
        return;
    }
    if let Some(options) = &response.options {
        println!("  < {:?} nats; on other tokens: {:.4}", options.options, options.missing);
        return;
    }
    if let Some(thinking) = &response.thinking {
        thinking.lines().for_each(|line| println!("  thinking < {line}"));
    }
    response.calls.iter().for_each(|call| println!("  < calls {}({})", call.tool, call.arguments));
    println!("  < {:?} ({:?})", response.text, response.finish);
    if let Some(usage) = &response.usage {
        println!("  {} tokens read, {} written", usage.prompt_tokens, usage.completion_tokens);
    }
}
