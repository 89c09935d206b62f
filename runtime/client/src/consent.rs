//! The proof that an operator agrees to serve a stash, and the registration that carries it.

use crate::{
	client::ChainClient,
	cuckoo,
	cuckoo::runtime_types::{
		bounded_collections::bounded_vec::BoundedVec, pallet_cuckoo_staking::types::CandidateInfo,
		sp_runtime::MultiSignature,
	},
	error::ChainError,
	registry::Role,
};
use subxt::{tx::StaticPayload, utils::AccountId32};
use subxt_signer::sr25519::Keypair;

/// What the signed bytes begin with, so that they are nothing else.
const CONTEXT: &[u8; 18] = b"cuckoo/operator/v1";

/// The bytes that an operator signs: `"cuckoo/operator/v1" ‖ genesis ‖ stash ‖ role`, the role as
/// one byte. So a proof serves one chain, one stash and one role.
pub fn payload(genesis: [u8; 32], stash: &AccountId32, role: Role) -> Vec<u8> {
	let mut bytes = CONTEXT.to_vec();
	bytes.extend(genesis);
	bytes.extend(stash.0);
	bytes.push(role.index());
	bytes
}

/// The operator's sr25519 signature over [`payload`]; on chain a `MultiSignature::Sr25519`.
pub fn prove(operator: &Keypair, genesis: [u8; 32], stash: &AccountId32, role: Role) -> [u8; 64] {
	operator.sign(&payload(genesis, stash, role)).0
}

/// What a stash says when it registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
	/// The account whose stake answers for the candidate.
	pub stash: AccountId32,
	/// What it wants to do.
	pub role: Role,
	/// How much of its idle stake it puts behind itself, in planck.
	pub self_stake: u128,
	/// What it shows to others.
	pub info: Info,
}

/// What a candidate shows to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
	/// The name to show, at most 64 bytes.
	pub name: String,
	/// How to reach the person who runs it, at most 128 bytes.
	pub contact: String,
	/// URLs at which a coordinator listens: one to four of at most 128 bytes. Empty for other roles.
	pub endpoints: Vec<String>,
	/// SHA-256 fingerprint of the TLS certificate at these endpoints, if no public authority issued
	/// it.
	pub certificate: Option<[u8; 32]>,
}

impl From<&Info> for CandidateInfo {
	fn from(info: &Info) -> Self {
		let bounded = |text: &String| BoundedVec(text.as_bytes().to_vec());
		Self {
			name: bounded(&info.name),
			contact: bounded(&info.contact),
			endpoints: BoundedVec(info.endpoints.iter().map(bounded).collect()),
			certificate: info.certificate,
		}
	}
}

/// The call `staking.register(…)` for the stash to send, with the operator's proof in it.
pub fn register(
	operator: &Keypair,
	genesis: [u8; 32],
	registration: &Registration,
) -> StaticPayload<cuckoo::staking::calls::Register> {
	let Registration { stash, role, self_stake, info } = registration;
	cuckoo::tx().staking().register(
		(*role).into(),
		*self_stake,
		operator.public_key().to_account_id(),
		MultiSignature::Sr25519(prove(operator, genesis, stash, *role)),
		info.into(),
	)
}

/// The call of [`register`] as `0x…`, which polkadot.js takes under Developer > Extrinsics > Decode.
pub async fn register_call(
	client: &ChainClient,
	operator: &Keypair,
	registration: &Registration,
) -> Result<String, ChainError> {
	let call = register(operator, client.genesis(), registration);
	Ok(format!("0x{}", hex::encode(client.call_data(&call).await?)))
}
