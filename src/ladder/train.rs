//! Training one rung: a pure function of its shape, its seed and the documents it is given.

use std::time::Instant;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::backprop::{Batch, Differentiator};
use super::optimizer::Optimizer;
use super::shape::{BEGIN, Kind, Shape};

/// Weight of a token that stands in a prompt, against one that stands in a reply.
const PROMPT_WEIGHT: f32 = 0.1;
/// Share of the steps over which the learning rate rises, and share over which it falls to zero.
const WARM_UP: f32 = 0.03;
const DECAY: f32 = 0.5;
const PEAK_RATE: f32 = 1e-2;
/// Sequences per step.
const SEQUENCES: usize = 3;

/// Steps that make one row of a loss curve.
const CURVE_STEPS: usize = 10;

/// A document to train on: its text, and which of its bytes stand in a reply.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// ASCII text.
    pub text: Vec<u8>,
    /// True for the bytes of a reply.
    pub is_reply: Vec<bool>,
}

impl Document {
    /// Appends text that is, or is not, part of a reply.
    pub fn push(&mut self, text: &str, is_reply: bool) {
        self.text.extend_from_slice(text.as_bytes());
        self.is_reply.resize(self.text.len(), is_reply);
    }
}

/// Draws training documents.
pub trait Corpus: Sync {
    /// One document, drawn with the given randomness.
    fn document(&self, rng: &mut dyn Rng) -> Document;
}

/// Everything that determines the weights, beside the corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Training {
    /// The model.
    pub shape: Shape,
    /// Tokens to train on; rounded up to whole steps.
    pub tokens: u64,
    /// Seed of the initial weights and of the order of the documents.
    pub seed: u64,
}

/// A model in training: everything needed to go on.
#[derive(Debug)]
pub struct Trainer {
    training: Training,
    pub(super) parameters: Vec<f32>,
    pub(super) optimizer: Optimizer,
    /// The loss of every step so far.
    pub(super) losses: Vec<f32>,
    /// Seconds spent on steps so far.
    pub(super) seconds: f64,
    differentiator: Differentiator,
    gradient: Vec<f32>,
}

impl Trainer {
    /// A freshly initialised model: normal weights of variance 1 / fan-in, gains of one.
    #[must_use]
    pub fn new(training: Training) -> Self {
        let layout = training.shape.layout();
        let mut rng = ChaCha8Rng::seed_from_u64(training.seed);
        let mut parameters = vec![0.0; layout.len];
        for tensor in &layout.tensors {
            let deviation = match tensor.kind {
                Kind::Matrix(_, columns) => 1.0 / (columns as f32).sqrt(),
                Kind::Embedding => 0.1,
                Kind::Gain => 0.0,
            };
            // The two projections that write into the residual stream begin at a smaller scale, as in GPT-2.
            let residual = tensor.name.contains("o_proj") || tensor.name.contains("down_proj");
            let deviation = if residual { deviation / (2.0 * training.shape.layers as f32).sqrt() } else { deviation };
            for parameter in &mut parameters[tensor.range.clone()] {
                *parameter = if tensor.kind == Kind::Gain { 1.0 } else { deviation * normal(&mut rng) };
            }
        }
        let len = layout.len;
        Self {
            training,
            parameters,
            optimizer: Optimizer::new(len),
            losses: Vec::new(),
            seconds: 0.0,
            differentiator: Differentiator::new(training.shape),
            gradient: vec![0.0; len],
        }
    }

    /// Tokens in one step.
    fn tokens_per_step(training: Training) -> u64 {
        (SEQUENCES * training.shape.context) as u64
    }

    /// Tokens of so many steps.
    #[must_use]
    pub fn tokens_of(training: Training, steps: u32) -> u64 {
        u64::from(steps) * Self::tokens_per_step(training)
    }

    /// Steps of a whole training, whose tokens are rounded up to whole steps.
    #[must_use]
    pub fn steps_of(training: Training) -> u32 {
        u32::try_from(training.tokens.div_ceil(Self::tokens_per_step(training))).unwrap_or(u32::MAX)
    }

    /// Steps in this whole training.
    #[must_use]
    pub fn total_steps(&self) -> u32 {
        Self::steps_of(self.training)
    }

    /// Steps made so far.
    #[must_use]
    pub fn steps(&self) -> u32 {
        self.optimizer.steps
    }

