//! From what was written to what will be asked: every name resolved, every pair of task and prompt checked, every sample drawn.

pub mod corpus;
mod prose;
pub mod recipe;
mod resolve;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::json;

use crate::prompting::example;
use crate::prompting::template::{Template, TemplateError};
use crate::schema::{
    Case, Chat, ChatTemplate, DataSource, Endpoint, ExchangeKey, Input, Message, ModelEntry, Need, Price, Prompt, Provider,
    RecordName, Refusal, Request, RunManifest, Sample, SampleSet, Samples, SamplesError, Scoring, Task, Technique, ToolSpec,
    Wanted, json_text,
};
use crate::scorers;

pub use resolve::{Ladder, Selection, plan};

/// Version of the manifest's format.
pub const MANIFEST_VERSION: u32 = 1;

/// A task with its samples.
#[derive(Debug)]
pub struct PlannedTask {
    /// The task.
    pub task: Task,
    /// Its samples.
    pub samples: SampleSet,
}

/// An endpoint, with all that its requests are made with.
#[derive(Clone)]
pub struct PlannedEndpoint {
    /// What decides its requests.
    pub endpoint: Endpoint,
    /// Who translates for it.
    pub provider: &'static dyn Provider,
    /// What turns messages into the text that it takes.
    pub template: Option<Arc<dyn ChatTemplate>>,
    /// Most tokens of a reply, when the configuration says.
    pub max_tokens: Option<u32>,
    /// The sampling as a JSON text, which is part of what exchanges are known by.
    pub sampling: String,
}

impl std::fmt::Debug for PlannedEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlannedEndpoint").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// The examples and the question of a cell as turns of a chat.
#[derive(Debug)]
pub struct CellTurns {
    /// What the person says and the model replies in each example.
    pub examples: Vec<(String, String)>,
    /// Template of the question.
    pub ask: Template,
    /// Template of how the reply begins.
    pub prefix: Option<Template>,
}

/// A task put by a prompt: everything that is the same for all models and samples.
pub struct Cell {
    /// Index of the task.
    pub task: usize,
    /// Index of the prompt.
    pub prompt: usize,
    /// The examples, rendered.
    pub shots: String,
    /// Template of the question.
    pub ask: Template,
    /// The same as turns of a chat, where the prompt file has them.
    pub turns: Option<CellTurns>,
    /// The tool of the prompt, as it is offered.
    pub function: Option<ToolSpec>,
    /// Most tokens in one reply: at least twice the longest reference reply, counting one token per byte.
    pub max_tokens: u32,
    /// The technique.
    pub technique: &'static dyn Technique,
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cell").field("task", &self.task).field("prompt", &self.prompt).finish_non_exhaustive()
    }
}

/// One record to be: a sample, in a cell, for a model, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Index of the cell.
    pub cell: usize,
    /// Index of the model.
    pub model: usize,
    /// Index of the sample.
    pub sample: usize,
    /// How often it was asked before.
    pub repetition: u32,
}

/// What will be asked.
#[derive(Debug)]
pub struct Plan {
    /// The run's id: a hash of all that decides its records, in twelve digits.
    pub run: String,
    /// Seed of samples, shots and sampling.
    pub seed: u64,
    /// Samples per task; the most, when it stops where its verdicts are settled.
    pub samples: usize,
    /// Whether no more is asked than the verdicts need.
    pub until_resolved: bool,
    /// How often each sample is asked.
    pub repetitions: u32,
    /// Empty, or what keeps this run's exchanges apart.
    pub epoch: String,
    /// The tasks.
    pub tasks: Vec<PlannedTask>,
    /// The prompts.
    pub prompts: Vec<Prompt>,
    /// The endpoints of the models.
    pub endpoints: Vec<PlannedEndpoint>,
    /// The models.
    pub models: Vec<ModelEntry>,
    /// What models cost, by name. No part of the run: a price may change.
    pub prices: BTreeMap<String, Price>,
    /// The cells.
    pub cells: Vec<Cell>,
    /// Pairs that do not go together.
    pub refused: Vec<Refusal>,
}

/// How many of its samples each cell is asked of each model, and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    samples: Vec<usize>,
    models: usize,
    /// Places of `samples`.
    order: Vec<usize>,
}

