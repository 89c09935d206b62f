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
