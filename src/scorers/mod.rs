//! Ways of judging an answer: all or nothing, partial credit, and log-probabilities.

mod acc;
mod acc_bytes;
mod acc_mutual_info;
mod acc_norm;
mod answer_logprob;
mod brier;
mod character_accuracy;
mod choice;
mod digit_accuracy;
mod edit_distance;
mod exact_match;
#[cfg(test)]
mod goldens;
mod numeric_equality;

use unicode_normalization::UnicodeNormalization;

use crate::schema::{AnswerKind, Judged, Logprobs, Scorer};

/// Every scorer, in the order of `onset list scorers`.
pub static SCORERS: &[&dyn Scorer] = &[
    &exact_match::ExactMatch,
    &numeric_equality::NumericEquality,
    &choice::Choice,
    &acc::Acc,
    &acc_norm::AccNorm,
    &acc_bytes::AccBytes,
    &acc_mutual_info::AccMutualInfo,
    &edit_distance::EditDistance,
    &digit_accuracy::DigitAccuracy,
    &character_accuracy::CharacterAccuracy,
    &answer_logprob::AnswerLogprob,
    &brier::Brier,
];

/// The scorer of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Scorer> {
    SCORERS.iter().find(|scorer| scorer.name() == name).copied()
}

/// The form in which answers of a kind are compared as text: trimmed, in Unicode's composed form; a number without a
/// plus sign and digit grouping, a choice in lower case.
fn canonical(text: &str, kind: AnswerKind) -> String {
    let text = text.trim();
    // What is ASCII is composed already.
    let text: String = if text.is_ascii() { text.to_owned() } else { text.nfc().collect() };
    match kind {
        // Most answers are, and would be read and written for nothing.
        AnswerKind::Number if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => text,
        AnswerKind::Number => Decimal::parse(&text).map_or(text, |number| number.written()),
        AnswerKind::Choice => text.to_lowercase(),
        AnswerKind::Text => text,
    }
}

/// A decimal number as it was written, of any length: long sums are exact where a float would round them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    whole: String,
    fraction: String,
}

impl Decimal {
    /// Reads `-1,234.50`, `+7`, `.5`. Commas stand between groups of three digits or not at all: what reads `1,5` is
    /// somebody's one and a half, and no fifteen.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_negative = text.starts_with(['-', '\u{2212}']);
        let digits = text.strip_prefix(['-', '\u{2212}', '+']).unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_grouped = whole.contains(',');
        let are_groups_right = whole.split(',').enumerate().all(|(index, group)| match index {
            0 => (1..=3).contains(&group.len()),
            _ => group.len() == 3,
        });
        let whole = whole.replace(',', "");
        let are_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
        let is_number = are_digits && (!is_grouped || are_groups_right) && !(whole.is_empty() && fraction.is_empty());
        is_number.then(|| Self { is_negative, whole, fraction: fraction.to_owned() })
    }

    /// The digits as they were written, without plus sign and grouping.
    fn written(&self) -> String {
        let sign = if self.is_negative { "-" } else { "" };
        let point = if self.fraction.is_empty() { "" } else { "." };
        [sign, &self.whole, point, &self.fraction].concat()
    }

    /// The same for all ways of writing a value: `7`, `007` and `7.0`; `0` and `-0`.
    fn value(&self) -> (bool, &str, &str) {
        let (whole, fraction) = (self.whole.trim_start_matches('0'), self.fraction.trim_end_matches('0'));
        (self.is_negative && !(whole.is_empty() && fraction.is_empty()), whole, fraction)
    }
}

/// Whether the option with the highest figure is the right one, one or zero; the first of equal ones counts. None where not every option
/// has a log-probability, or none of them has a finite one.
fn names_the_right_one(judged: &Judged<'_>, mut figure: impl FnMut(&str, &Logprobs) -> f64) -> Option<f64> {
    let options = &judged.sample.choices;
    let right = canonical(&judged.sample.answer, AnswerKind::Choice);
    let right = options.iter().position(|option| canonical(option, AnswerKind::Choice) == right)?;
    if judged.choices.len() != options.len() || options.len() < 2 {
        return None;
    }
    let figures: Vec<f64> = options.iter().zip(judged.choices).map(|(option, logprobs)| figure(option, logprobs)).collect();
    let largest = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() || figures.iter().any(|figure| figure.is_nan()) {
        return None;
    }
    let chosen = figures.iter().position(|figure| *figure >= largest)?;
    Some(f64::from(u8::from(chosen == right)))
}

