//! The pieces of a transformer between its matrix products, forward and backward, over rows of plain slices.

/// Added to the mean square before the root, as in Llama.
pub(super) const EPSILON: f32 = 1e-5;

/// Base of the rotary frequencies, as in Llama.
pub(super) const ROTARY_BASE: f32 = 10_000.0;

/// `e^x` by range reduction and a degree-six polynomial (Cephes `expf`, relative error below 2e-7), written so that it vectorises;
/// arguments below -87 give about 1e-38.
#[inline(always)]
pub(super) fn exponential(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding 1.5 * 2^23 rounds to the nearest whole number, which then stands in the lowest bits.
    let rounded = x * std::f32::consts::LOG2_E + 12_582_912.0;
    let n = rounded - 12_582_912.0;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    p * f32::from_bits(rounded.to_bits().wrapping_add(127) << 23)
}

#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exponential(-x))
}

/// Runs loops with the widest instructions that the processor has, which the compiler may not take for granted. The closure has to
/// be `#[inline(always)]`: what is called from it is compiled without them.
#[inline(always)]
pub(super) fn wide<R>(loops: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(loops)
}

/// Sums kept apart in one register, since the order of a float sum is not the compiler's to change.
pub(super) const LANES: usize = 16;

/// The sum of `f(a, b)` over two slices of one length.
#[inline(always)]
fn sum_of(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (blocks_a, blocks_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = blocks_a.remainder().iter().zip(blocks_b.remainder());
    for (a, b) in blocks_a.clone().zip(blocks_b.clone()) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += f(a, b);
        }
    }
    let mut sum: f32 = sums.iter().sum();
    for (&a, &b) in rest {
        sum += f(a, b);
    }
    sum
}

/// The largest of a row, `-inf` for none.
#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let blocks = row.chunks_exact(LANES);
    let rest = blocks.remainder();
    for block in blocks {
        for (largest, &x) in largest.iter_mut().zip(block) {
            *largest = if x > *largest { x } else { *largest };
        }
    }
    largest.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Root-mean-square normalisation of each row; returns nothing but fills `inverse` with 1 / rms per row.
pub(super) fn normalise(out: &mut [f32], inverse: &mut [f32], input: &[f32], gain: &[f32]) {
    let width = gain.len();
    wide(
        #[inline(always)]
        || {
            for ((out, input), inverse) in out.chunks_exact_mut(width).zip(input.chunks_exact(width)).zip(inverse) {
                let mean_square = sum_of(input, input, |x, y| x * y) / width as f32;
                *inverse = 1.0 / (mean_square + EPSILON).sqrt();
                for ((out, x), gain) in out.iter_mut().zip(input).zip(gain) {
                    *out = x * *inverse * gain;
                }
            }
        },
    );
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
    wide(
        #[inline(always)]
        || {
            let mut weighted = vec![0.0; width];
            for (((d_input, d_out), input), &inverse) in rows {
                for ((d_gain, d_out), x) in d_gain.iter_mut().zip(d_out).zip(input) {
                    *d_gain += d_out * x * inverse;
                }
                for ((weighted, d_out), gain) in weighted.iter_mut().zip(d_out).zip(gain) {
                    *weighted = d_out * gain;
                }
                let mean = sum_of(&weighted, input, |d, x| d * x) * inverse / width as f32;
                for ((d_input, d), x) in d_input.iter_mut().zip(&weighted).zip(input) {
                    *d_input += (d - x * inverse * mean) * inverse;
                }
            }
        },
    );
}

/// `gate * sigmoid(gate) * up`, element by element.
pub(super) fn gated(out: &mut [f32], gate: &[f32], up: &[f32]) {
    wide(
        #[inline(always)]
        || {
            for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate * sigmoid(gate) * up;
            }
        },
    );
}

/// Replaces the gate and what it lets through by the gradients of [`gated`].
pub(super) fn gated_backward(d_gate: &mut [f32], d_up: &mut [f32], d_out: &[f32]) {
    wide(
        #[inline(always)]
        || {
            for ((gate, up), &d) in d_gate.iter_mut().zip(d_up).zip(d_out) {
                let s = sigmoid(*gate);
                (*gate, *up) = (d * *up * s * (1.0 + *gate * (1.0 - s)), d * *gate * s);
            }
        },
    );
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

/// `e^(x - max)` of a row in place; returns one over their sum.
#[inline(always)]
pub(super) fn exponentiate(row: &mut [f32]) -> f32 {
    let largest = largest(row);
    for x in row.iter_mut() {
        *x = exponential(*x - largest);
    }
    1.0 / sum_of(row, row, |x, _| x)
}

/// Softmax of a row in place.
pub(super) fn softmax(row: &mut [f32]) {
    wide(
        #[inline(always)]
        || {
            let scale = exponentiate(row);
            for x in row.iter_mut() {
                *x *= scale;
            }
        },
    );
}

/// Replaces the gradient by the outputs of [`softmax`] by that by its inputs.
pub(super) fn softmax_backward(d_row: &mut [f32], outputs: &[f32]) {
    wide(
        #[inline(always)]
        || {
            let dot = sum_of(d_row, outputs, |d, p| d * p);
            for (d, p) in d_row.iter_mut().zip(outputs) {
                *d = p * (*d - dot);
            }
        },
    );
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
