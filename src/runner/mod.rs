//! Driving a plan: every unit a conversation, every exchange kept before it is scored.

mod alone;
mod conversation;
mod gateway;
mod limiter;
mod pace;
mod probe;
mod spending;
mod width;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;

use crate::plan::{Plan, Quota, Unit};
use crate::schema::{Outcome, SamplesError};
use crate::store::{Store, StoreError, Tally};

pub use conversation::{Settled, Unreached, converse, rebuild};
pub use gateway::{Gateway, GatewayError, Retries};
pub use limiter::{Limiter, Limits, Waiting};
pub use probe::{identity, probe};
pub use spending::Spending;

/// Something that happened in a run.
#[derive(Debug, Clone)]
pub enum Event {
    /// What there is of a model's records before more are asked for.
    Begun {
        /// The model.
        model: String,
        /// Records that are there already.
        records: usize,
        /// How many there are to be.
        planned: usize,
    },
    /// A record was committed.
    Settled {
        /// The model.
        model: String,
        /// What became of it.
        outcome: Outcome,
    },
    /// Requests to an endpoint wait for something.
    Waiting {
        /// The endpoint.
        endpoint: String,
        /// What for, and how long; none when they no longer do.
        waiting: Option<Waiting>,
    },
    /// Nothing more can be had from an endpoint, or from one of its models.
    Unusable {
        /// The endpoint, or `endpoint/model`.
        endpoint: String,
        /// Why.
        reason: String,
    },
}

/// Someone who watches a run.
pub trait Observer: Send + Sync {
    /// Sees an event.
    fn event(&self, event: &Event);
}

/// Conversations beside those whose requests are in flight, at least.
const FEWEST_BEHIND: usize = 128;
/// How often it is told what requests wait for.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Requests sent, retries included.
    pub requests: u64,
    /// Records there are now, by outcome.
    pub outcomes: BTreeMap<Outcome, usize>,
    /// Records with an answer that lack a log-probability, because the request for it failed.
    pub incomplete: usize,
    /// Endpoints (or `endpoint/model`) from which nothing more can be had, and why.
    pub unusable: Vec<(String, String)>,
    /// Whether the run was interrupted.
    pub interrupted: bool,
}

/// What a run may do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Ask failed records again, and incomplete ones for what they lack.
    pub retry_failed: bool,
}

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The samples cannot be read.
    #[error(transparent)]
    Samples(#[from] SamplesError),
}

/// Whether a record has its answer but lacks a log-probability that could not be had.
fn is_incomplete(outcome: Outcome, has_detail: bool) -> bool {
    outcome != Outcome::Failed && has_detail
}

