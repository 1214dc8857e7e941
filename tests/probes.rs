use std::path::Path;
use std::process::Output;

use axum::Router;
use axum::extract::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::program::{code, command, json};

/// What a server does with log-probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Echo {
    True,
    /// Each token has that of the one before.
    Shifted,
    /// The field is ignored.
    Ignored,
    /// It says that it has none.
    Rejected,
}

/// The log-probability of a character of the little model that the servers serve: after a digit or a comma the right next
/// character of the count is likely, everything else is not.
fn logprob(before: &str, next: char) -> f64 {
    let likely: f64 = 0.9;
    if next == expected(before) { likely.ln() } else { (0.1_f64 / 127.0).ln() }
}

/// Digits and commas take turns, and the digits count.
fn expected(before: &str) -> char {
    match before.chars().last() {
        Some(last @ '0'..='9') => {
            if last == '9' {
                '.'
            } else {
                ','
            }
        }
        Some(',') => before
            .chars()
            .rev()
            .find(char::is_ascii_digit)
            .and_then(|last| char::from_digit((last.to_digit(10)? + 1) % 10, 10))
            .unwrap_or('1'),
        _ => '7',
    }
}

fn completion(body: &Value, echo: Echo) -> Response {
    let prompt = body["prompt"].as_str().unwrap().to_owned();
    if body["temperature"].as_f64().is_some_and(|temperature| temperature > 1.5) {
        return (StatusCode::BAD_REQUEST, "too hot").into_response();
    }
    let wants = body["echo"] == true;
    if wants && echo == Echo::Rejected {
        return (StatusCode::BAD_REQUEST, "echo is not supported").into_response();
    }
    let mut text = String::new();
    let most = usize::try_from(body["max_tokens"].as_u64().unwrap_or(16)).unwrap();
    while text.len() < most {
        let next = expected(&format!("{prompt}{text}"));
        text.push(next);
        if next == '.' {
            break;
        }
    }
    let stopped = body["stop"].as_array().into_iter().flatten().filter_map(|stop| text.find(stop.as_str()?)).min();
    let finish = if stopped.is_none() && text.len() == most { "length" } else { "stop" };
    text.truncate(stopped.unwrap_or(text.len()));
    let whole: Vec<char> = format!("{prompt}{text}").chars().collect();
    let before = |at: usize| whole[..at].iter().collect::<String>();
    let mut values: Vec<Value> =
        (0..whole.len()).map(|at| if at == 0 { Value::Null } else { json!(logprob(&before(at), whole[at])) }).collect();
    if echo == Echo::Shifted {
        values.insert(1, json!(-0.01));
        values.pop();
    }
    let first = text.chars().next().unwrap_or('.').to_string();
    let mut logprobs = json!({
        "top_logprobs": [{ &first: logprob(&prompt, first.chars().next().unwrap()), "z": -9.0 }],
        "token_logprobs": [logprob(&prompt, first.chars().next().unwrap())], "text_offset": [prompt.len()], "tokens": [first],
    });
    let mut shown = text.clone();
    if wants && echo != Echo::Ignored {
        logprobs = json!({ "token_logprobs": values, "text_offset": (0..whole.len()).collect::<Vec<_>>(), "tokens": whole });
        shown = whole.iter().collect();
    }
    let usage = json!({ "prompt_tokens": prompt.len(), "completion_tokens": text.len() });
    Json(json!({ "model": "little", "choices": [{ "text": shown, "finish_reason": finish, "logprobs": logprobs }], "usage": usage })).into_response()
}

async fn serve(echo: Echo) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let models = || async { Json(json!({ "data": [{ "id": "m", "max_model_len": 4096 }] })) };
    let complete = move |Json(body): Json<Value>| std::future::ready(completion(&body, echo));
    let router = Router::new().route("/v1/completions", post(complete)).route("/v1/models", get(models));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    base
}

