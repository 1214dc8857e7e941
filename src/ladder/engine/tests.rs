use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::checkpoint::Card;
use super::super::kernels::{EPSILON, ROTARY_BASE};
use super::super::shape::{BEGIN, Shape, VOCABULARY};
use super::super::train::{Trainer, Training};
use super::*;

fn model(shape: Shape) -> Model {
    let trainer = Trainer::new(Training { shape, tokens: 1, seed: 3 });
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    // Larger than at the start of training, so that the attention is not flat.
    let parameters: Vec<f32> = trainer.parameters().iter().map(|x| x * rng.random_range(1.0..4.0)).collect();
    let card = Card::unmeasured("random", shape);
    Model { card, parameters }
}

fn small() -> Model {
    model(Shape { width: 24, layers: 2, heads: 3, feed_forward: 40, context: 96 })
}

fn job(prompt: &str, temperature: f32, score_from: Option<usize>) -> Job {
    let generate = Generate { max_tokens: 12, stop: vec![], temperature, seed: 9, top_logprobs: 3, bias: vec![] };
    Job { prompt: prompt.as_bytes().to_vec(), generate: Some(generate), score_from, stream: false }
}

fn run(engine: &mut Engine, jobs: &[Job]) -> Vec<Finished> {
    for (id, job) in jobs.iter().enumerate() {
        engine.submit(id as u64, job.clone()).unwrap();
    }
    let mut done = BTreeMap::new();
    while !engine.is_idle() {
        for (id, event) in engine.step() {
            if let Event::Finished(finished) = event {
                done.insert(id, *finished);
            }
        }
    }
    assert_eq!(engine.free.len(), engine.memories.len());
    done.into_values().collect()
}

/// The log-probabilities after the last token, straight from the definition and in double precision.
fn naive(model: &Model, tokens: &[u8]) -> Vec<f64> {
    let (shape, layout) = (model.card.shape, model.card.shape.layout());
    let weight = |range: &std::ops::Range<usize>| &model.parameters[range.clone()];
    let times = |matrix: &[f32], x: &[f64]| -> Vec<f64> {
        matrix.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(a, b)| f64::from(*a) * b).sum()).collect()
    };
    let normal = |x: &[f64], gain: &[f32]| -> Vec<f64> {
        let square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        x.iter().zip(gain).map(|(x, gain)| x / (square + f64::from(EPSILON)).sqrt() * f64::from(*gain)).collect()
    };
    let half = shape.head_width() / 2;
    let rotate = |x: &mut [f64], position: usize| {
        for head in x.chunks_exact_mut(2 * half) {
            for pair in 0..half {
                let frequency = f64::from(ROTARY_BASE).powf(-(pair as f64) / half as f64);
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                let (a, b) = (head[pair], head[pair + half]);
                (head[pair], head[pair + half]) = (a * cos - b * sin, b * cos + a * sin);
            }
        }
    };
    let softmax = |x: &mut [f64]| {
        let largest = x.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = x.iter().map(|x| (x - largest).exp()).sum();
        x.iter_mut().for_each(|x| *x = (*x - largest).exp() / sum);
    };
    let table = weight(&layout.embedding);
    let row = |token: u8| table[usize::from(token) * shape.width..][..shape.width].iter().map(|&x| f64::from(x)).collect();
    let mut rows: Vec<Vec<f64>> = tokens.iter().map(|&token| row(token)).collect();
    for block in &layout.blocks {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (position, x) in rows.iter_mut().enumerate() {
            let input = normal(x, weight(&block.attention_gain));
            let mut query = times(weight(&block.query), &input);
            let mut key = times(weight(&block.key), &input);
            rotate(&mut query, position);
            rotate(&mut key, position);
            keys.push(key);
            values.push(times(weight(&block.value), &input));
            let mut mixed = vec![0.0; shape.width];
            for head in (0..shape.width).step_by(2 * half) {
                let columns = head..head + 2 * half;
                let dot =
                    |key: &Vec<f64>| columns.clone().map(|c| query[c] * key[c]).sum::<f64>() / (2.0 * half as f64).sqrt();
                let mut scores: Vec<f64> = keys.iter().map(dot).collect();
                softmax(&mut scores);
                for column in columns.clone() {
                    mixed[column] = scores.iter().zip(&values).map(|(score, value)| score * value[column]).sum();
                }
            }
            x.iter_mut().zip(times(weight(&block.output), &mixed)).for_each(|(x, y)| *x += y);
            let input = normal(x, weight(&block.feed_gain));
            let gate = times(weight(&block.gate), &input);
            let up = times(weight(&block.up), &input);
            let product: Vec<f64> = gate.iter().zip(up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
            x.iter_mut().zip(times(weight(&block.down), &product)).for_each(|(x, y)| *x += y);
        }
    }
    let mut logits = times(table, &normal(rows.last().unwrap(), weight(&layout.final_gain)));
    softmax(&mut logits);
    logits.iter().map(|p| p.ln()).collect()
}

