use super::*;
use crate::schema::{
    AnswerKind, DataSource, ModelEntry, Outcome, Parameters, Point, Prompt, Record, Refusal, Scale, Score, Task,
};

mod axes;
mod difficulty;

const N: usize = 400;

/// A run of one task and one prompt over models a factor of four apart, with a rate of right answers per model.
fn run(chance: f64, rates: &[f64]) -> (RunManifest, Vec<Record>) {
    let mut manifest = manifest(chance, rates.len());
    let records: Vec<Record> = rates
        .iter()
        .enumerate()
        .flat_map(|(model, rate)| {
            let right = (rate * N as f64).round() as usize;
            (0..N).map(move |i| record("task", "plain", model, i, Outcome::Answered, f64::from(u8::from(i < right))))
        })
        .collect();
    manifest.planned = records.len();
    (manifest, records)
}

pub(super) fn manifest(chance: f64, models: usize) -> RunManifest {
    RunManifest {
        version: 1,
        run: "r".into(),
        program: "0".into(),
        started: "2026-01-01T00:00:00Z".into(),
        seed: 1,
        samples: N,
        until_resolved: false,
        repetitions: 1,
        epoch: String::new(),
        tasks: vec![task("task", chance)],
        prompts: vec![prompt("plain")],
        endpoints: Vec::new(),
        models: (0..models).map(model).collect(),
        refused: Vec::new(),
        planned: 0,
    }
}

fn task(name: &str, chance: f64) -> Task {
    Task {
        name: name.into(),
        version: 1,
        about: String::new(),
        data: DataSource::Generator { name: "g".into(), parameters: Parameters::default() },
        answer: AnswerKind::Number,
        discontinuous: "exact-match".into(),
        continuous: vec!["answer-logprob".into()],
        chance,
    }
}

fn prompt(name: &str) -> Prompt {
    Prompt {
        name: name.into(),
        version: 1,
        about: String::new(),
        technique: "few-shot".into(),
        shots: 0,
        shot: String::new(),
        ask: String::new(),
        stop: Vec::new(),
        turns: None,
        answer_after: None,
        tool: None,
        call: None,
        baseline: None,
        cut_is_unparsed: false,
    }
}

fn model(index: usize) -> ModelEntry {
    ModelEntry {
        name: format!("m{index}"),
        family: "f".into(),
        endpoint: "e".into(),
        scale: Scale { flops: Some(1e9 * 4_f64.powi(index as i32)), ..Scale::default() },
        weights: None,
    }
}

pub(super) fn record(task: &str, prompt: &str, model: usize, sample: usize, outcome: Outcome, value: f64) -> Record {
    Record {
        run: "r".into(),
        task: task.into(),
        prompt: prompt.into(),
        family: "f".into(),
        model: format!("m{model}"),
        sample: sample.to_string(),
        repetition: 0,
        outcome,
        answer: None,
        target: sample.to_string(),
        detail: None,
        method: None,
        missing_mass: None,
        reply_tokens: None,
        exchanges: Vec::new(),
        scores: vec![
            Score { scorer: "exact-match".into(), value: outcome.is_scored().then_some(value) },
            Score { scorer: "answer-logprob".into(), value: Some(-5.0 + model as f64 + (sample % 7) as f64 / 7.0) },
        ],
    }
}

fn range(metric: &str) -> Option<ScoreRange> {
    let low = if metric == "answer-logprob" { f64::NEG_INFINITY } else { 0.0 };
    Some(ScoreRange { low, high: if low == 0.0 { 1.0 } else { 0.0 } })
}

fn exact(manifest: &RunManifest, records: &[Record]) -> Curve {
    analyse_with(manifest, records, &range).curves.into_iter().find(|curve| curve.discontinuous).unwrap()
}

fn judged(chance: f64, rates: &[f64]) -> Curve {
    let (manifest, records) = run(chance, rates);
    exact(&manifest, &records)
}

