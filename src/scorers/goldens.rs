//! The scorers against reference implementations in another language: `tests/goldens/scorers.py`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::tests::{sample, score};
use super::{SCORERS, brier, find};
use crate::schema::{AnswerKind, Judged, Logprobs, Need, Scorer};

#[derive(Deserialize)]
struct Goldens {
    replies: Vec<Reply>,
    brier: Vec<Options>,
    multiple_choice: Vec<MultipleChoice>,
}

#[derive(Deserialize)]
struct MultipleChoice {
    options: Vec<String>,
    logprobs: Vec<f64>,
    domain: Vec<f64>,
    right: usize,
    scores: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Reply {
    kind: AnswerKind,
    answer: String,
    target: String,
    scores: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Options {
    logprobs: Vec<f64>,
    right: usize,
    score: f64,
}

fn goldens() -> Goldens {
    serde_json::from_str(include_str!("../../tests/goldens/scorers.json")).unwrap()
}

#[test]
fn replies_are_judged_as_the_reference_does() {
    for reply in goldens().replies {
        let judging = SCORERS.iter().filter(|scorer| scorer.need() == Need::Reply && scorer.fits(reply.kind));
        let judging: BTreeSet<&str> = judging.map(|scorer| scorer.name()).collect();
        let known: BTreeSet<&str> = reply.scores.keys().map(String::as_str).collect();
        assert_eq!(judging, known, "tests/goldens/scorers.py has to know every scorer that judges replies");
        for (name, expected) in &reply.scores {
            let found = score(find(name).unwrap(), reply.kind, Some(&reply.answer), &reply.target).unwrap();
            let Reply { answer, target, .. } = &reply;
            assert!((found - expected).abs() < 1e-12, "{name}: {answer:?} for {target:?}: {found}, not {expected}");
        }
    }
}

#[test]
fn options_are_judged_as_the_reference_does() {
    for Options { logprobs, right, score } in goldens().brier {
        let names: Vec<String> = (0..logprobs.len()).map(|index| format!("option {index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let sample = sample(names[right], &names);
        let choices: Vec<Logprobs> = logprobs.iter().map(|&sum| Logprobs { sum, tokens: 1 }).collect();
        let kind = AnswerKind::Choice;
        let judged = Judged { sample: &sample, kind, answer: None, target: None, choices: &choices, domain: &[] };
        let found = brier::Brier.score(&judged).unwrap();
        assert!((found - score).abs() < 1e-12, "{logprobs:?}: {found}, not {score}");
    }
}

#[test]
fn the_most_probable_option_is_found_as_the_reference_does() {
    for case in goldens().multiple_choice {
        let names: Vec<&str> = case.options.iter().map(String::as_str).collect();
        let sample = sample(names[case.right], &names);
        let [choices, domain]: [Vec<Logprobs>; 2] =
            [&case.logprobs, &case.domain].map(|sums| sums.iter().map(|&sum| Logprobs { sum, tokens: 1 }).collect());
        let kind = AnswerKind::Choice;
        let judged = Judged { sample: &sample, kind, answer: None, target: None, choices: &choices, domain: &domain };
        for (name, expected) in &case.scores {
            let found = find(name).unwrap().score(&judged);
            assert_eq!(found, Some(*expected), "{name}: {:?} {:?}", case.options, case.logprobs);
        }
        let without = Judged { choices: &[], ..judged };
        assert!(case.scores.keys().all(|name| find(name).unwrap().score(&without).is_none()));
    }
}