/// Runs a plan through its gateways until every record within the quota is there, or `stop` turns true: then the requests in flight are finished
/// and committed, and no more are sent.
///
/// # Errors
/// When the store cannot be read or written, or the samples cannot be read: nothing more is sent then.
pub async fn run(
    plan: Arc<Plan>,
    quota: &Quota,
    store: Store,
    gateways: HashMap<String, Arc<Gateway>>,
    options: Options,
    stop: watch::Receiver<bool>,
    observer: Arc<dyn Observer>,
) -> Result<Summary, RunError> {
    let mut outcomes: BTreeMap<Outcome, usize> = BTreeMap::new();
    let mut resumed: BTreeMap<String, usize> = BTreeMap::new();
    let mut incomplete = 0;
    let stays = move |outcome: Outcome, has_detail: bool| {
        !options.retry_failed || (outcome != Outcome::Failed && !is_incomplete(outcome, has_detail))
    };
    for Tally { model, outcome, has_detail, records } in store.tally(&plan.run)? {
        if stays(outcome, has_detail) {
            incomplete += if is_incomplete(outcome, has_detail) { records } else { 0 };
            *outcomes.entry(outcome).or_default() += records;
            *resumed.entry(model).or_default() += records;
        }
    }
    let there: usize = resumed.values().sum();
    let (is_new, is_whole) = (there == 0, there == quota.sum() * plan.repetitions as usize);
    for (index, entry) in plan.models.iter().enumerate() {
        let (model, planned) = (entry.name.clone(), quota.of_model(index) * plan.repetitions as usize);
        let records = resumed.get(&model).copied().unwrap_or_default();
        observer.event(&Event::Begun { model, records, planned });
    }
    // Asked of the store one by one: what is there may be more than fits the memory.
    let is_pending = move |plan: &Plan, store: &Store, gateway: &Gateway, unit: Unit| -> Result<bool, RunError> {
        if is_whole || plan.models.get(unit.model).is_none_or(|model| gateway.is_done_with(&model.name)) {
            return Ok(false);
        }
        if is_new {
            return Ok(true);
        }
        let Some(parts) = plan.parts(unit)? else { return Ok(false) };
        let fate = store.fate(&plan.run, &parts.record_name())?;
        Ok(fate.is_none_or(|fate| !stays(fate.outcome, fate.detail.is_some())))
    };

    // One stream per endpoint, so that a slow one holds up nobody else. Units are made as they are needed: memory does not
    // grow with the number of samples.
    let endpoints = gateways.into_iter().map(|(name, gateway)| {
        let units = plan.units(&name, quota);
        let (plan, store, stop, observer) = (Arc::clone(&plan), store.clone(), stop.clone(), Arc::clone(&observer));
        async move {
            // Whose reply or record is being committed holds up no request.
            let conversations = gateway.in_flight() + gateway.in_flight().max(FEWEST_BEHIND);
            let tasks = futures_util::stream::iter(units)
                .take_while(|_| {
                    let go_on = !*stop.borrow() && gateway.unusable().is_none();
                    async move { go_on }
                })
                .filter_map(|unit| {
                    let unit = match is_pending(&plan, &store, &gateway, unit) {
                        Ok(is_pending) => is_pending.then_some(Ok(unit)),
                        Err(error) => Some(Err(error)),
                    };
                    async move {
                        // Much may be there: signals must be heard while it is passed over.
                        tokio::task::consume_budget().await;
                        unit
                    }
                })
                .map(|unit| {
                    let (plan, store, gateway, stop) =
                        (Arc::clone(&plan), store.clone(), Arc::clone(&gateway), stop.clone());
                    tokio::spawn(async move { converse(&plan, unit?, &store, &gateway, &stop).await })
                })
                .buffer_unordered(conversations);
            let mut tasks = std::pin::pin!(tasks);
            let mut part = Summary::default();
            let mut clock = tokio::time::interval(TELL_EVERY);
            loop {
                let finished = tokio::select! {
                    finished = tasks.next() => finished,
                    _ = clock.tick() => {
                        observer.event(&Event::Waiting { endpoint: name.clone(), waiting: gateway.waiting() });
                        continue;
                    }
                };
                let Some(finished) = finished else { break };
                // A panic is a defect: let it surface as one, with its own message.
                let finished = finished.unwrap_or_else(|join| std::panic::resume_unwind(join.into_panic()));
                if let Some(Settled { model, outcome, has_detail }) = finished? {
                    part.incomplete += usize::from(is_incomplete(outcome, has_detail));
                    *part.outcomes.entry(outcome).or_default() += 1;
                    observer.event(&Event::Settled { model, outcome });
                }
            }
            for (endpoint, reason) in gateway.all_unusable() {
                observer.event(&Event::Unusable { endpoint: endpoint.clone(), reason: reason.clone() });
                part.unusable.push((endpoint, reason));
            }
            part.requests = gateway.requests();
            Ok::<_, RunError>(part)
        }
    });
    let mut summary = Summary { outcomes, incomplete, ..Summary::default() };
    for finished in futures_util::future::join_all(endpoints).await {
        let part: Summary = finished?;
        summary.requests += part.requests;
        summary.incomplete += part.incomplete;
        for (outcome, count) in part.outcomes {
            *summary.outcomes.entry(outcome).or_default() += count;
        }
        summary.unusable.extend(part.unusable);
    }
    summary.interrupted = *stop.borrow();
    Ok(summary)
}
