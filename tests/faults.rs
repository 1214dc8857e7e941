use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Json};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use onset::plan::{Plan, Selection};
use onset::runner::{Event, Gateway, Helper, Limiter, Limits, Observer, Options, Retries, RunError, Spending, Summary};
use onset::schema::{Outcome, Record};
use onset::store::Store;
use onset::transport::Network;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::program::{code, command, json};

/// A server that lives as long as the value, with what it has to say to a request.
struct Server {
    base: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve_at(address: &str, answer: impl Fn(Value, HeaderMap) -> Response + Clone + Send + Sync + 'static) -> Server {
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let handle = move |headers: HeaderMap, Json(body): Json<Value>| std::future::ready(answer(body, headers));
    let router = Router::new().route("/v1/completions", post(handle.clone())).route("/v1/chat/completions", post(handle));
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Server { base, task }
}

async fn serve(answer: impl Fn(Value, HeaderMap) -> Response + Clone + Send + Sync + 'static) -> Server {
    serve_at("127.0.0.1:0", answer).await
}

/// What a well server says: always 42, and a log-probability of -1 for every character.
fn well(body: &Value) -> Response {
    let Some(prompt) = body["prompt"].as_str() else {
        let message = json!({ "role": "assistant", "content": "42" });
        return Json(json!({ "choices": [{ "message": message, "finish_reason": "stop" }] })).into_response();
    };
    let length = prompt.chars().count();
    let logprobs = json!({ "token_logprobs": vec![-1.0; length], "text_offset": (0..length).collect::<Vec<_>>() });
    Json(json!({ "choices": [{ "text": " 42\n", "finish_reason": "stop", "logprobs": logprobs }] })).into_response()
}

fn limited(milliseconds: u32) -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [("retry-after-ms", milliseconds.to_string())], "slow down").into_response()
}

fn broken() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "out of order").into_response()
}

/// Writes a configuration of one endpoint, `bad`; `more` are further lines of it.
fn configure(directory: &Path, base: &str, samples: usize, more: &str, models: &[&str]) {
    let models: Vec<String> =
        models.iter().map(|name| format!("{{ name = \"{name}\", params = 10, tokens = 10 }}")).collect();
    let provider = if more.contains("provider") { "" } else { "provider = \"openai-completions\"\n" };
    let config = format!(
        "samples = {samples}\ntasks = [\"addition-2\"]\nprompts = [\"zero-shot\"]\n[endpoints.bad]\nbase_url = \"{base}\"\n\
         {provider}{more}\n[[families]]\nname = \"f\"\nendpoint = \"bad\"\nmodels = [{}]\n",
        models.join(", ")
    );
    std::fs::write(directory.join("config.toml"), config).unwrap();
}

