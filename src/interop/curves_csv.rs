//! Curves from a CSV file with the column names that published files use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use csv::StringRecord;

use crate::schema::{PublishedScore, Scale};

/// A column that is understood: what it is, the names it goes by, and what one of its units is.
struct Column {
    what: &'static str,
    names: &'static [(&'static str, f64)],
}

const TASK: Column = Column { what: "task", names: &[("task", 1.0), ("benchmark", 1.0)] };
const FAMILY: Column = Column { what: "family", names: &[("family", 1.0)] };
const MODEL: Column = Column { what: "model", names: &[("model", 1.0), ("model_name", 1.0)] };
const PROMPT: Column =
    Column { what: "prompt", names: &[("prompt", 1.0), ("technique", 1.0), ("shots", 1.0), ("num_fewshot", 1.0)] };
const METRIC: Column = Column { what: "metric", names: &[("metric", 1.0)] };
const SCORE: Column = Column { what: "score", names: &[("score", 1.0), ("accuracy", 1.0), ("value", 1.0), ("acc", 1.0)] };
const COUNT: Column = Column {
    what: "number of items",
    names: &[("n", 1.0), ("n_examples", 1.0), ("n_questions", 1.0), ("n_samples", 1.0), ("n_examples_est", 1.0)],
};
const CORRECT: Column = Column { what: "items right", names: &[("n_correct", 1.0)] };
const ERROR: Column = Column { what: "standard error", names: &[("stderr", 1.0), ("standard_error", 1.0)] };
const CHANCE: Column = Column { what: "chance", names: &[("random_score", 1.0), ("random_baseline", 1.0), ("chance", 1.0)] };
const PARAMS: Column =
    Column { what: "parameters", names: &[("params", 1.0), ("params_nonemb", 1.0), ("params_b", 1e9), ("n_params", 1.0)] };
const TOKENS: Column =
    Column { what: "training tokens", names: &[("tokens", 1.0), ("train_tokens", 1.0), ("tokens_t", 1e12)] };
const FLOPS: Column = Column { what: "training FLOPs", names: &[("flops", 1.0), ("train_flops", 1.0)] };
const LOSS: Column = Column {
    what: "held-out loss in nats per token",
    names: &[("loss", 1.0), ("pretraining_loss", 1.0), ("heldout_loss", 1.0), ("val_loss", 1.0), ("validation_loss", 1.0)],
};
const PERPLEXITY: Column = Column {
    what: "perplexity on held-out text, whose logarithm is the loss",
    names: &[
        ("perplexity", 1.0),
        ("ppl", 1.0),
        ("heldout_perplexity", 1.0),
        ("val_perplexity", 1.0),
        ("validation_perplexity", 1.0),
        ("word_perplexity", 1.0),
        ("wikitext_perplexity", 1.0),
        ("wikitext103_perplexity", 1.0),
    ],
};
const SEED: Column = Column { what: "seed", names: &[("seed", 1.0)] };
const CHECKPOINT: Column =
    Column { what: "training step of a checkpoint", names: &[("checkpoint", 1.0), ("step", 1.0), ("revision", 1.0)] };
const COLUMNS: [&Column; 17] = [
    &TASK,
    &FAMILY,
    &MODEL,
    &PROMPT,
    &METRIC,
    &SCORE,
    &COUNT,
    &CORRECT,
    &ERROR,
    &CHANCE,
    &PARAMS,
    &TOKENS,
    &FLOPS,
    &LOSS,
    &PERPLEXITY,
    &SEED,
    &CHECKPOINT,
];

/// Words in the name of a metric between 0 and 1 that falls as models get better.
const LOWER_IS_BETTER: [&str; 3] = ["brier", "ece", "error"];
/// Words in the name of a metric without a ceiling, which is no score between 0 and 1.
const UNBOUNDED: [&str; 5] = ["loss", "nll", "perplex", "ppl", "bits"];
/// The largest score that can still be a fraction; beyond it scores are percentages.
const LARGEST_FRACTION: f64 = 1.5;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file itself.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: csv::Error,
    },
    /// A column that must be there.
    #[error("{}: no column for the {what}, which is called one of: {}; the first line has: {found}", path.display(), names.join(", "))]
    Missing {
        /// The file.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
        /// The names it may have.
        names: Vec<&'static str>,
        /// The first line.
        found: String,
    },
    /// A cell that does not hold what its column should.
    #[error("{}:{line}: column {column}: `{found}` is not a number", path.display())]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The column.
        column: String,
        /// What is there.
        found: String,
    },
    /// Nothing to analyse.
    #[error("{}: no line holds a bounded score of a model whose scale is known{notes}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What was left out, if anything was.
        notes: String,
    },
}

