//! What the chain demands of a miner.

use anyhow::Context as _;
use cuckoo_chain_client::{cuckoo, ChainClient};

/// The least self-stake of a miner, in planck.
pub async fn minimum_stake(client: &ChainClient) -> anyhow::Result<u128> {
	let at_block = client.api().await.at_current_block().await.context("cannot read the chain")?;
	at_block
		.constants()
		.entry(cuckoo::constants().staking().minimum_miner_stake())
		.context("the chain does not say what the least self-stake of a miner is")
}
