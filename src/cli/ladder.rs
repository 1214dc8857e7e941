//! `onset ladder`: train the models, list their cards.

use std::path::PathBuf;

use clap::Subcommand;
use rayon::prelude::*;
use serde_json::json;

use super::diagnose::Problem;
use super::print::{eprintln, println};
use super::{Global, exit};
use crate::config;
use crate::ladder::{Trainer, cards, write};
use crate::plan::corpus::Mix;
use crate::plan::recipe::Recipe;

/// Batches of held-out documents on which the loss of a card is measured.
const EVALUATION_BATCHES: u64 = 32;

/// Steps after which the state of a training is saved, and told.
const STEPS_BETWEEN_SAVES: u32 = 100;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Train the rungs of a recipe side by side and write them as checkpoints; what was interrupted goes on.
    Train {
        /// Which rungs there are and what they are trained on.
        #[arg(long, default_value = "models/recipe.toml")]
        recipe: PathBuf,
        /// Where the checkpoints go.
        #[arg(long, default_value = "models")]
        out: PathBuf,
        /// Only these rungs.
        rungs: Vec<String>,
    },
    /// The cards of the built-in models.
    List,
}

pub(super) fn ladder(action: Action, global: &Global) -> Result<u8, Problem> {
    match action {
        Action::List => {
            let cards = cards().map_err(Problem::other)?;
            if global.json {
                println!("{}", json!(cards));
            } else {
                for card in cards {
                    let crate::ladder::Card { name, params, tokens, flops, loss, .. } = card;
                    println!("{name:12} {params:>9} parameters {tokens:>10} tokens {flops:.2e} FLOPs  loss {loss:.4}");
                }
            }
            Ok(exit::DONE)
        }
        Action::Train { recipe, out, rungs } => {
            let text = std::fs::read_to_string(&recipe)
                .map_err(|error| Problem::other(format!("{}: {error}", recipe.display())))?;
            let recipe = Recipe::parse(&text).map_err(Problem::other)?;
            let known: Vec<&str> = recipe.rungs.iter().map(|(name, _)| name.as_str()).collect();
            if let Some(unknown) = rungs.iter().find(|name| !known.contains(&name.as_str())) {
                let help = config::suggestion(unknown, &known);
                return Err(Problem::with_help(format!("no rung `{unknown}` in the recipe"), &help));
            }
            let workspace = config::load(None, &[])?;
            let mut forms = Vec::new();
            for (name, weight) in &recipe.prompts {
                let file = workspace.prompts.iter().find(|prompt| prompt.name.value == *name);
                forms.push((
                    &file.ok_or_else(|| Problem::other(format!("the recipe names no prompt `{name}`")))?.prompt,
                    *weight,
                ));
            }
            // An unfinished training goes on only with the very text that it began with.
            let corpus = blake3::hash(format!("{text}{}", json!(forms)).as_bytes()).to_hex().to_string();
            let training = Mix::new(&recipe.mix, &forms, false).map_err(Problem::other)?;
            let held_out = Mix::new(&recipe.mix, &forms, true).map_err(Problem::other)?;
            let mut wanted: Vec<_> =
                recipe.rungs.iter().filter(|(name, _)| rungs.is_empty() || rungs.contains(name)).collect();
            // The longest first, so that no core is left alone with it at the end.
            wanted.sort_by_key(|(_, training)| std::cmp::Reverse(training.tokens * training.shape.parameters() as u64));
            wanted.par_iter().with_max_len(1).try_for_each(|(name, rung)| {
                let state = out.join(name).join("training.safetensors");
                let saved =
                    if state.exists() { Trainer::restore(*rung, &corpus, &state).map_err(Problem::other)? } else { None };
                let mut trainer = saved.unwrap_or_else(|| Trainer::new(*rung));
                std::fs::create_dir_all(out.join(name)).map_err(Problem::other)?;
                while trainer.steps() < trainer.total_steps() {
                    let loss = trainer.step(&training);
                    if trainer.steps().is_multiple_of(STEPS_BETWEEN_SAVES) {
                        trainer.save(&corpus, &state).map_err(Problem::other)?;
                        if !global.quiet {
                            eprintln!("{name}: step {} of {}, loss {loss:.3}", trainer.steps(), trainer.total_steps());
                        }
                    }
                }
                let loss = trainer.evaluate(&held_out, EVALUATION_BATCHES);
                let card = write(&out.join(name), name, &trainer, loss).map_err(Problem::other)?;
                if state.exists() {
                    std::fs::remove_file(&state).map_err(Problem::other)?;
                }
                eprintln!("{name}: done, held-out loss {:.4}", card.loss);
                Ok::<_, Problem>(())
            })?;
            Ok(exit::DONE)
        }
    }
}
