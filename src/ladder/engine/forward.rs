//! The forward pass over a ragged batch of rows, each attending to the cache of its own sequence.
//!
//! What a row yields is bit-identical whatever else is in the batch: every product goes through the same kernel of `gemm`
//! (see [`product`]), and everything else is computed row by row.

use std::sync::Arc;

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

/// Neighbouring positions in a page: enough that a head's keys and values in it are read as one stream.
const PAGE: usize = 64;

/// Keys and values of [`PAGE`] neighbouring positions in all layers. In each layer, head by head: the keys by column, so that the
/// scores of all positions are computed together, then, head by head, the values by row, padded to whole [`LANES`].
pub(super) type Page = [f32];

/// Keys and values of one sequence. Pages of a common beginning are shared with other sequences, and copied when one of them writes.
pub(super) type Memory = Vec<Arc<Page>>;

/// Pages that hold so many positions.
pub(super) fn pages(positions: usize) -> usize {
    positions.div_ceil(PAGE)
}

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

    /// Bytes of a page.
    pub(super) fn page_bytes(&self) -> usize {
        self.page_len() * size_of::<f32>()
    }

    fn page_len(&self) -> usize {
        self.layers.len() * layer_len(&self.shape)
    }

    /// The logits of the rows that the last run was to give them for, in their order.
    pub(super) fn logits(&self) -> &[f32] {
        &self.scratch.logits
    }

    /// Runs the rows, those of one sequence in order of position.
    pub(super) fn run(&mut self, rows: &[Row], memories: &mut [Memory]) {
        let page_len = self.page_len();
        let Self { shape, rotary, scratch, .. } = self;
        let (width, feed) = (shape.width, shape.feed_forward);
        let (head_width, padded_head) = (shape.head_width(), padded(shape.head_width()));
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
        let scores = resize(&mut scratch.scores, shape.context.next_multiple_of(PAGE));
        for (index, layer) in self.layers.iter().enumerate() {
            normalise(normal, inverse, x, &layer.attention_gain);
            product(attention, normal, &layer.attention, width, Write::Replace);
            let start = index * layer_len(shape);
            for (row, parts) in rows.iter().zip(attention.chunks_exact_mut(3 * width)) {
                let (query, rest) = parts.split_at_mut(width);
                let (key, value) = rest.split_at_mut(width);
                rotary.rotate(query, row.position, 1.0);
                rotary.rotate(key, row.position, 1.0);
                let memory = &mut memories[row.slot];
                if memory.len() < pages(row.position + 1) {
                    memory.push(std::iter::repeat_n(0.0, page_len).collect());
                }
                let page = Arc::make_mut(&mut memory[row.position / PAGE]);
                let (keys, values) = page[start..].split_at_mut(width * PAGE);
                let place = row.position % PAGE;
                for (key, keys) in key.iter().zip(keys.chunks_exact_mut(PAGE)) {
                    keys[place] = *key;
                }
                let heads = value.chunks_exact(head_width).zip(values.chunks_exact_mut(PAGE * padded_head));
                for (value, values) in heads {
                    values[place * padded_head..][..head_width].copy_from_slice(value);
                }
            }
            let rows = rows.iter().zip(attention.chunks_exact(3 * width)).zip(mixed.chunks_exact_mut(width));
            wide(
                #[inline(always)]
                || {
                    for ((row, parts), mixed) in rows {
                        let memory = &memories[row.slot][..pages(row.position + 1)];
                        attend(shape, mixed, &parts[..width], memory, start, row.position + 1, scores);
                    }
                },
            );
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

/// Numbers that a page holds for one layer.
fn layer_len(shape: &Shape) -> usize {
    PAGE * (shape.width + shape.heads * padded(shape.head_width()))
}

fn padded(head_width: usize) -> usize {
    head_width.next_multiple_of(LANES)
}

/// Attention of one row over the first `positions` of its memory, head by head; the layer begins at `start` of each page.
#[inline(always)]
fn attend(
    shape: &Shape,
    out: &mut [f32],
    query: &[f32],
    memory: &[Arc<Page>],
    start: usize,
    positions: usize,
    scores: &mut [f32],
) {
    let head_width = shape.head_width();
    let scale = 1.0 / (head_width as f32).sqrt();
    let heads = query.chunks_exact(head_width).zip(out.chunks_exact_mut(head_width));
    for (head, (query, out)) in heads.enumerate() {
        let offset = start + head * head_width * PAGE;
        for (index, (page, scores)) in memory.iter().zip(scores.chunks_mut(PAGE)).enumerate() {
            let keys = &page[offset..][..head_width * PAGE];
            match (positions - index * PAGE).div_ceil(LANES) {
                1 => compare::<1>(scores, query, keys, scale),
                2 => compare::<2>(scores, query, keys, scale),
                3 => compare::<3>(scores, query, keys, scale),
                _ => compare::<4>(scores, query, keys, scale),
            }
        }
        let scores = &mut scores[..positions];
        let inverse = exponentiate(scores);
        let start = start + (shape.width + head * padded(head_width)) * PAGE;
        match padded(head_width) {
            16 => mix::<16, 4>(out, scores, memory, start, inverse),
            32 => mix::<32, 2>(out, scores, memory, start, inverse),
            48 => mix::<48, 2>(out, scores, memory, start, inverse),
            64 => mix::<64, 2>(out, scores, memory, start, inverse),
            width => {
                for (part, out) in out.chunks_mut(LANES).enumerate() {
                    mix_part(out, scores, memory, start + part * LANES, width, inverse);
                }
            }
        }
    }
}

/// The scores of the first `N` groups of [`LANES`] positions of a page.
#[inline(always)]
fn compare<const N: usize>(scores: &mut [f32], query: &[f32], keys: &[f32], scale: f32) {
    let mut sums = [[0.0; LANES]; N];
    for (&query, keys) in query.iter().zip(keys.chunks_exact(PAGE)) {
        for (sums, keys) in sums.iter_mut().zip(keys.chunks_exact(LANES)) {
            add(sums, query, keys);
        }
    }
    // Moved as a whole: where single sums are pointed at, the compiler keeps none of them in registers.
    let sums = sums.map(|sums| sums.map(|sum| sum * scale));
    scores[..N * LANES].copy_from_slice(sums.as_flattened());
}

/// The weighted mean of the values of one head, `N` columns wide; its values begin at `start` of each page. Every `PARTS`th position
/// is summed apart, so that one addition need not wait for the last.
#[inline(always)]
fn mix<const N: usize, const PARTS: usize>(
    out: &mut [f32],
    weights: &[f32],
    memory: &[Arc<Page>],
    start: usize,
    scale: f32,
) {
    let mut sums = [[0.0; N]; PARTS];
    for (page, weights) in memory.iter().zip(weights.chunks(PAGE)) {
        let mut values = page[start..][..PAGE * N].chunks_exact(N);
        let (groups, rest) = weights.as_chunks::<PARTS>();
        for weights in groups {
            for (sums, &weight) in sums.iter_mut().zip(weights) {
                add(sums, weight, values.next().unwrap_or_default());
            }
        }
        for ((sums, &weight), values) in sums.iter_mut().zip(rest).zip(values) {
            add(sums, weight, values);
        }
    }
    let mut total = [0.0; N];
    for part in sums {
        for (total, sum) in total.iter_mut().zip(part) {
            *total += sum * scale;
        }
    }
    out.copy_from_slice(&total[..out.len()]);
}

#[inline(always)]
fn add<const N: usize>(sums: &mut [f32; N], weight: f32, values: &[f32]) {
    if let Some(values) = values.first_chunk::<N>() {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = weight.mul_add(*value, *sum);
        }
    }
}

/// The same for some columns of a head that is wider than any of the above.
#[inline(always)]
fn mix_part(out: &mut [f32], weights: &[f32], memory: &[Arc<Page>], start: usize, stride: usize, scale: f32) {
    let mut sums = [0.0; LANES];
    for (page, weights) in memory.iter().zip(weights.chunks(PAGE)) {
        for (position, &weight) in weights.iter().enumerate() {
            add(&mut sums, weight, &page[start + position * stride..]);
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = sum * scale;
    }
}
