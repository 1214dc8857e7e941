//! A rung that is trained again comes, for the steps that are tried, to the losses that were written down when it was trained.

use onset::config;
use onset::ladder::Trainer;
use onset::plan::corpus::Mix;
use onset::plan::recipe::Recipe;

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
