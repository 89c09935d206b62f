//! The noise of a picture, from a counter-based generator: any of it can be drawn alone, in any
//! order, on any machine, and is the same.

use rand_chacha::{
	rand_core::{RngCore, SeedableRng},
	ChaCha20Rng,
};
use std::f64::consts::TAU;

/// Where a run takes its unit noise from.
pub(crate) trait Noise {
	/// The noise that the picture starts from.
	fn start(&self, len: usize) -> Vec<f32>;

	/// The noise added in step `step`, from 0.
	fn step(&self, step: usize, len: usize) -> Vec<f32>;
}

/// All noise that the picture of one seed needs: ChaCha20 with the seed as key, one stream for
/// the start and one for each step.
pub(crate) struct PictureNoise {
	key: [u8; 32],
}

impl PictureNoise {
	pub fn new(seed: u64) -> Self {
		let mut key = [0; 32];
		key[..8].copy_from_slice(&seed.to_le_bytes());
		Self { key }
	}

	fn stream(&self, stream: u64, len: usize) -> Vec<f32> {
		let mut generator = ChaCha20Rng::from_seed(self.key);
		generator.set_stream(stream);
		standard_normal(&mut generator, len)
	}
}

impl Noise for PictureNoise {
	fn start(&self, len: usize) -> Vec<f32> {
		self.stream(0, len)
	}

	fn step(&self, step: usize, len: usize) -> Vec<f32> {
		self.stream(step as u64 + 1, len)
	}
}

/// The noise of several pictures, one after the other.
impl<N: Noise> Noise for Vec<N> {
	fn start(&self, len: usize) -> Vec<f32> {
		self.iter().flat_map(|picture| picture.start(len / self.len())).collect()
	}

	fn step(&self, step: usize, len: usize) -> Vec<f32> {
		self.iter().flat_map(|picture| picture.step(step, len / self.len())).collect()
	}
}

/// Standard normal numbers by Box and Muller, two from each pair of uniform ones. The functions
/// are libm's, which compute the same on every platform.
pub(crate) fn standard_normal(generator: &mut ChaCha20Rng, len: usize) -> Vec<f32> {
	let mut numbers = Vec::with_capacity(len + 1);
	while numbers.len() < len {
		// In (0, 1], so that the logarithm is finite.
		let radius = (-2.0 * libm::log(uniform(generator) + f64::EPSILON / 2.0)).sqrt();
		let angle = TAU * uniform(generator);
		numbers.push((radius * libm::cos(angle)) as f32);
		numbers.push((radius * libm::sin(angle)) as f32);
	}
	numbers.truncate(len);
	numbers
}

/// Uniform in [0, 1), a multiple of 2⁻⁵³.
fn uniform(generator: &mut ChaCha20Rng) -> f64 {
	(generator.next_u64() >> 11) as f64 * (f64::EPSILON / 2.0)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn is_standard_normal() {
		let noise = PictureNoise::new(42).start(100_000);
		let count = noise.len() as f64;
		let moment =
			|power: i32| noise.iter().map(|&x| f64::from(x).powi(power)).sum::<f64>() / count;
		assert!(moment(1).abs() < 0.02, "mean {}", moment(1));
		assert!((moment(2) - 1.0).abs() < 0.02, "variance {}", moment(2));
		assert!(moment(3).abs() < 0.06, "skew {}", moment(3));
		assert!((moment(4) - 3.0).abs() < 0.15, "kurtosis {}", moment(4));
		let neighbours = noise.windows(2).map(|pair| f64::from(pair[0] * pair[1])).sum::<f64>();
		assert!((neighbours / count).abs() < 0.02, "neighbours correlate");
	}

	#[test]
	fn depends_on_seed_and_step_alone() {
		let noise = PictureNoise::new(7);
		assert_eq!(noise.start(64), PictureNoise::new(7).start(64));
		assert_eq!(noise.start(64)[..33], noise.start(33)[..]);
		assert_ne!(noise.start(64), PictureNoise::new(8).start(64));
		assert_ne!(noise.start(64), noise.step(0, 64));
		assert_ne!(noise.step(0, 64), noise.step(1, 64));
	}

	/// Every machine of the network must start from these: a change here changes every picture.
	#[test]
	fn known_values() {
		let noise = PictureNoise::new(1).start(3);
		assert_eq!(
			noise.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
			[3_213_204_249, 3_188_539_494, 3_183_763_766]
		);
	}
}
