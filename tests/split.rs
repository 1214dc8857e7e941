//! What is trained on and what is asked never meet: the questions in training documents and those of the shipped tasks, each brought
//! into a form of its own here, in which the order of the operands and the like is of no account.

use std::collections::HashSet;

use onset::config::{self, Data};
use onset::ladder::Corpus;
use onset::plan::corpus::Mix;
use onset::plan::recipe::Recipe;
use onset::schema::{DataSource, Parameters, Task};
use onset::tasks::{draw, generators};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::program::{code, onset};

/// Problems that every task has at least.
const LEAST: usize = 500;
const DOCUMENTS: usize = 30_000;

fn sorted(mut parts: Vec<&str>) -> String {
    parts.sort_unstable();
    parts.join(" ")
}

/// A problem, whatever the order in which it is put: `5+3` is `3+5`, and so are `5#3` and `(3+5) mod 7`.
fn unordered(question: &str) -> String {
    if let Some((verb, rest)) = question.split_once(' ').filter(|(verb, _)| verb.chars().all(char::is_alphabetic)) {
        let backwards: String = rest.chars().rev().collect();
        return match verb {
            "rev" => format!("rev {}", rest.min(backwards.as_str())),
            "sort" => {
                let mut letters: Vec<char> = rest.chars().collect();
                letters.sort_unstable();
                format!("sort {letters:?}")
            }
            "copy" | "anagram" | "write" => question.to_owned(),
            // The pairs of a look-up.
            _ => lookup(question),
        };
    }
    if question.contains(';') {
        return lookup(question);
    }
    if let Some((word, contexts)) = question.split_once(':') {
        return format!("{word}: {}", sorted(contexts.split(' ').collect()));
    }
    let sum = question.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(question, |(sum, _)| sum);
    let sum = sum.replace('#', "+");
    if let Some((first, rest)) = sum.split_once('-') {
        return format!("{first} less {}", sorted(rest.split('-').collect()));
    }
    if sum.contains('*') {
        return format!("times {}", sorted(sum.split('*').collect()));
    }
    assert!(sum.contains('+'), "a question of an unknown form: {question}");
    format!("plus {}", sorted(sum.split('+').collect()))
}

fn lookup(question: &str) -> String {
    let (pairs, start) = question.split_once(';').expect("pairs and a start");
    format!("{};{}", sorted(pairs.split(' ').collect()), &start[start.len() - 1..])
}

/// What a text computes: whatever stands before an equals sign, and the chains that a longer chain passes through.
fn equations(text: &str) -> impl Iterator<Item = String> {
    let expression = regex::Regex::new(r"[0-9]+(?:[-+*][0-9]+)+").unwrap();
    let found: Vec<String> = expression.find_iter(text).map(|found| found.as_str().to_owned()).collect();
    found.into_iter().flat_map(|expression| {
        let is_chain = ["+", "-"].iter().any(|sign| expression.matches(sign).count() > 1 && !expression.contains('*'));
        let signs = expression.match_indices(['+', '-']).map(|(place, _)| place).skip(1);
        let prefixes: Vec<String> = if is_chain { signs.map(|end| expression[..end].to_owned()).collect() } else { vec![] };
        let is_plain = !(expression.contains('*') && expression.contains('+'));
        prefixes.into_iter().chain(is_plain.then_some(expression)).map(|part| unordered(&part))
    })
}

#[test]
fn forms_do_not_depend_on_order() {
    for (a, b) in [
        ("12+34", "34+12"),
        ("12+34", "(34+12) mod 7"),
        ("12+34", "34#12"),
        ("3+5+2", "2+3+5"),
        ("43-5-2", "43-2-5"),
        ("347*6", "6*347"),
        ("rev abc", "rev cba"),
        ("sort cab", "sort abc"),
        ("ab bc cd;2a", "cd ab bc;1a"),
        ("bank:river loan", "bank:loan river"),
    ] {
        assert_eq!(unordered(a), unordered(b));
    }
    assert_ne!(unordered("12-34"), unordered("34-12"));
}

#[test]
fn nothing_that_is_asked_was_trained_on_and_there_is_enough_to_ask() {
    let workspace = config::load(None, &[]).unwrap();
    let recipe = Recipe::parse(&std::fs::read_to_string("models/recipe.toml").unwrap()).unwrap();
    let forms = recipe.forms(|name| workspace.prompt(name)).unwrap();
    let mix = Mix::new(&recipe.mix, &forms, recipe.prose, false).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut trained, mut worked) = (HashSet::new(), HashSet::new());
    for _ in 0..DOCUMENTS {
        let document = String::from_utf8(mix.document(&mut rng).text).unwrap();
        trained.extend(document.lines().filter_map(|line| line.strip_prefix("Q:")).map(unordered));
        worked.extend(equations(&document));
    }
    assert!(trained.len() > DOCUMENTS, "{} problems are too few to say anything", trained.len());
    for file in &workspace.tasks {
        let Data::Generator(generator, values) = &file.data else { panic!("shipped tasks are generated") };
        let name = &file.name.value;
        let found = generators::find(&generator.value).unwrap();
        let mut parameters = Parameters(found.parameters().iter().map(|one| (one.name.to_owned(), one.default)).collect());
        parameters.0.extend(values.iter().map(|(key, value, _)| (key.value.clone(), *value)));
        let task = Task {
            name: name.clone(),
            version: 1,
            about: String::new(),
            data: DataSource::Generator { name: generator.value.clone(), parameters },
            answer: onset::schema::AnswerKind::Text,
            discontinuous: String::new(),
            continuous: vec![],
            chance: 0.0,
        };
        let drawn = draw(&task, 1, LEAST, 4).unwrap_or_else(|error| panic!("{error}"));
        let mut asked = HashSet::new();
        for sample in drawn.test.iter() {
            let problem = unordered(&sample.unwrap().question);
            assert!(!trained.contains(&problem), "{name}: {problem} is asked and was trained on");
            assert!(!worked.contains(&problem), "{name}: {problem} is asked and stands, answered, in worked steps");
            assert!(asked.insert(problem.clone()), "{name}: {problem} is asked twice");
        }
    }
}

#[test]
fn models_of_another_split_are_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let name = onset::ladder::cards().unwrap().remove(0).name;
    assert_eq!(code(&onset(directory.path(), &["ladder", "export", "--out", "models", &name])), 0);
    let file = directory.path().join("models").join(&name).join("card.json");
    let mut card: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    for (split, is_warned) in [(generators::SPLIT - 1, true), (generators::SPLIT, false)] {
        card["split"] = split.into();
        std::fs::write(&file, card.to_string()).unwrap();
        let plan = onset(directory.path(), &["plan", "--only", &name, "--only", "addition-2", "--samples", "2"]);
        let said = String::from_utf8_lossy(&plan.stderr).into_owned();
        assert_eq!((code(&plan), said.contains(&format!("warning: {name} were trained before"))), (0, is_warned), "{said}");
    }
}
