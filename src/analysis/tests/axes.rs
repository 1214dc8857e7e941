use super::*;
use crate::analysis::likelihood::{Items, Likelihood};
use crate::curves::CURVES;
use crate::schema::{Form, Proposal, PublishedScore, Sizes};

const RATES: [f64; 6] = [0.0, 0.0, 0.0, 0.0, 0.3, 0.8];

fn loss(index: usize) -> f64 {
    (index as f64).mul_add(-0.2, 3.0)
}

/// The curve of `run` whose models also have losses a fifth of a nat apart.
fn with_losses() -> (RunManifest, Vec<Record>) {
    let (mut manifest, records) = run(0.0, &RATES);
    for (index, model) in manifest.models.iter_mut().enumerate() {
        model.scale.loss = Some(loss(index));
    }
    (manifest, records)
}

fn on(axis: Axis, manifest: &RunManifest, records: &[Record]) -> Analysis {
    analyse_over(manifest, &Cells::of_records(manifest, records), Some(axis), &range)
}

fn main_curve(analysis: &Analysis) -> &Curve {
    analysis.curves.iter().find(|curve| curve.discontinuous).unwrap()
}

fn score(family: &str, model: &str, score: f64, scale: Scale) -> PublishedScore {
    PublishedScore {
        task: "t".into(),
        family: family.into(),
        model: model.into(),
        prompt: String::new(),
        metric: "accuracy".into(),
        score,
        n: Some(400.0),
        chance: Some(0.0),
        scale,
    }
}

#[test]
fn over_loss_an_onset_is_a_loss_and_the_verdict_that_over_compute() {
    let (manifest, records) = with_losses();
    let (over_loss, over_compute) = (on(Axis::Loss, &manifest, &records), on(Axis::Flops, &manifest, &records));
    let (curve, other) = (main_curve(&over_loss), main_curve(&over_compute));
    assert_eq!((curve.axis.as_str(), curve.verdict), ("loss", Verdict::Emergent));
    // Equal steps of loss, stretched to the range of compute, are the steps of compute.
    assert!((curve.emergence - other.emergence).abs() < 1e-6, "{} {}", curve.emergence, other.emergence);
    let places: Vec<f64> = curve.points.iter().map(|point| point.x).collect();
    assert_eq!(places, (0..6).map(loss).collect::<Vec<_>>());
    let onset = &curve.onset;
    assert_eq!((onset.below, onset.above), (Some(loss(3)), Some(loss(4))));
    assert!(onset.low >= onset.knee && onset.knee >= onset.high && onset.knee > onset.midpoint, "{onset:?}");
    let (knee, midpoint) = (onset.knee.unwrap(), onset.midpoint.unwrap());
    assert!((knee - midpoint - curve.sharpness.unwrap()).abs() < 0.03, "{onset:?} {:?}", curve.sharpness);
    let words: Vec<&str> = curve.evidence.iter().map(|evidence| evidence.words.as_str()).collect();
    assert!(words.iter().any(|words| words.contains("from 2.200 nats of loss on are above chance")), "{words:?}");
    assert!(words.iter().all(|words| !words.contains("decades") && !words.contains("e+")), "{words:?}");
    let over_perplexity = on(Axis::Perplexity, &manifest, &records);
    let curve = main_curve(&over_perplexity);
    assert_eq!((curve.onset.below, curve.onset.above), (Some(loss(3).exp()), Some(loss(4).exp())));
    assert!((curve.onset.knee.unwrap().ln() - knee).abs() < 1e-6);
    // Each size against the next smaller one, in the same units.
    let sizes = over_loss.comparisons.iter().find(|one| one.metric == "exact-match").unwrap();
    let of: Vec<(&str, f64)> = sizes.points.iter().map(|point| (point.model.as_str(), point.x)).collect();
    assert_eq!((of[0], of[4]), (("m1", loss(1)), ("m5", loss(5))));
    assert!(sizes.words.contains("better at 2.200, 2.000 nats of loss"), "{}", sizes.words);
    assert_eq!(over_loss.order[0].prompts, [("plain".to_owned(), Some(loss(4)))]);
}

