//! Reports validators that author two blocks in one slot.
//!
//! The block import of BABE reports them as well, but compares the headers without their seals, and
//! without the seals nothing is proved: the runtime refuses such a report (seen with
//! sc-consensus-babe 0.60). So BABE's own reports go nowhere, and this wrapper of its block import
//! makes them.

use std::{
	collections::{BTreeMap, HashMap},
	sync::{Arc, Mutex, PoisonError},
};

use cuckoo_runtime::Header;
use sc_client_api::HeaderBackend;
use sc_consensus::{BlockCheckParams, BlockImport, BlockImportParams, ImportResult};
use sc_transaction_pool_api::OffchainTransactionPoolFactory;
use sp_api::{ApiExt, ProvideRuntimeApi};
use sp_consensus::{BlockOrigin, Error as ConsensusError};
use sp_consensus_babe::{
	check_equivocation_proof, AuthorityIndex, BabeApi, EquivocationProof, Slot,
};
use sp_runtime::traits::Header as _;

use crate::service::{Block, FullClient};

/// For how many slots headers are remembered: as many as BABE remembers.
const SLOTS: usize = 1_000;

/// The headers seen lately, the first of each author in each slot.
#[derive(Default)]
struct Seen(BTreeMap<Slot, HashMap<AuthorityIndex, Header>>);

impl Seen {
	/// Remembers a header, unless its author has another one in its slot: then answers with that.
	fn note(&mut self, slot: Slot, author: AuthorityIndex, header: &Header) -> Option<Header> {
		let first = self.0.entry(slot).or_default().entry(author).or_insert_with(|| header.clone());
		let other = (first != header).then(|| first.clone());
		if self.0.len() > SLOTS {
			self.0.pop_first();
		}
		other
	}
}

/// A block import that looks for equivocations in what it passes on. See the [module](self).
#[derive(Clone)]
pub struct ReportEquivocations<Inner> {
	inner: Inner,
	client: Arc<FullClient>,
	pool: OffchainTransactionPoolFactory<Block>,
	seen: Arc<Mutex<Seen>>,
}

impl<Inner> ReportEquivocations<Inner> {
	/// Wraps `inner`, to which only blocks with valid seals may come. Reports go to `pool`.
	pub fn new(
		inner: Inner,
		client: Arc<FullClient>,
		pool: OffchainTransactionPoolFactory<Block>,
	) -> Self {
		Self { inner, client, pool, seen: Arc::default() }
	}

	/// Looks whether the author of `header` has made another block in the same slot, and reports it.
	fn examine(&self, header: &Header) -> Result<(), String> {
		let digest = sc_consensus_babe::find_pre_digest::<Block>(header)
			.map_err(|error| error.to_string())?;
		let (slot, author) = (digest.slot(), digest.authority_index());
		let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
		let first = seen.note(slot, author, header);
		drop(seen);
		match first {
			Some(first) => self.report(slot, author, &first, header),
			None => Ok(()),
		}
	}

	fn report(
		&self,
		slot: Slot,
		author: AuthorityIndex,
		first: &Header,
		second: &Header,
	) -> Result<(), String> {
		let parent = *second.parent_hash();
		let Some(proof) = self.prove(slot, author, first, second)? else {
			// Two of the same number, each in its own epoch.
			return Ok(());
		};
		let offender = proof.offender.clone();
		tracing::warn!("⚔️ {offender} has authored two blocks in slot {slot}: reporting it");

		let best = self.client.info().best_hash;
		let mut api = self.client.runtime_api();
		// The session of the slot is surely known at the parent, unless the block begins a new one.
		let owner = [parent, best].into_iter().find_map(|at| {
			api.generate_key_ownership_proof(at, slot, offender.clone()).ok().flatten()
		});
		let owner = owner.ok_or("it is not in the set of validators")?;
		api.register_extension(self.pool.offchain_transaction_pool(best));
		api.submit_report_equivocation_unsigned_extrinsic(best, proof, owner)
			.map_err(|error| error.to_string())?
			.ok_or_else(|| "the transaction pool does not take it".to_owned())
	}

	/// The proof that the `author`th validator has made both, if it is the same one.
	fn prove(
		&self,
		slot: Slot,
		author: AuthorityIndex,
		first: &Header,
		second: &Header,
	) -> Result<Option<EquivocationProof<Header>>, String> {
		let (api, parent) = (self.client.runtime_api(), *second.parent_hash());
		let epochs = [api.current_epoch(parent), api.next_epoch(parent)];
		for epoch in epochs {
			let authorities = epoch.map_err(|error| error.to_string())?.authorities;
			let Some((offender, _)) = authorities.get(author as usize) else { continue };
			let proof = EquivocationProof {
				offender: offender.clone(),
				slot,
				first_header: first.clone(),
				second_header: second.clone(),
			};
			if check_equivocation_proof(proof.clone()) {
				return Ok(Some(proof));
			}
		}
		Ok(None)
	}
}

#[async_trait::async_trait]
impl<Inner> BlockImport<Block> for ReportEquivocations<Inner>
where
	Inner: BlockImport<Block, Error = ConsensusError> + Send + Sync,
{
	type Error = ConsensusError;

	async fn check_block(
		&self,
		block: BlockCheckParams<Block>,
	) -> Result<ImportResult, ConsensusError> {
		self.inner.check_block(block).await
	}

	async fn import_block(
		&self,
		block: BlockImportParams<Block>,
	) -> Result<ImportResult, ConsensusError> {
		// What is loaded to catch up is too old to be reported, and would fill the memory.
		let fresh = matches!(
			block.origin,
			BlockOrigin::Own | BlockOrigin::NetworkBroadcast | BlockOrigin::ConsensusBroadcast
		);
		if fresh {
			if let Err(error) = self.examine(&block.post_header()) {
				tracing::warn!("cannot report an equivocation: {error}");
			}
		}
		self.inner.import_block(block).await
	}
}
