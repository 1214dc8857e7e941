//! The records of a run as the analysis sees them: per cell its items, each with the mean score of its repetitions.
//!
//! Records are taken in one by one and not kept: of a million, some twenty bytes each remain where items were asked one after the other,
//! sixteen more where they were not, and eight more for each metric of many different scores.

use std::collections::{BTreeMap, HashMap};

use crate::schema::{DataSource, ModelEntry, Outcome, Record, RunManifest, Scored, Scoring};

use super::models::Group;
use super::settle::FIRST;

/// The records of a run, by task, prompt, family and model.
#[derive(Debug)]
pub struct Cells {
    tasks: BTreeMap<String, Items>,
    seed: u64,
    /// Records taken in.
    records: usize,
    /// Records of the whole run.
    planned: usize,
    /// Records of each cell that were planned from the beginning, where verdicts decide on more.
    first: Option<usize>,
    repetitions: u32,
}

type ByName<T> = BTreeMap<String, T>;

/// The items of one task, and the cells in which they were asked.
#[derive(Debug)]
struct Items {
    metrics: Vec<String>,
    /// Fewest records of a cell that were planned, as far as the manifest tells.
    least: usize,
    /// Whether every item is asked once.
    is_asked_once: bool,
    /// Name of the last item.
    sample: String,
    /// Per item what breaks ties by chance, but alike at every model and in every analysis.
    lots: Blocks<u32>,
    targets: Targets,
    /// The first target of the last item.
    first_target: usize,
    /// By prompt, family and model.
    cells: ByName<ByName<ByName<Cell>>>,
}

/// Values in their order. They stand in blocks: what is in one piece is copied when it grows, and what is given back in large pieces is
/// for a while not used for small ones.
#[derive(Debug)]
struct Blocks<T> {
    blocks: Vec<Vec<T>>,
    len: usize,
}

/// Values of a block.
const BLOCK: usize = 1024;

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), len: 0 }
    }
}

impl<T: Copy> Blocks<T> {
    fn push(&mut self, value: T) {
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => block.push(value),
            // Most cells have less than one.
            last => {
                let mut block = Vec::with_capacity(if last.is_none() { 0 } else { BLOCK });
                block.push(value);
                self.blocks.push(block);
            }
        }
        self.len += 1;
    }

    fn pop(&mut self) -> Option<T> {
        let value = self.blocks.last_mut()?.pop()?;
        self.blocks.pop_if(|block| block.is_empty());
        self.len -= 1;
        Some(value)
    }

    fn len(&self) -> usize {
        self.len
    }

    fn get(&self, index: usize) -> Option<T> {
        self.blocks.get(index / BLOCK)?.get(index % BLOCK).copied()
    }

    fn last_mut(&mut self) -> Option<&mut T> {
        self.blocks.last_mut()?.last_mut()
    }

    fn iter(&self) -> impl Iterator<Item = T> {
        self.blocks.iter().flatten().copied()
    }
}

/// Reference answers.
#[derive(Debug, Default)]
struct Targets {
    /// Those of every [`TOGETHER`], one behind the other.
    texts: Vec<String>,
    lengths: Blocks<u32>,
}

/// Targets in one text.
const TOGETHER: usize = 16;

impl Targets {
    fn get(&self, index: usize) -> &str {
        let length = |index| self.lengths.get(index).unwrap_or_default() as usize;
        let begin: usize = (index / TOGETHER * TOGETHER..index).map(length).sum();
        self.texts.get(index / TOGETHER).and_then(|text| text.get(begin..begin + length(index))).unwrap_or_default()
    }

    /// The place of a target among those from `first` on, added where it is new.
    fn place(&mut self, target: &str, first: usize) -> usize {
        let known = (first..self.lengths.len()).find(|index| self.get(*index) == target);
        known.unwrap_or_else(|| {
            if self.lengths.len().is_multiple_of(TOGETHER) {
                self.texts.push(String::new());
            }
            self.texts.last_mut().into_iter().for_each(|text| text.push_str(target));
            self.lengths.push(narrow(target.len()));
            self.lengths.len() - 1
        })
    }
}

/// What one model made of the items of a task with one prompt.
#[derive(Debug)]
struct Cell {
    /// The item in each row.
    items: Places,
    /// Its reference answer.
    targets: Places,
    /// How often it was asked; empty where every item is asked once.
    asked: Blocks<u16>,
    /// How its choices were weighed.
    methods: Blocks<Option<Scoring>>,
    /// Per metric.
    scores: Vec<Column>,
    outcomes: [usize; Outcome::ALL.len()],
    /// How many replies came to their end after so many tokens.
    ended: BTreeMap<u32, usize>,
    /// Most tokens of a reply that was cut.
    cut: Option<u32>,
    /// Probability on first tokens that begin no choice: its sum, and of how many records.
    missing_mass: (f64, usize),
}

