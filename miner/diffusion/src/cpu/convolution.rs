//! Two-dimensional convolutions.

use super::{
	product::{multiply, Matrix},
	scratch::Scratch,
	stripes::{stripes, Stripe},
	winograd::Winograd,
};
use rayon::prelude::*;
use std::sync::OnceLock;

/// Numbers of unfolded input that a thread works on together: they stay in its cache.
const UNFOLDED: usize = 1 << 19;
/// Fewer places of the result than this for a row of them make matrix products inefficient.
const PLACES: usize = 64;

/// A convolution's weights and how it goes over a picture.
pub(crate) struct Convolution {
	/// (output channels, input channels, side, side)
	weight: Vec<f32>,
	bias: Vec<f32>,
	shape: Shape,
	/// Weights for small tiles of the result, made when they are first needed.
	winograd: OnceLock<Winograd>,
}

/// Sizes of a convolution.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
	pub input: usize,
	pub output: usize,
	/// Of the square kernel.
	pub side: usize,
	pub stride: usize,
	/// Zeros around the picture.
	pub padding: usize,
}

impl Shape {
	/// Height or width of the result, from that of the picture.
	pub fn reduced(&self, length: usize) -> usize {
		(length + 2 * self.padding - self.side) / self.stride + 1
	}

	/// Weights of one output channel.
	fn kernel(&self) -> usize {
		self.input * self.side * self.side
	}
}

impl Convolution {
	/// With `weight` (output channels, input channels, side, side) and one `bias` an output channel.
	pub fn new(weight: Vec<f32>, bias: Vec<f32>, shape: Shape) -> Self {
		assert_eq!((weight.len(), bias.len()), (shape.output * shape.kernel(), shape.output));
		Self { weight, bias, shape, winograd: OnceLock::new() }
	}

	/// Sizes of the convolution.
	pub fn shape(&self) -> Shape {
		self.shape
	}

	/// Of pictures (batch, input channels, height, width).
	pub fn forward(&self, pictures: &[f32], height: usize, width: usize) -> Vec<f32> {
		let Shape { input, output, side, .. } = self.shape;
		let batch = pictures.len() / (input * height * width);
		let (rows, columns) = (self.shape.reduced(height), self.shape.reduced(width));
		let mut result = vec![0.0; batch * output * rows * columns];
		if side == 1 && (rows, columns) == (height, width) {
			self.mix_channels(pictures, height * width, &mut result);
		} else if Winograd::suits(self.shape, batch * rows * columns) {
			let winograd = self
				.winograd
				.get_or_init(|| Winograd::new(&self.weight, [self.shape.input, self.shape.output]));
			winograd.forward(pictures, &self.bias, [batch, height, width], &mut result);
		} else {
			self.unfold(pictures, (height, width), (rows, columns), &mut result);
		}
		result
	}

	/// A kernel of one place is one matrix product a picture.
	fn mix_channels(&self, pictures: &[f32], places: usize, result: &mut [f32]) {
		let Shape { input, output, .. } = self.shape;
		let pictures = pictures.chunks(input * places);
		for (picture, result) in pictures.zip(result.chunks_mut(output * places)) {
			multiply(
				(output, input, places),
				Matrix::rows(&self.weight, input),
				Matrix::rows(picture, places),
				result,
				places,
				rayon::current_num_threads(),
			);
		}
		result.par_chunks_mut(places).enumerate().for_each(|(channel, plane)| {
			let bias = self.bias[channel % output];
			for number in plane {
				*number += bias;
			}
		});
	}

	/// Any other kernel is a matrix product with what it lies over at each place, laid out in columns.
	fn unfold(
		&self,
		pictures: &[f32],
		(height, width): (usize, usize),
		(rows, columns): (usize, usize),
		result: &mut [f32],
	) {
		let Shape { input, output, .. } = self.shape;
		let kernel = self.shape.kernel();
		let places = (UNFOLDED / kernel).max(PLACES);
		let together = (places / columns).clamp(1, rows);
		let stripes = stripes(result, output, rows, columns, together);
		// What has too few stripes for all threads has large products.
		let threads = (rayon::current_num_threads() / stripes.len()).max(1);
		let size = together * columns;
		stripes.into_par_iter().for_each_init(
			|| (Scratch::new(kernel * size), Scratch::new(output * size)),
			|(unfolded, product), stripe| {
				let Stripe { picture, row, channels } = stripe;
				let places = channels[0].len();
				let planes = &pictures[picture * input * height * width..];
				let planes = planes[..input * height * width].chunks(height * width);
				let lines = unfolded[..kernel * places].chunks_mut(places);
				self.lay_out(planes, (height, width), columns, row, lines);
				multiply(
					(output, kernel, places),
					Matrix::rows(&self.weight, kernel),
					Matrix::rows(unfolded, places),
					product,
					places,
					threads,
				);
				let products = product.chunks(places).zip(&self.bias);
				for (channel, (product, bias)) in channels.into_iter().zip(products) {
					for (result, product) in channel.iter_mut().zip(product) {
						*result = product + bias;
					}
				}
			},
		);
	}

	/// Writes for each weight of a kernel what it is multiplied with at the places of a stripe that
	/// begins at row `first`.
	fn lay_out<'a>(
		&self,
		planes: impl Iterator<Item = &'a [f32]>,
		(height, width): (usize, usize),
		columns: usize,
		first: usize,
		mut lines: impl Iterator<Item = &'a mut [f32]>,
	) {
		let Shape { side, stride, padding, .. } = self.shape;
		for plane in planes {
			for y in 0..side {
				for (x, line) in (0..side).zip(lines.by_ref()) {
					// Columns whose place for this weight is inside the picture.
					let inside = |column: usize| (column * stride + x).checked_sub(padding);
					let begin = (0..columns).find(|&i| inside(i).is_some()).unwrap_or(columns);
					let end = (begin..columns)
						.find(|&i| inside(i).is_some_and(|place| place >= width))
						.unwrap_or(columns);
					for (i, line) in line.chunks_mut(columns).enumerate() {
						let row = ((first + i) * stride + y).checked_sub(padding);
						let Some(row) = row.filter(|&row| row < height) else {
							line.fill(0.0);
							continue;
						};
						line[..begin].fill(0.0);
						line[end..].fill(0.0);
						if begin < end {
							let from = &plane[row * width + begin * stride + x - padding..];
							if stride == 1 {
								line[begin..end].copy_from_slice(&from[..end - begin]);
							} else {
								let from = from.iter().step_by(stride);
								line[begin..end].iter_mut().zip(from).for_each(|(to, &x)| *to = x);
							}
						}
					}
				}
			}
		}
	}
}
