//! Group normalisation (Wu and He 2018), with what mostly stands before and after it.

use super::{activation::silu, lane_sum};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Numbers that are added up in single precision before their sum goes to a double.
const BLOCK: usize = 2048;

/// The weights: one of each for a channel.
pub(crate) struct GroupNorm {
	pub scale: Vec<f32>,
	pub shift: Vec<f32>,
	pub groups: usize,
	pub eps: f64,
}

impl GroupNorm {
	/// Normalises pictures (batch, channels, any number of places) group by group, and applies SiLU if
	/// `silu`. `added` is added first: one number for each channel, of each picture or of all.
	pub fn forward(&self, pictures: &[f32], places: usize, added: &[f32], silu: bool) -> Vec<f32> {
		let channels = self.scale.len() / self.groups;
		let mut normed = vec![0.0; pictures.len()];
		let arch = Arch::new();
		normed
			.par_chunks_mut(channels * places)
			.zip(pictures.par_chunks(channels * places))
			.enumerate()
			.for_each(|(i, (normed, group))| {
				let first = i % self.groups * channels;
				let weights = first..first + channels;
				let added = match added.len() {
					0 => &[][..],
					len => &added[i * channels % len..][..channels],
				};
				arch.dispatch(Group {
					numbers: group,
					normed,
					added,
					places,
					scale: &self.scale[weights.clone()],
					shift: &self.shift[weights],
					eps: self.eps,
					silu,
				});
			});
		normed
	}
}

/// One group of one picture.
struct Group<'a> {
	numbers: &'a [f32],
	normed: &'a mut [f32],
	added: &'a [f32],
	places: usize,
	scale: &'a [f32],
	shift: &'a [f32],
	eps: f64,
	silu: bool,
}

impl Group<'_> {
	/// The mean of what `map` makes of the numbers and of what is added to their channel.
	#[inline(always)]
	fn mean(&self, map: impl Fn(f32) -> f32) -> f64 {
		let mut sum = 0.0;
		for (channel, numbers) in self.numbers.chunks(self.places).enumerate() {
			let added = self.added.get(channel).copied().unwrap_or(0.0);
			for block in numbers.chunks(BLOCK) {
				sum += f64::from(lane_sum(block, |x| map(x + added)));
			}
		}
		sum / self.numbers.len() as f64
	}
}

impl WithSimd for Group<'_> {
	type Output = ();

	#[inline(always)]
	fn with_simd<S: Simd>(self, _: S) {
		let mean = self.mean(|x| x) as f32;
		let variance = self.mean(|x| (x - mean) * (x - mean));
		let inverse = (1.0 / (variance + self.eps).sqrt()) as f32;
		let channels = self.numbers.chunks(self.places).zip(self.normed.chunks_mut(self.places));
		for (channel, (numbers, normed)) in channels.enumerate() {
			let added = self.added.get(channel).copied().unwrap_or(0.0);
			let scale = inverse * self.scale[channel];
			let shift = self.shift[channel] + (added - mean) * scale;
			if self.silu {
				for (normed, &x) in normed.iter_mut().zip(numbers) {
					*normed = silu(x * scale + shift);
				}
			} else {
				for (normed, &x) in normed.iter_mut().zip(numbers) {
					*normed = x * scale + shift;
				}
			}
		}
	}
}
