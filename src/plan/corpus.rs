//! The text the ladder is trained on: problems of the shipped generators, put by the shipped prompt files.
//!
//! A document is one to six problems of one task in one form, so that the form of a prompt's examples tells the model what is
//! wanted. Held-out problems never occur.

use std::collections::BTreeMap;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::prose;
use crate::ladder::{Corpus, Document};
use crate::prompting::template::{Template, TemplateError, uses};
use crate::schema::{Generator, Parameter, Parameters, Problem, Prompt, Sample};
use crate::tasks::generators::{find, is_held_out};

/// Most problems in one document.
const EPISODE: usize = 6;

/// One generator of the mix, with the range of each of its parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MixEntry {
    /// The generator.
    pub generator: String,
    /// How often it is drawn, against the others.
    pub weight: f64,
    /// Ranges of its parameters, both ends included.
    #[serde(default)]
    pub parameters: BTreeMap<String, (i64, i64)>,
}

/// A mix that cannot be drawn from.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// No generator of that name.
    #[error("the mix names an unknown generator `{0}`")]
    UnknownGenerator(String),
    /// A parameter that the generator has not, or a range that is none or goes beyond its own.
    #[error("the mix draws `{parameter}` of `{generator}` from {low} to {high}, which has {known}")]
    Parameter {
        /// The generator.
        generator: String,
        /// The parameter.
        parameter: String,
        /// The least of the range.
        low: i64,
        /// The most.
        high: i64,
        /// Its parameters and their ranges.
        known: String,
    },
    /// A prompt file's template is broken.
    #[error("prompt `{0}`: {1}")]
    Template(String, TemplateError),
}

/// The range of each parameter of a generator.
type Ranges = BTreeMap<String, (i64, i64)>;

struct Form {
    weight: f64,
    shot: Template,
    ask: Template,
    needs_steps: bool,
    /// The tool whose expressions it shows.
    tool: Option<String>,
    single: bool,
    call_close: Option<String>,
}

/// The training mix.
pub struct Mix {
    entries: Vec<(f64, &'static dyn Generator, Ranges)>,
    forms: Vec<Form>,
    /// How often a document is prose, against the weights of the generators.
    prose: f64,
    held_out: bool,
}

impl std::fmt::Debug for Mix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mix").field("entries", &self.entries.len()).field("forms", &self.forms.len()).finish()
    }
}

impl Mix {
    /// A mix of generators, put in the given forms, and of prose; of held-out problems only, or of all others.
    ///
    /// # Errors
    /// When a generator does not exist or a template does not parse.
    pub fn new(entries: &[MixEntry], forms: &[(&Prompt, f64)], prose: f64, held_out: bool) -> Result<Self, CorpusError> {
        let entries = entries
            .iter()
            .map(|entry| {
                let generator =
                    find(&entry.generator).ok_or_else(|| CorpusError::UnknownGenerator(entry.generator.clone()))?;
                for (name, &(low, high)) in &entry.parameters {
                    let fits = |one: &Parameter| one.name == name && one.low <= low && low <= high && high <= one.high;
                    if !generator.parameters().iter().any(fits) {
                        let words = |one: &Parameter| format!("`{}` from {} to {}", one.name, one.low, one.high);
                        return Err(CorpusError::Parameter {
                            generator: entry.generator.clone(),
                            parameter: name.clone(),
                            low,
                            high,
                            known: generator.parameters().iter().map(words).collect::<Vec<_>>().join(", "),
                        });
                    }
                }
                let mut ranges = entry.parameters.clone();
                for parameter in generator.parameters() {
                    ranges.entry(parameter.name.to_owned()).or_insert((parameter.default, parameter.default));
                }
                Ok((entry.weight, generator, ranges))
            })
            .collect::<Result<_, CorpusError>>()?;
        let forms = forms
            .iter()
            .map(|&(prompt, weight)| {
                let compile = |template: &str| {
                    Template::new(template).map_err(|error| CorpusError::Template(prompt.name.clone(), error))
                };
                Ok(Form {
                    weight,
                    shot: compile(&prompt.shot)?,
                    ask: compile(&prompt.ask)?,
                    needs_steps: uses(&prompt.shot, "steps"),
                    tool: prompt.tool.clone().filter(|_| uses(&prompt.shot, "expression")),
                    single: prompt.shots == 0,
                    call_close: prompt.call.as_ref().map(|(_, close)| close.clone()),
                })
            })
            .collect::<Result<_, CorpusError>>()?;
        Ok(Self { entries, forms, prose, held_out })
    }
}

impl Corpus for Mix {
    fn document(&self, rng: &mut dyn Rng) -> Document {
        let total: f64 = self.entries.iter().map(|entry| entry.0).sum();
        if rng.random::<f64>() * (total + self.prose) >= total {
            return prose::document(self.held_out, rng);
        }
        let mut document = Document::default();
        let Some((_, generator, ranges)) = pick(&self.entries, |entry| entry.0, rng) else { return document };
        let parameters =
            Parameters(ranges.iter().map(|(name, &(low, high))| (name.clone(), rng.random_range(low..=high))).collect());
        let draw = |rng: &mut dyn Rng| loop {
            let problem = generator.problem(&parameters, rng);
            if is_held_out(&problem.identity) == self.held_out {
                return sample_of(problem);
            }
        };
        let first = draw(rng);
        let fits = |form: &Form| {
            let has_tool = |tool: &String| tool == generator.tool() && first.expression.is_some();
            let fits = (!form.needs_steps || first.steps.is_some()) && form.tool.as_ref().is_none_or(has_tool);
            if fits { form.weight } else { 0.0 }
        };
        let Some(form) = pick(&self.forms, fits, rng) else { return document };
        let problems = if form.single { 1 } else { rng.random_range(1..=EPISODE) };
        for index in 0..problems {
            let sample = if index == 0 { first.clone() } else { draw(rng) };
            // The templates were checked against what the generator supplies; a failure would be a defect found by the tests.
            let (Ok(shot), Ok(ask)) = (form.shot.render(&sample), form.ask.render(&sample)) else { return document };
            let reply = shot.strip_prefix(ask.as_str()).unwrap_or_default();
            document.push(&ask, false);
            match form.call_close.as_ref().and_then(|close| reply.split_once(close.as_str()).map(|parts| (parts, close))) {
                // The output of a tool is given to the model, not written by it.
                Some(((call, rest), close)) => {
                    let (output, answer) = rest.split_once('\n').unwrap_or((rest, ""));
                    document.push(&format!("{call}{close}"), true);
                    document.push(&format!("{output}\n"), false);
                    document.push(answer, true);
                }
                None => document.push(reply, true),
            }
        }
        document
    }
}

fn sample_of(problem: Problem) -> Sample {
    Sample {
        id: String::new(),
        question: problem.question,
        answer: problem.answer,
        steps: problem.steps,
        expression: problem.expression,
        choices: problem.choices,
    }
}

fn pick<'a, T>(items: &'a [T], weight: impl Fn(&T) -> f64, rng: &mut dyn Rng) -> Option<&'a T> {
    let total: f64 = items.iter().map(&weight).sum();
    let mut left = rng.random::<f64>() * total;
    items.iter().find(|item| {
        left -= weight(item);
        left < 0.0
    })
}
