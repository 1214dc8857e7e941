//! How fast the decoder is beside a bare product of matrices: `cargo bench --bench decoder [-- MODEL...]`.
//!
//! Prompts are read and replies are written, one at a time and 64 together, by one engine on one core. Each cell is tokens a second,
//! and what part that is of the rate at which `gemm` multiplies 512 x 512 matrices here: two operations for each parameter, and those
//! of attention over the positions that a token sees.

#![expect(unsafe_code, reason = "the gemm crate takes raw pointers")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use onset::ladder::{BEGIN, Engine, Event, Generate, Job, Model, Shape, models};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Tokens of a prompt that is read.
const LONG: usize = 320;
/// Tokens of a prompt that is gone on from, and of the reply.
const SHORT: usize = 64;
const REPLY: usize = 200;
/// How long each is repeated at least.
const LEAST: Duration = Duration::from_secs(1);
/// The order of the matrices of the bare product.
const ORDER: usize = 512;

fn main() -> Outcome<()> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let names: Vec<String> =
        if wanted.is_empty() { onset::ladder::cards()?.into_iter().map(|card| card.name).collect() } else { wanted };
    let mut out = std::io::stdout().lock();
    let limit = product();
    writeln!(out, "gemm, one core: {:.1} GFLOP/s\n", limit / 1e9)?;
    writeln!(out, "| model | read, one | read, 64 | write, one | write, 64 |\n|---|---|---|---|---|")?;
    for model in models("models".as_ref(), |name| names.iter().any(|one| one == name))? {
        let mut cells = String::new();
        for (write, together) in [(false, 1), (false, 64), (true, 1), (true, 64)] {
            let Rate { tokens, operations } = if write { writing(&model, together)? } else { reading(&model, together)? };
            cells += &format!(" {tokens:.0}/s, {:.0} % |", 100.0 * operations / limit);
        }
        writeln!(out, "| {} |{cells}", model.card.name)?;
    }
    Ok(())
}

/// Floating-point operations a second of a bare product.
fn product() -> f64 {
    let (left, right) = (vec![1.0_f32; ORDER * ORDER], vec![1.0_f32; ORDER * ORDER]);
    let mut result = vec![0.0_f32; ORDER * ORDER];
    let (start, mut times) = (Instant::now(), 0.0);
    while start.elapsed() < LEAST {
        // SAFETY: all three are square, of that order and without gaps.
        unsafe {
            gemm::gemm(
                ORDER,
                ORDER,
                ORDER,
                result.as_mut_ptr(),
                1,
                ORDER as isize,
                false,
                left.as_ptr(),
                1,
                ORDER as isize,
                right.as_ptr(),
                1,
                ORDER as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
        times += 1.0;
    }
    times * 2.0 * (ORDER as f64).powi(3) / start.elapsed().as_secs_f64()
}

/// What is done in a second.
struct Rate {
    tokens: f64,
    operations: f64,
}

/// Floating-point operations for the token at a position.
fn operations(shape: &Shape, position: usize) -> f64 {
    let attention = 4 * shape.layers * shape.width * (position + 1);
    (2 * shape.parameters() + attention) as f64
}

/// A prompt that begins as no other does.
fn prompt(number: u64, len: usize) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    (0..len).map(|_| rng.random_range(b'a'..=b'z')).collect()
}

fn reading(model: &Model, together: usize) -> Outcome<Rate> {
    let (mut spent, mut rounds) = (Duration::ZERO, 0);
    while spent < LEAST {
        let mut engine = Engine::new(model);
        for id in 0..together as u64 {
            let prompt = prompt(rounds * together as u64 + id, LONG);
            engine.submit(id, Job { prompt, score_from: Some(LONG - 1), ..Job::default() })?;
        }
        let start = Instant::now();
        while !engine.is_idle() {
            engine.step();
        }
        spent += start.elapsed();
        rounds += 1;
    }
    let done = rounds as f64 * together as f64 / spent.as_secs_f64();
    let work: f64 = (0..LONG).map(|position| operations(&model.card.shape, position)).sum();
    Ok(Rate { tokens: done * LONG as f64, operations: done * work })
}

fn writing(model: &Model, together: usize) -> Outcome<Rate> {
    let (mut spent, mut rounds, mut tokens, mut work) = (Duration::ZERO, 0, 0.0, 0.0);
    while spent < LEAST {
        let mut engine = Engine::new(model);
        for id in 0..together as u64 {
            // The end of text is never drawn, so that every reply has its length.
            let bias = vec![(BEGIN, f32::MIN)];
            let generate = Generate { max_tokens: REPLY, stop: vec![], temperature: 0.0, seed: 0, top_logprobs: 0, bias };
            let prompt = prompt(rounds * together as u64 + id, SHORT);
            engine.submit(id, Job { prompt, generate: Some(generate), stream: true, ..Job::default() })?;
        }
        // Prompts are read until the step in which all replies go on: what comes after it is counted.
        let mut lengths = BTreeMap::<u64, usize>::new();
        let mut is_writing = false;
        while !engine.is_idle() {
            let start = Instant::now();
            let events = engine.step();
            if is_writing {
                spent += start.elapsed();
            }
            let mut went_on = 0;
            for (id, event) in events {
                let Event::Text { text, .. } = event else { continue };
                went_on += 1;
                let length = lengths.entry(id).or_default();
                if is_writing {
                    tokens += text.len() as f64;
                    work += operations(&model.card.shape, SHORT + *length);
                }
                *length += text.len();
            }
            is_writing |= went_on == together;
        }
        rounds += 1;
    }
    let seconds = spent.as_secs_f64();
    Ok(Rate { tokens: tokens / seconds, operations: work / seconds })
}
