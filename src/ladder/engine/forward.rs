//! The forward pass over a ragged batch of rows, each attending to the cache of its own sequence.
//!
//! What a row yields is bit-identical whatever else is in the batch: every product goes through the same kernel of `gemm`
//! (see [`product`]), and everything else is computed row by row.

use super::super::checkpoint::Model;
use super::super::kernels::{LANES, Rotary, exponentiate, gated, normalise, wide};
use super::super::matmul::{View, Write, matmul};
use super::super::shape::{Shape, VOCABULARY};

/// Rows are padded to a multiple of this, since `gemm` takes another path, that rounds otherwise, for a single row.
const ROWS: usize = 4;
/// `gemm` sums up to this many products in one pass; it splits longer sums in a way that depends on the number of rows.
const DEPTH: usize = 512;

/// One token to be run through the model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Index of its sequence's cache.
    pub(super) slot: usize,
    /// Its position in the sequence.
    pub(super) position: usize,
    pub(super) token: u8,
    /// Whether the logits of the token after it are wanted.
    pub(super) wanted: bool,
}

/// Keys and values of one sequence. In each layer: the keys by column, so that scores of neighbouring positions are computed
/// together, then the values by row.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(pub(super) Vec<f32>);

#[derive(Debug)]
struct Layer {
    attention_gain: Vec<f32>,
    /// Query, key and value side by side: `width x 3 width`.
    attention: Vec<f32>,
    output: Vec<f32>,
    feed_gain: Vec<f32>,
    /// Gate and up side by side: `width x 2 feed`.
    feed: Vec<f32>,
    down: Vec<f32>,
}

/// Buffers that are kept between calls.
#[derive(Debug, Default)]
struct Scratch {
    x: Vec<f32>,
    normal: Vec<f32>,
    inverse: Vec<f32>,
    attention: Vec<f32>,
    mixed: Vec<f32>,
    feed: Vec<f32>,
    product: Vec<f32>,
    scores: Vec<f32>,
    logits: Vec<f32>,
}

/// A model laid out for inference.
#[derive(Debug)]
pub(super) struct Forward {
    shape: Shape,
    rotary: Rotary,
    embedding: Vec<f32>,
    unembedding: Vec<f32>,
    layers: Vec<Layer>,
    final_gain: Vec<f32>,
    scratch: Scratch,
}

/// A weight stored as rows of outputs, as rows of inputs.
fn transpose(weight: &[f32], inputs: usize) -> Vec<f32> {
    let outputs = weight.len() / inputs;
    (0..inputs).flat_map(|input| (0..outputs).map(move |output| weight[output * inputs + input])).collect()
}

/// `out (+)= input * weight` for a weight of `inputs` rows.
fn product(out: &mut [f32], input: &[f32], weight: &[f32], inputs: usize, write: Write) {
    let (rows, outputs) = (input.len() / inputs, weight.len() / inputs);
    for start in (0..if rows == 0 { 0 } else { inputs }).step_by(DEPTH) {
        let depth = DEPTH.min(inputs - start);
        let left = View::new(&input[start..], rows, depth, inputs);
        let right = View::new(&weight[start * outputs..], depth, outputs, outputs);
        matmul(out, outputs, left, right, 1.0, if start == 0 { write } else { Write::Add });
    }
}

fn resize(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    buffer.resize(len, 0.0);
    buffer
}

impl Forward {
    pub(super) fn new(model: &Model) -> Self {
        let shape = model.card.shape;
        let layout = shape.layout();
        let weights = |range: &std::ops::Range<usize>| &model.parameters[range.clone()];
        let (width, feed) = (shape.width, shape.feed_forward);
        let joined = |parts: &[&std::ops::Range<usize>]| {
            let rows: Vec<f32> = parts.iter().flat_map(|range| weights(range)).copied().collect();
            transpose(&rows, width)
        };
        let layers = layout
            .blocks
            .iter()
            .map(|block| Layer {
                attention_gain: weights(&block.attention_gain).to_vec(),
                attention: joined(&[&block.query, &block.key, &block.value]),
                output: joined(&[&block.output]),
                feed_gain: weights(&block.feed_gain).to_vec(),
                feed: joined(&[&block.gate, &block.up]),
                down: transpose(weights(&block.down), feed),
            })
            .collect();
        Self {
            shape,
            rotary: Rotary::new(shape.head_width(), shape.context),
            embedding: weights(&layout.embedding).to_vec(),
            unembedding: joined(&[&layout.embedding]),
            layers,
            final_gain: weights(&layout.final_gain).to_vec(),
            scratch: Scratch::default(),
        }
    }