/// Numbers row by row, which mostly follow one another: kept is each that does not, with its row.
#[derive(Debug, Default)]
struct Places {
    breaks: Vec<(u32, u32)>,
    len: u32,
}

impl Places {
    fn push(&mut self, number: u32) {
        if self.last().and_then(|last| last.checked_add(1)) != Some(number) {
            self.breaks.push((self.len, number));
        }
        self.len += 1;
    }

    fn len(&self) -> usize {
        self.len as usize
    }

    fn get(&self, row: usize) -> Option<u32> {
        let row = u32::try_from(row).ok().filter(|row| *row < self.len)?;
        let (first, number) = self.breaks.get(self.breaks.partition_point(|(first, _)| *first <= row).checked_sub(1)?)?;
        Some(number + (row - first))
    }

    fn last(&self) -> Option<u32> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The row of a number, where they rise.
    fn find(&self, number: u32) -> Option<usize> {
        let place = self.breaks.partition_point(|(_, first)| *first <= number).checked_sub(1)?;
        let (row, first) = self.breaks.get(place)?;
        let row = (row + (number - first)) as usize;
        (self.get(row) == Some(number)).then_some(row)
    }
}

/// The scores of one metric, row by row.
#[derive(Debug, Default)]
struct Column {
    /// The sum over the repetitions; no number where none has a score.
    sums: Numbers,
    /// How many repetitions have one; empty where every item is asked once.
    counts: Blocks<u16>,
}

/// Different numbers up to which each is kept once.
const FEW: u16 = 1024;

/// Numbers in a row. Of most metrics few are different: each of these is kept once, and its place as often as it occurs.
#[derive(Debug)]
enum Numbers {
    Few { places: Blocks<u16>, different: Vec<f64>, known: HashMap<u64, u16> },
    Many(Blocks<f64>),
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Few { places: Blocks::default(), different: Vec::new(), known: HashMap::new() }
    }
}

impl Numbers {
    fn len(&self) -> usize {
        match self {
            Self::Few { places, .. } => places.len(),
            Self::Many(numbers) => numbers.len(),
        }
    }

    fn get(&self, index: usize) -> Option<f64> {
        match self {
            Self::Few { places, different, .. } => different.get(usize::from(places.get(index)?)).copied(),
            Self::Many(numbers) => numbers.get(index),
        }
    }

    fn push(&mut self, number: f64) {
        if let Self::Few { places, different, known } = self {
            let place = known.get(&number.to_bits()).copied().or_else(|| {
                let place = u16::try_from(different.len()).ok().filter(|place| *place < FEW)?;
                different.push(number);
                known.insert(number.to_bits(), place);
                Some(place)
            });
            if let Some(place) = place {
                return places.push(place);
            }
            let mut numbers = Blocks::default();
            let all = places.iter().filter_map(|place| different.get(usize::from(place)).copied());
            all.for_each(|number| numbers.push(number));
            *self = Self::Many(numbers);
        }
        if let Self::Many(numbers) = self {
            numbers.push(number);
        }
    }

    fn pop(&mut self) -> Option<f64> {
        match self {
            Self::Few { places, different, .. } => different.get(usize::from(places.pop()?)).copied(),
            Self::Many(numbers) => numbers.pop(),
        }
    }
}

