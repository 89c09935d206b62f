//! A runtime for tests: the pallet between balances and a session pallet with history, with the
//! live network's stakes and small bounds.

use std::sync::LazyLock;

use frame::{
	deps::sp_core::{
		crypto::{key_types::DUMMY, KeyTypeId},
		sr25519, Pair,
	},
	deps::sp_runtime::{testing::UintAuthorityId, MultiSignature},
	testing_prelude::*,
	traits::{
		fungible::{Inspect, InspectHold},
		Convert, OpaqueKeys,
	},
};

use crate::{
	consent_payload, Balance, Call, CandidateInfo, Endpoint, GenesisCandidate, HoldReason, Ledgers,
	Perbill, Perquintill, Positions, Pot, PotState, Role,
};

pub type AccountId = frame::deps::sp_runtime::AccountId32;

/// How many accounts have funds.
pub const ACCOUNTS: u8 = 60;
/// One CAI in planck.
pub const CAI: Balance = 1_000_000_000_000_000_000;
/// What every account of a test owns.
pub const FUNDS: Balance = 10_000_000 * CAI;
/// Sessions in an era and eras to unbond: few, so that tests reach their ends.
pub const SESSIONS: u32 = 3;
pub const BONDING: u32 = 3;
/// Eras from the report of a slash to its application.
pub const DEFER: u32 = 1;
/// The slots of a session, and of an era.
pub const SESSION_SLOTS: u64 = 10;
pub const ERA_SLOTS: u64 = SESSION_SLOTS * SESSIONS as u64;
/// The validators that the ranking holds.
pub const RANKED: u32 = 4;
/// What the pots hold at genesis.
pub const MINING_POT: Balance = 300_000_000 * CAI;
pub const STAKING_POT: Balance = 110_000_000 * CAI;

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
	pub struct Test;

	#[runtime::pallet_index(0)]
	pub type System = frame_system;
	#[runtime::pallet_index(1)]
	pub type Balances = pallet_balances;
	#[runtime::pallet_index(2)]
	pub type Staking = crate;
	#[runtime::pallet_index(3)]
	pub type Session = pallet_session;
	#[runtime::pallet_index(4)]
	pub type Historical = pallet_session::historical;
	#[runtime::pallet_index(5)]
	pub type Authorship = pallet_authorship;
}

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
	type Block = MockBlock<Test>;
	type AccountId = AccountId;
	type Lookup = IdentityLookup<AccountId>;
	type AccountData = pallet_balances::AccountData<Balance>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
	type Balance = Balance;
	type ExistentialDeposit = ConstU128<CAI>;
	type AccountStore = System;
}

/// Takes notice of no keys.
pub struct IgnoreKeys;
impl pallet_session::SessionHandler<AccountId> for IgnoreKeys {
	const KEY_TYPE_IDS: &'static [KeyTypeId] = &[DUMMY];

	fn on_genesis_session<Ks: OpaqueKeys>(_: &[(AccountId, Ks)]) {}

	fn on_new_session<Ks: OpaqueKeys>(_: bool, _: &[(AccountId, Ks)], _: &[(AccountId, Ks)]) {}

	fn on_disabled(_: u32) {}
}

pub struct Unidentified;
impl Convert<AccountId, Option<()>> for Unidentified {
	fn convert(_: AccountId) -> Option<()> {
		Some(())
	}
}

pub struct Always;
impl Convert<AccountId, Option<AccountId>> for Always {
	fn convert(account: AccountId) -> Option<AccountId> {
		Some(account)
	}
}

type Never = pallet_session::PeriodicSessions<ConstU64<1>, ConstU64<{ u64::MAX }>>;

impl pallet_session::Config for Test {
	type RuntimeEvent = RuntimeEvent;
	type ValidatorId = AccountId;
	type ValidatorIdOf = Always;
	type ShouldEndSession = Never;
	type NextSessionRotation = Never;
	type SessionManager = pallet_session::historical::NoteHistoricalRoot<Test, Staking>;
	type SessionHandler = IgnoreKeys;
	type Keys = UintAuthorityId;
	type DisablingStrategy = ();
	type WeightInfo = ();
	type Currency = Balances;
	type KeyDeposit = ConstU128<0>;
}

impl pallet_session::historical::Config for Test {
	type RuntimeEvent = RuntimeEvent;
	type FullIdentification = ();
	type FullIdentificationOf = Unidentified;
}

parameter_types! {
	pub static SessionsPerEra: u32 = SESSIONS;
	pub static Slot: u64 = 1;
	/// Who takes what the mining pot emits.
	pub static Miners: Option<AccountId> = None;
	pub const MaxEmission: Perquintill = Perquintill::from_percent(1);
	pub const MaxCommissionRise: Perbill = Perbill::from_percent(5);
	pub const Pots: PalletId = PalletId(*b"test/pot");
}

pub struct MiningRewards;
impl crate::MiningRewards<AccountId> for MiningRewards {
	fn recipient(_: u32, _: Balance) -> Option<AccountId> {
		Miners::get()
	}
}

