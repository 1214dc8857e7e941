use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{code, command, json, onset};

const ARGUMENTS: &[&str] = &[
    "run",
    "--json",
    "-q",
    "--samples",
    "6",
    "--only",
    "lookup-1",
    "--only",
    "scratchpad",
    "--only",
    "addition-2",
    "--only",
    "calculator",
];

#[test]
fn a_run_reports_and_a_second_one_sends_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let first = onset(directory.path(), ARGUMENTS);
    assert_eq!(code(&first), 0, "{}", String::from_utf8_lossy(&first.stderr));
    let found = json(&first);
    // Two prompts with addition, one with look-up, which has nothing to calculate; fourteen models; six samples.
    assert_eq!(found["planned"], 3 * 14 * 6);
    assert_eq!(found["records"], found["planned"]);
    assert!(found["requests"].as_u64().unwrap() > found["planned"].as_u64().unwrap());
    let results = directory.path().join("results");
    for name in ["manifest.json", "analysis.json"] {
        assert!(results.join("latest").join(name).exists(), "{name}");
    }
    let second = json(&onset(directory.path(), ARGUMENTS));
    assert_eq!(second["requests"], 0);
    assert_eq!(second["analysis"], found["analysis"]);

    // The replies are paid for: scoring anew sends nothing and finds the same.
    std::fs::remove_dir_all(results.join(found["run"].as_str().unwrap())).unwrap();
    let mut score = ARGUMENTS.to_vec();
    score[0] = "score";
    assert_eq!(code(&onset(directory.path(), &score)), 0);
    let analysed = json(&onset(directory.path(), &["analyze", "--json"]));
    assert_eq!(analysed, found["analysis"]);
    // A larger run has the replies of this one, those with a tool among them.
    let mut larger = ARGUMENTS.to_vec();
    (larger[0], larger[4]) = ("plan", "8");
    let planned = json(&onset(directory.path(), &larger));
    assert_eq!((&planned["records"], &planned["there"]), (&(3 * 14 * 8).into(), &found["planned"]), "{planned}");
    let name = "addition-2/calculator/ladder-1m/test-00000/0";
    let shown = json(&onset(directory.path(), &["show", name, "--json"]));
    assert_eq!(shown["record"]["outcome"], "answered");
    assert!(shown["exchanges"][0]["response"]["text"].as_str().unwrap().contains("<calc>"));
}

/// With repetitions: a sample is asked for all of them or not at all.
#[test]
fn samples_go_where_a_verdict_is_open_and_are_those_of_a_fixed_number() {
    let directory = tempfile::tempdir().unwrap();
    let asked = |what: &str, more: &[&str]| {
        let mut arguments =
            vec![what, "--json", "-q", "--set", "repetitions=3", "--set", "endpoints.ladder.temperature=0.7"];
        for name in ["multiplication-3", "few-shot", "ladder-5k", "ladder-9k", "ladder-31k", "ladder-117k", "ladder-1m"] {
            arguments.extend(["--only", name]);
        }
        let output = onset(directory.path(), &[&arguments, more].concat());
        assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
        json(&output)
    };
    let until = ["--until-resolved", "--max-samples", "160"];
    let first = asked("run", &until);
    assert_eq!(first["records"], first["planned"]);
    let curves = first["analysis"]["curves"].as_array().unwrap();
    let points = curves.iter().find(|curve| curve["metric"] == "exact-match").unwrap()["points"].as_array().unwrap();
    let records = |point: &serde_json::Value| point["answered"].as_u64().unwrap() + point["unparsed"].as_u64().unwrap();
    let asked_of: Vec<u64> = points.iter().map(records).collect();
    assert!(asked_of.iter().all(|records| [120, 240, 480].contains(records)), "{asked_of:?}");
    assert!(asked_of.contains(&120) && asked_of.iter().any(|&records| records > 120), "{asked_of:?}");
    assert_eq!(asked_of.iter().sum::<u64>(), first["records"].as_u64().unwrap());

    let again = asked("run", &until);
    assert_eq!((&again["requests"], &again["analysis"]), (&0.into(), &first["analysis"]));
    assert_eq!(again["planned"], first["records"]);

    // A run that was cut off goes on to the same end: records of all rounds are lost here, those of one model altogether.
    let store = rusqlite::Connection::open(directory.path().join("results/onset.db")).unwrap();
    let deleted = "DELETE FROM scores WHERE record IN (SELECT id FROM records WHERE {0}); DELETE FROM records WHERE {0}";
    let lost = "model = 'ladder-1m' OR sample > 'test-00060' OR sample LIKE '%7'";
    store.execute_batch(&deleted.replace("{0}", lost)).unwrap();
    let missing = json(&onset(directory.path(), &["analyze", "--json"]));
    let curve = missing["curves"].as_array().unwrap().iter().find(|curve| curve["metric"] == "exact-match").unwrap();
    let last = curve["points"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["model"], &last["missing"]), (&"ladder-1m".into(), &120.into()), "what was not asked is missing");
    let whole = asked("run", &until);
    assert_eq!((&whole["requests"], &whole["analysis"]), (&0.into(), &first["analysis"]));
    // What was asked is the beginning of what a fixed number asks.
    let fixed = asked("plan", &["--samples", "160"]);
    assert_eq!((&fixed["records"], &fixed["there"]), (&(5 * 160 * 3).into(), &first["records"]));
}

