//! Checkpoints on disk and in the binary: Hugging Face's layout, with half-precision weights and a card.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use half::f16;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::shape::{BEGIN, Shape, VOCABULARY};
use super::train::{Trainer, Training};

/// Version of the card's format.
const CARD_VERSION: u32 = 2;

/// What a rung is and how it came to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Version of this format.
    pub version: u32,
    /// Name of the model.
    pub name: String,
    /// The size it is one of: other seeds and states during training share it.
    pub rung: String,
    /// Its dimensions.
    pub shape: Shape,
    /// Number of parameters, embeddings included.
    pub params: u64,
    /// Number of parameters without the embedding, which is also the output layer.
    pub params_without_embedding: u64,
    /// Training tokens.
    pub tokens: u64,
    /// Training compute, `6 * params * tokens`: attention over the context is not counted.
    pub flops: f64,
    /// Seed of the weights and of the order of the documents.
    pub seed: u64,
    /// Steps after which this state was taken, for one that is not the last.
    pub step: Option<u32>,
    /// What it knows.
    #[serde(flatten)]
    pub losses: Losses,
    /// The command that makes it again; empty where it was not written down.
    pub command: String,
    /// The hash of all that decided the documents of its training; empty where it was not written down.
    #[serde(default)]
    pub corpus: String,
    /// The number of the split of problems that kept some out of the training; one where it was not written down.
    #[serde(default = "first_split")]
    pub split: u32,
    /// How long the steps of the training took by the clock, in seconds; none where it was not measured.
    pub seconds: Option<f64>,
    /// BLAKE3 of the weights file, in hexadecimal.
    pub weights: String,
}

fn first_split() -> u32 {
    1
}

/// Cross-entropies of text that was held out of the training, in nats per token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// Of the replies in the training mix.
    pub loss: f64,
    /// Of the direct answers of each task; of those that were measured.
    pub loss_by_task: BTreeMap<String, f64>,
    /// Of sentences that ask nothing: what the perplexity of WikiText is to a larger model; none where it was not measured.
    pub loss_of_prose: Option<f64>,
}

/// What a checkpoint is called and how it is described.
#[derive(Debug, Clone)]
pub struct Description {
    /// Name of the model.
    pub name: String,
    /// The size it is one of.
    pub rung: String,
    /// What it knows.
    pub losses: Losses,
    /// The command that makes it again.
    pub command: String,
    /// The hash of all that decided the documents of its training.
    pub corpus: String,
    /// The number of the split of problems.
    pub split: u32,
}

/// The files of a checkpoint that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The card is not one.
    #[error("{name}: the card cannot be read: {reason}")]
    Card {
        /// The model.
        name: String,
        /// Why.
        reason: String,
    },
    /// The directory bears another name than the model.
    #[error("{path} is the card of `{name}`: a model lies in a directory of its name")]
    Misplaced {
        /// The card.
        path: String,
        /// The model.
        name: String,
    },
    /// The weights are not those of the card.
    #[error("{name}: the weights cannot be used: {reason}")]
    Weights {
        /// The model.
        name: String,
        /// Why.
        reason: String,
    },
}

impl Card {
    /// Reads a card; `name` says whose it is where it cannot be read.
    ///
    /// # Errors
    /// When it is no card, of another version, or its dimensions do not fit together.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let bad = |reason: String| CheckpointError::Card { name: name.to_owned(), reason };
        let card: Self = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        if card.version != CARD_VERSION {
            return Err(bad(format!("its version is {}, this program reads {CARD_VERSION}", card.version)));
        }
        if card.shape.is_valid() { Ok(card) } else { Err(bad("its dimensions do not fit together".to_owned())) }
    }
}

#[cfg(test)]
impl Card {
    /// The card of a model that was never trained.
    pub(crate) fn unmeasured(name: &str, shape: Shape) -> Self {
        let params = shape.parameters() as u64;
        Self {
            version: CARD_VERSION,
            name: name.to_owned(),
            rung: name.to_owned(),
            shape,
            params,
            params_without_embedding: params - (VOCABULARY * shape.width) as u64,
            tokens: 0,
            flops: 0.0,
            seed: 0,
            step: None,
            losses: Losses { loss: 0.0, loss_by_task: BTreeMap::new(), loss_of_prose: None },
            command: String::new(),
            corpus: String::new(),
            split: 0,
            seconds: None,
            weights: String::new(),
        }
    }
}

