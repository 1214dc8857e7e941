//! Matrix multiplication over slices, and the one place of the package that needs `unsafe`.

/// A strided, read-only matrix inside a slice.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// A row-major matrix whose rows start `row_stride` elements apart.
    pub(super) fn new(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// The same elements, transposed.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn last(&self) -> usize {
        (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride
    }
}

/// What happens to the destination's old content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Replace,
    Add,
}

/// `destination = scale * left * right`, or `+=`; the destination is row-major with the given stride.
///
/// # Panics
/// When the shapes do not fit each other or the slices: a defect of the caller.
#[expect(unsafe_code, reason = "the gemm crate takes raw pointers; shapes and bounds are checked above the call")]
pub(super) fn matmul(destination: &mut [f32], stride: usize, left: View<'_>, right: View<'_>, scale: f32, write: Write) {
    let (rows, inner, columns) = (left.rows, left.columns, right.columns);
    if rows == 0 || columns == 0 || inner == 0 {
        return;
    }
    assert_eq!(inner, right.rows, "inner dimensions differ");
    assert!(left.last() < left.data.len() && right.last() < right.data.len(), "operand out of bounds");
    assert!(columns <= stride && (rows - 1) * stride + columns <= destination.len(), "destination out of bounds");
    let stride = stride.cast_signed();
    // SAFETY: every index the kernel forms is at most `last()` of its operand, which the assertions above keep inside the
    // slice; rows of the destination do not overlap because `columns <= stride`; the mutable borrow excludes aliasing.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            destination.as_mut_ptr(),
            1,
            stride,
            write == Write::Add,
            left.data.as_ptr(),
            left.column_stride.cast_signed(),
            left.row_stride.cast_signed(),
            right.data.as_ptr(),
            right.column_stride.cast_signed(),
            right.row_stride.cast_signed(),
            1.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_transposes_and_addition() {
        let a = [1.0, 2.0, 9.0, 3.0, 4.0, 9.0]; // 2x2 with stride 3
        let b = [5.0, 6.0, 7.0, 8.0];
        let mut c = [1.0; 4];
        matmul(&mut c, 2, View::new(&a, 2, 2, 3), View::new(&b, 2, 2, 2), 1.0, Write::Replace);
        assert_eq!(c, [19.0, 22.0, 43.0, 50.0]);
        matmul(&mut c, 2, View::new(&a, 2, 2, 3).transposed(), View::new(&b, 2, 2, 2).transposed(), 2.0, Write::Add);
        assert_eq!(c, [19.0 + 46.0, 22.0 + 62.0, 43.0 + 68.0, 50.0 + 92.0]);
    }

    #[test]
    #[should_panic(expected = "out of bounds")]
    fn a_short_slice_is_refused() {
        matmul(&mut [0.0; 4], 2, View::new(&[0.0; 3], 2, 2, 2), View::new(&[0.0; 4], 2, 2, 2), 1.0, Write::Replace);
    }
}
