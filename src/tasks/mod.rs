//! Tasks: drawing the samples that are asked and the examples that are shown.

pub mod generators;

use std::collections::HashSet;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::schema::{DataSource, Sample, SampleSet, Task};
use generators::{find, is_held_out};

/// Draws in vain, one after another, after which a space of problems counts as exhausted.
const VAIN_DRAWS: usize = 20_000;

/// A task that has too few distinct problems.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task `{task}` has only {available} distinct samples beside its examples, {wanted} are wanted")]
pub struct TooFew {
    /// The task.
    pub task: String,
    /// Samples there are.
    pub available: usize,
    /// Samples wanted.
    pub wanted: usize,
}

/// The randomness of one purpose of one task.
fn stream(task: &str, purpose: &str, seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(*blake3::hash(format!("{task}\n{purpose}\n{seed}").as_bytes()).as_bytes())
}

/// The samples of a task: `shots` examples, the same for every sample, prompt and model, and `count` other problems to ask.
/// A larger count begins with the samples of a smaller one.
///
/// # Errors
/// When the task does not have that many distinct problems.
pub fn draw(task: &Task, seed: u64, count: usize, shots: usize) -> Result<SampleSet, TooFew> {
    let too_few = |available: usize| TooFew { task: task.name.clone(), available, wanted: count };
    match &task.data {
        DataSource::Rows(rows) => {
            let mut rows = rows.clone();
            rows.shuffle(&mut stream(&task.name, "rows", seed));
            if rows.len() < shots + count {
                return Err(too_few(rows.len().saturating_sub(shots)));
            }
            let test = rows.split_off(shots).into_iter().take(count).collect();
            Ok(SampleSet { test, shots: rows })
        }
        DataSource::Generator { name, parameters } => {
            let Some(generator) = find(name) else { return Err(too_few(0)) };
            let mut seen = HashSet::new();
            let mut take = |purpose: &str, wanted: usize| {
                let mut rng = stream(&task.name, purpose, seed);
                let (mut samples, mut vain) = (Vec::new(), 0);
                while samples.len() < wanted && vain < VAIN_DRAWS {
                    let problem = generator.problem(parameters, &mut rng);
                    if !is_held_out(name, &problem.identity) || !seen.insert(problem.identity) {
                        vain += 1;
                        continue;
                    }
                    vain = 0;
                    samples.push(Sample {
                        id: format!("{purpose}-{:05}", samples.len()),
                        question: problem.question,
                        answer: problem.answer,
                        steps: problem.steps,
                        expression: problem.expression,
                        choices: problem.choices,
                    });
                }
                samples
            };
            let set = SampleSet { shots: take("shot", shots), test: take("test", count) };
            if set.test.len() < count { Err(too_few(set.test.len())) } else { Ok(set) }
        }
    }
}