#[test]
fn an_edited_prompt_is_asked_anew_without_a_new_version() {
    let directory = tempfile::tempdir().unwrap();
    let arguments =
        ["run", "--json", "-q", "--samples", "4", "--only", "addition-2", "--only", "zero-shot", "--only", "ladder-5k"];
    let first = json(&onset(directory.path(), &arguments));
    std::fs::create_dir(directory.path().join("prompts")).unwrap();
    let prompt = std::fs::read_to_string("prompts/zero-shot.toml").unwrap().replace("Q:", "Question:");
    std::fs::write(directory.path().join("prompts/zero-shot.toml"), prompt).unwrap();
    let second = json(&onset(directory.path(), &arguments));
    assert_eq!(second["requests"], first["requests"]);
    assert_ne!(second["run"], first["run"]);
}

#[test]
fn an_analysis_does_not_depend_on_the_number_of_threads() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/gpt3_modified_arithmetic.csv");
    let analysed = |threads: &str| {
        let directory = tempfile::tempdir().unwrap();
        let mut command = crate::program::command(directory.path());
        let output = command.env("RAYON_NUM_THREADS", threads).args(["analyze", file, "--json", "-q"]).output().unwrap();
        assert_eq!(crate::program::code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let once = analysed("1");
    assert_eq!(once, analysed("2"));
    let found: serde_json::Value = serde_json::from_slice(&once).unwrap();
    // Between 6.7 and 13 billion parameters, as in Wei et al. 2022.
    assert_eq!(found["curves"][0]["verdict"], "emergent");
    let onset = &found["curves"][0]["onset"];
    assert!(onset["below"].as_f64().unwrap() > 1.1e22 && onset["above"].as_f64().unwrap() < 2.4e22, "{onset}");
}

#[test]
fn four_sizes_are_told_pair_by_pair_before_their_verdicts() {
    let directory = tempfile::tempdir().unwrap();
    let mut arguments = vec!["run", "-q", "--samples", "12"];
    for name in ["addition-2", "zero-shot", "few-shot", "ladder-5k", "ladder-31k", "ladder-117k", "ladder-1m"] {
        arguments.extend(["--only", name]);
    }
    let output = onset(directory.path(), &arguments);
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let in_order = |text: &str, parts: &[&str]| {
        let places: Vec<usize> =
            parts.iter().map(|part| text.find(part).unwrap_or_else(|| panic!("{part}\n{text}"))).collect();
        assert!(places.is_sorted(), "{parts:?} stand at {places:?} in\n{text}");
    };
    let stdout = String::from_utf8(output.stdout).unwrap();
    in_order(&stdout, &["Prompts against their baselines", "Each size against the next smaller", "Verdicts on the curves"]);
    let report = std::fs::read_to_string(directory.path().join("results/latest/report.md")).unwrap();
    in_order(&report, &["## Prompts against their baselines", "## Each size against", "## Verdicts on the curves"]);

    // The same sample is the same problem under every prompt and for every model: nothing is left without a partner.
    let analysis = json(&onset(directory.path(), &["analyze", "--json"]));
    let comparisons = analysis["comparisons"].as_array().unwrap();
    let kinds: Vec<&str> = comparisons.iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "baseline").count(), 1);
    assert!(kinds.iter().filter(|kind| **kind == "sizes").count() >= 4);
    assert_eq!(comparisons[0]["points"].as_array().unwrap().len(), 4);
    for point in comparisons.iter().flat_map(|one| one["points"].as_array().unwrap()) {
        assert_eq!((&point["n"], &point["unpaired"]), (&12.into(), &0.into()), "{point}");
    }
    let csv = std::fs::read_to_string(directory.path().join("results/latest/comparisons.csv")).unwrap();
    let points: usize = comparisons.iter().map(|one| one["points"].as_array().unwrap().len()).sum();
    assert_eq!(csv.lines().count(), 1 + points);
}

/// What a process manager sends ends it; a client that does not come to an end cannot hold it beyond the second time.
#[cfg(unix)]
#[test]
fn a_server_ends_when_it_is_told_to() {
    for is_held in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let mut serve = command(directory.path());
        let mut server = serve.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap().strip_suffix("/v1").unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        if is_held {
            let head = b"POST /v1/completions HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n";
            client.write_all(head).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            // Not before the server waits for the rest: it need not hear out who has not begun.
            let mut told = String::new();
            BufReader::new(client.try_clone().unwrap()).read_line(&mut told).unwrap();
            assert!(told.starts_with("HTTP/1.1 100"), "{told}");
            client.write_all(b"{").unwrap();
        } else {
            drop(client);
        }
        let told = Instant::now();
        let ended = loop {
            assert!(Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap().success());
            std::thread::sleep(Duration::from_millis(200));
            if let Some(status) = server.try_wait().unwrap() {
                break status;
            }
            assert!(told.elapsed() < Duration::from_secs(20), "it goes on");
        };
        assert_eq!(ended.code(), Some(if is_held { 130 } else { 0 }), "{ended}");
    }
}
