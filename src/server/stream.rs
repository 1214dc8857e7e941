//! What becomes of the events of a request's choices: all of them at once, or as they come.

use std::convert::Infallible;

use axum::response::sse::{Event as Chunk, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, SelectAll, Stream, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::error::ApiError;
use super::state::Served;
use crate::ladder::{Event, Finish, Finished, Job};

/// Submits one job for each choice; they differ by their seeds.
pub(super) fn submit(served: &Served, job: &Job, choices: u64) -> Result<Vec<UnboundedReceiver<Event>>, ApiError> {
    let choice = |index: u64| {
        let mut job = job.clone();
        if let Some(generate) = &mut job.generate {
            generate.seed = generate.seed.wrapping_add(index);
        }
        served.submit(job)
    };
    (0..choices).map(choice).collect()
}

/// Waits for every choice.
pub(super) async fn collect(receivers: Vec<UnboundedReceiver<Event>>) -> Result<Vec<Finished>, ApiError> {
    let mut all = Vec::with_capacity(receivers.len());
    for mut receiver in receivers {
        loop {
            match receiver.recv().await {
                Some(Event::Finished(finished)) => {
                    all.push(*finished);
                    break;
                }
                Some(Event::Text { .. }) => {}
                None => return Err(ApiError::internal("the model stopped working on this request")),
            }
        }
    }
    Ok(all)
}

pub(super) fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

/// The usage of some choices of one prompt, which is counted once.
pub(super) fn usage(finished: &[Finished]) -> Value {
    let prompt = finished.first().map_or(0, |finished| finished.prompt_tokens);
    let completion: usize = finished.iter().map(|finished| finished.tokens).sum();
    json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Sends the events of all choices as they come: what `render` makes of the event of a choice goes into the `choices` of a copy
/// of `head`.
pub(super) fn respond(
    receivers: Vec<UnboundedReceiver<Event>>,
    head: Value,
    include_usage: bool,
    mut render: impl FnMut(usize, &Event) -> Value + Send + 'static,
) -> Response {
    let mut finished = Vec::new();
    let chunk_head = head.clone();
    let chunks = merge(receivers).map(move |item| match item {
        Item::Event(index, event) => {
            let mut chunk = with(&chunk_head, "choices", json!([render(index, &event)]));
            if include_usage {
                chunk = with(&chunk, "usage", Value::Null);
            }
            if let Event::Finished(event) = event {
                finished.push(*event);
            }
            Some(chunk.to_string())
        }
        Item::Broken => {
            let error = json!({ "message": "the model stopped working on this request", "type": "server_error" });
            Some(json!({ "error": error }).to_string())
        }
        Item::End if include_usage => {
            let chunk = with(&chunk_head, "choices", json!([]));
            Some(with(&chunk, "usage", usage(&finished)).to_string())
        }
        Item::End => None,
    });
    let chunks = chunks.filter_map(std::future::ready).chain(stream::once(std::future::ready("[DONE]".to_owned())));
    Sse::new(chunks.map(|data| Ok::<_, Infallible>(Chunk::default().data(data)))).into_response()
}

fn with(object: &Value, key: &str, value: Value) -> Value {
    let mut object = object.clone();
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
    object
}

enum Item {
    Event(usize, Event),
    /// A choice ended without being finished.
    Broken,
    End,
}

fn merge(receivers: Vec<UnboundedReceiver<Event>>) -> impl Stream<Item = Item> + Send + 'static {
    let mut all = SelectAll::new();
    for (index, receiver) in receivers.into_iter().enumerate() {
        let events = stream::unfold(Some(receiver), move |receiver| async move {
            let mut receiver = receiver?;
            match receiver.recv().await {
                Some(event @ Event::Finished(_)) => Some((Item::Event(index, event), None)),
                Some(event) => Some((Item::Event(index, event), Some(receiver))),
                None => Some((Item::Broken, None)),
            }
        });
        all.push(events.boxed());
    }
    all.chain(stream::once(std::future::ready(Item::End)))
}
