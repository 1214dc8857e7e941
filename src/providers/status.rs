//! What an unsuccessful HTTP response means, and what an endpoint says of its limits.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::schema::{Allowance, Class, HttpResponse};

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

/// The quotas in the headers of OpenAI's family (`x-ratelimit-remaining-requests`, with resets such as `1m30s` or, on Azure,
/// seconds), of Anthropic (`anthropic-ratelimit-requests-remaining`, with dates) and of others (`ratelimit-remaining`).
pub(super) fn allowance(response: &HttpResponse) -> Allowance {
    const NAMES: [(&str, &str); 9] = [
        ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
        ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
        ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
        ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
        ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
        ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
        ("ratelimit-remaining", "ratelimit-reset"),
        ("x-ratelimit-remaining", "x-ratelimit-reset"),
        ("x-ratelimit-remaining-req-minute", "x-ratelimit-reset-req-minute"),
    ];
    let quota = |&(remaining, reset): &(&str, &str)| {
        // Azure says -1 where it does not know.
        let remaining = response.header(remaining)?.trim().parse().ok()?;
        Some((remaining, response.header(reset).and_then(reset_after)?))
    };
    Allowance { quotas: NAMES.iter().filter_map(quota).collect() }
}

/// The time until a reset: seconds, a length as Go writes it, a date, or seconds since 1970.
fn reset_after(text: &str) -> Option<Duration> {
    let text = text.trim();
    let until = |time: SystemTime| time.duration_since(SystemTime::now()).unwrap_or_default();
    if let Ok(seconds) = text.parse::<f64>() {
        let seconds = Some(seconds).filter(|seconds| seconds.is_finite() && *seconds >= 0.0)?;
        // No quota takes thirty years.
        return if seconds > 1e9 {
            Some(until(SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(seconds).ok()?))
        } else {
            Duration::try_from_secs_f64(seconds).ok()
        };
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        let seconds = time.as_millisecond().saturating_sub(jiff::Timestamp::now().as_millisecond());
        return Some(Duration::from_millis(u64::try_from(seconds).unwrap_or_default()));
    }
    let (mut total, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit)?;
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "\u{b5}s" => 1e-6,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds;
        rest = after;
    }
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_read_in_every_dialect() {
        let said = |headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
            allowance(&HttpResponse { status: 200, headers, body: Vec::new() })
        };
        let found = said(&[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1m30.5s"),
            ("x-ratelimit-remaining-tokens", "120"),
            ("x-ratelimit-reset-tokens", "2h"),
        ]);
        assert_eq!(found.used_up(), Some(Duration::from_millis(90_500)));
        assert_eq!(found.longest(), Some(Duration::from_secs(7200)));
        let date = (jiff::Timestamp::now() + Duration::from_secs(30)).to_string();
        let found =
            said(&[("anthropic-ratelimit-tokens-remaining", "0"), ("anthropic-ratelimit-tokens-reset", date.as_str())]);
        assert!((28..=30).contains(&found.used_up().unwrap().as_secs()), "{found:?}");
        assert_eq!(said(&[("x-ratelimit-remaining-requests", "-1"), ("x-ratelimit-reset-requests", "0")]).used_up(), None);
        assert_eq!(reset_after("12ms"), Some(Duration::from_millis(12)));
        assert_eq!((reset_after("soon"), reset_after("5x"), reset_after("-3")), (None, None, None));
    }

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
