//! Every kernel against the same in double precision, on random numbers: on an emulated GPU, or on GPU 0 in
//! builds with CUDA. With `--nocapture` the errors are printed.

#[cfg_attr(feature = "cuda", path = "tests/gpu.rs")]
#[cfg_attr(not(feature = "cuda"), path = "tests/emulated.rs")]
mod processor;

use super::{
	attention, group_norm,
	launch::Launch,
	pointwise::{add_launch, geglu_launch},
};
use candle_core::{DType, Device, Result, Tensor};
use processor::Processor;
use rand_chacha::{rand_core::RngCore, rand_core::SeedableRng, ChaCha8Rng};

/// The length of the difference that is allowed, relative to the length of the right result. Half
/// precision rounds a result by 2^-12 of it in the mean; attention rounds its shares besides.
const HALF: f64 = 4e-4;
const HALF_ATTENTION: f64 = 8e-4;
const SINGLE: f64 = 1e-6;

/// Numbers of a type as they lie in memory.
fn to_bytes(numbers: &[f64], dtype: DType) -> Vec<u8> {
	let tensor =
		Tensor::new(numbers, &Device::Cpu).and_then(|tensor| tensor.to_dtype(dtype)).unwrap();
	let mut bytes = Vec::new();
	tensor.write_bytes(&mut bytes).unwrap();
	bytes
}

