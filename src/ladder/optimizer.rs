//! Muon for hidden matrices, Adam for the embedding and the gains.
//!
//! Muon (Jordan et al. 2024): Nesterov momentum whose matrix is orthogonalised by five Newton-Schulz steps. Adam: Kingma and Ba 2015,
//! with decoupled weight decay (Loshchilov and Hutter 2019).

use super::matmul::{View, Write, matmul};
use super::shape::{Kind, Layout};

const MUON_MOMENTUM: f32 = 0.95;
const WEIGHT_DECAY: f32 = 0.1;
const ADAM_MEAN: f32 = 0.9;
const ADAM_SQUARE: f32 = 0.95;
const ADAM_EPSILON: f32 = 1e-8;
/// Coefficients of the quintic iteration, from the reference implementation of Muon.
const NEWTON_SCHULZ: (f32, f32, f32) = (3.4445, -4.7750, 2.0315);

/// First and second moments of every parameter, and the number of steps made.
#[derive(Debug, Clone)]
pub(super) struct Optimizer {
    pub(super) mean: Vec<f32>,
    pub(super) square: Vec<f32>,
    pub(super) steps: u32,
}

impl Optimizer {
    pub(super) fn new(len: usize) -> Self {
        Self { mean: vec![0.0; len], square: vec![0.0; len], steps: 0 }
    }

    /// One step at a learning rate of `rate` for matrices and a third of it for the rest.
    pub(super) fn step(&mut self, layout: &Layout, parameters: &mut [f32], gradient: &[f32], rate: f32) {
        self.steps += 1;
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let correct_mean = 1.0 - ADAM_MEAN.powi(steps);
        let correct_square = 1.0 - ADAM_SQUARE.powi(steps);
        for tensor in &layout.tensors {
            let parameters = &mut parameters[tensor.range.clone()];
            let gradient = &gradient[tensor.range.clone()];
            let mean = &mut self.mean[tensor.range.clone()];
            if let Kind::Matrix(rows, columns) = tensor.kind {
                let mut update = Vec::with_capacity(gradient.len());
                for (mean, gradient) in mean.iter_mut().zip(gradient) {
                    *mean = MUON_MOMENTUM * *mean + gradient;
                    update.push(gradient + MUON_MOMENTUM * *mean);
                }
                orthogonalise(&mut update, rows, columns);
                let scale = rate * (rows as f32 / columns as f32).max(1.0).sqrt();
                for (parameter, update) in parameters.iter_mut().zip(&update) {
                    *parameter -= scale * update + rate * WEIGHT_DECAY * *parameter;
                }
            } else {
                let rate = rate / 3.0;
                let decay = if tensor.kind == Kind::Embedding { rate * WEIGHT_DECAY } else { 0.0 };
                let square = &mut self.square[tensor.range.clone()];
                for (((parameter, gradient), mean), square) in parameters.iter_mut().zip(gradient).zip(mean).zip(square) {
                    *mean = ADAM_MEAN * *mean + (1.0 - ADAM_MEAN) * gradient;
                    *square = ADAM_SQUARE * *square + (1.0 - ADAM_SQUARE) * gradient * gradient;
                    let update = (*mean / correct_mean) / ((*square / correct_square).sqrt() + ADAM_EPSILON);
                    *parameter -= rate * update + decay * *parameter;
                }
            }
        }
    }
}

/// Replaces a matrix by one with about the same singular vectors and singular values near one.
fn orthogonalise(matrix: &mut Vec<f32>, rows: usize, columns: usize) {
    let norm = matrix.iter().map(|x| x * x).sum::<f32>().sqrt() + 1e-7;
    for x in matrix.iter_mut() {
        *x /= norm;
    }
    let small = rows.min(columns);
    let wide = rows <= columns;
    let (a, b, c) = NEWTON_SCHULZ;
    let mut gram = vec![0.0; small * small];
    let mut polynomial = vec![0.0; small * small];
    let mut next = vec![0.0; matrix.len()];
    for _ in 0..5 {
        let x = View::new(matrix, rows, columns, columns);
        let (left, right) = if wide { (x, x.transposed()) } else { (x.transposed(), x) };
        matmul(&mut gram, small, left, right, 1.0, Write::Replace);
        let square = View::new(&gram, small, small, small);
        polynomial.copy_from_slice(&gram);
        for x in &mut polynomial {
            *x *= b;
        }
        matmul(&mut polynomial, small, square, square, c, Write::Add);
        next.copy_from_slice(matrix);
        for x in &mut next {
            *x *= a;
        }
        let factor = View::new(&polynomial, small, small, small);
        let (left, right) = if wide { (factor, x) } else { (x, factor) };
        matmul(&mut next, columns, left, right, 1.0, Write::Add);
        std::mem::swap(matrix, &mut next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singular_values_come_near_one() {
        for (rows, columns) in [(3, 5), (5, 3)] {
            let mut matrix: Vec<f32> = (0..15).map(|i: i32| ((i * 7 % 11) - 5) as f32).collect();
            orthogonalise(&mut matrix, rows, columns);
            let x = View::new(&matrix, rows, columns, columns);
            let mut gram = vec![0.0; 9];
            let (left, right) = if rows < columns { (x, x.transposed()) } else { (x.transposed(), x) };
            matmul(&mut gram, 3, left, right, 1.0, Write::Replace);
            for (index, value) in gram.iter().enumerate() {
                let expected = f32::from(u8::from(index % 4 == 0));
                assert!((value - expected).abs() < 0.5, "{gram:?}");
            }
        }
    }
}