#[test]
fn agrees_with_the_definition() {
    for shape in [
        Shape { width: 24, layers: 2, heads: 3, feed_forward: 40, context: 96 },
        Shape { width: 64, layers: 1, heads: 2, feed_forward: 600, context: 50 },
        Shape { width: 16, layers: 1, heads: 1, feed_forward: 48, context: 64 },
        Shape { width: 12, layers: 2, heads: 2, feed_forward: 20, context: 41 },
    ] {
        let model = model(shape);
        let prompt = "Q: what is 12 + 30?\nA:";
        let done = run(&mut Engine::new(&model), &[job(prompt, 0.0, Some(0))]).remove(0);
        let mut tokens = vec![BEGIN];
        for (byte, score) in prompt.bytes().zip(&done.prompt_scores) {
            let expected = naive(&model, &tokens);
            let score = score.unwrap();
            assert!((f64::from(score.logprob) - expected[usize::from(byte)]).abs() < 1e-4, "{shape:?}");
            assert!(score.top.iter().all(|&(token, x)| (f64::from(x) - expected[usize::from(token)]).abs() < 1e-4));
            assert!(score.top.is_sorted_by(|a, b| a.1 >= b.1));
            assert!(f64::from(score.top[0].1) + 1e-4 > expected.iter().copied().fold(f64::MIN, f64::max));
            tokens.push(byte);
        }
        for (&byte, score) in done.text.iter().zip(&done.scores) {
            let expected = naive(&model, &tokens);
            assert!((f64::from(score.logprob) - expected[usize::from(byte)]).abs() < 1e-4);
            assert_eq!(score.top[0].0, byte);
            tokens.push(byte);
        }
        assert!(!done.text.is_empty());
    }
}

#[test]
fn the_rest_of_the_batch_and_the_cache_change_no_bit() {
    for model in [small(), model(Shape { width: 128, layers: 2, heads: 4, feed_forward: 600, context: 384 })] {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let shared = "The same words stand before it. ";
        let jobs: Vec<Job> = (0..90)
            .map(|index| {
                let prompt: String = (0..index % 50).map(|_| char::from(rng.random_range(32..127_u8))).collect();
                let prompt = if index % 3 == 0 { prompt } else { format!("{shared}{prompt}") };
                let mut job = job(&prompt, (index % 2) as f32, [None, Some(0), Some(1), Some(40)][index / 2 % 4]);
                job.generate = job.generate.filter(|_| index % 5 != 4);
                job
            })
            .collect();
        let alone: Vec<Finished> =
            jobs.iter().map(|job| run(&mut Engine::new(&model), std::slice::from_ref(job)).remove(0)).collect();
        let mut engine = Engine::new(&model);
        assert_eq!(run(&mut engine, &jobs), alone, "cold");
        assert_eq!(run(&mut engine, &jobs), alone, "warm");
        let mut reversed: Vec<Job> = jobs.clone();
        reversed.reverse();
        let mut again = run(&mut engine, &reversed);
        again.reverse();
        assert_eq!(again, alone, "reversed");
        for (job, alone) in jobs.iter().zip(&alone) {
            assert_eq!(&run(&mut engine, std::slice::from_ref(job)).remove(0), alone, "one by one");
        }
        assert!(engine.memories.len() <= SEQUENCES);
    }
}