impl Quota {
    /// As many for every cell and model.
    #[must_use]
    pub fn of(plan: &Plan, samples: usize) -> Self {
        let (models, places) = (plan.models.len(), plan.cells.len() * plan.models.len());
        Self { samples: vec![samples.min(plan.samples); places], models, order: (0..places).collect() }
    }

    /// Samples of a cell for a model.
    #[must_use]
    pub fn get(&self, cell: usize, model: usize) -> usize {
        self.samples.get(cell * self.models + model).copied().unwrap_or_default()
    }

    /// Asks a cell of a model more.
    pub fn raise(&mut self, cell: usize, model: usize, samples: usize) {
        if let Some(known) = self.samples.get_mut(cell * self.models + model) {
            *known = samples.max(*known);
        }
    }

    /// Has these cells and models asked before all others, in the order in which they are given.
    pub fn ask_first(&mut self, first: impl IntoIterator<Item = (usize, usize)>) {
        let rank: HashMap<usize, usize> =
            first.into_iter().map(|(cell, model)| cell * self.models + model).zip(0..).collect();
        self.order.sort_by_key(|place| rank.get(place).copied().unwrap_or(usize::MAX));
    }

    /// Samples of all cells of a model.
    #[must_use]
    pub fn of_model(&self, model: usize) -> usize {
        self.samples.iter().skip(model).step_by(self.models.max(1)).sum()
    }

    /// Samples of all.
    #[must_use]
    pub fn sum(&self) -> usize {
        self.samples.iter().sum()
    }
}

impl Plan {
    /// The units of the models of one endpoint within a quota: in the order of the quota, which is cell by cell and within a cell model by model
    /// unless some are asked first. Those of a cell and a model stand together, so that an engine can share their examples.
    pub fn units(&self, endpoint: &str, quota: &Quota) -> impl Iterator<Item = Unit> + use<> {
        let pair = |place: &usize| (place / quota.models, place % quota.models);
        let is_there = |model: usize| self.models.get(model).is_some_and(|entry| entry.endpoint == endpoint);
        let pairs = quota.order.iter().map(pair).filter(|(_, model)| is_there(*model));
        let asked: Vec<_> = pairs.map(|(cell, model)| (cell, model, quota.get(cell, model))).collect();
        let repetitions = self.repetitions;
        asked.into_iter().flat_map(move |(cell, model, samples)| {
            let repeated = move |sample| (0..repetitions).map(move |repetition| Unit { cell, model, sample, repetition });
            (0..samples).flat_map(repeated)
        })
    }

    /// The cell of a task and a prompt, and the place of a model.
    #[must_use]
    pub fn place(&self, task: &str, prompt: &str, model: &str) -> Option<(usize, usize)> {
        let is_cell = |cell: &Cell| {
            self.tasks.get(cell.task).is_some_and(|planned| planned.task.name == task)
                && self.prompts.get(cell.prompt).is_some_and(|planned| planned.name == prompt)
        };
        Some((self.cells.iter().position(is_cell)?, self.models.iter().position(|entry| entry.name == model)?))
    }

    /// What is asked first: all, or a little of everything where verdicts decide.
    #[must_use]
    pub fn first_quota(&self, first: usize) -> Quota {
        Quota::of(self, if self.until_resolved { first } else { self.samples })
    }

    /// The same plan with exchanges of its own: nothing that was asked in another epoch answers it.
    ///
    /// # Errors
    /// When the samples cannot be read.
    pub fn in_epoch(self, epoch: String) -> Result<Self, SamplesError> {
        Ok(Self { run: self.run_in(&epoch)?, epoch, ..self })
    }

    /// The id of this plan's run in an epoch: a hash of the manifest and the samples as one JSON document.
    ///
    /// # Errors
    /// When the samples cannot be read.
    pub fn run_in(&self, epoch: &str) -> Result<String, SamplesError> {
        let manifest = RunManifest { run: String::new(), epoch: epoch.to_owned(), ..self.manifest(String::new()) };
        // Through a value, whose keys are in the order of the alphabet: that of the fields, which may change, must not decide. Samples are
        // kept in that order.
        let mut hash = blake3::Hasher::new();
        let mut add = |before: &str, text: &str, behind: &str| {
            hash.update(before.as_bytes()).update(text.as_bytes()).update(behind.as_bytes());
        };
        add("[", &json_text(&json!(manifest)), if self.tasks.is_empty() { ",[" } else { "" });
        for (number, task) in self.tasks.iter().enumerate() {
            let start = if number == 0 { ",[[[" } else { ",[[" };
            // One by one: all of them may be more than fits the memory.
            for (place, text) in task.samples.test.texts().enumerate() {
                add(if place == 0 { start } else { "," }, &text?, "");
            }
            let start = if task.samples.test.is_empty() { start } else { "" };
            add(&format!("{start}],"), &json_text(&json!(task.samples.shots)), "]");
        }
        hash.update(b"]]");
        Ok(hash.finalize().to_hex().chars().take(12).collect())
    }

