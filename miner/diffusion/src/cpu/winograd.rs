//! Convolutions with kernels of 3×3 at a quarter of the multiplications (Winograd 1980; Lavin and Gray
//! 2016, F(4×4, 3×3)): pictures are cut into patches of 6×6 that overlap, patches and kernels are
//! transformed so that each of 36 numbers of a kernel meets one of a patch, and the sums over the
//! channels are transformed back into tiles of 4×4.

use super::{
	convolution::Shape,
	product::{multiply, Matrix},
	stripes::{stripes, Stripe},
	LANES,
};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Side of the tiles of the result.
const TILE: usize = 4;
/// Side of the patches of the picture: a tile and what the kernel reaches around it.
const PATCH: usize = TILE + 2;
/// Numbers of a transformed patch.
const POINTS: usize = PATCH * PATCH;
/// Transformed numbers that a thread works on together: they stay in its cache.
const TRANSFORMED: usize = 1 << 20;
/// Kernels of a layer whose transformed weights are kept: four times the memory of the weights.
const KERNELS: usize = 1 << 20;

/// The same place in several patches.
type Lane = [f32; LANES];

/// Transformed weights.
pub(super) struct Winograd {
	/// (points, output channels, input channels)
	kernels: Vec<f32>,
	input: usize,
	output: usize,
}

impl Winograd {
	/// Whether it pays for so many places of the result.
	pub fn suits(shape: Shape, places: usize) -> bool {
		let Shape { input, output, side, stride, padding } = shape;
		(side, stride, padding) == (3, 1, 1)
			&& input * output <= KERNELS
			&& places >= 16 * LANES
			&& input >= LANES
	}

	/// Transforms the weights (output channels, input channels, 3, 3).
	pub fn new(weight: &[f32], [input, output]: [usize; 2]) -> Self {
		let mut kernels = vec![0.0; POINTS * output * input];
		let (weights, _) = weight.as_chunks::<9>();
		for (i, weights) in weights.iter().enumerate() {
			let columns = [0, 1, 2].map(|x| along_kernel([0, 3, 6].map(|y| weights[y + x])));
			for y in 0..PATCH {
				let row = along_kernel(columns.map(|column| column[y]));
				for x in 0..PATCH {
					kernels[(y * PATCH + x) * output * input + i] = row[x] as f32;
				}
			}
		}
		Self { kernels, input, output }
	}

	/// Writes the convolution of pictures (input channels, height, width) with a border of zeros.
	pub fn forward(
		&self,
		pictures: &[f32],
		bias: &[f32],
		[batch, height, width]: [usize; 3],
		result: &mut [f32],
	) {
		let &Self { input, output, .. } = self;
		let across = width.div_ceil(TILE);
		let down = height.div_ceil(TILE);
		let fitting = TRANSFORMED / (POINTS * (input + output) * across);
		let fair = (batch * down).div_ceil(rayon::current_num_threads());
		let together = fitting.min(fair).clamp(1, down);
		// Whole lanes, so that none is a special case.
		let tiles = (together * across).next_multiple_of(LANES);
		let arch = Arch::new();
		stripes(result, output, height, width, together * TILE).into_par_iter().for_each_init(
			|| (vec![0.0; POINTS * input * tiles], vec![0.0; POINTS * output * tiles]),
			|(patches, sums), stripe| {
				let picture = &pictures[stripe.picture * input * height * width..];
				let size = Size { height, width, across, tiles };
				let row = stripe.row;
				let picture = &picture[..input * height * width];
				arch.dispatch(Patches { picture, row, size, to: patches });
				for point in 0..POINTS {
					multiply(
						(output, input, tiles),
						Matrix::rows(&self.kernels[point * output * input..], input),
						Matrix::rows(&patches[point * input * tiles..][..input * tiles], tiles),
						&mut sums[point * output * tiles..][..output * tiles],
						tiles,
						1,
					);
				}
				arch.dispatch(Tiles { sums, bias, size, stripe });
			},
		);
	}
}

/// One dimension of the transform of a kernel, in double precision: G·g of the paper.
fn along_kernel<T: Into<f64>>(g: [T; 3]) -> [f64; PATCH] {
	let [a, b, c] = g.map(Into::into);
	[
		a / 4.0,
		-(a + b + c) / 6.0,
		-(a - b + c) / 6.0,
		a / 24.0 + b / 12.0 + c / 6.0,
		a / 24.0 - b / 12.0 + c / 6.0,
		c,
	]
}

/// One dimension of the transform of patches: Bᵀ·d of the paper.
#[inline(always)]
fn along_patch(d: [Lane; PATCH]) -> [Lane; PATCH] {
	let mut to = [[0.0; LANES]; PATCH];
	for l in 0..LANES {
		let [d0, d1, d2, d3, d4, d5] = d.map(|lane| lane[l]);
		let (even, odd) = (d4 - 4.0 * d2, d3 - 4.0 * d1);
		let (second, third) = (d4 - d2, 2.0 * (d3 - d1));
		to[0][l] = 4.0 * d0 - 5.0 * d2 + d4;
		to[1][l] = even + odd;
		to[2][l] = even - odd;
		to[3][l] = second + third;
		to[4][l] = second - third;
		to[5][l] = 4.0 * d1 - 5.0 * d3 + d5;
	}
	to
}