/// A count that memory bounds.
fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Cells {
    /// No records yet of the run of a manifest.
    #[must_use]
    pub fn new(manifest: &RunManifest) -> Self {
        // Where verdicts decide, no more was planned than every cell is asked at first.
        let first = if manifest.until_resolved { manifest.samples.min(FIRST) } else { manifest.samples };
        let of_task = |task: &crate::schema::Task| {
            // A file may hold fewer rows than are wanted, and the manifest does not say how many.
            let is_drawn = matches!(task.data, DataSource::Generator { .. });
            let items = Items {
                metrics: task.scorers().map(str::to_owned).collect(),
                least: if is_drawn { first.saturating_mul(manifest.repetitions as usize) } else { 0 },
                is_asked_once: manifest.repetitions == 1,
                sample: String::new(),
                lots: Blocks::default(),
                targets: Targets::default(),
                first_target: 0,
                cells: BTreeMap::new(),
            };
            (task.name.clone(), items)
        };
        Self {
            tasks: manifest.tasks.iter().map(of_task).collect(),
            seed: manifest.seed,
            records: 0,
            planned: manifest.planned,
            first: manifest.until_resolved.then(|| first.saturating_mul(manifest.repetitions as usize)),
            repetitions: manifest.repetitions,
        }
    }

    /// Those of records in any order.
    #[must_use]
    pub fn of_records(manifest: &RunManifest, records: &[Record]) -> Self {
        let mut sorted: Vec<&Record> = records.iter().collect();
        sorted.sort_by_key(|one| (&one.task, &one.sample, &one.prompt, &one.family, &one.model, one.repetition));
        let mut cells = Self::new(manifest);
        sorted.into_iter().for_each(|record| cells.push(&record.scored()));
        cells
    }

    /// Takes in a record. Those of a sample have to come together, and the samples of a task in the order of their names.
    pub fn push(&mut self, record: &Scored<'_>) {
        self.records += 1;
        if let Some(items) = self.tasks.get_mut(record.task) {
            items.push(record, self.seed);
        }
    }

    /// How many records were planned for each cell of a task, as far as that can be told: the largest number seen in any of them, and
    /// at least what the manifest says. Zero of a complete run, which has no missing records: what was not asked was not planned.
    pub(super) fn planned(&self, task: &str) -> usize {
        if self.records >= self.planned {
            return 0;
        }
        self.tasks.get(task).map_or(0, |items| {
            let cells = items.cells.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values);
            let planned = cells.map(Cell::records).fold(items.least, usize::max);
            self.first.map_or(planned, |first| planned.min(first))
        })
    }

    /// How often each item was to be asked.
    pub(super) fn repetitions(&self) -> u32 {
        self.repetitions
    }

    /// What a model made of a task with a prompt; none when it was never asked.
    pub(super) fn of_model<'a>(&'a self, task: &str, prompt: &str, family: &str, model: &str) -> Option<View<'a>> {
        let items = self.tasks.get(task)?;
        let (model, cell) = items.cells.get(prompt)?.get(family)?.get_key_value(model)?;
        Some(View { items, cell, model })
    }

    /// The cells of every size of a curve, by rising scale.
    pub(super) fn of<'a>(&'a self, task: &str, prompt: &str, group: &Group<'_, ModelEntry>) -> Vec<(f64, View<'a>)> {
        let mut cells: Vec<(f64, View<'_>)> = group
            .models
            .iter()
            .filter_map(|model| {
                let view = self.of_model(task, prompt, &model.family, &model.name)?;
                Some((group.ruler.scale(group.ruler.axis.measure(&model.scale)?), view))
            })
            .collect();
        cells.sort_by(|a, b| a.0.total_cmp(&b.0));
        cells
    }
}

impl Items {
    fn push(&mut self, record: &Scored<'_>, seed: u64) {
        if self.lots.len() == 0 || self.sample != record.sample {
            record.sample.clone_into(&mut self.sample);
            let mut lot = [0; 4];
            blake3::Hasher::new().update(format!("{seed}\n{}", record.sample).as_bytes()).finalize_xof().fill(&mut lot);
            self.lots.push(u32::from_be_bytes(lot));
            self.first_target = self.targets.lengths.len();
        }
        let (item, target) = (self.lots.len() - 1, self.targets.place(record.target, self.first_target));
        let (metrics, is_asked_once) = (&self.metrics, self.is_asked_once);
        let cell = named(&mut self.cells, record.prompt, BTreeMap::new)
            .and_then(|families| named(families, record.family, BTreeMap::new))
            .and_then(|models| named(models, record.model, || Cell::new(metrics.len())));
        if let Some(cell) = cell {
            cell.push(narrow(item), narrow(target), metrics, is_asked_once, record);
        }
    }
}

/// The entry of a name, made where there is none; looked up twice, so that no name is copied for each record.
fn named<'a, T>(map: &'a mut ByName<T>, name: &str, new: impl FnOnce() -> T) -> Option<&'a mut T> {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), new());
    }
    map.get_mut(name)
}

impl Cell {
    fn new(metrics: usize) -> Self {
        Self {
            items: Places::default(),
            targets: Places::default(),
            asked: Blocks::default(),
            methods: Blocks::default(),
            scores: (0..metrics).map(|_| Column::default()).collect(),
            outcomes: [0; Outcome::ALL.len()],
            ended: BTreeMap::new(),
            cut: None,
            missing_mass: (0.0, 0),
        }
    }

