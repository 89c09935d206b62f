//! What a transaction costs and who receives it.

use frame_support::{
	parameter_types,
	traits::{
		fungible::{Balanced, Credit},
		ConstU128, ConstU8, OnUnbalanced,
	},
	weights::ConstantMultiplier,
};
use pallet_transaction_payment::{FungibleAdapter, Multiplier, TargetedFeeAdjustment};
use sp_runtime::{traits::Bounded, FixedPointNumber, Perquintill};

use crate::{currency::MICRO_CAI, AccountId, Authorship, Balance, Balances, Runtime, RuntimeEvent};

/// One second of computation (10^12 weight units) costs one CAI, a transfer some 0.0003 CAI.
const FEE_PER_WEIGHT_UNIT: Balance = 1_000_000;

/// A byte of a transaction costs a millionth of a CAI.
const FEE_PER_BYTE: Balance = MICRO_CAI;

parameter_types! {
	/// Fees rise while blocks are fuller than this and fall back when they are emptier.
	pub const TargetBlockFullness: Perquintill = Perquintill::from_percent(25);
	/// So slowly that a whole day of full blocks doubles the fees.
	pub AdjustmentVariable: Multiplier = Multiplier::saturating_from_rational(75, 1_000_000);
	/// Fees never fall below the listed ones, so that wallets may quote them.
	pub MinimumMultiplier: Multiplier = Multiplier::saturating_from_integer(1);
	pub MaximumMultiplier: Multiplier = Bounded::max_value();
}

impl pallet_transaction_payment::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type OnChargeTransaction = FungibleAdapter<Balances, ToAuthor>;
	type WeightToFee = ConstantMultiplier<Balance, ConstU128<FEE_PER_WEIGHT_UNIT>>;
	type LengthToFee = ConstantMultiplier<Balance, ConstU128<FEE_PER_BYTE>>;
	type FeeMultiplierUpdate = TargetedFeeAdjustment<
		Self,
		TargetBlockFullness,
		AdjustmentVariable,
		MinimumMultiplier,
		MaximumMultiplier,
	>;
	type OperationalFeeMultiplier = ConstU8<5>;
	type WeightInfo = pallet_transaction_payment::weights::SubstrateWeight<Runtime>;
}

/// Fees and tips go to the stash of the validator that made the block; they are burnt where that
/// account could not exist with them.
pub struct ToAuthor;
impl OnUnbalanced<Credit<AccountId, Balances>> for ToAuthor {
	fn on_nonzero_unbalanced(fee: Credit<AccountId, Balances>) {
		if let Some(author) = Authorship::author() {
			// What cannot be deposited comes back as the error, and is burnt when dropped.
			drop(Balances::resolve(&author, fee));
		}
	}
}
