//! The accounts of the presets that are no well-known people.
//!
//! Their secret keys are derived from the development phrase of Substrate by the path named with
//! each (hard derivation, sr25519), and are thus known to everybody. Deriving needs the standard
//! library, which the runtime lacks, so that the public keys are written out; a test derives them.

use crate::{currency::CAI, AccountId, Balance};
use sp_core::hex2array;

/// The stash of the coordinator: `//Coordinator`.
pub const COORDINATOR: AccountId =
	AccountId::new(hex2array!("b8e83eecc2746eaa10ffe01a833a565ce2f48d3a1d15d491fe10405f4b92d754"));

/// The operator of the coordinator: `//Coordinator//operator`.
pub const COORDINATOR_OPERATOR: AccountId =
	AccountId::new(hex2array!("f23aa436ea90532c51df17862bd5483a9cfbfd52ac4f9593abc5758007c46336"));

/// A miner that the presets register.
pub struct Miner {
	/// Its name, which is also the derivation path of its stash: `//NAME`, and of its operator:
	/// `//NAME//operator`.
	pub name: &'static str,
	/// The account that holds its stake.
	pub stash: AccountId,
	/// The account that runs the miner.
	pub operator: AccountId,
	/// What it stakes.
	pub self_stake: Balance,
}

/// The three miners of the presets. Their stakes differ, so that their shares of work do.
pub const MINERS: [Miner; 3] = [
	Miner {
		name: "Miner1",
		stash: AccountId::new(hex2array!(
			"a64a73d8ce608b2df9c1480754edb78fbf322c51027f149caeae087b7c980a08"
		)),
		operator: AccountId::new(hex2array!(
			"b0594e7553c735f1f3d00675a1d90f9f51d848c8540758f95a543581ccab131a"
		)),
		self_stake: 20_000 * CAI,
	},
	Miner {
		name: "Miner2",
		stash: AccountId::new(hex2array!(
			"5cd81ae010c39cbd1583c020f9ccb1a6b7881b9bb7cadb458ae6970425274e05"
		)),
		operator: AccountId::new(hex2array!(
			"44a5f8e85148562e9a3615050419cbd6416edeaa7f34e0cac528ceb7326b6170"
		)),
		self_stake: 40_000 * CAI,
	},
	Miner {
		name: "Miner3",
		stash: AccountId::new(hex2array!(
			"fa3df0ba82a475d872b0b9fd0e55f23236765eb52fc354d666c30707e488d63c"
		)),
		operator: AccountId::new(hex2array!(
			"f41ebee751eaf88401ab755080c3bcc23dcd3fd416312bcbc45a6d32c2cbf532"
		)),
		self_stake: 140_000 * CAI,
	},
];
