//! What happened.

use frame::pallet_macros::*;

/// The events.
#[pallet_section]
mod events {
	/// What happened.
	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// Funds were staked. They back nobody yet.
		Staked {
			/// Who staked.
			stash: T::AccountId,
			/// How much was added.
			amount: Balance,
			/// The idle stake after it.
			idle: Balance,
		},
		/// Idle stake began to unbond.
		Unstaked {
			/// Whose stake.
			stash: T::AccountId,
			/// How much.
			amount: Balance,
			/// The era from which it can be withdrawn.
			until_era: u32,
			/// The idle stake after it.
			idle: Balance,
		},
		/// Unbonded stake was released to the free balance.
		Withdrawn {
			/// Whose stake.
			stash: T::AccountId,
			/// How much was released.
			amount: Balance,
			/// What is still held.
			held: Balance,
		},
		/// A stash registered for a role.
		Registered {
			/// The stash.
			stash: T::AccountId,
			/// The account that runs the program.
			operator: T::AccountId,
			/// The role.
			role: Role,
			/// The stash's own stake behind itself.
			self_stake: Balance,
			/// All the stake behind it.
			weight: Balance,
		},
		/// A stash left the registry. Those who back it can take their votes back.
		Deregistered {
			/// The stash.
			stash: T::AccountId,
			/// The operator that is free again.
			operator: T::AccountId,
			/// The role that it had.
			role: Role,
			/// The stake that is still in its pool.
			weight: Balance,
		},
		/// A stash changed its operator.
		OperatorSet {
			/// The stash.
			stash: T::AccountId,
			/// The operator until now.
			old: T::AccountId,
			/// The operator from now on.
			new: T::AccountId,
		},
		/// A stash changed what it says about itself.
		InfoSet {
			/// The stash.
			stash: T::AccountId,
		},
		/// Stake was put behind a candidate.
		Voted {
			/// Who voted.
			voter: T::AccountId,
			/// For whom.
			candidate: T::AccountId,
			/// How much was added.
			amount: Balance,
			/// What the voter has behind the candidate after it.
			position: Balance,
			/// All the stake behind the candidate after it.
			weight: Balance,
		},
		/// Stake was taken back from a candidate.
		Unvoted {
			/// Who took it back.
			voter: T::AccountId,
			/// From whom.
			candidate: T::AccountId,
			/// How much.
			amount: Balance,
			/// What the voter still has behind the candidate.
			position: Balance,
			/// All the stake behind the candidate after it.
			weight: Balance,
		},
		/// Stake was moved from one candidate to another.
		VoteMoved {
			/// Who moved it.
			voter: T::AccountId,
			/// The candidate that lost it.
			from: T::AccountId,
			/// The candidate that got it.
			to: T::AccountId,
			/// How much.
			amount: Balance,
			/// All the stake behind `from` after it.
			from_weight: Balance,
			/// All the stake behind `to` after it.
			to_weight: Balance,
		},
		/// A validator entered the ranking from which validators are elected.
		Ranked {
			/// The validator.
			stash: T::AccountId,
			/// All the stake behind it.
			weight: Balance,
		},
		/// A validator was pushed out of the full ranking by a heavier one.
		Displaced {
			/// The validator.
			stash: T::AccountId,
			/// All the stake behind it.
			weight: Balance,
		},
		/// An era began, and with it the flow of its rewards.
		EraStarted {
			/// Its number.
			index: u32,
			/// Its first session.
			first_session: u32,
			/// What the staking pot gives in this era, in planck, to validators, miners and
			/// coordinators.
			rewards: [Balance; 3],
		},
		/// The validators of a coming session were elected.
		ValidatorsElected {
			/// The session from which they serve.
			session: u32,
			/// How many they are.
			count: u32,
		},
		/// No registered validator could be elected, so the present ones go on.
		ElectionFailed {
			/// The session for which the election was held.
			session: u32,
		},
		/// The number of validators to elect was changed.
		ValidatorCountSet {
			/// The number until now.
			old: u32,
			/// The number from the next election on.
			new: u32,
		},
		/// The mining pot gave what it emits for an era to whoever divides it between miners.
		MiningEmitted {
			/// The era.
			era: u32,
			/// How much.
			amount: Balance,
			/// What is left in the pot.
			left: Balance,
		},
		/// A reward was paid out.
		RewardPaid {
			/// To whom.
			staker: T::AccountId,
			/// The candidate through which it was earned.
			candidate: T::AccountId,
			/// How much, commission included.
			amount: Balance,
			/// Whether it was staked behind the candidate at once.
			compounded: bool,
		},
		/// A staker decided what becomes of its rewards.
		RewardDestinationSet {
			/// The staker.
			staker: T::AccountId,
			/// Where they go.
			destination: RewardDestination,
		},
		/// A staker decided whether others may claim for it.
		ClaimForSet {
			/// The staker.
			staker: T::AccountId,
			/// Whether they may.
			allowed: bool,
		},
		/// A candidate changed its commission.
		CommissionSet {
			/// The candidate.
			stash: T::AccountId,
			/// The commission until now.
			old: Perbill,
			/// The commission from now on.
			new: Perbill,
		},
		/// The part of a pot that is emitted in an era was changed.
		EmissionSet {
			/// Which pot.
			pot: Pot,
			/// The part until now.
			old: Perquintill,
			/// The part from the next era on.
			new: Perquintill,
		},
		/// The division of the staking pot between the roles was changed from the next era on.
		RewardSplitSet {
			/// The parts of validators, miners and coordinators until now.
			old: [Perbill; 3],
			/// Their parts from the next era on.
			new: [Perbill; 3],
		},
		/// A slash was decided. It will be applied later, if it is not cancelled.
		SlashReported {
			/// Its number.
			id: u32,
			/// Who is to be slashed.
			candidate: T::AccountId,
			/// The part of its stake, the votes included.
			fraction: Perbill,
			/// The era of the offence.
			offence_era: u32,
			/// The era from which it is applied.
			apply_era: u32,
		},
		/// A slash was cancelled.
		SlashCancelled {
			/// Its number.
			id: u32,
			/// Who will not be slashed.
			candidate: T::AccountId,
		},
		/// A slash was applied. Each staker loses its part when it is settled.
		SlashApplied {
			/// Its number.
			id: u32,
			/// Who was slashed.
			candidate: T::AccountId,
			/// What its pool lost.
			pool: Balance,
			/// What was lost by those who had left since the offence.
			left: Balance,
			/// All the stake behind the candidate after it.
			weight: Balance,
		},
		/// A staker lost its part of a slash, and the tokens are gone.
		Slashed {
			/// The staker.
			staker: T::AccountId,
			/// How much it lost.
			amount: Balance,
			/// What is still held.
			held: Balance,
		},
		/// A candidate was jailed: it earns nothing, and from the next era on it has no part in its
		/// role.
		Jailed {
			/// The candidate.
			stash: T::AccountId,
			/// The era from which it may call `unjail`.
			until_era: u32,
		},
		/// A candidate left the jail.
		Unjailed {
			/// The candidate.
			stash: T::AccountId,
		},
		/// A validator set its session keys. They count from the session after the next.
		KeysSet {
			/// The validator.
			stash: T::AccountId,
		},
	}
}