    /// The metrics that an endpoint cannot serve: endpoint, how it gives log-probabilities, scorer.
    ///
    /// # Errors
    /// When the samples cannot be read.
    pub fn unserved(&self) -> Result<BTreeSet<(&str, Scoring, &str)>, SamplesError> {
        let mut found = BTreeSet::new();
        for (cell, model) in (0..self.cells.len()).flat_map(|cell| (0..self.models.len()).map(move |model| (cell, model))) {
            let Some(parts) = self.first(cell, model)? else { continue };
            let endpoint = &parts.endpoint.endpoint;
            for name in parts.task.scorers() {
                if scorers::find(name).is_some_and(|scorer| !parts.serves(scorer.need())) {
                    found.insert((endpoint.name.as_str(), endpoint.scoring, name));
                }
            }
        }
        Ok(found)
    }

    /// Number of records planned, at most.
    #[must_use]
    pub fn len(&self) -> usize {
        self.models.len() * self.cells.len() * self.samples * self.repetitions as usize
    }

    /// Whether nothing would be asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The parts of a unit; none of one that is not of this plan.
    ///
    /// # Errors
    /// When the samples cannot be read.
    pub fn parts(&self, unit: Unit) -> Result<Option<Parts<'_>>, SamplesError> {
        let parts = || {
            let cell = self.cells.get(unit.cell)?;
            let (planned, model) = (self.tasks.get(cell.task)?, self.models.get(unit.model)?);
            Some((cell, planned, self.prompts.get(cell.prompt)?, model, self.endpoint(&model.endpoint)?))
        };
        let Some((cell, planned, prompt, model, endpoint)) = parts() else { return Ok(None) };
        let sample = planned.samples.test.get(unit.sample)?;
        let (task, repetition) = (&planned.task, unit.repetition);
        Ok(sample.map(|sample| Parts { cell, task, prompt, model, endpoint, sample, repetition }))
    }

    /// The parts of the first unit of a cell for a model.
    ///
    /// # Errors
    /// When the samples cannot be read.
    pub fn first(&self, cell: usize, model: usize) -> Result<Option<Parts<'_>>, SamplesError> {
        self.parts(Unit { cell, model, sample: 0, repetition: 0 })
    }

    /// The endpoint of that name.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> Option<&PlannedEndpoint> {
        self.endpoints.iter().find(|planned| planned.endpoint.name == name)
    }

    /// What an exchange of this plan is known by. Addresses and keys are no part of it.
    #[must_use]
    pub fn key(&self, parts: &Parts<'_>, request: &Request) -> ExchangeKey {
        let PlannedEndpoint { endpoint: Endpoint { scoring, .. }, sampling, .. } = parts.endpoint;
        // How a log-probability is had decides what it is.
        let scoring = (!matches!(request.wanted, Wanted::Reply { .. })).then_some(scoring);
        // What is drawn is drawn again; a log-probability stays what it is.
        let repetition = if scoring.is_some() { 0 } else { parts.repetition };
        let ModelEntry { endpoint, name, weights, .. } = parts.model;
        // None of it has a name that is no text, so that all of it can be written.
        let text = |written: Result<String, serde_json::Error>| written.unwrap_or_default();
        let before = text(serde_json::to_string(&(endpoint, name, weights)));
        let request = text(serde_json::to_string(request));
        let behind = text(serde_json::to_string(&(scoring, repetition, &self.epoch)));
        // All of it as one list.
        let before = before.strip_suffix(']').unwrap_or_default();
        let behind = behind.strip_prefix('[').unwrap_or_default();
        let sent = [before, ",", &request, ",", sampling, ",", behind].concat();
        ExchangeKey(*blake3::hash(sent.as_bytes()).as_bytes())
    }

    /// The manifest of the run.
    #[must_use]
    pub fn manifest(&self, started: String) -> RunManifest {
        RunManifest {
            version: MANIFEST_VERSION,
            run: self.run.clone(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            started,
            seed: self.seed,
            samples: self.samples,
            until_resolved: self.until_resolved,
            repetitions: self.repetitions,
            epoch: self.epoch.clone(),
            tasks: self.tasks.iter().map(|planned| without_rows(&planned.task)).collect(),
            prompts: self.prompts.clone(),
            endpoints: self.endpoints.iter().map(|planned| planned.endpoint.clone()).collect(),
            models: self.models.clone(),
            refused: self.refused.clone(),
            planned: self.len(),
        }
    }
}

