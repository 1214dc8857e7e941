//! `onset ladder`: train the models, list their cards.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use rayon::prelude::*;
use serde_json::json;
use wildmatch::WildMatch;

use super::diagnose::Problem;
use super::print::{eprintln, println};
use super::run::MODELS;
use super::{Global, exit};
use crate::config::{self, Data, Workspace};
use crate::ladder::{Card, Description, Losses, Model, Trainer, Training, all_cards, gguf, models, write, write_model};
use crate::plan::corpus::{Mix, MixEntry};
use crate::plan::recipe::{Recipe, Rung};
use crate::schema::Prompt;
use crate::tasks::generators::SPLIT;

/// Batches of held-out documents on which the losses of a card are measured: of the mix, and of each task and of prose.
const MIX_BATCHES: u64 = 32;
const TASK_BATCHES: u64 = 8;

/// The prompt whose answers the losses of the tasks are of.
const DIRECT: &str = "few-shot";

/// Steps after which the state of a training is saved, and told.
const STEPS_BETWEEN_SAVES: u32 = 100;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Train rungs of a recipe side by side and write them as checkpoints; what was interrupted goes on, and what is of another training is left
    /// as it is.
    #[command(
        after_help = "Examples:\n  onset ladder train --rung ladder-65k\n  onset ladder train --rung ladder-65k --seed 7 --out /tmp/models\n  onset ladder train --all"
    )]
    Train(Train),
    /// The cards of the models: the built-in ones and those in ./models.
    List,
    /// Write models for other programs: as Hugging Face checkpoints, or as GGUF files for llama.cpp.
    #[command(
        after_help = "Examples:\n  onset ladder export --format gguf ladder-1m\n  onset ladder export --out /tmp/hf 'ladder-*'"
    )]
    Export {
        /// Names or patterns of models.
        #[arg(required = true, value_name = "MODEL")]
        models: Vec<String>,
        /// The form.
        #[arg(long, value_enum, default_value_t = Format::HuggingFace)]
        format: Format,
        /// Where they go: a directory each, or a file each.
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
}

/// What other programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A directory with config.json, model.safetensors and a tokenizer.
    HuggingFace,
    /// One file for llama.cpp.
    Gguf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Train {
    /// This rung, with every seed of the recipe; may be given several times.
    #[arg(long, value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    rung: Vec<String>,
    /// Every rung, with every seed of the recipe.
    #[arg(long)]
    all: bool,
    /// Only this seed, which need not be one of the recipe's.
    #[arg(long)]
    seed: Option<u64>,
    /// Which rungs there are and what they are trained on.
    #[arg(long, default_value = "models/recipe.toml")]
    recipe: PathBuf,
    /// Where the checkpoints go: one directory each.
    #[arg(long, default_value = "models")]
    out: PathBuf,
}

pub(super) fn ladder(action: Action, global: &Global) -> Result<u8, Problem> {
    match action {
        Action::List => {
            let cards = all_cards(Path::new(MODELS)).map_err(Problem::other)?;
            if global.json {
                println!("{}", json!(cards));
            } else {
                for card in cards {
                    let Card { name, params, tokens, flops, losses: Losses { loss, .. }, .. } = card;
                    println!("{name:24} {params:>9} parameters {tokens:>10} tokens {flops:.2e} FLOPs  loss {loss:.4}");
                }
            }
            Ok(exit::DONE)
        }
        Action::Train(what) => train(&what, global),
        Action::Export { models, format, out } => export(&models, format, &out, global),
    }
}

fn export(wanted: &[String], format: Format, out: &Path, global: &Global) -> Result<u8, Problem> {
    let cards = all_cards(Path::new(MODELS)).map_err(Problem::other)?;
    let names: Vec<&str> = cards.iter().map(|card| card.name.as_str()).collect();
    let matchers: Vec<WildMatch> = wanted.iter().map(|pattern| WildMatch::new(pattern)).collect();
    for (pattern, matcher) in wanted.iter().zip(&matchers) {
        if !names.iter().any(|name| matcher.matches(name)) {
            let help = config::suggestion(pattern, &names);
            return Err(Problem::with_help(format!("no model `{pattern}` in the ladder"), &help));
        }
    }
    std::fs::create_dir_all(out).map_err(|error| Problem::other(format!("{}: {error}", out.display())))?;
    let mut written = Vec::new();
    for model in
        models(Path::new(MODELS), |name| matchers.iter().any(|matcher| matcher.matches(name))).map_err(Problem::other)?
    {
        let path = match format {
            Format::HuggingFace => {
                let path = out.join(&model.card.name);
                write_model(&path, &model).map_err(Problem::other)?;
                path
            }
            Format::Gguf => {
                let path = out.join(format!("{}.gguf", model.card.name));
                std::fs::write(&path, gguf(&model))
                    .map_err(|error| Problem::other(format!("{}: {error}", path.display())))?;
                path
            }
        };
        if !global.json {
            println!("{}", path.display());
        }
        written.push(path);
    }
    if global.json {
        println!("{}", json!({ "written": written }));
    }
    Ok(exit::DONE)
}

