//! The recipe of the ladder: which rungs there are and what they are trained on, as `models/recipe.toml` says.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::corpus::MixEntry;
use crate::ladder::{Shape, Training};
use crate::schema::Prompt;

/// A recipe that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the recipe of the ladder cannot be read: {0}")]
pub struct RecipeError(String);

/// Which rungs there are and what they are trained on.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The rungs, the smallest first.
    pub rungs: Vec<Rung>,
    /// The generators of the mix.
    pub mix: Vec<MixEntry>,
    /// The prompt files of the mix, with their weights.
    pub prompts: BTreeMap<String, f64>,
    /// How often a document is prose, against the generators.
    pub prose: f64,
}

/// A size of the ladder.
#[derive(Debug, Clone)]
pub struct Rung {
    /// Its name.
    pub name: String,
    /// How it is trained; the seed is the first of its seeds.
    pub training: Training,
    /// How many seeds it is trained with.
    pub seeds: u64,
    /// How often its first seed is kept along the way: after a half of the tokens, a quarter, and so on.
    pub checkpoints: u32,
}

impl Rung {
    /// The name of a model of this rung: the first seed bears that of the rung.
    #[must_use]
    pub fn model(&self, seed: u64, step: Option<u32>) -> String {
        let seed = if seed == self.training.seed { String::new() } else { format!("-seed-{seed}") };
        let step = step.map(|step| format!("-step-{step}")).unwrap_or_default();
        format!("{}{seed}{step}", self.name)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    context: usize,
    prose: f64,
    prompts: BTreeMap<String, f64>,
    mix: Vec<BTreeMap<String, toml::Value>>,
    rungs: Vec<RawRung>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRung {
    name: String,
    width: usize,
    layers: usize,
    heads: usize,
    feed_forward: usize,
    tokens: u64,
    #[serde(default = "one")]
    seeds: u64,
    #[serde(default)]
    checkpoints: u32,
}

fn one() -> u64 {
    1
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// When it is not TOML of the expected form, or a rung's dimensions do not fit together.
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        let raw: Raw = toml::from_str(text).map_err(|error| RecipeError(error.to_string()))?;
        let rungs: Vec<Rung> = raw
            .rungs
            .into_iter()
            .map(|rung| {
                let RawRung { name, width, layers, heads, feed_forward, tokens, seeds, checkpoints } = rung;
                let shape = Shape { width, layers, heads, feed_forward, context: raw.context };
                if shape.is_valid() {
                    Ok(Rung { name, training: Training { shape, tokens, seed: 0 }, seeds, checkpoints })
                } else {
                    Err(RecipeError(format!("the dimensions of `{name}` do not fit together")))
                }
            })
            .collect::<Result<_, _>>()?;
        let mut names = BTreeSet::new();
        if let Some(twice) = rungs.iter().find(|rung| !names.insert(rung.name.as_str())) {
            return Err(RecipeError(format!("the rung `{}` is there twice", twice.name)));
        }
        let mix: Vec<MixEntry> = raw.mix.into_iter().map(mix_entry).collect::<Result<_, _>>()?;
        let weights = mix.iter().map(|entry| entry.weight).chain(raw.prompts.values().copied()).chain([raw.prose]);
        if let Some(weight) = weights.into_iter().find(|weight| !weight.is_finite() || *weight < 0.0) {
            return Err(RecipeError(format!("a weight must be a number from zero on, not {weight}")));
        }
        Ok(Self { rungs, mix, prompts: raw.prompts, prose: raw.prose })
    }
}

impl Recipe {
    /// The prompt files of the mix, as `prompt` finds them, with their weights.
    ///
    /// # Errors
    /// When there is none of a name.
    pub fn forms<'a>(&self, prompt: impl Fn(&str) -> Option<&'a Prompt>) -> Result<Vec<(&'a Prompt, f64)>, RecipeError> {
        let form = |(name, weight): (&String, &f64)| {
            let found = prompt(name).ok_or_else(|| RecipeError(format!("there is no prompt `{name}`")))?;
            Ok((found, *weight))
        };
        self.prompts.iter().map(form).collect()
    }
}

/// A generator, its weight, and every other key as a range of a parameter.
fn mix_entry(mut raw: BTreeMap<String, toml::Value>) -> Result<MixEntry, RecipeError> {
    let missing = |what: &str| RecipeError(format!("an entry of the mix has no `{what}`"));
    let generator = raw.remove("generator").and_then(|value| value.as_str().map(str::to_owned));
    let weight = raw.remove("weight").and_then(|value| value.as_float().or(value.as_integer().map(|weight| weight as f64)));
    let parameters = raw
        .into_iter()
        .map(|(name, value)| {
            let range: [i64; 2] =
                value.try_into().map_err(|_| RecipeError(format!("`{name}` must be a range, as [2, 4]")))?;
            Ok((name, (range[0], range[1])))
        })
        .collect::<Result<_, RecipeError>>()?;
    Ok(MixEntry {
        generator: generator.ok_or_else(|| missing("generator"))?,
        weight: weight.ok_or_else(|| missing("weight"))?,
        parameters,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::corpus::Mix;

    const RUNG: &str = "[[rungs]]\nname = \"a\"\nwidth = 16\nlayers = 1\nheads = 1\nfeed_forward = 48\ntokens = 1000\n";

    fn recipe(mix: &str, rungs: &str) -> Result<Recipe, String> {
        let text =
            format!("context = 384\nprose = 1\n[prompts]\nfew-shot = 1\n[[mix]]\ngenerator = \"addition\"\n{mix}\n{rungs}");
        let recipe = Recipe::parse(&text).map_err(|error| error.to_string())?;
        Mix::new(&recipe.mix, &[], recipe.prose, false).map_err(|error| error.to_string())?;
        Ok(recipe)
    }

    #[test]
    fn what_cannot_be_trained_is_refused() {
        assert_eq!(recipe("weight = 1\ndigits = [1, 5]", RUNG).unwrap().rungs.len(), 1);
        for (mix, rungs, words) in [
            ("weight = 1\ndigits = [5, 1]", RUNG, "from 5 to 1"),
            ("weight = 1\ndigits = [1, 25]", RUNG, "`digits` from 1 to 9"),
            ("weight = 1\ndigit = [1, 5]", RUNG, "draws `digit` of `addition`"),
            ("weight = -1", RUNG, "a weight must be a number from zero on, not -1"),
            ("digits = [1, 5]", RUNG, "has no `weight`"),
            ("weight = 1", &RUNG.repeat(2), "the rung `a` is there twice"),
            ("weight = 1", &RUNG.replace("heads = 1", "heads = 3"), "do not fit together"),
        ] {
            let error = recipe(mix, rungs).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