/// What was read.
#[derive(Debug)]
pub struct CurvesFile {
    /// Its scores, in the order of the file.
    pub scores: Vec<PublishedScore>,
    /// What was understood, one sentence each.
    pub notes: Vec<String>,
}

struct Reader<'a> {
    path: &'a Path,
    /// Index, name and unit of each column, by what it is.
    columns: BTreeMap<&'static str, (usize, String, f64)>,
}

impl Reader<'_> {
    fn text<'r>(&self, record: &'r StringRecord, column: &Column) -> &'r str {
        self.columns.get(column.what).and_then(|(index, ..)| record.get(*index)).unwrap_or_default().trim()
    }

    fn number(&self, record: &StringRecord, column: &Column) -> Result<Option<f64>, FileError> {
        let text = self.text(record, column);
        let Some((_, name, unit)) = self.columns.get(column.what).filter(|_| !is_absent(text)) else { return Ok(None) };
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value * unit)),
            _ => Err(FileError::NotANumber {
                path: self.path.to_owned(),
                line: record.position().map_or(0, csv::Position::line),
                column: name.clone(),
                found: text.to_owned(),
            }),
        }
    }
}

fn is_absent(text: &str) -> bool {
    text.is_empty() || ["na", "nan", "none", "null", "-"].contains(&text.to_ascii_lowercase().as_str())
}

/// Reads a file of curves: one line per score.
///
/// # Errors
/// When the file cannot be read, has no column for the task, the model or the score, or holds something else than a number
/// where one belongs.
pub fn read_curves(path: &Path) -> Result<CurvesFile, FileError> {
    let io = |source| FileError::Io { path: path.to_owned(), source };
    let mut file = csv::ReaderBuilder::new().flexible(true).from_path(path).map_err(io)?;
    let header = file.headers().map_err(io)?.clone();
    let mut columns = BTreeMap::new();
    let mut notes = Vec::new();
    for column in COLUMNS {
        let found = column.names.iter().find_map(|(name, unit)| {
            let index = header.iter().position(|cell| cell.trim().eq_ignore_ascii_case(name))?;
            Some((index, (*name).to_owned(), *unit))
        });
        if let Some((index, name, unit)) = found {
            if column.names.first().is_some_and(|(first, _)| *first != name) {
                let in_units = if unit > 1.0 { format!(", in units of {unit:e}") } else { String::new() };
                notes.push(format!("column `{name}` is the {}{in_units}", column.what));
            }
            columns.insert(column.what, (index, name, unit));
        }
    }
    for column in [&TASK, &MODEL, &SCORE] {
        if !columns.contains_key(column.what) {
            let names = column.names.iter().map(|(name, _)| *name).collect();
            let found = match header.iter().collect::<Vec<_>>().join(", ") {
                nothing if nothing.trim().is_empty() => "nothing".to_owned(),
                found => found,
            };
            return Err(FileError::Missing { path: path.to_owned(), what: column.what, names, found });
        }
    }
    let reader = Reader { path, columns };
    let mut scores = Vec::new();
    let mut empty = 0;
    for record in file.records() {
        match read_line(&reader, &record.map_err(io)?)? {
            Some(score) => scores.push(score),
            None => empty += 1,
        }
    }
    if empty > 0 {
        notes.push(format!("left out, having no score or no items: {}", lines(empty)));
    }
    let key = |one: &PublishedScore| {
        let Scale { seed, checkpoint, .. } = one.scale;
        (one.task.clone(), one.family.clone(), one.model.clone(), one.prompt.clone(), one.metric.clone(), seed, checkpoint)
    };
    let known: std::collections::BTreeSet<_> = scores.iter().map(key).collect();
    if known.len() < scores.len() {
        notes.push(format!(
            "of a model, task, prompt and metric that another line is of too: {}; each counts as a model",
            lines(scores.len() - known.len())
        ));
    }
    let unbounded = |one: &PublishedScore| UNBOUNDED.iter().any(|word| one.metric.to_lowercase().contains(word));
    let left_out = scores.iter().filter(|one| unbounded(one)).count();
    if left_out > 0 {
        notes.push(format!("left out, of metrics without a ceiling ({}): {}", UNBOUNDED.join(", "), lines(left_out)));
        scores.retain(|one| !unbounded(one));
    }
    let has_place = |one: &PublishedScore| {
        [one.scale.flops, one.scale.params, one.scale.tokens, one.scale.loss].into_iter().flatten().any(|scale| scale > 0.0)
    };
    let placeless = scores.iter().filter(|one| !has_place(one)).count();
    if placeless > 0 {
        notes
            .push(format!("left out, of models without FLOPs, parameters, tokens or loss above zero: {}", lines(placeless)));
        scores.retain(has_place);
    }
    if scores.is_empty() {
        let left_out: Vec<String> = notes.into_iter().filter(|note| note.starts_with("left out")).collect();
        let notes = if left_out.is_empty() { String::new() } else { format!(" ({})", left_out.join("; ")) };
        return Err(FileError::Empty { path: path.to_owned(), notes });
    }
    last_steps_are_final(&mut scores, &mut notes);
    settle(&mut scores, &mut notes);
    Ok(CurvesFile { scores, notes })
}

