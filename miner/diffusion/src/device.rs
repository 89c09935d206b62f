//! Where a model runs.

use crate::LoadError;
use std::{fmt, str::FromStr};

/// The processor that a model is loaded on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
	/// The CPU, all cores.
	Cpu,
	/// An NVIDIA GPU by its CUDA ordinal. Works in builds with the feature `cuda` only.
	Cuda(usize),
}

impl Device {
	/// GPU 0 if this build has CUDA and a GPU answers now, else the CPU. Logs a warning when the
	/// build has CUDA and no GPU answers.
	pub fn best() -> Self {
		if !cfg!(feature = "cuda") {
			return Self::Cpu;
		}
		match Self::Cuda(0).open() {
			Ok(_) => Self::Cuda(0),
			Err(error) => {
				tracing::warn!("{error}; rendering on the CPU instead");
				Self::Cpu
			},
		}
	}

	/// Whether it is there and computes.
	///
	/// # Errors
	///
	/// Why not, in one line.
	pub fn check(self) -> Result<(), LoadError> {
		self.open().map(|_| ())
	}

	/// Opens the device and makes it compute something: a driver may be there without a GPU.
	pub(crate) fn open(self) -> Result<candle_core::Device, LoadError> {
		let Self::Cuda(ordinal) = self else { return Ok(candle_core::Device::Cpu) };
		let probe = || -> candle_core::Result<candle_core::Device> {
			#[cfg(feature = "cuda")]
			let device = crate::cuda::driver::open(ordinal)?;
			#[cfg(not(feature = "cuda"))]
			let device = candle_core::Device::new_cuda(ordinal)?;
			let one = candle_core::Tensor::ones(1, candle_core::DType::F32, &device)?;
			(one + 1.0)?.to_vec1::<f32>()?;
			Ok(device)
		};
		probe().map_err(|error| LoadError::Device {
			device: self,
			message: crate::error::one_line(&error),
		})
	}
}

impl fmt::Display for Device {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Cpu => f.write_str("cpu"),
			Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
		}
	}
}

/// A text that names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown device {0:?}: use cpu, cuda or cuda:N")]
pub struct UnknownDevice(pub String);

impl FromStr for Device {
	type Err = UnknownDevice;

	fn from_str(text: &str) -> Result<Self, Self::Err> {
		match text {
			"cpu" => Ok(Self::Cpu),
			"cuda" => Ok(Self::Cuda(0)),
			_ => text
				.strip_prefix("cuda:")
				.and_then(|ordinal| ordinal.parse().ok())
				.map(Self::Cuda)
				.ok_or_else(|| UnknownDevice(text.to_owned())),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn names_parse_back() {
		for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(3)] {
			assert_eq!(device.to_string().parse(), Ok(device));
		}
		assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
		for bad in ["", "gpu", "cuda:", "cuda:x", "CPU"] {
			assert_eq!(bad.parse::<Device>(), Err(UnknownDevice(bad.to_owned())));
		}
	}

	#[cfg(not(feature = "cuda"))]
	#[test]
	fn without_the_feature_a_gpu_is_refused_in_words() {
		assert_eq!(Device::best(), Device::Cpu);
		let error = Device::Cuda(0).open().unwrap_err().to_string();
		assert!(error.starts_with("device cuda:0: "), "{error}");
		assert!(error.contains("not been built with cuda"), "{error}");
	}
}
