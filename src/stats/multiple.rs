//! Many tests at once.

/// P-values adjusted for the false discovery rate, in the order given.
///
/// `q_(i) = min over j >= i of (m / j) p_(j)`, at most one (Benjamini and Hochberg 1995, JRSS B 57:289).
#[must_use]
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let m = p_values.len();
    let mut order: Vec<usize> = (0..m).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![1.0; m];
    let mut least: f64 = 1.0;
    for (rank, &index) in order.iter().enumerate().rev() {
        least = least.min(p_values[index] * m as f64 / (rank + 1) as f64);
        adjusted[index] = least;
    }
    adjusted
}

/// P-values adjusted for the chance of any false rejection, in the order given.
///
/// `p~_(i) = max over j <= i of (m - j + 1) p_(j)`, at most one (Holm 1979, Scandinavian Journal of Statistics 6:65).
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let m = p_values.len();
    let mut order: Vec<usize> = (0..m).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![1.0; m];
    let mut most: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        most = most.max(p_values[index] * (m - rank) as f64).min(1.0);
        adjusted[index] = most;
    }
    adjusted
}