    /// Tokens seen so far.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        Self::tokens_of(self.training, self.steps())
    }

    /// Seconds spent on steps so far, those before an interruption included.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The loss along the training as CSV: `step,tokens,loss,rate`, each row the mean of ten steps.
    #[must_use]
    pub fn curve(&self) -> String {
        let mut text = "step,tokens,loss,rate\n".to_owned();
        for (index, losses) in self.losses.chunks(CURVE_STEPS).enumerate() {
            let step = index * CURVE_STEPS + losses.len();
            let (tokens, rate) =
                (step as u64 * Self::tokens_per_step(self.training), self.rate(u32::try_from(step).unwrap_or(u32::MAX) - 1));
            let loss = losses.iter().sum::<f32>() / losses.len() as f32;
            text.push_str(&format!("{step},{tokens},{loss:.4},{rate:.2e}\n"));
        }
        text
    }

    /// The learning rate of a step: a short rise, a level half, and a fall to almost nothing.
    fn rate(&self, step: u32) -> f32 {
        let progress = step as f32 / self.total_steps() as f32;
        PEAK_RATE * (progress / WARM_UP).min((1.0 - progress) / DECAY).clamp(0.01, 1.0)
    }

    /// What is trained.
    #[must_use]
    pub fn training(&self) -> Training {
        self.training
    }

    /// The weights, in the order of the checkpoint's tensors.
    #[must_use]
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// Makes one step and returns the loss on its batch, in nats per token, prompt tokens weighing a tenth.
    pub fn step(&mut self, corpus: &dyn Corpus) -> f64 {
        let start = Instant::now();
        let batch = self.batch(corpus, self.training.seed, u64::from(self.optimizer.steps), PROMPT_WEIGHT);
        self.gradient.fill(0.0);
        let loss = self.differentiator.loss_and_gradient(&self.parameters, &batch, &mut self.gradient);
        let (layout, rate) = (self.training.shape.layout(), self.rate(self.optimizer.steps));
        self.optimizer.step(&layout, &mut self.parameters, &self.gradient, rate);
        self.losses.push(loss as f32);
        self.seconds += start.elapsed().as_secs_f64();
        loss
    }

    /// Cross-entropy of the replies of `batches` batches of another corpus, in nats per token; changes nothing.
    pub fn evaluate(&mut self, corpus: &dyn Corpus, batches: u64) -> f64 {
        let mut sum = 0.0_f64;
        for index in 0..batches {
            // The same documents for every rung and seed, so that their losses can be compared.
            let batch = self.batch(corpus, 0, index, 0.0);
            sum += self.differentiator.loss(&self.parameters, &batch);
        }
        sum / batches as f64
    }

    /// The batch of a number: a function of the seed and the number, so that training can be resumed anywhere.
    fn batch(&self, corpus: &dyn Corpus, seed: u64, number: u64, prompt_weight: f32) -> Batch {
        let length = self.training.shape.context;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number + 1);
        let (mut inputs, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..SEQUENCES {
            let (mut tokens, mut reply) = (vec![BEGIN], vec![false]);
            while tokens.len() <= length {
                let document = corpus.document(&mut rng);
                tokens.extend_from_slice(&document.text);
                reply.extend_from_slice(&document.is_reply);
                tokens.push(BEGIN);
                // A document that ends in a reply teaches the model to stop there.
                reply.push(document.is_reply.last().copied().unwrap_or(false));
            }
            inputs.extend_from_slice(&tokens[..length]);
            targets.extend_from_slice(&tokens[1..=length]);
            weights.extend(reply[1..=length].iter().map(|&reply| if reply { 1.0 } else { prompt_weight }));
        }
        let sum: f32 = weights.iter().sum();
        for weight in &mut weights {
            *weight /= sum;
        }
        Batch { inputs, targets, weights, length }
    }
}

/// A standard normal number by the method of Box and Muller 1958.
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let (a, b): (f32, f32) = (1.0 - rng.random::<f32>(), rng.random());
    (-2.0 * a.ln()).sqrt() * (std::f32::consts::TAU * b).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl Corpus for Counting {
        fn document(&self, rng: &mut dyn Rng) -> Document {
            let start = rng.random_range(0..5);
            let mut document = Document::default();
            document.push("Q:", false);
            document.push(&"abcdefghijklmnop"[start..start + 10], true);
            document
        }
    }

    fn training() -> Training {
        let shape = Shape { width: 16, layers: 1, heads: 1, feed_forward: 48, context: 48 };
        Training { shape, tokens: 40_000, seed: 7 }
    }

    #[test]
    fn a_small_model_learns_and_the_result_is_determined_by_the_seed() {
        let run = || {
            let mut trainer = Trainer::new(training());
            let first = trainer.step(&Counting);
            let mut last = first;
            while trainer.steps() < trainer.total_steps() {
                last = trainer.step(&Counting);
            }
            (first, last, trainer.parameters)
        };
        let (first, last, parameters) = run();
        assert!(first > 3.0 && last < 0.5, "{first} {last}");
        assert_eq!(parameters, run().2);
    }
}
