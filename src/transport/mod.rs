//! Moving bytes: over the network, or to a router in this process by the same protocol.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::{Stream, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use tower::ServiceExt;

use crate::schema::{BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};

/// Largest reply that is read, in bytes: no honest reply to one request comes near it.
const LARGEST_BODY: u64 = 64 << 20;

/// HTTP over the network.
#[derive(Debug)]
pub struct Network {
    client: reqwest::Client,
    base_url: String,
    address: String,
    api_key: Option<SecretString>,
    timeout: Duration,
}

impl Network {
    /// A transport to one base address.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(base_url: &str, api_key: Option<SecretString>, timeout: Duration) -> Result<Self, TransportError> {
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(connect_timeout(timeout))
            .build()
            .map_err(|error| TransportError::Connection(error.to_string()))?;
        let base_url = base_url.trim_end_matches('/').to_owned();
        Ok(Self { client, address: public_part(&base_url), base_url, api_key, timeout })
    }

    fn error(&self, error: &reqwest::Error) -> TransportError {
        if error.is_timeout() {
            return if error.is_connect() {
                TransportError::Connection(format!("none within {:?}", connect_timeout(self.timeout)))
            } else {
                TransportError::Timeout(self.timeout)
            };
        }
        // The innermost cause says what happened; the outer ones repeat the address.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        TransportError::Connection(String::from_utf8_lossy(&self.without_key(cause.to_string().into())).into_owned())
    }

    /// Some servers repeat the key, in a complaint about it or elsewhere; what they say ends in the store and in logs.
    fn without_key(&self, text: Vec<u8>) -> Vec<u8> {
        let key = self.api_key.as_ref().map_or("", |key| key.expose_secret());
        if key.is_empty() || !text.windows(key.len()).any(|part| part == key.as_bytes()) {
            return text;
        }
        String::from_utf8_lossy(&text).replace(key, "[key]").into_bytes()
    }
}

fn connect_timeout(timeout: Duration) -> Duration {
    timeout.min(Duration::from_secs(10))
}

/// An address without the name of a user, a password or a query.
fn public_part(address: &str) -> String {
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
            let url = format!("{}{}", self.base_url, request.path);
            let mut builder = match request.method {
                "GET" => self.client.get(url),
                _ => self.client.post(url).header("content-type", "application/json").body(request.body),
            };
            if let Some(key) = &self.api_key {
                builder = builder.bearer_auth(key.expose_secret());
            }
            let reply = builder.send().await.map_err(|error| self.error(&error))?;
            let status = reply.status().as_u16();
            let headers = headers(reply.headers());
            check_size(reply.content_length().unwrap_or_default())?;
            let body = read(reply.bytes_stream(), |error| self.error(error)).await?;
            Ok(HttpResponse { status, headers, body: self.without_key(body) })
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
            let connection = |error: &dyn std::fmt::Display| TransportError::Connection(error.to_string());
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

fn headers(map: &axum::http::HeaderMap) -> Vec<(String, String)> {
    map.iter()
        .filter_map(|(name, value)| Some((name.as_str().to_ascii_lowercase(), value.to_str().ok()?.to_owned())))
        .collect()
}
