//! Moving bytes: over the network, or to a router in this process by the same protocol.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use secrecy::{ExposeSecret, SecretString};
use tower::ServiceExt;

use crate::schema::{BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};

/// Largest reply that is read: no honest reply to one request comes near it.
const LARGEST_BODY: usize = 64 << 20;

/// HTTP over the network.
#[derive(Debug)]
pub struct Network {
    client: reqwest::Client,
    base_url: String,
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
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .build()
            .map_err(|error| TransportError::Connection(error.to_string()))?;
        Ok(Self { client, base_url: base_url.trim_end_matches('/').to_owned(), api_key, timeout })
    }

    fn error(&self, error: &reqwest::Error) -> TransportError {
        if error.is_timeout() {
            return TransportError::Timeout(self.timeout);
        }
        // The innermost cause says what happened; the outer ones repeat the address.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        TransportError::Connection(cause.to_string())
    }
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
            let mut body = reply.bytes().await.map_err(|error| self.error(&error))?.to_vec();
            // Some servers repeat the key in a complaint about it, and complaints end in records and logs.
            if let Some(key) = self.api_key.as_ref().map(|key| key.expose_secret()).filter(|key| !key.is_empty())
                && !(200..300).contains(&status)
            {
                body = String::from_utf8_lossy(&body).replace(key, "[key]").into_bytes();
            }
            Ok(HttpResponse { status, headers, body })
        })
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
            let body = to_bytes(body, LARGEST_BODY).await.map_err(|error| connection(&error))?.to_vec();
            Ok(HttpResponse { status: parts.status.as_u16(), headers: headers(&parts.headers), body })
        })
    }
}

fn headers(map: &axum::http::HeaderMap) -> Vec<(String, String)> {
    map.iter()
        .filter_map(|(name, value)| Some((name.as_str().to_ascii_lowercase(), value.to_str().ok()?.to_owned())))
        .collect()
}