fn configure(directory: &Path, base: &str, more: &str) {
    let config = format!(
        "samples = 5\ntasks = [\"addition-2\"]\nprompts = [\"zero-shot\"]\n[endpoints.little]\nprovider = \"openai-completions\"\n\
         base_url = \"{base}\"\n{more}\n[[families]]\nname = \"f\"\nendpoint = \"little\"\n\
         models = [{{ name = \"m\", params = 10, tokens = 10 }}]\n"
    );
    std::fs::write(directory.join("config.toml"), config).unwrap();
}

async fn onset(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = command(directory);
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn found<'a>(probed: &'a Value, what: &str) -> &'a Value {
    let findings = probed["probes"][0]["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["what"] == what).unwrap_or_else(|| panic!("no {what} in {probed}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_true_is_found_to_be_and_used() {
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), &serve(Echo::True).await, "");
    let probed = json(&onset(directory.path(), &["probe", "--json"]).await);
    for what in ["warm", "max_tokens", "usage", "stop", "repeatable", "echo", "first-token", "context"] {
        assert_eq!(found(&probed, what)["found"], "yes", "{probed}");
    }
    // It draws nothing at random, and says nothing of its quotas.
    for what in ["temperature", "quotas"] {
        assert_eq!(found(&probed, what)["found"], "unknown", "{probed}");
    }
    assert!(found(&probed, "context")["words"].as_str().unwrap().contains("4096"));
    let run = onset(directory.path(), &["run", "--json", "-q"]).await;
    // The five replies and their five log-probabilities: it was calibrated when it was probed.
    assert_eq!((code(&run), &json(&run)["requests"]), (0, &json!(10)), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_probabilities_that_are_not_what_they_say_are_refused_before_anything_is_scored() {
    for (echo, words) in
        [(Echo::Shifted, "exclude one another"), (Echo::Ignored, "echo"), (Echo::Rejected, "echo is not supported")]
    {
        let directory = tempfile::tempdir().unwrap();
        let base = serve(echo).await;
        configure(directory.path(), &base, "");
        let run = onset(directory.path(), &["run", "-q", "--no-retry"]).await;
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(code(&run), 2, "{echo:?}: {run:?}");
        assert!(said.contains("`echo` of endpoint `little`") && said.contains(words), "{echo:?}: {said}");
        assert!(said.contains("logprobs = \"generation\""), "{said}");
        // It is known from now on, before anything is sent.
        for arguments in [["plan", "-q"], ["run", "-q"]] {
            let again = onset(directory.path(), &arguments).await;
            assert_eq!(code(&again), 2, "{again:?}");
        }
        // What is found to work is what is proposed.
        let probed = json(&onset(directory.path(), &["probe", "--json"]).await);
        assert_eq!(
            (&found(&probed, "echo")["found"], &found(&probed, "first-token")["found"]),
            (&json!("no"), &json!("yes"))
        );
        let again = onset(directory.path(), &["plan"]).await;
        assert!(String::from_utf8_lossy(&again.stderr).contains("logprobs = \"first-token\""), "{again:?}");
        // Without log-probabilities it is as good as any, and what cannot be scored is said.
        configure(directory.path(), &base, "logprobs = \"generation\"");
        let run = onset(directory.path(), &["run", "--no-retry"]).await;
        assert_eq!(code(&run), 0, "{run:?}");
        assert!(String::from_utf8_lossy(&run.stderr).contains("not scored: answer-logprob at `little`"), "{run:?}");
        let plan = json(&onset(directory.path(), &["plan", "--json"]).await);
        assert_eq!(plan["unscored"].as_array().unwrap().len(), 1, "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_without_prices_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), "http://127.0.0.1:9/v1", "");
    let run = onset(directory.path(), &["run", "-q", "--budget", "1"]).await;
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(code(&run) == 2 && said.contains("there is none of m") && said.contains("price = {"), "{run:?}");
}
