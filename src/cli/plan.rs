//! `onset plan`: what a run would send, per endpoint; nothing is sent.

use std::collections::HashSet;

use serde_json::json;

use super::diagnose::Problem;
use super::print::println;
use super::report::open;
use super::run::{prepare, store_path};
use super::{Global, What, exit, output};
use crate::config::EndpointSpec;
use crate::plan::{Plan, Unit};
use crate::runner::rebuild;
use crate::schema::Record;
use crate::store::Store;

/// Bytes of English text in a token, roughly; servers count exactly, but only afterwards.
const BYTES_PER_TOKEN: usize = 4;

/// What one endpoint would be asked.
#[derive(Debug, Default, Clone, Copy)]
struct Load {
    records: usize,
    /// Records that the store can already answer.
    there: usize,
    /// Requests for the others: a conversation with a tool may need more.
    requests: usize,
    prompt_bytes: usize,
    /// Most tokens of the replies.
    reply_tokens: usize,
}

impl Load {
    fn prompt_tokens(&self) -> usize {
        self.prompt_bytes.div_ceil(BYTES_PER_TOKEN)
    }

    /// Minutes that the endpoint's limits allow at best, in the worst case of replies; none without limits.
    fn minutes(&self, spec: &EndpointSpec) -> Option<f64> {
        let tokens = self.prompt_tokens() + self.reply_tokens;
        let by_requests = spec.limits.requests_per_minute.map(|limit| self.requests as f64 / f64::from(limit));
        let by_tokens = spec.limits.tokens_per_minute.map(|limit| tokens as f64 / f64::from(limit));
        by_requests.into_iter().chain(by_tokens).reduce(f64::max)
    }
}

pub(super) fn plan(what: &What, global: &Global) -> Result<u8, Problem> {
    let (workspace, plan) = prepare(what, global)?;
    let store = if store_path(&what.out).exists() { Some(open(&what.out)?) } else { None };
    let mut loads = Vec::new();
    for spec in &workspace.config.endpoints {
        let load = load(&plan, spec, store.as_ref())?;
        if load.records > 0 {
            loads.push((spec, load));
        }
    }
    if global.json {
        let endpoints: Vec<_> = loads.iter().map(|(spec, load)| endpoint(spec, load)).collect();
        println!(
            "{}",
            json!({
                "run": plan.run, "records": plan.len(), "there": loads.iter().map(|(_, load)| load.there).sum::<usize>(),
                "endpoints": endpoints, "tasks": plan.tasks.len(), "cells": plan.cells.len(), "prompts": plan.prompts.len(),
                "models": plan.models, "samples": plan.samples, "refused": plan.refused,
            })
        );
        return Ok(exit::DONE);
    }
    cells(&plan);
    println!(
        "\nrun {}: {} records = {} pairs of task and prompt x {} models x {} samples\n",
        plan.run,
        plan.len(),
        plan.cells.len(),
        plan.models.len(),
        plan.samples
    );
    let header =
        ["endpoint", "records", "there", "requests at least", "prompt tokens about", "reply tokens at most", "time"];
    let mut rows = output::table(&header);
    for (spec, load) in &loads {
        let time =
            load.minutes(spec).map_or_else(|| "no limits".to_owned(), |minutes| format!("{minutes:.1} min by its limits"));
        let counts = [load.records, load.there, load.requests, load.prompt_tokens(), load.reply_tokens];
        rows.add_row([vec![spec.name.clone()], counts.map(|count| count.to_string()).to_vec(), vec![time]].concat());
    }
    println!("{rows}");
    for refusal in &plan.refused {
        println!("not asked: {} with {}: {}", refusal.task, refusal.prompt, refusal.reason);
    }
    Ok(exit::DONE)
}

/// The pairs of task and prompt, each with the first text that would be sent.
fn cells(plan: &Plan) {
    let mut rows = output::table(&["task", "prompt", "reply limit", "first text sent"]);
    for cell in &plan.cells {
        let (Some(task), Some(prompt)) = (plan.tasks.get(cell.task), plan.prompts.get(cell.prompt)) else { continue };
        let text = task.samples.test.first().and_then(|sample| cell.ask.render(sample).ok()).unwrap_or_default();
        let text = format!("{}{}", if cell.shots.is_empty() { "" } else { ".. " }, text.replace('\n', "\u{21b5}"));
        rows.add_row([task.task.name.clone(), prompt.name.clone(), cell.max_tokens.to_string(), text]);
    }
    println!("{rows}");
}

fn endpoint(spec: &EndpointSpec, load: &Load) -> serde_json::Value {
    json!({
        "name": spec.name, "records": load.records, "there": load.there, "requests": load.requests,
        "prompt_tokens": load.prompt_tokens(), "reply_tokens": load.reply_tokens, "minutes": load.minutes(spec),
    })
}

fn load(plan: &Plan, spec: &EndpointSpec, store: Option<&Store>) -> Result<Load, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(Problem::other)?;
    let records = store.map_or(Ok(Vec::new()), |store| store.records(&plan.run)).map_err(Problem::other)?;
    let known: HashSet<String> = records.iter().map(Record::id).collect();
    let mut load = Load::default();
    for unit in plan.units(&spec.name) {
        let Some(parts) = plan.parts(unit) else { continue };
        load.records += 1;
        if known.contains(&parts.record_id()) || is_stored(plan, unit, store, &runtime)? {
            load.there += 1;
            continue;
        }
        let requests = 1 + parts.probabilities().len();
        load.requests += requests;
        load.prompt_bytes += requests * parts.start().map_err(Problem::other)?.length();
        load.reply_tokens += parts.max_tokens() as usize;
    }
    Ok(load)
}

/// Whether other runs have left all that a record needs.
fn is_stored(plan: &Plan, unit: Unit, store: Option<&Store>, runtime: &tokio::runtime::Runtime) -> Result<bool, Problem> {
    let Some(store) = store else { return Ok(false) };
    Ok(runtime.block_on(rebuild(plan, unit, store)).map_err(Problem::other)?.is_some())
}
