//! Attention (Vaswani et al. 2017) over blocks of queries: the whole matrix of scores is never in memory.

use super::{
	activation::exp,
	lane_sum,
	product::{multiply, Matrix},
	scratch::Scratch,
	LANES,
};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Scores that a thread works on together: they stay in its cache.
const SCORES: usize = 1 << 17;
/// Queries that a thread works on together, at least and at most.
const QUERIES: [usize; 2] = [16, 128];

/// Sizes of an attention. The heads lie side by side in each row of queries, keys, values and result.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
	pub batch: usize,
	pub heads: usize,
	pub queries: usize,
	pub keys: usize,
	/// Of all heads together.
	pub width: usize,
}

impl Sizes {
	/// Queries that a thread works on together.
	fn block(&self) -> usize {
		let fair = (self.batch * self.queries).div_ceil(rayon::current_num_threads());
		(SCORES / self.keys).min(fair).clamp(QUERIES[0], QUERIES[1])
	}
}

/// What `queries` (batch, queries, width) see in `values` (batch, keys, width) by their likeness to
/// `keys` (batch, keys, width): softmax(Q·Kᵀ / √d)·V in each head, d numbers wide.
pub(crate) fn attention(queries: &[f32], keys: &[f32], values: &[f32], sizes: Sizes) -> Vec<f32> {
	let Sizes { heads, width, .. } = sizes;
	let (block, of_keys) = (sizes.block(), sizes.keys * width);
	let dim = width / heads;
	let scale = 1.0 / (dim as f32).sqrt();
	let arch = Arch::new();
	let mut seen = vec![0.0; queries.len()];
	seen.par_chunks_mut(sizes.queries * width).enumerate().for_each(|(picture, seen)| {
		let queries = &queries[picture * sizes.queries * width..][..sizes.queries * width];
		let [keys, values] = [keys, values].map(|all| &all[picture * of_keys..][..of_keys]);
		let blocks = seen.par_chunks_mut(block * width).zip(queries.par_chunks(block * width));
		blocks.for_each_init(
			|| Scratch::new(block * sizes.keys),
			|scores, (seen, queries)| {
				let count = queries.len() / width;
				let scores = &mut scores[..count * sizes.keys];
				for head in 0..heads {
					let of_head = |numbers| Matrix::rows(numbers, width);
					let begin = head * dim;
					multiply(
						(count, dim, sizes.keys),
						of_head(&queries[begin..]),
						of_head(&keys[begin..]).transposed(),
						scores,
						sizes.keys,
						1,
					);
					arch.dispatch(Softmax { scores, row: sizes.keys, scale });
					multiply(
						(count, sizes.keys, dim),
						Matrix::rows(scores, sizes.keys),
						of_head(&values[begin..]),
						&mut seen[begin..],
						width,
						1,
					);
				}
			},
		);
	});
	seen
}

/// Turns each row of scores, times `scale`, into shares of 1.
struct Softmax<'a> {
	scores: &'a mut [f32],
	row: usize,
	scale: f32,
}

impl WithSimd for Softmax<'_> {
	type Output = ();

	#[inline(always)]
	fn with_simd<S: Simd>(self, _: S) {
		for row in self.scores.chunks_mut(self.row) {
			let mut most = [f32::NEG_INFINITY; LANES];
			let (chunks, rest) = row.as_chunks::<LANES>();
			for chunk in chunks {
				for (most, &score) in most.iter_mut().zip(chunk) {
					*most = most.max(score);
				}
			}
			let most = most.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| a.max(b));
			for score in row.iter_mut() {
				*score = exp((*score - most) * self.scale);
			}
			let share = 1.0 / lane_sum(row, |score| score);
			for score in row {
				*score *= share;
			}
		}
	}
}
