//! The CAI token: its units, and what a unit of chain storage costs.

use crate::Balance;

/// Decimal places of CAI: a balance of 10^18 is one CAI.
pub const DECIMALS: u8 = 18;

/// One CAI in the smallest unit.
pub const CAI: Balance = 10u128.pow(DECIMALS as u32);

/// A thousandth of a CAI.
pub const MILLI_CAI: Balance = CAI / 1_000;

/// A millionth of a CAI.
pub const MICRO_CAI: Balance = CAI / 1_000_000;

/// All CAI that exist: one thousand million, created at genesis.
pub const TOTAL_SUPPLY: Balance = 1_000_000_000 * CAI;

/// The least that an account may hold; below it, the account and its dust are removed.
pub const EXISTENTIAL_DEPOSIT: Balance = MILLI_CAI;

/// The refundable deposit for keeping `items` storage entries of `bytes` bytes altogether:
/// 0.1 CAI an entry and 0.001 CAI a byte.
pub const fn deposit(items: u32, bytes: u32) -> Balance {
	items as Balance * 100 * MILLI_CAI + bytes as Balance * MILLI_CAI
}