#[test]
fn curves_of_known_truth_get_their_verdict() {
    let cases: &[(Verdict, f64, &[f64])] = &[
        (Verdict::Flat, 0.0, &[0.0, 0.0, 0.0025, 0.0, 0.0025, 0.0]),
        (Verdict::Emergent, 0.0, &[0.0, 0.0025, 0.0, 0.005, 0.3, 0.8]),
        (Verdict::Emergent, 0.01, &[0.01, 0.0, 0.015, 0.01, 0.01, 0.08, 0.2, 0.5, 0.9]),
        (Verdict::Emergent, 0.5, &[0.5, 0.49, 0.51, 0.5, 0.75, 0.9]),
        (Verdict::EmergentLastPoint, 0.0, &[0.0, 0.0, 0.0025, 0.0, 0.0, 0.4]),
        (Verdict::EmergentLastPoint, 0.0, &[0.0, 0.0, 0.0, 0.4]),
        (Verdict::Smooth, 0.0, &[0.1, 0.25, 0.4, 0.55, 0.7, 0.85]),
        (Verdict::Smooth, 0.25, &[0.28, 0.38, 0.47, 0.58, 0.7, 0.8]),
        (Verdict::Inverse, 0.25, &[0.6, 0.5, 0.42, 0.33, 0.25, 0.2]),
        (Verdict::UShaped, 0.25, &[0.5, 0.4, 0.3, 0.2, 0.4, 0.7]),
        (Verdict::BreakthroughFromPlateau, 0.145, &[0.34, 0.36, 0.35, 0.34, 0.35, 0.6, 0.9]),
        (Verdict::AboveChance, 0.25, &[0.62, 0.6, 0.63, 0.61, 0.62, 0.6]),
        (Verdict::Unresolved, 0.0, &[0.0, 0.0, 0.9]),
        // A jump after two models at chance is no plateau, and no growth from the first models on either.
        (Verdict::Unresolved, 0.0, &[0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        (Verdict::Unresolved, 0.0, &[0.0, 0.0, 0.99, 1.0, 1.0, 1.0, 1.0]),
        (Verdict::Unresolved, 0.0, &[0.0, 0.0, 0.46, 0.91, 0.0, 1.0, 1.0, 1.0]),
        (Verdict::Flat, 0.5, &[0.5, 0.49, 0.5, 0.51, 0.5, 0.5]),
    ];
    for (verdict, chance, rates) in cases {
        let curve = judged(*chance, rates);
        assert_eq!(curve.verdict, *verdict, "{rates:?}: {:#?}", curve.evidence);
        assert!(curve.evidence.iter().all(|part| !part.words.is_empty()));
        let shaped = matches!(verdict, Verdict::Emergent | Verdict::EmergentLastPoint);
        assert_eq!(curve.emergence > 0.6, shaped, "{rates:?}: {}", curve.emergence);
    }
}

/// Scores without records, of `n` items each, a factor of four apart.
fn published(chance: f64, n: f64, scores: &[f64]) -> Curve {
    let one = |(index, score): (usize, &f64)| crate::schema::PublishedScore {
        task: "task".into(),
        family: "f".into(),
        model: format!("m{index}"),
        prompt: String::new(),
        metric: "acc".into(),
        score: *score,
        n: Some(n),
        chance: Some(chance),
        scale: model(index).scale,
    };
    let scores: Vec<_> = scores.iter().enumerate().map(one).collect();
    analyse_published("file", &scores, Options::default()).1.curves.remove(0)
}

#[test]
fn what_published_curves_taught() {
    // Few items at each model, and all of them below chance: flat, whatever one model alone could have shown.
    let wsc = published(0.5, 104.0, &[0.365; 8]);
    assert_eq!((wsc.verdict, wsc.onset.above), (Verdict::Flat, None), "{:#?}", wsc.evidence);
    // Eleven items at each model are too few even together.
    let few = published(0.25, 11.0, &[0.27, 0.18, 0.27, 0.27, 0.27, 0.18]);
    assert_eq!(few.verdict, Verdict::Unresolved);
    assert!(part(&few, "change").unwrap().starts_with("not flat: "), "{:?}", part(&few, "change"));
    // A steady rise from below chance has no plateau, though its first models are not above chance.
    let climbing = published(0.25, 1172.0, &[0.180, 0.186, 0.221, 0.259, 0.290, 0.323, 0.356, 0.365]);
    assert!(climbing.emergence < 0.5 && climbing.verdict != Verdict::Emergent, "{:#?}", climbing.evidence);
    // Three models above chance by themselves are more than the last point.
    let three = published(0.25, 110.0, &[30.0, 25.0, 24.0, 21.0, 31.0, 38.0, 36.0, 42.0].map(|right| right / 110.0));
    assert_eq!(three.verdict, Verdict::Emergent, "{:#?}", three.evidence);
    // No answer anywhere is below any chance, and flat.
    assert_eq!(published(0.25, 400.0, &[0.0; 8]).verdict, Verdict::Flat);
    // What falls as soon as it has jumped does not grow.
    let falling = published(0.25, 1000.0, &[0.25, 0.25, 0.25, 0.25, 0.8, 0.7, 0.65, 0.6]);
    assert_ne!(falling.verdict, Verdict::Emergent, "{:#?}", falling.evidence);
    // A level above chance begins at the smallest model or before.
    let level = published(0.25, 400.0, &[0.45, 0.44, 0.46, 0.45, 0.44, 0.46]);
    assert_eq!((level.verdict, level.onset.below, level.onset.above), (Verdict::AboveChance, None, Some(1e9)));
}

#[test]
fn the_onset_lies_between_the_last_at_chance_and_the_first_above() {
    let curve = judged(0.0, &[0.0, 0.0, 0.0, 0.0, 0.3, 0.8]);
    let at = |index: i32| 1e9 * 4_f64.powi(index);
    assert_eq!((curve.onset.below, curve.onset.above), (Some(at(3)), Some(at(4))));
    let (knee, midpoint) = (curve.onset.knee.unwrap(), curve.onset.midpoint.unwrap());
    assert!(at(3) < knee && knee < midpoint && midpoint < at(5));
    assert!(curve.sharpness.unwrap() > 0.0);
    let last = judged(0.0, &[0.0, 0.0, 0.0, 0.0, 0.0, 0.8]);
    assert!(curve.emergence > 0.7 && last.emergence < curve.emergence);
    assert!(last.onset.knee <= last.onset.midpoint && last.sharpness >= Some(0.0), "{:?}", last.onset);
}

fn part<'a>(curve: &'a Curve, part: &str) -> Option<&'a str> {
    curve.evidence.iter().find(|evidence| evidence.part == part).map(|evidence| evidence.words.as_str())
}

