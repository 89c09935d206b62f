//! How slashes for several offences add up.

use sp_arithmetic::{traits::Saturating, Perbill};

/// What is still to be slashed of the rest when `done` has been slashed and `total` is deserved:
/// `1 - (1 - total) / (1 - done)`, rounded up. `None` when nothing is.
pub fn further(done: Perbill, total: Perbill) -> Option<Perbill> {
	let more = total.saturating_sub(done);
	if more.is_zero() {
		return None;
	}
	let rest = Perbill::one().saturating_sub(done);
	// `more <= rest`, and both are below 2^30: `more / rest`, rounded up.
	let parts = u64::from(more.deconstruct())
		.saturating_mul(u64::from(Perbill::one().deconstruct()))
		.div_ceil(u64::from(rest.deconstruct()));
	Some(Perbill::from_parts(parts as u32))
}
