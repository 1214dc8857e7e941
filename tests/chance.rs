use std::collections::HashMap;

use onset::config::{Data, SHIPPED_TASKS, Source, read_task};
use onset::schema::{Parameters, Problem};
use onset::tasks::generators::find;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Problems on which a strategy is played.
const PROBLEMS: usize = 20_000;

/// Everything that could be copied out unchanged of a question: each of its words and each of its letters, by position from either end.
fn copies(question: &str) -> Vec<(String, String)> {
    let words: Vec<&str> = question.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let letters: Vec<char> = question.chars().filter(|c| c.is_alphanumeric()).collect();
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        found.push((format!("word {index}"), (*word).to_owned()));
        found.push((format!("word {} from the end", words.len() - index), (*word).to_owned()));
    }
    for (index, letter) in letters.iter().enumerate() {
        found.push((format!("letter {index}"), letter.to_string()));
    }
    // A letter of the table that is not the one asked about.
    if let Some(start) = letters.last() {
        found.extend(
            letters.iter().find(|letter| *letter != start).map(|letter| ("another letter".to_owned(), letter.to_string())),
        );
    }
    found
}

#[test]
fn no_blind_strategy_beats_the_stated_chance() {
    let mut wrong = Vec::new();
    for (file, text) in SHIPPED_TASKS {
        let source = std::sync::Arc::new(Source { file: (*file).to_owned(), text: (*text).to_owned() });
        let task = read_task(&source, None).unwrap();
        let Data::Generator(name, written) = &task.data else { panic!("{file}: shipped tasks are generated") };
        let generator = find(&name.value).unwrap();
        let mut parameters = Parameters(
            generator.parameters().iter().map(|parameter| (parameter.name.to_owned(), parameter.default)).collect(),
        );
        for (key, value, _) in written {
            parameters.0.insert(key.value.clone(), *value);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let drawn = std::iter::repeat_with(|| generator.problem(&parameters, &mut rng));
        let problems: Vec<Problem> = drawn.filter(|problem| generator.is_asked(problem)).take(PROBLEMS).collect();
        let mut hits: HashMap<String, usize> = HashMap::new();
        for problem in &problems {
            // Where copying is what is asked, it is not blind.
            let copies = if generator.name() == "copy" { Vec::new() } else { copies(&problem.question) };
            for (strategy, guess) in copies {
                *hits.entry(strategy).or_default() += usize::from(guess == problem.answer);
            }
            for (place, choice) in problem.choices.iter().enumerate() {
                *hits.entry(format!("choice {place}")).or_default() += usize::from(*choice == problem.answer);
            }
            // A constant answer: whichever turns out to be the most frequent.
            *hits.entry(format!("always {}", problem.answer)).or_default() += 1;
        }
        let (strategy, best) = hits.into_iter().max_by_key(|(_, count)| *count).unwrap();
        let rate = best as f64 / PROBLEMS as f64;
        // Three standard errors: thousands of strategies are played, and the best is taken.
        let allowed = task.chance + 3.0 * (task.chance.max(1e-4) / PROBLEMS as f64).sqrt() + 1.5 / PROBLEMS as f64;
        // A level stated far above every strategy would hide an ability.
        if rate > allowed || task.chance >= 0.01 && rate < 0.8 * task.chance {
            wrong.push(format!("{file}: the best strategy, {strategy}, scores {rate}, chance is stated as {}", task.chance));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