#[test]
fn a_continuous_metric_tells_whether_a_jump_was_sudden_in_one_metric_only() {
    let rates = [0.0, 0.0, 0.0, 0.0, 0.3, 0.8];
    let said = |before: fn(usize) -> f64, length: usize, spelled: Option<f64>| {
        let (mut manifest, mut records) = run(0.0, &rates);
        if spelled.is_some() {
            manifest.tasks[0].continuous.push("digit-accuracy".into());
        }
        for (i, record) in records.iter_mut().enumerate() {
            let (model, sample) = (i / N, i % N);
            record.target = "7".repeat(length);
            record.scores[1].value = Some(before(model) - (sample % 7) as f64 / 7.0);
            if let Some(step) = spelled {
                // As many characters right as make the whole right so often, when each is right by itself; below the onset
                // more with every size, too few to show in the whole.
                let p = rates[model].max(0.001).powf(1.0 / length as f64);
                let p = if model > 3 { p } else { step.mul_add(model as f64, p) };
                record.scores.push(Score { scorer: "digit-accuracy".into(), value: Some(p) });
            }
        }
        part(&exact(&manifest, &records), "metric_artefact").unwrap().to_owned()
    };
    let smooth = |model: usize| model as f64 - 6.0;
    let sudden = |model: usize| if model > 3 { -1.0 } else { -6.0 };
    assert_eq!(
        said(smooth, 4, None),
        "progress that exact-match does not show is seen below the onset already by answer-logprob"
    );
    // An accuracy per character that jumps itself explains the jump and makes it no artefact.
    assert_eq!(
        said(smooth, 4, Some(0.0)),
        "progress that exact-match does not show is seen below the onset already by answer-logprob, but not by digit-accuracy"
    );
    assert!(
        said(smooth, 4, Some(0.05))
            .starts_with("an artefact of exact-match, as far as can be seen: answer-logprob and digit-accuracy rise")
    );
    assert_eq!(
        said(sudden, 4, None),
        "no sign of an artefact of exact-match: answer-logprob does not rise significantly below the onset either"
    );
    assert!(said(sudden, 4, Some(0.0)).starts_with("no sign of an artefact of exact-match: answer-logprob and digit"));
    assert!(said(sudden, 4, Some(0.05)).starts_with("an artefact of exact-match, as far as can be seen: digit-accuracy"));
    // A verdict that unscored records could change is not explained.
    let (manifest, mut records) = run(0.0, &rates);
    for record in records.iter_mut().filter(|record| record.model == "m2").take(N / 2) {
        record.outcome = Outcome::Failed;
        record.scores.clear();
    }
    let curve = exact(&manifest, &records);
    assert_eq!((curve.verdict, part(&curve, "metric_artefact")), (Verdict::Inconclusive, None));
    // A curve without a jump has nothing to explain.
    assert_eq!(part(&judged(0.0, &[0.1, 0.25, 0.4, 0.55, 0.7, 0.85]), "metric_artefact"), None);
}

