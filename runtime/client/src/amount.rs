//! Amounts of CAI as people write them.

/// Plancks in one CAI.
pub const CAI: u128 = 1_000_000_000_000_000_000;

/// Digits after the point of an amount in CAI.
const DECIMALS: usize = 18;

/// An amount of plancks in CAI, without trailing zeros: `20000`, `0.5`.
pub fn format_cai(planck: u128) -> String {
	let (whole, rest) = (planck / CAI, planck % CAI);
	if rest == 0 {
		return whole.to_string();
	}
	format!("{whole}.{}", format!("{rest:018}").trim_end_matches('0'))
}

/// Plancks from an amount in CAI such as `20000`, `20,000` or `0.5`; the error says how to write it.
pub fn parse_cai(text: &str) -> Result<u128, String> {
	let wrong = || format!("{text:?} is no amount of CAI: write it like 20000 or 0.5");
	let plain = text.replace([',', '_'], "");
	let (whole, rest) = plain.split_once('.').unwrap_or((&plain, "0"));
	let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
	if !digits(whole) || !digits(rest) || rest.len() > DECIMALS {
		return Err(wrong());
	}
	let whole: u128 = whole.parse().map_err(|_| wrong())?;
	let rest: u128 = format!("{rest:0<18}").parse().map_err(|_| wrong())?;
	whole.checked_mul(CAI).and_then(|planck| planck.checked_add(rest)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn amounts_are_read_as_they_are_written() {
		for (text, planck) in [
			("0", 0),
			("1", CAI),
			("20000", 20_000 * CAI),
			("0.5", CAI / 2),
			("19999.999999999999999999", 20_000 * CAI - 1),
		] {
			assert_eq!(parse_cai(text), Ok(planck));
			assert_eq!(format_cai(planck), text);
		}
		assert_eq!(parse_cai("20,000"), Ok(20_000 * CAI));
	}

	#[test]
	fn texts_that_are_no_amounts_are_refused() {
		let too_fine = format!("0.{}", "1".repeat(19));
		for bad in ["", ".", "1.", ".5", "-1", "1e3", "1.2.3", "CAI", &too_fine, &"9".repeat(40)] {
			assert!(parse_cai(bad).is_err(), "{bad}");
		}
	}
}
