//! What must hold before the coordinator starts: its operator is registered as an active coordinator
//! at a finalized block. If not, the error names the condition that is missing and what to do.

use cuckoo_chain_client::{
	format_cai, AccountId32, BlockRef, Candidate, ChainClient, ChainError, Role,
};

/// Why the coordinator does not start. Each is one line.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
	/// The node cannot be asked, or serves another chain.
	#[error(transparent)]
	Chain(#[from] ChainError),
	/// Nobody is registered with this operator.
	#[error(
		"operator {operator} is not registered at finalized block {block}: register a coordinator \
		with it (`cuckoo-coordinator key prove` prints the call); a registration counts once its \
		block is finalized, so try again in some seconds if it was just sent"
	)]
	NotRegistered {
		/// SS58 address of the operator.
		operator: AccountId32,
		/// Where that is so.
		block: BlockRef,
	},
	/// The operator is registered as something else.
	#[error(
		"operator {operator} is registered as a {role} (stash {stash}) at finalized block {block}, \
		not as a coordinator: use the key of a coordinator's operator, or deregister the {role} and \
		register a coordinator"
	)]
	OtherRole {
		/// SS58 address of the operator.
		operator: AccountId32,
		/// As what it is registered.
		role: Role,
		/// For whom.
		stash: AccountId32,
		/// Where that is so.
		block: BlockRef,
	},
	/// The coordinator's own stake is too small.
	#[error(
		"the coordinator of stash {stash} is not active at finalized block {block}: its self-stake of \
		{} CAI is below the minimum for coordinators; add stake from the stash",
		format_cai(*self_stake)
	)]
	NotActive {
		/// Its stash.
		stash: AccountId32,
		/// Its own stake, in plancks.
		self_stake: u128,
		/// Where that is so.
		block: BlockRef,
	},
}

/// The registration of this coordinator, if it may start: the chain is the `expected` one where one
/// is expected, and `operator` serves an active coordinator at the last finalized block.
///
/// # Errors
///
/// The first condition that does not hold.
pub async fn check(
	client: &ChainClient,
	expected: Option<[u8; 32]>,
	operator: &AccountId32,
) -> Result<Candidate, StartupError> {
	if let Some(genesis) = expected {
		client.ensure_genesis(genesis)?;
	}
	let block = client.finalized().await?;
	let candidate = client.candidate_by_operator(operator).await?;
	standing(candidate, operator, block)
}

/// What miners will stumble over: how the registration says that they are served, against the
/// `fingerprint` of the certificate with which they are, if any.
pub fn certificate_warning(
	registration: &Candidate,
	fingerprint: Option<[u8; 32]>,
) -> Option<String> {
	let how = "the stash sets it by staking.setInfo";
	let hex = |fingerprint| format!("0x{}", hex::encode::<[u8; 32]>(fingerprint));
	let encrypted = registration.endpoints.iter().any(|endpoint| is_encrypted(endpoint));
	match (registration.certificate, fingerprint) {
		(Some(registered), Some(served)) if registered != served => Some(format!(
			"miners will refuse this coordinator: its certificate is {}, registered is {}; {how}",
			hex(served),
			hex(registered)
		)),
		(Some(_), None) => Some(
			"a certificate is registered and miners are served without one: they connect only if \
			something before this program has it (--miner-tls-cert)"
				.into(),
		),
		(_, Some(_)) if !encrypted => Some(format!(
			"miners are served with a certificate, and no registered endpoint begins with wss://; {how}"
		)),
		_ => None,
	}
}

fn is_encrypted(endpoint: &str) -> bool {
	endpoint.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("wss://"))
}

fn standing(
	candidate: Option<Candidate>,
	operator: &AccountId32,
	block: BlockRef,
) -> Result<Candidate, StartupError> {
	let operator = *operator;
	match candidate {
		None => Err(StartupError::NotRegistered { operator, block }),
		Some(Candidate { role, stash, .. }) if role != Role::Coordinator => {
			Err(StartupError::OtherRole { operator, role, stash, block })
		},
		Some(Candidate { active: false, stash, self_stake, .. }) => {
			Err(StartupError::NotActive { stash, self_stake, block })
		},
		Some(candidate) => Ok(candidate),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_chain_client::CAI;

	const OPERATOR: AccountId32 = AccountId32([2; 32]);
	const BLOCK: BlockRef = BlockRef { number: 7, hash: [0xab; 32] };

	fn coordinator() -> Candidate {
		Candidate {
			stash: AccountId32([1; 32]),
			operator: OPERATOR,
			role: Role::Coordinator,
			weight: 2_000_000 * CAI,
			self_stake: 2_000_000 * CAI,
			active: true,
			registered_at: 0,
			name: String::new(),
			contact: String::new(),
			endpoints: Vec::new(),
			certificate: None,
		}
	}

	#[test]
	fn an_active_coordinator_may_start() {
		assert_eq!(standing(Some(coordinator()), &OPERATOR, BLOCK).unwrap(), coordinator());
	}

	#[test]
	fn a_registration_that_does_not_fit_the_certificate_is_told() {
		let registered = |scheme: &str, certificate| {
			let endpoints = vec![format!("{scheme}://host:1")];
			Candidate { endpoints, certificate, ..coordinator() }
		};
		for (scheme, registered_as, served, wanted) in [
			("ws", None, None, None),
			("wss", None, None, None),
			("wss", None, Some([1; 32]), None),
			("WSS", Some([1; 32]), Some([1; 32]), None),
			("ws", None, Some([1; 32]), Some("wss://")),
			("ws", Some([1; 32]), Some([1; 32]), Some("wss://")),
			("wss", Some([2; 32]), Some([1; 32]), Some("0x0202")),
			("wss", Some([2; 32]), None, Some("--miner-tls-cert")),
		] {
			let warning = certificate_warning(&registered(scheme, registered_as), served);
			match wanted {
				Some(wanted) => assert!(warning.as_ref().is_some_and(|text| text.contains(wanted))),
				None => assert_eq!(warning, None),
			}
		}
	}

	#[test]
	fn each_missing_condition_is_named_in_one_line() {
		let miner = Candidate { role: Role::Miner, ..coordinator() };
		let poor =
			Candidate { active: false, self_stake: 1_999_999 * CAI + CAI / 2, ..coordinator() };
		for (candidate, wanted) in [
			(None, "is not registered"),
			(Some(miner), "registered as a miner"),
			(Some(poor), "self-stake of 1999999.5 CAI is below the minimum"),
		] {
			let message = standing(candidate, &OPERATOR, BLOCK).unwrap_err().to_string();
			assert!(message.contains(wanted), "{message}");
			assert!(message.contains("#7"), "{message}");
			assert_eq!(message.lines().count(), 1, "{message}");
		}
	}
}
