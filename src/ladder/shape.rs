//! The shape of a model, and where each of its tensors lies in one flat parameter vector.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Entries of the vocabulary: one per ASCII character.
pub const VOCABULARY: usize = 128;

/// The token that begins every document and ends every reply.
pub const BEGIN: u8 = 0;

/// The dimensions of a Llama-architecture transformer with tied embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Width of the residual stream.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Attention heads; each is `width / heads` wide.
    pub heads: usize,
    /// Width of the gated feed-forward layer.
    pub feed_forward: usize,
    /// Longest sequence, in tokens.
    pub context: usize,
}

/// How the optimiser treats a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A hidden matrix of that many rows and columns.
    Matrix(usize, usize),
    /// The embedding table.
    Embedding,
    /// The gain of a normalisation.
    Gain,
}

/// One tensor of the model.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    /// Its name in a Hugging Face checkpoint.
    pub(super) name: String,
    /// Its dimensions.
    pub(super) dimensions: Vec<usize>,
    /// Where it lies in the flat parameter vector.
    pub(super) range: Range<usize>,
    pub(super) kind: Kind,
}

/// Where the tensors of one block lie.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) attention_gain: Range<usize>,
    pub(super) query: Range<usize>,
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
    pub(super) output: Range<usize>,
    pub(super) feed_gain: Range<usize>,
    pub(super) gate: Range<usize>,
    pub(super) up: Range<usize>,
    pub(super) down: Range<usize>,
}

/// Where every tensor lies.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) tensors: Vec<Tensor>,
    pub(super) embedding: Range<usize>,
    pub(super) blocks: Vec<Block>,
    pub(super) final_gain: Range<usize>,
    pub(super) len: usize,
}

impl Shape {
    /// Width of one attention head.
    #[must_use]
    pub fn head_width(&self) -> usize {
        self.width / self.heads.max(1)
    }

    /// Number of parameters, embeddings included.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.layout().len
    }

    /// Whether the dimensions fit together.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.layers > 0
            && self.heads > 0
            && self.feed_forward > 0
            && self.context > 0
            && self.width > 0
            && self.width.is_multiple_of(self.heads)
            && self.head_width().is_multiple_of(2)
    }

    pub(super) fn layout(&self) -> Layout {
        let mut tensors = Vec::new();
        let mut next = 0;
        let mut add = |name: String, dimensions: Vec<usize>, kind: Kind| -> Range<usize> {
            let range = next..next + dimensions.iter().product::<usize>();
            next = range.end;
            tensors.push(Tensor { name, dimensions, range: range.clone(), kind });
            range
        };
        let (width, feed) = (self.width, self.feed_forward);
        let embedding = add("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, width], Kind::Embedding);
        let mut blocks = Vec::new();
        for layer in 0..self.layers {
            let gain = |part: &str| format!("model.layers.{layer}.{part}.weight");
            let mut matrix = |part: &str, rows: usize, columns: usize| {
                add(format!("model.layers.{layer}.{part}.weight"), vec![rows, columns], Kind::Matrix(rows, columns))
            };
            let query = matrix("self_attn.q_proj", width, width);
            let key = matrix("self_attn.k_proj", width, width);
            let value = matrix("self_attn.v_proj", width, width);
            let output = matrix("self_attn.o_proj", width, width);
            let gate = matrix("mlp.gate_proj", feed, width);
            let up = matrix("mlp.up_proj", feed, width);
            let down = matrix("mlp.down_proj", width, feed);
            let attention_gain = add(gain("input_layernorm"), vec![width], Kind::Gain);
            let feed_gain = add(gain("post_attention_layernorm"), vec![width], Kind::Gain);
            blocks.push(Block { attention_gain, query, key, value, output, feed_gain, gate, up, down });
        }
        let final_gain = add("model.norm.weight".to_owned(), vec![width], Kind::Gain);
        Layout { tensors, embedding, blocks, final_gain, len: next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_are_those_of_the_architecture() {
        let shape = Shape { width: 16, layers: 1, heads: 1, feed_forward: 48, context: 384 };
        assert_eq!(shape.parameters(), 128 * 16 + 4 * 16 * 16 + 3 * 16 * 48 + 2 * 16 + 16);
        let layout = shape.layout();
        assert_eq!(layout.tensors.last().map(|tensor| tensor.range.end), Some(layout.len));
    }
}
