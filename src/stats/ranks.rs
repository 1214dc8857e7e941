//! Ranks and the median.

/// The probability that a value of the first group is larger than one of the second, ties counting half: the area under the
/// receiver operating characteristic. None when a group is empty.
///
/// `(R - n (n + 1) / 2) / (n m)` with `R` the sum of the first group's ranks among all (Mann and Whitney 1947; Hanley and
/// McNeil 1982).
#[must_use]
pub fn area_under_curve(positive: &[f64], negative: &[f64]) -> Option<f64> {
    if positive.is_empty() || negative.is_empty() {
        return None;
    }
    let all: Vec<f64> = positive.iter().chain(negative).copied().collect();
    let ranks: f64 = ranks(&all)[..positive.len()].iter().sum();
    let (n, m) = (positive.len() as f64, negative.len() as f64);
    Some((ranks - n * (n + 1.0) / 2.0) / (n * m))
}

/// The median; the mean of the middle two where their number is even, none without values.
#[must_use]
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(upper, values[middle - 1]) })
}

/// Ranks from one; equal values share their mean rank.
pub(super) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let equal = order[start..].iter().take_while(|&&index| values[index] <= values[order[start]]).count();
        for &index in &order[start..start + equal] {
            ranks[index] = start as f64 + (equal as f64 + 1.0) / 2.0;
        }
        start += equal;
    }
    ranks
}