fn lines(count: usize) -> String {
    if count == 1 { "1 line".to_owned() } else { format!("{count} lines") }
}

fn read_line(reader: &Reader<'_>, record: &StringRecord) -> Result<Option<PublishedScore>, FileError> {
    let Some(score) = reader.number(record, &SCORE)? else { return Ok(None) };
    let (params, tokens) = (reader.number(record, &PARAMS)?, reader.number(record, &TOKENS)?);
    let flops = reader.number(record, &FLOPS)?.or_else(|| Some(6.0 * params? * tokens?));
    let scale = Scale {
        params,
        tokens,
        flops,
        // A perplexity of one or less is none: no loss is zero.
        loss: match (reader.number(record, &LOSS)?, reader.number(record, &PERPLEXITY)?) {
            (Some(loss), _) => Some(loss),
            (None, perplexity) => perplexity.filter(|perplexity| *perplexity > 1.0).map(f64::ln),
        },
        seed: reader.text(record, &SEED).parse().ok(),
        checkpoint: step(reader.text(record, &CHECKPOINT)),
    };
    let n = reader.number(record, &COUNT)?;
    // Of no items there is no score.
    if n.is_some_and(|n| n <= 0.0) {
        return Ok(None);
    }
    // Counts are exact where scores are rounded.
    let exact = reader.number(record, &CORRECT)?.zip(n).map(|(right, n)| right / n);
    let error = reader.number(record, &ERROR)?.filter(|error| *error > 0.0);
    let prompt = reader.text(record, &PROMPT);
    let is_shots =
        reader.columns.get(PROMPT.what).is_some_and(|(_, name, _)| ["shots", "num_fewshot"].contains(&name.as_str()));
    let metric = reader.text(record, &METRIC);
    Ok(Some(PublishedScore {
        task: reader.text(record, &TASK).to_owned(),
        family: reader.text(record, &FAMILY).to_owned(),
        model: reader.text(record, &MODEL).to_owned(),
        prompt: if is_shots && !prompt.is_empty() { format!("{prompt}-shot") } else { prompt.to_owned() },
        metric: if metric.is_empty() {
            reader.columns.get(SCORE.what).map_or("score", |(_, name, _)| name).to_owned()
        } else {
            metric.to_owned()
        },
        score: exact.unwrap_or(score),
        // Without a count, the number of items that would give this standard error.
        n: n.or_else(|| error.map(|error| score * (1.0 - score) / (error * error)).filter(|n| *n > 1.0)),
        chance: reader.number(record, &CHANCE)?,
        scale,
    }))
}

/// A training step: a whole number, also behind the word `step` as revisions have it; anything else names a final model.
fn step(text: &str) -> Option<u64> {
    text.strip_prefix("step").unwrap_or(text).parse().ok()
}

