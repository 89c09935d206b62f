//! The miner against coordinators in this process: the whole life of tasks, and the corner cases of
//! the protocol.

use super::*;
use crate::{
	context::Identity,
	fake_coordinator::{FakeCoordinator, GENESIS},
	history::{self, Event, History, Outcome},
	models,
	sensors::Sensors,
	worker::{tests::puppet, Workers},
};
use cuckoo_chain_client::{BlockRef, Candidate, Role};
use cuckoo_coordinator_api::miner::{Challenge, FailureReason, ModelOffer};
use cuckoo_diffusion::{untrained, Device};
use std::collections::BTreeSet;
use subxt_signer::sr25519::dev;

/// A running miner and the strings that it hangs on.
struct Mining {
	registry: watch::Sender<Arc<Registry>>,
	phase: watch::Sender<Phase>,
	task: JoinHandle<anyhow::Result<()>>,
	context: Arc<Context>,
	data: tempfile::TempDir,
}

/// A registry in which this miner and these coordinators are registered.
fn registry(coordinators: &[&FakeCoordinator]) -> Arc<Registry> {
	let miner = Candidate {
		stash: AccountId32([3; 32]),
		operator: dev::bob().public_key().to_account_id(),
		role: Role::Miner,
		weight: 1,
		self_stake: 1,
		active: true,
		registered_at: 0,
		name: String::new(),
		contact: String::new(),
		endpoints: vec![],
		certificate: None,
	};
	Arc::new(Registry {
		block: BlockRef { number: 1, hash: [0; 32] },
		era: 0,
		miners: vec![miner],
		coordinators: coordinators.iter().map(|fake| fake.candidate()).collect(),
	})
}

fn mine_with(
	workers: Workers,
	models: Vec<ModelOffer>,
	count: usize,
	coordinators: &[&FakeCoordinator],
) -> Mining {
	let data = tempfile::tempdir().unwrap();
	let history = History::open(data.path().into()).unwrap();
	let stash = AccountId32([3; 32]);
	let identity = Identity { keypair: dev::bob(), stash, genesis: GENESIS };
	let context =
		Arc::new(Context::new(identity, models, vec![], 1, workers, history, Sensors::open()));
	let selection = Selection { count, only: vec![], blocked: BTreeSet::new() };
	let (registry, registry_receiver) = watch::channel(registry(coordinators));
	let (phase, phase_receiver) = watch::channel(Phase::Work);
	let fleet = Fleet::new(Arc::clone(&context), selection);
	let task = tokio::spawn(fleet.run(registry_receiver, phase_receiver));
	Mining { registry, phase, task, context, data }
}

fn mine(count: usize, coordinators: &[&FakeCoordinator]) -> Mining {
	let offer = ModelOffer { name: "puppet".into(), digest: "00".repeat(32) };
	mine_with(puppet(), vec![offer], count, coordinators)
}

impl Mining {
	async fn ends(self) -> anyhow::Result<()> {
		timeout(Duration::from_secs(20), self.task).await.expect("the miner ends").unwrap()
	}

	/// The folder with its history.
	async fn drained(self) -> tempfile::TempDir {
		self.phase.send_replace(Phase::Drain);
		timeout(Duration::from_secs(20), self.task)
			.await
			.expect("the miner ends")
			.unwrap()
			.expect("it leaves in peace");
		self.data
	}
}

#[tokio::test]
async fn a_task_is_rendered_uploaded_and_signed() {
	let dir = tempfile::tempdir().unwrap();
	let model = dir.path().join("plumbing");
	untrained::write(&model, 1).unwrap();
	let entries = models::entries(dir.path()).unwrap();
	let set_up = move |device| models::load(&entries, device, u64::MAX);
	let (workers, infos) = Workers::start(&[Device::Cpu], set_up).unwrap();
	let offers = models::offers(&infos[0]);
	let fake = FakeCoordinator::start([9; 32]).await;
	let id = fake.give_for("plumbing", "a red bird");
	let spec = fake.state().tasks[0].spec.clone();
	let mining = mine_with(workers, offers.clone(), 3, &[&fake]);

	fake.until("a result", |state| state.results.len() == 1).await;
	{
		let state = fake.state();
		let (login, operator) = &state.logins[0];
		assert_eq!(*operator, dev::bob().public_key().0);
		assert_eq!((login.slots, &login.models), (1, &offers));
		let upload = &state.uploads[0];
		assert_eq!(upload.path, format!("/pictures/{id}/1/0"));
		assert_eq!(upload.authorization, "Bearer lease 1");
		assert!(upload.png.starts_with(b"\x89PNG"));
		let result = &state.results[0];
		assert_eq!((&result.task_id, result.attempt), (&id, 1));
		assert_eq!(result.parameters, hex::encode(spec.digest()));
		assert_eq!(result.model, offers[0].digest);
		assert_eq!(result.pictures.len(), 1);
		assert_eq!(result.pictures[0].digest.len(), 64);
	}
	let data = mining.drained().await;
	assert_eq!(fake.state().logouts, 1);
	let (entries, _) = history::read(data.path()).unwrap();
	let [receipt, end] = &entries[..] else { panic!("{entries:?}") };
	let Event::Receipt { signed, .. } = &receipt.event else { panic!("{receipt:?}") };
	assert!(signed.to_string().contains(id.as_str()), "{signed}");
	let Event::End { task, outcome, pictures, .. } = &end.event else { panic!("{end:?}") };
	assert_eq!((task.as_str(), *outcome, *pictures), (id.as_str(), Outcome::Done, 1));
}

