//! What a reader must know of the records before the verdicts: replies cut by the limit, and choices weighed by their beginnings.

use crate::schema::{Outcome, Warning};
use crate::stats::censored_lognormal;

use super::cells::View;
use super::words;

/// Part of a cell's records from which on cut replies are warned of: left out, they may leave easier items.
const MANY_CUT: f64 = 0.1;
/// Replies that came to their end, with which the lengths of the others can be told.
const ENOUGH_ENDS: usize = 8;
/// Part of the replies that should come to their end, as a place of the standard normal distribution: 99 %.
const NEARLY_ALL: f64 = 2.326_347_874_040_841;
/// A larger limit than this many times the old one is a guess.
const FARTHEST: f64 = 16.0;
/// Limits are round numbers.
const STEP: f64 = 64.0;
/// Probability on tokens that begin no choice from which on that is warned of.
const MUCH_MISSING: f64 = 0.1;

/// What is to be said of the records of one model with one task and prompt.
pub(super) fn warnings(task: &str, prompt: &str, cell: View<'_>) -> Vec<Warning> {
    let (task, prompt, model) = (task.to_owned(), prompt.to_owned(), cell.model.to_owned());
    let about = |words: String| Warning { task: task.clone(), prompt: prompt.clone(), model: model.clone(), words };
    cut(cell).into_iter().chain(beginnings(cell)).map(about).collect()
}

/// Whether replies were cut, and the limit that would have sufficed.
fn cut(cell: View<'_>) -> Option<String> {
    let (count, records) = (cell.count(Outcome::Truncated), cell.records());
    if records == 0 || (count as f64) < MANY_CUT * records as f64 {
        return None;
    }
    let limit = cell.cut();
    let ends: Vec<f64> = cell.ended().map(f64::from).collect();
    let at = limit.map(|limit| format!(" at {limit} tokens")).unwrap_or_default();
    let advice = match limit.map(f64::from) {
        None => "the endpoint does not count tokens; a larger `max_tokens` may let them end".to_owned(),
        Some(limit) => {
            let enough = Some(&ends).filter(|ends| ends.len() >= ENOUGH_ENDS);
            let found = enough.and_then(|ends| censored_lognormal(ends, limit, count));
            let needed = found.map(|(mean, deviation)| deviation.mul_add(NEARLY_ALL, mean).exp());
            match needed.filter(|needed| *needed < FARTHEST * limit) {
                Some(needed) => {
                    let round = ((needed.max(limit + 1.0) / STEP).ceil() * STEP).max(STEP);
                    format!("by the lengths of all, `max_tokens = {round:.0}` would have let 99 % come to their end")
                }
                None => format!(
                    "too few came to their end to say how long they are; try `max_tokens = {:.0}`",
                    (4.0 * limit / STEP).ceil() * STEP
                ),
            }
        }
    };
    Some(format!("{count} of {records} replies were cut{at} and have no score: {advice}"))
}

/// How much probability lies on tokens that begin no choice.
fn beginnings(cell: View<'_>) -> Option<String> {
    let (sum, records) = cell.missing_mass();
    let mean = sum / records as f64;
    (mean >= MUCH_MISSING).then(|| {
        format!(
            "choices are weighed by their first tokens, and {} of the probability lies on tokens that begin none of them (mean of {records} records)",
            words::score(mean),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Cells;
    use crate::schema::{Record, Scoring};

    fn record(outcome: Outcome, tokens: Option<u64>) -> Record {
        let record = crate::analysis::tests::record("task", "plain", 0, 0, outcome, 1.0);
        Record { method: Some(Scoring::FirstToken), missing_mass: Some(0.25), reply_tokens: tokens, ..record }
    }

    fn said(records: &[Record]) -> Vec<String> {
        let mut records = records.to_vec();
        records.iter_mut().zip(0..).for_each(|(record, number)| record.sample = format!("{number}"));
        let cells = Cells::of_records(&crate::analysis::tests::manifest(0.0, 1), &records);
        let cell = cells.of_model("task", "plain", "f", "m0").unwrap();
        warnings("task", "plain", cell).into_iter().map(|warning| warning.words).collect()
    }

    #[test]
    fn the_limit_that_would_have_sufficed_is_told_from_the_lengths_of_those_that_ended() {
        // Lengths whose logarithms are even from 100 to 1,000, cut at 400.
        let lengths = (0..60).map(|index| (100.0 * 10_f64.powf(f64::from(index) / 59.0)) as u64);
        let of = |length: u64| {
            if length < 400 { record(Outcome::Answered, Some(length)) } else { record(Outcome::Truncated, Some(400)) }
        };
        let records: Vec<Record> = lengths.map(of).collect();
        let [cut, first] = said(&records).try_into().unwrap();
        assert!(cut.starts_with("24 of 60 replies were cut at 400 tokens"), "{cut}");
        let limit: f64 = cut.split("max_tokens = ").nth(1).unwrap().split('`').next().unwrap().parse().unwrap();
        assert!((1_000.0..3_000.0).contains(&limit), "{limit}");
        assert!(first.contains("0.25 of the probability"), "{first}");
    }

    #[test]
    fn where_that_cannot_be_told_it_is_not() {
        let all_cut: Vec<Record> = (0..20).map(|_| record(Outcome::Truncated, Some(256))).collect();
        assert!(said(&all_cut)[0].contains("try `max_tokens = 1024`"));
        let uncounted: Vec<Record> = (0..20).map(|_| record(Outcome::Truncated, None)).collect();
        assert!(said(&uncounted)[0].contains("does not count tokens"));
        let mut few: Vec<Record> = (0..20).map(|_| record(Outcome::Answered, Some(9))).collect();
        few[0].outcome = Outcome::Truncated;
        few.iter_mut().for_each(|record| record.missing_mass = None);
        assert_eq!(said(&few), Vec::<String>::new());
    }
}
