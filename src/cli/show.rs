//! `onset show`: one record as it was.

use serde_json::json;

use super::diagnose::Problem;
use super::print::println;
use super::report::find;
use std::path::Path;

use super::{Global, exit};
use crate::schema::Wanted;

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
        for line in exchange.request.text.lines() {
            println!("  > {line}");
        }
        match &exchange.request.wanted {
            Wanted::Reply { max_tokens, stop } => println!("  wanted: at most {max_tokens} tokens, stop at {stop:?}"),
            Wanted::Logprob { continuation } => println!("  wanted: the log-probability of {continuation:?}"),
        }
        if let Some(logprobs) = &exchange.response.logprobs {
            println!("  < {:.4} nats over {} tokens", logprobs.sum, logprobs.tokens);
        } else {
            println!("  < {:?} ({:?})", exchange.response.text, exchange.response.finish);
        }
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
