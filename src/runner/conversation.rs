//! One record: a technique's conversation, the log-probabilities its scorers need, and its scores.

use std::time::Duration;

use tokio::sync::watch;

use super::RunError;
use super::alone::Alone;
use super::gateway::{Gateway, GatewayError};
use crate::plan::{Of, Parts, Plan, Probability, Unit};
use crate::schema::{
    Answer, ExchangeKey, Input, Judged, Logprobs, Outcome, Record, RecordName, Request, Response, Score, Step, Turn, Wanted,
};
use crate::store::{Store, StoreError, Write};
use crate::{scorers, tools};

/// Why a reply is not to be had.
#[derive(Debug)]
pub enum Unreached {
    /// The exchange failed, in words.
    Failed(String),
    /// The endpoint cannot be used, the budget is used up, the run is being stopped, or the reply is not in the store: the record
    /// stays to be done.
    Pending,
    /// The store failed.
    Store(StoreError),
}

/// Where replies come from that the store does not have.
trait Source: Sync {
    /// Waits until nobody else is about the exchange.
    fn alone(&self, key: ExchangeKey) -> impl Future<Output = Option<Alone<'_>>> + Send;
    /// The reply.
    fn fetch(&self, key: ExchangeKey, request: &Request) -> impl Future<Output = Result<Response, Unreached>> + Send;
}

/// Asks an endpoint.
struct Asking<'a> {
    gateway: &'a Gateway,
    model: &'a str,
    seed: u64,
    store: &'a Store,
    stop: &'a watch::Receiver<bool>,
}

impl Source for Asking<'_> {
    async fn alone(&self, key: ExchangeKey) -> Option<Alone<'_>> {
        Some(self.gateway.alone(key).await)
    }

    async fn fetch(&self, key: ExchangeKey, request: &Request) -> Result<Response, Unreached> {
        let exchange = self.gateway.exchange(key, self.model, request, self.seed, self.store, self.stop);
        exchange.await.map_err(|error| match error {
            GatewayError::Failed(reason) | GatewayError::Rejected(reason) => Unreached::Failed(reason),
            GatewayError::Unusable(_) | GatewayError::OverBudget(_) | GatewayError::Stopped => Unreached::Pending,
            GatewayError::Store(error) => Unreached::Store(error),
        })
    }
}

/// Asks nobody: what failed when it was asked stays failed, in the words of the record there is.
struct Nobody<'a> {
    plan: &'a Plan,
    name: RecordName<'a>,
    store: &'a Store,
}

impl Source for Nobody<'_> {
    async fn alone(&self, _key: ExchangeKey) -> Option<Alone<'_>> {
        None
    }

    async fn fetch(&self, _key: ExchangeKey, _request: &Request) -> Result<Response, Unreached> {
        let fate = self.store.fate(&self.plan.run, &self.name);
        match fate.map(|fate| fate.and_then(|fate| fate.detail)) {
            Ok(Some(reason)) => Err(Unreached::Failed(reason)),
            Ok(None) => Err(Unreached::Pending),
            Err(error) => Err(Unreached::Store(error)),
        }
    }
}

/// What became of a record.
#[derive(Debug)]
pub struct Settled {
    /// Its model.
    pub model: String,
    /// In a word.
    pub outcome: Outcome,
    /// Whether something went wrong.
    pub has_detail: bool,
}

/// Leads the conversation of a unit, asking the endpoint for what the store does not have, and hands its record to the store. No record
/// comes of a unit whose endpoint or model turned out to be unusable, or that was stopped between two requests.
///
/// # Errors
/// When the store fails, or the samples cannot be read.
pub async fn converse(
    plan: &Plan,
    unit: Unit,
    store: &Store,
    gateway: &Gateway,
    stop: &watch::Receiver<bool>,
) -> Result<Option<Settled>, RunError> {
    let Some(parts) = plan.parts(unit)? else { return Ok(None) };
    // With one seed for all, repetitions would be the same text.
    let seed = plan.seed.wrapping_add(u64::from(parts.repetition));
    let source = Asking { gateway, model: &parts.model.name, seed, store, stop };
    let Some(record) = Conversation::new(plan, &parts, store, &source).lead().await? else { return Ok(None) };
    let settled = Settled { model: record.model.clone(), outcome: record.outcome, has_detail: record.detail.is_some() };
    store.queue(vec![Write::Record(Box::new(record))]).await?;
    Ok(Some(settled))
}

/// Rebuilds a record from the store alone; none when a reply it needs was never had.
///
/// # Errors
/// When the store fails, or the samples cannot be read.
pub async fn rebuild(plan: &Plan, unit: Unit, store: &Store) -> Result<Option<Record>, RunError> {
    let Some(parts) = plan.parts(unit)? else { return Ok(None) };
    let source = Nobody { plan, name: parts.record_name(), store };
    Conversation::new(plan, &parts, store, &source).lead().await
}

struct Conversation<'a, S> {
    plan: &'a Plan,
    parts: &'a Parts<'a>,
    store: &'a Store,
    source: &'a S,
    exchanges: Vec<ExchangeKey>,
    /// Tokens of the longest reply.
    reply_tokens: Option<u64>,
}

impl<'a, S: Source> Conversation<'a, S> {
    fn new(plan: &'a Plan, parts: &'a Parts<'a>, store: &'a Store, source: &'a S) -> Self {
        Self { plan, parts, store, source, exchanges: Vec::new(), reply_tokens: None }
    }