#[tokio::test]
async fn a_model_that_breaks_is_not_offered_any_more() {
	let fake = FakeCoordinator::start([9; 32]).await;
	let offer = |name: &str| ModelOffer { name: name.into(), digest: "00".repeat(32) };
	let offers = vec![offer("broken"), offer("puppet")];
	let mining = mine_with(puppet(), offers, 1, &[&fake]);
	fake.give_for("broken", "x");
	fake.until("a failure", |state| state.failures.len() == 1).await;
	assert_eq!(fake.state().failures[0].reason, FailureReason::ModelMissing);
	fake.until("a new login", |state| state.logins.len() == 2).await;
	assert_eq!(fake.state().logins[1].0.models, [offer("puppet")]);
	fake.give("x");
	fake.until("a result", |state| state.results.len() == 1).await;
	// Without any model there is nothing to do.
	mining.context.withdraw("puppet");
	let error = mining.ends().await.unwrap_err().to_string();
	assert!(error.contains("no model is left"), "{error}");
}

#[tokio::test]
async fn failures_are_told_with_their_reason_and_the_next_task_works() {
	let fake = FakeCoordinator::start([9; 32]).await;
	let mining = mine(1, &[&fake]);
	for (model, prompt, reason) in [
		("puppet", "crash", FailureReason::Internal),
		("puppet", "memory", FailureReason::OutOfMemory),
		("other", "x", FailureReason::ModelMissing),
	] {
		let id = fake.give_for(model, prompt);
		let before = fake.state().failures.len();
		fake.until("a failure", |state| state.failures.len() > before).await;
		let failure = fake.state().failures.last().cloned().unwrap();
		assert_eq!((failure.task_id, failure.reason), (id, reason));
		assert!(!failure.message.is_empty());
	}
	fake.give("x");
	fake.state().tasks[0].spec.width = 65_537;
	fake.until("a refusal", |state| state.failures.len() == 4).await;
	assert_eq!(fake.state().failures[3].reason, FailureReason::BadTask);
	fake.give("x");
	fake.until("a result", |state| state.results.len() == 1).await;
	mining.drained().await;
}

#[tokio::test]
async fn strangers_at_a_registered_endpoint_get_no_login() {
	let challenge = |genesis: [u8; 32], coordinator: [u8; 32]| Challenge {
		genesis: hex::encode(genesis),
		coordinator: hex::encode(coordinator),
		nonce: "nonce".into(),
	};
	let other_chain = FakeCoordinator::with_challenge([8; 32], challenge([2; 32], [8; 32])).await;
	let other_key = FakeCoordinator::with_challenge([9; 32], challenge(GENESIS, [7; 32])).await;
	let honest = FakeCoordinator::start([10; 32]).await;
	let mining = mine(3, &[&other_chain, &other_key, &honest]);
	honest.until("polls", |state| state.polls > 0).await;
	tokio::time::sleep(Duration::from_secs(2)).await;
	assert!(other_chain.state().logins.is_empty());
	assert!(other_key.state().logins.is_empty());
	mining.drained().await;
}

