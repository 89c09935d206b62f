//! What people can do. Each call is explained here and done in the file of its concept.

use frame::pallet_macros::*;

/// The calls.
#[pallet_section]
mod calls {
	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Stakes `amount` (planck) of your free balance. It stays on your account, held, and backs
		/// nobody until you vote or register with it.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::stake())]
		pub fn stake(origin: OriginFor<T>, #[pallet::compact] amount: Balance) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_stake(&stash, amount)
		}

		/// Begins to unbond `amount` (planck) of your idle stake. After `BondingDuration` eras
		/// `withdraw` releases it.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::unstake())]
		pub fn unstake(origin: OriginFor<T>, #[pallet::compact] amount: Balance) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_unstake(&stash, amount)
		}

		/// Releases all of your stake that has finished unbonding to your free balance.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::withdraw())]
		pub fn withdraw(origin: OriginFor<T>) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_withdraw(&stash)
		}

		/// Registers you for `role` with `operator` running the program, and puts `self_stake`
		/// (planck) of your idle stake behind yourself. Together with what you have behind yourself
		/// already it must reach the role's minimum; exactly the minimum is enough.
		///
		/// `proof` is the operator's signature over this chain's genesis hash, your account and the
		/// role: the operator's program prints it. `info` is what you show to others; a coordinator
		/// must list an endpoint.
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::register())]
		pub fn register(
			origin: OriginFor<T>,
			role: Role,
			#[pallet::compact] self_stake: Balance,
			operator: T::AccountId,
			proof: T::OperatorSignature,
			info: CandidateInfo,
		) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_register(&stash, role, self_stake, operator, &proof, info)
		}

		/// Leaves the registry at once. Your operator is free, nobody can vote for you any more, and
		/// you and your voters can take the stake back with `unvote`.
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::deregister())]
		pub fn deregister(origin: OriginFor<T>) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_deregister(&stash)
		}

		/// Replaces your operator. `proof` is the new operator's signature, as in `register`, for the
		/// role that you have.
		#[pallet::call_index(5)]
		#[pallet::weight(T::WeightInfo::set_operator())]
		pub fn set_operator(
			origin: OriginFor<T>,
			operator: T::AccountId,
			proof: T::OperatorSignature,
		) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_set_operator(&stash, operator, &proof)
		}

		/// Replaces what you show to others: name, contact and, for coordinators, endpoints and
		/// certificate.
		#[pallet::call_index(6)]
		#[pallet::weight(T::WeightInfo::set_info())]
		pub fn set_info(origin: OriginFor<T>, info: CandidateInfo) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_set_info(&stash, info)
		}

		/// Puts `amount` (planck) of your idle stake behind `candidate`. A registered stash raises
		/// its self-stake by voting for itself.
		#[pallet::call_index(7)]
		#[pallet::weight(T::WeightInfo::vote())]
		pub fn vote(
			origin: OriginFor<T>,
			candidate: T::AccountId,
			#[pallet::compact] amount: Balance,
		) -> DispatchResult {
			let voter = ensure_signed(origin)?;
			Self::do_vote(&voter, &candidate, amount)
		}

		/// Takes `amount` (planck) back from `candidate`. It is idle at once, and for
		/// `BondingDuration` eras it answers for what the candidate did before. Take all of it, or
		/// leave at least `MinimumVote`.
		#[pallet::call_index(8)]
		#[pallet::weight(T::WeightInfo::unvote())]
		pub fn unvote(
			origin: OriginFor<T>,
			candidate: T::AccountId,
			#[pallet::compact] amount: Balance,
		) -> DispatchResult {
			let voter = ensure_signed(origin)?;
			Self::do_unvote(&voter, &candidate, amount)
		}

		/// Moves `amount` (planck) from one candidate to another. It goes on answering for what the
		/// first one did before.
		#[pallet::call_index(9)]
		#[pallet::weight(T::WeightInfo::move_vote())]
		pub fn move_vote(
			origin: OriginFor<T>,
			from: T::AccountId,
			to: T::AccountId,
			#[pallet::compact] amount: Balance,
		) -> DispatchResult {
			let voter = ensure_signed(origin)?;
			Self::do_move_vote(&voter, &from, &to, amount)
		}

		/// Puts a registered validator back into the ranking from which validators are elected,
		/// after heavier ones had pushed it out. Anyone may call it for anyone.
		#[pallet::call_index(10)]
		#[pallet::weight(T::WeightInfo::rank())]
		pub fn rank(origin: OriginFor<T>, candidate: T::AccountId) -> DispatchResult {
			ensure_signed(origin)?;
			Self::do_rank(&candidate)
		}

		/// Sets how many validators are elected from the next election on: from 1 to `MaxRanked`.
		/// Only the admin origin may.
		#[pallet::call_index(11)]
		#[pallet::weight(T::WeightInfo::set_validator_count())]
		pub fn set_validator_count(
			origin: OriginFor<T>,
			#[pallet::compact] count: u32,
		) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			Self::do_set_validator_count(count)
		}

		/// Pays out what you have earned with your stake behind `candidate`. A candidate that names
		/// itself gets its commission, too. By `set_reward_destination` you choose where it goes.
		#[pallet::call_index(12)]
		#[pallet::weight(T::WeightInfo::claim())]
		pub fn claim(origin: OriginFor<T>, candidate: T::AccountId) -> DispatchResult {
			let staker = ensure_signed(origin)?;
			Self::do_claim(&staker, &candidate)
		}

		/// Claims for another staker, who gets the reward and must have allowed it by
		/// `set_claim_for`.
		#[pallet::call_index(13)]
		#[pallet::weight(T::WeightInfo::claim())]
		pub fn claim_for(
			origin: OriginFor<T>,
			staker: T::AccountId,
			candidate: T::AccountId,
		) -> DispatchResult {
			ensure_signed(origin)?;
			ensure!(Payouts::<T>::get(&staker).claim_for, Error::<T>::ClaimNotAllowed);
			Self::do_claim(&staker, &candidate)
		}

		/// Chooses where your rewards go when they are claimed: to your free balance, or behind the
		/// same candidate (as idle stake when it is no longer registered).
		#[pallet::call_index(14)]
		#[pallet::weight(T::WeightInfo::set_payout())]
		pub fn set_reward_destination(
			origin: OriginFor<T>,
			destination: RewardDestination,
		) -> DispatchResult {
			let staker = ensure_signed(origin)?;
			Self::do_set_reward_destination(&staker, destination);
			Ok(())
		}

		/// Allows others to claim your rewards for you, or forbids it again. You get them in any case.
		#[pallet::call_index(15)]
		#[pallet::weight(T::WeightInfo::set_payout())]
		pub fn set_claim_for(origin: OriginFor<T>, allowed: bool) -> DispatchResult {
			let staker = ensure_signed(origin)?;
			Self::do_set_claim_for(&staker, allowed);
			Ok(())
		}

		/// Sets what you keep of the reward of those who back you. It may fall at any time, and rise
		/// once in an era by at most 5 points; while nobody but you backs you, it is free.
		#[pallet::call_index(16)]
		#[pallet::weight(T::WeightInfo::set_commission())]
		pub fn set_commission(origin: OriginFor<T>, commission: Perbill) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_set_commission(&stash, commission)
		}

		/// Takes from `staker` what it owes after a slash of `candidate`, and removes its position when
		/// nothing of it is left. It happens by itself at the staker's next call; anyone may call it
		/// for anyone.
		#[pallet::call_index(17)]
		#[pallet::weight(T::WeightInfo::settle())]
		pub fn settle(
			origin: OriginFor<T>,
			staker: T::AccountId,
			candidate: T::AccountId,
		) -> DispatchResult {
			ensure_signed(origin)?;
			Self::do_settle(&staker, &candidate)
		}

		/// Slashes `candidate` and all who backed it in `offence_era` or since, by `fraction` of
		/// their stake behind it. It is jailed at once; the slash is applied `SlashDefer` eras later.
		/// Only the slash origin may.
		#[pallet::call_index(18)]
		#[pallet::weight(T::WeightInfo::slash())]
		pub fn slash(
			origin: OriginFor<T>,
			candidate: T::AccountId,
			fraction: Perbill,
			#[pallet::compact] offence_era: u32,
		) -> DispatchResult {
			T::SlashOrigin::ensure_origin(origin)?;
			Self::report_slash(&candidate, fraction, offence_era)
		}

		/// Cancels a slash that has not been applied yet. When the candidate waits for no other and
		/// none was applied, it leaves the jail. Only the admin origin may.
		#[pallet::call_index(19)]
		#[pallet::weight(T::WeightInfo::cancel_slash())]
		pub fn cancel_slash(origin: OriginFor<T>, #[pallet::compact] id: u32) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			Self::do_cancel_slash(id)
		}

		/// Leaves the jail, from the era on that `Jailed` named. Your self-stake must reach your
		/// role's minimum, so add to it first if a slash took it below.
		#[pallet::call_index(20)]
		#[pallet::weight(T::WeightInfo::unjail())]
		pub fn unjail(origin: OriginFor<T>) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_unjail(&stash)
		}

		/// Sets which part of `pot` is emitted in an era, from the next one on: at most `MaxEmission`.
		/// Only the admin origin may.
		#[pallet::call_index(21)]
		#[pallet::weight(T::WeightInfo::set_emission())]
		pub fn set_emission(
			origin: OriginFor<T>,
			pot: Pot,
			fraction: Perquintill,
		) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			Self::do_set_emission(pot, fraction)
		}

		/// Sets how the staking pot is divided between validators, miners and coordinators from the
		/// next era on. The three parts must be 100 % together. Only the admin origin may.
		#[pallet::call_index(22)]
		#[pallet::weight(T::WeightInfo::set_reward_split())]
		pub fn set_reward_split(
			origin: OriginFor<T>,
			validators: Perbill,
			miners: Perbill,
			coordinators: Perbill,
		) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			Self::do_set_reward_split([validators, miners, coordinators])
		}

		/// Sets your session keys as a registered validator: what your node signs blocks and votes
		/// with. They count from the session after the next, and can be changed once in an era.
		///
		/// `keys` and `proof` come from your node: `cuckoo-node key session --owner YOUR_STASH` prints
		/// them. To take the keys back for good, `session.purgeKeys`.
		#[pallet::call_index(23)]
		#[pallet::weight(T::WeightInfo::set_keys())]
		pub fn set_keys(origin: OriginFor<T>, keys: KeysOf<T>, proof: Vec<u8>) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_set_keys(&stash, keys, proof)
		}
	}
}
