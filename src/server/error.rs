//! Errors as OpenAI's error objects.

use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde_json::json;

use crate::ladder::JobError;

/// Names suggested for an unknown one.
const SUGGESTIONS: usize = 3;

/// A request that cannot be served.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl ApiError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: None, retry_after: None }
    }

    /// More than the server allows, and in how long it will allow it.
    pub(super) fn rate_limited(message: &str, retry_after: Option<Duration>) -> Self {
        Self { code: Some("rate_limit_exceeded"), retry_after, ..Self::new(StatusCode::TOO_MANY_REQUESTS, message) }
    }

    /// More work than the server takes on.
    pub(super) fn overloaded(message: &str) -> Self {
        Self { code: Some("overloaded"), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    /// A parameter that has no meaning here.
    pub(super) fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self { param: Some(param.to_owned()), ..Self::new(StatusCode::BAD_REQUEST, message) }
    }

    /// A body that is not readable.
    pub(super) fn body(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// A defect or a lack of resources on this side.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    pub(super) fn no_route(method: &Method, path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no {method} {path} here"))
    }

    /// A model that is not served, with the names nearest to it.
    pub(super) fn no_model(name: &str, known: Vec<&str>) -> Self {
        let mut known: Vec<(usize, &str)> =
            known.into_iter().map(|other| (strsim::damerau_levenshtein(name, other), other)).collect();
        known.sort_unstable();
        let nearest: Vec<&str> = known.into_iter().take(SUGGESTIONS).map(|(_, name)| name).collect();
        let message = format!("the model `{name}` does not exist; the nearest names are: {}", nearest.join(", "));
        Self { param: Some("model".to_owned()), code: Some("model_not_found"), ..Self::new(StatusCode::NOT_FOUND, message) }
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        let code = match error {
            JobError::NotAscii { .. } => None,
            JobError::TooLong { .. } => Some("context_length_exceeded"),
        };
        Self { param: Some("prompt".to_owned()), code, ..Self::new(StatusCode::BAD_REQUEST, error.to_string()) }
    }
}

/// A body that is too long, or ended before its end.
impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let kind = match self.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let error = json!({ "message": self.message, "type": kind, "param": self.param, "code": self.code });
        let mut response = (self.status, Json(json!({ "error": error }))).into_response();
        if let Some(wait) = self.retry_after {
            // Whole seconds, never too few.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