#[test]
fn a_shared_beginning_is_not_run_again() {
    let model = small();
    let mut engine = Engine::new(&model);
    let rows = |engine: &mut Engine, prompt: &str, score_from| {
        let job = Job { generate: None, ..job(prompt, 0.0, score_from) };
        run(engine, &[job]);
        engine.rows.len()
    };
    assert_eq!(rows(&mut engine, "one two three", Some(8)), 13);
    // The score of the last token is not kept with its predecessors' keys, so one row is run.
    assert_eq!(rows(&mut engine, "one two three", Some(8)), 1);
    assert_eq!(rows(&mut engine, "one two four", Some(8)), 4);
    assert_eq!(rows(&mut engine, "one two four", Some(2)), 10, "scores of earlier tokens were not known");
    assert_eq!(rows(&mut engine, "one two four!", Some(2)), 2);
    assert_eq!(rows(&mut engine, "one two", None), 0, "nothing was asked");
}

#[test]
fn stop_sequences_limits_and_the_end_of_the_context() {
    let model = small();
    let free = run(&mut Engine::new(&model), &[job("Count", 1.0, None)]).remove(0);
    assert_eq!((free.finish, free.text.len(), free.prompt_tokens), (Finish::Length, 12, 6));
    let mut stopping = job("Count", 1.0, None);
    stopping.stream = true;
    if let Some(generate) = &mut stopping.generate {
        generate.stop = vec![free.text[4..7].to_vec(), free.text[6..7].to_vec(), Vec::new()];
    }
    let mut engine = Engine::new(&model);
    engine.submit(7, stopping).unwrap();
    let (mut streamed, mut done) = (Vec::new(), None);
    while !engine.is_idle() {
        for (id, event) in engine.step() {
            assert_eq!(id, 7);
            match event {
                Event::Text { text, scores } => {
                    assert_eq!(text.len(), scores.len());
                    streamed.extend(text);
                }
                Event::Finished(finished) => done = Some(*finished),
            }
        }
    }
    let done = done.unwrap();
    let first = (0..free.text.len()).find_map(|end| {
        let text = &free.text[..=end];
        let met = if text.ends_with(&free.text[4..7]) { 3 } else { usize::from(text.ends_with(&free.text[6..7])) };
        (met > 0).then(|| text.len() - met)
    });
    assert_eq!(done.text, &free.text[..first.unwrap()]);
    assert_eq!((done.finish, &streamed), (Finish::Stop, &done.text));

    let full = run(&mut Engine::new(&model), &[job(&"x".repeat(90), 1.0, None)]).remove(0);
    assert_eq!((full.finish, full.text.len()), (Finish::Length, 5));
    let refuse = |prompt: &str| Engine::new(&model).submit(0, job(prompt, 1.0, None));
    assert_eq!(refuse("a\u{e9}"), Err(JobError::NotAscii { position: 1 }));
    assert_eq!(refuse(&"x".repeat(95)), Err(JobError::TooLong { needed: 97, context: 96 }));
    let scored = Job { generate: None, ..job(&"x".repeat(95), 1.0, Some(1)) };
    let scored = run(&mut Engine::new(&model), &[scored]).remove(0);
    assert!(scored.prompt_scores.len() == 95 && scored.prompt_scores[0].is_none() && scored.prompt_scores[94].is_some());
}

#[test]
fn the_end_of_text_ends_a_reply_and_dropped_jobs_leave() {
    let mut always = small();
    // A final gain of zero makes every logit equal, and the first of equals is the end of text.
    let gain = always.card.shape.layout().final_gain;
    always.parameters[gain].fill(0.0);
    let done = run(&mut Engine::new(&always), &[job("x", 0.0, None)]).remove(0);
    assert_eq!((done.finish, done.text.len(), done.tokens), (Finish::Stop, 0, 1));

    let mut engine = Engine::new(&small());
    for id in 0..80 {
        engine.submit(id, job("some words", 1.0, None)).unwrap();
    }
    engine.step();
    engine.retain(|id| id == 3);
    assert!(engine.active.len() == 1 && engine.waiting.is_empty() && engine.free.len() + 1 == engine.memories.len());
    engine.retain(|_| false);
    assert!(engine.is_idle());
}

#[test]
fn draws_follow_the_probabilities() {
    let mut logits = vec![-50.0; VOCABULARY];
    (logits[65], logits[66]) = (0.0, 1.0);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let draws = 20_000;
    let count = (0..draws).filter(|_| sampling::sample(&logits, 2.0, &mut rng) == 66).count();
    let expected = 1.0 / (1.0 + (-0.5_f64).exp());
    assert!((count as f64 / f64::from(draws) - expected).abs() < 0.015, "{count}");
}
