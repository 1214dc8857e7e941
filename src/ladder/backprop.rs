//! The loss of a batch and its gradient, written out by hand: forward with every activation kept, then backward.
//!
//! Checked against finite differences in the tests. By hand rather than by automatic differentiation because most rungs are
//! so small that a framework's bookkeeping costs several times the arithmetic (docs/performance.md).

use super::kernels::{Rotary, gated, gated_backward, normalise, normalise_backward, softmax, softmax_backward};
use super::matmul::{View, Write, matmul};
use super::shape::{Block, Layout, Shape, VOCABULARY};

/// Rows of attention scores computed together: later columns of a block are masked, earlier blocks are never computed.
const ATTENTION_BLOCK: usize = 64;

/// Token sequences of equal length with a weight per target.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// `rows * length` input tokens.
    pub(super) inputs: Vec<u8>,
    /// The token that follows each input.
    pub(super) targets: Vec<u8>,
    /// Weight of each target in the loss; they sum to one.
    pub(super) weights: Vec<f32>,
    /// Length of one sequence.
    pub(super) length: usize,
}

/// What the forward pass of one block leaves for the backward pass.
#[derive(Debug, Default)]
struct Kept {
    input: Vec<f32>,
    attention_normal: Vec<f32>,
    attention_inverse: Vec<f32>,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    probabilities: Vec<f32>,
    mixed: Vec<f32>,
    middle: Vec<f32>,
    feed_normal: Vec<f32>,
    feed_inverse: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    product: Vec<f32>,
}

/// What the forward pass leaves behind the last block.
struct Output {
    loss: f64,
    /// What the last block gave, the same normalised, and one over its root mean square.
    x: Vec<f32>,
    normal: Vec<f32>,
    inverse: Vec<f32>,
    /// The gradient of the loss by the logits.
    d_logits: Vec<f32>,
}

/// Buffers and constants for training one model.
#[derive(Debug)]
pub(super) struct Differentiator {
    shape: Shape,
    layout: Layout,
    rotary: Rotary,
    kept: Vec<Kept>,
}

/// Makes room for what is about to be written over.
fn room(buffer: &mut Vec<f32>, len: usize) {
    buffer.resize(len, 0.0);
}

impl Differentiator {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            shape,
            layout: shape.layout(),
            rotary: Rotary::new(shape.head_width(), shape.context),
            kept: (0..shape.layers).map(|_| Kept::default()).collect(),
        }
    }

    /// The weighted cross-entropy of a batch, in nats.
    pub(super) fn loss(&mut self, parameters: &[f32], batch: &Batch) -> f64 {
        self.forward(parameters, batch).loss
    }

    /// Adds the gradient of the weighted cross-entropy (nats) to `gradient` and returns the loss.
    pub(super) fn loss_and_gradient(&mut self, parameters: &[f32], batch: &Batch, gradient: &mut [f32]) -> f64 {
        let width = self.shape.width;
        let rows = batch.inputs.len();
        let Output { loss, x, normal, inverse, d_logits } = self.forward(parameters, batch);
        let layout = self.layout.clone();
        let embedding = View::new(&parameters[layout.embedding.clone()], VOCABULARY, width, width);
        let d_logits = View::new(&d_logits, rows, VOCABULARY, VOCABULARY);
        let d_table = &mut gradient[layout.embedding.clone()];
        matmul(d_table, width, d_logits.transposed(), View::new(&normal, rows, width, width), 1.0, Write::Add);
        let mut d_normal = vec![0.0; rows * width];
        matmul(&mut d_normal, width, d_logits, embedding, 1.0, Write::Replace);
        let mut d_x = vec![0.0; rows * width];
        let gain = &parameters[layout.final_gain.clone()];
        normalise_backward(&mut d_x, &mut gradient[layout.final_gain.clone()], &d_normal, &x, &inverse, gain);
        for (block, kept) in layout.blocks.iter().zip(&self.kept).rev() {
            backward_block(&self.shape, &self.rotary, parameters, block, kept, &mut d_x, gradient, batch.length);
        }
        let d_table = &mut gradient[layout.embedding];
        for (&token, d_row) in batch.inputs.iter().zip(d_x.chunks_exact(width)) {
            for (into, d) in d_table[usize::from(token) * width..][..width].iter_mut().zip(d_row) {
                *into += d;
            }
        }
        loss
    }

    fn forward(&mut self, parameters: &[f32], batch: &Batch) -> Output {
        let width = self.shape.width;
        let rows = batch.inputs.len();
        let table = &parameters[self.layout.embedding.clone()];
        let mut x: Vec<f32> =
            batch.inputs.iter().flat_map(|&token| &table[usize::from(token) * width..][..width]).copied().collect();
        let layout = self.layout.clone();
        for (block, kept) in layout.blocks.iter().zip(&mut self.kept) {
            forward_block(&self.shape, &self.rotary, parameters, block, kept, &mut x, batch.length);
        }

        let gain = &parameters[layout.final_gain.clone()];
        let (mut normal, mut inverse) = (vec![0.0; rows * width], vec![0.0; rows]);
        normalise(&mut normal, &mut inverse, &x, gain);
        let mut logits = vec![0.0; rows * VOCABULARY];
        let embedding = View::new(table, VOCABULARY, width, width);
        matmul(&mut logits, VOCABULARY, View::new(&normal, rows, width, width), embedding.transposed(), 1.0, Write::Replace);

        // The gradient of the loss by the logits is weight * (softmax - one-hot).
        let mut loss = 0.0_f64;
        for ((row, &target), &weight) in logits.chunks_exact_mut(VOCABULARY).zip(&batch.targets).zip(&batch.weights) {
            softmax(row);
            loss -= f64::from(weight) * f64::from(row[usize::from(target)].max(f32::MIN_POSITIVE)).ln();
            for x in row.iter_mut() {
                *x *= weight;
            }
            row[usize::from(target)] -= weight;
        }

        Output { loss, x, normal, inverse, d_logits: logits }
    }
}

