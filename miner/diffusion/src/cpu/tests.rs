//! The kernels against the same computed plainly in double precision.

use super::{
	attention::{attention, Sizes},
	convolution::{Convolution, Shape},
	group_norm::GroupNorm,
	linear::linear,
};

/// Numbers from -1 to 1 that have no pattern.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
	let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
	let next = || {
		state ^= state << 13;
		state ^= state >> 17;
		state ^= state << 5;
		(f64::from(state) / f64::from(u32::MAX) * 2.0 - 1.0) as f32
	};
	std::iter::repeat_with(next).take(count).collect()
}

/// Fails unless the length of the difference is below `limit` times the length of what is exact.
fn assert_close(found: &[f32], exact: &[f64], limit: f64, what: &str) {
	assert_eq!(found.len(), exact.len(), "{what}");
	let (mut difference, mut length) = (0.0, 0.0);
	for (&found, exact) in found.iter().zip(exact) {
		difference += (f64::from(found) - exact).powi(2);
		length += exact.powi(2);
	}
	let error = (difference / length).sqrt();
	assert!(error < limit, "{what}: {error:.1e}");
}

fn plain_convolution(
	pictures: &[f32],
	weight: &[f32],
	bias: &[f32],
	shape: Shape,
	[batch, height, width]: [usize; 3],
) -> Vec<f64> {
	let Shape { input, side, stride, padding, .. } = shape;
	let mut result = Vec::new();
	for picture in 0..batch {
		for (channel, &bias) in bias.iter().enumerate() {
			for row in 0..shape.reduced(height) {
				for column in 0..shape.reduced(width) {
					let mut sum = f64::from(bias);
					for from in 0..input {
						for y in 0..side {
							for x in 0..side {
								let (y_in, x_in) = (row * stride + y, column * stride + x);
								let inside = (padding..height + padding).contains(&y_in)
									&& (padding..width + padding).contains(&x_in);
								if inside {
									let plane = (picture * input + from) * height * width;
									let place = (y_in - padding) * width + x_in - padding;
									let kernel = (channel * input + from) * side * side;
									sum += f64::from(pictures[plane + place])
										* f64::from(weight[kernel + y * side + x]);
								}
							}
						}
					}
					result.push(sum);
				}
			}
		}
	}
	result
}

#[test]
fn convolutions_are_accurate() {
	let same = |input, output| Shape { input, output, side: 3, stride: 1, padding: 1 };
	for (shape, sizes) in [
		// By unfolding: few channels, few places, strides, no border.
		(same(4, 32), [2, 16, 16]),
		(same(64, 3), [1, 5, 7]),
		(Shape { stride: 2, ..same(32, 16) }, [2, 18, 13]),
		(Shape { stride: 2, padding: 0, ..same(16, 24) }, [1, 17, 33]),
		(Shape { side: 5, padding: 2, ..same(3, 5) }, [1, 9, 4]),
		// Several stripes a picture.
		(Shape { stride: 2, ..same(256, 8) }, [1, 64, 40]),
		// By tiles: whole ones, and pictures that end inside of one.
		(same(32, 96), [2, 16, 16]),
		(same(96, 40), [1, 13, 22]),
		(same(8, 8), [3, 1, 150]),
		(same(8, 16), [1, 150, 3]),
		(same(64, 64), [1, 64, 64]),
		(same(512, 512), [1, 16, 12]),
		// Of one place.
		(Shape { side: 1, padding: 0, ..same(24, 40) }, [2, 9, 11]),
		(Shape { side: 1, padding: 0, stride: 2, ..same(24, 40) }, [2, 9, 11]),
	] {
		let [batch, height, width] = sizes;
		let pictures = numbers(batch * shape.input * height * width, 1);
		let weight = numbers(shape.output * shape.input * shape.side * shape.side, 2);
		let bias = numbers(shape.output, 3);
		let exact = plain_convolution(&pictures, &weight, &bias, shape, sizes);
		let what = format!("{} to {} channels, {sizes:?}", shape.input, shape.output);
		let convolution = Convolution::new(weight, bias, shape);
		for _ in 0..2 {
			let found = convolution.forward(&pictures, height, width);
			assert_close(&found, &exact, 1e-5, &what);
		}
	}
}

