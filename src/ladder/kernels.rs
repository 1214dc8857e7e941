//! The pieces of a transformer between its matrix products, forward and backward, over rows of plain slices.

/// Added to the mean square before the root, as in Llama.
pub(super) const EPSILON: f32 = 1e-5;

/// Base of the rotary frequencies, as in Llama.
pub(super) const ROTARY_BASE: f32 = 10_000.0;

/// `e^x` by range reduction and a degree-six polynomial (Cephes `expf`, relative error below 2e-7), written so that it vectorises;
/// arguments below -87 give about 1e-38.
#[inline]
pub(super) fn exponential(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest whole number without a call.
    let n = (x * std::f32::consts::LOG2_E + 12_582_912.0) - 12_582_912.0;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    p * f32::from_bits(((n as i32 + 127) << 23) as u32)
}

#[inline]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exponential(-x))
}

/// Root-mean-square normalisation of each row; returns nothing but fills `inverse` with 1 / rms per row.
pub(super) fn normalise(out: &mut [f32], inverse: &mut [f32], input: &[f32], gain: &[f32]) {
    let width = gain.len();
    for ((out, input), inverse) in out.chunks_exact_mut(width).zip(input.chunks_exact(width)).zip(inverse) {
        let mean_square = input.iter().map(|x| x * x).sum::<f32>() / width as f32;
        *inverse = 1.0 / (mean_square + EPSILON).sqrt();
        for ((out, x), gain) in out.iter_mut().zip(input).zip(gain) {
            *out = x * *inverse * gain;
        }
    }
}

/// Adds to `d_input` and `d_gain` the gradients of [`normalise`].
pub(super) fn normalise_backward(
    d_input: &mut [f32],
    d_gain: &mut [f32],
    d_out: &[f32],
    input: &[f32],
    inverse: &[f32],
    gain: &[f32],
) {
    let width = gain.len();
    let rows = d_input.chunks_exact_mut(width).zip(d_out.chunks_exact(width)).zip(input.chunks_exact(width)).zip(inverse);
    for (((d_input, d_out), input), &inverse) in rows {
        let mut dot = 0.0;
        for column in 0..width {
            let normal = input[column] * inverse;
            d_gain[column] += d_out[column] * normal;
            dot += d_out[column] * gain[column] * normal;
        }
        let mean = dot / width as f32;
        for column in 0..width {
            let normal = input[column] * inverse;
            d_input[column] += (d_out[column] * gain[column] - normal * mean) * inverse;
        }
    }
}

/// Cosines and sines of the rotary embedding: for each position, `head_width / 2` of each.
#[derive(Debug)]
pub(super) struct Rotary {
    half: usize,
    table: Vec<(f32, f32)>,
}

impl Rotary {
    pub(super) fn new(head_width: usize, context: usize) -> Self {
        let half = head_width / 2;
        let frequency = |pair: usize| ROTARY_BASE.powf(-(2.0 * pair as f32) / head_width as f32);
        let table = (0..context)
            .flat_map(|position| (0..half).map(move |pair| (position, pair)))
            .map(|(position, pair)| (position as f32 * frequency(pair)).sin_cos())
            .map(|(sin, cos)| (cos, sin))
            .collect();
        Self { half, table }
    }

    /// Rotates every head of one row in place; `sign` -1 undoes it, which is the gradient.
    pub(super) fn rotate(&self, row: &mut [f32], position: usize, sign: f32) {
        let angles = &self.table[position * self.half..(position + 1) * self.half];
        for head in row.chunks_exact_mut(2 * self.half) {
            let (low, high) = head.split_at_mut(self.half);
            for ((a, b), (cos, sin)) in low.iter_mut().zip(high).zip(angles) {
                let sin = sin * sign;
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}

/// Softmax of a row in place.
pub(super) fn softmax(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for x in row.iter_mut() {
        *x = exponential(*x - largest);
    }
    for x in row.iter() {
        sum += *x;
    }
    let scale = 1.0 / sum;
    for x in row.iter_mut() {
        *x *= scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_accurate() {
        for step in -8_600..8_800 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exponential(x)) / exact - 1.0).abs() < 3e-7, "{x}");
        }
    }

    #[test]
    fn rotation_can_be_undone() {
        let rotary = Rotary::new(8, 16);
        let original: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let mut row = original.clone();
        rotary.rotate(&mut row, 11, 1.0);
        assert!(row.iter().zip(&original).any(|(a, b)| (a - b).abs() > 0.1));
        rotary.rotate(&mut row, 11, -1.0);
        assert!(row.iter().zip(&original).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