#[test]
fn an_axis_that_models_lack_is_refused_with_their_names() {
    let (mut manifest, records) = with_losses();
    manifest.models[1].scale.loss = None;
    let analysis = on(Axis::Loss, &manifest, &records);
    let curve = main_curve(&analysis);
    assert_eq!(curve.points.len(), 5);
    assert_eq!(curve.evidence[0].words, "1 of 6 models without a held-out loss or perplexity: m1; left out");
    manifest.models[4].scale.loss = None;
    let analysis = on(Axis::Loss, &manifest, &records);
    assert!(analysis.curves.is_empty());
    assert_eq!(analysis.refused[0].reason, "f: 2 of 6 models without a held-out loss or perplexity: m1, m4");
    assert!(main_curve(&analyse_with(&manifest, &records, &range)).evidence[0].part != "axis");
}

#[test]
fn families_that_are_one_curve_over_loss_are_found_to_be() {
    let mut scores = Vec::new();
    // Three families that need a hundred times as many parameters, one after the other, for the same loss and score.
    for (family, ahead) in [("a", 0.0), ("b", 1.5), ("c", 3.0)] {
        for size in 0..5 {
            let able = f64::from(size) + ahead / 6.0;
            let scale = Scale {
                params: Some(10_f64.powf(0.75f64.mul_add(f64::from(size), 6.0 + ahead))),
                loss: Some(0.3f64.mul_add(-able, 4.0)),
                ..Scale::default()
            };
            let right = 0.9 / (1.0 + (-4.0 * (able - 3.2)).exp());
            scores.push(score(family, &format!("{family}{size}"), (right * 400.0).round() / 400.0, scale));
        }
    }
    let (_, analysis) = analyse_published("f", &scores, Options { axis: None, pool: true });
    let found = &analysis.collapse[0];
    assert_eq!((found.models, found.left_out, found.families.len()), (15, 0, 3));
    let axes: Vec<&str> = found.axes.iter().map(|one| one.axis.as_str()).collect();
    assert_eq!(axes, ["loss", "params"]);
    assert_eq!((found.axes[0].behind, found.axes[1].strength.as_str()), (0.0, "very strong"), "{found:?}");
    assert!(found.words.starts_with("15 models of 3 families fall on one curve best over loss; params is "));
    // The stretch makes the unit of an axis mean nothing.
    for one in &mut scores {
        one.scale.params = one.scale.params.map(|params| params * 1e3);
        one.scale.loss = one.scale.loss.map(|loss| loss * 2.0);
    }
    let (_, again) = analyse_published("f", &scores, Options { axis: None, pool: true });
    assert!((again.collapse[0].axes[1].behind - found.axes[1].behind).abs() < 1e-6);
    let (_, single) = analyse_published("f", &scores, Options { axis: None, pool: false });
    assert!(single.collapse.is_empty());
}

