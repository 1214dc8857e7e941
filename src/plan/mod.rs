//! From what was written to what will be asked: every name resolved, every pair of task and prompt checked, every sample drawn.

pub mod corpus;
pub mod recipe;
mod resolve;

use std::sync::Arc;

use crate::prompting;
use crate::prompting::template::Template;
use crate::schema::{
    Case, ExchangeKey, ModelEntry, Prompt, Refusal, Request, RunManifest, Sample, SampleSet, Task, Technique,
};

pub use resolve::{Selection, plan};

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

/// One record to be: a sample, in a cell, for a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Index of the cell.
    pub cell: usize,
    /// Index of the model.
    pub model: usize,
    /// Index of the sample.
    pub sample: usize,
}

/// What will be asked.
#[derive(Debug)]
pub struct Plan {
    /// The run's id: a hash of all that decides its records, in twelve digits.
    pub run: String,
    /// Seed of samples, shots and sampling.
    pub seed: u64,
    /// Samples per task.
    pub samples: usize,
    /// Empty, or what keeps this run's exchanges apart.
    pub epoch: String,
    /// The tasks.
    pub tasks: Vec<PlannedTask>,
    /// The prompts.
    pub prompts: Vec<Prompt>,
    /// The models.
    pub models: Vec<ModelEntry>,
    /// The cells.
    pub cells: Vec<Cell>,
    /// Pairs that do not go together.
    pub refused: Vec<Refusal>,
}

impl Plan {
    /// Every unit of the models of one endpoint: cell by cell, within a cell model by model, so that an engine can share the
    /// examples of a cell.
    pub fn units(&self, endpoint: &str) -> impl Iterator<Item = Unit> + use<> {
        let models: Vec<usize> =
            self.models.iter().enumerate().filter(|(_, model)| model.endpoint == endpoint).map(|(index, _)| index).collect();
        let (cells, samples, models) = (self.cells.len(), self.samples, Arc::new(models));
        (0..cells).flat_map(move |cell| {
            let models = Arc::clone(&models);
            (0..models.len()).flat_map(move |index| {
                let model = models.get(index).copied().unwrap_or_default();
                (0..samples).map(move |sample| Unit { cell, model, sample })
            })
        })
    }

    /// The same plan with exchanges of its own: nothing that was asked in another epoch answers it.
    #[must_use]
    pub fn in_epoch(self, epoch: String) -> Self {
        Self { run: self.run_in(&epoch), epoch, ..self }
    }

    /// The id of this plan's run in an epoch.
    #[must_use]
    pub fn run_in(&self, epoch: &str) -> String {
        let samples: Vec<_> = self.tasks.iter().map(|task| (&task.samples.test, &task.samples.shots)).collect();
        let manifest = RunManifest { run: String::new(), epoch: epoch.to_owned(), ..self.manifest(String::new()) };
        let decided = serde_json::json!([manifest, samples]);
        blake3::hash(decided.to_string().as_bytes()).to_hex().chars().take(12).collect()
    }

    /// Number of records planned.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len() * self.models.len() * self.samples
    }

    /// Whether nothing would be asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The parts of a unit.
    #[must_use]
    pub fn parts(&self, unit: Unit) -> Option<Parts<'_>> {
        let cell = self.cells.get(unit.cell)?;
        let planned = self.tasks.get(cell.task)?;
        Some(Parts {
            cell,
            task: &planned.task,
            prompt: self.prompts.get(cell.prompt)?,
            model: self.models.get(unit.model)?,
            sample: planned.samples.test.get(unit.sample)?,
        })
    }

    /// What an exchange of this plan is known by. Addresses and keys are no part of it.
    #[must_use]
    pub fn key(&self, model: &ModelEntry, request: &Request) -> ExchangeKey {
        let sent = serde_json::json!([
            model.endpoint, model.name, model.weights, request, { "temperature": 0, "seed": self.seed }, 0, self.epoch
        ]);
        ExchangeKey(*blake3::hash(sent.to_string().as_bytes()).as_bytes())
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
            epoch: self.epoch.clone(),
            tasks: self.tasks.iter().map(|planned| without_rows(&planned.task)).collect(),
            prompts: self.prompts.clone(),
            models: self.models.clone(),
            refused: self.refused.clone(),
            planned: self.len(),
        }
    }
}

fn without_rows(task: &Task) -> Task {
    let mut task = task.clone();
    if let crate::schema::DataSource::Rows(rows) = &mut task.data {
        rows.clear();
    }
    task
}

/// Everything that makes up one record.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The cell.
    pub cell: &'a Cell,
    /// The task.
    pub task: &'a Task,
    /// The prompt.
    pub prompt: &'a Prompt,
    /// The model.
    pub model: &'a ModelEntry,
    /// The sample.
    pub sample: &'a Sample,
}

impl<'a> Parts<'a> {
    /// The name by which people call the record: `task/prompt/model/sample/repetition`.
    #[must_use]
    pub fn record_id(&self) -> String {
        crate::schema::record_id(&self.task.name, &self.prompt.name, &self.model.name, &self.sample.id, 0)
    }

    /// The text that is sent first.
    ///
    /// # Errors
    /// When the template fails on this sample.
    pub fn text(&self) -> Result<String, prompting::template::TemplateError> {
        Ok(format!("{}{}", self.cell.shots, self.cell.ask.render(self.sample)?))
    }

    /// What a technique sees.
    #[must_use]
    pub fn case<'b>(&self, text: &'b str) -> Case<'b>
    where
        'a: 'b,
    {
        Case { sample: self.sample, answer: self.task.answer, prompt: self.prompt, text, max_tokens: self.cell.max_tokens }
    }
}
