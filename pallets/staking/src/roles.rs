//! Who does what: registration, operators, and what candidates show to others.

use alloc::vec::Vec;
use codec::Encode;
use frame::{prelude::*, traits::Verify};

use crate::{
	Balance, Candidate, CandidateInfo, Candidates, Config, CurrentEra, EarningsOf, Error, Event,
	GenesisCandidate, Offenders, Operators, Pallet, Pool, Pools, Positions, Role, RoleOf,
	RoleTotals,
};

/// What an operator's consent begins with, so that its signature means nothing elsewhere.
pub const CONSENT_CONTEXT: [u8; 18] = *b"cuckoo/operator/v1";

/// What an operator signs to agree to serve `stash` in `role` on the chain with `genesis_hash`:
/// the SCALE encoding of the context (18 bytes), the genesis hash (32 bytes), the stash (32 bytes)
/// and the role (1 byte).
pub fn consent_payload<Hash: Encode, AccountId: Encode>(
	genesis_hash: &Hash,
	stash: &AccountId,
	role: Role,
) -> Vec<u8> {
	(CONSENT_CONTEXT, genesis_hash, stash, role).encode()
}

impl<T: Config> Pallet<T> {
	/// The least self-stake of `role`, in planck.
	pub fn minimum_stake(role: Role) -> Balance {
		match role {
			Role::Validator => T::MinimumValidatorStake::get(),
			Role::Miner => T::MinimumMinerStake::get(),
			Role::Coordinator => T::MinimumCoordinatorStake::get(),
		}
	}

	/// What `stash` has in `pool`, its own.
	pub(crate) fn self_stake(stash: &T::AccountId, pool: &Pool) -> Balance {
		Positions::<T>::get(stash, stash).map_or(0, |backing| backing.stake.worth(pool))
	}

	pub(crate) fn do_register(
		stash: &T::AccountId,
		role: Role,
		self_stake: Balance,
		operator: T::AccountId,
		proof: &T::OperatorSignature,
		info: CandidateInfo,
	) -> DispatchResult {
		// Before the costly check of the signature.
		ensure!(!RoleOf::<T>::contains_key(stash), Error::<T>::AlreadyRegistered);
		ensure!(!Operators::<T>::contains_key(&operator), Error::<T>::OperatorTaken);
		Self::check_proof(stash, role, &operator, proof)?;
		Self::enrol(stash, role, self_stake, operator, info)
	}

	/// Stakes and registers a candidate at genesis. Its operator is taken at its word.
	pub(crate) fn register_at_genesis(
		candidate: &GenesisCandidate<T::AccountId>,
	) -> DispatchResult {
		let GenesisCandidate { stash, operator, role, self_stake, name, endpoints } = candidate;
		ensure!(!RoleOf::<T>::contains_key(stash), Error::<T>::AlreadyRegistered);
		ensure!(!Operators::<T>::contains_key(operator), Error::<T>::OperatorTaken);
		let too_long = DispatchError::Other("the name or an endpoint is too long");
		let info = CandidateInfo {
			name: name.as_bytes().to_vec().try_into().map_err(|_| too_long)?,
			endpoints: endpoints
				.iter()
				.map(|endpoint| endpoint.as_bytes().to_vec().try_into())
				.collect::<Result<Vec<_>, _>>()
				.map_err(|_| too_long)?
				.try_into()
				.map_err(|_| DispatchError::Other("there are too many endpoints"))?,
			..CandidateInfo::default()
		};
		Self::do_stake(stash, *self_stake)?;
		Self::enrol(stash, *role, *self_stake, operator.clone(), info)
	}

	/// Enters `stash`, which has no role, into the registry, with `operator`, which serves nobody
	/// and agrees.
	pub(crate) fn enrol(
		stash: &T::AccountId,
		role: Role,
		self_stake: Balance,
		operator: T::AccountId,
		info: CandidateInfo,
	) -> DispatchResult {
		Self::check_info(role, &info)?;
		let before = Pools::<T>::get(stash).balance;
		if self_stake > 0 {
			let mut ledger = Self::load_ledger(stash)?;
			ledger.debit(self_stake)?;
			Self::enter_pool(&mut ledger, stash, stash, self_stake)?;
			Self::store_ledger(stash, ledger)?;
		}
		let pool = Pools::<T>::get(stash);
		let own = Self::self_stake(stash, &pool);
		ensure!(own >= Self::minimum_stake(role), Error::<T>::BelowRoleMinimum);

		RoleOf::<T>::insert(stash, role);
		Operators::<T>::insert(&operator, stash);
		let registered_at = CurrentEra::<T>::get().index;
		let jailed = Offenders::<T>::get(stash).jailed_until.is_some();
		let candidate = Candidate {
			operator: operator.clone(),
			info,
			registered_at,
			inactive_from: jailed.then_some(registered_at),
		};
		Candidates::<T>::insert(role, stash, candidate);
		// It shares in the reward of the role from now on.
		let per_weight = Self::advance(role).per_weight.index;
		EarningsOf::<T>::mutate(stash, |earnings| earnings.claim.index = per_weight);
		RoleTotals::<T>::try_mutate(role, |total| {
			total.candidates = total.candidates.checked_add(1).ok_or(Error::<T>::Overflow)?;
			total.weight = total.weight.checked_add(before).ok_or(Error::<T>::Overflow)?;
			Ok::<_, DispatchError>(())
		})?;
		Self::deposit_event(Event::Registered {
			stash: stash.clone(),
			operator,
			role,
			self_stake: own,
			weight: pool.balance,
		});
		Self::reweigh(stash, before, &pool)
	}

