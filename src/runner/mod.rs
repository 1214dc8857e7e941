//! Driving a plan: every unit a conversation, every exchange kept before it is scored.

mod alone;
mod conversation;
mod gateway;
mod helper;
mod limiter;
mod pace;
mod probe;
mod spending;
mod width;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::helper::BY_ONE;
use crate::plan::{Plan, Quota, Unit};
use crate::schema::{ModelEntry, Outcome, SamplesError};
use crate::store::{Store, StoreError, Tally};

pub use conversation::{Settled, Unreached, converse, rebuild};
pub use gateway::{Gateway, GatewayError, Retries};
pub use helper::Helper;
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
    /// A record is there, on its way to a commit at least.
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

impl Summary {
    fn add(&mut self, part: Self) {
        self.requests += part.requests;
        self.incomplete += part.incomplete;
        for (outcome, count) in part.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.unusable.extend(part.unusable);
    }
}

/// What a run may do.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Ask failed records again, and incomplete ones for what they lack.
    pub retry_failed: bool,
    /// Where every other conversation is led when there are very many: that of a [`Helper`], which has to outlive the run.
    pub helper: Option<Handle>,
}

impl Options {
    /// Whether a record stays as it is.
    fn keeps(&self, outcome: Outcome, has_detail: bool) -> bool {
        !self.retry_failed || (outcome != Outcome::Failed && !is_incomplete(outcome, has_detail))
    }
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
    for Tally { model, outcome, has_detail, records } in store.tally(&plan.run)? {
        if options.keeps(outcome, has_detail) {
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
    // Turns true with `stop`, when the store fails, and when a conversation of any endpoint cannot go on.
    let (halt, halted) = watch::channel(false);
    let halt = Arc::new(halt);
    // One queue per endpoint, so that a slow one holds up nobody else.
    let endpoints = gateways.into_iter().map(|(name, gateway)| {
        let units = Mutex::new(Box::new(plan.units(&name, quota)) as Units);
        let (plan, store, observer) = (Arc::clone(&plan), store.clone(), Arc::clone(&observer));
        let (halt, stop) = (Arc::clone(&halt), halted.clone());
        let options = options.clone();
        let queue = Arc::new(Queue { plan, units, options, is_new, is_whole, store, gateway, halt, stop, observer });
        async move { queue.work_off(&name).await }
    });
    let mut summary = Summary { outcomes, incomplete, ..Summary::default() };
    let mut wish = stop.clone();
    let wished = async {
        tokio::select! {
            // Without a sender there is nobody who could stop the run.
            Ok(_) = wish.wait_for(|stop| *stop) => {}
            () = store.failure() => {}
        }
        halt.send_replace(true);
        std::future::pending().await
    };
    let parts = tokio::select! {
        biased;
        never = wished => match never {},
        parts = futures_util::future::join_all(endpoints) => parts,
    };
    for part in parts {
        summary.add(part?);
    }
    store.settle().await?;
    summary.interrupted = *stop.borrow();
    Ok(summary)
}

type Units = Box<dyn Iterator<Item = Unit> + Send>;

/// What is to be asked of one endpoint. Units are made as they are needed, so that memory does not grow with the number of samples.
struct Queue {
    plan: Arc<Plan>,
    units: Mutex<Units>,
    options: Options,
    /// Whether there is no record yet.
    is_new: bool,
    /// Whether every record is there.
    is_whole: bool,
    store: Store,
    gateway: Arc<Gateway>,
    halt: Arc<watch::Sender<bool>>,
    stop: watch::Receiver<bool>,
    observer: Arc<dyn Observer>,
}

impl Queue {
    /// Leads as many conversations at a time as requests may be in flight: one that waits to be tried again keeps its place.
    async fn work_off(self: Arc<Self>, name: &str) -> Result<Summary, RunError> {
        let mut conversations = JoinSet::new();
        let most = self.gateway.in_flight().min(self.plan.len());
        for number in 0..most {
            let conversation = Arc::clone(&self).converse();
            match &self.options.helper {
                Some(helper) if most > BY_ONE && number % 2 == 1 => conversations.spawn_on(conversation, helper),
                _ => conversations.spawn(conversation),
            };
        }
        let (mut summary, mut failed) = (Summary::default(), None);
        let mut clock = tokio::time::interval(TELL_EVERY);
        loop {
            let part = tokio::select! {
                part = conversations.join_next() => part,
                _ = clock.tick() => {
                    self.observer.event(&Event::Waiting { endpoint: name.to_owned(), waiting: self.gateway.waiting() });
                    continue;
                }
            };
            let Some(part) = part else { break };
            // A panic is a defect: let it surface as one, with its own message.
            let part = part.unwrap_or_else(|join| std::panic::resume_unwind(join.into_panic()));
            match part {
                Ok(part) => summary.add(part),
                Err(error) => {
                    // What is in flight is still waited for: it is paid for.
                    self.halt.send_replace(true);
                    failed.get_or_insert(error);
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        for (endpoint, reason) in self.gateway.all_unusable() {
            self.observer.event(&Event::Unusable { endpoint: endpoint.clone(), reason: reason.clone() });
            summary.unusable.push((endpoint, reason));
        }
        summary.requests = self.gateway.requests();
        Ok(summary)
    }

    /// Leads one conversation after the other.
    async fn converse(self: Arc<Self>) -> Result<Summary, RunError> {
        let mut part = Summary::default();
        while !*self.stop.borrow() && self.gateway.unusable().is_none() {
            let Some(unit) = lock(&self.units).next() else { break };
            if !self.is_pending(unit)? {
                // Much may be there: others must be heard while it is passed over.
                tokio::task::consume_budget().await;
                continue;
            }
            let settled = converse(&self.plan, unit, &self.store, &self.gateway, &self.stop).await?;
            if let Some(Settled { model, outcome, has_detail }) = settled {
                part.incomplete += usize::from(is_incomplete(outcome, has_detail));
                *part.outcomes.entry(outcome).or_default() += 1;
                self.observer.event(&Event::Settled { model, outcome });
            }
        }
        Ok(part)
    }

    /// Whether a unit is still to be asked. The store says so one by one: what is there may be more than fits the memory.
    fn is_pending(&self, unit: Unit) -> Result<bool, RunError> {
        let is_done = |model: &ModelEntry| self.gateway.is_done_with(&model.name);
        if self.is_whole || self.plan.models.get(unit.model).is_none_or(is_done) {
            return Ok(false);
        }
        if self.is_new {
            return Ok(true);
        }
        let Some(parts) = self.plan.parts(unit)? else { return Ok(false) };
        let fate = self.store.fate(&self.plan.run, &parts.record_name())?;
        Ok(fate.is_none_or(|fate| !self.options.keeps(fate.outcome, fate.detail.is_some())))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