#[test]
fn a_chance_that_the_data_contradict_is_warned_of() {
    let curve = judged(0.5, &[0.36; 6]);
    assert_eq!(curve.evidence[0].part, "chance");
    assert!(curve.evidence[0].words.starts_with("every model is significantly below a chance of 0.5"), "{curve:?}");
    assert_eq!(part(&judged(0.5, &[0.36, 0.36, 0.36, 0.36, 0.5, 0.36]), "chance"), None);
    let (manifest, mut records) = run(0.25, &[0.25, 0.25, 0.3, 0.4, 0.5, 0.6]);
    for record in &mut records {
        let sample: usize = record.sample.parse().unwrap();
        record.target = if sample % 5 < 3 { "yes".into() } else { sample.to_string() };
    }
    let words = part(&exact(&manifest, &records), "chance").unwrap().to_owned();
    assert!(words.starts_with("always answering `yes` scores 0.6 of 400 items, more than the chance of 0.25"), "{words}");
    for record in &mut records {
        record.target = record.sample.clone();
    }
    assert_eq!(part(&exact(&manifest, &records), "chance"), None);
}

#[test]
fn curves_without_chance_are_never_emergent() {
    let (manifest, records) = run(0.0, &[0.0, 0.0, 0.0, 0.0, 0.3, 0.8]);
    let analysis = analyse_with(&manifest, &records, &range);
    let curve = analysis.curves.iter().find(|curve| curve.metric == "answer-logprob").unwrap();
    assert_eq!((curve.verdict, curve.chance, curve.p_value), (Verdict::Smooth, None, None));
    let point = &curve.points[0];
    assert_eq!((point.bound_low, point.n), (None, N));
    assert!(point.low.unwrap() < point.score.unwrap() && point.score.unwrap() < point.high.unwrap());
}

