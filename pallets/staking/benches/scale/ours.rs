//! Our pallet with the live network's constants, in the smallest runtime that elects validators.

use frame::{
	deps::sp_runtime::{testing::UintAuthorityId, traits::ConvertInto, MultiSignature},
	testing_prelude::*,
	traits::fungible::Mutate,
};
use pallet_cuckoo_staking::{Balance, Call, CurrentEra, GenesisCandidate, Pools, Pot, Role};

use crate::{
	count::measure,
	network::{
		chosen, favourite, operator, self_stake, validator, voter, AccountId, BONDING, CAI, DEFER,
		ELECTED, SESSIONS, SLASH, VALIDATORS, VALIDATOR_FUNDS, VOTER_FUNDS, VOTER_STAKE,
	},
	Costs,
};

/// The slots of a session, and of an era.
const SESSION_SLOTS: u64 = 600;
const ERA_SLOTS: u64 = SESSION_SLOTS * SESSIONS as u64;
/// What a voter puts behind the validator at first; the rest of its stake is idle.
const VOTE: Balance = 10 * CAI;

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
	pub type Staking = pallet_cuckoo_staking;
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
	pub static Slot: u64 = 1;
	pub const MaxEmission: Perquintill = Perquintill::from_parts(1_000_000_000_000_000);
	pub const MaxCommissionRise: Perbill = Perbill::from_percent(5);
	pub const Pots: PalletId = PalletId(*b"cai/stkg");
}

impl pallet_cuckoo_staking::Config for Runtime {
	type Currency = Balances;
	type AdminOrigin = EnsureRoot<AccountId>;
	type SlashOrigin = EnsureRoot<AccountId>;
	type OperatorSignature = MultiSignature;
	type Session = Session;
	type Slot = Slot;
	type MiningRewards = ();
	type PalletId = Pots;
	type MinimumValidatorStake = ConstU128<{ 100_000 * CAI }>;
	type MinimumMinerStake = ConstU128<{ 20_000 * CAI }>;
	type MinimumCoordinatorStake = ConstU128<{ 2_000_000 * CAI }>;
	type MinimumVote = ConstU128<CAI>;
	type SessionsPerEra = ConstU32<SESSIONS>;
	type EraLength = ConstU64<ERA_SLOTS>;
	type ErasPerYear = ConstU32<1_461>;
	type MaxEmission = MaxEmission;
	type MaxCommissionRise = MaxCommissionRise;
	type SlashDefer = ConstU32<DEFER>;
	type MaxSlashesPerBlock = ConstU32<4>;
	type BondingDuration = ConstU32<BONDING>;
	type MaxChunks = ConstU32<16>;
	type MaxVotes = ConstU32<32>;
	type MaxExposures = ConstU32<32>;
	type MaxRanked = ConstU32<VALIDATORS>;
	type WeightInfo = ();
}

/// The costs of the operations when `voters` are behind one validator.
pub fn costs(voters: u32) -> Costs {
	chain().execute_with(|| {
		for n in 0..voters {
			join(&voter(n));
		}
		// Until now it was block 0, which keeps no events.
		System::set_block_number(1);
		let vote = measure(|run| {
			act(&chosen(run, voters), Call::vote { candidate: favourite(), amount: CAI });
		});

		<Staking as pallet_authorship::EventHandler<_, _>>::note_author(favourite());
		let claim = measure(|run| {
			act(&chosen(run, voters), Call::claim { candidate: favourite() });
		});

		pass_sessions(SESSIONS - 2);
		Slot::mutate(|slot| *slot += 2 * SESSION_SLOTS);
		let era_change = measure(|_| {
			Session::rotate_session();
			Session::rotate_session();
		});
		assert_eq!(CurrentEra::<Runtime>::get().index, 1, "no era began");

		let before = Pools::<Runtime>::get(favourite()).balance;
		let report = measure(|_| {
			dispatch(
				RuntimeOrigin::root(),
				Call::slash { candidate: favourite(), fraction: SLASH, offence_era: 1 },
			);
		});
		pass_sessions(DEFER * SESSIONS);
		let apply = measure(|_| {
			Staking::on_initialize(System::block_number());
		});
		let after = Pools::<Runtime>::get(favourite()).balance;
		assert_eq!(before - after, SLASH * before, "the slash was not applied");

		let settle = measure(|run| {
			let staker = chosen(run, voters);
			act(&voter(0), Call::settle { staker, candidate: favourite() });
		});
		[Some(vote), Some(claim), Some(era_change), Some(report), Some(apply), Some(settle)]
	})
}

/// A chain on which the validators are registered.
fn chain() -> TestState {
	Slot::set(1);
	let pots = [(Pot::Mining, 300_000_000 * CAI), (Pot::Staking, 110_000_000 * CAI)];
	let candidate = |n: u32| GenesisCandidate {
		stash: validator(n),
		operator: operator(n),
		role: Role::Validator,
		self_stake: self_stake(n),
		name: format!("validator {n}"),
		endpoints: Vec::new(),
	};
	let config = RuntimeGenesisConfig {
		balances: pallet_balances::GenesisConfig {
			balances: (0..VALIDATORS)
				.map(|n| (validator(n), VALIDATOR_FUNDS))
				.chain(pots.map(|(pot, amount)| (Staking::pot_account(pot), amount)))
				.collect(),
			..Default::default()
		},
		staking: pallet_cuckoo_staking::GenesisConfig {
			candidates: (0..VALIDATORS).map(candidate).collect(),
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
	let mut state: TestState = config.build_storage().expect("the genesis is valid").into();
	state.execute_with(|| Staking::on_initialize(0));
	state
}

/// Makes `who` a voter.
fn join(who: &AccountId) {
	Balances::set_balance(who, VOTER_FUNDS);
	act(who, Call::stake { amount: VOTER_STAKE });
	act(who, Call::vote { candidate: favourite(), amount: VOTE });
}

/// Dispatches a call that must succeed.
fn act(who: &AccountId, call: Call<Runtime>) {
	dispatch(RuntimeOrigin::signed(who.clone()), call);
}

fn dispatch(origin: RuntimeOrigin, call: Call<Runtime>) {
	RuntimeCall::from(call).dispatch(origin).expect("the call is valid");
}

fn pass_sessions(count: u32) {
	for _ in 0..count {
		Slot::mutate(|slot| *slot += SESSION_SLOTS);
		Session::rotate_session();
	}
}
