//! What a coordinator, and through the chain anybody, may say to a miner.

use cuckoo_chain_client::{AccountId32, Candidate, Role};
use cuckoo_coordinator_api::{
	error::{refusal, Refusal},
	miner::{Assignment, Challenge, Session},
	task::TaskState,
};
use cuckoo_miner::heard::{draw, job, printable, upload_base, Selection, Trouble};
use jsonrpsee::{core::ClientError, types::ErrorObjectOwned};
use rand::SeedableRng;
use serde_json::Value;
use std::collections::BTreeSet;

/// The answer to a call.
pub fn answer(data: &[u8]) {
	if let Ok(Some(assignment)) = serde_json::from_slice::<Option<Assignment>>(data) {
		if let Ok(job) = job(&assignment) {
			job.request.validate().expect("what is rendered is within the limits");
		}
	}
	let _ = serde_json::from_slice::<Challenge>(data);
	let _ = serde_json::from_slice::<Session>(data);
	let _ = serde_json::from_slice::<TaskState>(data);
	let _ = serde_json::from_slice::<Refusal>(data);
	if let Ok(error) = serde_json::from_slice::<ErrorObjectOwned>(data) {
		let _ = refusal(&error);
		if let Trouble::Refused(Refusal { message, .. }) = ClientError::Call(error).into() {
			assert_eq!(printable(&message), message, "it is shown as it is");
		}
	}
	let _ = serde_json::from_slice::<Value>(data);
}

/// The endpoints of a coordinator, one a line.
pub fn endpoints(data: &[u8]) {
	let text = String::from_utf8_lossy(data);
	let candidate = Candidate {
		stash: AccountId32([1; 32]),
		operator: AccountId32([2; 32]),
		role: Role::Coordinator,
		weight: 1,
		self_stake: 1,
		active: true,
		registered_at: 0,
		name: text.clone().into_owned(),
		contact: String::new(),
		endpoints: text.lines().map(str::to_owned).collect(),
		certificate: None,
	};
	let selection = Selection { count: 1, only: Vec::new(), blocked: BTreeSet::new() };
	let eligible = selection.eligible(&[candidate]);
	let drawn = draw(eligible, 1, &mut rand::rngs::StdRng::seed_from_u64(1));
	for coordinator in drawn {
		let shown = coordinator.to_string();
		assert!(!shown.contains(char::is_control) && shown.len() < 2000, "{shown:?}");
		for endpoint in coordinator.endpoints {
			if let Ok(base) = upload_base(&endpoint) {
				assert!(["http", "https"].contains(&base.scheme()), "{endpoint}");
			}
		}
	}
}

/// What takes input as it comes.
type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 2] = [("answer", answer), ("endpoints", endpoints)];