    fn records(&self) -> usize {
        self.outcomes.iter().sum()
    }

    fn push(&mut self, item: u32, target: u32, metrics: &[String], is_asked_once: bool, record: &Scored<'_>) {
        if let Some(count) = self.outcomes.get_mut(record.outcome as usize) {
            *count += 1;
        }
        let tokens = record.reply_tokens.map(|tokens| u32::try_from(tokens).unwrap_or(u32::MAX));
        match record.outcome {
            Outcome::Truncated => self.cut = self.cut.max(tokens),
            Outcome::Answered | Outcome::Unparsed | Outcome::Refused => {
                tokens.into_iter().for_each(|tokens| *self.ended.entry(tokens).or_default() += 1);
            }
            Outcome::Failed => {}
        }
        if let Some(missing) = record.missing_mass.filter(|_| record.method == Some(Scoring::FirstToken)) {
            self.missing_mass = (self.missing_mass.0 + missing, self.missing_mass.1 + 1);
        }
        if self.items.last() == Some(item) {
            self.asked.last_mut().into_iter().for_each(|asked| *asked = asked.saturating_add(1));
        } else {
            self.items.push(item);
            self.targets.push(target);
            if !is_asked_once {
                self.asked.push(1);
            }
            self.methods.push(record.method);
            for column in &mut self.scores {
                column.sums.push(f64::NAN);
                if !is_asked_once {
                    column.counts.push(0);
                }
            }
        }
        for (metric, column) in metrics.iter().zip(&mut self.scores) {
            let Some(score) = score(record, metric) else { continue };
            let before = column.sums.pop().filter(|sum| !sum.is_nan());
            column.sums.push(before.filter(|_| !is_asked_once).map_or(score, |sum| sum + score));
            column.counts.last_mut().into_iter().for_each(|count| *count = count.saturating_add(1));
        }
    }
}

/// The score of a record, when it is scored and finite.
fn score(record: &Scored<'_>, metric: &str) -> Option<f64> {
    let value = record.scores.iter().find(|score| score.scorer == metric)?.value?;
    (record.outcome.is_scored() && value.is_finite()).then_some(value)
}

/// One cell, with the items of its task. Its rows are the items that were asked, in the order of their names.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    items: &'a Items,
    cell: &'a Cell,
    /// Name of the model.
    pub(super) model: &'a str,
}

impl<'a> View<'a> {
    /// Number of records.
    pub(super) fn records(&self) -> usize {
        self.cell.records()
    }

    /// Number of records of an outcome.
    pub(super) fn count(&self, outcome: Outcome) -> usize {
        self.cell.outcomes.get(outcome as usize).copied().unwrap_or_default()
    }

    /// Tokens of the replies that came to their end.
    pub(super) fn ended(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.cell.ended.iter().flat_map(|(tokens, replies)| std::iter::repeat_n(*tokens, *replies))
    }

    /// Most tokens of a reply that was cut.
    pub(super) fn cut(&self) -> Option<u32> {
        self.cell.cut
    }

    /// Probability on first tokens that begin no choice, where choices are weighed by them: its sum, and of how many records.
    pub(super) fn missing_mass(&self) -> (f64, usize) {
        self.cell.missing_mass
    }

    /// Number of items.
    pub(super) fn len(&self) -> usize {
        self.cell.items.len()
    }

    /// The number of the item in a row, counted over the task.
    pub(super) fn item(&self, row: usize) -> u32 {
        self.cell.items.get(row).unwrap_or(u32::MAX)
    }

    /// The row of an item.
    pub(super) fn row(&self, item: u32) -> Option<usize> {
        self.cell.items.find(item)
    }

    /// How often the item in a row was asked.
    pub(super) fn asked(&self, row: usize) -> u32 {
        // Where every item is asked once, nothing is noted.
        self.cell.items.get(row).map_or(0, |_| self.cell.asked.get(row).map_or(1, u32::from))
    }

    /// The reference answer of the item in a row.
    pub(super) fn target(&self, row: usize) -> &'a str {
        self.target_at(self.target_index(row))
    }

    /// Its number, counted over the task.
    pub(super) fn target_index(&self, row: usize) -> u32 {
        self.cell.targets.get(row).unwrap_or(u32::MAX)
    }

    /// The reference answer of a number.
    pub(super) fn target_at(&self, index: u32) -> &'a str {
        self.items.targets.get(index as usize)
    }

    /// How the choices of the item in a row were weighed.
    pub(super) fn method(&self, row: usize) -> Option<Scoring> {
        self.cell.methods.get(row).flatten()
    }

    /// What breaks ties of the item in a row.
    pub(super) fn lot(&self, row: usize) -> u32 {
        self.items.lots.get(self.item(row) as usize).unwrap_or_default()
    }

    /// The scores of a metric; none where the task has no such metric.
    pub(super) fn scores(&self, metric: &str) -> Scores<'a> {
        let place = self.items.metrics.iter().position(|name| name == metric);
        let own = place.and_then(|place| self.cell.scores.get(place));
        Scores(own)
    }
}

