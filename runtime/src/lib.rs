//! The state transition function of the Cuckoo chain.
//!
//! This file puts the pallets together; `configs` sets each of them up, `apis` is what the node
//! and other programs may ask of the runtime, `genesis_config_presets` holds the ready-made
//! chains, and `timing` the lengths of slots, sessions and eras.

#![cfg_attr(not(feature = "std"), no_std)]
// The runtime macros nest deeper than the compiler's default allows.
#![recursion_limit = "512"]
// The runtime macros generate public items that take no doc comment; ours have theirs.
#![allow(missing_docs)]

extern crate alloc;

#[cfg(feature = "std")]
include!(concat!(env!("OUT_DIR"), "/wasm_binary.rs"));

#[cfg(feature = "runtime-benchmarks")]
#[macro_use]
mod benchmarks;

mod apis;
pub mod configs;
pub mod currency;
pub mod genesis_config_presets;
pub mod timing;
mod weights;

use alloc::{borrow::Cow, vec::Vec};
use sp_runtime::{
	generic, impl_opaque_keys,
	traits::{BlakeTwo256, IdentifyAccount, Verify},
	MultiAddress, MultiSignature,
};
use sp_version::RuntimeVersion;

pub use apis::{RuntimeApi, RUNTIME_API_VERSIONS};

/// The prefix that tells addresses of this chain from those of others.
pub const SS58_PREFIX: u16 = 42;

/// A signature by an account: sr25519, ed25519 or ecdsa.
pub type Signature = MultiSignature;

/// An account: the public key behind a [`Signature`], or its hash.
pub type AccountId = <<Signature as Verify>::Signer as IdentifyAccount>::AccountId;

/// An amount of CAI in its smallest unit; see [`currency::CAI`].
pub type Balance = u128;

/// How many transactions an account has sent.
pub type Nonce = u32;

/// The number of a block.
pub type BlockNumber = u32;

/// A 256-bit hash.
pub type Hash = sp_core::H256;

/// How a transaction names an account.
pub type Address = MultiAddress<AccountId, ()>;

/// The header of a block.
pub type Header = generic::Header<BlockNumber, BlakeTwo256>;

/// A block.
pub type Block = generic::Block<Header, UncheckedExtrinsic>;

/// What is checked before and after the call of a transaction, in this order.
pub type TxExtension = (
	frame_system::AuthorizeCall<Runtime>,
	frame_system::CheckNonZeroSender<Runtime>,
	frame_system::CheckSpecVersion<Runtime>,
	frame_system::CheckTxVersion<Runtime>,
	frame_system::CheckGenesis<Runtime>,
	frame_system::CheckEra<Runtime>,
	frame_system::CheckNonce<Runtime>,
	frame_system::CheckWeight<Runtime>,
	pallet_transaction_payment::ChargeTransactionPayment<Runtime>,
	frame_metadata_hash_extension::CheckMetadataHash<Runtime>,
	frame_system::WeightReclaim<Runtime>,
);

/// A transaction or inherent as it travels between nodes.
pub type UncheckedExtrinsic =
	generic::UncheckedExtrinsic<Address, RuntimeCall, Signature, TxExtension>;

/// What an account signs to send a transaction.
pub type SignedPayload = generic::SignedPayload<RuntimeCall, TxExtension>;

/// Executes blocks and transactions by handing them to the pallets.
pub type Executive = frame_executive::Executive<
	Runtime,
	Block,
	frame_system::ChainContext<Runtime>,
	Runtime,
	AllPalletsWithSystem,
>;

impl_opaque_keys! {
	/// The keys that a validator works with; they live on its machine, apart from the stake.
	pub struct SessionKeys {
		/// Signs blocks and claims the slots for them.
		pub babe: Babe,
		/// Votes on finality.
		pub grandpa: Grandpa,
	}
}

/// The version of this runtime. Raise `spec_version` with every change of behaviour, and
/// `transaction_version` when the encoding of calls or transaction extensions changes.
#[sp_version::runtime_version]
pub const VERSION: RuntimeVersion = RuntimeVersion {
	spec_name: Cow::Borrowed("cuckoo"),
	impl_name: Cow::Borrowed("cuckoo-node"),
	authoring_version: 1,
	spec_version: 4,
	impl_version: 1,
	apis: RUNTIME_API_VERSIONS,
	transaction_version: 1,
	system_version: 1,
};

// The order is that of genesis and of the hooks: timing before all that reads it, BABE before
// the session it ends, balances before the stakes held on them, and registrations before the
// first session, whose validators are elected from them.
#[frame_support::runtime]
mod runtime {
	#[runtime::runtime]
	#[runtime::derive(
		RuntimeCall,
		RuntimeEvent,
		RuntimeError,
		RuntimeOrigin,
		RuntimeFreezeReason,
		RuntimeHoldReason,
		RuntimeSlashReason,
		RuntimeLockId,
		RuntimeTask,
		RuntimeViewFunction
	)]
	pub struct Runtime;

	#[runtime::pallet_index(0)]
	pub type System = frame_system;

	#[runtime::pallet_index(1)]
	pub type Timing = timing;

	#[runtime::pallet_index(2)]
	pub type Timestamp = pallet_timestamp;

	#[runtime::pallet_index(3)]
	pub type Babe = pallet_babe;

	#[runtime::pallet_index(4)]
	pub type Authorship = pallet_authorship;

	#[runtime::pallet_index(5)]
	pub type Balances = pallet_balances;

	#[runtime::pallet_index(6)]
	pub type TransactionPayment = pallet_transaction_payment;

	#[runtime::pallet_index(7)]
	pub type Staking = pallet_cuckoo_staking;

	#[runtime::pallet_index(8)]
	pub type Session = pallet_session;

	#[runtime::pallet_index(9)]
	pub type Historical = pallet_session::historical;

	#[runtime::pallet_index(10)]
	pub type Offences = pallet_offences;

	#[runtime::pallet_index(11)]
	pub type Grandpa = pallet_grandpa;

	#[runtime::pallet_index(12)]
	pub type Utility = pallet_utility;

	#[runtime::pallet_index(13)]
	pub type Multisig = pallet_multisig;

	#[runtime::pallet_index(14)]
	pub type Proxy = pallet_proxy;

	#[runtime::pallet_index(15)]
	pub type Migrations = pallet_migrations;

	#[runtime::pallet_index(16)]
	pub type Sudo = pallet_sudo;
}
