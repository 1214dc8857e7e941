use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;

use crate::program::{code, command, json};

/// Answers 500 twice, then 429 with Retry-After, then never.
async fn answer(count: Arc<AtomicUsize>) -> axum::response::Response {
    match count.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => (StatusCode::INTERNAL_SERVER_ERROR, "out of order").into_response(),
        2 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], "slow down").into_response(),
        _ => std::future::pending().await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_limits_and_hangs_yields_failed_records_and_no_score() {
    let count = Arc::new(AtomicUsize::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counted = Arc::clone(&count);
    let router = Router::new().route("/v1/completions", post(move || answer(Arc::clone(&counted))));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });

    let directory = tempfile::tempdir().unwrap();
    let config = format!(
        "samples = 2\ntasks = [\"addition-2\"]\nprompts = [\"zero-shot\"]\n[endpoints.bad]\nprovider = \"openai-completions\"\n\
         base_url = \"http://{address}/v1\"\ntimeout_seconds = 1\nin_flight = 2\n[[families]]\nname = \"f\"\nendpoint = \"bad\"\n\
         models = [{{ name = \"m\", params = 10, tokens = 10 }}]\n"
    );
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let path = directory.path().to_owned();
    let output = tokio::task::spawn_blocking(move || command(&path).args(["run", "--json", "-q"]).output().unwrap());
    let output = output.await.unwrap();
    assert_eq!(code(&output), 3, "{}", String::from_utf8_lossy(&output.stderr));
    let found = json(&output);
    assert_eq!(found["outcomes"]["failed"], 2);
    assert_eq!(found["requests"], 12, "six attempts for each of two records");
    for curve in found["analysis"]["curves"].as_array().unwrap() {
        let point = &curve["points"][0];
        assert_eq!((point["n"].as_u64(), point["failed"].as_u64()), (Some(0), Some(2)), "{curve}");
        assert!(point["score"].is_null(), "{curve}");
    }
    let store = onset::store::Store::open_read_only(&directory.path().join("results/onset.db")).unwrap();
    let run = store.runs().unwrap().remove(0).run;
    for record in store.records(&run).unwrap() {
        assert!(record.detail.as_deref().unwrap().contains("no complete reply within 1s"), "{record:?}");
        assert_eq!(store.attempts(&record.exchanges[0]).unwrap().len(), 6);
    }
    server.abort();
}

#[test]
fn an_endpoint_that_is_not_there_is_unusable() {
    let directory = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "samples = 20\ntasks = [\"addition-2\"]\nprompts = [\"zero-shot\"]\n[endpoints.gone]\nprovider = \"openai-completions\"\n\
         base_url = \"http://{address}/v1\"\n[[families]]\nname = \"f\"\nendpoint = \"gone\"\n\
         models = [{{ name = \"m\", params = 10, tokens = 10 }}]\n"
    );
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let output = command(directory.path()).args(["run", "--json", "-q", "--no-retry"]).output().unwrap();
    assert_eq!(code(&output), 4, "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_server_repeats_is_neither_printed_nor_stored() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = |headers: axum::http::HeaderMap| async move {
        (StatusCode::BAD_REQUEST, format!("bad key {:?}", headers.get("authorization")))
    };
    let server =
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/completions", post(echo))).await });
    let directory = tempfile::tempdir().unwrap();
    let config = format!(
        "samples = 1\ntasks = [\"addition-2\"]\nprompts = [\"zero-shot\"]\n[endpoints.bad]\nprovider = \"openai-completions\"\n\
         base_url = \"http://{address}/v1\"\napi_key = \"${{ONSET_TEST_KEY}}\"\n[[families]]\nname = \"f\"\nendpoint = \"bad\"\n\
         models = [{{ name = \"m\", params = 10, tokens = 10 }}]\n"
    );
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let path = directory.path().to_owned();
    let run = move || command(&path).env("ONSET_TEST_KEY", "sk-secret-17").args(["run", "--json"]).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert_eq!(code(&output), 3);
    let store = onset::store::Store::open_read_only(&directory.path().join("results/onset.db")).unwrap();
    let record = store.records(&store.runs().unwrap()[0].run).unwrap().remove(0);
    assert!(record.detail.as_deref().unwrap().contains("Bearer [key]"), "{record:?}");
    let attempts = format!("{:?}", store.attempts(&record.exchanges[0]).unwrap());
    for text in [attempts, format!("{record:?}"), format!("{output:?}")] {
        assert!(!text.contains("sk-secret-17"), "{text}");
    }
    server.abort();
}
