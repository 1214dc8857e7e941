//! `onset plan`: what a run would send, per endpoint; nothing is sent.

use std::collections::BTreeMap;

use serde_json::json;

use super::diagnose::Problem;
use super::print::println;
use super::report::open;
use super::run::{prepare, store_path};
use super::{Global, What, exit, output};
use crate::analysis::{FIRST, expected_share};
use crate::config::EndpointSpec;
use crate::plan::{Plan, PlannedEndpoint, Quota, Unit};
use crate::runner::rebuild;
use crate::schema::{Price, SamplesError, Scoring};
use crate::store::Store;

/// Bytes of English text in a token, roughly; servers count exactly, but only afterwards.
const BYTES_PER_TOKEN: usize = 4;

/// What one model would be asked.
#[derive(Debug, Default, Clone, Copy)]
struct Load<'a> {
    model: &'a str,
    /// What a model's price makes of it; none without a price.
    price: Option<Price>,
    records: usize,
    /// Records that the store can already answer.
    there: usize,
    /// Requests for the others: a conversation with a tool may need more.
    requests: usize,
    prompt_bytes: usize,
    /// Most tokens of the replies.
    reply_tokens: usize,
}

impl Load<'_> {
    /// US dollars, if every reply were as long as it may be.
    fn usd(&self) -> Option<f64> {
        Some(self.price?.of(self.prompt_tokens() as u64, self.reply_tokens as u64))
    }

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

/// The load of one endpoint, by model.
struct EndpointLoad<'a> {
    spec: &'a EndpointSpec,
    /// In the order of the configuration.
    models: BTreeMap<usize, Load<'a>>,
}

impl EndpointLoad<'_> {
    fn sum(&self, of: impl Fn(&Load<'_>) -> usize) -> usize {
        self.models.values().map(of).sum()
    }
}

