//! Classifier-free guidance (Ho and Salimans 2022).

/// Moves the model's output for the prompt further away from its output for the negative prompt:
/// `negative + scale · (prompt − negative)`.
pub(crate) fn guide(negative: &[f32], prompt: &[f32], scale: f32) -> Vec<f32> {
	negative
		.iter()
		.zip(prompt)
		.map(|(&negative, &prompt)| negative + scale * (prompt - negative))
		.collect()
}

#[cfg(test)]
mod tests {
	use super::guide;

	#[test]
	fn scales_the_difference() {
		assert_eq!(guide(&[1.0, -2.0], &[2.0, 2.0], 0.0), [1.0, -2.0]);
		assert_eq!(guide(&[1.0, -2.0], &[2.0, 2.0], 1.0), [2.0, 2.0]);
		assert_eq!(guide(&[1.0, -2.0], &[2.0, 2.0], 7.5), [8.5, 28.0]);
	}
}
