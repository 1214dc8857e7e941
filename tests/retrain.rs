//! A rung that is trained again comes, for the steps that are tried, to the losses that were written down when it was trained; a new one is found by
//! its name.

use onset::config;
use onset::ladder::Trainer;
use onset::plan::corpus::Mix;
use onset::plan::recipe::Recipe;

use crate::program::{code, json, onset};

/// Rows of ten steps each.
const ROWS: usize = 4;
/// Another processor adds in another order.
const TOLERANCE: f64 = 5e-3;

#[test]
fn a_rung_is_trained_again_to_the_same_losses() {
    let workspace = config::load(None, &[]).unwrap();
    let recipe = Recipe::parse(&std::fs::read_to_string("models/recipe.toml").unwrap()).unwrap();
    let forms = recipe.forms(|name| workspace.prompt(name)).unwrap();
    let mix = Mix::new(&recipe.mix, &forms, recipe.prose, false).unwrap();
    let rung = recipe.rungs.iter().find(|rung| rung.name == "ladder-31k").unwrap();
    let mut trainer = Trainer::new(rung.training);
    for _ in 0..10 * ROWS {
        trainer.step(&mix);
    }
    let losses = |text: &str| -> Vec<f64> {
        text.lines().skip(1).take(ROWS).map(|row| row.split(',').nth(2).unwrap().parse().unwrap()).collect()
    };
    let written = std::fs::read_to_string("models/ladder-31k/loss.csv").unwrap();
    for (now, then) in losses(&trainer.curve()).into_iter().zip(losses(&written)) {
        assert!((now - then).abs() < TOLERANCE, "{now} and {then}");
    }
}

#[test]
fn a_rung_of_an_edited_recipe_is_trained_found_by_its_name_and_never_mixed_with_another_training() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("models")).unwrap();
    let recipe =
        std::fs::read_to_string("models/recipe.toml").unwrap().replace("name = \"ladder-5k\"", "name = \"ladder-mine\"");
    let train = |tokens: u32, checkpoints: u32| {
        let recipe = recipe.replace("tokens = 500_000", &format!("tokens = {tokens}\ncheckpoints = {checkpoints}"));
        std::fs::write(directory.path().join("models/recipe.toml"), recipe).unwrap();
        onset(directory.path(), &["ladder", "train", "-q", "--rung", "ladder-mine", "--seed", "0"])
    };
    let states = || {
        let listed = json(&onset(directory.path(), &["ladder", "list", "--json"]));
        let own = |card: &&serde_json::Value| card["rung"] == "ladder-mine";
        listed.as_array().unwrap().iter().filter(own).map(|card| card["step"].as_u64()).collect::<Vec<_>>()
    };
    // Eight steps.
    assert_eq!(code(&train(9_000, 1)), 0);
    assert_eq!(states(), [Some(4), None]);
    let families = "families=[{name='mine',endpoint='ladder',models=[{name='ladder-mine*'}]}]";
    let run = ["run", "-q", "--json", "--samples", "3", "--only", "addition-2", "--only", "few-shot", "--set", families];
    let run = onset(directory.path(), &run);
    assert_eq!((code(&run), json(&run)["records"].as_u64()), (0, Some(6)), "{}", String::from_utf8_lossy(&run.stderr));

    let weights = || std::fs::read(directory.path().join("models/ladder-mine/model.safetensors")).unwrap();
    let before = weights();
    assert_eq!(code(&train(9_000, 3)), 0, "the states that are missing are made");
    assert_eq!(states(), [Some(1), Some(2), Some(4), None]);
    assert!(before == weights());
    assert_eq!(code(&train(9_000, 1)), 0, "those it no longer asks for stay");
    assert_eq!(states(), [Some(1), Some(2), Some(4), None]);
    let refused = train(12_000, 1);
    assert_eq!(code(&refused), 2);
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(words.contains("is of another training than that of the recipe") && words.contains("--out"), "{words}");
    assert!(before == weights());
}