impl pallet_authorship::Config for Test {
	type FindAuthor = ();
	type EventHandler = Staking;
}

impl crate::Config for Test {
	type Currency = Balances;
	type AdminOrigin = EnsureRoot<AccountId>;
	type SlashOrigin = EnsureRoot<AccountId>;
	type OperatorSignature = MultiSignature;
	type Session = Session;
	type Slot = Slot;
	type MiningRewards = MiningRewards;
	type PalletId = Pots;
	type MinimumValidatorStake = ConstU128<{ 100_000 * CAI }>;
	type MinimumMinerStake = ConstU128<{ 20_000 * CAI }>;
	type MinimumCoordinatorStake = ConstU128<{ 2_000_000 * CAI }>;
	type MinimumVote = ConstU128<CAI>;
	type SessionsPerEra = SessionsPerEra;
	type EraLength = ConstU64<ERA_SLOTS>;
	type ErasPerYear = ConstU32<1_461>;
	type MaxEmission = MaxEmission;
	type MaxCommissionRise = MaxCommissionRise;
	type SlashDefer = ConstU32<DEFER>;
	type MaxSlashesPerBlock = ConstU32<2>;
	type BondingDuration = ConstU32<BONDING>;
	type MaxChunks = ConstU32<3>;
	type MaxVotes = ConstU32<3>;
	type MaxExposures = ConstU32<4>;
	type MaxRanked = ConstU32<RANKED>;
	type WeightInfo = ();
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = BenchmarkHelper;
}

#[cfg(feature = "runtime-benchmarks")]
pub struct BenchmarkHelper;
#[cfg(feature = "runtime-benchmarks")]
impl crate::benchmarking::BenchmarkHelper<Test> for BenchmarkHelper {
	fn sign(payload: &[u8]) -> (AccountId, MultiSignature) {
		(account(200), sign(200, payload))
	}

	fn session_keys(_: &AccountId) -> (UintAuthorityId, Vec<u8>) {
		(UintAuthorityId::generate_pair(None), Vec::new())
	}
}

/// The keys of the `n`th account, derived once: that takes longer than most tests.
fn pair(n: u8) -> &'static sr25519::Pair {
	static PAIRS: LazyLock<Vec<sr25519::Pair>> =
		LazyLock::new(|| (0..=u8::MAX).map(|n| sr25519::Pair::from_seed(&[n; 32])).collect());
	&PAIRS[usize::from(n)]
}

/// The `n`th account. All from 1 to [`ACCOUNTS`] have funds, those up to 30 session keys.
pub fn account(n: u8) -> AccountId {
	AccountId::new(pair(n).public().0)
}

/// The signature of the `operator`th account over the consent to serve `stash` in `role` here.
pub fn proof(operator: u8, stash: &AccountId, role: Role) -> MultiSignature {
	sign(operator, &consent_payload(&System::block_hash(0), stash, role))
}

/// The signature of the `signer`th account over `payload`.
pub fn sign(signer: u8, payload: &[u8]) -> MultiSignature {
	MultiSignature::Sr25519(pair(signer).sign(payload))
}

/// Valid info for `role`.
pub fn info(role: Role) -> CandidateInfo {
	let mut info = CandidateInfo {
		name: b"a name".to_vec().try_into().unwrap(),
		contact: b"somebody@example.org".to_vec().try_into().unwrap(),
		..CandidateInfo::default()
	};
	if role == Role::Coordinator {
		info.endpoints = vec![endpoint("wss://coordinator.example.org:9955")].try_into().unwrap();
		info.certificate = Some([7; 32]);
	}
	info
}

pub fn endpoint(url: &str) -> Endpoint {
	url.as_bytes().to_vec().try_into().unwrap()
}

/// A genesis candidate: the `n`th account, with the account 100 further as operator.
pub fn genesis_candidate(n: u8, role: Role, self_stake: Balance) -> GenesisCandidate<AccountId> {
	GenesisCandidate {
		stash: account(n),
		operator: account(n + 100),
		role,
		self_stake,
		name: format!("candidate {n}"),
		endpoints: match role {
			Role::Coordinator => vec!["http://127.0.0.1:9955".into()],
			_ => Vec::new(),
		},
	}
}

/// A chain at block 1 with these candidates in its genesis.
pub fn chain(candidates: Vec<GenesisCandidate<AccountId>>, validator_count: u32) -> TestState {
	Slot::set(1);
	Miners::set(None);
	SessionsPerEra::set(SESSIONS);
	let pots = [(Pot::Mining, MINING_POT), (Pot::Staking, STAKING_POT)];
	let keys = |n: u8| (account(n), account(n), UintAuthorityId(u64::from(n)));
	let config = RuntimeGenesisConfig {
		balances: pallet_balances::GenesisConfig {
			balances: (1..=ACCOUNTS)
				.map(|n| (account(n), FUNDS))
				.chain(pots.map(|(pot, amount)| (Staking::pot_account(pot), amount)))
				.collect(),
			..Default::default()
		},
		staking: crate::GenesisConfig { candidates, validator_count, ..Default::default() },
		session: pallet_session::GenesisConfig {
			keys: vec![keys(30)],
			non_authority_keys: (1..30).map(keys).collect(),
		},
		..Default::default()
	};
	let mut state: TestState = config.build_storage().unwrap().into();
	state.execute_with(|| {
		System::set_block_number(1);
		frame_system::BlockHash::<Test>::insert(0, H256::repeat_byte(42));
		Staking::on_initialize(1);
	});
	state
}