/// `out = input * weight^T` for a weight stored as rows of outputs.
fn project(out: &mut Vec<f32>, input: &[f32], weight: &[f32], inputs: usize, outputs: usize) {
    let rows = input.len() / inputs;
    room(out, rows * outputs);
    let weight = View::new(weight, outputs, inputs, inputs).transposed();
    matmul(out, outputs, View::new(input, rows, inputs, inputs), weight, 1.0, Write::Replace);
}

/// Adds the gradients of [`project`] to `d_input` and `d_weight`.
fn project_backward(
    d_input: &mut [f32],
    d_weight: &mut [f32],
    d_out: &[f32],
    input: &[f32],
    weight: &[f32],
    inputs: usize,
    outputs: usize,
) {
    let rows = input.len() / inputs;
    let d_out = View::new(d_out, rows, outputs, outputs);
    matmul(d_input, inputs, d_out, View::new(weight, outputs, inputs, inputs), 1.0, Write::Add);
    matmul(d_weight, inputs, d_out.transposed(), View::new(input, rows, inputs, inputs), 1.0, Write::Add);
}

fn forward_block(
    shape: &Shape,
    rotary: &Rotary,
    parameters: &[f32],
    block: &Block,
    kept: &mut Kept,
    x: &mut [f32],
    length: usize,
) {
    let (width, feed) = (shape.width, shape.feed_forward);
    let rows = x.len() / width;
    kept.input.clear();
    kept.input.extend_from_slice(x);
    room(&mut kept.attention_normal, x.len());
    room(&mut kept.attention_inverse, rows);
    normalise(&mut kept.attention_normal, &mut kept.attention_inverse, x, &parameters[block.attention_gain.clone()]);
    project(&mut kept.query, &kept.attention_normal, &parameters[block.query.clone()], width, width);
    project(&mut kept.key, &kept.attention_normal, &parameters[block.key.clone()], width, width);
    project(&mut kept.value, &kept.attention_normal, &parameters[block.value.clone()], width, width);
    for (row, (query, key)) in kept.query.chunks_exact_mut(width).zip(kept.key.chunks_exact_mut(width)).enumerate() {
        rotary.rotate(query, row % length, 1.0);
        rotary.rotate(key, row % length, 1.0);
    }

    let head_width = shape.head_width();
    let scale = 1.0 / (head_width as f32).sqrt();
    room(&mut kept.probabilities, rows * shape.heads * length);
    room(&mut kept.mixed, x.len());
    for (index, probabilities) in kept.probabilities.chunks_exact_mut(length * length).enumerate() {
        let offset = index / shape.heads * length * width + index % shape.heads * head_width;
        for start in (0..length).step_by(ATTENTION_BLOCK) {
            let end = (start + ATTENTION_BLOCK).min(length);
            let query = View::new(&kept.query[offset + start * width..], end - start, head_width, width);
            let key = View::new(&kept.key[offset..], end, head_width, width);
            let scores = &mut probabilities[start * length..];
            matmul(scores, length, query, key.transposed(), scale, Write::Replace);
            for row in start..end {
                let scores = &mut probabilities[row * length..(row + 1) * length];
                softmax(&mut scores[..=row]);
                scores[row + 1..end].fill(0.0);
            }
            let weights = View::new(&probabilities[start * length..], end - start, end, length);
            let value = View::new(&kept.value[offset..], end, head_width, width);
            matmul(&mut kept.mixed[offset + start * width..], width, weights, value, 1.0, Write::Replace);
        }
    }

    let output = View::new(&parameters[block.output.clone()], width, width, width).transposed();
    matmul(x, width, View::new(&kept.mixed, rows, width, width), output, 1.0, Write::Add);
    kept.middle.clear();
    kept.middle.extend_from_slice(x);
    room(&mut kept.feed_normal, x.len());
    room(&mut kept.feed_inverse, rows);
    normalise(&mut kept.feed_normal, &mut kept.feed_inverse, x, &parameters[block.feed_gain.clone()]);
    project(&mut kept.gate, &kept.feed_normal, &parameters[block.gate.clone()], width, feed);
    project(&mut kept.up, &kept.feed_normal, &parameters[block.up.clone()], width, feed);
    room(&mut kept.product, rows * feed);
    gated(&mut kept.product, &kept.gate, &kept.up);
    let down = View::new(&parameters[block.down.clone()], width, feed, feed).transposed();
    matmul(x, width, View::new(&kept.product, rows, feed, feed), down, 1.0, Write::Add);
}