/// One dimension of the way back to tiles: Aᵀ·m of the paper.
#[inline(always)]
fn along_tile(m: [Lane; PATCH]) -> [Lane; TILE] {
	let mut to = [[0.0; LANES]; TILE];
	for l in 0..LANES {
		let [m0, m1, m2, m3, m4, m5] = m.map(|lane| lane[l]);
		let (sum, difference) = (m1 + m2, m1 - m2);
		let (second_sum, second_difference) = (m3 + m4, m3 - m4);
		to[0][l] = m0 + sum + second_sum;
		to[1][l] = difference + 2.0 * second_difference;
		to[2][l] = sum + 4.0 * second_sum;
		to[3][l] = difference + 8.0 * second_difference + m5;
	}
	to
}

/// Sizes of the pictures, and of the tiles of a stripe.
#[derive(Clone, Copy)]
struct Size {
	height: usize,
	width: usize,
	/// Tiles of a row of them.
	across: usize,
	/// Tiles that there is room for.
	tiles: usize,
}

/// Transforms the patches under a stripe.
struct Patches<'a> {
	/// (input channels, height, width)
	picture: &'a [f32],
	/// First row of the stripe.
	row: usize,
	size: Size,
	/// (points, input channels, tiles)
	to: &'a mut [f32],
}

impl WithSimd for Patches<'_> {
	type Output = ();

	#[inline(always)]
	fn with_simd<S: Simd>(self, _: S) {
		let Self { picture, row, size, to: patches } = self;
		let Size { height, width, across, tiles } = size;
		let channels = picture.len() / (height * width);
		// A channel's rows under the stripe with the border of zeros, and some more for the lanes that
		// stand for no tile.
		let line = across * TILE + 2;
		let rows = tiles.div_ceil(across) * TILE + 2;
		let mut bordered = vec![0.0; rows * line];
		let inside = (0..rows)
			.filter_map(|i| Some((i, (row + i).checked_sub(1)?)))
			.filter(|(_, from)| *from < height);
		let corners: Vec<usize> =
			(0..tiles).map(|tile| tile / across * TILE * line + tile % across * TILE).collect();
		for (channel, plane) in picture.chunks(height * width).enumerate() {
			for (to, from) in inside.clone() {
				bordered[to * line + 1..][..width].copy_from_slice(&plane[from * width..][..width]);
			}
			for (group, corners) in corners.as_chunks::<LANES>().0.iter().enumerate() {
				let mut columns = [[[0.0; LANES]; PATCH]; PATCH];
				let mut patch = [[[0.0; LANES]; PATCH]; PATCH];
				for (l, &corner) in corners.iter().enumerate() {
					for (y, patch) in patch.iter_mut().enumerate() {
						let from = &bordered[corner + y * line..][..PATCH];
						for (lane, &number) in patch.iter_mut().zip(from) {
							lane[l] = number;
						}
					}
				}
				for x in 0..PATCH {
					let column = along_patch(patch.map(|row| row[x]));
					for (row, lane) in columns.iter_mut().zip(column) {
						row[x] = lane;
					}
				}
				for (y, row) in columns.into_iter().enumerate() {
					for (x, lane) in along_patch(row).into_iter().enumerate() {
						let point = y * PATCH + x;
						let to = (point * channels + channel) * tiles + group * LANES;
						patches[to..][..LANES].copy_from_slice(&lane);
					}
				}
			}
		}
	}
}

/// Transforms the sums back into the tiles of a stripe.
struct Tiles<'a> {
	/// (points, output channels, tiles)
	sums: &'a [f32],
	bias: &'a [f32],
	size: Size,
	stripe: Stripe<'a>,
}

impl WithSimd for Tiles<'_> {
	type Output = ();

	#[inline(always)]
	fn with_simd<S: Simd>(self, _: S) {
		let Self { sums, bias, size, stripe } = self;
		let Size { width, across, tiles, .. } = size;
		let outputs = bias.len();
		for (channel, (plane, &bias)) in stripe.channels.into_iter().zip(bias).enumerate() {
			let rows = plane.len() / width;
			let filled = rows.div_ceil(TILE) * across;
			for first in (0..filled).step_by(LANES) {
				let mut columns = [[[0.0; LANES]; PATCH]; TILE];
				for x in 0..PATCH {
					let column = along_tile(std::array::from_fn(|y| {
						let point = y * PATCH + x;
						let from = &sums[(point * outputs + channel) * tiles + first..];
						*from.first_chunk().expect("there is room for whole lanes; qed")
					}));
					for (row, lane) in columns.iter_mut().zip(column) {
						row[x] = lane;
					}
				}
				let tile = columns.map(along_tile);
				for l in 0..LANES.min(filled - first) {
					let (top, left) = ((first + l) / across * TILE, (first + l) % across * TILE);
					let right = (left + TILE).min(width);
					for (y, row) in tile.iter().enumerate().take(rows - top) {
						let to = &mut plane[(top + y) * width + left..(top + y) * width + right];
						for (to, lane) in to.iter_mut().zip(row) {
							*to = lane[l] + bias;
						}
					}
				}
			}
		}
	}
}
