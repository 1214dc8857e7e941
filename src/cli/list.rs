//! `onset list`: what there is, and the manual pages.

use std::path::Path;

use clap::ValueEnum;
use serde_json::json;

use super::diagnose::Problem;
use super::print::println;
use super::run::MODELS;
use super::{Global, exit};
use crate::schema::manual::{page, summary};
use crate::{config, curves, ladder, prompting, providers, scorers, tasks, tools};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Questions.
    Tasks,
    /// Ways of putting a question.
    Prompts,
    /// Procedural sources of problems.
    Generators,
    /// Ways of leading a conversation.
    Techniques,
    /// Ways of judging an answer.
    Scorers,
    /// Dialects of HTTP APIs.
    Providers,
    /// What a score could look like as a function of scale.
    Curves,
    /// What a model may call.
    Tools,
    /// The built-in models.
    Models,
}

pub(super) fn list(kind: Option<Kind>, name: Option<&str>, file: Option<&Path>, global: &Global) -> Result<u8, Problem> {
    let Some(kind) = kind else {
        let kinds = Kind::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let kinds: Vec<(String, String)> = kinds
            .map(|kind| (kind.get_name().to_owned(), kind.get_help().map(ToString::to_string).unwrap_or_default()))
            .collect();
        if global.json {
            println!(
                "{}",
                json!(kinds.iter().map(|(name, about)| json!({ "name": name, "about": about })).collect::<Vec<_>>())
            );
        } else {
            for (name, about) in kinds {
                println!("onset list {name:12}{about}");
            }
        }
        return Ok(exit::DONE);
    };
    let source = |name: &'static str, source: &'static str| (name.to_owned(), summary(source), page(source));
    let entries: Vec<(String, String, String)> = match kind {
        Kind::Generators => tasks::generators::GENERATORS.iter().map(|item| source(item.name(), item.source())).collect(),
        Kind::Techniques => prompting::TECHNIQUES.iter().map(|item| source(item.name(), item.source())).collect(),
        Kind::Scorers => scorers::SCORERS.iter().map(|item| source(item.name(), item.source())).collect(),
        Kind::Providers => providers::PROVIDERS.iter().map(|item| source(item.name(), item.source())).collect(),
        Kind::Curves => curves::CURVES.iter().map(|item| source(item.name(), item.source())).collect(),
        Kind::Tools => tools::TOOLS.iter().map(|item| source(item.name(), item.source())).collect(),
        Kind::Models => ladder::all_cards(Path::new(MODELS))
            .map_err(Problem::other)?
            .into_iter()
            .map(|card| {
                let line = format!("{} parameters, {:.1e} FLOPs, loss {:.3}", card.params, card.flops, card.losses.loss);
                (card.name.clone(), line, format!("{:#}", json!(card)))
            })
            .collect(),
        Kind::Tasks | Kind::Prompts => {
            let default = Path::new("config.toml");
            let workspace = config::load(file.or_else(|| default.exists().then_some(default)), &[])?;
            if kind == Kind::Tasks {
                workspace.tasks.iter().map(task_page).collect()
            } else {
                let page = |prompt: &config::PromptFile| {
                    let prompt = &prompt.prompt;
                    (prompt.name.clone(), prompt.about.clone(), format!("{:#}", json!(prompt)))
                };
                workspace.prompts.iter().map(page).collect()
            }
        }
    };
    let Some(name) = name else {
        if global.json {
            let entries: Vec<_> = entries.iter().map(|(name, about, _)| json!({ "name": name, "about": about })).collect();
            println!("{}", json!(entries));
        } else {
            let longest = entries.iter().map(|entry| entry.0.len()).max().unwrap_or_default();
            for (name, about, _) in &entries {
                println!("{name:longest$}  {about}");
            }
        }
        return Ok(exit::DONE);
    };
    let known: Vec<&str> = entries.iter().map(|entry| entry.0.as_str()).collect();
    let entry = entries
        .iter()
        .find(|entry| entry.0 == name)
        .ok_or_else(|| Problem::with_help(format!("no such entry: `{name}`"), &config::suggestion(name, &known)))?;
    if global.json {
        println!("{}", json!({ "name": entry.0, "about": entry.1, "page": entry.2 }));
    } else {
        println!("{}\n\n{}", entry.0, entry.2);
    }
    Ok(exit::DONE)
}

fn task_page(task: &config::TaskFile) -> (String, String, String) {
    let mut text = format!("{}\n\nanswer: {}\nchance: {}\n", task.about, task.answer.name(), task.chance);
    let scorers: Vec<&str> =
        std::iter::once(&task.discontinuous).chain(&task.continuous).map(|scorer| scorer.value.as_str()).collect();
    text.push_str(&format!("scorers: {}\n", scorers.join(", ")));
    match &task.data {
        config::Data::Rows(rows) => text.push_str(&format!("samples: {} rows\n", rows.len())),
        config::Data::Generator(generator, _) => {
            if let Some(generator) = tasks::generators::find(&generator.value) {
                text.push_str(&format!("generator: {}\n\n{}", generator.name(), page(generator.source())));
            }
        }
    }
    (task.name.value.clone(), task.about.clone(), text)
}
