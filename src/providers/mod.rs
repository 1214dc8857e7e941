//! Dialects of HTTP APIs: pure translation, no input or output.

mod openai_chat;
mod openai_completions;

use std::time::Duration;

use crate::schema::{Class, HttpResponse, Provider};

/// Every provider.
pub static PROVIDERS: &[&dyn Provider] = &[&openai_completions::OpenAiCompletions, &openai_chat::OpenAiChat];

/// The provider of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Provider> {
    PROVIDERS.iter().find(|provider| provider.name() == name).copied()
}

/// What an unsuccessful reply means in the OpenAI family of APIs.
fn classify(response: &HttpResponse) -> Class {
    match response.status {
        429 => Class::RateLimited(retry_after(response)),
        503 => retry_after(response).map_or(Class::Transient, |after| Class::RateLimited(Some(after))),
        401 | 403 => Class::Unusable,
        404 => Class::NoModel,
        408 | 409 | 425 | 500..=599 => Class::Transient,
        _ => Class::Fatal,
    }
}

fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let number =
        |name: &str| response.header(name)?.trim().parse::<f64>().ok().filter(|wait| wait.is_finite() && *wait >= 0.0);
    let seconds = number("retry-after-ms").map(|milliseconds| milliseconds / 1000.0).or_else(|| number("retry-after"));
    // A wait of more than an hour is not a hint but a refusal; the next attempt will say so.
    seconds.map(|seconds| Duration::from_secs_f64(seconds.min(3600.0)))
}
