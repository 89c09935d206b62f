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

/// Writes `a` (m × k) times `b` (k × n), on `threads` threads, to `product` (m × n), whose rows are
/// `row` numbers apart.
///
/// # Panics
///
/// If a matrix does not fit its slice.
#[allow(unsafe_code)]
pub(super) fn multiply(
	(m, k, n): (usize, usize, usize),
	a: Matrix,
	b: Matrix,
	product: &mut [f32],
	row: usize,
	threads: usize,
) {
	if m == 0 || n == 0 {
		return;
	}
	assert!(k > 0, "a sum of nothing");
	assert!(a.numbers.len() >= needed((m, k), a.row, a.column));
	assert!(b.numbers.len() >= needed((k, n), b.row, b.column));
	assert!(product.len() >= needed((m, n), row, 1) && row >= n);
	let parallelism =
		if threads > 1 { gemm::Parallelism::Rayon(threads) } else { gemm::Parallelism::None };
	// SAFETY: the assertions above keep every element of the three matrices inside its slice, and the
	// rows of the product do not overlap. f32 has no invalid values.
	unsafe {
		gemm::gemm(
			m,
			n,
			k,
			product.as_mut_ptr(),
			1,
			row as isize,
			false,
			a.numbers.as_ptr(),
			a.column as isize,
			a.row as isize,
			b.numbers.as_ptr(),
			b.column as isize,
			b.row as isize,
			0.0,
			1.0,
			false,
			false,
			false,
			parallelism,
		);
	}
}
