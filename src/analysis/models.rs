//! Which models make one curve: the final models of a family, or the checkpoints of one training run.
//!
//! A checkpoint that is not the last is no independently trained model of another scale, so it has no place on its family's
//! curve. Three or more checkpoints of one training run make a curve of their own, over training tokens.

use std::collections::BTreeSet;

use crate::schema::{Axis, Evidence, ModelEntry, PublishedScore, Scale};

use super::ruler::Ruler;

/// Fewest checkpoints, beside the final model, that make a curve of their own.
const CHECKPOINTS: usize = 3;
/// Names of models that one sentence holds.
const NAMED: usize = 8;

/// What is known of who was asked.
pub(super) trait Trained {
    /// Name of the model.
    fn name(&self) -> &str;
    /// Name of its family.
    fn family(&self) -> &str;
    /// Its scale.
    fn scale(&self) -> &Scale;
}

impl Trained for ModelEntry {
    fn name(&self) -> &str {
        &self.name
    }
    fn family(&self) -> &str {
        &self.family
    }
    fn scale(&self) -> &Scale {
        &self.scale
    }
}

impl Trained for PublishedScore {
    fn name(&self) -> &str {
        &self.model
    }
    fn family(&self) -> &str {
        &self.family
    }
    fn scale(&self) -> &Scale {
        &self.scale
    }
}

/// The models of one curve on one axis.
#[derive(Debug)]
pub(super) struct Group<'a, M> {
    /// What the curve says it is of: a family, one training run of it, or all families.
    pub(super) label: String,
    /// Those that have a place on the axis.
    pub(super) models: Vec<&'a M>,
    /// The axis.
    pub(super) ruler: Ruler,
    /// Whether they are of several families.
    pub(super) is_pooled: bool,
    /// Whether they are the checkpoints of one training run.
    pub(super) is_training: bool,
    /// Which models are left out, and why.
    pub(super) left_out: Vec<Evidence>,
}

/// The models of a family: the final ones, the checkpoints by training run, and checkpoints too few for a curve.
pub(super) struct Family<'a, M> {
    pub(super) finals: Vec<&'a M>,
    pub(super) trainings: Vec<Training<'a, M>>,
    pub(super) loose: Vec<&'a M>,
}

/// The checkpoints of one training run, and the final model where there is one.
pub(super) struct Training<'a, M> {
    pub(super) label: String,
    pub(super) models: Vec<&'a M>,
}

/// Tells final models from checkpoints. A checkpoint belongs to the final model of its name or, where none has it, of its number
/// of parameters and seed.
pub(super) fn family<'a, M: Trained>(models: impl Iterator<Item = &'a M>) -> Family<'a, M> {
    let (mut finals, mut checkpoints) = (Vec::new(), Vec::new());
    for model in models {
        if model.scale().checkpoint.is_none() { &mut finals } else { &mut checkpoints }.push(model);
    }
    let same = |a: &M, b: &M| match (a.scale().params, b.scale().params) {
        (Some(own), Some(other)) => own.total_cmp(&other).is_eq() && a.scale().seed == b.scale().seed,
        _ => a.name() == b.name(),
    };
    // Per training run its final model and its checkpoints.
    let mut runs: Vec<(Option<&M>, Vec<&M>)> = Vec::new();
    for checkpoint in checkpoints {
        let of_name = finals.iter().find(|model| model.name() == checkpoint.name());
        let last = of_name.or_else(|| finals.iter().find(|model| same(model, checkpoint))).copied();
        let run = runs.iter_mut().find(|(other, known)| match (last, other) {
            (Some(last), Some(other)) => last.name() == other.name(),
            (None, None) => known.iter().any(|known| same(known, checkpoint)),
            _ => false,
        });
        match run {
            Some((_, known)) => known.push(checkpoint),
            None => runs.push((last, vec![checkpoint])),
        }
    }
    let (mut trainings, mut loose) = (Vec::new(), Vec::new());
    for (last, mut own) in runs {
        let places: BTreeSet<u64> = own.iter().filter_map(|model| model.scale().tokens.map(f64::to_bits)).collect();
        if places.len() < CHECKPOINTS {
            loose.append(&mut own);
            continue;
        }
        let name = last.or_else(|| own.iter().copied().max_by_key(|model| model.scale().checkpoint));
        let (name, of) = name.map_or(("", ""), |model| (model.name(), model.family()));
        let label = if of.is_empty() { format!("training of {name}") } else { format!("{of}: training of {name}") };
        own.extend(last);
        trainings.push(Training { label, models: own });
    }
    Family { finals, trainings, loose }
}

