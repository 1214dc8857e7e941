//! Moving bytes: over the network, or to a router in this process by the same protocol.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use futures_util::{Stream, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use tower::ServiceExt;

use crate::schema::{BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};

/// Largest reply that is read, in bytes: no honest reply to one request comes near it.
const LARGEST_BODY: u64 = 64 << 20;

/// Bytes of the longest key that may be a word of its own, as `none` and `EMPTY` are for servers that want any: in a good reply it may
/// be the answer, which must not be garbled.
const PLACEHOLDER: usize = 7;

/// HTTP over the network. A connection is given back by a task of its own: whoever sends again at once, without having waited for
/// anything, finds it still taken and opens another.
#[derive(Debug)]
pub struct Network {
    /// One for each thread that sends: a connection is led by the thread that opened it, which another one would have to wake.
    clients: Mutex<HashMap<ThreadId, reqwest::Client>>,
    headers: HeaderMap,
    base_url: String,
    address: String,
    query: String,
    last: Mutex<Option<(String, reqwest::Url)>>,
    secrets: Vec<SecretString>,
    timeout: Duration,
}

/// A header of every request to an endpoint.
#[derive(Debug)]
pub struct Header {
    /// Its name, in lower case.
    pub name: String,
    /// What stands before the value, as `Bearer ` does before a key.
    pub before: &'static str,
    /// The value.
    pub value: SecretString,
    /// Whether the value must never be shown.
    pub is_secret: bool,
}

impl Network {
    /// A transport to one base address, whose query, if it has one, is that of every request.
    ///
    /// # Errors
    /// When the TLS library cannot be set up, or a header cannot be sent.
    pub fn new(base_url: &str, headers: Vec<Header>, timeout: Duration) -> Result<Self, TransportError> {
        let unusable = |error: &dyn std::fmt::Display| TransportError::NoConnection(error.to_string());
        let mut default = HeaderMap::new();
        let mut secrets = Vec::new();
        for header in headers {
            let text = format!("{}{}", header.before, header.value.expose_secret());
            // The error of a value that cannot be sent does not repeat it.
            let mut value = HeaderValue::from_str(&text).map_err(|error| unusable(&error))?;
            value.set_sensitive(header.is_secret);
            let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|error| unusable(&error))?;
            default.insert(name, value);
            secrets.extend(header.is_secret.then_some(header.value));
        }
        let client = client(&default, timeout)?;
        let (address, query) = base_url.split_once('?').unwrap_or((base_url, ""));
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        if let Ok(url) = reqwest::Url::parse(base_url) {
            secrets.extend(secrets_of(&url, &client));
        }
        let base_url = address.trim_end_matches('/').to_owned();
        let (address, last) = (public_part(&base_url), Mutex::default());
        let clients = Mutex::new(HashMap::from([(std::thread::current().id(), client)]));
        Ok(Self { clients, headers: default, address, base_url, query, last, secrets, timeout })
    }

    /// The client of this thread.
    fn client(&self) -> Result<reqwest::Client, TransportError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match clients.entry(std::thread::current().id()) {
            Entry::Occupied(entry) => entry.get().clone(),
            Entry::Vacant(entry) => entry.insert(client(&self.headers, self.timeout)?).clone(),
        })
    }

    /// The whole address of a path, which mostly is that of the request before.
    fn url(&self, path: &str) -> Result<reqwest::Url, TransportError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, url)) = &*last
            && known == path
        {
            return Ok(url.clone());
        }
        // A path may bring a query of its own, as Google's does.
        let query = if path.contains('?') { self.query.replacen('?', "&", 1) } else { self.query.clone() };
        let url = reqwest::Url::parse(&format!("{}{path}{query}", self.base_url));
        let url = url.map_err(|error| TransportError::NoConnection(error.to_string()))?;
        *last = Some((path.to_owned(), url.clone()));
        Ok(url)
    }

    fn error(&self, error: &reqwest::Error) -> TransportError {
        if error.is_timeout() {
            return if error.is_connect() {
                TransportError::NoConnection(format!("none within {:?}", connect_timeout(self.timeout)))
            } else {
                TransportError::Timeout(self.timeout)
            };
        }
        // The innermost cause says what happened; the outer ones repeat the address.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let cause = String::from_utf8_lossy(&self.without_secrets(cause.to_string().into(), 1)).into_owned();
        if error.is_connect() { TransportError::NoConnection(cause) } else { TransportError::Broken(cause) }
    }

    /// Some servers repeat a key, in a complaint about it or elsewhere; what they say ends in the store and in logs. `shortest` is the
    /// length of the shortest key that is looked for.
    fn without_secrets(&self, mut text: Vec<u8>, shortest: usize) -> Vec<u8> {
        for secret in &self.secrets {
            let secret = secret.expose_secret();
            if secret.len() >= shortest && memchr::memmem::find(&text, secret.as_bytes()).is_some() {
                text = String::from_utf8_lossy(&text).replace(secret, "[key]").into_bytes();
            }
        }
        text
    }
}