	pub(crate) fn do_deregister(stash: &T::AccountId) -> DispatchResult {
		let role = RoleOf::<T>::get(stash).ok_or(Error::<T>::NotRegistered)?;
		Self::accrue(stash);
		Self::set_earning_weight(stash, role, 0);
		RoleOf::<T>::remove(stash);
		let Candidate { operator, .. } =
			Candidates::<T>::take(role, stash).ok_or(Error::<T>::NotRegistered)?;
		Operators::<T>::remove(&operator);
		let weight = Pools::<T>::get(stash).balance;
		RoleTotals::<T>::mutate(role, |total| {
			total.candidates = total.candidates.saturating_sub(1);
			total.weight = total.weight.saturating_sub(weight);
		});
		if role == Role::Validator {
			Self::leave_ranking(stash, weight);
		}
		Self::deposit_event(Event::Deregistered { stash: stash.clone(), operator, role, weight });
		Ok(())
	}

	pub(crate) fn do_set_operator(
		stash: &T::AccountId,
		operator: T::AccountId,
		proof: &T::OperatorSignature,
	) -> DispatchResult {
		let role = RoleOf::<T>::get(stash).ok_or(Error::<T>::NotRegistered)?;
		ensure!(!Operators::<T>::contains_key(&operator), Error::<T>::OperatorTaken);
		Self::check_proof(stash, role, &operator, proof)?;
		let old = Candidates::<T>::try_mutate(role, stash, |slot| {
			let candidate = slot.as_mut().ok_or(Error::<T>::NotRegistered)?;
			Ok::<_, DispatchError>(core::mem::replace(&mut candidate.operator, operator.clone()))
		})?;
		Operators::<T>::remove(&old);
		Operators::<T>::insert(&operator, stash);
		Self::deposit_event(Event::OperatorSet { stash: stash.clone(), old, new: operator });
		Ok(())
	}

	pub(crate) fn do_set_info(stash: &T::AccountId, info: CandidateInfo) -> DispatchResult {
		let role = RoleOf::<T>::get(stash).ok_or(Error::<T>::NotRegistered)?;
		Self::check_info(role, &info)?;
		Candidates::<T>::try_mutate(role, stash, |slot| {
			slot.as_mut().ok_or(Error::<T>::NotRegistered)?.info = info;
			Ok::<_, DispatchError>(())
		})?;
		Self::deposit_event(Event::InfoSet { stash: stash.clone() });
		Ok(())
	}

	fn check_proof(
		stash: &T::AccountId,
		role: Role,
		operator: &T::AccountId,
		proof: &T::OperatorSignature,
	) -> DispatchResult {
		let genesis_hash = frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::zero());
		let payload = consent_payload(&genesis_hash, stash, role);
		ensure!(proof.verify(payload.as_slice(), operator), Error::<T>::InvalidProof);
		Ok(())
	}

	fn check_info(role: Role, info: &CandidateInfo) -> Result<(), Error<T>> {
		if role == Role::Coordinator {
			ensure!(!info.endpoints.is_empty(), Error::<T>::EndpointRequired);
		} else {
			let none = info.endpoints.is_empty() && info.certificate.is_none();
			ensure!(none, Error::<T>::EndpointNotAllowed);
		}
		ensure!(is_text(&info.name) && is_text(&info.contact), Error::<T>::InvalidText);
		for endpoint in &info.endpoints {
			ensure!(is_text(endpoint), Error::<T>::InvalidText);
			ensure!(is_endpoint(endpoint), Error::<T>::InvalidEndpoint);
		}
		Ok(())
	}
}

/// Whether `bytes` are UTF-8 that can be shown in one line.
fn is_text(bytes: &[u8]) -> bool {
	core::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// Whether `bytes` are a URL of one of the schemes that coordinators serve, with a host.
fn is_endpoint(bytes: &[u8]) -> bool {
	const SCHEMES: [&str; 4] = ["ws://", "wss://", "http://", "https://"];
	let Ok(text) = core::str::from_utf8(bytes) else { return false };
	let Some(rest) = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)) else {
		return false;
	};
	let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
	let named = !host.is_empty() && !host.starts_with(':');
	named && !rest.chars().any(char::is_whitespace)
}