    /// Positions that a memory has room for.
    fn capacity(&self) -> usize {
        self.shape.context.next_multiple_of(LANES)
    }

    pub(super) fn memory(&self) -> Memory {
        Memory(vec![0.0; self.layers.len() * 2 * self.shape.width * self.capacity()])
    }

    /// Numbers that a memory holds for one position.
    pub(super) fn memory_per_position(&self) -> usize {
        self.layers.len() * 2 * self.shape.width
    }

    /// The first `positions` of a memory, without the room for more.
    pub(super) fn compact(&self, memory: &Memory, positions: usize) -> Vec<f32> {
        let (width, capacity) = (self.shape.width, self.capacity());
        let mut compact = Vec::with_capacity(positions * self.memory_per_position());
        for layer in memory.0.chunks_exact(2 * width * capacity) {
            let (keys, values) = layer.split_at(width * capacity);
            for key in keys.chunks_exact(capacity) {
                compact.extend_from_slice(&key[..positions]);
            }
            compact.extend_from_slice(&values[..positions * width]);
        }
        compact
    }

    /// Restores the first `positions` of a memory from one of `stored` positions that was compacted.
    pub(super) fn restore(&self, memory: &mut Memory, compact: &[f32], stored: usize, positions: usize) {
        if positions == 0 {
            return;
        }
        let (width, capacity) = (self.shape.width, self.capacity());
        let layers = memory.0.chunks_exact_mut(2 * width * capacity).zip(compact.chunks_exact(2 * width * stored));
        for (layer, compact) in layers {
            let (keys, values) = layer.split_at_mut(width * capacity);
            let (stored_keys, stored_values) = compact.split_at(width * stored);
            for (key, compact) in keys.chunks_exact_mut(capacity).zip(stored_keys.chunks_exact(stored)) {
                key[..positions].copy_from_slice(&compact[..positions]);
            }
            values[..positions * width].copy_from_slice(&stored_values[..positions * width]);
        }
    }

    /// The logits of the rows that the last run was to give them for, in their order.
    pub(super) fn logits(&self) -> &[f32] {
        &self.scratch.logits
    }

