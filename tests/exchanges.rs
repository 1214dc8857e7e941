//! Exchanges with real endpoints, and what a provider has to make of them.

use onset::schema::{Call, Endpoint, HttpResponse, Request, Response};
use serde::Deserialize;
use serde_json::Value;

/// A file of `tests/exchanges`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    /// Where it comes from.
    source: String,
    endpoint: Endpoint,
    model: String,
    request: Request,
    /// What has to be sent.
    path: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Value,
    /// What came back.
    status: u16,
    #[serde(default)]
    content_type: Option<String>,
    reply: Value,
    /// What it means; absent where there is no reply in it.
    #[serde(default)]
    response: Option<Response>,
    /// A part of the complaint, where there is none.
    #[serde(default)]
    complaint: Option<String>,
}

#[test]
fn every_recorded_exchange_is_sent_and_understood_as_recorded() {
    let mut providers = std::collections::BTreeSet::new();
    let mut paths: Vec<_> = std::fs::read_dir("tests/exchanges").unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in &paths {
        let name = path.display();
        let text = std::fs::read_to_string(path).unwrap();
        let exchange: Exchange = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!exchange.source.is_empty(), "{name} does not say where it comes from");
        let provider = onset::providers::find(&exchange.endpoint.provider).unwrap();
        providers.insert(provider.name());
        let seed = exchange.endpoint.sampling.seed;
        let call = Call { endpoint: &exchange.endpoint, model: &exchange.model, request: &exchange.request, seed };
        let sent = provider.encode(&call).unwrap_or_else(|error| panic!("{name}: {error}"));
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(sent.path, exchange.path, "{name}");
        assert_eq!(body, exchange.body, "{name}: {body:#}");
        let headers: Vec<_> = sent.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        assert_eq!(headers, exchange.headers, "{name}");
        // A reply that is no JSON, such as a stream, is written as a string.
        let reply = match &exchange.reply {
            Value::String(text) => text.clone().into_bytes(),
            document => document.to_string().into_bytes(),
        };
        let headers = exchange.content_type.iter().map(|kind| ("content-type".to_owned(), kind.clone())).collect();
        let response = HttpResponse { status: exchange.status, headers, body: reply };
        match (provider.decode(&call, &response), exchange.complaint) {
            (Ok(found), None) => assert_eq!(Some(found), exchange.response, "{name}"),
            (Err(found), Some(complaint)) => assert!(found.contains(&complaint), "{name}: {found}"),
            (found, _) => panic!("{name}: {found:?}"),
        }
    }
    for provider in onset::providers::PROVIDERS {
        assert!(providers.contains(provider.name()), "no exchange of {}", provider.name());
    }
}
