//! Linear layers.

use super::product::{multiply, Matrix};
use rayon::prelude::*;

/// A row of `input` numbers for each place, times `weight` (output, input) transposed, plus `bias` (output)
/// unless it is empty: a row of output numbers for each place.
pub(crate) fn linear(places: &[f32], weight: &[f32], bias: &[f32], input: usize) -> Vec<f32> {
	let (rows, output) = (places.len() / input, weight.len() / input);
	let mut result = vec![0.0; rows * output];
	let threads = rayon::current_num_threads();
	multiply(
		(rows, input, output),
		Matrix::rows(places, input),
		Matrix::rows(weight, input).transposed(),
		&mut result,
		output,
		threads,
	);
	if !bias.is_empty() {
		let together = rows.div_ceil(threads).max(1) * output;
		result.par_chunks_mut(together).for_each(|rows| {
			for row in rows.chunks_mut(output) {
				for (number, bias) in row.iter_mut().zip(bias) {
					*number += bias;
				}
			}
		});
	}
	result
}
