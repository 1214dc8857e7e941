//! Tasks: drawing the samples that are asked and the examples that are shown.

pub mod generators;

use std::collections::HashSet;
use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::schema::{DataSource, Generator, Parameters, Problem, Sample, SampleSet, Samples, SamplesError, Task};
use generators::{find, is_example, is_held_out};

/// Draws in vain, one after another, after which a space of problems counts as exhausted.
const VAIN_DRAWS: usize = 20_000;

/// What the randomness of examples is for.
const EXAMPLES: &str = "shot";
/// Problems of a generator that show how long answers get.
const EXTENT: usize = 1_000;

/// Why the samples of a task could not be drawn.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DrawError {
    /// It has too few distinct problems.
    #[error(
        "task `{task}` has only {available} distinct samples beside the {examples} that are shown as examples; {wanted} are wanted"
    )]
    TooFew {
        /// The task.
        task: String,
        /// Samples there are, beside the examples.
        available: usize,
        /// Examples that a prompt of the run shows.
        examples: usize,
        /// Samples wanted.
        wanted: usize,
    },
    /// They could not be kept.
    #[error(transparent)]
    Samples(#[from] SamplesError),
}

/// The randomness of one purpose of one task.
fn stream(task: &str, purpose: &str, seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(*blake3::hash(format!("{task}\n{purpose}\n{seed}").as_bytes()).as_bytes())
}

/// The samples of a task: `count` problems to ask, and `shots` examples, the same for every sample, prompt and model.
/// A larger count begins with the samples of a smaller one, and neither depends on the other.
///
/// # Errors
/// When the task does not have that many distinct problems, or they cannot be kept.
pub fn draw(task: &Task, seed: u64, count: usize, shots: usize) -> Result<SampleSet, DrawError> {
    let too_few =
        |available: usize| DrawError::TooFew { task: task.name.clone(), available, examples: shots, wanted: count };
    match &task.data {
        DataSource::Rows(rows) => {
            let mut order: Vec<usize> = (0..rows.len()).collect();
            order.shuffle(&mut stream(&task.name, "rows", seed));
            if rows.len() < shots + count {
                return Err(too_few(rows.len().saturating_sub(shots)));
            }
            let test = rows.select(order.iter().copied().take(count))?;
            let shots = order.iter().rev().take(shots).filter_map(|place| rows.get(*place).transpose());
            Ok(SampleSet { test, shots: shots.map(|shot| shot.map(Arc::unwrap_or_clone)).collect::<Result<_, _>>()? })
        }
        DataSource::Generator { name, parameters } => {
            let Some(generator) = find(name) else { return Err(too_few(0)) };
            let draws = |purpose: &'static str, wanted: usize| {
                let rng = stream(&task.name, purpose, seed);
                Draws { generator, parameters, purpose, rng, seen: HashSet::new(), drawn: 0, wanted }
            };
            let shown: Vec<Sample> = draws(EXAMPLES, shots).collect();
            let test = Samples::keep(draws("test", count).map(Ok::<_, SamplesError>))?;
            if test.len() < count || shown.len() < shots {
                return Err(too_few(test.len()));
            }
            Ok(SampleSet { test, shots: shown })
        }
    }
}

/// Distinct held-out problems of one purpose, until there are as many as are wanted or no more are found.
struct Draws<'a> {
    generator: &'static dyn Generator,
    parameters: &'a Parameters,
    purpose: &'static str,
    rng: ChaCha8Rng,
    /// Hashes of the identities drawn so far: of a million, one pair of different ones shares one with a probability of 3e-8, and then
    /// the second is not asked.
    seen: HashSet<[u8; 8]>,
    drawn: usize,
    wanted: usize,
}

impl Iterator for Draws<'_> {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        if self.drawn >= self.wanted {
            return None;
        }
        for _ in 0..VAIN_DRAWS {
            let problem = self.generator.problem(self.parameters, &mut self.rng);
            let identity = &problem.identity;
            let is_wanted = is_held_out(identity)
                && is_example(identity) == (self.purpose == EXAMPLES)
                && self.generator.is_asked(&problem);
            if is_wanted && self.seen.insert(hash(identity)) {
                let id = format!("{}-{:05}", self.purpose, self.drawn);
                self.drawn += 1;
                return Some(sample(id, problem));
            }
        }
        None
    }
}

fn hash(text: &str) -> [u8; 8] {
    let mut first = [0; 8];
    blake3::Hasher::new().update(text.as_bytes()).finalize_xof().fill(&mut first);
    first
}

fn sample(id: String, problem: Problem) -> Sample {
    let Problem { question, answer, steps, expression, choices, identity: _ } = problem;
    Sample { id, question, answer, steps, expression, choices }
}

/// Samples that show how long answers get, and all that a run draws: every row of a file; a fixed number of problems, which does not
/// depend on how many samples a run asks, so that asking more changes nothing about those asked before, and the samples.
pub fn extent<'a>(task: &'a Task, drawn: &'a SampleSet) -> Box<dyn Iterator<Item = Result<Sample, SamplesError>> + 'a> {
    match &task.data {
        DataSource::Rows(rows) => Box::new(rows.iter()),
        DataSource::Generator { name, parameters } => {
            let mut rng = stream(&task.name, "extent", 0);
            let problems = find(name).into_iter().flat_map(|generator| std::iter::repeat_n(generator, EXTENT));
            let problems = problems.map(move |generator| sample(String::new(), generator.problem(parameters, &mut rng)));
            Box::new(problems.map(Ok).chain(drawn.test.iter()).chain(drawn.shots.iter().cloned().map(Ok)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::AnswerKind;

    fn task(data: DataSource) -> Task {
        let name = "t".to_owned();
        let (about, discontinuous) = (String::new(), "exact-match".to_owned());
        Task { name, version: 1, about, data, answer: AnswerKind::Number, discontinuous, continuous: vec![], chance: 0.0 }
    }

    fn row(index: usize) -> Sample {
        let text = index.to_string();
        Sample { id: text.clone(), question: text.clone(), answer: text, steps: None, expression: None, choices: vec![] }
    }

    #[test]
    fn what_is_asked_depends_neither_on_the_examples_nor_on_how_much_is_asked() {
        let rows = task(DataSource::Rows(Samples::keep((0..40).map(|index| Ok::<_, SamplesError>(row(index)))).unwrap()));
        let parameters = Parameters([("digits".to_owned(), 2), ("terms".to_owned(), 2)].into());
        let drawn = task(DataSource::Generator { name: "addition".to_owned(), parameters });
        for task in [rows, drawn] {
            let all = draw(&task, 1, 30, 8).unwrap();
            for (count, shots) in [(30, 0), (10, 8), (5, 2)] {
                let some = draw(&task, 1, count, shots).unwrap();
                let first: Result<Vec<Sample>, _> = all.test.iter().take(count).collect();
                assert_eq!(some.test.iter().collect::<Result<Vec<_>, _>>().unwrap(), first.unwrap());
                assert_eq!(some.shots, all.shots[..shots]);
            }
            assert!(all.shots.iter().all(|shot| all.test.iter().all(|test| test.unwrap().question != shot.question)));
            assert!(draw(&task, 1, 2_000, 8).is_err());
        }
    }
}
