//! Task files: what is asked and how an answer is judged.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::source::{Diagnostic, Diagnostics, Located, Place, Source, parse, suggestion};
use crate::schema::{AnswerKind, Sample, Samples, SamplesError};

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
    Rows(Samples),
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

/// What is wrong with a file of rows.
enum RowFault {
    /// It cannot be read.
    File(std::io::Error),
    /// A line is no sample: its bytes, and why.
    Line(Range<usize>, String),
    /// The rows cannot be kept.
    Samples(SamplesError),
}

impl From<SamplesError> for RowFault {
    fn from(error: SamplesError) -> Self {
        Self::Samples(error)
    }
}

fn read_rows(file: &Located<String>, directory: Option<&Path>, problems: &mut Diagnostics) -> Option<Samples> {
    let directory = directory.unwrap_or(Path::new("."));
    let path = directory.join(&file.value);
    let fault = match File::open(&path).map_err(RowFault::File).and_then(|opened| Samples::keep(Rows::new(opened))) {
        Ok(rows) => return Some(rows),
        Err(fault) => fault,
    };
    problems.push(match fault {
        RowFault::File(error) => {
            let neighbours: Vec<String> = std::fs::read_dir(directory)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .filter(|name| name.ends_with(".jsonl"))
                .collect();
            let message = format!("cannot read the data file: {error}");
            let complaint = Diagnostic::at(&file.place, message, "looked for beside the task file");
            if neighbours.is_empty() {
                complaint
            } else {
                let names: Vec<&str> = neighbours.iter().map(String::as_str).collect();
                complaint.with_help(suggestion(&file.value, &names))
            }
        }
        RowFault::Line(range, message) => {
            // Only now as a whole, to show the line: a file may be larger than the memory.
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let source = Arc::new(Source { file: path.display().to_string(), text });
            Diagnostic::at(&Place { source, range }, message, "this line")
        }
        RowFault::Samples(error) => Diagnostic::at(&file.place, error.to_string(), "while this file was read"),
    });
    None
}

/// The rows of a file, read line by line.
struct Rows {
    lines: BufReader<File>,
    line: String,
    /// Bytes read.
    end: usize,
    rows: usize,
    /// Hashes of what was there: two rows of one name would overwrite each other; two of one question could be asked and shown as an
    /// example. Of a million, one pair of different ones shares a hash with a probability of 3e-8.
    ids: HashSet<[u8; 8]>,
    questions: HashSet<[u8; 8]>,
}

impl Rows {
    fn new(file: File) -> Self {
        let lines = BufReader::new(file);
        Self { lines, line: String::new(), end: 0, rows: 0, ids: HashSet::new(), questions: HashSet::new() }
    }

    fn row(&mut self) -> Result<Sample, String> {
        let Row { question, answer, id, steps, expression, choices } =
            serde_json::from_str(&self.line).map_err(|error| format!("not a sample: {error}"))?;
        let id = id.unwrap_or_else(|| format!("{:05}", self.rows));
        if !self.ids.insert(hash(std::iter::once(&id))) {
            return Err(format!("a second sample of the id `{id}`"));
        }
        if !self.questions.insert(hash(std::iter::once(&question).chain(&choices))) {
            return Err("this question was asked in an earlier line".to_owned());
        }
        self.rows += 1;
        Ok(Sample { id, question, answer, steps, expression, choices })
    }
}

/// The beginning of a hash of texts.
fn hash<'a>(texts: impl Iterator<Item = &'a String>) -> [u8; 8] {
    let mut hash = blake3::Hasher::new();
    for text in texts {
        hash.update(&text.len().to_le_bytes()).update(text.as_bytes());
    }
    let mut first = [0; 8];
    hash.finalize_xof().fill(&mut first);
    first
}

impl Iterator for Rows {
    type Item = Result<Sample, RowFault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.line.clear();
            let start = self.end;
            match self.lines.read_line(&mut self.line) {
                Ok(0) => return None,
                Ok(read) => self.end += read,
                Err(error) => return Some(Err(RowFault::File(error))),
            }
            if self.line.trim().is_empty() {
                continue;
            }
            let range = start..start + self.line.trim_end().len();
            return Some(self.row().map_err(|message| RowFault::Line(range, message)));
        }
    }
}
