use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use onset::store::Store;
use serde_json::json;

use crate::program::{code, command};

/// What must be found nowhere: a key of the environment, of a file and of a header, a password in its three forms, and two keys in
/// an address, one of which is not written as it is sent.
const SECRETS: [&str; 9] = [
    "sk-env-4f7a91c2",
    "sk-file-8b3d06e5",
    "sk-header-2c9e71a8",
    "pass+word-6d1f84b3",
    "pass%2Bword-6d1f84b3",
    "dXNlcjpwYXNzK3dvcmQtNmQxZjg0YjM=",
    "qk-plain-5a0c37d9",
    "qk+coded-1e8b62f4",
    "qk%2Bcoded-1e8b62f4",
];

/// A server that repeats whatever it was sent, its secrets among it: in good replies, in complaints and in headers.
async fn parrot() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = Router::new().fallback(|request: Request| async move {
        let (parts, body) = request.into_parts();
        let said = format!(
            "{} {:?}",
            parts.uri,
            parts.headers.iter().map(|(name, value)| (name, value.to_str().unwrap())).collect::<Vec<_>>()
        );
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let (status, text) = match body.len() % 4 {
            0 => (StatusCode::BAD_REQUEST, format!("bad key: {said}")),
            1 => (StatusCode::OK, format!("no JSON, but {said}")),
            2 => (StatusCode::OK, json!({ "error": said }).to_string()),
            _ => {
                let message = json!({ "role": "assistant", "content": format!("42, says {said}") });
                (
                    StatusCode::OK,
                    json!({ "model": said, "choices": [{ "message": message, "finish_reason": "stop" }] }).to_string(),
                )
            }
        };
        let location = format!("http://elsewhere.invalid/?{}", parts.uri.query().unwrap_or_default());
        (status, [("content-type", "application/json".to_owned()), ("location", location), ("x-said", said)], text)
            .into_response()
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

fn configure(directory: &Path, address: &str) {
    std::fs::write(directory.join("key.txt"), format!("{}\n", SECRETS[1])).unwrap();
    let endpoint = |name: &str, base: &str, more: &str| {
        format!(
            "[endpoints.{name}]\nprovider = \"openai-chat\"\nbase_url = \"{base}\"\nlogprobs = \"generation\"\n{more}\n\
             [[families]]\nname = \"f-{name}\"\nendpoint = \"{name}\"\n\
             models = [{{ name = \"{}-{name}\", params = 10, tokens = 10 }}]\n",
            if name == "broken" { "no" } else { "m" }
        )
    };
    let config = [
        "samples = 24\ntasks = [\"addition-2\"]\nprompts = [\"zero-shot\", \"few-shot\"]\n".to_owned(),
        endpoint("environment", &format!("http://{address}/v1"), "api_key = \"${ONSET_TEST_ENV}\""),
        endpoint("file", &format!("http://{address}/v1"), "api_key = \"file:key.txt\""),
        endpoint("header", &format!("http://{address}/v1"), "headers = { \"x-team\" = \"${ONSET_TEST_HEADER}\" }"),
        endpoint("password", &format!("http://user:{}@{address}/v1", SECRETS[4]), ""),
        endpoint("query", &format!("http://{address}/v1?api-key={}&token={}", SECRETS[6], SECRETS[8]), ""),
        // Nothing listens there.
        endpoint(
            "gone",
            &format!("http://user:{}@127.0.0.1:9/v1?api-key={}", SECRETS[4], SECRETS[6]),
            "api_key = \"${ONSET_TEST_ENV}\"",
        ),
        // No header can hold it.
        endpoint("broken", &format!("http://{address}/v1"), "api_key = \"${ONSET_TEST_BROKEN}\""),
    ];
    std::fs::write(directory.join("config.toml"), config.concat()).unwrap();
}

async fn onset(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = command(directory);
    command.args(arguments).env("RUST_BACKTRACE", "1");
    command.env("ONSET_TEST_ENV", SECRETS[0]).env("ONSET_TEST_HEADER", SECRETS[2]);
    command.env("ONSET_TEST_BROKEN", format!("{}\n{}", SECRETS[0], SECRETS[1]));
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn check(what: &str, bytes: &[u8]) {
    for secret in SECRETS {
        let at = memchr::memmem::find(bytes, secret.as_bytes());
        let shown =
            at.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(200)..(at + 60).min(bytes.len())]).into_owned());
        assert!(shown.is_none(), "{what} has {secret}: ..{}", shown.unwrap());
    }
}

