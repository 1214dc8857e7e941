//! The rungs that are part of the program, and rungs read from a directory.

use std::path::Path;

use super::checkpoint::{Card, CheckpointError, Model};

struct Rung {
    name: &'static str,
    card: &'static [u8],
    weights: &'static [u8],
}

macro_rules! rungs {
    ($($name:literal),* $(,)?) => {
        &[$(Rung {
            name: $name,
            card: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/", $name, "/card.json")),
            weights: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/", $name, "/model.safetensors")),
        }),*]
    };
}

/// The rungs of the ladder, from the smallest to the largest.
static RUNGS: &[Rung] =
    rungs!["ladder-5k", "ladder-9k", "ladder-31k", "ladder-64k", "ladder-117k", "ladder-209k", "ladder-455k", "ladder-1m",];

/// The models that are part of the program, from the smallest to the largest.
///
/// # Errors
/// When a checkpoint is damaged, which a test excludes.
pub fn embedded() -> Result<Vec<Model>, CheckpointError> {
    RUNGS.iter().map(|rung| Model::read(rung.name, rung.card, rung.weights)).collect()
}

/// The cards of the models that are part of the program, without reading their weights.
///
/// # Errors
/// When a card is damaged, which a test excludes.
pub fn cards() -> Result<Vec<Card>, CheckpointError> {
    let read = |rung: &Rung| {
        serde_json::from_slice(rung.card)
            .map_err(|error| CheckpointError::Card { name: rung.name.to_owned(), reason: error.to_string() })
    };
    RUNGS.iter().map(read).collect()
}

/// The models in the subdirectories of a directory that hold a `card.json`, from the smallest to the largest.
///
/// # Errors
/// When a file cannot be read, or a checkpoint is damaged.
pub fn load(directory: &Path) -> Result<Vec<Model>, CheckpointError> {
    let io = |path: &Path, source| CheckpointError::Io { path: path.display().to_string(), source };
    let read = |path: &Path| std::fs::read(path).map_err(|error| io(path, error));
    let mut models = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(|error| io(directory, error))? {
        let path = entry.map_err(|error| io(directory, error))?.path();
        let card = path.join("card.json");
        if card.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            models.push(Model::read(&name, &read(&card)?, &read(&path.join("model.safetensors"))?)?);
        }
    }
    // By name among equals, since the order of a directory is arbitrary.
    models.sort_by(|a, b| (a.card.params, &a.card.name).cmp(&(b.card.params, &b.card.name)));
    Ok(models)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rung_is_readable_named_and_in_order() {
        let models = embedded().unwrap();
        assert_eq!(models.iter().map(|model| model.card.clone()).collect::<Vec<_>>(), cards().unwrap());
        assert!(models.is_sorted_by(|a, b| a.card.params < b.card.params));
        assert!(RUNGS.iter().zip(&models).all(|(rung, model)| rung.name == model.card.name));
    }

    #[test]
    fn a_directory_gives_the_same_models() {
        let loaded = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models")).unwrap();
        for (a, b) in loaded.iter().zip(embedded().unwrap()) {
            assert_eq!(a.card, b.card);
            assert_eq!(a.parameters, b.parameters);
        }
    }
}
