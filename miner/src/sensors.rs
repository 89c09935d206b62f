//! What the machine says of its devices: NVIDIA's management library (NVML) of its GPUs, the system of its
//! memory. Where there is no NVIDIA driver there is nothing to read, and nobody is troubled with it.

use cuckoo_diffusion::Device;
use nvml_wrapper::{
	bitmasks::device::ThrottleReasons, enum_wrappers::device::TemperatureSensor, Nvml,
};
use std::{env, fs};

/// Readings of the GPUs.
pub struct Sensors {
	/// Large: a table of all functions of the library.
	nvml: Option<Box<Nvml>>,
}

/// One look at a device. What it does not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
	/// Product name.
	pub name: Option<String>,
	/// Memory in use, in bytes.
	pub memory_used: Option<u64>,
	/// Memory that it has, in bytes.
	pub memory_total: Option<u64>,
	/// Degrees Celsius.
	pub temperature: Option<u32>,
	/// Milliwatts.
	pub power: Option<u32>,
	/// Why its clocks are held back, if they are.
	pub throttled: Option<String>,
}

impl Sensors {
	/// Looks for the library.
	pub fn open() -> Self {
		let nvml =
			Nvml::init().inspect_err(|error| tracing::debug!("no readings of GPUs: {error}"));
		Self { nvml: nvml.ok().map(Box::new) }
	}

	/// Version of NVIDIA's driver, if there is one.
	pub fn driver(&self) -> Option<String> {
		self.nvml.as_ref()?.sys_driver_version().ok()
	}

	/// What `device` says now.
	pub fn read(&self, device: Device) -> Reading {
		let Some(gpu) = self.gpu(device) else {
			return match device {
				Device::Cpu => memory(),
				Device::Cuda(_) => Reading::default(),
			};
		};
		let memory = gpu.memory_info().ok();
		Reading {
			name: gpu.name().ok(),
			memory_used: memory.as_ref().map(|memory| memory.used),
			memory_total: memory.map(|memory| memory.total),
			temperature: gpu.temperature(TemperatureSensor::Gpu).ok(),
			power: gpu.power_usage().ok(),
			throttled: gpu.current_throttle_reasons().ok().and_then(reason),
		}
	}

	/// Energy that `device` has used since its driver was loaded, in millijoules.
	pub fn energy(&self, device: Device) -> Option<u64> {
		self.gpu(device)?.total_energy_consumption().ok()
	}

	/// CUDA counts the devices that it may see, in the order of their places on the bus (`main` sees to
	/// that); NVML counts all.
	fn gpu(&self, device: Device) -> Option<nvml_wrapper::Device<'_>> {
		let (Device::Cuda(ordinal), Some(nvml)) = (device, &self.nvml) else { return None };
		match visible(env::var("CUDA_VISIBLE_DEVICES").ok().as_deref(), ordinal)? {
			Visible::Index(index) => nvml.device_by_index(index).ok(),
			Visible::Uuid(uuid) => nvml.device_by_uuid(uuid).ok(),
		}
	}
}

/// Bytes in GiB.
pub fn gibibytes(bytes: u64) -> f64 {
	bytes as f64 / f64::from(1 << 30)
}

#[derive(Debug, PartialEq, Eq)]
enum Visible {
	Index(u32),
	Uuid(String),
}

/// Which GPU CUDA's `ordinal` is, where the variable CUDA_VISIBLE_DEVICES has this value.
fn visible(value: Option<&str>, ordinal: usize) -> Option<Visible> {
	let Some(value) = value else { return u32::try_from(ordinal).ok().map(Visible::Index) };
	let entry = value.split(',').nth(ordinal)?.trim();
	match entry.parse() {
		Ok(index) => Some(Visible::Index(index)),
		Err(_) if entry.starts_with("GPU-") => Some(Visible::Uuid(entry.to_owned())),
		Err(_) => None,
	}
}

/// The most telling of the reasons, in words; an idle GPU is not held back.
fn reason(reasons: ThrottleReasons) -> Option<String> {
	let words = [
		(ThrottleReasons::HW_THERMAL_SLOWDOWN, "too hot"),
		(ThrottleReasons::SW_THERMAL_SLOWDOWN, "hot"),
		(ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "power brake"),
		(ThrottleReasons::HW_SLOWDOWN, "hardware slowdown"),
		(ThrottleReasons::SW_POWER_CAP, "power limit"),
		(ThrottleReasons::SYNC_BOOST, "sync boost"),
		(ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, "clock setting"),
		(ThrottleReasons::DISPLAY_CLOCK_SETTING, "display clock"),
	];
	words.iter().find(|(one, _)| reasons.contains(*one)).map(|(_, words)| (*words).to_owned())
}

/// The system's memory, which is that of the CPU.
fn memory() -> Reading {
	let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
	let bytes = |name: &str| {
		let line = text.lines().find_map(|line| line.strip_prefix(name))?;
		Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
	};
	let (total, available) = (bytes("MemTotal"), bytes("MemAvailable"));
	Reading {
		memory_total: total,
		memory_used: total.zip(available).map(|(total, available)| total.saturating_sub(available)),
		..Reading::default()
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn the_visible_devices_are_counted_as_cuda_counts_them() {
		assert_eq!(visible(None, 2), Some(Visible::Index(2)));
		assert_eq!(visible(Some("3, 1"), 1), Some(Visible::Index(1)));
		assert_eq!(visible(Some("GPU-8f,0"), 0), Some(Visible::Uuid("GPU-8f".into())));
		for (value, ordinal) in [("", 0), ("3", 1), ("MIG-x", 0), ("-1", 0)] {
			assert_eq!(visible(Some(value), ordinal), None, "{value:?}");
		}
	}

	#[test]
	fn the_worst_reason_is_told() {
		let both = ThrottleReasons::SW_POWER_CAP | ThrottleReasons::HW_THERMAL_SLOWDOWN;
		assert_eq!(reason(both).as_deref(), Some("too hot"));
		assert_eq!(reason(ThrottleReasons::GPU_IDLE), None);
		assert_eq!(reason(ThrottleReasons::empty()), None);
	}

	#[cfg(target_os = "linux")]
	#[test]
	fn the_cpu_tells_of_its_memory() {
		let reading = Sensors::open().read(Device::Cpu);
		assert!(reading.memory_used.unwrap() < reading.memory_total.unwrap(), "{reading:?}");
		assert_eq!(reading.name, None);
	}
}
