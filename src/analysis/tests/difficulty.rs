use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const MODELS: usize = 6;

/// A run over six models of which each gets an item right with a probability of the item's place, 0 to 1, and of its own.
fn random(chance: f64, items: usize, rate: impl Fn(f64, usize) -> f64) -> (RunManifest, Vec<Record>) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut manifest = manifest(chance, MODELS);
    let mut records = Vec::new();
    for model in 0..MODELS {
        for item in 0..items {
            let right = rng.random::<f64>() < rate(item as f64 / items as f64, model);
            records.push(record("task", "plain", model, item, Outcome::Answered, f64::from(u8::from(right))));
        }
    }
    manifest.samples = items;
    manifest.planned = records.len();
    (manifest, records)
}

/// The scores of the slices, the easy one first.
fn slices(curve: &Curve) -> Vec<Vec<f64>> {
    curve.slices.iter().map(|slice| slice.points.iter().map(|point| point.score).collect()).collect()
}

#[test]
fn easy_items_that_fall_and_hard_ones_that_rise_are_told_apart() {
    // Each third by itself, a straight line or a hump against a dip, and in the whole nothing.
    let straight = |place: f64, model: usize| {
        let way = 0.08 * model as f64;
        if place < 0.5 { 0.95 - way } else { 0.05 + way }
    };
    let (manifest, records) = random(0.2, N, straight);
    let curve = exact(&manifest, &records);
    let found = slices(&curve);
    assert!(found[0][0] > 0.85 && found[0][5] < 0.7 && found[2][0] < 0.15 && found[2][5] > 0.3, "{found:?}");
    let words = part(&curve, "difficulty").unwrap();
    assert!(
        words.starts_with("thirds of 133 items by difficulty go opposite ways, which the whole hides: easy ones fall, ")
    );
    assert!(
        words.contains(", hard ones rise; first above chance: easy and middle ones at 1.0e9 FLOPs, hard ones"),
        "{words}"
    );

    let bent = |place: f64, model: usize| {
        let way = 0.18 * (model as f64 - 2.5).abs();
        if place < 0.5 { 0.98 - way } else { 0.02 + way }
    };
    let (manifest, records) = random(0.2, N, bent);
    let curve = exact(&manifest, &records);
    let words = part(&curve, "difficulty").unwrap();
    assert!(
        words.contains("hides: easy ones rise and then fall, ") && words.contains("hard ones fall and then rise"),
        "{words}"
    );
    let points = &curve.slices[2].points;
    assert_eq!((points[0].model.as_str(), points[0].x, points[0].n), ("m0", 1e9, 134));
    assert!(points.iter().all(|point| point.low < Some(point.score) && Some(point.score) < point.high));

    // Both ways cancel into a plateau at chance; the models after it say what is difficult.
    let ending = |place: f64, model: usize| match model {
        0..4 => straight(place, 2 * model),
        _ if place < 0.5 => 1.0,
        _ => 0.4,
    };
    let (manifest, records) = random(0.5, N, ending);
    let words = part(&exact(&manifest, &records), "difficulty").unwrap().to_owned();
    assert!(words.contains(" go opposite ways below the onset (easy and middle ones fall, hard ones rise), "), "{words}");
}

#[test]
fn equally_difficult_items_have_equal_slices() {
    // Sliced by all answers, its own among them, a model would have .73 of the easy third right and .27 of the hard one.
    let (manifest, records) = random(0.25, N, |_, _| 0.5);
    let found = slices(&exact(&manifest, &records));
    assert_eq!(found.len(), 3);
    for model in 0..MODELS {
        let scores: Vec<f64> = found.iter().map(|slice| slice[model]).collect();
        // Four standard errors of a difference.
        assert!(scores.iter().all(|score| (score - scores[0]).abs() < 0.245), "{scores:?}");
    }
    let means: Vec<f64> = found.iter().map(|slice| slice.iter().sum::<f64>() / MODELS as f64).collect();
    assert!(means.iter().all(|mean| (mean - means[0]).abs() < 0.1), "{means:?}");
}

#[test]
fn slices_do_not_depend_on_the_order_of_records() {
    let (manifest, mut records) = random(0.1, N, |place, model| 0.2 + 0.1 * model as f64 * (1.0 - place));
    let before = exact(&manifest, &records);
    assert_eq!(before.slices.len(), 3);
    records.reverse();
    assert_eq!(exact(&manifest, &records).slices, before.slices);
    records.sort_by(|a, b| a.sample.cmp(&b.sample));
    assert_eq!(exact(&manifest, &records), before);
}

#[test]
fn an_item_without_a_score_is_left_out_there_and_does_not_look_hard_elsewhere() {
    // The ablest model gets everything right, and has no score of the easiest items.
    let rate = |place: f64, model: usize| if model == 5 { 1.0 } else { 0.9 - 0.8 * place };
    let (manifest, mut records) = random(0.1, N, rate);
    let whole = slices(&exact(&manifest, &records));
    for record in records.iter_mut().filter(|record| record.model == "m5") {
        if record.sample.parse::<usize>().unwrap() < 60 {
            record.outcome = Outcome::Failed;
            record.scores.clear();
        }
    }
    let curve = exact(&manifest, &records);
    let counted: usize = curve.slices.iter().map(|slice| slice.points[5].n).sum();
    assert_eq!((counted, curve.points[5].n), (340, 340));
    let found = slices(&curve);
    assert!((0..5).all(|model| (found[0][model] - whole[0][model]).abs() < 0.05), "{found:?} {whole:?}");
}

#[test]
fn too_few_items_or_sizes_or_able_models_have_no_slices() {
    let rising = |place: f64, model: usize| (0.1 + 0.15 * model as f64 - 0.1 * place).clamp(0.0, 1.0);
    let counted = |chance: f64, items: usize, rate: &dyn Fn(f64, usize) -> f64| {
        let (manifest, records) = random(chance, items, rate);
        let curve = exact(&manifest, &records);
        assert_eq!(part(&curve, "difficulty").is_some(), !curve.slices.is_empty());
        curve.slices.len()
    };
    assert_eq!(counted(0.01, 90, &rising), 3);
    assert_eq!(counted(0.01, 89, &rising), 0);
    // Habits of models at chance are no difficulty: half of the models answer one way, half the other.
    assert_eq!(counted(0.5, N, &|place, model| f64::from(u8::from((place < 0.5) == (model < 3)))), 0);
    // The only model above chance cannot say what is difficult to itself.
    assert_eq!(counted(0.01, N, &|_, model| if model == 5 { 0.5 } else { 0.0 }), 0);
    let (mut manifest, records) = random(0.01, N, rising);
    manifest.models.truncate(3);
    assert!(exact(&manifest, &records).slices.is_empty());
}