/// The first measure that so many in ten of the models have.
pub(super) fn shared<M: Trained>(models: &[&M], in_ten: usize) -> Option<Axis> {
    let share = |axis: &Axis| {
        let placed = models.iter().filter(|model| axis.measure(model.scale()).is_some()).count();
        placed > 0 && placed * 10 >= models.len() * in_ten
    };
    Axis::ALL.into_iter().find(share)
}

impl<'a, M: Trained> Group<'a, M> {
    /// The models of a curve. An axis that was asked for needs to be known of seven models in ten.
    ///
    /// # Errors
    /// In words, with the models that lack it.
    pub(super) fn new(label: &str, models: Vec<&'a M>, axis: Axis, is_asked_for: bool) -> Result<Self, String> {
        let (placed, lacking): (Vec<&M>, Vec<&M>) =
            models.iter().copied().partition(|model| axis.measure(model.scale()).is_some());
        let names: Vec<&str> = distinct(lacking.iter().map(|model| model.name()));
        let all = distinct(models.iter().map(|model| model.name())).len();
        let words = format!("{} of {all} models without {}: {}", names.len(), lacks(axis), list(&names));
        if is_asked_for && placed.len() * 10 < models.len() * 7 {
            return Err(words);
        }
        let mut left_out = Vec::new();
        if !lacking.is_empty() {
            let words = format!("{words}; left out");
            left_out.push(Evidence { part: "axis".to_owned(), value: Some(names.len() as f64), p_value: None, words });
        }
        let ruler = Ruler::new(axis, placed.iter().map(|model| model.scale()));
        Ok(Self { label: label.to_owned(), models: placed, ruler, is_pooled: false, is_training: false, left_out })
    }

    /// Says that checkpoints are not on the curve.
    pub(super) fn without(mut self, loose: &[&M]) -> Self {
        if !loose.is_empty() {
            let names: Vec<&str> = distinct(loose.iter().map(|model| model.name()));
            let words = format!(
                "{} left out, no independently trained models and fewer than {CHECKPOINTS} of a training run with training \
                 tokens of their own: {}",
                if loose.len() == 1 { "1 checkpoint is".to_owned() } else { format!("{} checkpoints are", loose.len()) },
                list(&names)
            );
            let value = Some(loose.len() as f64);
            self.left_out.push(Evidence { part: "checkpoints".to_owned(), value, p_value: None, words });
        }
        self
    }

    /// Says that families with fewer than `least` models have no curve of their own.
    pub(super) fn with_small_families(mut self, names: &[&str], least: usize) -> Self {
        if !names.is_empty() {
            let words = format!("families of fewer than {least} models have no curve beside this one: {}", list(names));
            let value = Some(names.len() as f64);
            self.left_out.push(Evidence { part: "families".to_owned(), value, p_value: None, words });
        }
        self
    }
}

/// The axis of a curve along a training run: tokens, or one that was asked for and changes during training.
pub(super) fn along_training(asked: Option<Axis>) -> Axis {
    asked.filter(|axis| *axis != Axis::Params).unwrap_or(Axis::Tokens)
}

/// What a model without a measure lacks.
fn lacks(axis: Axis) -> &'static str {
    match axis {
        Axis::Flops => "training FLOPs",
        Axis::Params => "a number of parameters",
        Axis::Tokens => "a number of training tokens",
        Axis::Loss | Axis::Perplexity => "a held-out loss or perplexity",
    }
}

fn list(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(NAMED);
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// The different ones of some names, in their order.
pub(super) fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut known = Vec::new();
    for name in names {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    known
}