#[tokio::test]
async fn a_lost_lease_stops_the_rendering() {
	let fake = FakeCoordinator::start([9; 32]).await;
	let mining = mine(1, &[&fake]);
	fake.give("slow");
	fake.until("a heartbeat", |state| !state.beats.is_empty()).await;
	fake.state().no_lease = true;
	let polls = fake.state().polls;
	fake.until("the next poll", |state| state.polls > polls).await;
	fake.state().no_lease = false;
	// The device is free: the slow task would take ten minutes.
	fake.give("x");
	fake.until("a result", |state| state.results.len() == 1).await;
	assert!(fake.state().failures.is_empty());
	mining.drained().await;
}

#[tokio::test]
async fn an_upload_without_a_lease_gives_the_task_back() {
	let fake = FakeCoordinator::start([9; 32]).await;
	fake.state().no_lease = true;
	let id = fake.give("x");
	let mining = mine(1, &[&fake]);
	fake.until("a failure", |state| state.failures.len() == 1).await;
	let failure = fake.state().failures[0].clone();
	assert_eq!((failure.task_id, failure.reason), (id, FailureReason::Capacity));
	mining.drained().await;
}

#[tokio::test]
async fn a_task_survives_a_restart_of_its_coordinator() {
	let mut fake = FakeCoordinator::start([9; 32]).await;
	let mining = mine(1, &[&fake]);
	// The coordinator goes away in the middle of the rendering.
	let id = fake.give("brisk");
	fake.until("a heartbeat", |state| !state.beats.is_empty()).await;
	fake.stop().await;
	tokio::time::sleep(Duration::from_secs(1)).await;
	fake.listen().await;
	fake.until("a result", |state| state.results.len() == 1).await;
	assert_eq!(fake.state().results[0].task_id, id);
	assert_eq!(fake.state().logins.len(), 2);
	fake.give("x");
	fake.until("the next result", |state| state.results.len() == 2).await;
	mining.drained().await;
}

#[tokio::test]
async fn draining_finishes_what_is_in_hand() {
	let fake = FakeCoordinator::start([9; 32]).await;
	let mining = mine(1, &[&fake]);
	fake.give("brisk");
	fake.until("a heartbeat", |state| !state.beats.is_empty()).await;
	fake.give("x");
	mining.drained().await;
	let state = fake.state();
	assert_eq!((state.results.len(), state.failures.len(), state.logouts), (1, 0, 1));
	assert_eq!(state.tasks.len(), 1, "nothing new was taken");
}

#[tokio::test]
async fn aborting_gives_tasks_back_at_once() {
	let fake = FakeCoordinator::start([9; 32]).await;
	let mining = mine(1, &[&fake]);
	fake.give("slow");
	fake.until("a heartbeat", |state| !state.beats.is_empty()).await;
	mining.phase.send_replace(Phase::Abort);
	mining.ends().await.unwrap();
	let state = fake.state();
	assert_eq!(state.failures[0].reason, FailureReason::ShuttingDown);
	assert_eq!(state.logouts, 1);
}

#[tokio::test]
async fn the_registry_is_followed() {
	let (first, second) =
		(FakeCoordinator::start([9; 32]).await, FakeCoordinator::start([10; 32]).await);
	let mining = mine(1, &[&first]);
	first.until("polls", |state| state.polls > 0).await;
	// One more does not matter while there are enough.
	mining.registry.send_replace(registry(&[&first, &second]));
	tokio::time::sleep(Duration::from_millis(500)).await;
	assert!(second.state().logins.is_empty());
	// The first one goes: the second one takes its place.
	mining.registry.send_replace(registry(&[&second]));
	second.until("polls", |state| state.polls > 0).await;
	first.until("a farewell", |state| state.logouts == 1).await;
	mining.drained().await;
}

#[tokio::test]
async fn changed_endpoints_are_followed() {
	let old = FakeCoordinator::start([9; 32]).await;
	let new = FakeCoordinator::start([9; 32]).await;
	let mining = mine(1, &[&old]);
	old.until("polls", |state| state.polls > 0).await;
	mining.registry.send_replace(registry(&[&new]));
	new.until("polls", |state| state.polls > 0).await;
	mining.drained().await;
}

#[tokio::test]
async fn a_miner_that_is_not_registered_any_more_ends() {
	let fake = FakeCoordinator::start([9; 32]).await;
	let mining = mine(1, &[&fake]);
	fake.until("polls", |state| state.polls > 0).await;
	let mut without = (*registry(&[&fake])).clone();
	without.miners.clear();
	mining.registry.send_replace(Arc::new(without));
	let error = mining.ends().await.unwrap_err().to_string();
	assert!(error.contains("not registered any more"), "{error}");
	assert_eq!(fake.state().logouts, 1);
}