/// US dollars for all, of the models that have a price.
fn cost(loads: &[EndpointLoad<'_>]) -> Option<f64> {
    loads.iter().flat_map(|load| load.models.values()).filter_map(Load::usd).reduce(|a, b| a + b)
}

/// Minutes for all: accounts are asked side by side, and the models of one share its limits.
fn minutes(loads: &[EndpointLoad<'_>]) -> Option<f64> {
    let mut accounts: BTreeMap<&str, f64> = BTreeMap::new();
    for load in loads {
        for minutes in load.models.values().filter_map(|model| model.minutes(load.spec)) {
            *accounts.entry(&load.spec.account).or_default() += minutes;
        }
    }
    accounts.into_values().reduce(f64::max)
}

pub(super) fn plan(what: &What, global: &Global) -> Result<u8, Problem> {
    let (workspace, plan) = prepare(what, global)?;
    let store = if store_path(&what.out).exists() { Some(open(&what.out)?) } else { None };
    if let Some(store) = &store {
        super::probe::check(&workspace, &plan, store)?;
    }
    let mut loads = Vec::new();
    for spec in &workspace.config.endpoints {
        let load = EndpointLoad { spec, models: load(&plan, spec, store.as_ref())? };
        if !load.models.is_empty() {
            loads.push(load);
        }
    }
    let unscored = unscored(&plan).map_err(Problem::other)?;
    let share = plan.until_resolved.then(|| expected_share(&plan.manifest(String::new())));
    if global.json {
        let endpoints: Vec<_> = loads.iter().map(endpoint).collect();
        println!(
            "{}",
            json!({
                "run": plan.run, "records": plan.len(), "there": loads.iter().map(|load| load.sum(|one| one.there)).sum::<usize>(),
                "endpoints": endpoints, "tasks": plan.tasks.len(), "cells": plan.cells.len(), "prompts": plan.prompts.len(),
                "models": plan.models, "samples": plan.samples, "repetitions": plan.repetitions, "refused": plan.refused, "usd": cost(&loads),
                "minutes": minutes(&loads), "unscored": unscored, "expected_share": share,
            })
        );
        return Ok(exit::DONE);
    }
    cells(&plan).map_err(Problem::other)?;
    let repeated = if plan.repetitions == 1 { String::new() } else { format!(" x {} repetitions", plan.repetitions) };
    println!(
        "\nrun {}: {} records = {} pairs of task and prompt x {} models x {} samples{repeated}\n",
        plan.run,
        plan.len(),
        plan.cells.len(),
        plan.models.len(),
        plan.samples
    );
    let header = [
        "model",
        "endpoint",
        "records",
        "there",
        "requests at least",
        "prompt tokens about",
        "reply tokens at most",
        "cost at most about",
        "time by the limits",
    ];
    let mut rows = output::table(&header);
    let dollars = |usd: Option<f64>| usd.map_or_else(|| "no price".to_owned(), |usd| format!("{usd:.4} USD"));
    let time = |minutes: Option<f64>| minutes.map_or_else(|| "no limits".to_owned(), |minutes| format!("{minutes:.1} min"));
    for EndpointLoad { spec, models } in &loads {
        for load in models.values() {
            let counts = [load.records, load.there, load.requests, load.prompt_tokens(), load.reply_tokens];
            let names = vec![load.model.to_owned(), spec.name.clone()];
            let last = vec![dollars(load.usd()), time(load.minutes(spec))];
            rows.add_row([names, counts.map(|count| count.to_string()).to_vec(), last].concat());
        }
    }
    println!("{rows}");
    if let Some(share) = share {
        let (most, least) = (plan.len(), Quota::of(&plan, FIRST).sum() * plan.repetitions as usize);
        let likely = (share * most as f64).round();
        println!(
            "until every verdict is settled: at least {least} records, at most the {most} above, and about {likely} ({:.0} %) if the curves are of the usual kinds: two that emerge, one that grows smoothly, one at chance",
            100.0 * share
        );
    }
    if let Some(usd) = cost(&loads) {
        let without = loads.iter().flat_map(|load| load.models.values()).filter(|load| load.price.is_none()).count();
        let beside = if without > 0 { format!(", and what {without} models without a price cost") } else { String::new() };
        let likely = share.map(|share| format!(", likely about {:.4} USD", share * usd)).unwrap_or_default();
        println!("all: at most about {usd:.4} USD{likely}{beside}; --budget holds a run to an amount");
    }
    if let Some(minutes) = minutes(&loads) {
        println!("all: {minutes:.1} min by the limits");
    }
    for refusal in &plan.refused {
        println!("not asked: {} with {}: {}", refusal.task, refusal.prompt, refusal.reason);
    }
    for line in unscored {
        println!("not scored: {line}");
    }
    repetitive(&plan).iter().for_each(|line| println!("note: {line}"));
    Ok(exit::DONE)
}

/// The endpoints at which repetitions are likely to say the same again.
pub(super) fn repetitive(plan: &Plan) -> Vec<String> {
    let is_greedy = |planned: &&PlannedEndpoint| planned.endpoint.sampling.temperature.is_some_and(|degree| degree <= 0.0);
    let endpoints = plan.endpoints.iter().filter(is_greedy).filter(|_| plan.repetitions > 1);
    let words = |planned: &PlannedEndpoint| {
        let name = &planned.endpoint.name;
        format!("{} repetitions at `{name}` with a temperature of 0 are likely to be the same", plan.repetitions)
    };
    endpoints.map(words).collect()
}

/// What the endpoints of a plan cannot give, and what else would.
pub(super) fn unscored(plan: &Plan) -> Result<Vec<String>, SamplesError> {
    let mut scorers: BTreeMap<(&str, Scoring), Vec<&str>> = BTreeMap::new();
    for (endpoint, scoring, scorer) in plan.unserved()? {
        scorers.entry((endpoint, scoring)).or_default().push(scorer);
    }
    let line = |((endpoint, scoring), names): ((&str, Scoring), Vec<&str>)| {
        let gives = match scoring {
            Scoring::Generation => "gives no log-probabilities",
            Scoring::FirstToken => "gives those of first tokens only (`first-token`), which tell options apart",
            _ => "puts every question into a chat, where no line says what kind of text follows",
        };
        let instead = if scoring.gives_any_text() {
            "a completions endpoint has one"
        } else {
            "echo, prompt-logprobs and grammar give that of any text"
        };
        format!("{} at `{endpoint}`, which {gives}; {instead} (`onset list providers`)", names.join(", "))
    };
    Ok(scorers.into_iter().map(line).collect())
}

/// The pairs of task and prompt, each with the first text that would be sent.
fn cells(plan: &Plan) -> Result<(), SamplesError> {
    let mut rows = output::table(&["task", "prompt", "reply limit", "first text sent"]);
    for cell in &plan.cells {
        let (Some(task), Some(prompt)) = (plan.tasks.get(cell.task), plan.prompts.get(cell.prompt)) else { continue };
        let text = task.samples.test.get(0)?.and_then(|sample| cell.ask.render(&sample).ok()).unwrap_or_default();
        let text = format!("{}{}", if cell.shots.is_empty() { "" } else { ".. " }, text.replace('\n', "\u{21b5}"));
        rows.add_row([task.task.name.clone(), prompt.name.clone(), cell.max_tokens.to_string(), text]);
    }
    println!("{rows}");
    Ok(())
}

fn endpoint(load: &EndpointLoad<'_>) -> serde_json::Value {
    let spec = load.spec;
    let one = |load: &Load<'_>| {
        json!({
            "name": load.model, "records": load.records, "there": load.there, "requests": load.requests,
            "prompt_tokens": load.prompt_tokens(), "reply_tokens": load.reply_tokens, "usd": load.usd(),
            "minutes": load.minutes(spec),
        })
    };
    let models: Vec<_> = load.models.values().map(one).collect();
    json!({
        "name": load.spec.name, "records": load.sum(|one| one.records), "there": load.sum(|one| one.there),
        "requests": load.sum(|one| one.requests), "prompt_tokens": load.sum(|one| one.prompt_tokens()),
        "reply_tokens": load.sum(|one| one.reply_tokens), "models": models,
        "minutes": load.models.values().filter_map(|model| model.minutes(load.spec)).reduce(|a, b| a + b),
    })
}

fn load<'a>(plan: &'a Plan, spec: &EndpointSpec, store: Option<&Store>) -> Result<BTreeMap<usize, Load<'a>>, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(Problem::other)?;
    let there = store.map_or(Ok(0), |store| store.record_count(&plan.run)).map_err(Problem::other)?;
    let begun = store.filter(|_| there > 0);
    let mut loads: BTreeMap<usize, Load<'_>> = BTreeMap::new();
    for unit in plan.units(&spec.name, &Quota::of(plan, plan.samples)) {
        let Some(parts) = plan.parts(unit).map_err(Problem::other)? else { continue };
        let load = loads.entry(unit.model).or_default();
        load.model = &parts.model.name;
        load.price = plan.prices.get(&parts.model.name).copied();
        load.records += 1;
        let fate = begun.map(|store| store.fate(&plan.run, &parts.record_name())).transpose().map_err(Problem::other)?;
        if fate.flatten().is_some() || is_stored(plan, unit, store, &runtime)? {
            load.there += 1;
            continue;
        }
        let weighings = parts.probabilities().len();
        // Repetitions that reason alike share their log-probabilities: at least those of the first are asked for, at most all.
        load.requests += if parts.repetition == 0 { 1 + weighings } else { 1 };
        load.prompt_bytes += (1 + weighings) * parts.start().map_err(Problem::other)?.length();
        load.reply_tokens += parts.max_tokens() as usize;
    }
    Ok(loads)
}

/// Whether other runs have left all that a record needs.
fn is_stored(plan: &Plan, unit: Unit, store: Option<&Store>, runtime: &tokio::runtime::Runtime) -> Result<bool, Problem> {
    let Some(store) = store else { return Ok(false) };
    Ok(runtime.block_on(rebuild(plan, unit, store)).map_err(Problem::other)?.is_some())
}
