//! The two seams between a request and the network: providers translate, transports move bytes.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::endpoint::{Endpoint, Scoring};
use super::exchange::{Request, Response};

/// An HTTP request, free of addresses and secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path below the endpoint's base address.
    pub path: String,
    /// Headers that the dialect needs beside those of the content and of the key.
    pub headers: Vec<(&'static str, String)>,
    /// The JSON body; empty for `GET`.
    pub body: Vec<u8>,
}

/// An HTTP reply, its body read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Why no HTTP reply came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The request or a part of the reply did not come in time.
    #[error("no complete reply within {0:?}")]
    Timeout(Duration),
    /// No connection could be made: nothing was sent.
    #[error("no connection: {0}")]
    NoConnection(String),
    /// The connection broke, and nobody knows what became of the request.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The reply is larger than any that is read.
    #[error("the reply of {bytes} bytes or more is above the limit of {limit} bytes")]
    TooLarge {
        /// Bytes declared, or read so far.
        bytes: u64,
        /// The most that is read.
        limit: u64,
    },
}

/// A future that can be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Moves bytes: the one asynchronous seam.
pub trait Transport: Send + Sync + std::fmt::Debug {
    /// Sends a request and reads the reply whole.
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>>;
    /// Where it sends to, for messages: no name of a user, no password, no query.
    fn address(&self) -> &str;
}

/// What a reply that is no answer means for the next attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// Too many requests; after that long, when the endpoint says.
    RateLimited(Option<Duration>),
    /// Trying again may help.
    Transient,
    /// Trying again will not help this request.
    Fatal,
    /// The endpoint does not have the model.
    NoModel,
    /// The endpoint refuses what the request says: a result, not a failure.
    Refused,
    /// Nothing will help: the endpoint refuses everything, as for a wrong key.
    Unusable,
}

/// What an endpoint says of its quotas in the headers of a reply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Of each quota that it names, what remains and after how long there is more.
    pub quotas: Vec<(u64, Duration)>,
}

impl Allowance {
    /// How long there is nothing left of some quota.
    #[must_use]
    pub fn used_up(&self) -> Option<Duration> {
        self.quotas.iter().filter(|(remaining, _)| *remaining == 0).map(|&(_, reset)| reset).max()
    }

    /// The longest time until a quota is whole again.
    #[must_use]
    pub fn longest(&self) -> Option<Duration> {
        self.quotas.iter().map(|&(_, reset)| reset).max()
    }
}

/// A request on its way to a model.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The endpoint.
    pub endpoint: &'a Endpoint,
    /// The model's name there.
    pub model: &'a str,
    /// What is asked.
    pub request: &'a Request,
    /// Seed of the draws, the repetition added.
    pub seed: u64,
}

/// A family of HTTP APIs: pure translation in both directions.
pub trait Provider: Sync {
    /// The name used in the configuration.
    fn name(&self) -> &'static str;
    /// The source file, whose leading comment is the manual page.
    fn source(&self) -> &'static str;
    /// The dialects it speaks, the usual one first.
    fn dialects(&self) -> &'static [&'static str] {
        &["standard"]
    }
    /// The header that carries a key in a dialect, and what stands before the key there.
    fn authorization(&self, _dialect: &str) -> (&'static str, &'static str) {
        ("authorization", "Bearer ")
    }
    /// Whether it takes messages, and not a text.
    fn is_chat(&self) -> bool;
    /// Whether functions can be offered to a model.
    fn has_functions(&self, _dialect: &str) -> bool {
        false
    }
    /// The ways to log-probabilities that a dialect has, the one to take first.
    fn scoring(&self, dialect: &str) -> &'static [Scoring];
    /// The HTTP request for a call.
    ///
    /// # Errors
    /// In words, when this dialect cannot express the request.
    fn encode(&self, call: &Call<'_>) -> Result<HttpRequest, String>;
    /// The reply in a successful HTTP response.
    ///
    /// # Errors
    /// In words: what was expected and what came instead.
    fn decode(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Response, String>;
    /// What an unsuccessful HTTP response means.
    fn classify(&self, response: &HttpResponse) -> Class;
    /// What the headers of any response say of quotas.
    fn allowance(&self, response: &HttpResponse) -> Allowance;
}
