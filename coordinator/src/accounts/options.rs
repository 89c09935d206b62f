//! What apps may do, and what it costs.

use super::{Limits, Prices};
use clap::{Args, ValueEnum};
use cuckoo_chain_client::parse_cai;
use cuckoo_coordinator_api::{amount::Amount, task::MODEL_BYTES};
use std::num::NonZeroU32;

/// Most plancks that a work unit may cost: all CAI that there were at genesis.
const MAX_PRICE: u128 = 1_000_000_000 * 1_000_000_000_000_000_000;

/// Who may offer tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Access {
	/// Everybody until the first key is made; from then on, those with a key.
	#[default]
	Auto,
	/// Everybody; those without a key for nothing, within the limits for them.
	Open,
	/// Those with a key.
	Keys,
}

/// What apps may do, and what it costs. By default everything, for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppOptions {
	/// Who may offer tasks.
	pub access: Access,
	/// What an address may do without a key.
	pub anonymous: Limits,
	/// What work costs those with a key.
	pub prices: Prices,
	/// A task that would wait longer for a miner is refused, in seconds; `None`: it may wait as long as
	/// a task may take.
	pub max_wait: Option<u32>,
}

/// The same on the command line.
#[derive(Debug, Args)]
#[command(next_help_heading = "Apps")]
pub struct AppOptionsArgs {
	/// Who may offer tasks: with "auto" everybody until the first key is made by `app add`, and from
	/// then on those with a key.
	#[arg(long, env = "CUCKOO_ACCESS", value_enum, default_value_t = Access::Auto)]
	pub access: Access,
	/// What a work unit costs, in CAI; a picture of 512×512 in 20 steps is 5 of them. Who has no key
	/// pays nothing.
	#[arg(long, env = "CUCKOO_PRICE", value_name = "CAI", default_value = "0", value_parser = price)]
	pub price: Amount,
	/// How much more than its work units the work of a model counts; may be given for several models.
	#[arg(
		long = "coefficient",
		env = "CUCKOO_COEFFICIENTS",
		value_name = "MODEL=NUMBER",
		value_delimiter = ',',
		value_parser = coefficient
	)]
	pub coefficients: Vec<(String, u32)>,
	/// Most requests a second from one address without a key; 0: no limit.
	#[arg(long, env = "CUCKOO_ANONYMOUS_RATE", value_name = "REQUESTS", default_value_t = 200)]
	pub anonymous_rate: u32,
	/// Most tasks under way from one address without a key; 0: no limit.
	#[arg(long, env = "CUCKOO_ANONYMOUS_IN_FLIGHT", value_name = "TASKS", default_value_t = 1000)]
	pub anonymous_in_flight: u32,
	/// Refuse a task that would have to wait for a miner for more than so many seconds, as far as that
	/// can be told; 0: no limit.
	#[arg(long, env = "CUCKOO_MAX_WAIT", value_name = "SECONDS", default_value_t = 0)]
	pub max_wait: u32,
}

impl AppOptionsArgs {
	/// The options.
	pub fn options(&self) -> AppOptions {
		AppOptions {
			access: self.access,
			anonymous: Limits {
				requests_per_second: NonZeroU32::new(self.anonymous_rate),
				in_flight: NonZeroU32::new(self.anonymous_in_flight),
			},
			prices: Prices::new(self.price, self.coefficients.iter().cloned().collect()),
			max_wait: Some(self.max_wait).filter(|seconds| *seconds > 0),
		}
	}
}

fn price(text: &str) -> Result<Amount, String> {
	match parse_cai(text)? {
		plancks @ 0..=MAX_PRICE => Ok(Amount(plancks)),
		_ => Err("a work unit may cost at most 1000000000 CAI".into()),
	}
}

/// A coefficient in thousandths.
fn coefficient(text: &str) -> Result<(String, u32), String> {
	let wrong = || format!("{text:?} must be MODEL=NUMBER, the number from 0.001 to 1000");
	// A model's name may have the sign in it; a number has not.
	let (model, number) = text.rsplit_once('=').ok_or_else(wrong)?;
	let number: f64 = number.parse().map_err(|_| wrong())?;
	if !(1..=MODEL_BYTES).contains(&model.len()) || !(0.001..=1000.0).contains(&number) {
		return Err(wrong());
	}
	Ok((model.to_owned(), (number * 1000.0).round() as u32))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn prices_and_coefficients_are_read_as_they_are_meant() {
		assert_eq!(price("0.001"), Ok(Amount(1_000_000_000_000_000)));
		assert!(price("1000000001").is_err() && price("-1").is_err() && price("").is_err());
		assert_eq!(coefficient("sd=xl=2.5"), Ok(("sd=xl".into(), 2_500)));
		assert_eq!(coefficient("sd=0.0014"), Ok(("sd".into(), 1)));
		for wrong in ["sd", "=1", "sd=", "sd=0", "sd=-1", "sd=nan", "sd=1001", "sd=inf"] {
			assert!(coefficient(wrong).is_err(), "{wrong}");
		}
	}
}
