//! Errors as OpenAI's error objects.

use axum::http::{Method, StatusCode};
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
}

impl ApiError {
    /// A parameter that has no meaning here.
    pub(super) fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into(), param: Some(param.to_owned()), code: None }
    }

    /// A body that is not readable.
    pub(super) fn body(message: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message, param: None, code: None }
    }

    /// A defect or a lack of resources on this side.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: message.into(), param: None, code: None }
    }

    pub(super) fn no_route(method: &Method, path: &str) -> Self {
        let message = format!("there is no {method} {path} here");
        Self { status: StatusCode::NOT_FOUND, message, param: None, code: None }
    }

    /// A model that is not served, with the names nearest to it.
    pub(super) fn no_model(name: &str, known: Vec<&str>) -> Self {
        let mut known: Vec<(usize, &str)> =
            known.into_iter().map(|other| (strsim::damerau_levenshtein(name, other), other)).collect();
        known.sort_unstable();
        let nearest: Vec<&str> = known.into_iter().take(SUGGESTIONS).map(|(_, name)| name).collect();
        Self {
            status: StatusCode::NOT_FOUND,
            message: format!("the model `{name}` does not exist; the nearest names are: {}", nearest.join(", ")),
            param: Some("model".to_owned()),
            code: Some("model_not_found"),
        }
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        let code = match error {
            JobError::NotAscii { .. } => None,
            JobError::TooLong { .. } => Some("context_length_exceeded"),
        };
        Self { status: StatusCode::BAD_REQUEST, message: error.to_string(), param: Some("prompt".to_owned()), code }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let kind = if self.status.is_server_error() { "server_error" } else { "invalid_request_error" };
        let error = json!({ "message": self.message, "type": kind, "param": self.param, "code": self.code });
        (self.status, Json(json!({ "error": error }))).into_response()
    }
}