/// Everything that a run left behind: its files as they are, and the store read out, whose bodies are compressed.
fn check_files(directory: &Path) {
    for path in files(&directory.join("results")) {
        check(&path.display().to_string(), &std::fs::read(&path).unwrap());
    }
    let Ok(store) = Store::open_read_only(&directory.join("results/onset.db")) else { return };
    for run in store.runs().unwrap() {
        check("the manifest", format!("{run:?}").as_bytes());
        for record in store.records(&run.run).unwrap() {
            check("a record", format!("{record:?}").as_bytes());
            for key in &record.exchanges {
                check("an exchange", format!("{:?}", store.exchange(key).unwrap()).as_bytes());
                check("an attempt", format!("{:?}", store.attempts(key).unwrap()).as_bytes());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_found_in_nothing_that_is_printed_or_written() {
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), &parrot().await);
    // Killed in the middle, so that the log of the store is left behind as well.
    let mut killed = command(directory.path());
    killed.args(["run", "-q", "--only", "m-*"]).env("ONSET_TEST_ENV", SECRETS[0]).env("ONSET_TEST_HEADER", SECRETS[2]);
    let mut killed = killed.stdout(std::process::Stdio::null()).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    check_files(directory.path());

    let usable = ["--only", "m-*"];
    let mut seen = 0;
    for arguments in [
        vec!["plan"],
        vec!["plan", "--json"],
        vec!["probe", "-vv"],
        vec!["probe", "--json"],
        vec!["run", "-vv", "--no-retry"],
        vec!["run", "--json", "--retry-failed", "--no-retry", "-vv"],
        vec!["score", "-vv"],
    ] {
        let arguments: Vec<&str> = arguments.into_iter().chain(usable).collect();
        let output = onset(directory.path(), &arguments).await;
        assert!(code(&output) != 101 && code(&output) != 2, "{arguments:?}: {output:?}");
        seen += output.stdout.len() + output.stderr.len();
        check(&format!("{arguments:?} stdout"), &output.stdout);
        check(&format!("{arguments:?} stderr"), &output.stderr);
        check_files(directory.path());
    }
    assert!(seen > 20_000, "only {seen} bytes were printed");
    for arguments in [vec!["analyze"], vec!["report"], vec!["list", "runs"], vec!["--version"]] {
        let output = onset(directory.path(), &arguments).await;
        check(&format!("{arguments:?}"), &[output.stdout, output.stderr].concat());
    }
    let store = Store::open_read_only(&directory.path().join("results/onset.db")).unwrap();
    let run = store.runs().unwrap().pop().unwrap().run;
    let records = store.records(&run).unwrap();
    assert!(records.len() >= 100, "{} records", records.len());
    for record in records.iter().step_by(29) {
        let output = onset(directory.path(), &["show", &record.id()]).await;
        assert_eq!(code(&output), 0, "{output:?}");
        check(&record.id(), &[output.stdout, output.stderr].concat());
    }
    // What the parrot says is stored, but for its secrets.
    assert!(records.iter().any(|record| record.answer.is_some()));
    let said = format!(
        "{:?}",
        store.exchange(&records[0].exchanges[0]).unwrap().is_some()
            || !store.attempts(&records[0].exchanges[0]).unwrap().is_empty()
    );
    assert_eq!(said, "true");
    check_files(directory.path());

    // A key that cannot be sent, one that is not there, and one where none belongs.
    for (arguments, expected) in [
        (vec!["run", "--only", "no-broken"], 2),
        (vec!["run", "--only", "m-environment", "--set", "endpoints.environment.api_key=\"sk-env-4f7a91c2\""], 2),
        (
            vec![
                "plan",
                "--only",
                "m-environment",
                "--set",
                "endpoints.environment.headers={authorization=\"Bearer sk-env-4f7a91c2\"}",
            ],
            2,
        ),
    ] {
        let output = onset(directory.path(), &arguments).await;
        assert_eq!(code(&output), expected, "{arguments:?}: {output:?}");
        check(&format!("{arguments:?}"), &[output.stdout, output.stderr].concat());
    }
}
