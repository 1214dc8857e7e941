use serde_json::Value;

use super::*;

fn golden(part: &str) -> Vec<Vec<Value>> {
    let all: Value = serde_json::from_str(include_str!("../../tests/goldens/stats.json")).unwrap();
    serde_json::from_value(all[part].clone()).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn count(value: &Value) -> usize {
    number(value) as usize
}

fn close(got: f64, wanted: f64) {
    assert!((got - wanted).abs() <= 1e-9 * (1.0 + wanted.abs()), "{got} is not {wanted}");
}

#[test]
fn wilson_agrees_with_statsmodels() {
    for row in golden("wilson") {
        let interval = wilson(number(&row[0]), number(&row[1])).unwrap();
        close(interval.low, number(&row[2]));
        close(interval.high, number(&row[3]));
    }
    assert_eq!(wilson(0.0, 0.0), None);
}

#[test]
fn the_quantile_of_bounds_is_the_root_that_scipy_finds() {
    for row in golden("imbens_manski") {
        close(imbens_manski(number(&row[0]), number(&row[1])), number(&row[2]));
    }
    assert!((imbens_manski(0.1, 0.0) - 1.959_964).abs() < 1e-6);
}

#[test]
fn tails_agree_with_scipy() {
    for row in golden("tails") {
        let (k, n, p) = (count(&row[0]), count(&row[1]), number(&row[2]));
        close(upper_tail(k, n, p), number(&row[3]));
        close(lower_tail(k, n, p), number(&row[4]));
    }
    close(upper_tail(1, 10, 0.0), 0.0);
    close(upper_tail(0, 10, 0.0), 1.0);
    close(lower_tail(10, 10, 1.0), 1.0);
    close(lower_tail(9, 10, 1.0), 0.0);
}

#[test]
fn adjusted_p_values_agree_with_statsmodels() {
    for row in golden("bh") {
        for (got, wanted) in benjamini_hochberg(&numbers(&row[0])).into_iter().zip(numbers(&row[1])) {
            close(got, wanted);
        }
    }
    assert!(benjamini_hochberg(&[]).is_empty());
}

#[test]
fn adjustment_for_any_false_rejection_agrees_with_statsmodels() {
    for row in golden("holm") {
        for (got, wanted) in holm(&numbers(&row[0])).into_iter().zip(numbers(&row[1])) {
            close(got, wanted);
        }
    }
    assert!(holm(&[]).is_empty());
}

#[test]
fn mcnemar_agrees_with_statsmodels() {
    for row in golden("mcnemar") {
        let found = mcnemar(count(&row[0]), count(&row[1]));
        close(found.p_value, number(&row[2]));
        close(found.p_better, number(&row[3]));
        close(found.p_worse, number(&row[4]));
    }
    // Complete response before and after a therapy, as printed by Fagerland, Lydersen and Laake 2017, chapter 8.
    assert!((mcnemar(6, 16).p_value - 0.052_479).abs() < 5e-7);
}

#[test]
fn the_interval_of_paired_proportions_is_that_of_a_search_for_the_likelihood() {
    for row in golden("paired_interval") {
        let found = paired_interval(count(&row[0]), count(&row[1]), count(&row[2])).unwrap();
        assert!((found.low - number(&row[3])).abs() < 1e-8, "{found:?} is not {row:?}");
        assert!((found.high - number(&row[4])).abs() < 1e-8, "{found:?} is not {row:?}");
        let turned = paired_interval(count(&row[1]), count(&row[0]), count(&row[2])).unwrap();
        close(turned.low, -found.high);
        close(turned.high, -found.low);
    }
    // Fagerland, Lydersen and Laake 2017, chapter 8: four printed digits.
    let found = paired_interval(6, 16, 161).unwrap();
    assert!((found.low + 0.1240).abs() < 5e-5 && (found.high + 0.0054).abs() < 5e-5, "{found:?}");
}

#[test]
fn paired_intervals_at_the_edge_have_a_width_and_stay_inside() {
    let z = 1.959_963_984_540_054_f64.powi(2);
    let none = paired_interval(0, 0, 50).unwrap();
    close(none.high, z / (50.0 + z));
    close(none.low, -none.high);
    let all = paired_interval(20, 0, 20).unwrap();
    close(all.high, 1.0);
    assert!(all.low > 0.6 && all.low < 1.0, "{all:?}");
    assert_eq!(paired_interval(0, 0, 0), None);
    assert_eq!(paired_interval(3, 3, 5), None);
}

#[test]
fn the_mean_of_paired_differences_agrees_with_scipy() {
    for row in golden("paired_mean") {
        let mut values = numbers(&row[0]);
        let found = paired_mean(&values).unwrap();
        let interval = found.interval.unwrap();
        for (got, wanted) in [found.mean, interval.low, interval.high, found.p_value].iter().zip(&row[1..]) {
            assert!((got - number(wanted)).abs() < 1e-8, "{found:?} is not {row:?}");
        }
        values.reverse();
        assert_eq!(paired_mean(&values), Some(found));
    }
    assert_eq!(paired_mean(&[]), None);
    assert_eq!(paired_mean(&[0.3]).unwrap().interval, None);
    // No spread: the sign test has the word.
    close(paired_mean(&[0.1; 5]).unwrap().p_value, 2.0 * 0.5_f64.powi(5));
    close(paired_mean(&[0.0; 5]).unwrap().p_value, 1.0);
}

#[test]
fn the_contrast_is_the_cochran_armitage_test() {
    for row in golden("armitage") {
        let (x, k, n) = (numbers(&row[0]), numbers(&row[1]), numbers(&row[2]));
        let pooled = k.iter().sum::<f64>() / n.iter().sum::<f64>();
        let groups: Vec<Group> =
            (0..x.len()).map(|i| Group { x: x[i], mean: k[i] / n[i], n: n[i], variance: pooled * (1.0 - pooled) }).collect();
        let found = contrast(&groups).unwrap();
        assert!((found.p_rise - number(&row[3])).abs() < 1e-8);
        assert!((found.p_fall - number(&row[4])).abs() < 1e-8);
    }
}

#[test]
fn no_variance_and_no_trend_is_no_evidence() {
    let flat = [0.0, 1.0, 2.0].map(|x| Group { x, mean: 0.0, n: 10.0, variance: 0.0 });
    close(contrast(&flat).unwrap().p_rise, 0.5);
    assert_eq!(contrast(&flat[..1]), None);
    assert_eq!(contrast(&[]), None);
}

#[test]
fn small_permutation_tests_are_exact() {
    for row in golden("permutation") {
        close(permutation_trend(&numbers(&row[0]), &numbers(&row[1]), 1), number(&row[2]));
    }
    close(permutation_trend(&[1.0, 2.0, 3.0], &[5.0; 3], 1), 1.0);
}

#[test]
fn large_permutation_tests_keep_to_their_seed() {
    let x: Vec<f64> = (0..12).map(f64::from).collect();
    let y: Vec<f64> = x.iter().map(|v| (v * 7.0) % 5.0).collect();
    close(permutation_trend(&x, &y, 3), permutation_trend(&x, &y, 3));
    close(permutation_trend(&x, &x, 3), 1e-4);
}

#[test]
fn the_bootstrap_agrees_with_scipy_and_does_not_see_the_order() {
    for row in golden("bootstrap") {
        let mut values = numbers(&row[0]);
        let found = bootstrap_mean(&values, 20_000, 7).unwrap();
        assert!((found.low - number(&row[1])).abs() < 2e-3);
        assert!((found.high - number(&row[2])).abs() < 2e-3);
        values.reverse();
        assert_eq!(bootstrap_mean(&values, 20_000, 7), Some(found));
    }
    assert_eq!(bootstrap_mean(&[], 10, 1), None);
}

#[test]
fn the_minimal_effect_is_that_of_the_tables() {
    assert!((minimal_effect(0.25, 1000) - 0.034).abs() < 5e-4);
    assert!((minimal_effect(0.5, 100) - 0.1245).abs() < 5e-4);
    close(minimal_effect(0.0, 300), 0.01);
    assert!(minimal_effect(0.1, 0).is_infinite());
}

#[test]
fn the_beta_binomial_agrees_with_scipy() {
    for row in golden("beta_binomial") {
        let law = BetaBinomial::with_correlation(number(&row[1]), number(&row[2]), number(&row[3]));
        assert!((law.ln_pmf(number(&row[0])) - number(&row[4])).abs() < 1e-8, "{row:?}");
        assert!((law.upper_tail(number(&row[0])) - number(&row[5])).abs() < 1e-8, "{row:?}");
    }
    let law = BetaBinomial::with_correlation(10.0, 0.3, 0.1);
    close(law.upper_tail(0.0), 1.0);
    close(law.upper_tail(2.2), law.upper_tail(3.0));
}

/// A bump in two of four dimensions whose integral over the cube is known, and where its mass is.
fn bump(width: f64) -> (impl Fn(&[f64; 4]) -> f64, f64) {
    let log = move |point: &[f64; 4]| -0.5 * ((point[0] - 0.3).powi(2) + (point[2] - 0.6).powi(2)) / (width * width);
    (log, (std::f64::consts::TAU * width * width).ln())
}

#[test]
fn integrals_over_the_cube_are_found_by_both_methods() {
    let effort = Effort { points: 1_000, rounds: 3, most_rounds: 10, enough: 300.0, particles: 800, least: 60.0 };
    for width in [0.1, 0.02] {
        let (log, integral) = bump(width);
        for draws in [adaptive(effort, f64::NEG_INFINITY, &log), tempered(effort.particles, 1, &log)] {
            assert!((draws.log_integral - integral).abs() < 0.15, "{} for {integral}", draws.log_integral);
            let mean = |axis: usize| -> f64 {
                draws.points.iter().zip(&draws.weights).map(|(point, weight)| point[axis] * weight).sum()
            };
            assert!((mean(0) - 0.3).abs() < 0.01 && (mean(2) - 0.6).abs() < 0.01);
            // The other coordinates stay uniform.
            assert!((mean(1) - 0.5).abs() < 0.05 && (mean(3) - 0.5).abs() < 0.05);
            close(draws.weights.iter().sum(), 1.0);
        }
    }
}

#[test]
fn integrals_are_the_same_every_time() {
    let (log, _) = bump(0.01);
    let (once, again) = (tempered(200, 7, &log), tempered(200, 7, &log));
    assert_eq!((once.log_integral, once.points), (again.log_integral, again.points));
}

#[test]
fn the_area_under_the_curve_counts_ties_half() {
    close(area_under_curve(&[0.9, 0.5, 0.5], &[0.1, 0.5]).unwrap(), 5.0 / 6.0);
    assert_eq!(area_under_curve(&[], &[1.0]), None);
}

#[test]
fn a_censored_lognormal_agrees_with_scipys_search_of_the_likelihood() {
    for row in golden("censored") {
        let (mean, deviation) = censored_lognormal(&numbers(&row[0]), number(&row[1]), count(&row[2])).unwrap();
        // A search without derivatives ends within the root of the precision.
        assert!((mean - number(&row[3])).abs() < 1e-6 && (deviation - number(&row[4])).abs() < 1e-6, "{mean} {deviation}");
    }
    assert_eq!(censored_lognormal(&[5.0], 9.0, 3), None);
    assert_eq!(censored_lognormal(&[5.0, 5.0], 9.0, 3), None);
}
