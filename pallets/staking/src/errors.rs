//! Why calls are refused.

use frame::pallet_macros::*;

/// The errors.
#[pallet_section]
mod errors {
	/// Why a call was refused.
	#[pallet::error]
	pub enum Error<T> {
		/// The amount is zero: give the amount that you mean.
		ZeroAmount,
		/// Your free balance is too small for this stake: stake less. The existential deposit must
		/// stay free.
		InsufficientBalance,
		/// Your idle stake is too small: stake more, or take votes back first.
		InsufficientIdle,
		/// Your stake is unbonding from too many eras: withdraw what is ready, or wait.
		TooManyChunks,
		/// None of your stake is ready to be withdrawn: wait until the era that `Unstaked` named.
		NothingToWithdraw,
		/// You are registered already: deregister first to take another role.
		AlreadyRegistered,
		/// You are not registered: register first.
		NotRegistered,
		/// The operator serves a stash already: use another account as operator.
		OperatorTaken,
		/// The proof is not this operator's signature over this chain, stash and role: print it
		/// again with the operator's key.
		InvalidProof,
		/// The self-stake is below the role's minimum: stake more and register with more.
		BelowRoleMinimum,
		/// Your self-stake must not fall below your role's minimum: take less, or deregister first.
		SelfStakeNeeded,
		/// The name, the contact or an endpoint is not UTF-8 or holds control characters.
		InvalidText,
		/// An endpoint must be a URL that begins with ws://, wss://, http:// or https:// and names a
		/// host.
		InvalidEndpoint,
		/// Only coordinators have endpoints and a certificate: leave both out.
		EndpointNotAllowed,
		/// A coordinator needs at least one endpoint, so that apps and miners find it.
		EndpointRequired,
		/// The candidate is not registered, so it cannot be voted for.
		NotACandidate,
		/// The vote cannot be moved to the candidate where it is.
		SameCandidate,
		/// What you would have behind this candidate is below `MinimumVote`: use more, or, when you
		/// take a vote back, take all of it.
		BelowMinimumVote,
		/// You back as many candidates as you may: leave one of them first.
		TooManyVotes,
		/// You have no stake behind this candidate.
		NoVote,
		/// You have less than this amount behind the candidate: take at most what `StakingApi`
		/// shows.
		InsufficientVote,
		/// You have left too many candidates lately: wait until the oldest exposure has expired.
		TooManyExposures,
		/// The stash is not registered as a validator: register first.
		NotAValidator,
		/// The validator is in the ranking already.
		AlreadyRanked,
		/// The ranking is full of heavier validators: get more stake behind this one.
		NotHeavyEnough,
		/// The number of validators must be from 1 to `MaxRanked`.
		InvalidValidatorCount,
		/// A sum does not fit in 128 bits: use a smaller amount.
		Overflow,
		/// You have nothing to claim from this candidate yet: wait until it has earned something.
		NothingToClaim,
		/// This staker lets nobody else claim for it.
		ClaimNotAllowed,
		/// There is nothing to settle between this staker and this candidate.
		NothingToSettle,
		/// A commission may rise by at most 5 points at a time.
		CommissionRise,
		/// A commission may rise only once in an era: wait for the next one.
		CommissionRaisedAlready,
		/// The part that is emitted in an era must not be above `MaxEmission`.
		InvalidEmission,
		/// The parts of the roles must be 100 % together.
		InvalidSplit,
		/// The part to slash must not be zero.
		ZeroFraction,
		/// The era of the offence has not come yet.
		OffenceInFuture,
		/// The offence is too old: who has left since could not be slashed for it in time.
		OffenceTooOld,
		/// The candidate is slashed for an offence in this era by at least this part already.
		SlashedAlready,
		/// There is no slash of this number that waits: it was applied or cancelled already.
		NoSuchSlash,
		/// You are not in jail.
		NotJailed,
		/// You must stay in jail until the era that `Jailed` named.
		StillJailed,
		/// You have set session keys in this era already: wait for the next one.
		KeysSetAlready,
	}
}
