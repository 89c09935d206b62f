//! What the node answers over JSON-RPC beside the methods that every node of this kind has.

use std::sync::Arc;

use cuckoo_runtime::{AccountId, BlockNumber, Hash, Nonce};
use jsonrpsee::RpcModule;
use pallet_transaction_payment_rpc::{TransactionPayment, TransactionPaymentApiServer};
use sc_consensus_babe::BabeWorkerHandle;
use sc_consensus_babe_rpc::{Babe, BabeApiServer};
use sc_consensus_grandpa::{
	FinalityProofProvider, GrandpaJustificationStream, SharedAuthoritySet, SharedVoterState,
};
use sc_consensus_grandpa_rpc::{Grandpa, GrandpaApiServer};
use sc_rpc::SubscriptionTaskExecutor;
use sp_keystore::KeystorePtr;
use substrate_frame_rpc_system::{System, SystemApiServer};

use crate::service::{Block, FullBackend, FullClient, FullPool, FullSelectChain};

/// What GRANDPA's methods read.
#[derive(Clone)]
pub struct GrandpaDeps {
	/// The state of the voting rounds.
	pub voter_state: SharedVoterState,
	/// Who votes.
	pub authority_set: SharedAuthoritySet<Hash, BlockNumber>,
	/// What has been made final, as it happens.
	pub justifications: GrandpaJustificationStream<Block>,
	/// Proves that a block is final.
	pub finality_proofs: Arc<FinalityProofProvider<FullBackend, Block>>,
}

/// What the methods read and act on.
#[derive(Clone)]
pub struct Deps {
	/// The chain.
	pub client: Arc<FullClient>,
	/// Transactions that wait for a block.
	pub pool: Arc<FullPool>,
	/// Chooses the best of several forks.
	pub select_chain: FullSelectChain,
	/// The keys of this node.
	pub keystore: KeystorePtr,
	/// Knows the epochs.
	pub babe_worker: BabeWorkerHandle<Block>,
	/// Finality.
	pub grandpa: GrandpaDeps,
}

/// The methods of this chain: account nonces, fees, and the state of consensus.
pub fn create(
	deps: Deps,
	executor: SubscriptionTaskExecutor,
) -> Result<RpcModule<()>, sc_service::Error> {
	let Deps { client, pool, select_chain, keystore, babe_worker, grandpa } = deps;
	let mut module = RpcModule::new(());
	let merged = module
		.merge(SystemApiServer::<Hash, AccountId, Nonce>::into_rpc(System::new(
			Arc::clone(&client),
			pool,
		)))
		.and_then(|()| {
			module.merge(TransactionPayment::<_, Block>::new(Arc::clone(&client)).into_rpc())
		})
		.and_then(|()| {
			module.merge(Babe::new(client, babe_worker, keystore, select_chain).into_rpc())
		})
		.and_then(|()| {
			module.merge(
				Grandpa::new(
					executor,
					grandpa.authority_set,
					grandpa.voter_state,
					grandpa.justifications,
					grandpa.finality_proofs,
				)
				.into_rpc(),
			)
		});
	merged.map_err(|error| sc_service::Error::Application(error.into()))?;
	Ok(module)
}
