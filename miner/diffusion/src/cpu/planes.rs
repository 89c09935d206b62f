//! What is done to each channel of a picture, or to each number, on all threads.

use rayon::prelude::*;

/// Numbers for a thread at once: enough that handing them out costs nothing.
const TOGETHER: usize = 1 << 15;

/// Enlarges planes (any number of them, height, width) to another size: each place of the result has
/// the number of the nearest place at or before it.
pub(crate) fn enlarge(
	planes: &[f32],
	(height, width): (usize, usize),
	(to_height, to_width): (usize, usize),
) -> Vec<f32> {
	let columns: Vec<usize> = (0..to_width).map(|column| column * width / to_width).collect();
	let count = planes.len() / (height * width);
	let mut enlarged = vec![0.0; count * to_height * to_width];
	enlarged.par_chunks_mut(to_height * to_width).zip(planes.par_chunks(height * width)).for_each(
		|(enlarged, plane)| {
			for (row, enlarged) in enlarged.chunks_mut(to_width).enumerate() {
				let from = &plane[row * height / to_height * width..][..width];
				for (number, &column) in enlarged.iter_mut().zip(&columns) {
					*number = from[column];
				}
			}
		},
	);
	enlarged
}

/// The sums of numbers at the same places.
pub(crate) fn add(a: &[f32], b: &[f32]) -> Vec<f32> {
	assert_eq!(a.len(), b.len());
	let mut sums = vec![0.0; a.len()];
	let pairs = a.par_chunks(TOGETHER).zip(b.par_chunks(TOGETHER));
	sums.par_chunks_mut(TOGETHER).zip(pairs).for_each(|(sums, (a, b))| {
		for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
			*sum = a + b;
		}
	});
	sums
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn planes_are_enlarged() {
		let planes = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
		let twice = enlarge(&planes, (2, 2), (4, 4));
		assert_eq!(twice[..8], [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
		assert_eq!(twice[24..], [7.0, 7.0, 8.0, 8.0, 7.0, 7.0, 8.0, 8.0]);
		assert_eq!(enlarge(&planes[..4], (2, 2), (1, 3)), [1.0, 1.0, 2.0]);
	}

	#[test]
	fn numbers_are_added() {
		let a: Vec<f32> = (0..100_000).map(|i| i as f32).collect();
		assert!(add(&a, &a).iter().zip(&a).all(|(sum, a)| (sum - 2.0 * a).abs() < 1e-9));
	}
}
