//! Pictures cut into stripes of rows, for threads to write side by side.

/// Some rows of all channels of one picture.
pub(super) struct Stripe<'a> {
	/// Which picture of the batch.
	pub picture: usize,
	/// Its first row.
	pub row: usize,
	/// The rows of each channel, one after the other.
	pub channels: Vec<&'a mut [f32]>,
}

/// How many of the `rows` of each picture of a batch make a stripe, so that it has at most `fitting`
/// (unless that is none) and all threads get as many stripes.
pub(super) fn even_rows(batch: usize, rows: usize, fitting: usize) -> usize {
	let of_picture = rows.div_ceil(fitting.clamp(1, rows));
	let fair = rayon::current_num_threads().div_ceil(batch);
	rows.div_ceil(of_picture.next_multiple_of(fair))
}

/// Cuts a batch of pictures (batch, channels, height, width) into stripes of `rows` rows; the last of
/// a picture may have fewer.
pub(super) fn stripes(
	batch: &mut [f32],
	channels: usize,
	height: usize,
	width: usize,
	rows: usize,
) -> Vec<Stripe<'_>> {
	let mut all = Vec::new();
	for (picture, planes) in batch.chunks_mut(channels * height * width).enumerate() {
		let first = all.len();
		all.extend((0..height).step_by(rows).map(|row| Stripe {
			picture,
			row,
			channels: Vec::with_capacity(channels),
		}));
		for plane in planes.chunks_mut(height * width) {
			for (stripe, part) in all[first..].iter_mut().zip(plane.chunks_mut(rows * width)) {
				stripe.channels.push(part);
			}
		}
	}
	all
}