#[test]
fn linear_layers_are_accurate() {
	for (rows, input, output) in [(1, 96, 384), (77, 40, 3), (300, 320, 130)] {
		let (places, weight) = (numbers(rows * input, 1), numbers(output * input, 2));
		for bias in [vec![], numbers(output, 3)] {
			let exact: Vec<f64> = (0..rows * output)
				.map(|i| {
					let [row, column] = [(&places, i / output), (&weight, i % output)]
						.map(|(numbers, row)| &numbers[row * input..]);
					let products =
						row[..input].iter().zip(column).map(|(&a, &b)| f64::from(a) * f64::from(b));
					products.sum::<f64>() + bias.get(i % output).copied().map_or(0.0, f64::from)
				})
				.collect();
			let what = format!("{rows} rows of {input} to {output}");
			assert_close(&linear(&places, &weight, &bias, input), &exact, 1e-6, &what);
		}
	}
}

#[test]
fn group_norms_are_accurate() {
	let (batch, channels, groups, places) = (2, 24, 4, 5_000);
	let pictures: Vec<f32> =
		numbers(batch * channels * places, 1).into_iter().map(|x| x * 3.0 + 7.0).collect();
	let norm =
		GroupNorm { scale: numbers(channels, 2), shift: numbers(channels, 3), groups, eps: 1e-5 };
	for (added, silu) in
		[(vec![], false), (numbers(channels, 4), true), (numbers(batch * channels, 5), false)]
	{
		let shifted = |i: usize| {
			let channel = i / places;
			let added = if added.is_empty() { 0.0 } else { added[channel % added.len()] };
			f64::from(pictures[i]) + f64::from(added)
		};
		let each = channels / groups * places;
		let mut exact = Vec::new();
		for group in 0..batch * groups {
			let of_group = group * each..(group + 1) * each;
			let mean = of_group.clone().map(shifted).sum::<f64>() / each as f64;
			let square = of_group.clone().map(|i| (shifted(i) - mean).powi(2)).sum::<f64>();
			let deviation = (square / each as f64 + norm.eps).sqrt();
			exact.extend(of_group.map(|i| {
				let channel = i / places % channels;
				let normed = (shifted(i) - mean) / deviation * f64::from(norm.scale[channel])
					+ f64::from(norm.shift[channel]);
				if silu {
					normed / (1.0 + (-normed).exp())
				} else {
					normed
				}
			}));
		}
		assert_close(&norm.forward(&pictures, places, &added, silu), &exact, 1e-6, "group norm");
	}
}

#[test]
fn attention_is_accurate() {
	for (heads, queries, keys, dim) in [(3, 300, 77, 8), (1, 40, 2_100, 32), (2, 1, 1, 4)] {
		let (batch, width) = (2, heads * dim);
		let sizes = Sizes { batch, heads, queries, keys, width };
		let scaled = |count, seed| -> Vec<f32> {
			numbers(count, seed).into_iter().map(|x| x * 4.0).collect()
		};
		let query = scaled(batch * queries * width, 1);
		let [key, value] = [2, 3].map(|seed| scaled(batch * keys * width, seed));
		let mut exact = vec![0.0; query.len()];
		for (row, exact) in exact.chunks_mut(width).enumerate() {
			let picture = row / queries;
			for head in 0..heads {
				let at = |numbers: &[f32], row: usize, i| {
					f64::from(numbers[row * width + head * dim + i])
				};
				let scores: Vec<f64> = (0..keys)
					.map(|other| {
						let other = picture * keys + other;
						let sum: f64 =
							(0..dim).map(|i| at(&query, row, i) * at(&key, other, i)).sum();
						(sum / (dim as f64).sqrt()).exp()
					})
					.collect();
				let all: f64 = scores.iter().sum();
				for i in 0..dim {
					exact[head * dim + i] = (0..keys)
						.map(|other| scores[other] / all * at(&value, picture * keys + other, i))
						.sum();
				}
			}
		}
		let what = format!("{heads} heads, {queries} queries, {keys} keys");
		assert_close(&attention(&query, &key, &value, sizes), &exact, 2e-6, &what);
	}
}