/// The scores of the rows of a cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scores<'a>(Option<&'a Column>);

impl<'a> Scores<'a> {
    /// The mean over the repetitions of the item in a row that have a score.
    pub(super) fn of(&self, row: usize) -> Option<f64> {
        self.parts(row).map(|(sum, count)| sum / f64::from(count))
    }

    /// Their sum, and how many they are.
    pub(super) fn parts(&self, row: usize) -> Option<(f64, u32)> {
        let Column { sums, counts } = self.0?;
        let sum = sums.get(row).filter(|sum| !sum.is_nan())?;
        Some((sum, counts.get(row).map_or(1, u32::from)))
    }

    /// The means of all items that have one.
    fn means(self) -> impl Iterator<Item = f64> + use<'a> {
        (0..self.rows()).filter_map(move |row| self.of(row))
    }

    fn rows(self) -> usize {
        self.0.map_or(0, |column| column.sums.len())
    }

    /// Number of records with a score.
    pub(super) fn records(self) -> usize {
        (0..self.rows()).filter_map(|row| self.parts(row)).map(|(_, count)| count as usize).sum()
    }

    /// How many items are right, and how many there are with a score, where all of these are right or wrong.
    pub(super) fn right(self) -> Option<(usize, usize)> {
        self.means().try_fold((0, 0), |(right, all), mean| match mean {
            mean if (mean - 1.0).abs() < f64::EPSILON => Some((right + 1, all + 1)),
            mean if mean.abs() < f64::EPSILON => Some((right, all + 1)),
            _ => None,
        })
    }

    /// The means of all items that have one, in rising order: sums must not depend on the order of items.
    pub(super) fn sorted(self) -> Vec<f64> {
        // In one piece and in place: there may be millions.
        let mut means = Vec::with_capacity(self.rows());
        means.extend(self.means());
        means.sort_unstable_by(f64::total_cmp);
        means
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_what_they_are_whether_they_follow_one_another_or_not() {
        let rising = [0, 1, 2, 5, 6, 9, 70_000, 70_001, u32::MAX - 1, u32::MAX];
        for numbers in [&rising[..], &[3, 3, 4, 2, 0, 1, 1], &[u32::MAX, 0], &[]] {
            let mut places = Places::default();
            numbers.iter().for_each(|number| places.push(*number));
            let rows = 0..numbers.len() + 2;
            assert!(rows.clone().all(|row| places.get(row) == numbers.get(row).copied()), "{places:?}");
            assert_eq!((places.len(), places.last()), (numbers.len(), numbers.last().copied()));
        }
        let mut places = Places::default();
        rising.iter().for_each(|number| places.push(*number));
        assert_eq!(places.breaks.len(), 5);
        for number in (0..12).chain(69_999..70_003).chain(u32::MAX - 2..=u32::MAX) {
            assert_eq!(places.find(number), rising.binary_search(&number).ok(), "{number}");
        }
    }

    #[test]
    fn numbers_stay_what_they_are_however_many_are_different() {
        let mut numbers = Numbers::default();
        let expected: Vec<f64> = (0..70_000).map(|number| f64::from(number % 1000) / 7.0).collect();
        for number in &expected {
            numbers.push(f64::NAN);
            assert!(numbers.pop().unwrap().is_nan());
            numbers.push(*number);
        }
        assert!(matches!(numbers, Numbers::Few { .. }));
        let more: Vec<f64> = (0..70_000).map(|number| f64::from(number) + 0.5).collect();
        more.iter().for_each(|number| numbers.push(*number));
        assert!(matches!(numbers, Numbers::Many(_)));
        let all: Vec<f64> = expected.into_iter().chain(more).collect();
        assert_eq!(numbers.len(), all.len());
        assert!((0..all.len()).all(|index| numbers.get(index).map(f64::to_bits) == Some(all[index].to_bits())));
        assert_eq!((numbers.get(all.len()), numbers.pop()), (None, Some(69_999.5)));
    }
}
