//! Rewards that many share: every 2^-96 planck is accounted for.

use cuckoo_staking_math::{Accumulator, Balance, Claim, DistributeError};
use proptest::prelude::*;
use sp_core::U256;

use crate::{amount, any_amount, rate, Fraction};

/// A planck in the unit of an index.
const PLANCK: u128 = 1 << 96;

/// `amount` in 2^-96 planck.
fn scaled(amount: Balance) -> U256 {
	U256::from(amount) * U256::from(PLANCK)
}

/// What a claim has ever earned, in 2^-96 planck, when `paid` has been taken from it.
fn earned(claim: &Claim, paid: Balance) -> U256 {
	scaled(paid) + scaled(claim.amount) + U256::from(claim.fraction)
}

fn accumulator() -> impl Strategy<Value = Accumulator> {
	prop_oneof![
		Just(Accumulator::default()),
		(any::<u128>(), any_amount())
			.prop_map(|(index, remainder)| Accumulator { index, remainder }),
	]
}

fn shares() -> impl Strategy<Value = u128> {
	prop_oneof![1..=1_000u128, 1..=1u128 << 100, Just(u128::MAX)]
}

/// For an amount or a number of shares, of which one owner may have none.
fn amount_or_shares() -> impl Strategy<Value = u128> {
	prop_oneof![Just(0), 1..=1_000u128, 1..=1u128 << 90]
}

/// One of several owners of shares.
#[derive(Clone, Copy, Default)]
struct Owner {
	claim: Claim,
	shares: u128,
	paid: Balance,
}

proptest! {
	#[test]
	fn a_distribution_is_rounded_down_and_the_rest_carried(
		before in accumulator(),
		amount in any_amount(),
		shares in shares(),
	) {
		let mut accumulator = before;
		let all = scaled(amount) + U256::from(before.remainder);
		let index = U256::from(before.index) + all / U256::from(shares);
		if index > U256::from(u128::MAX) {
			prop_assert_eq!(accumulator.distribute(amount, shares), Err(DistributeError::Overflow));
			prop_assert_eq!(accumulator, before);
		} else {
			prop_assert_eq!(accumulator.distribute(amount, shares), Ok(()));
			prop_assert_eq!(U256::from(accumulator.index), index);
			prop_assert_eq!(U256::from(accumulator.remainder), all % U256::from(shares));
		}
	}

	#[test]
	fn without_shares_nothing_is_distributed(before in accumulator(), amount in any_amount()) {
		let mut accumulator = before;
		prop_assert_eq!(accumulator.distribute(amount, 0), Err(DistributeError::NoShares));
		prop_assert_eq!(accumulator, before);
	}

	#[test]
	fn a_settlement_is_rounded_down_and_the_rest_carried(
		(from, to) in any::<(u128, u128)>(),
		shares in prop_oneof![Just(0), shares()],
		fraction in 0..PLANCK,
		amount in 0..=1u128 << 100,
	) {
		let before = Claim { index: from.min(to), fraction, amount };
		let index = from.max(to);
		let mut claim = before;
		claim.settle(index, shares);
		let all = U256::from(shares) * U256::from(index - before.index) + U256::from(fraction);
		let whole = u128::try_from(all / U256::from(PLANCK)).unwrap_or(u128::MAX);
		prop_assert_eq!(claim.amount, amount.saturating_add(whole));
		prop_assert_eq!(U256::from(claim.fraction), all % U256::from(PLANCK));
		prop_assert_eq!(claim.index, index);
		// The same index again, or an older one, adds nothing.
		let settled = claim;
		claim.settle(index, shares);
		claim.settle(before.index, shares);
		prop_assert_eq!(claim, settled);
	}

	/// However often a reward is divided and a claim settled, the result is the same.
	#[test]
	fn small_steps_give_what_a_large_one_gives(
		amounts in prop::collection::vec(0..=1u128 << 64, 1..20),
		shares in 1u128 << 40..=1u128 << 90,
		rate in rate(),
	) {
		let owned = Fraction::part(shares, rate).floor();
		let (mut many, mut one) = (Accumulator::default(), Accumulator::default());
		let (mut often, mut once) = (Claim::default(), Claim::default());
		let mut sum = 0;
		for amount in amounts {
			sum += amount;
			prop_assert_eq!(many.distribute(amount, shares), Ok(()));
			often.settle(many.index, owned);
		}
		prop_assert_eq!(one.distribute(sum, shares), Ok(()));
		once.settle(one.index, owned);
		prop_assert_eq!(many, one);
		prop_assert_eq!(often, once);
		// That is the exact part, but for less than 2^-96 planck a share.
		let exact = scaled(sum) * U256::from(owned);
		let given = earned(&once, 0) * U256::from(shares);
		prop_assert!(given <= exact);
		prop_assert!(exact - given <= U256::from(owned) * U256::from(shares));
	}

	/// Owners join, change their shares, are paid and leave between distributions: what all have
	/// earned, and what is carried, is what was distributed.
	#[test]
	fn everything_distributed_is_earned(
		steps in prop::collection::vec((0..4usize, 0..6u8, amount_or_shares()), 1..60),
	) {
		let mut accumulator = Accumulator::default();
		let mut owners = [Owner::default(); 4];
		let (mut distributed, mut left) = (U256::zero(), U256::zero());
		for (number, action, value) in steps {
			let all = owners.iter().map(|owner| owner.shares).sum();
			let owner = &mut owners[number];
			match action {
				0 | 1 => {
					let before = accumulator;
					match accumulator.distribute(value, all) {
						Ok(()) => distributed += scaled(value),
						Err(error) => {
							let expected = match all {
								0 => DistributeError::NoShares,
								_ => DistributeError::Overflow,
							};
							prop_assert_eq!(error, expected);
							prop_assert_eq!(accumulator, before);
						},
					}
				},
				2 => owner.claim.settle(accumulator.index, owner.shares),
				3 => {
					owner.claim.settle(accumulator.index, owner.shares);
					owner.shares = value;
				},
				4 => {
					owner.claim.settle(accumulator.index, owner.shares);
					owner.paid += owner.claim.take();
				},
				// Somebody leaves and somebody else takes the place.
				_ => {
					owner.claim.settle(accumulator.index, owner.shares);
					left += earned(&owner.claim, owner.paid);
					let claim = Claim::starting_at(accumulator.index);
					*owner = Owner { claim, shares: value, paid: 0 };
				},
			}
		}
		let mut sum = left + U256::from(accumulator.remainder);
		for owner in &mut owners {
			owner.claim.settle(accumulator.index, owner.shares);
			sum += earned(&owner.claim, owner.paid);
		}
		prop_assert_eq!(sum, distributed);
	}

	#[test]
	fn who_comes_late_gets_nothing_of_before(
		(earlier, later) in (amount(), amount()),
		others in 1u128 << 80..=1u128 << 90,
		shares in 0..=1u128 << 90,
	) {
		let mut accumulator = Accumulator::default();
		prop_assert_eq!(accumulator.distribute(earlier, others), Ok(()));
		let mut claim = Claim::starting_at(accumulator.index);
		claim.settle(accumulator.index, shares);
		prop_assert_eq!(claim, Claim::starting_at(accumulator.index));
		prop_assert_eq!(claim.take(), 0);
		// And its part of what comes later, with what had been too little to divide.
		let all = scaled(later) + U256::from(accumulator.remainder);
		prop_assert_eq!(accumulator.distribute(later, others + shares), Ok(()));
		claim.settle(accumulator.index, shares);
		let each = all / U256::from(others + shares);
		prop_assert_eq!(earned(&claim, 0), each * U256::from(shares));
	}

	#[test]
	fn taking_leaves_the_part_of_a_planck(
		index in any::<u128>(),
		fraction in 0..PLANCK,
		amount in any_amount(),
	) {
		let mut claim = Claim { index, fraction, amount };
		prop_assert_eq!(claim.take(), amount);
		prop_assert_eq!(claim, Claim { index, fraction, amount: 0 });
		prop_assert_eq!(claim.take(), 0);
	}
}

