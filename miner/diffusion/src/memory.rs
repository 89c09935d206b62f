//! Living with the memory that there is. On the CPU a failed allocation would end the process, so what
//! cannot be held is refused before. On a GPU the driver reports it, and less is tried at once.

use crate::RenderError;
use std::ops::Range;

/// Places that look at once in attention where the memory is not enough for all: their scores take
/// some ten megabytes in every model of the family.
const SLICE: usize = 256;

/// Works on `count` pictures, at most `most` at once, and returns what came of each.
///
/// `work` is told which pictures, and how many places may look at once in attention (all, if none).
/// Where it runs out of memory it is asked again: for half as many pictures, down to one, then with
/// attention in slices. When that is too much, too, its refusal stands.
pub(crate) fn in_batches<T>(
	count: usize,
	most: usize,
	mut work: impl FnMut(Range<usize>, Option<usize>) -> Result<Vec<T>, RenderError>,
) -> Result<Vec<T>, RenderError> {
	let (mut together, mut slice) = (most.max(1), None);
	let mut done = Vec::with_capacity(count);
	while done.len() < count {
		let batch = done.len()..count.min(done.len() + together);
		let pictures = batch.len();
		match work(batch, slice) {
			Ok(results) => done.extend(results),
			Err(RenderError::OutOfMemory(why)) if pictures > 1 => {
				together = pictures / 2;
				tracing::info!(
					"not enough memory for {pictures} pictures at once ({why}): trying {together}"
				);
			},
			Err(RenderError::OutOfMemory(why)) if slice.is_none() => {
				slice = Some(SLICE);
				tracing::info!("not enough memory ({why}): trying attention in slices");
			},
			Err(error) => return Err(error),
		}
	}
	Ok(done)
}

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

	/// The pictures of a batch, and whether attention is in slices.
	type Asked = (Range<usize>, bool);

	/// What was asked for, in order, by [`in_batches`] over 7 pictures, 4 at once, on a device that
	/// holds so many pictures with whole or with sliced attention; and the number of results.
	fn asked(whole: usize, sliced: usize) -> (Vec<Asked>, Result<usize, String>) {
		let mut asked = Vec::new();
		let results = in_batches(7, 4, |pictures, slice| {
			asked.push((pictures.clone(), slice.is_some()));
			if pictures.len() > if slice.is_some() { sliced } else { whole } {
				return Err(RenderError::OutOfMemory("full".into()));
			}
			Ok(pictures.collect())
		});
		if let Ok(results) = &results {
			assert_eq!(*results, (0..7).collect::<Vec<_>>());
		}
		(asked, results.map(|results| results.len()).map_err(|error| error.to_string()))
	}

	#[test]
	fn less_is_tried_at_once_before_anything_is_refused() {
		assert_eq!(asked(4, 4), (vec![(0..4, false), (4..7, false)], Ok(7)));
		let halved =
			vec![(0..4, false), (0..2, false), (2..4, false), (4..6, false), (6..7, false)];
		assert_eq!(asked(2, 2), (halved, Ok(7)));
		let (asked_for, result) = asked(0, 1);
		assert_eq!(result, Ok(7));
		let first = [(0..4, false), (0..2, false), (0..1, false), (0..1, true), (1..2, true)];
		assert_eq!(asked_for[..5], first);
		assert_eq!(asked_for.len(), 10, "what was found out is not tried again");
		let (asked_for, result) = asked(0, 0);
		assert_eq!(asked_for.len(), 4);
		assert_eq!(result, Err("not enough memory: full".into()));
	}

	#[test]
	fn other_failures_are_not_tried_again() {
		let mut calls = 0;
		let result = in_batches::<()>(3, 3, |_, _| {
			calls += 1;
			Err(RenderError::Cancelled)
		});
		assert!(matches!(result, Err(RenderError::Cancelled)));
		assert_eq!(calls, 1);
	}

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