#[test]
fn checkpoints_are_a_curve_of_their_own_and_no_models_of_their_family() {
    let mut scores = Vec::new();
    for (size, right) in [0.0, 0.0, 0.0, 0.5, 0.9].into_iter().enumerate() {
        let params = Some(10_f64.powi(6 + size as i32));
        let own = |tokens: f64, checkpoint| Scale { params, tokens: Some(tokens), checkpoint, ..Scale::default() };
        scores.push(score("f", &format!("m{size}"), right, own(1e9, None)));
        // The largest has a training run with enough checkpoints, the second largest one with too few.
        let steps: &[u64] = if size == 4 {
            &[1, 10, 100, 500]
        } else if size == 3 {
            &[1, 500]
        } else {
            &[]
        };
        for step in steps {
            let so_far = if *step < 500 { 0.0 } else { right / 2.0 };
            scores.push(score("f", &format!("m{size}-step{step}"), so_far, own(*step as f64 * 1e6, Some(*step))));
        }
    }
    let (manifest, analysis) = analyse_published("f", &scores, Options { axis: Some(Axis::Params), pool: false });
    let of: Vec<(&str, &str, usize)> =
        analysis.curves.iter().map(|curve| (curve.family.as_str(), curve.axis.as_str(), curve.points.len())).collect();
    assert_eq!(of, [("f", "params", 5), ("f: training of m4", "tokens", 5)]);
    let (models, training) = (&analysis.curves[0], &analysis.curves[1]);
    assert!(!models.is_training && training.is_training);
    assert!(models.points.iter().all(|point| point.checkpoint.is_none()));
    assert!(models.evidence[0].words.starts_with("2 checkpoints are left out"), "{}", models.evidence[0].words);
    let steps: Vec<Option<u64>> = training.points.iter().map(|point| point.checkpoint).collect();
    assert_eq!(steps, [Some(1), Some(10), Some(100), Some(500), None]);
    assert_eq!((training.onset.below, training.onset.above), (Some(1e8), Some(5e8)));
    // The same models in a run.
    let family = manifest.models.iter().map(|model| model.family.as_str()).collect::<Vec<_>>();
    assert_eq!(family.len(), 11);
    let labels: Vec<(String, usize)> =
        groups(&manifest, None).0.into_iter().map(|group| (group.label, group.models.len())).collect();
    assert_eq!(labels, [("f".to_owned(), 5), ("f: training of m4".to_owned(), 5)]);
    // Without training tokens of their own there is nothing to order checkpoints by.
    for one in &mut scores {
        one.scale.tokens = Some(1e9);
    }
    let (_, analysis) = analyse_published("f", &scores, Options { axis: None, pool: false });
    assert_eq!(analysis.curves.len(), 1);
    assert!(analysis.curves[0].evidence[0].words.starts_with("6 checkpoints are left out"));
}

/// Two seeds of each size with rates of their own.
fn seeds(rates: &[[f64; 2]]) -> Curve {
    let mut scores = Vec::new();
    for (size, rates) in rates.iter().enumerate() {
        for (seed, rate) in rates.iter().enumerate() {
            let scale = Scale { flops: Some(1e18 * 4_f64.powi(size as i32)), seed: Some(seed as u64), ..Scale::default() };
            scores.push(score("f", &format!("m{size}"), *rate, scale));
        }
    }
    analyse_published("f", &scores, Options::default()).1.curves.remove(0)
}

#[test]
fn seeds_of_a_size_are_one_size() {
    // Four models of two sizes are no plateau of three sizes, and two of the largest size are no run of two.
    let short = seeds(&[[0.0; 2], [0.0; 2], [0.5; 2], [0.9; 2]]);
    assert_ne!(short.verdict, Verdict::Emergent);
    let last = seeds(&[[0.0; 2], [0.0; 2], [0.0; 2], [0.0; 2], [0.0; 2], [0.6, 0.62]]);
    assert_eq!(last.verdict, Verdict::EmergentLastPoint, "{:?}", last.evidence);
    let rise = part(&last, "rise").unwrap();
    let whole = seeds(&[[0.0; 2], [0.0; 2], [0.0; 2], [0.0; 2], [0.3, 0.2], [0.6, 0.7]]);
    assert_eq!(whole.verdict, Verdict::Emergent, "{rise}");
    assert!(part(&whole, "plateau").unwrap().starts_with("the 4 sizes below the knee"), "{:?}", part(&whole, "plateau"));
    // A size of which one seed is not above has not begun, in whatever order its seeds stand.
    for middle in [[0.0, 0.3], [0.3, 0.0]] {
        let split = seeds(&[[0.0; 2], [0.0; 2], [0.0; 2], middle, [0.5; 2], [0.8; 2]]);
        assert_eq!((split.onset.below, split.onset.above), (Some(1e18 * 64.0), Some(1e18 * 256.0)));
    }
    let order = [[0.7, 0.0], [0.0, 0.7]].map(|last| seeds(&[[0.0; 2], [0.0; 2], [0.0; 2], [0.0; 2], [0.5; 2], last]));
    assert_eq!(order[0].verdict, order[1].verdict);
}