fn without_rows(task: &Task) -> Task {
    let mut task = task.clone();
    if let DataSource::Rows(rows) = &mut task.data {
        *rows = Samples::default();
    }
    task
}

/// Tokens that a chat may write at least: its replies are as long as it likes.
const CHAT_REPLY: u32 = 1024;

/// Everything that makes up one record.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    /// The cell.
    pub cell: &'a Cell,
    /// The task.
    pub task: &'a Task,
    /// The prompt.
    pub prompt: &'a Prompt,
    /// The model.
    pub model: &'a ModelEntry,
    /// The endpoint of the model.
    pub endpoint: &'a PlannedEndpoint,
    /// The sample.
    pub sample: Arc<Sample>,
    /// How often it was asked before.
    pub repetition: u32,
}

impl<'a> Parts<'a> {
    /// What the record will be known by.
    #[must_use]
    pub fn record_name(&self) -> RecordName<'_> {
        let Self { task, prompt, model, sample, repetition, .. } = self;
        let (task, prompt, model, sample) = (&task.name, &prompt.name, &model.name, &sample.id);
        RecordName { task, prompt, model, sample, repetition: *repetition }
    }

    /// What the model is given first.
    ///
    /// # Errors
    /// When a template fails on this sample.
    pub fn start(&self) -> Result<Input, TemplateError> {
        let text = || Ok::<_, TemplateError>(format!("{}{}", self.cell.shots, self.cell.ask.render(&self.sample)?));
        if !self.is_chat() {
            return Ok(Input::Text(text()?));
        }
        let mut chat = Chat::default();
        let system = self.prompt.turns.as_ref().and_then(|turns| turns.system.clone());
        chat.messages.extend(system.map(|text| Message::System { text }));
        match &self.cell.turns {
            None => chat.messages.push(Message::User { text: text()? }),
            Some(turns) => {
                for (number, (ask, reply)) in turns.examples.iter().enumerate() {
                    chat.messages.push(Message::User { text: ask.clone() });
                    chat.messages.extend(example(self.prompt, reply, self.function(), number));
                }
                chat.messages.push(Message::User { text: turns.ask.render(&self.sample)? });
                chat.prefix = turns.prefix.as_ref().map(|prefix| prefix.render(&self.sample)).transpose()?;
            }
        }
        Ok(Input::Chat(chat))
    }

    fn is_chat(&self) -> bool {
        self.endpoint.provider.is_chat() || self.endpoint.template.is_some()
    }

    /// The tool as a function, where the endpoint has functions and the prompt file says how the chat goes.
    fn function(&self) -> Option<&'a ToolSpec> {
        let has = self.endpoint.endpoint.has_functions && self.endpoint.provider.is_chat() && self.cell.turns.is_some();
        self.cell.function.as_ref().filter(|_| has)
    }

    /// Most tokens of a reply. Thinking comes on top of it.
    #[must_use]
    pub fn max_tokens(&self) -> u32 {
        let least = if self.is_chat() { CHAT_REPLY } else { 0 };
        let reply = self.endpoint.max_tokens.unwrap_or_else(|| self.cell.max_tokens.max(least));
        reply.saturating_add(self.endpoint.endpoint.sampling.thinking_budget.unwrap_or_default())
    }

    /// What a technique sees.
    #[must_use]
    pub fn case<'b>(&'b self, start: &'b Input) -> Case<'b> {
        let template = self.endpoint.template.as_deref().filter(|_| !self.endpoint.provider.is_chat());
        Case {
            sample: &self.sample,
            answer: self.task.answer,
            prompt: self.prompt,
            start,
            template,
            function: self.function(),
            max_tokens: self.max_tokens(),
        }
    }

    /// How log-probabilities are had, where a scorer of the task needs any.
    #[must_use]
    pub fn method(&self) -> Option<Scoring> {
        let needs_any = self.task.scorers().filter_map(scorers::find).any(|scorer| scorer.need() != Need::Reply);
        needs_any.then_some(self.endpoint.endpoint.scoring)
    }

    /// Whether the endpoint can give what a scorer needs; a metric stays without scores where it cannot.
    #[must_use]
    pub fn serves(&self, need: Need) -> bool {
        let scoring = self.endpoint.endpoint.scoring;
        match need {
            Need::Reply => true,
            Need::ChoiceLogprobs => scoring.gives_any_text() || scoring == Scoring::FirstToken,
            Need::TargetLogprob | Need::WholeChoiceLogprobs => scoring.gives_any_text(),
            Need::MutualInformation => scoring.gives_any_text() && self.domain().is_some(),
        }
    }

    /// The log-probabilities that the scorers of the task need and the endpoint can give, in the order in which they are
    /// asked for.
    #[must_use]
    pub fn probabilities(&self) -> Vec<Probability> {
        let needs: Vec<Need> = self.task.scorers().filter_map(scorers::find).map(|scorer| scorer.need()).collect();
        let wants = |need: Need| needs.contains(&need) && self.serves(need);
        let continuation = |text: &String| Wanted::Logprob { continuation: text.clone() };
        let choices = &self.sample.choices;
        let all = |of: Of| choices.iter().map(move |choice| Probability { of, wanted: continuation(choice) });
        let mut wanted = Vec::new();
        if wants(Need::TargetLogprob) {
            wanted.push(Probability { of: Of::Target, wanted: continuation(&self.sample.answer) });
        }
        if [Need::ChoiceLogprobs, Need::WholeChoiceLogprobs, Need::MutualInformation].into_iter().any(wants) {
            if self.endpoint.endpoint.scoring.gives_any_text() {
                wanted.extend(all(Of::Choice));
            } else {
                wanted.push(Probability { of: Of::Choice, wanted: Wanted::Options { options: choices.clone() } });
            }
        }
        if wants(Need::MutualInformation) {
            wanted.extend(all(Of::Domain));
        }
        wanted
    }

    /// The last line of a prompt that is a text, which says what kind of text follows and nothing of the question.
    #[must_use]
    pub fn domain(&self) -> Option<Input> {
        if self.is_chat() {
            return None;
        }
        let text = self.cell.ask.render(&self.sample).ok()?;
        let line = text.rsplit('\n').next().filter(|line| !line.trim().is_empty())?;
        Some(Input::Text(line.to_owned()))
    }
}

