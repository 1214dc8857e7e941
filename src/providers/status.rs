//! What an unsuccessful HTTP response means, and what an endpoint says of its limits.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::schema::{Class, HttpResponse};

/// Longest wait that is taken for a hint. One that is longer is a refusal; the next attempt will say so.
const LONGEST: Duration = Duration::from_secs(3600);

/// What an unsuccessful response means, as the public APIs use the codes.
pub(super) fn classify(response: &HttpResponse) -> Class {
    let says = |words: &[&str]| {
        let body = String::from_utf8_lossy(&response.body);
        words.iter().any(|word| body.contains(word))
    };
    match response.status {
        // No waiting brings money back.
        429 if says(&["insufficient_quota", "billing_hard_limit"]) => Class::Unusable,
        429 | 529 => Class::RateLimited(retry_after(response)),
        503 => retry_after(response).map_or(Class::Transient, |after| Class::RateLimited(Some(after))),
        400 if says(&["content_filter", "content_policy_violation"]) => Class::Refused,
        401..=403 | 405 => Class::Unusable,
        404 => Class::NoModel,
        501 | 505 => Class::Fatal,
        300..=399 | 408 | 409 | 425 | 500..=599 => Class::Transient,
        _ => Class::Fatal,
    }
}

/// How long the endpoint wants to be left alone: in milliseconds, in seconds, until a date, or in the body as Google does.
fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let seconds = |text: &str| text.trim().parse().ok().filter(|wait: &f64| wait.is_finite() && *wait >= 0.0);
    let header = |name: &str| response.header(name);
    let wait = header("retry-after-ms").and_then(seconds).map(|milliseconds| milliseconds / 1000.0);
    let wait = wait.or_else(|| header("retry-after").and_then(seconds));
    let wait = wait.or_else(|| {
        let date = httpdate::parse_http_date(header("retry-after")?.trim()).ok()?;
        Some(date.duration_since(SystemTime::now()).unwrap_or_default().as_secs_f64())
    });
    let wait = wait.or_else(|| {
        let body: Value = serde_json::from_slice(&response.body).ok()?;
        let mut details = body.pointer("/error/details")?.as_array()?.iter();
        details.find_map(|detail| detail.get("retryDelay")?.as_str()?.strip_suffix('s').and_then(seconds))
    });
    wait.map(|seconds| Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, header: Option<(&str, &str)>, body: &str) -> HttpResponse {
        let headers = header.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        HttpResponse { status, headers, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_wait_is_read_in_every_form() {
        let wait = |header, body| match classify(&response(429, header, body)) {
            Class::RateLimited(after) => after.map(|after| after.as_millis()),
            other => panic!("{other:?}"),
        };
        assert_eq!(wait(Some(("retry-after-ms", "1500")), ""), Some(1500));
        assert_eq!(wait(Some(("retry-after", "2")), ""), Some(2000));
        assert_eq!(wait(Some(("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")), ""), Some(0));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        let until = wait(Some(("retry-after", date.as_str())), "").unwrap();
        assert!((98_000..=100_000).contains(&until), "{until}");
        assert_eq!(wait(None, r#"{"error":{"details":[{"@type":"x"},{"retryDelay":"3.5s"}]}}"#), Some(3500));
        assert_eq!(wait(Some(("retry-after", "1e12")), ""), Some(3_600_000));
        assert_eq!((wait(Some(("retry-after", "-1")), ""), wait(Some(("retry-after", "soon")), "")), (None, None));
    }

    #[test]
    fn a_code_means_what_its_body_says() {
        let class = |status, body: &str| classify(&response(status, None, body));
        assert_eq!(class(429, r#"{"error":{"code":"insufficient_quota"}}"#), Class::Unusable);
        assert_eq!(class(400, r#"{"error":{"code":"content_filter"}}"#), Class::Refused);
        assert_eq!(class(400, r#"{"error":{"code":"context_length_exceeded"}}"#), Class::Fatal);
        assert_eq!(
            (class(402, ""), class(404, ""), class(529, "")),
            (Class::Unusable, Class::NoModel, Class::RateLimited(None))
        );
        assert_eq!((class(500, ""), class(503, ""), class(307, "")), (Class::Transient, Class::Transient, Class::Transient));
    }
}
