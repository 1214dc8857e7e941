//! Task files: what is asked and how an answer is judged.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::source::{Diagnostic, Diagnostics, Located, Place, Source, parse, suggestion};
use crate::schema::{AnswerKind, Sample};

/// A task as its file says it, with the place of every name.
#[derive(Debug, Clone)]
pub struct TaskFile {
    /// Unique name.
    pub name: Located<String>,
    /// Version of the meaning.
    pub version: u32,
    /// One or two sentences.
    pub about: String,
    /// Where the samples come from.
    pub data: Data,
    /// How a reply is read.
    pub answer: AnswerKind,
    /// The all-or-nothing scorer.
    pub discontinuous: Located<String>,
    /// The scorers with partial credit.
    pub continuous: Vec<Located<String>>,
    /// The chance level.
    pub chance: f64,
}

/// Where samples come from.
#[derive(Debug, Clone)]
pub enum Data {
    /// A generator and its parameters.
    Generator(Located<String>, Vec<(Located<String>, i64, Place)>),
    /// Rows of a JSON Lines file.
    Rows(Vec<Sample>),
}

/// Reads a task file; data files are looked for beside it.
///
/// # Errors
/// Everything that is wrong in it.
pub fn read_task(source: &Arc<Source>, directory: Option<&Path>) -> Result<TaskFile, Diagnostics> {
    let mut problems = Diagnostics::new();
    let mut table = parse(source).map_err(|problem| vec![*problem])?;
    let name = table.require("name", &mut problems).and_then(|node| node.string(&mut problems));
    let version = table.require("version", &mut problems).and_then(|node| node.integer(1, &mut problems));
    let about = table.require("about", &mut problems).and_then(|node| node.string(&mut problems));
    let data = table.require("data", &mut problems).and_then(|node| node.table(&mut problems));
    let answer = table.require("answer", &mut problems).and_then(|node| node.string(&mut problems));
    let scorers = table.require("scorers", &mut problems).and_then(|node| node.table(&mut problems));
    let chance = table.require("chance", &mut problems).and_then(|node| {
        let place = node.place.clone();
        let chance = node.number(&mut problems)?;
        if !(0.0..1.0).contains(&chance) {
            problems.push(Diagnostic::at(&place, format!("chance is a score, not {chance}"), "from 0 to less than 1"));
        }
        Some(chance)
    });
    table.finish(&mut problems);

    let answer = answer.and_then(|answer| match answer.value.as_str() {
        "number" => Some(AnswerKind::Number),
        "text" => Some(AnswerKind::Text),
        "choice" => Some(AnswerKind::Choice),
        _ => {
            problems.push(Diagnostic::unknown("kind of answer", &answer, &["number", "text", "choice"]));
            None
        }
    });
    let scorers = scorers.and_then(|mut table| {
        let discontinuous = table.require("discontinuous", &mut problems).and_then(|node| node.string(&mut problems));
        let continuous = table.require("continuous", &mut problems).and_then(|node| node.strings(&mut problems));
        let place = table.place().clone();
        table.finish(&mut problems);
        if continuous.as_ref().is_some_and(Vec::is_empty) {
            problems.push(
                Diagnostic::at(&place, "a task needs at least one continuous scorer", "none is named")
                    .with_help("a curve under one all-or-nothing metric cannot tell a real jump from an artefact"),
            );
        }
        Some((discontinuous?, continuous?))
    });
    let data = data.and_then(|mut table| {
        let generator = table.take("generator").and_then(|node| node.string(&mut problems));
        let file = table.take("file").and_then(|node| node.string(&mut problems));
        match (generator, file) {
            (Some(generator), None) => {
                let parameters = table
                    .rest()
                    .into_iter()
                    .filter_map(|(key, node)| {
                        let place = node.place.clone();
                        Some((key, node.integer(0, &mut problems)?, place))
                    })
                    .collect();
                Some(Data::Generator(generator, parameters))
            }
            (None, Some(file)) => {
                table.finish(&mut problems);
                read_rows(&file, directory, &mut problems).map(Data::Rows)
            }
            _ => {
                let place = table.place();
                problems.push(Diagnostic::at(place, "`data` needs either `generator` or `file`", "one of the two"));
                None
            }
        }
    });
    match (name, version, about, data, answer, scorers, chance) {
        (
            Some(name),
            Some(version),
            Some(about),
            Some(data),
            Some(answer),
            Some((discontinuous, continuous)),
            Some(chance),
        ) if problems.is_empty() => {
            let version = u32::try_from(version).unwrap_or(u32::MAX);
            Ok(TaskFile { name, version, about: about.value, data, answer, discontinuous, continuous, chance })
        }
        _ => Err(problems),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    question: String,
    answer: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    steps: Option<String>,
    #[serde(default)]
    expression: Option<String>,
    #[serde(default)]
    choices: Vec<String>,
}

fn read_rows(file: &Located<String>, directory: Option<&Path>, problems: &mut Diagnostics) -> Option<Vec<Sample>> {
    let directory = directory.unwrap_or(Path::new("."));
    let path = directory.join(&file.value);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let neighbours: Vec<String> = std::fs::read_dir(directory)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .filter(|name| name.ends_with(".jsonl"))
                .collect();
            let mut complaint = Diagnostic::at(
                &file.place,
                format!("cannot read the data file: {error}"),
                "looked for beside the task file",
            );
            if !neighbours.is_empty() {
                let names: Vec<&str> = neighbours.iter().map(String::as_str).collect();
                complaint = complaint.with_help(suggestion(&file.value, &names));
            }
            problems.push(complaint);
            return None;
        }
    };
    let source = Arc::new(Source { file: path.display().to_string(), text });
    let mut rows: Vec<Sample> = Vec::new();
    // Two rows of one name would overwrite each other; two of one question could be asked and shown as an example.
    let (mut ids, mut questions) = (HashSet::new(), HashSet::new());
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let range = start..start + line.trim_end().len();
        start += line.len();
        if line.trim().is_empty() {
            continue;
        }
        let row = serde_json::from_str::<Row>(line).map_err(|error| format!("not a sample: {error}")).and_then(|row| {
            let id = row.id.unwrap_or_else(|| format!("{:05}", rows.len()));
            if !ids.insert(id.clone()) {
                return Err(format!("a second sample of the id `{id}`"));
            }
            if !questions.insert((row.question.clone(), row.choices.clone())) {
                return Err("this question was asked in an earlier line".to_owned());
            }
            let Row { question, answer, steps, expression, choices, .. } = row;
            Ok(Sample { id, question, answer, steps, expression, choices })
        });
        match row {
            Ok(row) => rows.push(row),
            Err(message) => {
                let place = Place { source: Arc::clone(&source), range };
                problems.push(Diagnostic::at(&place, message, "this line"));
                return None;
            }
        }
    }
    Some(rows)
}
