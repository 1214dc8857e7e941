//! What becomes of records when an endpoint misbehaves; docs/reliability.md holds the table.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use onset::plan::Selection;
use onset::runner::{Event, Gateway, Limiter, Limits, Observer, Options, Retries, Spending};
use onset::schema::{Outcome, Record};
use onset::store::Store;
use onset::transport::Network;
use serde_json::Value;

use crate::chaos::{Chaos, Choose, Fault, PRICE, Window, is_right};
use crate::program::{code, command, json};

/// A configuration of endpoints that chat, each with one model of its own name.
fn configuration(endpoints: &[(String, String)], samples: usize, more: &str) -> String {
    let mut config = format!("samples = {samples}\ntasks = [\"addition-3\"]\nprompts = [\"zero-shot\"]\n");
    for (name, base) in endpoints {
        let _ = write!(
            config,
            "[endpoints.\"{name}\"]\nprovider = \"openai-chat\"\nbase_url = \"{base}\"\n{more}\n[[families]]\nname = \"{name}\"\n\
             endpoint = \"{name}\"\nmodels = [{{ name = \"{name}\", params = 10, tokens = 10, {PRICE} }}]\n"
        );
    }
    config
}

struct Unseen;

impl Observer for Unseen {
    fn event(&self, _event: &Event) {}
}

/// Runs a configuration in this process.
async fn run(directory: &Path, config: &str, retries: Retries, timeout: Duration) -> (Vec<Record>, Store) {
    std::fs::write(directory.join("config.toml"), config).unwrap();
    let workspace = onset::config::load(Some(&directory.join("config.toml")), &[]).unwrap();
    let plan = Arc::new(onset::plan::plan(&workspace, &onset::plan::Ladder::default(), &Selection::default()).unwrap());
    let store = Store::open(&directory.join("onset.db")).unwrap();
    let spending = Arc::new(Spending::new(&plan.run, plan.prices.clone(), None, &store).unwrap());
    let mut gateways = HashMap::new();
    for spec in &workspace.config.endpoints {
        let limits = Limits { in_flight: spec.limits.in_flight, requests_per_minute: None, tokens_per_minute: None };
        let network = Network::new(&spec.base_url, Vec::new(), timeout).unwrap();
        let planned = plan.endpoint(&spec.name).unwrap();
        let (limiter, spending) = (Arc::new(Limiter::new(limits)), Arc::clone(&spending));
        let gateway =
            Gateway::new(planned.endpoint.clone(), planned.provider, Box::new(network), limiter, spending, retries);
        gateways.insert(spec.name.clone(), Arc::new(gateway));
    }
    let (_never, stop) = tokio::sync::watch::channel(false);
    let summary = onset::runner::run(
        Arc::clone(&plan),
        &onset::plan::Quota::of(&plan, plan.samples),
        store.clone(),
        gateways,
        Options::default(),
        stop,
        Arc::new(Unseen),
    )
    .await;
    assert_eq!(summary.unwrap().unusable, []);
    let records = store.records(&plan.run).unwrap();
    assert_eq!(records.len(), plan.len());
    (records, store)
}

/// Every answered record has the score that the endpoint meant it to have; a failed one has a reason and no score.
fn check(record: &Record) {
    let score = record.scores.iter().find(|score| score.scorer == "exact-match").unwrap().value;
    match record.outcome {
        Outcome::Answered => {
            let right = is_right(record.target.parse().unwrap());
            assert_eq!(score, Some(f64::from(u8::from(right))), "{record:?}");
        }
        Outcome::Failed => assert!(score.is_none() && record.detail.is_some(), "{record:?}"),
        _ => panic!("{record:?}"),
    }
}

/// A number that looks drawn, and is the same in every run.
fn dice(seed: u64, body: &Value, attempt: usize) -> u64 {
    let text = format!("{seed} {attempt} {body}");
    u64::from_le_bytes(blake3::hash(text.as_bytes()).as_bytes()[..8].try_into().unwrap())
}