fn train(what: &Train, global: &Global) -> Result<u8, Problem> {
    let text = std::fs::read_to_string(&what.recipe)
        .map_err(|error| Problem::other(format!("{}: {error}", what.recipe.display())))?;
    let recipe = Recipe::parse(&text).map_err(Problem::other)?;
    let known: Vec<&str> = recipe.rungs.iter().map(|rung| rung.name.as_str()).collect();
    if let Some(unknown) = what.rung.iter().find(|name| !known.contains(&name.as_str())) {
        let help = config::suggestion(unknown, &known);
        return Err(Problem::with_help(format!("no rung `{unknown}` in the recipe"), &help));
    }
    let corpora = Corpora::new(&recipe, &config::load(None, &[])?)?;
    let wanted = recipe.rungs.iter().filter(|rung| what.all || what.rung.contains(&rung.name));
    let mut jobs: Vec<(&Rung, Training)> = wanted
        .flat_map(|rung| {
            let seeds = what.seed.map_or_else(|| (0..rung.seeds).collect(), |seed| vec![seed]);
            seeds.into_iter().map(move |seed| (rung, Training { seed, ..rung.training }))
        })
        .collect();
    // The longest first, so that no core is left alone with it at the end.
    jobs.sort_by_key(|(_, training)| std::cmp::Reverse(training.tokens * training.shape.parameters() as u64));
    let jobs = jobs.into_iter().par_bridge();
    jobs.try_for_each(|(rung, training)| train_one(rung, training, &corpora, &what.out, global))?;
    Ok(exit::DONE)
}

/// What is trained on and what is measured on.
struct Corpora {
    training: Mix,
    mix: Mix,
    tasks: Vec<(String, Mix)>,
    prose: Mix,
    /// The hash of all that decides the training documents: an unfinished training goes on only with the very same.
    hash: String,
}

impl Corpora {
    fn new(recipe: &Recipe, workspace: &Workspace) -> Result<Self, Problem> {
        let forms = recipe.forms(|name| workspace.prompt(name)).map_err(Problem::other)?;
        let mix = |entries: &[MixEntry], forms: &[(&Prompt, f64)], prose: f64, held_out: bool| {
            Mix::new(entries, forms, prose, held_out).map_err(Problem::other)
        };
        let direct = workspace.prompt(DIRECT).ok_or_else(|| Problem::other(format!("there is no prompt `{DIRECT}`")))?;
        let direct = [(direct, 1.0)];
        let mut tasks = Vec::new();
        for task in &workspace.tasks {
            let Data::Generator(generator, values) = &task.data else { continue };
            if recipe.mix.iter().any(|entry| entry.generator == generator.value) {
                let parameters = values.iter().map(|(name, value, _)| (name.value.clone(), (*value, *value))).collect();
                let entry = MixEntry { generator: generator.value.clone(), weight: 1.0, parameters };
                tasks.push((task.name.value.clone(), mix(&[entry], &direct, 0.0, true)?));
            }
        }
        // The rungs are no part of it: to add one leaves the others as they are.
        let decided = json!([recipe.mix, recipe.prose, forms, SPLIT]).to_string();
        Ok(Self {
            training: mix(&recipe.mix, &forms, recipe.prose, false)?,
            mix: mix(&recipe.mix, &forms, 0.0, true)?,
            tasks,
            prose: mix(&[], &[], 1.0, true)?,
            hash: blake3::hash(decided.as_bytes()).to_hex().to_string(),
        })
    }

    fn losses(&self, trainer: &mut Trainer) -> Losses {
        let mut round = |mix: &Mix, batches| (trainer.evaluate(mix, batches) * 1e5).round() / 1e5;
        Losses {
            loss: round(&self.mix, MIX_BATCHES),
            loss_by_task: self.tasks.iter().map(|(name, mix)| (name.clone(), round(mix, TASK_BATCHES))).collect(),
            loss_of_prose: Some(round(&self.prose, TASK_BATCHES)),
        }
    }
}