#[test]
fn many_failures_make_it_inconclusive_and_few_do_not() {
    let (manifest, mut records) = run(0.0, &[0.0, 0.0, 0.0, 0.0, 0.3, 0.8]);
    let fail = |records: &mut [Record], model: &str, part: usize| {
        for (i, record) in records.iter_mut().filter(|record| record.model == model).enumerate() {
            if i % 10 < part {
                record.outcome = Outcome::Failed;
                record.scores.clear();
            }
        }
    };
    fail(&mut records, "m5", 1);
    let curve = exact(&manifest, &records);
    assert_eq!(curve.verdict, Verdict::Emergent);
    assert_eq!((curve.points[5].failed, curve.points[5].n), (40, 360));
    let point = &curve.points[5];
    assert!(point.bound_low < point.score && point.score < point.bound_high);
    // The interval of the whole holds the bounds, and less than two intervals at 95 % would: 1.645 standard errors, not 1.96.
    let n = N as f64;
    let low = point.bound_low.unwrap();
    let error = (low * (1.0 - low) / n).sqrt();
    let beyond = (low - point.whole_low.unwrap()) / error;
    assert!((beyond - 1.645).abs() < 0.15, "{beyond}");
    assert!(point.whole_high > point.bound_high);
    assert_eq!(curve.points[4].whole_low, None);
    fail(&mut records, "m2", 6);
    let curve = exact(&manifest, &records);
    assert_eq!(curve.verdict, Verdict::Inconclusive);
    assert_eq!(curve.evidence[0].part, "bounds");
}

#[test]
fn missing_records_count_as_unscored() {
    let (manifest, records) = run(0.0, &[0.0, 0.0, 0.0, 0.0, 0.3, 0.8]);
    let part: Vec<Record> = records.into_iter().filter(|record| record.model != "m0").collect();
    let curve = exact(&manifest, &part);
    let point = &curve.points[0];
    assert_eq!((point.missing, point.n, point.score), (N, 0, None));
    assert_eq!((point.bound_low, point.bound_high), (Some(0.0), Some(1.0)));
    assert_eq!(curve.verdict, Verdict::Inconclusive);
}

#[test]
fn neither_the_unit_of_scale_nor_the_order_of_records_matters() {
    for rates in [[0.0, 0.0, 0.0, 0.0, 0.3, 0.8], [0.1, 0.25, 0.4, 0.55, 0.7, 0.85]] {
        let (mut manifest, mut records) = run(0.0, &rates);
        let before = exact(&manifest, &records);
        records.reverse();
        let analysis = analyse_with(&manifest, &records, &range);
        assert_eq!(analysis.curves[0], before);
        for model in &mut manifest.models {
            model.scale.flops = model.scale.flops.map(|flops| flops / 1e15);
        }
        let after = exact(&manifest, &records);
        assert_eq!(after.verdict, before.verdict);
        assert!((after.emergence - before.emergence).abs() < 1e-9);
        assert!((after.onset.above.unwrap() * 1e15 / before.onset.above.unwrap() - 1.0).abs() < 1e-9);
    }
}

#[test]
fn prompts_are_ordered_by_where_they_begin_to_work_and_q_values_span_tasks() {
    let (mut manifest, records) = run(0.0, &[0.0; 6]);
    manifest.tasks.push(task("other", 0.0));
    manifest.prompts = ["never", "late", "early"].map(prompt).to_vec();
    manifest.refused.push(Refusal { task: "other".into(), prompt: "late".into(), reason: "no steps".into() });
    let mut all = Vec::new();
    for (name, from) in [("never", 9), ("late", 5), ("early", 4)] {
        for record in &records {
            let mut record = record.clone();
            record.prompt = name.into();
            let model: usize = record.model[1..].parse().unwrap();
            record.scores[0].value = Some(f64::from(u8::from(model >= from)));
            all.push(record.clone());
            if name != "late" {
                record.task = "other".into();
                record.scores[0].value = Some(0.0);
                all.push(record);
            }
        }
    }
    manifest.planned = all.len();
    let analysis = analyse_with(&manifest, &all, &range);
    let names: Vec<&str> = analysis.order[0].prompts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["early", "late", "never"]);
    assert_eq!(analysis.order[1].prompts.len(), 2);
    assert_eq!(analysis.refused.len(), 1);
    let early = analysis.curves.iter().find(|curve| curve.prompt == "early" && curve.discontinuous).unwrap();
    assert!(early.q_value >= early.p_value);
    // What is written can be read again.
    let text = serde_json::to_string(&analysis).unwrap();
    let read: Analysis = serde_json::from_str(&text).unwrap();
    assert_eq!((read.order, read.curves.len()), (analysis.order, analysis.curves.len()));
}

