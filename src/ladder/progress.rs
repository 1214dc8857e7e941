//! The state of an unfinished training on disk, so that it can be gone on with to the very same weights.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

use super::checkpoint::CheckpointError;
use super::train::{Trainer, Training};

/// The names of the vectors of a training state.
const VECTORS: [&str; 4] = ["parameters", "mean", "square", "losses"];

/// What a state belongs to.
fn identity(training: Training, corpus: &str) -> String {
    serde_json::json!([training, corpus]).to_string()
}

impl Trainer {
    /// Writes the state of the training, whole or not at all; `corpus` names what it is trained on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, corpus: &str, path: &Path) -> Result<(), CheckpointError> {
        let io = |source| CheckpointError::Io { path: path.display().to_string(), source };
        let bad = |reason: String| CheckpointError::Weights { name: path.display().to_string(), reason };
        let bytes = |vector: &[f32]| vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let vectors =
            [bytes(&self.parameters), bytes(&self.optimizer.mean), bytes(&self.optimizer.square), bytes(&self.losses)];
        let mut views = Vec::new();
        for (name, data) in VECTORS.iter().zip(&vectors) {
            let view = TensorView::new(Dtype::F32, vec![data.len() / 4], data).map_err(|error| bad(error.to_string()))?;
            views.push((*name, view));
        }
        let training = identity(self.training(), corpus);
        let metadata = [
            ("training".to_owned(), training),
            ("steps".to_owned(), self.steps().to_string()),
            ("seconds".to_owned(), self.seconds.to_string()),
        ];
        let file = safetensors::serialize(views, Some(metadata.into())).map_err(|error| bad(error.to_string()))?;
        let temporary = path.with_extension("new");
        std::fs::write(&temporary, file).and_then(|()| std::fs::rename(&temporary, path)).map_err(io)
    }

    /// Goes on from a saved state; none when the file is of another training or another corpus.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn restore(training: Training, corpus: &str, path: &Path) -> Result<Option<Self>, CheckpointError> {
        let bad = |reason: String| CheckpointError::Weights { name: path.display().to_string(), reason };
        let file = std::fs::read(path).map_err(|source| CheckpointError::Io { path: path.display().to_string(), source })?;
        let (_, header) = safetensors::SafeTensors::read_metadata(&file).map_err(|error| bad(error.to_string()))?;
        let known = |key: &str| header.metadata().as_ref().and_then(|metadata| metadata.get(key));
        if known("training") != Some(&identity(training, corpus)) {
            return Ok(None);
        }
        let mut trainer = Self::new(training);
        trainer.optimizer.steps = known("steps")
            .and_then(|steps| steps.parse().ok())
            .ok_or_else(|| bad("it does not say how far it is".to_owned()))?;
        trainer.seconds = known("seconds").and_then(|seconds| seconds.parse().ok()).unwrap_or_default();
        trainer.losses = vec![0.0; trainer.optimizer.steps as usize];
        let tensors = safetensors::SafeTensors::deserialize(&file).map_err(|error| bad(error.to_string()))?;
        let vectors =
            [&mut trainer.parameters, &mut trainer.optimizer.mean, &mut trainer.optimizer.square, &mut trainer.losses];
        for (name, vector) in VECTORS.iter().zip(vectors) {
            let view = tensors.tensor(name).map_err(|error| bad(error.to_string()))?;
            let values: Vec<f32> =
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            if values.len() != vector.len() {
                return Err(bad(format!("{name} has another length")));
            }
            *vector = values;
        }
        Ok(Some(trainer))
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, RngExt};

    use super::*;
    use crate::ladder::{Corpus, Document, Shape};

    struct Letters;

    impl Corpus for Letters {
        fn document(&self, rng: &mut dyn Rng) -> Document {
            let mut document = Document::default();
            document.push(if rng.random_bool(0.5) { "abab" } else { "cdcd" }, true);
            document
        }
    }

    #[test]
    fn a_training_that_is_gone_on_with_ends_at_the_same_weights() {
        let shape = Shape { width: 8, layers: 1, heads: 1, feed_forward: 16, context: 16 };
        let training = Training { shape, tokens: 960, seed: 3 };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("training.safetensors");
        let mut whole = Trainer::new(training);
        while whole.steps() < whole.total_steps() {
            if whole.steps() == 7 {
                whole.save("letters", &path).unwrap();
            }
            whole.step(&Letters);
        }
        let mut resumed = Trainer::restore(training, "letters", &path).unwrap().unwrap();
        assert_eq!(resumed.steps(), 7);
        while resumed.steps() < resumed.total_steps() {
            resumed.step(&Letters);
        }
        assert_eq!(whole.parameters(), resumed.parameters());
        assert_eq!(whole.curve(), resumed.curve());
        assert!(Trainer::restore(Training { seed: 4, ..training }, "letters", &path).unwrap().is_none());
        assert!(Trainer::restore(training, "digits", &path).unwrap().is_none());
    }
}
