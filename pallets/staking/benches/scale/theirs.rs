//! `pallet-staking` with the same eras, validators and voters, its election on the chain.

use std::time::Duration;

use frame::{
	deps::sp_runtime::{testing::UintAuthorityId, traits::ConvertInto},
	testing_prelude::*,
	traits::{
		fungible::{Inspect, Mutate},
		RewardsReporter, UnixTime,
	},
};
use frame_election_provider_support::{
	bounds::{ElectionBounds, ElectionBoundsBuilder},
	onchain, SequentialPhragmen,
};
use pallet_staking::{
	ActiveEra, Call, EraPayout, RewardDestination, StakerStatus, UseNominatorsAndValidatorsMap,
	UseValidatorsMap,
};
use sp_staking::{offence::OffenceDetails, StakingAccount};

use crate::{
	count::measure,
	network::{
		chosen, favourite, self_stake, validator, voter, AccountId, BONDING, CAI, DEFER, ELECTED,
		SESSIONS, SLASH, VALIDATORS, VALIDATOR_FUNDS, VOTER_FUNDS, VOTER_STAKE,
	},
	Costs,
};

type Balance = u128;

#[frame_construct_runtime]
mod runtime {
	#[runtime::runtime]
	#[runtime::derive(
		RuntimeCall,
		RuntimeEvent,
		RuntimeError,
		RuntimeOrigin,
		RuntimeHoldReason,
		RuntimeFreezeReason,
		RuntimeTask
	)]
	pub struct Runtime;

	#[runtime::pallet_index(0)]
	pub type System = frame_system;
	#[runtime::pallet_index(1)]
	pub type Balances = pallet_balances;
	#[runtime::pallet_index(2)]
	pub type Staking = pallet_staking;
	#[runtime::pallet_index(3)]
	pub type Session = pallet_session;
	#[runtime::pallet_index(4)]
	pub type Historical = pallet_session::historical;
}

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Runtime {
	type Block = MockBlock<Runtime>;
	type AccountId = AccountId;
	type Lookup = IdentityLookup<AccountId>;
	type AccountData = pallet_balances::AccountData<Balance>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Runtime {
	type Balance = Balance;
	type ExistentialDeposit = ConstU128<{ CAI / 1_000 }>;
	type AccountStore = System;
}

type Never = pallet_session::PeriodicSessions<ConstU64<1>, ConstU64<{ u64::MAX }>>;

impl pallet_session::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type ValidatorId = AccountId;
	type ValidatorIdOf = ConvertInto;
	type ShouldEndSession = Never;
	type NextSessionRotation = Never;
	type SessionManager = pallet_session::historical::NoteHistoricalRoot<Runtime, Staking>;
	type SessionHandler = pallet_session::TestSessionHandler;
	type Keys = UintAuthorityId;
	type DisablingStrategy = ();
	type WeightInfo = ();
	type Currency = Balances;
	type KeyDeposit = ConstU128<0>;
}

impl pallet_session::historical::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type FullIdentification = ();
	type FullIdentificationOf = ();
}

parameter_types! {
	/// How many voters an election looks at.
	pub static Bounds: ElectionBounds = ElectionBoundsBuilder::default().build();
}

/// The elections, in which no voter is left out.
pub struct OnChain;
impl onchain::Config for OnChain {
	type Sort = ConstBool<true>;
	type System = Runtime;
	type Solver = SequentialPhragmen<AccountId, Perbill>;
	type MaxBackersPerWinner = ConstU32<{ u32::MAX }>;
	type MaxWinnersPerPage = ConstU32<VALIDATORS>;
	type DataProvider = Staking;
	type WeightInfo = ();
	type Bounds = Bounds;
}

/// Stands still: what an era pays does not depend on it.
pub struct Clock;
impl UnixTime for Clock {
	fn now() -> Duration {
		Duration::from_secs(1)
	}
}

/// The same payout in every era.
pub struct Payout;
impl EraPayout<Balance> for Payout {
	fn era_payout(_staked: Balance, _issuance: Balance, _duration: u64) -> (Balance, Balance) {
		(5_000 * CAI, 0)
	}
}

