//! `onset init`: files to start from.

use std::path::Path;

use super::diagnose::Problem;
use super::print::println;
use super::{Global, exit};
use crate::config::SHIPPED_CONFIG;
use serde_json::json;

const TASK: &str = "# A task of your own: questions from a file, one JSON object per line.\nname = \"capitals\"\nversion = 1\nabout = \"Name the capital of a country.\"\ndata = { file = \"capitals.jsonl\" }\nanswer = \"text\"\nscorers = { discontinuous = \"exact-match\", continuous = [\"answer-logprob\", \"edit-distance\"] }\nchance = 0.0\n";
/// The rows of the example task.
const CAPITALS: [(&str, &str); 30] = [
    ("France", "Paris"),
    ("Japan", "Tokyo"),
    ("Kenya", "Nairobi"),
    ("Peru", "Lima"),
    ("Norway", "Oslo"),
    ("Egypt", "Cairo"),
    ("Spain", "Madrid"),
    ("Italy", "Rome"),
    ("Greece", "Athens"),
    ("Portugal", "Lisbon"),
    ("Poland", "Warsaw"),
    ("Hungary", "Budapest"),
    ("Austria", "Vienna"),
    ("Ireland", "Dublin"),
    ("Sweden", "Stockholm"),
    ("Finland", "Helsinki"),
    ("Denmark", "Copenhagen"),
    ("Turkey", "Ankara"),
    ("India", "New Delhi"),
    ("China", "Beijing"),
    ("Cuba", "Havana"),
    ("Chile", "Santiago"),
    ("Canada", "Ottawa"),
    ("Ghana", "Accra"),
    ("Nigeria", "Abuja"),
    ("Iran", "Tehran"),
    ("Iraq", "Baghdad"),
    ("Nepal", "Kathmandu"),
    ("Thailand", "Bangkok"),
    ("Vietnam", "Hanoi"),
];
const PROMPT: &str = "# A prompt of your own: it works with every task.\nname = \"two-shot\"\nversion = 1\nabout = \"Two answered examples, then the question.\"\ntechnique = \"completion\"\nshots = 2\nshot = \"Q:{{ question }}\\nA:{{ answer }}\\n\"\nask = \"Q:{{ question }}\\nA:\"\nstop = [\"\\n\"]\nbaseline = \"zero-shot\"\non_cut = \"unparsed\"\n";

pub(super) fn init(directory: &Path, global: &Global) -> Result<u8, Problem> {
    let rows: Vec<String> = CAPITALS
        .iter()
        .map(|(country, capital)| format!("{}\n", json!({ "question": country, "answer": capital })))
        .collect();
    let rows = rows.concat();
    // The example task has too few rows for the main job: it is there to be edited, and is not asked by default.
    let config = SHIPPED_CONFIG.replace("tasks = [\"*\"]", "tasks = [\"addition-*\", \"lookup-*\", \"word-in-context\"]");
    let files = [
        ("config.toml", config.as_str()),
        ("tasks/capitals.toml", TASK),
        ("tasks/capitals.jsonl", rows.as_str()),
        ("prompts/two-shot.toml", PROMPT),
    ];
    if let Some((name, _)) = files.iter().find(|(name, _)| directory.join(name).exists()) {
        let message = format!("{} exists already", directory.join(name).display());
        return Err(Problem::with_help(message, "init overwrites nothing; name another directory"));
    }
    for (name, text) in files {
        let path = directory.join(name);
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        written.map_err(|error| Problem::other(format!("{}: {error}", path.display())))?;
        if !global.json {
            println!("wrote {}", path.display());
        }
    }
    if global.json {
        let written: Vec<String> = files.iter().map(|(name, _)| directory.join(name).display().to_string()).collect();
        println!("{}", json!({ "written": written }));
    } else {
        println!("try the example: onset plan --set 'tasks=[\"capitals\"]' --set 'prompts=[\"two-shot\"]' --samples 20");
    }
    Ok(exit::DONE)
}
