//! What a picture takes most of on a CPU, in single precision: convolutions, attention, norms and
//! activations. candle computes the rest, and all of it on GPUs.
//!
//! Everything here is a function of slices, split over rayon's threads, its inner loops compiled for
//! the widest vectors that the processor has ([`pulp`]). Matrix products are [`gemm`]'s. What does not
//! depend on the number of threads is the order in which numbers are added up: the same machine gives
//! the same pixels.

// The loops are compiled for several kinds of vectors, which works only if all in them is inlined.
#![allow(clippy::inline_always)]

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod convolution;
pub(crate) mod group_norm;
pub(crate) mod linear;
pub(crate) mod planes;
mod product;
mod scratch;
mod stripes;
mod winograd;

#[cfg(test)]
mod tests;

/// Numbers that are worked on together: what the widest common vectors hold.
const LANES: usize = 8;

/// The sum of `numbers` through `map`, added up in [`LANES`] sums side by side. Accurate for a few
/// thousand numbers.
#[inline(always)]
fn lane_sum(numbers: &[f32], map: impl Fn(f32) -> f32) -> f32 {
	let mut sums = [0.0; LANES];
	let (chunks, rest) = numbers.as_chunks::<LANES>();
	for chunk in chunks {
		for (sum, &number) in sums.iter_mut().zip(chunk) {
			*sum += map(number);
		}
	}
	sums.iter().sum::<f32>() + rest.iter().map(|&number| map(number)).sum::<f32>()
}
