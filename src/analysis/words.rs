//! Numbers as a reader wants them in a sentence.

/// A score: three decimals, trailing zeros dropped.
pub(super) fn score(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A p-value with its sign of comparison.
pub(super) fn p(value: f64) -> String {
    if value < 0.001 { "p < 0.001".to_owned() } else { format!("p = {value:.3}") }
}

/// A count of models.
pub(super) fn models(count: usize) -> String {
    if count == 1 { "1 model".to_owned() } else { format!("{count} models") }
}

/// A count of sizes.
pub(super) fn sizes(count: usize) -> String {
    if count == 1 { "1 size".to_owned() } else { format!("{count} sizes") }
}