/// A model ready to be run.
#[derive(Debug, Clone)]
pub struct Model {
    /// What it is.
    pub card: Card,
    /// Its weights, in the order of the checkpoint's tensors.
    pub parameters: Vec<f32>,
}

impl Model {
    /// Reads a model from the bytes of its weights.
    ///
    /// # Errors
    /// When the weights are not the ones that the card names.
    pub fn read(card: Card, weights: &[u8]) -> Result<Self, CheckpointError> {
        let weights_error = |reason: String| CheckpointError::Weights { name: card.name.clone(), reason };
        if blake3::hash(weights).to_hex().as_str() != card.weights {
            return Err(weights_error("their hash is not the one on the card".to_owned()));
        }
        let layout = card.shape.layout();
        let file = safetensors::SafeTensors::deserialize(weights).map_err(|error| weights_error(error.to_string()))?;
        let mut parameters = Vec::with_capacity(layout.len);
        for tensor in &layout.tensors {
            let view = file.tensor(&tensor.name).map_err(|error| weights_error(error.to_string()))?;
            if view.dtype() != Dtype::F16 || view.shape() != tensor.dimensions {
                return Err(weights_error(format!("{} has another type or shape", tensor.name)));
            }
            parameters.extend(view.data().chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32()));
        }
        Ok(Self { card, parameters })
    }
}

/// Writes a trained rung as a checkpoint: `config.json`, `model.safetensors`, the tokenizer, `card.json`, `README.md` and the
/// losses of the training, `loss.csv`.
///
/// # Errors
/// When a file cannot be written.
pub fn write(directory: &Path, description: Description, trainer: &Trainer) -> Result<Card, CheckpointError> {
    let Description { name, rung, losses, command, corpus, split } = description;
    let Training { shape, seed, .. } = trainer.training();
    let layout = shape.layout();
    let weights = weights(&name, &shape, trainer.parameters())?;
    let (params, tokens) = (layout.len as u64, trainer.tokens());
    let card = Card {
        version: CARD_VERSION,
        name,
        rung,
        shape,
        params,
        params_without_embedding: params - layout.embedding.len() as u64,
        tokens,
        flops: 6.0 * params as f64 * tokens as f64,
        seed,
        step: (trainer.steps() < trainer.total_steps()).then(|| trainer.steps()),
        losses,
        command,
        corpus,
        split,
        seconds: Some((trainer.seconds() * 10.0).round() / 10.0),
        weights: blake3::hash(&weights).to_hex().to_string(),
    };
    write_files(directory, &card, weights, Some(trainer.curve()))?;
    Ok(card)
}

/// Writes a model as a Hugging Face checkpoint: the same files, but for the losses of its training.
///
/// # Errors
/// When a file cannot be written.
pub fn write_model(directory: &Path, model: &Model) -> Result<(), CheckpointError> {
    let weights = weights(&model.card.name, &model.card.shape, &model.parameters)?;
    write_files(directory, &model.card, weights, None)
}

/// The weights in half precision, as a file.
fn weights(name: &str, shape: &Shape, parameters: &[f32]) -> Result<Vec<u8>, CheckpointError> {
    let layout = shape.layout();
    let halves: Vec<u8> = parameters.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
    let views: HashMap<String, TensorView<'_>> = layout
        .tensors
        .iter()
        .filter_map(|tensor| {
            let bytes = &halves[2 * tensor.range.start..2 * tensor.range.end];
            let view = TensorView::new(Dtype::F16, tensor.dimensions.clone(), bytes).ok()?;
            Some((tensor.name.clone(), view))
        })
        .collect();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata))
        .map_err(|error| CheckpointError::Weights { name: name.to_owned(), reason: error.to_string() })
}

