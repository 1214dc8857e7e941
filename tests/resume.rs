use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::program::{code, command, json, onset};

/// Requests in flight at a time.
const IN_FLIGHT: u64 = 8;
/// Times the run is killed.
const KILLS: u64 = 10;
/// Samples per task.
const SAMPLES: usize = 60;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone already only when the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Requests that the server has received so far.
async fn received(address: &str) -> u64 {
    let body = reqwest::get(format!("{address}/stats")).await.unwrap().bytes().await.unwrap();
    let stats: serde_json::Value = serde_json::from_slice(&body).unwrap();
    stats["completions"].as_u64().unwrap()
}

#[tokio::test]
async fn a_run_killed_ten_times_sends_no_committed_exchange_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut server =
        command(directory.path()).args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let _server = Server(server);
    let base = line.trim().strip_prefix("listening on ").unwrap().to_owned();
    let config = format!(
        "samples = {SAMPLES}\ntasks = [\"addition-2\", \"lookup-1\"]\nprompts = [\"few-shot\", \"scratchpad\"]\n[endpoints.served]\n\
         provider = \"openai-completions\"\nbase_url = \"{base}\"\nin_flight = {IN_FLIGHT}\n[[families]]\nname = \"ladder\"\n\
         endpoint = \"served\"\nmodels = [{{ name = \"ladder-5k\", params = 5424 }}, {{ name = \"ladder-65k\", params = 65000 }}]\n"
    );
    std::fs::write(directory.path().join("config.toml"), config).unwrap();

    // The moments come from a fixed sequence of requests seen by the server; what they hit still varies with the machine.
    let address = base.trim_end_matches("/v1").to_owned();
    let (mut moment, mut unfinished) = (7_u64, 0);
    for _ in 0..KILLS {
        moment = moment * 48_271 % 2_147_483_647;
        let enough = received(&address).await + IN_FLIGHT + moment % 40;
        let mut run = command(directory.path()).args(["run", "-q"]).stdout(Stdio::null()).spawn().unwrap();
        while run.try_wait().unwrap().is_none() && received(&address).await < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        unfinished += u64::from(run.try_wait().unwrap().is_none());
        run.kill().unwrap();
        run.wait().unwrap();
    }
    assert!(unfinished >= KILLS / 2, "only {unfinished} runs were killed before their end");
    let last = onset(directory.path(), &["run", "--json", "-q"]);
    assert_eq!(code(&last), 0, "{}", String::from_utf8_lossy(&last.stderr));
    let found = json(&last);
    let planned = 2 * 2 * 2 * SAMPLES;
    assert_eq!(found["records"], planned);

    let path = directory.path().join("results/onset.db");
    let store = onset::store::Store::open_read_only(&path).unwrap();
    let records = store.records(found["run"].as_str().unwrap()).unwrap();
    let names: BTreeSet<String> = records.iter().map(onset::schema::Record::id).collect();
    assert_eq!((records.len(), names.len()), (planned, planned));
    let keys: BTreeSet<_> = records.iter().flat_map(|record| record.exchanges.clone()).collect();

    // Those of the records, and of the calibration.
    let store = rusqlite::Connection::open(&path).unwrap();
    let exchanges: i64 = store.query_row("SELECT count(*) FROM exchanges", [], |row| row.get(0)).unwrap();
    let exchanges = u64::try_from(exchanges).unwrap();
    assert!(keys.len() as u64 <= exchanges && exchanges <= keys.len() as u64 + 10, "{exchanges} exchanges");
    let received = received(&address).await;
    // Lost with a kill are at most those in flight: each is committed before its conversation sends the next.
    assert!(received >= exchanges, "{received} {exchanges}");
    assert!(received <= exchanges + unfinished * IN_FLIGHT, "{received} requests for {exchanges} exchanges");
}

/// The runs in a directory's store with the records of each; none while there is no store.
fn runs(directory: &std::path::Path) -> Vec<usize> {
    let Ok(store) = onset::store::Store::open_read_only(&directory.join("results/onset.db")) else { return Vec::new() };
    let runs = store.runs().unwrap_or_default();
    runs.iter().map(|run| store.records(&run.run).map_or(0, |records| records.len())).collect()
}

