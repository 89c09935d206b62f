//! Refusing what the machine's memory cannot hold: on the CPU, a failed allocation would end the
//! process. (On a GPU the driver reports it, and rendering returns the error.)

use crate::RenderError;

/// Refuses work that needs more bytes than are free, where the system tells how many are.
pub(crate) fn check(needed: usize) -> Result<(), RenderError> {
	match std::fs::read_to_string("/proc/meminfo") {
		Ok(report) => compare(needed, available(&report)),
		Err(_) => Ok(()),
	}
}

fn compare(needed: usize, available: Option<usize>) -> Result<(), RenderError> {
	let mebibytes = |bytes: usize| bytes >> 20;
	match available {
		Some(available) if needed > available => Err(RenderError::OutOfMemory(format!(
			"a picture of this size needs about {} MiB, {} MiB are free",
			mebibytes(needed),
			mebibytes(available)
		))),
		_ => Ok(()),
	}
}

/// Bytes that Linux can give to programs without swapping.
fn available(meminfo: &str) -> Option<usize> {
	let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
	line.split_whitespace().next()?.parse::<usize>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn reads_what_linux_reports() {
		let report = "MemTotal:       24689668 kB\nMemAvailable:   18356052 kB\nBuffers: 1 kB\n";
		assert_eq!(available(report), Some(18_356_052 * 1024));
		assert_eq!(available("MemTotal: 1 kB\n"), None);
	}

	#[test]
	fn refuses_more_than_is_free() {
		assert!(compare(1 << 30, Some(1 << 30)).is_ok());
		assert!(compare(1 << 40, None).is_ok());
		assert_eq!(
			compare(17 << 30, Some(16 << 30)).unwrap_err().to_string(),
			"not enough memory: a picture of this size needs about 17408 MiB, 16384 MiB are free"
		);
	}
}
