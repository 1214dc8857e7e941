use std::path::Path;

use crate::program::{code, onset};

const CONFIG: &str = include_str!("../config.toml");
const TASK: &str = include_str!("../tasks/addition-3.toml");
const PROMPT: &str = include_str!("../prompts/few-shot.toml");

/// Runs a directory with three files and gives what the program complains about; nothing may have been sent.
fn complaint(config: &str, task: &str, prompt: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("config.toml", config);
    write("tasks/mine.toml", task);
    write(
        "tasks/rows.jsonl",
        "{\"id\": \"x\", \"question\": \"a\", \"answer\": \"b\"}\n{\"id\": \"x\", \"question\": \"c\", \"answer\": \"d\"}\n",
    );
    write("prompts/mine.toml", prompt);
    let output = onset(directory.path(), &["run", "-q"]);
    assert_eq!(code(&output), 2, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!directory.path().join("results").exists(), "something was begun");
    String::from_utf8(output.stderr).unwrap()
}

/// The list of tasks of the shipped configuration, from its key to its end.
fn tasks() -> &'static str {
    let start = CONFIG.find("tasks = [").unwrap();
    &CONFIG[start..=start + CONFIG[start..].find(']').unwrap()]
}

fn in_config(from: &str, to: &str) -> String {
    assert!(CONFIG.contains(from));
    complaint(&CONFIG.replacen(from, to, 1), TASK, PROMPT)
}

fn in_task(from: &str, to: &str) -> String {
    assert!(TASK.contains(from));
    complaint(CONFIG, &TASK.replacen(from, to, 1), PROMPT)
}

fn in_prompt(from: &str, to: &str) -> String {
    assert!(PROMPT.contains(from));
    complaint(CONFIG, TASK, &PROMPT.replacen(from, to, 1))
}

#[test]
fn options_that_would_do_nothing_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = onset(directory.path(), &["plan", "-q", "--max-samples", "80"]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(code(&output) == 2 && words.contains("add --until-resolved"), "{words}");
}

#[test]
fn mistakes_in_the_configuration() {
    insta::assert_snapshot!("config_unknown_key", in_config("samples = 100", "smaples = 100"));
    insta::assert_snapshot!("config_wrong_type", in_config("samples = 100", "samples = \"many\""));
    insta::assert_snapshot!("config_unknown_prompt", in_config("\"scratchpad\"", "\"scrachpad\""));
    insta::assert_snapshot!("config_unknown_task", in_config(tasks(), "tasks = [\"adition-3\"]"));
    insta::assert_snapshot!("config_unknown_provider", in_config("openai-completions", "openai-completion"));
    let more = |line: &str| in_config("in_flight = 128", &format!("in_flight = 128\n{line}"));
    insta::assert_snapshot!("config_unknown_dialect", more("dialect = \"vlm\""));
    insta::assert_snapshot!("config_no_logprobs", more("logprobs = \"grammar\""));
    insta::assert_snapshot!("config_no_functions", more("tool_calls = \"native\""));
    insta::assert_snapshot!("config_no_template", more("chat_template = \"none.jinja\""));
    insta::assert_snapshot!("config_unaskable", more("reasoning_effort = \"low\""));
    let secret = more("headers = { x-api-token = \"sk-very-secret\" }");
    assert!(secret.contains("must not be written") && !secret.contains("sk-very"), "{secret}");
    insta::assert_snapshot!("config_unknown_endpoint", in_config("endpoint = \"ladder\"", "endpoint = \"lader\""));
    insta::assert_snapshot!("config_not_toml", in_config("samples = 100", "samples = = 100"));
    insta::assert_snapshot!("config_no_family", in_config(tasks(), "tasks = []"));
    let models = |list: &str| in_config("models = \"all\"", &format!("models = [{list}]"));
    insta::assert_snapshot!("config_unknown_rung", models("{ name = \"ladder-1mm\" }"));
    insta::assert_snapshot!("config_twice_a_model", models("{ name = \"ladder-1m\" }, { name = \"ladder-1m\" }"));
    insta::assert_snapshot!("config_negative_scale", models("{ name = \"ladder-1m\", params = -5 }"));
    let hosted = CONFIG.replace("embedded:ladder", "http://127.0.0.1:9/v1");
    let no_scale = hosted.replace("models = \"all\"", "models = [{ name = \"m\" }]");
    insta::assert_snapshot!("config_no_scale", complaint(&no_scale, TASK, PROMPT));
    let no_tokens = hosted.replace("models = \"all\"", "models = [{ name = \"m\", params = 5, checkpoint = 9 }]");
    let text = complaint(&no_tokens, TASK, PROMPT);
    assert!(text.contains("the checkpoint `m` does not say how many tokens it was trained on"), "{text}");
    insta::assert_snapshot!("config_bad_address", in_config("embedded:ladder", "localhost:8000"));
}

#[test]
fn mistakes_in_a_task() {
    insta::assert_snapshot!("task_unknown_key", in_task("chance", "chanse"));
    insta::assert_snapshot!("task_wrong_type", in_task("version = 1", "version = \"one\""));
    insta::assert_snapshot!("task_unknown_scorer", in_task("exact-match", "exact-mach"));
    insta::assert_snapshot!("task_unknown_generator", in_task("\"addition\"", "\"adition\""));
    insta::assert_snapshot!("task_unknown_parameter", in_task("digits = 3", "digit = 3"));
    insta::assert_snapshot!("task_out_of_range", in_task("digits = 3", "digits = 30"));
    let file = in_task("{ generator = \"addition\", digits = 3 }", "{ file = \"row.jsonl\" }");
    insta::assert_snapshot!("task_missing_data_file", file);
    let file = in_task("{ generator = \"addition\", digits = 3 }", "{ file = \"rows.jsonl\" }");
    insta::assert_snapshot!("task_twice_a_sample", file);
    insta::assert_snapshot!("task_chance_is_no_score", in_task("chance = 0", "chance = 7"));
}

#[test]
fn mistakes_in_a_prompt() {
    insta::assert_snapshot!("prompt_unknown_key", in_prompt("stop =", "stopp ="));
    insta::assert_snapshot!("prompt_wrong_type", in_prompt("shots = 4", "shots = \"four\""));
    insta::assert_snapshot!("prompt_unknown_technique", in_prompt("\"completion\"", "\"completions\""));
    insta::assert_snapshot!("prompt_unknown_variable", in_prompt("{{ answer }}", "{{ anwser }}"));
    insta::assert_snapshot!("prompt_broken_template", in_prompt("{{ answer }}", "{{ answer }"));
    insta::assert_snapshot!("prompt_example_unlike_question", in_prompt("shot = \"Q:", "shot = \"K:"));
    insta::assert_snapshot!("prompt_unknown_baseline", in_prompt("\"zero-shot\"", "\"zero-shoot\""));
}

#[test]
fn a_key_in_the_configuration_is_refused_and_never_shown() {
    let secret = "sk-very-secret";
    let text = in_config("in_flight = 128", &format!("in_flight = 128\napi_key = \"{secret}\""));
    assert!(text.contains("must not be written"), "{text}");
    assert!(!text.contains(secret), "{text}");
}
