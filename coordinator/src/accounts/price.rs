//! The price of a task.

use cuckoo_coordinator_api::{amount::Amount, task::TaskSpec};
use std::collections::BTreeMap;

/// Thousandths in a whole.
const WHOLE: u64 = 1000;

/// What work costs: work units, each weighed by the coefficient of its model, times a price.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
	per_unit: Amount,
	/// By model, in thousandths; 1 for the others.
	coefficients: BTreeMap<String, u32>,
}

impl Prices {
	/// `per_unit` plancks for a work unit; `coefficients` are in thousandths.
	pub fn new(per_unit: Amount, coefficients: BTreeMap<String, u32>) -> Self {
		Self { per_unit, coefficients }
	}

	/// Plancks for a work unit of a model whose coefficient is 1.
	pub fn per_unit(&self) -> Amount {
		self.per_unit
	}

	/// Work units in thousandths, rounded up: pixels × steps × images / 2^20 × coefficient of the
	/// model.
	pub fn milliunits(&self, spec: &TaskSpec) -> u64 {
		let coefficient = self.coefficients.get(&spec.model).copied().unwrap_or(WHOLE as u32);
		// The largest task has less than 2^23 thousandths of a unit.
		(spec.milliunits() * u64::from(coefficient)).div_ceil(WHOLE)
	}

	/// The price of so many thousandths of a work unit, rounded up.
	pub fn price(&self, milliunits: u64) -> Amount {
		let exact = self.per_unit.0.saturating_mul(milliunits.into());
		Amount(exact.div_ceil(WHOLE.into()))
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_coordinator_api::task::TaskRequest;

	#[test]
	fn the_price_is_units_times_coefficient_times_price() {
		let coefficients = BTreeMap::from([("xl".to_owned(), 2_500)]);
		let prices = Prices::new(Amount(3), coefficients);
		let request = TaskRequest { width: 1024, height: 1024, steps: 10, ..TaskRequest::new("x") };
		let spec = request.resolve(0, "m".into());
		assert_eq!(prices.milliunits(&spec), 10_000);
		assert_eq!(prices.price(10_000), Amount(30));
		let large = TaskSpec { model: "xl".into(), ..spec };
		assert_eq!(prices.milliunits(&large), 25_000);
		assert_eq!(prices.price(25_000), Amount(75));
		assert_eq!(prices.price(1), Amount(1), "rounded up");
		assert_eq!(Prices::default().price(10_000), Amount::ZERO);
		let most = Prices::new(Amount(u128::MAX), BTreeMap::new());
		assert_eq!(most.price(10_000), Amount(u128::MAX / 1000 + 1), "never wraps");
	}
}
