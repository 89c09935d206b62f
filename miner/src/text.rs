//! Texts that others wrote, made safe to show.

/// Longest text from outside that is shown.
const SHOWN_CHARACTERS: usize = 200;

/// A text from outside on one line of bounded length, without control characters.
pub fn printable(text: &str) -> String {
	text.chars()
		.take(SHOWN_CHARACTERS)
		.map(|c| if c.is_control() { ' ' } else { c })
		.collect::<String>()
		.trim()
		.to_owned()
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn text_from_outside_cannot_forge_lines() {
		assert_eq!(printable("a\nb\u{1b}[2Jc\r\n"), "a b [2Jc");
		assert_eq!(printable(&"é".repeat(100_000)).chars().count(), SHOWN_CHARACTERS);
	}
}
