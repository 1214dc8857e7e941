//! Tasks: drawing the samples that are asked and the examples that are shown.

pub mod generators;

use std::collections::HashSet;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::schema::{DataSource, Problem, Sample, SampleSet, Task};
use generators::{find, is_example, is_held_out};

/// Draws in vain, one after another, after which a space of problems counts as exhausted.
const VAIN_DRAWS: usize = 20_000;

/// What the randomness of examples is for.
const EXAMPLES: &str = "shot";
/// Problems of a generator that show how long answers get.
const EXTENT: usize = 1_000;

/// A task that has too few distinct problems.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "task `{task}` has only {available} distinct samples beside the {examples} that are shown as examples; {wanted} are wanted"
)]
pub struct TooFew {
    /// The task.
    pub task: String,
    /// Samples there are, beside the examples.
    pub available: usize,
    /// Examples that a prompt of the run shows.
    pub examples: usize,
    /// Samples wanted.
    pub wanted: usize,
}

/// The randomness of one purpose of one task.
fn stream(task: &str, purpose: &str, seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(*blake3::hash(format!("{task}\n{purpose}\n{seed}").as_bytes()).as_bytes())
}

/// The samples of a task: `count` problems to ask, and `shots` examples, the same for every sample, prompt and model.
/// A larger count begins with the samples of a smaller one, and neither depends on the other.
///
/// # Errors
/// When the task does not have that many distinct problems.
pub fn draw(task: &Task, seed: u64, count: usize, shots: usize) -> Result<SampleSet, TooFew> {
    let too_few = |available: usize| TooFew { task: task.name.clone(), available, examples: shots, wanted: count };
    match &task.data {
        DataSource::Rows(rows) => {
            let mut rows = rows.clone();
            rows.shuffle(&mut stream(&task.name, "rows", seed));
            if rows.len() < shots + count {
                return Err(too_few(rows.len().saturating_sub(shots)));
            }
            let shots = rows.iter().rev().take(shots).cloned().collect();
            rows.truncate(count);
            Ok(SampleSet { test: rows, shots })
        }
        DataSource::Generator { name, parameters } => {
            let Some(generator) = find(name) else { return Err(too_few(0)) };
            let take = |purpose: &str, wanted: usize| {
                let mut rng = stream(&task.name, purpose, seed);
                let (mut seen, mut samples, mut vain) = (HashSet::new(), Vec::new(), 0);
                while samples.len() < wanted && vain < VAIN_DRAWS {
                    let problem = generator.problem(parameters, &mut rng);
                    let wrong = !is_held_out(name, &problem.identity)
                        || is_example(name, &problem.identity) != (purpose == EXAMPLES)
                        || !seen.insert(problem.identity.clone());
                    if wrong {
                        vain += 1;
                        continue;
                    }
                    vain = 0;
                    samples.push(sample(format!("{purpose}-{:05}", samples.len()), problem));
                }
                samples
            };
            let set = SampleSet { shots: take(EXAMPLES, shots), test: take("test", count) };
            if set.test.len() < count || set.shots.len() < shots { Err(too_few(set.test.len())) } else { Ok(set) }
        }
    }
}

fn sample(id: String, problem: Problem) -> Sample {
    let Problem { question, answer, steps, expression, choices, identity: _ } = problem;
    Sample { id, question, answer, steps, expression, choices }
}

/// Samples that show how long answers get: every row of a file, or a fixed number of problems. They do not depend on how
/// many samples a run asks, so that asking more changes nothing about those asked before.
#[must_use]
pub fn extent(task: &Task) -> Vec<Sample> {
    match &task.data {
        DataSource::Rows(rows) => rows.clone(),
        DataSource::Generator { name, parameters } => find(name).map_or_else(Vec::new, |generator| {
            let mut rng = stream(&task.name, "extent", 0);
            (0..EXTENT).map(|_| sample(String::new(), generator.problem(parameters, &mut rng))).collect()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{AnswerKind, Parameters};

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
        let rows = task(DataSource::Rows((0..40).map(row).collect()));
        let parameters = Parameters([("digits".to_owned(), 2)].into());
        let drawn = task(DataSource::Generator { name: "addition".to_owned(), parameters });
        for task in [rows, drawn] {
            let all = draw(&task, 1, 30, 8).unwrap();
            for (count, shots) in [(30, 0), (10, 8), (5, 2)] {
                let some = draw(&task, 1, count, shots).unwrap();
                assert_eq!(some.test, all.test[..count]);
                assert_eq!(some.shots, all.shots[..shots]);
            }
            assert!(all.shots.iter().all(|shot| all.test.iter().all(|test| test.question != shot.question)));
            assert!(draw(&task, 1, 2_000, 8).is_err());
        }
    }
}