/// Takes the last step of every training run for its final model, where no line without a step is: a file may give the steps of
/// all models, and only steps before the last are checkpoints.
fn last_steps_are_final(scores: &mut [PublishedScore], notes: &mut Vec<String>) {
    if scores.iter().all(|one| one.scale.checkpoint.is_none()) {
        return;
    }
    // Steps by name of a model, and by what is trained where every step has a name of its own.
    let mut of_name: BTreeMap<(String, String), BTreeSet<Option<u64>>> = BTreeMap::new();
    for one in scores.iter() {
        of_name.entry((one.family.clone(), one.model.clone())).or_default().insert(one.scale.checkpoint);
    }
    let trained = |one: &PublishedScore| {
        let name = (one.family.clone(), one.model.clone());
        let is_shared = of_name.get(&name).is_some_and(|steps| steps.len() > 1) || one.scale.params.is_none();
        (name.0, is_shared.then_some(name.1), one.scale.params.map(f64::to_bits), one.scale.seed)
    };
    let mut runs: BTreeMap<_, BTreeSet<Option<u64>>> = BTreeMap::new();
    for one in scores.iter() {
        runs.entry(trained(one)).or_default().insert(one.scale.checkpoint);
    }
    let mut made = BTreeSet::new();
    let finals: Vec<bool> = scores
        .iter()
        .map(|one| {
            let run = trained(one);
            let is_last = runs.get(&run).is_some_and(|steps| {
                !steps.contains(&None) && steps.last().is_some_and(|last| *last == one.scale.checkpoint)
            });
            if is_last {
                made.insert(run);
            }
            is_last
        })
        .collect();
    for (one, is_final) in scores.iter_mut().zip(finals) {
        if is_final {
            one.scale.checkpoint = None;
        }
    }
    let checkpoints = scores.iter().filter(|one| one.scale.checkpoint.is_some()).count();
    let last = match made.len() {
        0 => String::new(),
        count => {
            format!("; the last steps of {count} training runs, which have no line without a step, count as final models")
        }
    };
    notes.push(format!("{checkpoints} scores are of checkpoints, which are no models of a family's curve{last}"));
}

