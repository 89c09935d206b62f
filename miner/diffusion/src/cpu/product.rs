//! Matrix products on slices.

/// A matrix in a slice: element (i, j) lies at `i * row + j * column`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
	pub numbers: &'a [f32],
	pub row: usize,
	pub column: usize,
}

impl<'a> Matrix<'a> {
	/// Row after row, each of `row` numbers, of which the first are used.
	pub fn rows(numbers: &'a [f32], row: usize) -> Self {
		Self { numbers, row, column: 1 }
	}

	/// The same with rows and columns exchanged.
	pub fn transposed(self) -> Self {
		Self { row: self.column, column: self.row, ..self }
	}
}

/// The least length of a slice that holds a matrix of `rows` × `columns`, both at least 1.
fn needed((rows, columns): (usize, usize), row: usize, column: usize) -> usize {
	(rows - 1) * row + (columns - 1) * column + 1
}

/// Writes `left` (rows × inner) times `right` (inner × columns), on `threads` threads, to `product`
/// (rows × columns), whose rows are `apart` numbers apart.
///
/// # Panics
///
/// If a matrix does not fit its slice.
#[allow(unsafe_code)]
pub(super) fn multiply(
	(rows, inner, columns): (usize, usize, usize),
	left: Matrix,
	right: Matrix,
	product: &mut [f32],
	apart: usize,
	threads: usize,
) {
	if rows == 0 || columns == 0 {
		return;
	}
	assert!(inner > 0, "a sum of nothing");
	assert!(left.numbers.len() >= needed((rows, inner), left.row, left.column));
	assert!(right.numbers.len() >= needed((inner, columns), right.row, right.column));
	assert!(product.len() >= needed((rows, columns), apart, 1) && apart >= columns);
	let parallelism =
		if threads > 1 { gemm::Parallelism::Rayon(threads) } else { gemm::Parallelism::None };
	// SAFETY: the assertions above keep every element of the three matrices inside its slice, and the
	// rows of the product do not overlap. f32 has no invalid values.
	unsafe {
		gemm::gemm(
			rows,
			columns,
			inner,
			product.as_mut_ptr(),
			1,
			apart.cast_signed(),
			false,
			left.numbers.as_ptr(),
			left.column.cast_signed(),
			left.row.cast_signed(),
			right.numbers.as_ptr(),
			right.column.cast_signed(),
			right.row.cast_signed(),
			0.0,
			1.0,
			false,
			false,
			false,
			parallelism,
		);
	}
}