/// Writes a file so that it is there whole or not at all.
fn put(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let new = path.with_added_extension("new");
    let written = std::fs::write(&new, bytes).and_then(|()| std::fs::rename(&new, path));
    written.map_err(|source| CheckpointError::Io { path: path.display().to_string(), source })
}

/// The card comes last, and an earlier one goes first: where there is one, all is there and of one training.
fn write_files(directory: &Path, card: &Card, weights: Vec<u8>, curve: Option<String>) -> Result<(), CheckpointError> {
    let io = |path: &Path, source| CheckpointError::Io { path: path.display().to_string(), source };
    std::fs::create_dir_all(directory).map_err(|source| io(directory, source))?;
    let card_file = directory.join("card.json");
    if card_file.exists() {
        std::fs::remove_file(&card_file).map_err(|source| io(&card_file, source))?;
    }
    let pretty = |value: &serde_json::Value| format!("{value:#}\n").into_bytes();
    for (file, bytes) in [
        ("model.safetensors", weights),
        ("config.json", pretty(&config(&card.shape))),
        ("tokenizer.json", pretty(&tokenizer())),
        ("tokenizer_config.json", pretty(&tokenizer_config(&card.shape))),
        ("README.md", readme(card).into_bytes()),
    ] {
        put(&directory.join(file), &bytes)?;
    }
    if let Some(curve) = curve {
        put(&directory.join("loss.csv"), curve.as_bytes())?;
    }
    put(&card_file, &pretty(&json!(card)))
}

fn config(shape: &Shape) -> serde_json::Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": shape.width,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.head_width(),
        "max_position_embeddings": shape.context,
        "hidden_act": "silu",
        "rms_norm_eps": super::kernels::EPSILON,
        "rope_theta": super::kernels::ROTARY_BASE,
        "tie_word_embeddings": true,
        "attention_bias": false,
        "mlp_bias": false,
        "bos_token_id": BEGIN,
        "eos_token_id": BEGIN,
        "torch_dtype": "float16",
    })
}

/// What the tokenizer does beside its vocabulary, as transformers asks.
fn tokenizer_config(shape: &Shape) -> serde_json::Value {
    let begin = char::from(BEGIN).to_string();
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": begin,
        "eos_token": begin,
        "model_max_length": shape.context,
        "clean_up_tokenization_spaces": false,
    })
}

/// One token per ASCII character, as a byte-pair encoding without merges.
fn tokenizer() -> serde_json::Value {
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        (0..VOCABULARY as u8).map(|byte| (char::from(byte).to_string(), json!(byte))).collect();
    let begin = char::from(BEGIN).to_string();
    json!({
        "version": "1.0",
        "added_tokens": [{
            "id": BEGIN, "content": begin, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        }],
        "normalizer": null,
        "pre_tokenizer": null,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": begin, "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { begin.clone(): { "id": begin, "ids": [BEGIN], "tokens": [begin] } },
        },
        "decoder": { "type": "Fuse" },
        "model": { "type": "BPE", "vocab": vocabulary, "merges": [] },
    })
}

fn readme(card: &Card) -> String {
    let Shape { width, layers, heads, feed_forward, context } = card.shape;
    let Card { name, params, tokens, flops, losses: Losses { loss, .. }, seed, command, .. } = card;
    format!(
        "---\nlicense: apache-2.0\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n# {name}\n\n\
        One rung of the ladder that onset trains, ships and serves: a Llama-architecture transformer with tied embeddings and one \
        token per ASCII character, trained on procedural problems of arithmetic, letters and words, answered directly, by worked \
        steps and with tools. Of use for measuring how abilities begin with scale; of none for \
        anything else.\n\n\
        | | |\n|---|---|\n| parameters | {params} |\n| training tokens | {tokens} |\n| training FLOPs (6ND) | {flops:.3e} |\n\
        | held-out cross-entropy of replies, nats per token | {loss:.4} |\n| seed | {seed} |\n\
        | width, layers, heads, feed-forward, context | {width}, {layers}, {heads}, {feed_forward}, {context} |\n\n\
        Made by `{command}` after `models/recipe.toml`; the split keeps every problem that a task asks out of training.\n"
    )
}
