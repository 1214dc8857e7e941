//! The models, and one thread for each that has been asked for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use axum::http::HeaderMap;

use super::error::ApiError;
use super::limits::Limits;
use crate::ladder::{Card, Engine, Event, Job, Model};

/// Replies that wait for one model, those being written included; more are refused.
const LONGEST_QUEUE: usize = 4_096;

/// A job on its way to an engine.
#[derive(Debug)]
struct Order {
    job: Job,
    events: UnboundedSender<Event>,
}

#[derive(Debug)]
enum Stage {
    Idle(Box<Model>),
    Running(mpsc::Sender<Order>),
    /// The thread could not be started.
    Broken,
}

/// One model and its counter.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) card: Card,
    stage: Mutex<Stage>,
    /// Jobs that were handed in and are not finished.
    queue: Arc<AtomicUsize>,
    requests: AtomicU64,
}

impl Served {
    /// Hands a job to the engine, which drops it when the receiver is dropped.
    pub(super) fn submit(&self, job: Job) -> Result<UnboundedReceiver<Event>, ApiError> {
        job.check(self.card.shape.context)?;
        if self.queue.load(Ordering::Relaxed) >= LONGEST_QUEUE {
            let words = format!("{LONGEST_QUEUE} replies of {} are waited for already", self.card.name);
            return Err(ApiError::overloaded(&words));
        }
        let (events, receiver) = unbounded_channel();
        let gone = || ApiError::internal(format!("the thread of {} is gone", self.card.name));
        let sender = self.sender()?;
        self.queue.fetch_add(1, Ordering::Relaxed);
        sender.send(Order { job, events }).map_err(|_| {
            self.queue.fetch_sub(1, Ordering::Relaxed);
            gone()
        })?;
        Ok(receiver)
    }

    /// The way to the engine, which is started when it is not running.
    fn sender(&self) -> Result<mpsc::Sender<Order>, ApiError> {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *stage, Stage::Broken) {
            Stage::Running(sender) => {
                *stage = Stage::Running(sender.clone());
                Ok(sender)
            }
            Stage::Idle(model) => {
                let (sender, orders) = mpsc::channel();
                let queue = Arc::clone(&self.queue);
                std::thread::Builder::new()
                    .name(self.card.name.clone())
                    .spawn(move || work(&model, &orders, &queue))
                    .map_err(|error| ApiError::internal(format!("no thread for {}: {error}", self.card.name)))?;
                *stage = Stage::Running(sender.clone());
                Ok(sender)
            }
            Stage::Broken => Err(ApiError::internal(format!("no thread for {}", self.card.name))),
        }
    }
}

/// Runs the engine until nobody can send an order any more.
fn work(model: &Model, orders: &mpsc::Receiver<Order>, queue: &AtomicUsize) {
    let mut engine = Engine::new(model);
    let mut clients: HashMap<u64, UnboundedSender<Event>> = HashMap::new();
    let mut next = 0;
    loop {
        let first = if engine.is_idle() {
            let Ok(order) = orders.recv() else { return };
            Some(order)
        } else {
            None
        };
        for Order { job, events } in first.into_iter().chain(orders.try_iter()) {
            // It was checked before it was sent; should it be refused all the same, the client sees its channel close.
            if engine.submit(next, job).is_ok() {
                clients.insert(next, events);
            } else {
                queue.fetch_sub(1, Ordering::Relaxed);
            }
            next += 1;
        }
        let before = clients.len();
        clients.retain(|_, events| !events.is_closed());
        if clients.len() < before {
            queue.fetch_sub(before - clients.len(), Ordering::Relaxed);
            engine.retain(|id| clients.contains_key(&id));
        }
        for (id, event) in engine.step() {
            let is_last = matches!(event, Event::Finished(_));
            if let Some(events) = clients.get(&id) {
                // A client that has gone away is found out before the next step.
                drop(events.send(event));
            }
            if is_last && clients.remove(&id).is_some() {
                queue.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// Everything the handlers share.
#[derive(Debug)]
pub(super) struct Service {
    models: Vec<Served>,
    limits: Limits,
    completions: AtomicU64,
    replies: AtomicU64,
}

impl Service {
    pub(super) fn new(models: Vec<Model>, limits: Limits) -> Self {
        let serve = |model: Model| Served {
            card: model.card.clone(),
            stage: Mutex::new(Stage::Idle(Box::new(model))),
            queue: Arc::new(AtomicUsize::new(0)),
            requests: AtomicU64::new(0),
        };
        let models = models.into_iter().map(serve).collect();
        Self { models, limits, completions: AtomicU64::new(0), replies: AtomicU64::new(0) }
    }

    /// Lets in so many replies to a prompt, each of so many tokens at most; the headers of the reply.
    pub(super) fn admit(&self, job: &Job, choices: u64) -> Result<HeaderMap, ApiError> {
        let reply = job.generate.as_ref().map_or(0, |generate| generate.max_tokens);
        let choices = usize::try_from(choices).unwrap_or(usize::MAX);
        self.limits.admit((job.prompt.len() + 1).saturating_add(reply.saturating_mul(choices)))
    }

    pub(super) fn cards(&self) -> impl Iterator<Item = &Card> {
        self.models.iter().map(|served| &served.card)
    }

    /// Counts a completion request, whatever becomes of it.
    pub(super) fn count(&self) {
        self.completions.fetch_add(1, Ordering::Relaxed);
    }

    /// A number for the identifier of a reply.
    pub(super) fn number(&self) -> u64 {
        self.replies.fetch_add(1, Ordering::Relaxed)
    }

    /// The model of that name, with the request counted.
    pub(super) fn model(&self, name: &str) -> Result<&Served, ApiError> {
        let served = self.models.iter().find(|served| served.card.name == name);
        let served =
            served.ok_or_else(|| ApiError::no_model(name, self.cards().map(|card| card.name.as_str()).collect()))?;
        served.requests.fetch_add(1, Ordering::Relaxed);
        Ok(served)
    }

    pub(super) fn stats(&self) -> Value {
        let count = |served: &Served| (served.card.name.clone(), json!(served.requests.load(Ordering::Relaxed)));
        let requests: serde_json::Map<String, Value> = self.models.iter().map(count).collect();
        json!({ "requests": requests, "completions": self.completions.load(Ordering::Relaxed) })
    }
}