/// Brings all scores of a metric to fractions of which more is better.
fn settle(scores: &mut [PublishedScore], notes: &mut Vec<String>) {
    let mut metrics: Vec<String> = scores.iter().map(|one| one.metric.clone()).collect();
    metrics.sort();
    metrics.dedup();
    let (mut percent, mut lower, mut outside) = (Vec::new(), Vec::new(), 0);
    for metric in metrics {
        // Of a metric over the whole file: a task that nobody solves may have no percentage above one.
        let mut own: Vec<&mut PublishedScore> = scores.iter_mut().filter(|one| one.metric == metric).collect();
        let most = own.iter().flat_map(|one| [Some(one.score), one.chance]).flatten().fold(0.0, f64::max);
        if most > LARGEST_FRACTION {
            percent.push(metric.clone());
            for one in &mut own {
                one.score /= 100.0;
                one.chance = one.chance.map(|chance| if chance > 1.0 { chance / 100.0 } else { chance });
            }
        }
        if LOWER_IS_BETTER.iter().any(|word| metric.to_lowercase().contains(word)) {
            lower.push(metric.clone());
            for one in &mut own {
                one.score = 1.0 - one.score;
                one.chance = one.chance.map(|chance| 1.0 - chance);
            }
        }
        outside += own.iter().filter(|one| !(0.0..=1.0).contains(&one.score)).count();
        for one in own {
            one.score = one.score.clamp(0.0, 1.0);
        }
    }
    if outside > 0 {
        notes.push(format!("outside 0 to 1, and taken for the nearer end: {}", lines(outside)));
    }
    if !percent.is_empty() {
        notes.push(format!("scores in percent, divided by 100: {}", percent.join(", ")));
    }
    if !lower.is_empty() {
        notes.push(format!("less is better, so one minus the score is analysed: {}", lower.join(", ")));
    }
    let without = scores.iter().filter(|one| one.n.is_none()).count();
    if without > 0 {
        notes.push(format!("{without} of {} scores have no number of items; 200 are assumed", scores.len()));
    }
    let impossible = scores.iter().filter(|one| one.chance.is_some_and(|chance| !(0.0..1.0).contains(&chance))).count();
    if impossible > 0 {
        notes.push(format!(
            "with a chance level that is none, below 0 or not below 1, which is not used: {}",
            lines(impossible)
        ));
        for one in scores.iter_mut() {
            one.chance = one.chance.filter(|chance| (0.0..1.0).contains(chance));
        }
    }
    let without = scores.iter().filter(|one| one.chance.is_none()).count();
    if without > 0 {
        notes.push(format!(
            "{without} of {} scores have no chance level; a curve without any is judged by trend alone",
            scores.len()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<CurvesFile, FileError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("curves.csv");
        std::fs::write(&path, text).unwrap();
        read_curves(&path)
    }

    #[test]
    fn other_names_units_percentages_and_errors_are_understood() {
        let text = "task,model,params_b,tokens_t,accuracy,n_questions,random_baseline,shots\n\
                    add,a,1.5,2,25.0,400,20,5\nadd,b,3,2,75,400,20,5\n";
        let file = read(text).unwrap();
        let first = &file.scores[0];
        assert_eq!((first.score, first.chance, first.n), (0.25, Some(0.2), Some(400.0)));
        assert_eq!((first.metric.as_str(), first.prompt.as_str()), ("accuracy", "5-shot"));
        assert_eq!(first.scale.flops, Some(6.0 * 1.5e9 * 2e12));
        assert!(file.notes.iter().any(|note| note.contains("percent")), "{:?}", file.notes);
        let file = read("task,model,metric,value,stderr,params\nx,a,brier,0.2,0.02,9\n").unwrap();
        assert_eq!(file.scores[0].score, 0.8);
        assert!((file.scores[0].n.unwrap() - 400.0).abs() < 1e-9);
        let file = read("task,model,metric,score,chance,params\nx,a,loss,2.3,0,9\nx,a,ppl,320,,9\nx,a,acc,0.5,1.0,9\nx,b,acc,0.5,1.0,-9\n")
            .unwrap();
        assert_eq!((file.scores.len(), file.scores[0].score, file.scores[0].chance), (1, 0.5, None));
        assert!(file.notes.iter().any(|note| note.contains("without a ceiling")), "{:?}", file.notes);
        // A task that nobody solves is in percent as the others of its metric are; no items are no score.
        let file = read("task,model,acc,n,params\nx,a,72.0,50,9\ny,a,1.3,50,9\ny,b,1.0,0,90\ny,a,1.3,50,9\n").unwrap();
        assert!(file.scores.len() == 3 && (file.scores[1].score - 0.013).abs() < 1e-12);
        assert!(
            ["left out", "another line"].iter().all(|words| file.notes.iter().any(|note| note.contains(words))),
            "{:?}",
            file.notes
        );
    }

    #[test]
    fn perplexity_is_a_scale_and_steps_before_the_last_are_checkpoints() {
        let text = "task,model,params,tokens,accuracy,ppl,revision\n\
                    x,a,9,1,0.1,100,step1000\nx,a,9,2,0.2,50,step2000\nx,a,9,4,0.4,20,main\n\
                    x,b,18,1,0.1,90,step1000\nx,b,18,4,0.5,10,step4000\nx,c-1,36,1,0.1,80,10\nx,c-2,36,2,0.2,1,20\n";
        let file = read(text).unwrap();
        let steps: Vec<Option<u64>> = file.scores.iter().map(|one| one.scale.checkpoint).collect();
        assert_eq!(steps, [Some(1000), Some(2000), None, Some(1000), None, Some(10), None]);
        assert_eq!(file.scores[0].scale.loss, Some(100_f64.ln()));
        assert_eq!(file.scores[6].scale.loss, None);
        assert!(file.notes.iter().any(|note| note.starts_with("4 scores are of checkpoints")), "{:?}", file.notes);
        // A score that is itself a perplexity is left out as before, and a loss alone is a place.
        assert_eq!(read("task,model,loss,accuracy\nx,a,2.5,0.5\n").unwrap().scores[0].scale.loss, Some(2.5));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_place() {
        let message = |text: &str| read(text).unwrap_err().to_string();
        assert!(message("task,model\nx,a\n").contains("score, accuracy, value, acc; the first line has: task, model"));
        assert!(message("task,model,score\nx,a,high\n").contains("curves.csv:2: column score: `high` is not a number"));
        assert!(message("task,model,score\nx,a,\n").contains("no line holds a bounded score"));
        assert!(
            message("task,model,score,params\nx,a,0.5,-9\n").contains("whose scale is known (left out, of models without")
        );
        assert!(message("").contains("the first line has: nothing"));
    }
}
