//! Models as GGUF files, for llama.cpp.
//!
//! Layout of version 3 of the format: a header, key-value pairs, the list of the tensors, and their data, each aligned. All weights
//! are written in single precision, which holds half precision exactly: llama.cpp multiplies half-precision matrices less exactly.

use super::checkpoint::Model;
use super::kernels::{EPSILON, ROTARY_BASE};
use super::shape::{BEGIN, Kind, Shape, VOCABULARY};

const VERSION: u32 = 3;
const ALIGNMENT: usize = 32;
/// The numbers of types in the format.
const UINT32: u32 = 4;
const FLOAT32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const INT32: u32 = 5;
/// The type of a tensor of single precision.
const TENSOR_F32: u32 = 0;
/// What a token is: text, or a mark that is never shown.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;

/// Key-value pairs as they are written, and how many.
#[derive(Default)]
struct Pairs {
    bytes: Vec<u8>,
    count: u64,
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

impl Pairs {
    fn key(&mut self, key: &str, kind: u32) -> &mut Vec<u8> {
        self.count += 1;
        string(&mut self.bytes, key);
        self.bytes.extend_from_slice(&kind.to_le_bytes());
        &mut self.bytes
    }

    fn text(&mut self, key: &str, value: &str) {
        string(self.key(key, STRING), value);
    }

    fn number(&mut self, key: &str, value: usize) {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        self.key(key, UINT32).extend_from_slice(&value.to_le_bytes());
    }

    fn float(&mut self, key: &str, value: f32) {
        self.key(key, FLOAT32).extend_from_slice(&value.to_le_bytes());
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.key(key, BOOL).push(u8::from(value));
    }

    fn list<T>(&mut self, key: &str, kind: u32, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
        let bytes = self.key(key, ARRAY);
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&(items.len() as u64).to_le_bytes());
        for item in items {
            write(bytes, item);
        }
    }
}

/// A token as GPT-2 writes its byte: those that do not print as characters from 256 on.
fn token(byte: u8) -> char {
    if byte.is_ascii_graphic() {
        return char::from(byte);
    }
    let before = (0..byte).filter(|other| !other.is_ascii_graphic()).count();
    u32::try_from(256 + before).ok().and_then(char::from_u32).unwrap_or('?')
}

fn pairs(name: &str, shape: &Shape) -> Pairs {
    let mut pairs = Pairs::default();
    pairs.text("general.architecture", "llama");
    pairs.text("general.name", name);
    pairs.number("llama.block_count", shape.layers);
    pairs.number("llama.context_length", shape.context);
    pairs.number("llama.embedding_length", shape.width);
    pairs.number("llama.feed_forward_length", shape.feed_forward);
    pairs.number("llama.attention.head_count", shape.heads);
    pairs.number("llama.attention.head_count_kv", shape.heads);
    pairs.float("llama.attention.layer_norm_rms_epsilon", EPSILON);
    pairs.number("llama.rope.dimension_count", shape.head_width());
    pairs.float("llama.rope.freq_base", ROTARY_BASE);
    pairs.number("llama.vocab_size", VOCABULARY);
    let tokens: Vec<String> = (0..VOCABULARY as u8).map(|byte| token(byte).to_string()).collect();
    pairs.text("tokenizer.ggml.model", "gpt2");
    pairs.text("tokenizer.ggml.pre", "gpt-2");
    pairs.list("tokenizer.ggml.tokens", STRING, &tokens, |bytes, token| string(bytes, token));
    let kinds: Vec<i32> = (0..VOCABULARY as u8).map(|byte| if byte == BEGIN { CONTROL } else { NORMAL }).collect();
    pairs.list("tokenizer.ggml.token_type", INT32, &kinds, |bytes, kind| bytes.extend_from_slice(&kind.to_le_bytes()));
    // llama.cpp refuses an empty list of merges; this one never applies.
    let begin = token(BEGIN);
    pairs.list("tokenizer.ggml.merges", STRING, &[format!("{begin} {begin}")], |bytes, merge| string(bytes, merge));
    pairs.number("tokenizer.ggml.bos_token_id", usize::from(BEGIN));
    pairs.number("tokenizer.ggml.eos_token_id", usize::from(BEGIN));
    pairs.flag("tokenizer.ggml.add_bos_token", true);
    pairs.flag("tokenizer.ggml.add_space_prefix", false);
    pairs
}

/// The name in GGUF of a tensor of a Hugging Face checkpoint.
fn tensor_name(name: &str) -> String {
    let known = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("model.layers.", "blk."),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    known.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// The rows of a query or key matrix in llama.cpp's order: what is rotated together lies side by side, and in Hugging Face's layout
/// half a head apart.
fn interleaved(matrix: &[f32], columns: usize, head_width: usize) -> Vec<f32> {
    let half = head_width / 2;
    matrix
        .chunks_exact(head_width * columns)
        .flat_map(|head| {
            (0..head_width).flat_map(move |row| {
                let from = row / 2 + row % 2 * half;
                head[from * columns..(from + 1) * columns].iter().copied()
            })
        })
        .collect()
}

/// A model as the bytes of a GGUF file.
#[must_use]
pub fn gguf(model: &Model) -> Vec<u8> {
    let shape = model.card.shape;
    let layout = shape.layout();
    let tensors: Vec<(String, &[usize], Vec<f32>)> = layout
        .tensors
        .iter()
        .map(|tensor| {
            let values = &model.parameters[tensor.range.clone()];
            let is_rotated = tensor.name.contains("q_proj") || tensor.name.contains("k_proj");
            let values = match tensor.kind {
                Kind::Matrix(_, columns) if is_rotated => interleaved(values, columns, shape.head_width()),
                _ => values.to_vec(),
            };
            (tensor_name(&tensor.name), tensor.dimensions.as_slice(), values)
        })
        .collect();
    let pairs = pairs(&model.card.name, &shape);
    let mut file = b"GGUF".to_vec();
    file.extend_from_slice(&VERSION.to_le_bytes());
    file.extend_from_slice(&(tensors.len() as u64).to_le_bytes());
    file.extend_from_slice(&pairs.count.to_le_bytes());
    file.extend_from_slice(&pairs.bytes);
    let mut offset = 0;
    for (name, dimensions, values) in &tensors {
        string(&mut file, name);
        file.extend_from_slice(&(dimensions.len() as u32).to_le_bytes());
        // The one that changes fastest comes first.
        for dimension in dimensions.iter().rev() {
            file.extend_from_slice(&(*dimension as u64).to_le_bytes());
        }
        file.extend_from_slice(&TENSOR_F32.to_le_bytes());
        file.extend_from_slice(&(offset as u64).to_le_bytes());
        offset += (values.len() * size_of::<f32>()).next_multiple_of(ALIGNMENT);
    }
    for (_, _, values) in &tensors {
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_rows_come_side_by_side() {
        let matrix: Vec<f32> = (0..8).map(|row| row as f32).collect();
        assert_eq!(interleaved(&matrix, 1, 4), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    }

    #[test]
    fn bytes_are_named_as_gpt_2_names_them() {
        assert_eq!(token(b'a'), 'a');
        assert_eq!((token(0), token(b'\n'), token(b' '), token(127)), ('\u{100}', '\u{10a}', '\u{120}', '\u{121}'));
    }
}