/// Runs the program beside the servers of this process.
async fn onset(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = command(directory);
    command.args(arguments).env("ONSET_TEST_KEY", "sk-secret-17");
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

struct Unseen;

impl Observer for Unseen {
    fn event(&self, _event: &Event) {}
}

/// Runs the configuration in this process, with a patience of its own.
async fn run(directory: &Path, retries: Retries, timeout: Duration, stop: watch::Receiver<bool>) -> (Summary, Plan, Store) {
    let (summary, plan, store) = attempt(directory, retries, timeout, stop).await;
    (summary.unwrap(), plan, store)
}

/// The same, of which it is not sure that it works.
async fn attempt(
    directory: &Path,
    retries: Retries,
    timeout: Duration,
    stop: watch::Receiver<bool>,
) -> (Result<Summary, RunError>, Plan, Store) {
    let workspace = onset::config::load(Some(&directory.join("config.toml")), &[]).unwrap();
    let plan = Arc::new(onset::plan::plan(&workspace, &onset::plan::Ladder::default(), &Selection::default()).unwrap());
    let spec = &workspace.config.endpoints[0];
    let limits = Limits {
        in_flight: spec.limits.in_flight,
        requests_per_minute: spec.limits.requests_per_minute,
        tokens_per_minute: spec.limits.tokens_per_minute,
    };
    let network = Network::new(&spec.base_url, Vec::new(), timeout).unwrap();
    let planned = plan.endpoint(&spec.name).unwrap();
    let store = Store::open(&directory.join("onset.db")).unwrap();
    let spending = Spending::new(&plan.run, plan.prices.clone(), None, &store).unwrap();
    let (limiter, endpoint) = (Arc::new(Limiter::new(limits)), planned.endpoint.clone());
    let gateway = Gateway::new(endpoint, planned.provider, Box::new(network), limiter, Arc::new(spending), retries);
    let gateways = HashMap::from([(spec.name.clone(), Arc::new(gateway))]);
    let helper = Helper::where_wanted(gateways.values());
    let options = Options { helper: helper.as_ref().map(Helper::handle), ..Options::default() };
    let summary = onset::runner::run(
        Arc::clone(&plan),
        &onset::plan::Quota::of(&plan, plan.samples),
        store.clone(),
        gateways,
        options,
        stop,
        Arc::new(Unseen),
    )
    .await;
    (summary, Arc::into_inner(plan).unwrap(), store)
}

fn count(summary: &Summary, outcome: Outcome) -> usize {
    summary.outcomes.get(&outcome).copied().unwrap_or_default()
}

/// The records of the last run.
fn records(directory: &Path) -> Vec<Record> {
    let store = Store::open_read_only(&directory.join("results/onset.db")).unwrap();
    let run = store.runs().unwrap().pop().unwrap().run;
    store.records(&run).unwrap()
}

const SHORT: Retries = Retries { most: 5, first_wait: Duration::from_millis(10) };
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_limits_and_hangs_yields_failed_records_and_no_score() {
    let arrivals: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = Arc::clone(&arrivals);
    // 500 twice, then 429 with Retry-After, then too late.
    let server = serve(move |_, _| {
        let mut arrivals = noted.lock().unwrap();
        arrivals.push(Instant::now());
        match arrivals.len() {
            1 | 2 => broken(),
            3 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], "slow down").into_response(),
            _ => {
                let never = futures_util::stream::pending::<Result<String, std::io::Error>>();
                Body::from_stream(never).into_response()
            }
        }
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), &server.base, 2, "in_flight = 1", &["m"]);
    let (_sender, stop) = watch::channel(false);
    let (summary, plan, store) = run(directory.path(), SHORT, SECOND / 5, stop).await;
    assert_eq!(count(&summary, Outcome::Failed), 2, "{summary:?}");
    assert_eq!(summary.requests, 13, "six attempts for each of two records, and one that was limited");
    {
        let arrivals = arrivals.lock().unwrap();
        assert!(arrivals[3] - arrivals[2] >= SECOND, "Retry-After was not waited for: {:?}", arrivals[3] - arrivals[2]);
    }
    let records = store.records(&plan.run).unwrap();
    let mut statuses = Vec::new();
    for record in &records {
        assert!(record.detail.as_deref().unwrap().contains("no complete reply within 200ms"), "{record:?}");
        assert!(record.scores.iter().all(|score| score.value.is_none()), "{record:?}");
        statuses
            .push(store.attempts(&record.exchanges[0]).unwrap().iter().map(|attempt| attempt.status).collect::<Vec<_>>());
    }
    let first = vec![Some(500), Some(500), Some(429), None, None, None, None];
    assert_eq!(statuses, [first, vec![None; 6]]);
    let manifest = plan.manifest(String::new());
    let cells = onset::analysis::Cells::of_records(&manifest, &records);
    let analysis = onset::analysis::analyse(&manifest, &cells, None);
    for curve in &analysis.curves {
        let point = &curve.points[0];
        assert_eq!((point.n, point.failed, point.score), (0, 2, None), "{curve:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn being_limited_fails_no_record() {
    // Two requests in every tenth of a second, for fifty that wait.
    let window = Mutex::new((Instant::now(), 0));
    let window = Arc::new(window);
    let server = serve(move |body, _| {
        let mut window = window.lock().unwrap();
        if window.0.elapsed() >= SECOND / 10 {
            *window = (Instant::now(), 0);
        }
        window.1 += 1;
        if window.1 > 2 { limited(100) } else { well(&body) }
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), &server.base, 40, "in_flight = 50\nprovider = \"openai-chat\"", &["m"]);
    let output = onset(directory.path(), &["run", "--json", "-q"]).await;
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let found = json(&output);
    assert_eq!((&found["outcomes"]["answered"], &found["outcomes"]["failed"]), (&json!(40), &json!(0)));
    // Those that wait do not all come back at once.
    assert!(found["requests"].as_u64().unwrap() < 400, "{}", found["requests"]);

    // Who does not want to wait is told at once.
    let server = serve(|_, _| limited(60_000)).await;
    configure(directory.path(), &server.base, 2, "", &["m"]);
    let output = onset(directory.path(), &["run", "--json", "-q", "--no-retry"]).await;
    // One asks whether the endpoint is there at all, before its log-probabilities are calibrated.
    assert_eq!((code(&output), json(&output)["requests"].as_u64()), (3, Some(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_by_the_minute_is_kept_from_the_first_second_on() {
    let arrivals: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = Arc::clone(&arrivals);
    let server = serve(move |body, _| {
        noted.lock().unwrap().push(Instant::now());
        well(&body)
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let limits = "in_flight = 1\nrequests_per_minute = 600\nprovider = \"openai-chat\"";
    configure(directory.path(), &server.base, 35, limits, &["m"]);
    let output = onset(directory.path(), &["run", "--json", "-q"]).await;
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let arrivals = arrivals.lock().unwrap();
    let early = arrivals.iter().filter(|&&at| at - arrivals[0] < 2 * SECOND).count();
    assert!(arrivals.len() == 35 && (10..=31).contains(&early), "{early} of {} in two seconds", arrivals.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_not_there_stops_no_other() {
    let server =
        serve(
            |body, _| {
                if body["model"] == "gone" { (StatusCode::NOT_FOUND, "no such model").into_response() } else { well(&body) }
            },
        )
        .await;
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), &server.base, 20, "in_flight = 4", &["gone", "m"]);
    let output = onset(directory.path(), &["run", "--json", "-q"]).await;
    assert_eq!(code(&output), 4, "{}", String::from_utf8_lossy(&output.stderr));
    let found = json(&output);
    assert_eq!((&found["outcomes"]["answered"], &found["records"]), (&json!(20), &json!(20)));
    assert_eq!((found["unusable"].as_array().unwrap().len(), &found["unusable"][0][0]), (1, &json!("bad/gone")));
    assert!(found["requests"].as_u64().unwrap() <= 44, "{}", found["requests"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_probability_that_failed_is_told_and_asked_for_again() {
    let is_well = Arc::new(AtomicBool::new(false));
    let healed = Arc::clone(&is_well);
    let server =
        serve(move |body, _| if body["echo"] == true && !healed.load(Ordering::SeqCst) { broken() } else { well(&body) })
            .await;
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), &server.base, 60, "", &["m"]);
    let output = onset(directory.path(), &["run", "--json", "-q", "--no-retry"]).await;
    assert_eq!(code(&output), 3, "{}", String::from_utf8_lossy(&output.stderr));
    let found = json(&output);
    assert_eq!((&found["outcomes"]["answered"], &found["incomplete"]), (&json!(60), &json!(60)));
    for record in records(directory.path()) {
        assert!(record.detail.is_some() && record.scores[0].value.is_some(), "{record:?}");
        assert!(record.scores[1].value.is_none(), "{record:?}");
    }
    // Scoring keeps what is known of them, and does not call them absent.
    let before = records(directory.path());
    let output = onset(directory.path(), &["score"]).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("60 records rebuilt without a request; 0 need"), "{output:?}");
    assert_eq!(records(directory.path()), before);

    is_well.store(true, Ordering::SeqCst);
    let again = json(&onset(directory.path(), &["run", "--json", "-q"]).await);
    assert_eq!((&again["requests"], &again["incomplete"]), (&json!(0), &json!(60)));
    let output = onset(directory.path(), &["run", "--json", "-q", "--retry-failed"]).await;
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let healed = json(&output);
    // Ten more calibrate it, now that it can be: this server never lists the first token, which is asked for as often as any, and
    // gives four texts their log-probability with one request each that had failed before.
    assert_eq!((&healed["requests"], &healed["incomplete"]), (&json!(70), &json!(0)));
    for record in records(directory.path()) {
        assert!(record.detail.is_none() && record.scores.iter().all(|score| score.value.is_some()), "{record:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_cannot_give_is_not_asked_for_nor_missed() {
    let server = serve(|body, _| well(&body)).await;
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), &server.base, 10, "provider = \"openai-chat\"", &["m"]);
    let output = onset(directory.path(), &["run", "--json", "-q"]).await;
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let found = json(&output);
    assert_eq!((&found["requests"], &found["incomplete"]), (&json!(10), &json!(0)));
    let before = records(directory.path());
    assert!(before.iter().all(|record| record.exchanges.len() == 1 && record.detail.is_none()), "{before:?}");
    let output = onset(directory.path(), &["score"]).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("10 records rebuilt without a request; 0 need"), "{output:?}");
    assert_eq!(records(directory.path()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_not_there_is_unusable_and_its_records_stay_to_be_done() {
    let directory = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    configure(directory.path(), &format!("http://user:sesame@{address}/v1"), 4, "", &["m"]);
    let output = onset(directory.path(), &["run", "--json", "-q", "--no-retry"]).await;
    assert_eq!(code(&output), 4, "{}", String::from_utf8_lossy(&output.stderr));
    let found = json(&output);
    assert_eq!((&found["outcomes"]["failed"], &found["records"]), (&json!(0), &json!(0)));
    let reason = found["unusable"][0][1].as_str().unwrap();
    assert!(reason.contains(&format!("POST http://{address}/v1/completions")) && !reason.contains("sesame"), "{reason}");

    // A request is tried as often as it may be before the endpoint counts as gone.
    let (_sender, stop) = watch::channel(false);
    let retries = Retries { most: 2, ..SHORT };
    let (summary, _, _) = run(directory.path(), retries, SECOND, stop).await;
    assert!(summary.outcomes.is_empty() && summary.unusable.len() == 1, "{summary:?}");
    assert!((3..=12).contains(&summary.requests), "{summary:?}");

    let server = serve_at(&address, |body, _| well(&body)).await;
    let output = onset(directory.path(), &["run", "--json", "-q"]).await;
    assert_eq!((code(&output), &json(&output)["outcomes"]["answered"]), (0, &json!(4)));
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_only_fails_is_given_up() {
    let server = serve(|_, _| broken()).await;
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), &server.base, 60, "in_flight = 4", &["m"]);
    let output = onset(directory.path(), &["run", "--json", "-q", "--no-retry"]).await;
    assert_eq!(code(&output), 4, "{}", String::from_utf8_lossy(&output.stderr));
    let found = json(&output);
    assert_eq!(found["unusable"][0][0], "bad");
    assert!(found["requests"].as_u64().unwrap() <= 20, "{}", found["requests"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_waits_for_replies_only() {
    let (asked, began) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let counted = Arc::clone(&asked);
    // The first is answered, late; the others would have to wait for a minute.
    let server = serve(move |body, _| {
        if counted.fetch_add(1, Ordering::SeqCst) > 0 {
            // Once the third is on its way: told of the limit, it would not be sent.
            std::thread::sleep(SECOND / 10);
            return limited(60_000);
        }
        std::thread::sleep(SECOND / 2);
        well(&body)
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), &server.base, 20, "in_flight = 3\nprovider = \"openai-chat\"", &["m"]);
    let (sender, stop) = watch::channel(false);
    tokio::spawn(async move {
        while asked.load(Ordering::SeqCst) < 3 {
            tokio::time::sleep(SECOND / 100).await;
        }
        tokio::time::sleep(SECOND / 10).await;
        sender.send(true).unwrap();
        std::future::pending::<()>().await;
    });
    let (summary, plan, store) = run(directory.path(), SHORT, 5 * SECOND, stop).await;
    assert!(began.elapsed() < 5 * SECOND && summary.interrupted, "{summary:?} after {:?}", began.elapsed());
    assert_eq!((summary.requests, count(&summary, Outcome::Failed)), (3, 0), "{summary:?}");
    assert_eq!(store.records(&plan.run).unwrap().len(), 1, "the reply that was under way is kept, and nothing made up");
}

#[tokio::test(flavor = "multi_thread")]
async fn very_many_requests_are_in_flight_at_a_time() {
    let (asked, now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (asked, counted, highest) = (Arc::new(asked), Arc::clone(&now), Arc::clone(&most));
    let (met, callers) = (Arc::clone(&asked), Arc::new(Mutex::new(HashSet::new())));
    let seen = Arc::clone(&callers);
    let handle = move |ConnectInfo(caller): ConnectInfo<SocketAddr>, Json(body): Json<Value>| {
        let (asked, now, most) = (Arc::clone(&met), Arc::clone(&counted), Arc::clone(&highest));
        seen.lock().unwrap().insert(caller);
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(SECOND / 5).await;
            now.fetch_sub(1, Ordering::SeqCst);
            if asked.fetch_add(1, Ordering::SeqCst) % 7 == 0 { broken() } else { well(&body) }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/chat/completions", post(handle));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = Server { base, task: tokio::spawn(async move { axum::serve(listener, service).await.unwrap() }) };
    let directory = tempfile::tempdir().unwrap();
    // More than one thread leads.
    configure(directory.path(), &server.base, 700, "in_flight = 400\nprovider = \"openai-chat\"", &["m"]);
    let (_never, stop) = watch::channel(false);
    // As `onset run` does, by one thread and its helper: each has connections of its own.
    let leading = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        (runtime.block_on(run(directory.path(), SHORT, 20 * SECOND, stop)), directory)
    });
    let ((summary, plan, store), _directory) = leading.await.unwrap();
    assert_eq!((count(&summary, Outcome::Answered), summary.outcomes.len()), (700, 1), "{summary:?}");
    assert_eq!(store.records(&plan.run).unwrap().len(), 700);
    assert_eq!(usize::try_from(summary.requests).unwrap(), asked.load(Ordering::SeqCst));
    let most = most.load(Ordering::SeqCst);
    assert!((257..=400).contains(&most), "{most} at a time");
    let connections = callers.lock().unwrap().len();
    assert!(connections <= 400, "{connections} connections: not all were used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_ends_the_run_and_what_came_is_kept() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    // Those that are still to be asked would wait for a minute.
    let server =
        serve(move |body, _| if counted.fetch_add(1, Ordering::SeqCst) < 40 { well(&body) } else { limited(60_000) });
    let server = server.await;
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), &server.base, 200, "in_flight = 8\nprovider = \"openai-chat\"", &["m"]);
    let path = directory.path().join("onset.db");
    drop(Store::open(&path).unwrap());
    let open = || rusqlite::Connection::open(&path).unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON exchanges BEGIN SELECT raise(ABORT, 'full'); END";
    open().execute_batch(refuse).unwrap();
    let (began, (_never, stop)) = (Instant::now(), watch::channel(false));
    let (summary, plan, store) = attempt(directory.path(), SHORT, 5 * SECOND, stop).await;
    let error = summary.unwrap_err().to_string();
    assert!(error.contains("full") && began.elapsed() < 20 * SECOND, "{error} after {:?}", began.elapsed());
    drop((plan, store));
    // Once there is room again, what came is there.
    open().execute_batch("DROP TRIGGER refuse").unwrap();
    drop(Store::open(&path).unwrap());
    let there: i64 = open().query_row("SELECT count(*) FROM exchanges", [], |row| row.get(0)).unwrap();
    let asked = asked.load(Ordering::SeqCst);
    assert_eq!(usize::try_from(there).unwrap(), asked.min(40), "of {asked}");
    assert!(there > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_without_end_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let is_declared = Arc::new(AtomicBool::new(true));
    let declares = Arc::clone(&is_declared);
    let server = serve(move |_, _| {
        let parts = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1 << 20]));
        let reply = Body::from_stream(parts).into_response();
        if declares.load(Ordering::SeqCst) { ([("content-length", "99999999999")], reply).into_response() } else { reply }
    })
    .await;
    configure(directory.path(), &server.base, 1, "timeout_seconds = 30", &["m"]);
    for text in ["the reply of 99999999999 bytes or more is above the limit of 67108864 bytes", "or more is above the limit"]
    {
        let output = onset(directory.path(), &["run", "--json", "-q", "--retry-failed"]).await;
        assert_eq!((code(&output), &json(&output)["requests"]), (3, &json!(2)), "{output:?}");
        let detail = records(directory.path()).remove(0).detail.unwrap();
        assert!(detail.contains(text), "{detail}");
        is_declared.store(false, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_a_word_garbles_no_answer_and_no_complaint_shows_it() {
    let server = serve(|body, _| {
        let last = body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
        // One key is the digit `4`, which every sum here has.
        let sum: u32 = last.bytes().map(u32::from).sum();
        if sum.is_multiple_of(2) { well(&body) } else { (StatusCode::BAD_REQUEST, "the key 4 is wrong").into_response() }
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let more = "provider = \"openai-chat\"\nlogprobs = \"generation\"\nheaders = { \"x-key\" = \"${ONSET_TEST_WORD}\" }";
    configure(directory.path(), &server.base, 40, more, &["m"]);
    let mut command = command(directory.path());
    command.args(["run", "--json", "-q"]).env("ONSET_TEST_WORD", "4");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let records = records(directory.path());
    let answered: Vec<_> = records.iter().filter_map(|record| record.answer.as_deref()).collect();
    assert!(!answered.is_empty() && answered.iter().all(|answer| *answer == "42"), "{answered:?} {output:?}");
    let said: Vec<_> = records.iter().filter_map(|record| record.detail.as_deref()).collect();
    assert!(said.iter().all(|said| said.contains("the key [key] is wrong")), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_server_repeats_is_neither_printed_nor_stored() {
    for status in [StatusCode::BAD_REQUEST, StatusCode::OK] {
        let server =
            serve(move |_, headers| (status, format!("bad key {:?}", headers.get("authorization"))).into_response()).await;
        let directory = tempfile::tempdir().unwrap();
        configure(directory.path(), &server.base, 1, "api_key = \"${ONSET_TEST_KEY}\"", &["m"]);
        let output = onset(directory.path(), &["run", "--json"]).await;
        assert_eq!(code(&output), 3);
        let record = records(directory.path()).remove(0);
        assert!(record.detail.as_deref().unwrap().contains("Bearer [key]"), "{record:?}");
        let store = Store::open_read_only(&directory.path().join("results/onset.db")).unwrap();
        let attempts = format!("{:?}", store.attempts(&record.exchanges[0]).unwrap());
        for text in [attempts, format!("{record:?}"), format!("{output:?}")] {
            assert!(!text.contains("sk-secret-17"), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_is_drawn_with_a_seed_of_its_own_and_weighed_once() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let server = {
        let asked = Arc::clone(&asked);
        serve(move |body, _| {
            let is_weighing = body["echo"].as_bool().unwrap_or_default();
            asked.lock().unwrap().push((is_weighing, body["seed"].as_u64().unwrap(), body["prompt"].to_string()));
            well(&body)
        })
    }
    .await;
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), &server.base, 3, "temperature = 0.7", &["m"]);
    let config = std::fs::read_to_string(directory.path().join("config.toml")).unwrap();
    std::fs::write(directory.path().join("config.toml"), format!("repetitions = 4\n{config}")).unwrap();
    let retries = Retries { most: 0, first_wait: SECOND };
    let (_sender, stop) = watch::channel(false);
    let (summary, plan, store) = run(directory.path(), retries, SECOND, stop).await;
    assert_eq!((plan.len(), count(&summary, Outcome::Answered)), (12, 12), "{summary:?}");
    // A text has one log-probability, however often its question is asked.
    assert_eq!(summary.requests, 12 + 3);
    let asked = asked.lock().unwrap().clone();
    let prompts: std::collections::BTreeSet<&String> = asked.iter().filter(|one| !one.0).map(|one| &one.2).collect();
    assert_eq!(prompts.len(), 3);
    for prompt in prompts {
        let mut seeds: Vec<u64> = asked.iter().filter(|one| !one.0 && one.2 == *prompt).map(|one| one.1).collect();
        seeds.sort_unstable();
        assert_eq!(seeds, [1, 2, 3, 4]);
    }
    let records = store.records(&plan.run).unwrap();
    let repetitions: Vec<u32> = records.iter().map(|record| record.repetition).collect();
    assert_eq!(repetitions, [0, 1, 2, 3].repeat(3));
    drop(store);
    // One more of each asks for nothing that is there.
    let more = onset(directory.path(), &["plan", "--json", "--out", ".", "--set", "repetitions=5"]).await;
    let more = json(&more);
    assert_eq!((&more["records"], &more["there"], &more["repetitions"]), (&json!(15), &json!(12), &json!(5)), "{more}");
    assert_eq!(more["endpoints"][0]["requests"], 3, "{more}");
    let anew = json(&onset(directory.path(), &["plan", "--json", "--out", "elsewhere"]).await);
    assert_eq!(anew["endpoints"][0]["requests"], 12 + 3, "{anew}");
    let same = ["plan", "--out", ".", "--set", "endpoints.bad.temperature=0.0"];
    let said = String::from_utf8(onset(directory.path(), &same).await.stdout).unwrap();
    assert!(said.contains("4 repetitions at `bad` with a temperature of 0 are likely to be the same"), "{said}");
}