fn client(headers: &HeaderMap, timeout: Duration) -> Result<reqwest::Client, TransportError> {
    reqwest::Client::builder()
        .timeout(timeout)
        .connect_timeout(connect_timeout(timeout))
        .default_headers(headers.clone())
        // Whoever is sent elsewhere would carry the key there.
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| TransportError::NoConnection(error.to_string()))
}

/// What stands in the names of keys that are part of an address.
const SECRET_NAMES: [&str; 7] = ["auth", "code", "key", "pass", "secret", "sig", "token"];

/// The password and the keys in an address, in every form in which a server may repeat them.
fn secrets_of(url: &reqwest::Url, client: &reqwest::Client) -> Vec<SecretString> {
    let mut found = Vec::new();
    if let Some(password) = url.password() {
        found.push(password.to_owned());
        let mut bare = url.clone();
        bare.set_query(Some(&format!("password={}", password.replace('+', "%2B"))));
        let decoded = bare.query_pairs().next().map(|(_, value)| value.into_owned()).unwrap_or_default();
        // As it is sent: in a header of its own.
        let request = client.get(bare).basic_auth(url.username(), Some(&decoded)).build();
        let header = request.ok().and_then(|request| request.headers().get("authorization").cloned());
        let header = header.as_ref().and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
        found.extend(header.map(str::to_owned));
        found.push(decoded);
    }
    let is_secret = |name: &str| SECRET_NAMES.iter().any(|part| name.to_ascii_lowercase().contains(part));
    let decoded = url.query_pairs().filter(|(name, _)| is_secret(name)).map(|(_, value)| value.into_owned());
    found.extend(decoded);
    let raw = url.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    found.extend(raw.filter(|(name, _)| is_secret(name)).map(|(_, value)| value.to_owned()));
    found.into_iter().map(SecretString::from).collect()
}

fn connect_timeout(timeout: Duration) -> Duration {
    timeout.min(Duration::from_secs(10))
}

/// An address without the name of a user, a password or a query.
#[must_use]
pub fn public_part(address: &str) -> String {
    let Ok(mut url) = reqwest::Url::parse(address) else { return "an address that is none".to_owned() };
    // Refused only for addresses that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().trim_end_matches('/').to_owned()
}

/// Reads a body whole, but not without bound.
async fn read<E>(
    body: impl Stream<Item = Result<impl AsRef<[u8]>, E>>,
    error: impl Fn(&E) -> TransportError,
) -> Result<Vec<u8>, TransportError> {
    let (mut body, mut read) = (std::pin::pin!(body), Vec::new());
    while let Some(part) = body.next().await {
        read.extend_from_slice(part.map_err(|cause| error(&cause))?.as_ref());
        check_size(read.len() as u64)?;
    }
    Ok(read)
}

fn check_size(bytes: u64) -> Result<(), TransportError> {
    if bytes > LARGEST_BODY { Err(TransportError::TooLarge { bytes, limit: LARGEST_BODY }) } else { Ok(()) }
}

impl Transport for Network {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        Box::pin(async move {
            let url = self.url(&request.path)?;
            let client = self.client()?;
            let mut builder = match request.method {
                "GET" => client.get(url),
                _ => client.post(url).header("content-type", "application/json").body(request.body),
            };
            for (name, value) in request.headers {
                builder = builder.header(name, value);
            }
            let reply = builder.send().await.map_err(|error| self.error(&error))?;
            let status = reply.status().as_u16();
            let mut headers = headers(reply.headers());
            if !self.secrets.is_empty() {
                for (_, value) in &mut headers {
                    *value = String::from_utf8_lossy(&self.without_secrets(std::mem::take(value).into(), 1)).into_owned();
                }
            }
            check_size(reply.content_length().unwrap_or_default())?;
            let body = read(reply.bytes_stream(), |error| self.error(error)).await?;
            let shortest = if (200..300).contains(&status) { PLACEHOLDER + 1 } else { 1 };
            Ok(HttpResponse { status, headers, body: self.without_secrets(body, shortest) })
        })
    }

    fn address(&self) -> &str {
        &self.address
    }
}

/// A router in this process.
#[derive(Debug)]
pub struct InProcess(pub Router);

impl Transport for InProcess {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        Box::pin(async move {
            let connection = |error: &dyn std::fmt::Display| TransportError::Broken(error.to_string());
            let request = axum::http::Request::builder()
                .method(request.method)
                .uri(format!("/v1{}", request.path))
                .header("content-type", "application/json")
                .body(Body::from(request.body))
                .map_err(|error| connection(&error))?;
            let reply = self.0.clone().oneshot(request).await.map_err(|error| connection(&error))?;
            let (parts, body) = reply.into_parts();
            let body = read(body.into_data_stream(), |error| connection(error)).await?;
            Ok(HttpResponse { status: parts.status.as_u16(), headers: headers(&parts.headers), body })
        })
    }

    fn address(&self) -> &'static str {
        "embedded"
    }
}

fn headers(map: &HeaderMap) -> Vec<(String, String)> {
    map.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))).collect()
}
