//! What a candidate keeps of the reward of those who back it.

use sp_arithmetic::{traits::Saturating, Perbill};

use crate::Balance;

/// Divides `reward` into the commission, `reward * rate` rounded down, and the rest. Together they are
/// the reward.
pub fn split(reward: Balance, rate: Perbill) -> (Balance, Balance) {
	let commission = rate.mul_floor(reward);
	(commission, reward.saturating_sub(commission))
}

/// Whether a commission may go from `old` to `new` in one step of at most `step`. It may always
/// fall.
pub fn may_change(old: Perbill, new: Perbill, step: Perbill) -> bool {
	new.saturating_sub(old) <= step
}
