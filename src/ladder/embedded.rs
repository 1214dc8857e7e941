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

/// The rungs of the ladder, their first seeds, from the smallest to the largest.
static RUNGS: &[Rung] = rungs![
    "ladder-5k",
    "ladder-9k",
    "ladder-17k",
    "ladder-31k",
    "ladder-45k",
    "ladder-65k",
    "ladder-89k",
    "ladder-117k",
    "ladder-160k",
    "ladder-209k",
    "ladder-328k",
    "ladder-456k",
    "ladder-777k",
    "ladder-1m",
];

/// The cards of the models that are part of the program, from the smallest to the largest.
///
/// # Errors
/// When a card is damaged, which a test excludes.
pub fn cards() -> Result<Vec<Card>, CheckpointError> {
    RUNGS.iter().map(|rung| Card::read(rung.name, rung.card)).collect()
}

/// The cards of the models in the subdirectories of a directory, the smallest and least trained first; none where there is no such
/// directory.
///
/// # Errors
/// When a card cannot be read or lies in a directory of another name.
pub fn cards_in(directory: &Path) -> Result<Vec<Card>, CheckpointError> {
    let io = |path: &Path, source| CheckpointError::Io { path: path.display().to_string(), source };
    let mut cards = Vec::new();
    if !directory.is_dir() {
        return Ok(cards);
    }
    for entry in std::fs::read_dir(directory).map_err(|error| io(directory, error))? {
        let path = entry.map_err(|error| io(directory, error))?.path().join("card.json");
        if path.is_file() {
            let name = path.display().to_string();
            let card = Card::read(&name, &std::fs::read(&path).map_err(|error| io(&path, error))?)?;
            if !path.parent().is_some_and(|parent| parent.ends_with(&card.name)) {
                return Err(CheckpointError::Misplaced { path: name, name: card.name });
            }
            cards.push(card);
        }
    }
    // By name among equals, since the order of a directory is arbitrary.
    cards.sort_by(|a, b| (a.params, a.tokens, &a.name).cmp(&(b.params, b.tokens, &b.name)));
    Ok(cards)
}

/// The cards of all models: of a directory, and those that are part of the program and that it does not hold.
///
/// # Errors
/// When a card cannot be read.
pub fn all_cards(directory: &Path) -> Result<Vec<Card>, CheckpointError> {
    let mut all = cards_in(directory)?;
    for card in cards()? {
        if !all.iter().any(|other| other.name == card.name) {
            all.push(card);
        }
    }
    all.sort_by(|a, b| (a.params, a.tokens, &a.name).cmp(&(b.params, b.tokens, &b.name)));
    Ok(all)
}

/// The wanted models: of a directory, and those that are part of the program and that it does not hold.
///
/// # Errors
/// When a file cannot be read, or a checkpoint is damaged.
pub fn models(directory: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<Model>, CheckpointError> {
    let mut models = Vec::new();
    for card in cards_in(directory)?.into_iter().filter(|card| wanted(&card.name)) {
        let path = directory.join(&card.name).join("model.safetensors");
        let weights =
            std::fs::read(&path).map_err(|source| CheckpointError::Io { path: path.display().to_string(), source })?;
        models.push(Model::read(card, &weights)?);
    }
    for rung in RUNGS.iter().filter(|rung| wanted(rung.name)) {
        if !models.iter().any(|model| model.card.name == rung.name) {
            models.push(Model::read(Card::read(rung.name, rung.card)?, rung.weights)?);
        }
    }
    models.sort_by(|a, b| (a.card.params, a.card.tokens, &a.card.name).cmp(&(b.card.params, b.card.tokens, &b.card.name)));
    Ok(models)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rung_is_readable_named_and_in_order() {
        let nowhere = tempfile::tempdir().unwrap();
        let models = models(nowhere.path(), |_| true).unwrap();
        assert_eq!(models.iter().map(|model| model.card.clone()).collect::<Vec<_>>(), cards().unwrap());
        assert!(models.is_sorted_by(|a, b| a.card.params < b.card.params));
        assert!(RUNGS.iter().zip(&models).all(|(rung, model)| rung.name == model.card.name));
    }

    #[test]
    fn a_model_lies_in_a_directory_of_its_name() {
        let place = tempfile::tempdir().unwrap();
        let model = models(place.path(), |name| name == "ladder-5k").unwrap().remove(0);
        crate::ladder::write_model(&place.path().join("ladder-5k"), &model).unwrap();
        assert_eq!(cards_in(place.path()).unwrap().len(), 1);
        std::fs::rename(place.path().join("ladder-5k"), place.path().join("old")).unwrap();
        let error = cards_in(place.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("old/card.json is the card of `ladder-5k`: a model lies in a directory of its name"),
            "{error}"
        );
    }

    #[test]
    fn every_model_of_the_repository_is_what_its_card_says() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let loaded = models(&directory, |_| true).unwrap();
        for rung in cards().unwrap() {
            assert!(loaded.iter().any(|model| model.card == rung), "{}", rung.name);
        }
        assert!(loaded.iter().all(|model| model.parameters.len() as u64 == model.card.params));
    }
}
