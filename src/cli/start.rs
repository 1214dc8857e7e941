//! `onset init`: files to start from.

use std::path::Path;

use super::diagnose::Problem;
use super::exit;
use crate::config::SHIPPED_CONFIG;
use anstream::println;

const TASK: &str = "# A task of your own: questions from a file, one JSON object per line.\nname = \"capitals\"\nversion = 1\nabout = \"Name the capital of a country.\"\ndata = { file = \"capitals.jsonl\" }\nanswer = \"text\"\nscorers = { discontinuous = \"exact-match\", continuous = [\"answer-logprob\", \"edit-distance\"] }\nchance = 0.0\n";
const ROWS: &str = "{\"question\": \"France\", \"answer\": \"Paris\"}\n{\"question\": \"Japan\", \"answer\": \"Tokyo\"}\n{\"question\": \"Kenya\", \"answer\": \"Nairobi\"}\n{\"question\": \"Peru\", \"answer\": \"Lima\"}\n{\"question\": \"Norway\", \"answer\": \"Oslo\"}\n{\"question\": \"Egypt\", \"answer\": \"Cairo\"}\n";
const PROMPT: &str = "# A prompt of your own: it works with every task.\nname = \"two-shot\"\nversion = 1\nabout = \"Two answered examples, then the question.\"\ntechnique = \"completion\"\nshots = 2\nshot = \"Q:{{ question }}\\nA:{{ answer }}\\n\"\nask = \"Q:{{ question }}\\nA:\"\nstop = [\"\\n\"]\nbaseline = \"zero-shot\"\non_cut = \"unparsed\"\n";

pub(super) fn init(directory: &Path) -> Result<u8, Problem> {
    // The example task has six rows, too few for the main job: it is there to be edited, and is not asked by default.
    let config = SHIPPED_CONFIG.replace("tasks = [\"*\"]", "tasks = [\"addition-*\", \"lookup-*\", \"word-in-context\"]");
    let files = [
        ("config.toml", config.as_str()),
        ("tasks/capitals.toml", TASK),
        ("tasks/capitals.jsonl", ROWS),
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
        println!("wrote {}", path.display());
    }
    Ok(exit::DONE)
}