#[test]
fn without_compute_the_axis_is_parameters() {
    let (mut manifest, records) = run(0.0, &[0.0, 0.0, 0.0, 0.0, 0.3, 0.8]);
    for model in &mut manifest.models {
        model.scale = Scale { params: model.scale.flops, ..Scale::default() };
    }
    let curve = exact(&manifest, &records);
    assert_eq!((curve.axis.as_str(), curve.verdict), ("params", Verdict::Emergent));
}

/// Every record asked three times, with what the others say.
fn repeated(manifest: &mut RunManifest, records: &[Record], other: impl Fn(&Record, u32) -> Record) -> Vec<Record> {
    manifest.repetitions = 3;
    manifest.planned *= 3;
    let again = |record: &Record, repetition| Record { repetition, ..other(record, repetition) };
    records.iter().flat_map(|record| (0..3).map(|repetition| again(record, repetition)).collect::<Vec<_>>()).collect()
}

#[test]
fn repetitions_are_no_more_items() {
    let (mut manifest, records) = run(0.25, &[0.25, 0.25, 0.3, 0.5, 0.9]);
    let once = analyse_with(&manifest, &records, &range);
    // What says the same three times says what it said once.
    let all = repeated(&mut manifest, &records, |record, _| record.clone());
    let thrice = analyse_with(&manifest, &all, &range);
    for (once, thrice) in once.curves.iter().zip(&thrice.curves) {
        let expected: Vec<_> =
            once.points.iter().cloned().map(|point| Point { answered: 3 * point.answered, ..point }).collect();
        assert_eq!(thrice.points.len(), expected.len());
        for (found, expected) in thrice.points.iter().zip(&expected) {
            assert_eq!((found.n, found.answered, found.missing), (expected.n, expected.answered, 0));
            for (found, expected) in [(found.score, expected.score), (found.low, expected.low), (found.high, expected.high)]
            {
                assert!((found.unwrap() - expected.unwrap()).abs() < 1e-12);
            }
        }
        assert_eq!((thrice.verdict, &thrice.onset), (once.verdict, &once.onset));
    }
}

#[test]
fn an_item_is_the_mean_of_its_repetitions_and_what_has_no_score_widens_its_bounds() {
    let (mut manifest, records) = run(0.0, &[0.5, 0.5, 0.5]);
    // The second repetition of the first item of every model is right, the third has failed.
    let all = repeated(&mut manifest, &records, |record, repetition| {
        let mut other = record.clone();
        if record.sample == "0" && repetition > 0 {
            other.outcome = if repetition == 1 { Outcome::Answered } else { Outcome::Failed };
            other.scores.iter_mut().for_each(|score| score.value = (repetition == 1).then_some(0.0));
        }
        other
    });
    let curve = exact(&manifest, &all);
    for point in &curve.points {
        // 199 right, one right in one of the two repetitions that have a score.
        assert_eq!((point.n, point.answered, point.failed), (N, 3 * N - 1, 1));
        assert!((point.score.unwrap() - 199.5 / N as f64).abs() < 1e-12);
        let third = 1.0 / 3.0;
        assert!((point.bound_low.unwrap() - (199.0 + third) / N as f64).abs() < 1e-12);
        assert!((point.bound_high.unwrap() - (199.0 + 2.0 * third) / N as f64).abs() < 1e-12);
        assert!(point.whole_low < point.bound_low && point.whole_high > point.bound_high);
    }
    // Of a run that is not complete, what is still to be asked is missing.
    let begun: Vec<Record> = all.into_iter().filter(|record| record.repetition < 2 && record.sample != "1").collect();
    let point = &exact(&manifest, &begun).points[0];
    assert_eq!((point.n, point.answered, point.missing), (N - 1, 2 * (N - 1), N + 2));
    let high = 198.0 + (1.0 + 1.0) / 3.0 + 200.0 / 3.0 + 1.0;
    assert!((point.bound_high.unwrap() - high / N as f64).abs() < 1e-12, "{point:?}");
}