    /// Runs the rows, those of one sequence in order of position.
    pub(super) fn run(&mut self, rows: &[Row], memories: &mut [Memory]) {
        let Self { shape, rotary, scratch, .. } = self;
        let (width, feed, capacity) = (shape.width, shape.feed_forward, shape.context.next_multiple_of(LANES));
        let padded = rows.len().next_multiple_of(ROWS);
        let x = &mut scratch.x;
        x.clear();
        for row in rows {
            x.extend_from_slice(&self.embedding[usize::from(row.token) * width..][..width]);
        }
        x.resize(padded * width, 0.0);
        let inverse = resize(&mut scratch.inverse, padded);
        let normal = resize(&mut scratch.normal, padded * width);
        let mixed = resize(&mut scratch.mixed, padded * width);
        let attention = resize(&mut scratch.attention, padded * 3 * width);
        let gates = resize(&mut scratch.feed, padded * 2 * feed);
        let hidden = resize(&mut scratch.product, padded * feed);
        let scores = resize(&mut scratch.scores, capacity);
        for (index, layer) in self.layers.iter().enumerate() {
            normalise(normal, inverse, x, &layer.attention_gain);
            product(attention, normal, &layer.attention, width, Write::Replace);
            let start = index * 2 * width * capacity;
            for (row, parts) in rows.iter().zip(attention.chunks_exact_mut(3 * width)) {
                let (query, rest) = parts.split_at_mut(width);
                let (key, value) = rest.split_at_mut(width);
                rotary.rotate(query, row.position, 1.0);
                rotary.rotate(key, row.position, 1.0);
                let (keys, values) = memories[row.slot].0[start..][..2 * width * capacity].split_at_mut(width * capacity);
                for (column, key) in key.iter().enumerate() {
                    keys[column * capacity + row.position] = *key;
                }
                values[row.position * width..][..width].copy_from_slice(value);
            }
            for ((row, parts), mixed) in
                rows.iter().zip(attention.chunks_exact(3 * width)).zip(mixed.chunks_exact_mut(width))
            {
                let (keys, values) = memories[row.slot].0[start..][..2 * width * capacity].split_at(width * capacity);
                wide(
                    #[inline(always)]
                    || attend(shape, mixed, &parts[..width], keys, values, row.position + 1, scores),
                );
            }
            product(x, mixed, &layer.output, width, Write::Add);
            normalise(normal, inverse, x, &layer.feed_gain);
            product(gates, normal, &layer.feed, width, Write::Replace);
            for (hidden, gates) in hidden.chunks_exact_mut(feed).zip(gates.chunks_exact(2 * feed)) {
                let (gate, up) = gates.split_at(feed);
                gated(hidden, gate, up);
            }
            product(x, hidden, &layer.down, feed, Write::Add);
        }

        let mut wanted = 0;
        for (index, _) in rows.iter().enumerate().filter(|(_, row)| row.wanted) {
            x.copy_within(index * width..(index + 1) * width, wanted * width);
            wanted += 1;
        }
        let padded = wanted.next_multiple_of(ROWS);
        let normal = &mut normal[..padded * width];
        normalise(normal, inverse, &x[..padded * width], &self.final_gain);
        let logits = resize(&mut scratch.logits, padded * VOCABULARY);
        product(logits, normal, &self.unembedding, width, Write::Replace);
    }
}

/// Attention of one row over the first `positions` of its memory, head by head.
#[inline(always)]
fn attend(
    shape: &Shape,
    out: &mut [f32],
    query: &[f32],
    keys: &[f32],
    values: &[f32],
    positions: usize,
    scores: &mut [f32],
) {
    let (width, head_width, capacity) = (shape.width, shape.head_width(), scores.len());
    let scale = 1.0 / (head_width as f32).sqrt();
    let blocks = positions.next_multiple_of(LANES);
    for head in (0..width).step_by(head_width) {
        let query = &query[head..head + head_width];
        let keys = &keys[head * capacity..(head + head_width) * capacity];
        for (block, scores) in scores[..blocks].chunks_exact_mut(LANES).enumerate() {
            let mut sums = [0.0; LANES];
            for (&query, key) in query.iter().zip(keys.chunks_exact(capacity)) {
                for (sum, key) in sums.iter_mut().zip(&key[block * LANES..(block + 1) * LANES]) {
                    *sum += query * key;
                }
            }
            scores.copy_from_slice(&sums.map(|sum| sum * scale));
        }
        let inverse = exponentiate(&mut scores[..positions]);
        let (out, scores) = (&mut out[head..head + head_width], &scores[..positions]);
        match head_width {
            width_ if width_.is_multiple_of(32) => mix::<32>(out, scores, &values[head..], width, inverse),
            width_ if width_.is_multiple_of(16) => mix::<16>(out, scores, &values[head..], width, inverse),
            width_ if width_.is_multiple_of(8) => mix::<8>(out, scores, &values[head..], width, inverse),
            _ => mix::<2>(out, scores, &values[head..], width, inverse),
        }
    }
}

/// The weighted mean of the values of one head, `N` columns at a time.
#[inline(always)]
fn mix<const N: usize>(out: &mut [f32], weights: &[f32], values: &[f32], stride: usize, scale: f32) {
    for (part, out) in out.chunks_exact_mut(N).enumerate() {
        let mut sums = [0.0; N];
        // The last row may be shorter than the stride.
        for (&weight, row) in weights.iter().zip(values.chunks(stride)) {
            for (sum, value) in sums.iter_mut().zip(&row[part * N..(part + 1) * N]) {
                *sum += weight * value;
            }
        }
        out.copy_from_slice(&sums.map(|sum| sum * scale));
    }
}
