//! The models, and one thread for each that has been asked for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::error::ApiError;
use crate::ladder::{Card, Engine, Event, Job, Model};

/// A job on its way to an engine.
#[derive(Debug)]
struct Order {
    job: Job,
    events: UnboundedSender<Event>,
}

#[derive(Debug)]
enum Stage {
    Idle(Model),
    Running(mpsc::Sender<Order>),
    /// The thread could not be started.
    Broken,
}

/// One model and its counter.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) card: Card,
    stage: Mutex<Stage>,
    requests: AtomicU64,
}

impl Served {
    /// Hands a job to the engine, which drops it when the receiver is dropped.
    pub(super) fn submit(&self, job: Job) -> Result<UnboundedReceiver<Event>, ApiError> {
        job.check(self.card.shape.context)?;
        let (events, receiver) = unbounded_channel();
        let gone = || ApiError::internal(format!("the thread of {} is gone", self.card.name));
        self.sender()?.send(Order { job, events }).map_err(|_| gone())?;
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
                std::thread::Builder::new()
                    .name(self.card.name.clone())
                    .spawn(move || work(&model, &orders))
                    .map_err(|error| ApiError::internal(format!("no thread for {}: {error}", self.card.name)))?;
                *stage = Stage::Running(sender.clone());
                Ok(sender)
            }
            Stage::Broken => Err(ApiError::internal(format!("no thread for {}", self.card.name))),
        }
    }
}

/// Runs the engine until nobody can send an order any more.
fn work(model: &Model, orders: &mpsc::Receiver<Order>) {
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
            }
            next += 1;
        }
        let before = clients.len();
        clients.retain(|_, events| !events.is_closed());
        if clients.len() < before {
            engine.retain(|id| clients.contains_key(&id));
        }
        for (id, event) in engine.step() {
            let is_last = matches!(event, Event::Finished(_));
            if let Some(events) = clients.get(&id) {
                // A client that has gone away is found out before the next step.
                drop(events.send(event));
            }
            if is_last {
                clients.remove(&id);
            }
        }
    }
}

/// Everything the handlers share.
#[derive(Debug)]
pub(super) struct Service {
    models: Vec<Served>,
    completions: AtomicU64,
    replies: AtomicU64,
}

impl Service {
    pub(super) fn new(models: Vec<Model>) -> Self {
        let serve = |model: Model| Served {
            card: model.card.clone(),
            stage: Mutex::new(Stage::Idle(model)),
            requests: AtomicU64::new(0),
        };
        Self { models: models.into_iter().map(serve).collect(), completions: AtomicU64::new(0), replies: AtomicU64::new(0) }
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