    async fn lead(mut self) -> Result<Option<Record>, RunError> {
        let mut detail = None;
        let answer = match self.talk().await {
            Ok(answer) => answer,
            Err(Unreached::Failed(reason)) => {
                detail = Some(reason);
                Answer { outcome: Outcome::Failed, text: None, context: Input::Text(String::new()) }
            }
            Err(Unreached::Pending) => return Ok(None),
            Err(Unreached::Store(error)) => return Err(error.into()),
        };
        let (mut target, mut choices, mut domain, mut missing_mass) = (None, Vec::new(), Vec::new(), None);
        // What the endpoint cannot give is not asked for: the metric that needs it stays without a score.
        let wanted = if answer.outcome.is_scored() { self.parts.probabilities() } else { Vec::new() };
        for Probability { of, wanted } in wanted {
            let place = if of == Of::Domain { self.parts.domain() } else { None };
            let request = Request { input: place.unwrap_or_else(|| answer.context.clone()), wanted };
            match self.get(&request).await {
                Ok(Response { logprobs, .. }) if of == Of::Target => target = logprobs,
                Ok(Response { logprobs, .. }) if of == Of::Domain => domain.extend(logprobs),
                Ok(Response { options: Some(first), .. }) => {
                    missing_mass = Some(first.missing);
                    // An option that is not among the listed tokens is less probable than any that is.
                    let absent = f64::NEG_INFINITY;
                    let one = |sum: Option<f64>| Logprobs { sum: sum.unwrap_or(absent), tokens: 1 };
                    choices.extend(first.options.into_iter().map(one));
                }
                Ok(Response { logprobs, .. }) => choices.extend(logprobs),
                // The reply counts; the metric that needed more stays without a score, and the record says why.
                Err(Unreached::Failed(reason)) => {
                    detail = Some(reason);
                    choices.clear();
                    break;
                }
                Err(Unreached::Pending) => return Ok(None),
                Err(Unreached::Store(error)) => return Err(error.into()),
            }
        }
        let Parts { task, prompt, model, sample, repetition, .. } = self.parts;
        Ok(Some(Record {
            run: self.plan.run.clone(),
            task: task.name.clone(),
            prompt: prompt.name.clone(),
            family: model.family.clone(),
            model: model.name.clone(),
            sample: sample.id.clone(),
            repetition: *repetition,
            outcome: answer.outcome,
            scores: score(self.parts, &answer, target, &choices, &domain),
            answer: answer.text,
            target: sample.answer.clone(),
            detail,
            method: self.parts.method(),
            missing_mass,
            reply_tokens: self.reply_tokens,
            exchanges: self.exchanges,
        }))
    }

    async fn talk(&mut self) -> Result<Answer, Unreached> {
        let parts = self.parts;
        let start = parts.start().map_err(|error| Unreached::Failed(error.to_string()))?;
        let case = parts.case(&start);
        let mut turns = Vec::new();
        loop {
            match parts.cell.technique.next(&case, &turns) {
                Step::Answer(answer) => return Ok(answer),
                Step::Fail(reason) => return Err(Unreached::Failed(reason)),
                Step::Ask(request) => turns.push(Turn::Response(Box::new(self.get(&request).await?))),
                Step::CallTool { tool, input } => {
                    let output = compute(tool.clone(), input.clone()).await;
                    turns.push(Turn::ToolResult { tool, input, output });
                }
            }
        }
    }

    async fn get(&mut self, request: &Request) -> Result<Response, Unreached> {
        let key = self.plan.key(self.parts, request);
        self.exchanges.push(key);
        let _alone = self.source.alone(key).await;
        let response = match self.store.response(&key) {
            Ok(Some(response)) => response,
            Ok(None) => self.source.fetch(key, request).await?,
            Err(error) => return Err(Unreached::Store(error)),
        };
        if let (Wanted::Reply { .. }, Some(usage)) = (&request.wanted, response.usage) {
            self.reply_tokens = self.reply_tokens.max(Some(usage.completion_tokens));
        }
        Ok(response)
    }
}

/// Longest output of a tool that a model is given.
const LONGEST_OUTPUT: usize = 16 << 10;
/// Longest time a tool may take.
const TOOL_DEADLINE: Duration = Duration::from_secs(10);

/// Has a tool compute: it may hang, panic or give a megabyte, and must not hold up the conversations on this thread.
async fn compute(tool: String, input: String) -> Result<String, String> {
    let task = tokio::task::spawn_blocking(move || match tools::find(&tool) {
        Some(tool) => tool.call(&input),
        None => Err(format!("no tool `{tool}`")),
    });
    let output = match tokio::time::timeout(TOOL_DEADLINE, task).await {
        Ok(Ok(output)) => output?,
        Ok(Err(_)) => return Err("the tool crashed".to_owned()),
        Err(_) => return Err(format!("the tool took longer than {} seconds", TOOL_DEADLINE.as_secs())),
    };
    if output.len() > LONGEST_OUTPUT {
        return Err(format!("the tool gave {} bytes, more than {LONGEST_OUTPUT}", output.len()));
    }
    Ok(output)
}

fn score(
    parts: &Parts<'_>,
    answer: &Answer,
    target: Option<Logprobs>,
    choices: &[Logprobs],
    domain: &[Logprobs],
) -> Vec<Score> {
    let (sample, kind, answered) = (&parts.sample, parts.task.answer, answer.text.as_deref());
    let judged = Judged { sample, kind, answer: answered, target, choices, domain };
    parts
        .task
        .scorers()
        .filter_map(scorers::find)
        .map(|scorer| Score {
            scorer: scorer.name().into(),
            value: if answer.outcome.is_scored() { scorer.score(&judged) } else { None },
        })
        .collect()
}
