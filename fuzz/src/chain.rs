//! What a node says of the registry, as it is decoded by the types of its metadata.

use cuckoo_chain_client::{
	cuckoo::runtime_types::cuckoo_staking_runtime_api::CandidateView, format_cai, parse_account,
	parse_cai, parse_hash, AccountId32, Candidate,
};
use std::sync::OnceLock;
use subxt::{ext::scale_decode::DecodeAsType, metadata::Metadata};

type Views = Vec<CandidateView<AccountId32, u128>>;

/// The types of the chain and which of them the candidates have.
fn types() -> &'static (Metadata, u32) {
	static TYPES: OnceLock<(Metadata, u32)> = OnceLock::new();
	TYPES.get_or_init(|| {
		let bytes = include_bytes!("../../runtime/metadata.scale");
		let metadata = Metadata::decode_from(&bytes[..]).expect("the metadata can be read");
		let api = metadata.runtime_api_trait_by_name("StakingApi").expect("the chain has it");
		let candidates = api.method_by_name("candidates").expect("it has the method").output_ty();
		(metadata, candidates)
	})
}

/// A page of candidates.
pub fn candidates(data: &[u8]) {
	let (metadata, candidates) = types();
	let Ok(views) = Views::decode_as_type(&mut &*data, *candidates, metadata.types()) else {
		return;
	};
	for view in views {
		let candidate = Candidate::from(view);
		let texts = [&candidate.name, &candidate.contact].into_iter().chain(&candidate.endpoints);
		assert!(texts.map(String::len).sum::<usize>() <= 3 * data.len());
	}
}

/// Accounts, hashes and amounts as people write them.
pub fn texts(data: &[u8]) {
	let text = String::from_utf8_lossy(data);
	if let Ok(account) = parse_account(&text) {
		assert_eq!(parse_account(&account.to_string()), Ok(account));
	}
	if let Ok(hash) = parse_hash(&text) {
		assert_eq!(parse_hash(&format!("0x{}", hex::encode(hash))), Ok(hash));
	}
	if let Ok(planck) = parse_cai(&text) {
		assert_eq!(parse_cai(&format_cai(planck)), Ok(planck));
	}
}

/// What takes input as it comes.
type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 2] = [("candidates", candidates), ("texts", texts)];
