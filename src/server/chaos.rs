//! Faults on purpose, for testing clients: one request in four meets one, which and when decided by a seed and the number of the
//! request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::error::ApiError;

/// Share of the requests that meet a fault.
const SHARE: f64 = 0.25;
/// How long a reply is late, and how long nothing comes at all before the connection ends.
const LATE: Duration = Duration::from_secs(2);
const SILENT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    RateLimited,
    ServerError,
    Overloaded,
    /// The connection ends before a reply.
    Reset,
    /// The connection ends in the middle of a reply.
    Cut,
    /// Half a reply that claims to be whole.
    Truncated,
    /// A page in place of JSON.
    Page,
    Late,
    Silent,
}

const FAULTS: [Fault; 9] = [
    Fault::RateLimited,
    Fault::ServerError,
    Fault::Overloaded,
    Fault::Reset,
    Fault::Cut,
    Fault::Truncated,
    Fault::Page,
    Fault::Late,
    Fault::Silent,
];

/// Decides which request meets which fault.
#[derive(Debug)]
pub(super) struct Chaos {
    seed: u64,
    requests: AtomicU64,
}

impl Chaos {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, requests: AtomicU64::new(0) }
    }

    fn next(&self) -> Option<Fault> {
        self.of(self.requests.fetch_add(1, Ordering::Relaxed))
    }

    fn of(&self, number: u64) -> Option<Fault> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number);
        if rng.random_bool(SHARE) { FAULTS.choose(&mut rng).copied() } else { None }
    }
}

/// Lets a request through, or has it meet its fault.
pub(super) async fn meet(State(chaos): State<Arc<Chaos>>, request: Request, next: Next) -> Response {
    // What only looks at the server is left alone.
    let fault = if request.method() == Method::POST { chaos.next() } else { None };
    match fault {
        None => next.run(request).await,
        Some(Fault::RateLimited) => {
            ApiError::rate_limited("chaos: too many requests", Some(Duration::from_secs(1))).into_response()
        }
        Some(Fault::ServerError) => ApiError::internal("chaos: something broke").into_response(),
        Some(Fault::Overloaded) => ApiError::overloaded("chaos: overloaded").into_response(),
        Some(Fault::Page) => {
            ([(header::CONTENT_TYPE, "text/html")], "<html><body>chaos: a proxy's page</body></html>").into_response()
        }
        Some(Fault::Reset) => broken(Bytes::new()),
        Some(Fault::Cut) => broken(half(next.run(request).await).await),
        Some(Fault::Truncated) => {
            let half = half(next.run(request).await).await;
            ([(header::CONTENT_TYPE, "application/json")], half).into_response()
        }
        Some(Fault::Late) => {
            tokio::time::sleep(LATE).await;
            next.run(request).await
        }
        Some(Fault::Silent) => {
            tokio::time::sleep(SILENT).await;
            broken(Bytes::new())
        }
    }
}

/// The first half of a reply.
async fn half(reply: Response) -> Bytes {
    let body = to_bytes(reply.into_body(), usize::MAX).await.unwrap_or_default();
    body.slice(..body.len() / 2)
}

/// A reply whose connection ends after its first bytes.
fn broken(first: Bytes) -> Response {
    let end = std::io::Error::other("chaos: the connection ends here");
    let body = Body::from_stream(stream::iter([Ok(first), Err(end)]));
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_those_of_the_seed_and_all_of_them_occur() {
        let faults = |seed: u64| (0..400).map(|number| Chaos::new(seed).of(number)).collect::<Vec<_>>();
        let first = faults(1);
        assert_eq!(first, faults(1));
        assert_ne!(first, faults(2));
        assert!(FAULTS.iter().all(|fault| first.contains(&Some(*fault))));
        let met = first.iter().flatten().count();
        assert!((70..130).contains(&met), "{met}");
    }
}