fn from_bytes(bytes: &[u8], dtype: DType) -> Vec<f64> {
	let count = bytes.len() / dtype.size_in_bytes();
	let tensor = Tensor::from_raw_buffer(bytes, dtype, &[count], &Device::Cpu).unwrap();
	tensor.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// Random numbers that the type can hold.
struct Random(ChaCha8Rng, DType);

impl Random {
	fn new(dtype: DType) -> Self {
		Self(ChaCha8Rng::seed_from_u64(1), dtype)
	}

	/// Evenly around `middle`, up to `reach` away.
	fn numbers(&mut self, count: usize, middle: f64, reach: f64) -> Vec<f64> {
		let mut number =
			|| middle + reach * (f64::from(self.0.next_u32()) / f64::from(1_u32 << 31) - 1.0);
		let numbers: Vec<_> = (0..count).map(|_| number()).collect();
		from_bytes(&to_bytes(&numbers, self.1), self.1)
	}
}

/// Space for results, which no right result looks like.
fn unwritten(count: usize, dtype: DType) -> Vec<u8> {
	to_bytes(&vec![f64::NAN; count], dtype)
}

fn check(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
	assert_eq!(found.len(), expected.len(), "{what}");
	let length =
		|numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>().sqrt();
	let apart = length(&mut found.iter().zip(expected).map(|(found, expected)| found - expected));
	let error = apart / length(&mut expected.iter().copied());
	println!("{what}: relative error {error:.1e}, allowed {tolerance:.0e}");
	// NaN is to fail, too.
	assert!(error < tolerance, "{what}: relative error {error:.1e}");
}

fn tolerance(dtype: DType) -> f64 {
	if dtype == DType::F16 {
		HALF
	} else {
		SINGLE
	}
}

fn norms(processor: &Processor) -> Result<()> {
	let size = |batch, channels, groups, places, added| group_norm::Sizes {
		batch,
		channels,
		groups,
		places,
		added,
	};
	let cases = [
		// One piece, vectors; several pieces; odd sizes, number by number; places that end within a vector.
		(size(2, 8, 4, 64, Some(2)), true),
		(size(2, 12, 2, 4096, Some(1)), true),
		(size(1, 6, 2, 35, None), false),
		(size(1, 96, 32, 9 * 7, Some(1)), true),
		(size(1, 4, 1, 140 * 140, None), true),
	];
	for (sizes, silu) in cases {
		for (dtype, middle) in
			[(DType::F32, 0.0), (DType::F32, 30.0), (DType::F16, 0.0), (DType::F16, 3.0)]
		{
			let mut random = Random::new(dtype);
			let group_norm::Sizes { batch, channels, groups, places, added } = sizes;
			let pictures = random.numbers(batch * channels * places, middle, 2.0);
			let extra = random.numbers(added.unwrap_or(0) * channels, 0.0, 1.0);
			let (scale, shift) =
				(random.numbers(channels, 1.0, 0.5), random.numbers(channels, 0.0, 0.5));
			let eps = 1e-5;

			let (launches, pieces) = group_norm::launches(sizes, dtype, eps, silu)?;
			let given = [&pictures, &extra].map(|numbers| to_bytes(numbers, dtype));
			let moments = unwritten(pieces * group_norm::MOMENTS, DType::F32);
			let [pictures_given, extra_given] = given.clone();
			let written = processor.run(&launches[0], vec![pictures_given, extra_given, moments]);
			let [pictures_given, extra_given] = given;
			let mut buffers = vec![pictures_given, extra_given, written[2].clone()];
			buffers.extend([&scale, &shift].map(|numbers| to_bytes(numbers, dtype)));
			buffers.push(unwritten(pictures.len(), dtype));
			let written = processor.run(&launches[1], buffers);

			let mut shifted = pictures;
			for (i, number) in shifted.iter_mut().enumerate() {
				let channel = i / places;
				*number += match added {
					None => 0.0,
					Some(1) => extra[channel % channels],
					Some(_) => extra[channel],
				};
			}
			let group = channels / groups * places;
			let mut expected = Vec::new();
			for numbers in shifted.chunks(group) {
				let mean = numbers.iter().sum::<f64>() / group as f64;
				let variance =
					numbers.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / group as f64;
				for x in numbers {
					let channel = expected.len() / places % channels;
					let normed =
						(x - mean) / (variance + eps).sqrt() * scale[channel] + shift[channel];
					expected.push(if silu { normed / (1.0 + (-normed).exp()) } else { normed });
				}
			}
			let what = format!("group norm {dtype:?}, {sizes:?}, mean {middle}");
			// Numbers far from 0 have lost as many bits before the norm is taken.
			let allowed = tolerance(dtype) * if dtype == DType::F32 { 1.0 + middle } else { 1.0 };
			check(&what, &from_bytes(&written[5], dtype), &expected, allowed);
		}
	}
	Ok(())
}

fn sums(processor: &Processor) -> Result<()> {
	// Count, channels, places: a linear layer, a convolution, odd ones of both.
	for (count, channels, places) in
		[(6 * 320, 320, 1), (2 * 5 * 64, 5, 64), (4 * 30, 30, 1), (2 * 3 * 35, 3, 35)]
	{
		for (dtype, has_others) in [(DType::F32, true), (DType::F16, true), (DType::F16, false)] {
			let mut random = Random::new(dtype);
			let (numbers, bias) =
				(random.numbers(count, 0.0, 2.0), random.numbers(channels, 0.0, 2.0));
			let others = random.numbers(count * usize::from(has_others), 0.0, 2.0);
			let launch = add_launch(count, channels, places, has_others, dtype)?;
			let mut buffers: Vec<_> =
				[&numbers, &bias, &others].map(|numbers| to_bytes(numbers, dtype)).into();
			buffers.push(unwritten(count, dtype));
			let written = processor.run(&launch, buffers);
			let expected: Vec<_> = (0..count)
				.map(|i| {
					numbers[i] + bias[i / places % channels] + others.get(i).copied().unwrap_or(0.0)
				})
				.collect();
			let what = format!("sum {dtype:?}, {count} numbers, {channels} channels");
			check(&what, &from_bytes(&written[3], dtype), &expected, tolerance(dtype));
		}
	}
	Ok(())
}

fn geglus(processor: &Processor) -> Result<()> {
	for (rows, width) in [(3, 1280), (2, 36), (5, 7)] {
		for dtype in [DType::F32, DType::F16] {
			let mut random = Random::new(dtype);
			let numbers = random.numbers(rows * 2 * width, 0.0, 4.0);
			let bias = random.numbers(2 * width, 0.0, 1.0);
			let mut buffers: Vec<_> =
				[&numbers, &bias].map(|numbers| to_bytes(numbers, dtype)).into();
			buffers.push(unwritten(rows * width, dtype));
			let written = processor.run(&geglu_launch(rows, width, dtype)?, buffers);
			let mut expected = Vec::new();
			for row in numbers.chunks(2 * width) {
				for i in 0..width {
					let gate = row[width + i] + bias[width + i];
					let below = 0.5 * libm::erfc(-gate / std::f64::consts::SQRT_2);
					expected.push((row[i] + bias[i]) * gate * below);
				}
			}
			let what = format!("GEGLU {dtype:?}, {rows} rows of {width}");
			check(&what, &from_bytes(&written[2], dtype), &expected, tolerance(dtype));
		}
	}
	Ok(())
}

fn attentions(processor: &Processor) -> Result<()> {
	let size =
		|batch, queries, keys, heads, dim| attention::Sizes { batch, queries, keys, heads, dim };
	// All widths of heads that models have and some between, whole blocks and odd ones, several steps,
	// text of 77 tokens.
	let cases = [
		size(1, 128, 128, 1, 40),
		size(2, 70, 77, 3, 40),
		size(1, 1, 1, 1, 8),
		size(1, 130, 200, 2, 64),
		size(1, 40, 77, 2, 80),
		size(1, 65, 33, 1, 96),
		size(1, 64, 96, 1, 128),
		size(1, 30, 77, 2, 160),
		size(1, 33, 64, 1, 152),
	];
	for sizes in cases {
		// With a reach of 4 a few keys take it all, and the running maximum changes.
		for reach in [1.0, 4.0] {
			let attention::Sizes { batch, queries, keys, heads, dim } = sizes;
			let mut random = Random::new(DType::F16);
			let [from, to, values] = [queries, keys, keys]
				.map(|places| random.numbers(batch * places * heads * dim, 0.0, reach));
			let mut buffers: Vec<_> =
				[&from, &to, &values].map(|numbers| to_bytes(numbers, DType::F16)).into();
			buffers.push(unwritten(from.len(), DType::F16));
			let written = processor.run(&sizes.launch()?, buffers);

			let mut expected = vec![0.0; from.len()];
			let at =
				|picture, place, places, head| ((picture * places + place) * heads + head) * dim;
			for (picture, head, query) in (0..batch)
				.flat_map(|picture| (0..heads).map(move |head| (picture, head)))
				.flat_map(|(picture, head)| (0..queries).map(move |query| (picture, head, query)))
			{
				let query = at(picture, query, queries, head);
				let scores: Vec<f64> = (0..keys)
					.map(|key| {
						let key = at(picture, key, keys, head);
						let products = (0..dim).map(|i| from[query + i] * to[key + i]);
						products.sum::<f64>() / (dim as f64).sqrt()
					})
					.collect();
				let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
				let shares: Vec<_> = scores.iter().map(|score| (score - largest).exp()).collect();
				let sum: f64 = shares.iter().sum();
				for (key, share) in shares.iter().enumerate() {
					let key = at(picture, key, keys, head);
					for i in 0..dim {
						expected[query + i] += share / sum * values[key + i];
					}
				}
			}
			let what = format!("attention, {sizes:?}, numbers up to {reach}");
			check(&what, &from_bytes(&written[3], DType::F16), &expected, HALF_ATTENTION);
		}
	}
	Ok(())
}

/// All in one test, so that the emulated GPU is built once.
#[test]
fn kernels_agree_with_double_precision() {
	let processor = Processor::new();
	norms(&processor).unwrap();
	sums(&processor).unwrap();
	geglus(&processor).unwrap();
	attentions(&processor).unwrap();
}

#[test]
fn what_no_kernel_can_do_is_refused_in_words() {
	let sizes = attention::Sizes { batch: 1, queries: 8, keys: 8, heads: 1, dim: 512 };
	assert!(!sizes.have_kernel());
	let refused = |result: Result<Launch>| result.unwrap_err().to_string();
	assert!(refused(sizes.launch()).contains("heads of 512"));
	assert!(!attention::Sizes { dim: 12, ..sizes }.have_kernel());
	assert!(refused(attention::Sizes { dim: 64, keys: 0, ..sizes }.launch()).contains("nothing"));
	assert!(
		refused(attention::Sizes { dim: 64, batch: 1 << 16, ..sizes }.launch()).contains("batch")
	);
	assert!(refused(geglu_launch(1 << 20, 1 << 12, DType::F16)).contains("too many"));
	assert!(refused(geglu_launch(1, 8, DType::BF16)).contains("BF16"));
}