#[test]
fn a_fresh_run_that_was_interrupted_goes_on_and_a_finished_one_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["run", "-q", "--json", "--fresh", "--only", "addition-2", "--only", "zero-shot", "--samples", "600"];
    let mut run = command(directory.path()).args(arguments).stdout(Stdio::null()).spawn().unwrap();
    while runs(directory.path()).iter().sum::<usize>() == 0 {
        assert!(run.try_wait().unwrap().is_none(), "the run was over before it could be killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let before = runs(directory.path());
    let continued = json(&onset(directory.path(), &arguments));
    let planned = continued["planned"].as_u64().unwrap();
    assert_eq!(runs(directory.path()), [usize::try_from(planned).unwrap()]);
    let again = json(&onset(directory.path(), &arguments));
    assert_eq!(runs(directory.path()).len(), 2);
    assert_ne!(continued["run"], again["run"]);
    let sent = |run: &serde_json::Value| run["requests"].as_u64().unwrap();
    assert!(sent(&continued) < sent(&again), "{} records were there, and {continued} was sent", before[0]);
}

#[test]
fn a_training_that_is_killed_goes_on_to_the_same_weights() {
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/models/recipe.toml");
    let directory = tempfile::tempdir().unwrap();
    let train = |out: &str| {
        let mut train = command(directory.path());
        train
            .args(["ladder", "train", "-q", "--recipe", recipe, "--out", out, "--rung", "ladder-5k", "--seed", "0"])
            .stderr(Stdio::null());
        train
    };
    let weights = |out: &str| std::fs::read(directory.path().join(out).join("ladder-5k/model.safetensors")).unwrap();
    assert!(train("whole").status().unwrap().success());
    let state = directory.path().join("killed/ladder-5k/training.safetensors");
    let mut killed = train("killed").spawn().unwrap();
    while !state.exists() {
        assert!(killed.try_wait().unwrap().is_none(), "the training was over before it could be killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(train("killed").status().unwrap().success());
    assert!(weights("whole") == weights("killed"));
    // What is done is left alone.
    let file = directory.path().join("whole/ladder-5k/loss.csv");
    std::fs::write(&file, "mine").unwrap();
    assert!(train("whole").status().unwrap().success());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}

/// What was paid for is known by a key. When this changes, every stored reply has to be bought again.
#[test]
fn replies_are_known_by_the_keys_of_earlier_versions() {
    let directory = tempfile::tempdir().unwrap();
    let config = "samples = 2\ntasks = [\"addition-2\"]\nprompts = [\"few-shot\"]\n[endpoints.e]\nprovider = \"openai-completions\"\n\
                  base_url = \"http://127.0.0.1:9/v1\"\n[[families]]\nname = \"f\"\nendpoint = \"e\"\nmodels = [{ name = \"m\", params = 10, tokens = 10 }]\n";
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let workspace = onset::config::load(Some(&directory.path().join("config.toml")), &[]).unwrap();
    let plan = onset::plan::plan(&workspace, &onset::plan::Ladder::default(), &onset::plan::Selection::default()).unwrap();
    let parts = plan.first(0, 0).unwrap().unwrap();
    let input = onset::schema::Input::Text("1+1=".to_owned());
    let wanted = [
        onset::schema::Wanted::Reply { max_tokens: 8, stop: vec!["\n".to_owned()] },
        onset::schema::Wanted::Logprob { continuation: "2".to_owned() },
    ];
    let keys = wanted.map(|wanted| plan.key(&parts, &onset::schema::Request { input: input.clone(), wanted }).to_string());
    assert_eq!(
        keys,
        [
            "21bdd891edc9fae45e8199df06ca7ffcee107804a1df88419a97d81c507acf0f",
            "35557fc8eb16256cc17d1456ec8e323919e020494f8fe2c2ab9800fd4b03047a",
        ]
    );
}