const SHORT: Duration = Duration::from_millis(400);
const SAMPLES: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_ends_in_a_record_that_is_answered_or_failed_for_a_true_reason() {
    let mut table =
        String::from("| fault | at the first attempt | at every attempt | the reason begins |\n|---|---|---|---|\n");
    let (mut servers, mut once, mut always) = (Vec::new(), Vec::new(), Vec::new());
    for (index, fault) in Fault::ALL.into_iter().enumerate() {
        let first = Chaos::start(Arc::new(move |_, attempt| (attempt == 0).then_some(fault)), None).await;
        let every = Chaos::start(Arc::new(move |_, _| Some(fault)), None).await;
        once.push((format!("fault-{index}"), first.base.clone()));
        always.push((format!("fault-{index}"), every.base.clone()));
        servers.extend([first, every]);
    }
    let retries = Retries { most: 3, first_wait: Duration::from_millis(10) };
    // A limit is waited for as long as it takes: at every attempt it is met without patience.
    let impatient = Retries { most: 0, ..retries };
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [once, always] = [once, always].map(|endpoints| configuration(&endpoints, SAMPLES, ""));
    let (once, always) = tokio::join!(
        run(directories[0].path(), &once, retries, SHORT),
        run(directories[1].path(), &always, impatient, SHORT)
    );
    for (index, fault) in Fault::ALL.into_iter().enumerate() {
        let of = |records: &[Record]| -> Vec<Record> {
            let own = records.iter().filter(|record| record.model == format!("fault-{index}"));
            own.inspect(|record| check(record)).cloned().collect()
        };
        let (once, always) = (of(&once.0), of(&always.0));
        let outcome = |records: &[Record]| {
            let outcome = records[0].outcome;
            assert!(
                records.len() == SAMPLES && records.iter().all(|record| record.outcome == outcome),
                "{fault:?} {records:?}"
            );
            outcome.name()
        };
        let reason = always[0].detail.clone().unwrap_or_default();
        let reason = reason.split("/v1/chat/completions for ").last().unwrap_or_default();
        let reason = reason.split_once(": ").map_or("", |(_, reason)| reason);
        // Behind the bracket are an address, or words of the system.
        let reason: String = reason.split(['(', ';']).next().unwrap_or_default().chars().take(60).collect();
        let _ = writeln!(table, "| {} | {} | {} | {} |", fault.name(), outcome(&once), outcome(&always), reason.trim());
    }
    println!("{table}");
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
    let document = std::fs::read_to_string(document).unwrap();
    assert!(document.contains(&table), "docs/reliability.md should hold this table:\n{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_all_faults_at_once_nothing_is_scored_wrong_or_bought_twice() {
    let choose: Choose = Arc::new(|body, attempt| {
        let drawn = dice(1, body, attempt);
        drawn.is_multiple_of(3).then(|| Fault::ALL[(drawn / 3) as usize % Fault::ALL.len()])
    });
    let server = Chaos::start(choose, None).await;
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(&[("chaos".to_owned(), server.base.clone())], 400, "in_flight = 64");
    let retries = Retries { most: 3, first_wait: Duration::from_millis(10) };
    let (records, store) = run(directory.path(), &config, retries, SHORT).await;
    records.iter().for_each(check);
    let answered = records.iter().filter(|record| record.outcome == Outcome::Answered).count();
    // Only a body declared as 2 GB fails at once: one in fifty-four. Four faults in a row are one in eighty more.
    assert!((370..400).contains(&answered), "{answered}");
    let books = server.books();
    assert!(books.answered.values().all(|count| *count == 1), "{:?}", books.answered);
    let spent = store.spent(&records[0].run).unwrap();
    assert!(spent.usd >= books.charged - 1e-9, "{spent:?} {}", books.charged);
}

/// Runs the program beside the servers of this process.
async fn onset(directory: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = command(directory);
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// The faults at which today's harnesses lose answers or score them wrong, at the size at which that was measured.
#[tokio::test(flavor = "multi_thread")]
async fn what_peers_lose_is_kept() {
    const SAMPLES: usize = 2_000;
    let mixed = [Fault::InternalError, Fault::Reset, Fault::Stall, Fault::CutJson, Fault::NoChoices];
    let one_in_twenty = |faults: Vec<Fault>| -> Choose {
        Arc::new(move |body, attempt| {
            let drawn = dice(2, body, attempt);
            drawn.is_multiple_of(20).then(|| faults[(drawn / 20) as usize % faults.len()])
        })
    };
    // Five prompts, whichever they are: those of which the sum ends so.
    let five: Choose = Arc::new(|body, _| {
        let drawn = dice(3, body, 0);
        drawn.is_multiple_of(400).then_some(Fault::InternalError)
    });
    let well: Choose = Arc::new(|_, _| None);
    let second = Window { length: Duration::from_secs(1), requests: 100, tokens: u64::MAX };
    let cases: [(&str, Choose, Option<Window>, &str); 5] = [
        ("429 at 100/s", well, Some(second), "requests_per_minute = 6000"),
        ("5 % mixed", one_in_twenty(mixed.to_vec()), None, "timeout_seconds = 1"),
        ("no choices", one_in_twenty(vec![Fault::NoChoices]), None, ""),
        ("cut JSON", one_in_twenty(vec![Fault::CutJson]), None, ""),
        ("some prompts always 500", five, None, ""),
    ];
    let mut said = String::new();
    for (name, choose, window, more) in cases {
        let server = Chaos::start(choose, window).await;
        let directory = tempfile::tempdir().unwrap();
        let endpoints = [("stub".to_owned(), server.base.clone())];
        let config = configuration(&endpoints, SAMPLES, &format!("in_flight = 64\n{more}"));
        std::fs::write(directory.path().join("config.toml"), config).unwrap();
        let output = onset(directory.path(), &["run", "--json", "-q"]).await;
        let found = json(&output);
        let store = Store::open_read_only(&directory.path().join("results/onset.db")).unwrap();
        let records = store.records(found["run"].as_str().unwrap()).unwrap();
        assert_eq!(records.len(), SAMPLES, "{name}");
        records.iter().for_each(check);
        let failed = records.iter().filter(|record| record.outcome == Outcome::Failed).count();
        let expected = if name.starts_with("some prompts") { 1..20 } else { 0..1 };
        assert!(expected.contains(&failed), "{name}: {failed}");
        assert_eq!(code(&output), if failed > 0 { 3 } else { 0 }, "{name}");
        let books = server.books();
        assert!(books.answered.values().all(|count| *count == 1), "{name}");
        let received: usize = books.received.values().sum();
        assert!(books.rejected * 100 < received, "{name}: {} of {received} rejected", books.rejected);
        let seconds = found["seconds"].as_f64().unwrap();
        let _ = writeln!(
            said,
            "{name}: {} answered, {failed} failed, {received} requests, {} rejected, {seconds:.1} s",
            SAMPLES - failed,
            books.rejected
        );
    }
    println!("{said}");
}

/// A quota by the minute, counted over every sixty seconds, whenever they begin: it must be kept and it must be used.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes; .ci/run runs it"]
async fn a_quota_by_the_minute_is_used_and_not_exceeded() {
    let minute = Window { length: Duration::from_secs(60), requests: 600, tokens: 60_000 };
    let limits = "in_flight = 64\nrequests_per_minute = 600\ntokens_per_minute = 60000";
    // Few tokens in each request, so that requests are what is short; then many, so that tokens are.
    let cases = [("zero-shot", 1_200), ("few-shot", 900)];
    let runs = cases.map(|(prompt, samples)| async move {
        let server = Chaos::start(Arc::new(|_, _| None), Some(minute)).await;
        let directory = tempfile::tempdir().unwrap();
        let config = configuration(&[("limited".to_owned(), server.base.clone())], samples, limits);
        let config = config.replace("zero-shot", prompt);
        std::fs::write(directory.path().join("config.toml"), config).unwrap();
        let output = onset(directory.path(), &["run", "--json", "-q"]).await;
        assert_eq!((code(&output), json(&output)["outcomes"]["answered"].as_u64().unwrap()), (0, samples as u64));
        let books = server.books();
        let received: usize = books.received.values().sum();
        let minutes = books.last.unwrap().duration_since(books.first.unwrap()).as_secs_f64() / 60.0;
        let (requests, tokens) = (samples as f64 / minutes / 600.0, books.tokens as f64 / minutes / 60_000.0);
        println!(
            "{prompt}: {} of {received} rejected in {minutes:.2} minutes; {:.1} % of the requests and {:.1} % of the tokens allowed were used",
            books.rejected,
            100.0 * requests,
            100.0 * tokens
        );
        assert!(minutes > 1.2 && books.rejected * 100 < received);
        assert!(requests.max(tokens) >= 0.95);
    });
    let [first, second] = runs;
    tokio::join!(first, second);
}

/// Times the run is killed.
const KILLS: usize = 100;
/// After so many kills it is let go on until its budget ends it.
const KILLS_BETWEEN: usize = 5;
const IN_FLIGHT: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_kills_under_faults_limits_and_a_budget_lose_nothing_and_overspend_nothing() {
    let choose: Choose = Arc::new(|body, attempt| {
        let drawn = dice(4, body, attempt);
        drawn.is_multiple_of(5).then(|| Fault::QUICK[(drawn / 5) as usize % Fault::QUICK.len()])
    });
    let server = Chaos::start(choose, None).await;
    let directory = tempfile::tempdir().unwrap();
    let endpoints = [("chaos".to_owned(), server.base.clone())];
    let limits =
        format!("in_flight = {IN_FLIGHT}\nrequests_per_minute = 30000\ntokens_per_minute = 6000000\nmax_tokens = 16");
    std::fs::write(directory.path().join("config.toml"), configuration(&endpoints, 1_500, &limits)).unwrap();
    let path = directory.path().join("results/onset.db");
    let (mut unfinished, mut held, mut spent_before) = (0, 0, 0.0);
    for turn in 0..KILLS + KILLS / KILLS_BETWEEN {
        let is_killed = turn % (KILLS_BETWEEN + 1) != KILLS_BETWEEN;
        let budget = spent_before + if is_killed { 1.0 } else { 0.01 };
        let mut run = command(directory.path())
            .args(["run", "-q", "--json", "--budget", &budget.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if is_killed {
            let moment = dice(5, &Value::Null, turn) % 150;
            tokio::time::sleep(Duration::from_millis(30 + moment)).await;
            unfinished += usize::from(run.try_wait().unwrap().is_none());
            run.kill().unwrap();
        }
        held += usize::from(run.wait().unwrap().code() == Some(3));
        let Ok(store) = Store::open_read_only(&path) else { continue };
        let Some(manifest) = store.runs().unwrap().pop() else { continue };
        let spent = store.spent(&manifest.run).unwrap();
        spent_before = spent.usd;
        let mut books = server.books();
        assert!(spent.usd <= budget + 1e-9, "{spent:?} of {budget}");
        assert!(books.charged <= spent.usd + 1e-9, "{} charged, {spent:?}", books.charged);
        // Whatever is committed must not be sent again.
        for record in store.records(&manifest.run).unwrap() {
            for key in &record.exchanges {
                let Some(exchange) = store.exchange(key).unwrap() else { continue };
                let onset::schema::Input::Chat(chat) = &exchange.request.input else { panic!("{exchange:?}") };
                let Some(onset::schema::Message::User { text }) = chat.messages.last() else { panic!("{chat:?}") };
                books.forbidden.insert(format!("{}: {text}", exchange.model));
            }
        }
    }
    assert!(unfinished >= KILLS / 3, "only {unfinished} runs were killed before their end");
    assert!(held >= KILLS / KILLS_BETWEEN / 2, "only {held} runs ended by their budget");
    let last = onset(directory.path(), &["run", "--json", "-q", "--retry-failed", "--budget", "100"]).await;
    let found = json(&last);
    let store = Store::open_read_only(&path).unwrap();
    let records = store.records(found["run"].as_str().unwrap()).unwrap();
    assert_eq!(records.len(), 1_500);
    records.iter().for_each(check);
    let books = server.books();
    assert_eq!(books.repeated, Vec::<String>::new());
    // Lost with a kill are at most those in flight.
    let bought: usize = books.answered.values().sum();
    assert!(bought <= 1_500 + unfinished * IN_FLIGHT, "{bought} replies");
    let spent = store.spent(found["run"].as_str().unwrap()).unwrap();
    assert!(books.charged <= spent.usd + 1e-9);
    println!(
        "{unfinished} killed in the middle, {held} ended by their budget, {bought} replies for 1500 records, {spent:?}, {} charged",
        books.charged
    );
}