#[test]
fn seeds_that_scatter_make_larger_shifts_more_likely() {
    let sizes = Sizes::new(&[0.0, 1.0, 2.0, 3.0], 0.0).unwrap();
    let proposal =
        Proposal { level: 1e-3, gain: 0.9, form: Form::Logistic { width: 0.1 }, at: 2.0, drift: 0.0, is_falling: false };
    // How much more likely two seeds at the middle of a rise are with shifts of .4 decades than with .02.
    let gain = |right: [f64; 2]| {
        let items = right.map(|right| Items { x: 2.0, right, n: 400.0, family: 0 });
        let likelihood = Likelihood::new(&items, sizes, false);
        let at = |place: f64| {
            let mut cube = [0.5; super::super::likelihood::DIMENSIONS];
            cube[crate::schema::CURVE_DIMENSIONS] = place;
            likelihood.log(&proposal, likelihood.propose(CURVES[0], &cube).1)
        };
        at(1.0) - at(0.0)
    };
    assert!(gain([20.0, 340.0]) > 3.0, "{}", gain([20.0, 340.0]));
    // One model of their mean would hide it.
    assert!(gain([180.0, 180.0]) < 0.0, "{}", gain([180.0, 180.0]));
}

#[test]
fn published_families_are_one_curve_over_compute_rather_than_parameters_or_tokens() {
    let file = crate::interop::read_curves(std::path::Path::new("tests/data/expemergence.csv")).unwrap();
    let scores: Vec<PublishedScore> = file.scores.into_iter().filter(|one| one.task == "hindu_knowledge").collect();
    let (_, analysis) = analyse_published("f", &scores, Options { axis: None, pool: true });
    let found = &analysis.collapse[0];
    assert_eq!((found.axes[0].axis.as_str(), found.models, found.families.len()), ("flops", 63, 22));
    assert!(found.axes[1..].iter().all(|one| one.behind > 10.0 && one.strength == "very strong"), "{found:?}");
    assert!(found.axes.iter().all(|one| one.error < 1.0), "{found:?}");
    // Families of one to three models are part of the pool and have no curve that could show nothing.
    let pooled = analysis.curves.iter().find(|curve| curve.family == "*").unwrap();
    assert!(pooled.evidence.iter().any(|one| one.part == "families"));
    assert!(analysis.curves.iter().all(|curve| curve.points.len() >= 4));
    let onset = &pooled.onset;
    assert!(onset.below.unwrap() < onset.knee.unwrap() && onset.knee.unwrap() <= onset.above.unwrap(), "{onset:?}");
}

#[test]
fn a_loss_takes_the_place_of_a_soft_metric_in_two_steps() {
    let with = |loss: fn(f64) -> Option<f64>| -> Vec<PublishedScore> {
        (0..7_u8)
            .map(|size| {
                let x = 0.7 * f64::from(size);
                let scale = Scale { flops: Some(10_f64.powf(18.0 + x)), loss: loss(x), ..Scale::default() };
                score("f", &format!("m{size}"), 0.12f64.mul_add(x, 0.1), scale)
            })
            .collect()
    };
    let refusals = |scores: &[PublishedScore]| -> Vec<Option<Refused>> {
        let (manifest, analysis) = analyse_published("f", scores, Options::default());
        let found = backtest(&manifest, &analysis);
        let of_two_steps = |one: &Prediction| one.said.iter().find(|said| said.method == Method::TwoStep).unwrap().refusal;
        found.predictions.iter().map(of_two_steps).collect()
    };
    assert!(refusals(&with(|_| None)).iter().all(|one| *one == Some(Refused::NoSoftMetric)));
    assert!(refusals(&with(|x| Some(3.0 * 10_f64.powf(-0.1 * x)))).iter().all(Option::is_none));
}

#[test]
fn a_first_model_that_fails_altogether_hides_no_fall() {
    let file = crate::interop::read_curves(std::path::Path::new("tests/data/bigg_3shot.csv")).unwrap();
    let scores: Vec<PublishedScore> = file.scores.into_iter().filter(|one| one.task == "color").collect();
    let (_, analysis) = analyse_published("f", &scores, Options::default());
    assert_eq!(analysis.curves[0].verdict, Verdict::Inverse);
}