#[derive_impl(pallet_staking::config_preludes::TestDefaultConfig)]
impl pallet_staking::Config for Runtime {
	type OldCurrency = Balances;
	type Currency = Balances;
	type CurrencyToVote = sp_staking::currency_to_vote::U128CurrencyToVote;
	type UnixTime = Clock;
	type SessionsPerEra = ConstU32<SESSIONS>;
	type BondingDuration = ConstU32<BONDING>;
	type SlashDeferDuration = ConstU32<DEFER>;
	type AdminOrigin = EnsureRoot<AccountId>;
	type SessionInterface = Self;
	type EraPayout = Payout;
	type NextNewSession = Session;
	// As on Polkadot.
	type MaxExposurePageSize = ConstU32<512>;
	type MaxValidatorSet = ConstU32<VALIDATORS>;
	type ElectionProvider = onchain::OnChainExecution<OnChain>;
	type GenesisElectionProvider = Self::ElectionProvider;
	type VoterList = UseNominatorsAndValidatorsMap<Self>;
	type TargetList = UseValidatorsMap<Self>;
}

/// The costs of the operations when `voters` are behind one validator.
pub fn costs(voters: u32) -> Costs {
	chain().execute_with(|| {
		for n in 0..voters {
			join(&voter(n));
		}
		// Until now it was block 0, which keeps no events.
		System::set_block_number(1);
		let vote = measure(|run| nominate(&chosen(run, voters)));

		pass_sessions(SESSIONS - 2);
		let era_change = measure(|_| {
			Session::rotate_session();
			Session::rotate_session();
		});
		let era = 1;
		assert_eq!(active_era(), era, "no era began");
		let session = Session::current_index();
		let pages = Staking::api_eras_stakers_page_count(era, favourite());
		assert_eq!(pages, voters.div_ceil(512), "the election left voters out");

		Staking::on_finalize(1);
		<Staking as RewardsReporter<_>>::reward_by_ids([(favourite(), 20)]);
		// What the voters have done is in the exposures of this era. The elections from here on
		// matter to nothing that is measured, and look at the validators alone.
		let validators_only = ElectionBoundsBuilder::default().voters_count(VALIDATORS.into());
		Bounds::set(validators_only.build());
		pass_sessions(SESSIONS);
		let before = Balances::total_balance(&voter(voters - 1));
		let claim = measure(|_| {
			for page in 0..pages {
				let validator_stash = favourite();
				act(&voter(0), Call::payout_stakers_by_page { validator_stash, era, page });
			}
		});
		let after = Balances::total_balance(&voter(voters - 1));
		assert!(after > before, "not all voters were paid");

		let report = measure(|_| {
			let offender = OffenceDetails { offender: favourite(), reporters: Vec::new() };
			Staking::on_offence([offender].into_iter(), &[SLASH], session);
		});
		// To the last session before the era in which the slash is applied.
		pass_sessions(DEFER * SESSIONS - 1);
		let apply = measure(|_| Session::rotate_session());
		let ledger = Staking::ledger(StakingAccount::Stash(voter(voters - 1)));
		let active = ledger.expect("the voter is bonded").active;
		assert!(active < VOTER_STAKE, "the slash was not applied to all");

		[Some(vote), Some(claim), Some(era_change), Some(report), Some(apply), None]
	})
}

/// A chain on which the validators are registered.
fn chain() -> TestState {
	Bounds::set(ElectionBoundsBuilder::default().build());
	let config = RuntimeGenesisConfig {
		balances: pallet_balances::GenesisConfig {
			balances: (0..VALIDATORS).map(|n| (validator(n), VALIDATOR_FUNDS)).collect(),
			..Default::default()
		},
		staking: pallet_staking::GenesisConfig {
			stakers: (0..VALIDATORS)
				.map(|n| (validator(n), validator(n), self_stake(n), StakerStatus::Validator))
				.collect(),
			validator_count: ELECTED,
			..Default::default()
		},
		session: pallet_session::GenesisConfig {
			keys: (0..VALIDATORS)
				.map(|n| (validator(n), validator(n), UintAuthorityId(n.into())))
				.collect(),
			..Default::default()
		},
		..Default::default()
	};
	config.build_storage().expect("the genesis is valid").into()
}

/// Makes `who` a voter.
fn join(who: &AccountId) {
	Balances::set_balance(who, VOTER_FUNDS);
	act(who, Call::bond { value: VOTER_STAKE, payee: RewardDestination::Stash });
	nominate(who);
}

fn nominate(who: &AccountId) {
	act(who, Call::nominate { targets: vec![favourite()] });
}

/// Dispatches a call that must succeed.
fn act(who: &AccountId, call: Call<Runtime>) {
	RuntimeCall::from(call)
		.dispatch(RuntimeOrigin::signed(who.clone()))
		.expect("the call is valid");
}

fn active_era() -> u32 {
	ActiveEra::<Runtime>::get().expect("eras have begun").index
}

fn pass_sessions(count: u32) {
	for _ in 0..count {
		Session::rotate_session();
	}
}