/// What a log-probability is of, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The reference answer, where the answer stands.
    Target,
    /// A choice, or all of them, there.
    Choice,
    /// A choice behind the last line of the prompt alone.
    Domain,
}

/// A log-probability to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probability {
    /// What it is the probability of.
    pub of: Of,
    /// The request for it.
    pub wanted: Wanted,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Scale;

    #[test]
    fn what_is_to_be_asked_first_stands_first_and_nothing_is_asked_twice() {
        let entry = |name: &str| ModelEntry {
            name: name.to_owned(),
            family: String::new(),
            endpoint: "here".to_owned(),
            scale: Scale::default(),
            weights: None,
        };
        let mut models = ["small", "elsewhere", "large"].map(entry);
        models[1].endpoint = "there".to_owned();
        let plan = Plan {
            run: String::new(),
            seed: 0,
            samples: 3,
            until_resolved: true,
            repetitions: 1,
            epoch: String::new(),
            tasks: Vec::new(),
            prompts: Vec::new(),
            endpoints: Vec::new(),
            models: models.to_vec(),
            prices: BTreeMap::new(),
            cells: Vec::new(),
            refused: Vec::new(),
        };
        // Two cells of three models.
        let mut quota = Quota { samples: vec![1; 6], models: 3, order: (0..6).collect() };
        let asked = |quota: &Quota| -> Vec<_> {
            plan.units("here", quota).map(|unit| (unit.cell, unit.model, unit.sample)).collect()
        };
        assert_eq!(asked(&quota), [(0, 0, 0), (0, 2, 0), (1, 0, 0), (1, 2, 0)]);
        quota.raise(1, 2, 2);
        quota.ask_first([(1, 2), (1, 1), (0, 2)]);
        assert_eq!(asked(&quota), [(1, 2, 0), (1, 2, 1), (0, 2, 0), (0, 0, 0), (1, 0, 0)]);
        assert_eq!(plan.units("there", &quota).count(), 2);
    }
}