/// Runs a test on a chain without candidates.
pub fn run(test: impl FnOnce()) {
	chain(Vec::new(), 2).execute_with(|| {
		test();
		check();
	});
}

/// Dispatches a call as the chain does, and checks the storage after it.
pub fn act(who: &AccountId, call: Call<Test>) -> DispatchResult {
	let result = dispatch(RuntimeOrigin::signed(who.clone()), call);
	check();
	result
}

/// Dispatches a call with any origin.
pub fn dispatch(origin: RuntimeOrigin, call: Call<Test>) -> DispatchResult {
	RuntimeCall::Staking(call).dispatch(origin).map(drop).map_err(|error| error.error)
}

/// Dispatches a call that must succeed.
#[track_caller]
pub fn done(who: &AccountId, call: Call<Test>) {
	act(who, call).unwrap();
}

/// Dispatches a call that must fail with `error` and change nothing.
#[track_caller]
pub fn refused(who: &AccountId, call: Call<Test>, error: crate::Error<Test>) {
	assert_noop!(act(who, call), error);
}

/// The pallet's rules, and that nobody holds stake that the pallet does not know.
#[track_caller]
pub fn check() {
	Staking::do_try_state().unwrap();
	for who in (1..=ACCOUNTS).map(account) {
		let known = Ledgers::<Test>::contains_key(&who)
			|| Positions::<Test>::iter_prefix(&who).next().is_some();
		assert!(known || held(&who) == 0, "held, but not staked");
	}
	for pot in Pot::ALL {
		let PotState { left, owed } = crate::Pots::<Test>::get(pot);
		assert_eq!(Balances::total_balance(&Staking::pot_account(pot)), left + owed);
	}
}

/// What is staked and held.
pub fn held(who: &AccountId) -> Balance {
	Balances::balance_on_hold(&HoldReason::Stake.into(), who)
}

pub fn stake(amount: Balance) -> Call<Test> {
	Call::stake { amount }
}

pub fn vote(candidate: &AccountId, amount: Balance) -> Call<Test> {
	Call::vote { candidate: candidate.clone(), amount }
}

pub fn unvote(candidate: &AccountId, amount: Balance) -> Call<Test> {
	Call::unvote { candidate: candidate.clone(), amount }
}

pub fn move_vote(from: &AccountId, to: &AccountId, amount: Balance) -> Call<Test> {
	Call::move_vote { from: from.clone(), to: to.clone(), amount }
}

/// The call by which `stash` registers with the `operator`th account.
pub fn register(stash: &AccountId, role: Role, self_stake: Balance, operator: u8) -> Call<Test> {
	Call::register {
		role,
		self_stake,
		operator: account(operator),
		proof: proof(operator, stash, role),
		info: info(role),
	}
}

/// Stakes `self_stake` and registers the `n`th account with it; the account 100 further is the
/// operator.
#[track_caller]
pub fn registered(n: u8, role: Role, self_stake: Balance) -> AccountId {
	let stash = account(n);
	done(&stash, stake(self_stake));
	done(&stash, register(&stash, role, self_stake, n + 100));
	stash
}

/// Lets `count` slots pass, the last of them with a block.
pub fn pass_slots(count: u64) {
	Slot::mutate(|slot| *slot += count);
	Staking::on_initialize(System::block_number());
}

/// Ends `count` sessions.
pub fn end_sessions(count: u32) {
	for _ in 0..count {
		Slot::mutate(|slot| *slot += SESSION_SLOTS);
		Session::rotate_session();
		Staking::on_initialize(System::block_number());
	}
}

/// Makes the `n`th account the author of a block.
pub fn author_block(author: &AccountId) {
	<Staking as pallet_authorship::EventHandler<_, _>>::note_author(author.clone());
}

/// Goes on to the first session of the era `count` further.
pub fn end_eras(count: u32) {
	let era = crate::CurrentEra::<Test>::get().index + count;
	while crate::CurrentEra::<Test>::get().index < era {
		end_sessions(1);
	}
}

/// The events of this pallet since the start of the test.
pub fn events() -> Vec<crate::Event<Test>> {
	System::events()
		.into_iter()
		.filter_map(|record| match record.event {
			RuntimeEvent::Staking(event) => Some(event),
			_ => None,
		})
		.collect()
}

/// The last event of this pallet.
#[track_caller]
pub fn last_event() -> crate::Event<Test> {
	events().pop().unwrap()
}