/// Whether a state of a training is there whole, of the same corpus: the one after so many steps, or the last.
fn is_there(directory: &Path, training: Training, step: Option<u32>, corpora: &Corpora) -> bool {
    let card = std::fs::read(directory.join("card.json")).ok().and_then(|bytes| Card::read("", &bytes).ok());
    let weights = std::fs::read(directory.join("model.safetensors"));
    let Some(model) = card.zip(weights.ok()).and_then(|(card, weights)| Model::read(card, &weights).ok()) else {
        return false;
    };
    let card = model.card;
    let tokens = Trainer::tokens_of(training, step.unwrap_or_else(|| Trainer::steps_of(training)));
    let same = (card.shape, card.seed, card.tokens, card.step) == (training.shape, training.seed, tokens, step);
    same && card.corpus == corpora.hash && card.split == SPLIT
}

/// What is left of another training of the same name would be lost, or taken for a part of this one.
fn refuse_others(out: &Path, name: &str, missing: &[u32], kept: &[u32]) -> Result<(), Problem> {
    let states = format!("{name}-step-");
    for entry in std::fs::read_dir(out).map_err(Problem::other)? {
        let path = entry.map_err(Problem::other)?.path();
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        let step = file.strip_prefix(&states).and_then(|step| step.parse().ok());
        let is_other = |step: &u32| missing.contains(step) || !kept.contains(step);
        if (file == name || step.as_ref().is_some_and(is_other)) && path.join("card.json").exists() {
            let reason = format!("{} is of another training than that of the recipe, or damaged", path.display());
            return Err(Problem::with_help(reason, "move it away, or train into another directory with --out"));
        }
    }
    Ok(())
}

fn train_one(rung: &Rung, training: Training, corpora: &Corpora, out: &Path, global: &Global) -> Result<(), Problem> {
    let name = rung.model(training.seed, None);
    let state = out.join(&name).join("training.safetensors");
    std::fs::create_dir_all(out.join(&name)).map_err(Problem::other)?;
    let total = Trainer::steps_of(training);
    // Only the first seed is kept along the way.
    let halvings = if training.seed == rung.training.seed { rung.checkpoints } else { 0 };
    let kept: Vec<u32> = (1..=halvings).map(|halving| total >> halving).filter(|&step| step > 0).collect();
    let is_kept = |step: u32| is_there(&out.join(rung.model(training.seed, Some(step))), training, Some(step), corpora);
    let missing: Vec<u32> = kept.iter().copied().filter(|&step| !is_kept(step)).collect();
    let is_done = is_there(&out.join(&name), training, None, corpora);
    if !is_done {
        refuse_others(out, &name, &missing, &kept)?;
    }
    if is_done && missing.is_empty() {
        eprintln!("{name}: there already");
        return Ok(());
    }
    let saved =
        if state.exists() { Trainer::restore(training, &corpora.hash, &state).map_err(Problem::other)? } else { None };
    // What was not kept on the way can only be had by going there again.
    let saved = saved.filter(|trainer| missing.iter().all(|&step| step > trainer.steps()));
    let mut trainer = saved.unwrap_or_else(|| Trainer::new(training));
    let write = |trainer: &mut Trainer, step: Option<u32>| {
        let name = rung.model(training.seed, step);
        let command = format!("onset ladder train --rung {} --seed {}", rung.name, training.seed);
        let losses = corpora.losses(trainer);
        let description = Description {
            name: name.clone(),
            rung: rung.name.clone(),
            losses,
            command,
            corpus: corpora.hash.clone(),
            split: SPLIT,
        };
        write(&out.join(&name), description, trainer).map_err(Problem::other)
    };
    let (begun, start) = (trainer.seconds(), trainer.steps());
    while trainer.steps() < total {
        let loss = trainer.step(&corpora.training);
        let steps = trainer.steps();
        if kept.contains(&steps) {
            write(&mut trainer, Some(steps))?;
        }
        if steps.is_multiple_of(STEPS_BETWEEN_SAVES) {
            trainer.save(&corpora.hash, &state).map_err(Problem::other)?;
            if !global.quiet {
                let per_step = (trainer.seconds() - begun) / f64::from(steps - start);
                let rate = trainer.tokens() as f64 / f64::from(steps) / per_step;
                let left = per_step * f64::from(total - steps);
                eprintln!("{name}: step {steps} of {total}, loss {loss:.3}, {rate:.0} tokens/s, {left:.0} s to go");
            }
        }
    }
    let card = write(&mut trainer, None)?;
    if state.exists() {
        std::fs::remove_file(&state).map_err(Problem::other)?;
    }
    eprintln!("{name}: done, held-out loss {:.4}", card.losses.loss);
    Ok(())
}