/// The share of places at which two sequences agree, of the places of the longer one; one for two empty sequences.
fn agreement<T: PartialEq>(a: impl ExactSizeIterator<Item = T>, b: impl ExactSizeIterator<Item = T>) -> f64 {
    let longer = a.len().max(b.len());
    let agreeing = a.zip(b).filter(|(a, b)| a == b).count();
    share(agreeing, longer)
}

/// A share of a whole; one of nothing.
fn share(part: usize, whole: usize) -> f64 {
    // Both are lengths of answers, far below where a float loses units.
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Need, Sample};

    /// What a scorer gives an answer against a reference.
    pub(super) fn score(scorer: &dyn Scorer, kind: AnswerKind, answer: Option<&str>, target: &str) -> Option<f64> {
        let sample = sample(target, &[]);
        scorer.score(&Judged { sample: &sample, kind, answer, target: None, choices: &[], domain: &[] })
    }

    pub(super) fn sample(answer: &str, choices: &[&str]) -> Sample {
        Sample {
            id: "1".to_owned(),
            question: "?".to_owned(),
            answer: answer.to_owned(),
            steps: None,
            expression: None,
            choices: choices.iter().map(|&choice| choice.to_owned()).collect(),
        }
    }

    #[test]
    fn every_file_is_registered_under_its_name_and_has_its_manual() {
        let mut names: Vec<String> = SCORERS.iter().map(|scorer| scorer.name().replace('-', "_") + ".rs").collect();
        names.sort();
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/scorers");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !["mod.rs", "goldens.rs"].contains(&name.as_str()))
            .collect();
        files.sort();
        assert_eq!(names, files);
        for scorer in SCORERS {
            let page = crate::schema::manual::page(scorer.source());
            for heading in ["What it measures", "When it misleads", "Formula", "Reference", "Example"] {
                assert!(page.contains(&format!("\n# {heading}\n")), "{}: no heading `# {heading}`", scorer.name());
            }
            assert_eq!(find(scorer.name()).unwrap().name(), scorer.name());
        }
    }

    #[test]
    fn a_reply_without_an_answer_scores_zero_and_a_missing_log_probability_nothing() {
        for scorer in SCORERS {
            for kind in [AnswerKind::Number, AnswerKind::Text, AnswerKind::Choice] {
                let expected = (scorer.need() == Need::Reply).then_some(0.0);
                assert_eq!(score(*scorer, kind, None, "7"), expected, "{} {}", scorer.name(), kind.name());
            }
        }
    }

    #[test]
    fn a_right_answer_has_the_best_score() {
        for scorer in SCORERS.iter().filter(|scorer| scorer.need() == Need::Reply) {
            for kind in [AnswerKind::Number, AnswerKind::Text, AnswerKind::Choice] {
                if scorer.fits(kind) {
                    assert_eq!(score(*scorer, kind, Some(" 7 "), "7"), Some(scorer.range().high), "{}", scorer.name());
                }
            }
        }
    }

    #[test]
    fn numbers_are_read() {
        let written = |text: &str| Decimal::parse(text).map(|number| number.written());
        assert_eq!(written(" +1,234,567.50 ").as_deref(), Some("1234567.50"));
        assert_eq!(written("\u{2212}12.").as_deref(), Some("-12"));
        assert_eq!(written(".5").as_deref(), Some(".5"));
        assert_eq!(written("007").as_deref(), Some("007"));
        for no_number in ["", "-", ".", "1,5", "12,34,567", ",123", "1234,567", "1.2.3", "--1", "1e3", "seven", "1 2"] {
            assert_eq!(written(no_number), None, "{no_number}");
        }
    }
}
