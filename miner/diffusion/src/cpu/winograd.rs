//! Convolutions with kernels of 3×3 at a quarter of the multiplications (Winograd 1980; Lavin and Gray
//! 2016, F(4×4, 3×3)): pictures are cut into patches of 6×6 that overlap, patches and kernels are
//! transformed so that each of 36 numbers of a kernel meets one of a patch, and the sums over the
//! channels are transformed back into tiles of 4×4.

use super::{
	convolution::Shape,
	product::{multiply, Matrix},
	scratch::Scratch,
	stripes::{even_rows, stripes, Stripe},
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

	/// Transforms the weights (output channels, input channels, 3, 3): G·g·Gᵀ of the paper. On this
	/// thread alone: others may wait for the result, and one of rayon's that waits may take up their work.
	pub fn new(weight: &[f32], [input, output]: [usize; 2]) -> Self {
		let (weights, _) = weight.as_chunks::<9>();
		// All first weights, then all second ones, and so on.
		let places: [Vec<f32>; 9] =
			std::array::from_fn(|place| weights.iter().map(|weights| weights[place]).collect());
		let mut kernels = vec![0.0; POINTS * output * input];
		let arch = Arch::new();
		for (point, to) in kernels.chunks_mut(output * input).enumerate() {
			let [column, row] = [ALONG_KERNEL[point / PATCH], ALONG_KERNEL[point % PATCH]];
			let shares = std::array::from_fn(|place| (column[place / 3] * row[place % 3]) as f32);
			arch.dispatch(Kernels { places: &places, shares, to });
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
		let together = even_rows(batch, down, fitting);
		// Whole lanes, so that none is a special case.
		let tiles = (together * across).next_multiple_of(LANES);
		let arch = Arch::new();
		stripes(result, output, height, width, together * TILE).into_par_iter().for_each_init(
			|| (Scratch::new(POINTS * input * tiles), Scratch::new(POINTS * output * tiles)),
			|(patches, sums), stripe| {
				let picture = &pictures[stripe.picture * input * height * width..];
				let size = Size { height, width, across, tiles };
				let row = stripe.row;
				let picture = &picture[..input * height * width];
				let rows = stripe.channels[0].len() / width;
				arch.dispatch(Patches { picture, row, rows, size, to: patches });
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

/// One dimension of the transform of a kernel: G of the paper.
const ALONG_KERNEL: [[f64; 3]; PATCH] = [
	[1.0 / 4.0, 0.0, 0.0],
	[-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
	[-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
	[1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
	[1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
	[0.0, 0.0, 1.0],
];

/// Computes one point of every kernel.
struct Kernels<'a> {
	places: &'a [Vec<f32>; 9],
	/// What each place of a kernel has in the point.
	shares: [f32; 9],
	to: &'a mut [f32],
}

impl WithSimd for Kernels<'_> {
	type Output = ();

	#[inline(always)]
	fn with_simd<S: Simd>(self, _: S) {
		for (weights, share) in self.places.iter().zip(self.shares) {
			if share != 0.0 {
				for (to, weight) in self.to.iter_mut().zip(weights) {
					*to += weight * share;
				}
			}
		}
	}
}

/// Computes each number of a lane.
#[inline(always)]
fn lane(number: impl Fn(usize) -> f32) -> Lane {
	let mut lane = [0.0; LANES];
	for (l, to) in lane.iter_mut().enumerate() {
		*to = number(l);
	}
	lane
}

/// The first `count` numbers of a slice; one copy of known length where it is a whole lane.
#[inline(always)]
fn load(from: &[f32], count: usize) -> Lane {
	match from.first_chunk() {
		Some(whole) if count == LANES => *whole,
		_ => lane(|l| if l < count { from[l] } else { 0.0 }),
	}
}

/// The way back.
#[inline(always)]
fn store(lane: &Lane, count: usize, to: &mut [f32]) {
	match to.first_chunk_mut() {
		Some(whole) if count == LANES => *whole = *lane,
		_ => to[..count].copy_from_slice(&lane[..count]),
	}
}

/// One dimension of the transform of patches: Bᵀ·d of the paper.
#[inline(always)]
fn along_patch<'a>(d: impl Fn(usize) -> &'a Lane) -> [Lane; PATCH] {
	let even = lane(|l| d(4)[l] - 4.0 * d(2)[l]);
	let odd = lane(|l| d(3)[l] - 4.0 * d(1)[l]);
	let second = lane(|l| d(4)[l] - d(2)[l]);
	let third = lane(|l| 2.0 * (d(3)[l] - d(1)[l]));
	[
		lane(|l| 4.0 * d(0)[l] - 5.0 * d(2)[l] + d(4)[l]),
		lane(|l| even[l] + odd[l]),
		lane(|l| even[l] - odd[l]),
		lane(|l| second[l] + third[l]),
		lane(|l| second[l] - third[l]),
		lane(|l| 4.0 * d(1)[l] - 5.0 * d(3)[l] + d(5)[l]),
	]
}

/// One dimension of the way back to tiles: Aᵀ·m of the paper.
#[inline(always)]
fn along_tile<'a>(m: impl Fn(usize) -> &'a Lane) -> [Lane; TILE] {
	let sum = lane(|l| m(1)[l] + m(2)[l]);
	let difference = lane(|l| m(1)[l] - m(2)[l]);
	let second_sum = lane(|l| m(3)[l] + m(4)[l]);
	let second_difference = lane(|l| m(3)[l] - m(4)[l]);
	[
		lane(|l| m(0)[l] + sum[l] + second_sum[l]),
		lane(|l| difference[l] + 2.0 * second_difference[l]),
		lane(|l| sum[l] + 4.0 * second_sum[l]),
		lane(|l| difference[l] + 8.0 * second_difference[l] + m(5)[l]),
	]
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
	/// Rows of the stripe.
	rows: usize,
	size: Size,
	/// (points, input channels, tiles)
	to: &'a mut [f32],
}

impl WithSimd for Patches<'_> {
	type Output = ();

	#[inline(always)]
	fn with_simd<S: Simd>(self, _: S) {
		let Self { picture, row, rows, size, to } = self;
		let Size { height, width, across, tiles } = size;
		let channels = picture.len() / (height * width);
		let down = rows.div_ceil(TILE);
		// The rows of a channel under the stripe with the border of zeros: first every fourth number of
		// a row from the first on, then every fourth from the second on, and so on. So the same place of
		// neighbouring patches lies together.
		let line = across.next_multiple_of(LANES) + 1;
		let mut bordered = vec![0.0; (down * TILE + 2) * TILE * line];
		for (channel, plane) in picture.chunks(height * width).enumerate() {
			for (i, lines) in bordered.chunks_mut(TILE * line).enumerate() {
				let Some(from) = (row + i).checked_sub(1).filter(|from| *from < height) else {
					continue;
				};
				for (x, &number) in plane[from * width..][..width].iter().enumerate() {
					lines[(x + 1) % TILE * line + (x + 1) / TILE] = number;
				}
			}
			for top in 0..down {
				for left in (0..across).step_by(LANES) {
					let mut patch = [[[0.0; LANES]; PATCH]; PATCH];
					for (y, patch) in patch.iter_mut().enumerate() {
						let lines = &bordered[(top * TILE + y) * TILE * line..][..TILE * line];
						for (x, lane) in patch.iter_mut().enumerate() {
							let from = x % TILE * line + x / TILE + left;
							*lane = load(&lines[from..], LANES);
						}
					}
					let mut columns = [[[0.0; LANES]; PATCH]; PATCH];
					for x in 0..PATCH {
						let column = along_patch(|y| &patch[y][x]);
						for y in 0..PATCH {
							columns[y][x] = column[y];
						}
					}
					let count = LANES.min(across - left);
					for (y, row) in columns.iter().enumerate() {
						let row = along_patch(|x| &row[x]);
						for (x, lane) in row.iter().enumerate() {
							let point = y * PATCH + x;
							let first = (point * channels + channel) * tiles + top * across + left;
							store(lane, count, &mut to[first..]);
						}
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
			for (top, rows) in plane.chunks_mut(TILE * width).enumerate() {
				for left in (0..across).step_by(LANES) {
					let count = LANES.min(across - left);
					let mut patch = [[[0.0; LANES]; PATCH]; PATCH];
					for (point, lane) in patch.as_flattened_mut().iter_mut().enumerate() {
						let first = (point * outputs + channel) * tiles + top * across + left;
						*lane = load(&sums[first..], count);
					}
					let mut columns = [[[0.0; LANES]; PATCH]; TILE];
					for x in 0..PATCH {
						let column = along_tile(|y| &patch[y][x]);
						for y in 0..TILE {
							columns[y][x] = column[y];
						}
					}
					let right = ((left + LANES) * TILE).min(width);
					for (column, row) in columns.iter().zip(rows.chunks_mut(width)) {
						let tile = along_tile(|x| &column[x]);
						let mut line = [0.0; LANES * TILE];
						for l in 0..LANES {
							for x in 0..TILE {
								line[l * TILE + x] = tile[x][l] + bias;
							}
						}
						let to = &mut row[left * TILE..right];
						to.copy_from_slice(&line[..to.len()]);
					}
				}
			}
		}
	}
}