#[expect(clippy::too_many_arguments, reason = "the pieces of one step of backpropagation; a struct would only rename them")]
fn backward_block(
    shape: &Shape,
    rotary: &Rotary,
    parameters: &[f32],
    block: &Block,
    kept: &Kept,
    d_x: &mut [f32],
    gradient: &mut [f32],
    length: usize,
) {
    let (width, feed) = (shape.width, shape.feed_forward);
    let rows = d_x.len() / width;
    let weight = |range: &std::ops::Range<usize>| &parameters[range.clone()];

    let mut d_product = vec![0.0; rows * feed];
    let d_down = &mut gradient[block.down.clone()];
    project_backward(&mut d_product, d_down, d_x, &kept.product, weight(&block.down), feed, width);
    let (mut d_gate, mut d_up) = (kept.gate.clone(), kept.up.clone());
    gated_backward(&mut d_gate, &mut d_up, &d_product);
    let mut d_normal = vec![0.0; rows * width];
    for (range, d_out) in [(&block.gate, &d_gate), (&block.up, &d_up)] {
        let d_weight = &mut gradient[range.clone()];
        project_backward(&mut d_normal, d_weight, d_out, &kept.feed_normal, weight(range), width, feed);
    }
    let d_gain = &mut gradient[block.feed_gain.clone()];
    normalise_backward(d_x, d_gain, &d_normal, &kept.middle, &kept.feed_inverse, weight(&block.feed_gain));

    let mut d_mixed = vec![0.0; rows * width];
    let d_output = &mut gradient[block.output.clone()];
    project_backward(&mut d_mixed, d_output, d_x, &kept.mixed, weight(&block.output), width, width);
    let (mut d_query, mut d_key, mut d_value) = (vec![0.0; rows * width], vec![0.0; rows * width], vec![0.0; rows * width]);
    let head_width = shape.head_width();
    let scale = 1.0 / (head_width as f32).sqrt();
    let mut d_scores = vec![0.0; ATTENTION_BLOCK * length];
    for (index, probabilities) in kept.probabilities.chunks_exact(length * length).enumerate() {
        let offset = index / shape.heads * length * width + index % shape.heads * head_width;
        for start in (0..length).step_by(ATTENTION_BLOCK) {
            let end = (start + ATTENTION_BLOCK).min(length);
            let count = end - start;
            let weights = View::new(&probabilities[start * length..], count, end, length);
            let d_out = View::new(&d_mixed[offset + start * width..], count, head_width, width);
            let value = View::new(&kept.value[offset..], end, head_width, width);
            matmul(&mut d_value[offset..], width, weights.transposed(), d_out, 1.0, Write::Add);
            matmul(&mut d_scores, length, d_out, value.transposed(), 1.0, Write::Replace);
            for row in 0..count {
                let weights = &probabilities[(start + row) * length..][..end];
                let d_row = &mut d_scores[row * length..][..end];
                softmax_backward(d_row, weights);
            }
            let d_scores = View::new(&d_scores, count, end, length);
            let key = View::new(&kept.key[offset..], end, head_width, width);
            let query = View::new(&kept.query[offset + start * width..], count, head_width, width);
            matmul(&mut d_query[offset + start * width..], width, d_scores, key, scale, Write::Add);
            matmul(&mut d_key[offset..], width, d_scores.transposed(), query, scale, Write::Add);
        }
    }
    for (row, (query, key)) in d_query.chunks_exact_mut(width).zip(d_key.chunks_exact_mut(width)).enumerate() {
        rotary.rotate(query, row % length, -1.0);
        rotary.rotate(key, row % length, -1.0);
    }
    let mut d_normal = vec![0.0; rows * width];
    for (range, d_out) in [(&block.query, &d_query), (&block.key, &d_key), (&block.value, &d_value)] {
        let d_weight = &mut gradient[range.clone()];
        project_backward(&mut d_normal, d_weight, d_out, &kept.attention_normal, weight(range), width, width);
    }
    let d_gain = &mut gradient[block.attention_gain.clone()];
    normalise_backward(d_x, d_gain, &d_normal, &kept.input, &kept.attention_inverse, weight(&block.attention_gain));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let shape = Shape { width: 8, layers: 2, heads: 2, feed_forward: 12, context: 70 };
        let layout = shape.layout();
        let mut state = 12_345_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u32 << 24) as f32 - 0.5
        };
        let mut parameters: Vec<f32> = (0..layout.len).map(|_| random()).collect();
        let inputs: Vec<u8> = (0..140).map(|_| ((random() + 0.5) * 127.0) as u8).collect();
        let targets: Vec<u8> = (0..140).map(|_| ((random() + 0.5) * 127.0) as u8).collect();
        let weights: Vec<f32> = (0..140).map(|i| if i % 3 == 0 { 0.001 } else { 0.01 }).collect();
        let batch = Batch { inputs, targets, weights, length: 70 };
        let mut differentiator = Differentiator::new(shape);
        let mut gradient = vec![0.0; layout.len];
        differentiator.loss_and_gradient(&parameters, &batch, &mut gradient);
        for tensor in &layout.tensors {
            // The directional derivative along the gradient of one tensor is the squared norm of that gradient.
            let slice = gradient[tensor.range.clone()].to_vec();
            let square: f32 = slice.iter().map(|g| g * g).sum();
            let step = 2e-2 / square.sqrt();
            let mut probe = |sign: f32| {
                for (p, g) in parameters[tensor.range.clone()].iter_mut().zip(&slice) {
                    *p += sign * step * g;
                }
                let loss = differentiator.loss_and_gradient(&parameters, &batch, &mut vec![0.0; layout.len]);
                for (p, g) in parameters[tensor.range.clone()].iter_mut().zip(&slice) {
                    *p -= sign * step * g;
                }
                loss
            };
            let measured = (probe(1.0) - probe(-1.0)) / f64::from(2.0 * step);
            let ratio = measured / f64::from(square);
            assert!((ratio - 1.0).abs() < 0.05, "{}: {ratio}", tensor.name);
        }
    }
}
