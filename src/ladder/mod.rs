//! The ladder: a family of small Llama-architecture transformers that this project trains, ships and serves.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::suboptimal_flops,
    reason = "numeric kernels over arrays of known length, where these lints only hurt"
)]

mod backprop;
mod checkpoint;
mod embedded;
mod engine;
mod gguf;
mod kernels;
mod matmul;
mod optimizer;
mod progress;
mod shape;
mod train;

pub use checkpoint::{Card, CheckpointError, Description, Losses, Model, write, write_model};
pub use embedded::{all_cards, cards, cards_in, models};
pub use engine::{Engine, Event, Finish, Finished, Generate, Job, JobError, PROMPT_TOP, PromptScore, TokenScore};
pub use gguf::gguf;
pub use shape::{BEGIN, Shape, VOCABULARY};
pub use train::{Corpus, Document, Trainer, Training};