#[test]
fn three_share_a_planck() {
	let mut accumulator = Accumulator::default();
	let mut claims = [Claim::default(); 3];
	for round in 1..=3 {
		assert_eq!(accumulator.distribute(1, 3), Ok(()));
		for claim in &mut claims {
			claim.settle(accumulator.index, 1);
			assert_eq!(claim.amount, u128::from(round == 3));
		}
	}
	assert_eq!(accumulator, Accumulator { index: PLANCK, remainder: 0 });
	assert_eq!(claims.map(|mut claim| claim.take()), [1; 3]);
}

#[test]
fn an_index_that_would_not_fit_changes_nothing() {
	for (index, amount, shares) in
		[(0, u128::MAX, 1), (0, 1 << 32, 1), (u128::MAX, 1, PLANCK), (1, (1 << 32) - 1, 1)]
	{
		let before = Accumulator { index, remainder: u128::MAX };
		let mut accumulator = before;
		assert_eq!(accumulator.distribute(amount, shares), Err(DistributeError::Overflow));
		assert_eq!(accumulator, before);
	}
	let mut accumulator = Accumulator { index: u128::MAX - 1, remainder: 0 };
	assert_eq!(accumulator.distribute(1, PLANCK), Ok(()));
	assert_eq!(accumulator, Accumulator { index: u128::MAX, remainder: 0 });
}

#[test]
fn a_claim_that_would_not_fit_stays_at_the_largest() {
	let mut claim = Claim { amount: 1, ..Claim::default() };
	claim.settle(u128::MAX, u128::MAX);
	assert_eq!((claim.amount, claim.index), (u128::MAX, u128::MAX));
}
