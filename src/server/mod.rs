//! A server of ladder models that speaks OpenAI's HTTP API.
//!
//! | | |
//! |---|---|
//! | `GET /v1/models` | the models |
//! | `POST /v1/completions` | `prompt`, `max_tokens`, `temperature`, `seed`, `stop`, `n`, `logit_bias`, `echo`, `logprobs` (0 to 5), `stream` |
//! | `POST /v1/chat/completions` | `messages`, `max_tokens` or `max_completion_tokens`, `temperature`, `seed`, `stop`, `n`, `logit_bias`, `logprobs`, `top_logprobs` (0 to 20), `tools`, `tool_choice`, `stream` |
//! | `GET /stats` | how many completion requests were received since the start, in total and by model |
//!
//! A parameter that would change the reply and is not in this list is refused, not ignored. With `echo` and `logprobs` the
//! prompt is scored. Choice `i` of `n` is drawn with `seed + i`. A bias is added to the logits of a reply before anything is drawn or
//! reported, under the number of its token: the ASCII code. These models know no roles: the prompt of a chat is the contents of its messages, joined by
//! newlines, unless tools are offered (`tool_calls.rs`).
//!
//! Bounded are the bytes of a request, the replies that wait for one model, and the tokens of a reply, by the context of the model.

mod chaos;
mod chat;
mod completions;
mod error;
mod limits;
mod request;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod tool_calls;

use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use serde_json::json;

use self::chaos::Chaos;
use self::error::ApiError;
use self::limits::Limits;
use self::state::Service;
use crate::ladder::Model;

/// Bytes of the longest request.
const LONGEST_REQUEST: usize = 1 << 20;

/// What a server does to its clients on purpose, so that they can be tested.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hardships {
    /// Requests that are allowed in a minute.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens that are allowed in a minute: those of the prompt, and the most that the reply may have.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// The seed of faults, where there are to be some.
    pub chaos: Option<u64>,
}

/// The routes of a server of these models. A model's thread starts with its first request and ends with the router.
pub fn router(models: Vec<Model>, hardships: Hardships) -> Router {
    let limits = Limits::new(hardships.requests_per_minute, hardships.tokens_per_minute);
    let router = Router::new()
        .route("/v1/models", get(models_list))
        .route("/v1/completions", post(completions::handle))
        .route("/v1/chat/completions", post(chat::handle))
        .route("/stats", get(stats))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(DefaultBodyLimit::max(LONGEST_REQUEST))
        .with_state(Arc::new(Service::new(models, limits)));
    match hardships.chaos {
        None => router,
        Some(seed) => router.layer(from_fn_with_state(Arc::new(Chaos::new(seed)), chaos::meet)),
    }
}

/// Serves until `shutdown` is ready, then finishes the requests that are being answered.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    // Small replies must not wait for each other; a socket that refuses the option is served all the same.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

async fn models_list(State(service): State<Arc<Service>>) -> Response {
    let data: Vec<_> = service
        .cards()
        .map(|card| json!({ "id": card.name, "object": "model", "created": 0, "owned_by": "onset", "max_model_len": card.shape.context }))
        .collect();
    Json(json!({ "object": "list", "data": data })).into_response()
}

async fn stats(State(service): State<Arc<Service>>) -> Response {
    Json(service.stats()).into_response()
}

async fn not_found(request: axum::extract::Request) -> ApiError {
    ApiError::no_route(request.method(), request.uri().path())
}
