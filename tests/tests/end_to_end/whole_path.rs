//! From a prompt to a picture, with real processes: who gets the tasks, and what survives.

use cuckoo_chain_client::{ChainError, Keypair};
use cuckoo_coordinator::assignment::fairness::Fairness;
use cuckoo_coordinator_api::{
	assignment::DRAWS_PATH,
	error::Code,
	miner::{Login, MinerApiClient, ModelOffer},
	signing::{hex_array, Audience, Signed},
	task::{TaskId, TaskRequest, TaskState},
};
use cuckoo_e2e::{
	app::{refused, App},
	models,
	network::{Listeners, Network, Node, PATIENCE},
	process,
	staking::{fund, register_all, write_key_file, Candidate, CAI},
};
use jsonrpsee::ws_client::WsClientBuilder;
use std::{
	collections::BTreeSet,
	time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use subxt_signer::sr25519::dev;

/// How many tasks are shared out.
const TASKS: u64 = 200;

/// Of networks that are fair, fewer than one in a million fails the test by chance; one that shares out
/// equally never passes.
const SIGNIFICANCE: f64 = 1e-6;

fn small(prompt: impl Into<String>) -> TaskRequest {
	TaskRequest { width: 64, height: 64, steps: 4, seed: Some(1), ..TaskRequest::new(prompt) }
}

/// A task that keeps a miner busy long enough to be killed in the middle of it.
fn long(prompt: &str) -> TaskRequest {
	TaskRequest { width: 128, height: 128, steps: 150, seed: Some(1), ..TaskRequest::new(prompt) }
}

#[tokio::test]
async fn tasks_are_shared_out_by_stake() {
	let models = models::directory();
	let mut node = Node::start("quick", "alice", &[]).await.unwrap();
	let chain = node.client().await.unwrap();

	// Everybody comes fresh onto the chain. The miners of the genesis are registered, too, but do
	// not run.
	let listeners = Listeners::free().unwrap();
	let coordinator = Candidate::coordinator("E2eCoordinator", listeners.endpoint());
	let miners = [("E2eSmall", 20_000), ("E2eMiddle", 40_000), ("E2eLarge", 140_000)]
		.map(|(name, cai)| Candidate::miner(name, cai));
	let too_small = Candidate::miner("E2eTooSmall", 19_999);
	let everybody: Vec<_> = miners.iter().chain([&coordinator, &too_small]).cloned().collect();
	fund(&chain, &everybody).await.unwrap();
	register_all(&chain, &everybody[..4]).await.unwrap();

	match too_small.register(&chain).await.unwrap_err().downcast::<ChainError>().unwrap() {
		ChainError::Refused { error, .. } => assert_eq!(error, "Staking::BelowRoleMinimum"),
		other => panic!("19,999 CAI are too few, but: {other}"),
	}

	let mut network =
		Network::start(node, &coordinator, listeners, &miners, &models, &[]).await.unwrap();
	the_doctor_finds_nothing(&network, &listeners.endpoint()).await;
	let last = share_out(&network, &miners).await;
	the_draws_can_be_checked(&network, &last).await;
	a_stranger_is_refused(&network, &listeners.endpoint()).await;
	network.ensure_sound().unwrap();
}

/// Everything is there, for a miner that is at work too.
async fn the_doctor_finds_nothing(network: &Network, endpoint: &str) {
	let [.., largest] = &network.miners[..] else { panic!("no miner runs") };
	let found = largest.doctor().await.unwrap();
	println!("{found}");
	// The miners of the genesis have stake, too.
	for line in [
		"good  clock: ",
		&format!("good  registration: the operator of an active miner, stash {}", largest.stash),
		"good  stake: 140000 CAI with votes, 35.00 % of all miners' stake",
		"good  coordinator E2eCoordinator (",
		&format!("answers at {endpoint} in "),
	] {
		assert!(found.contains(line), "{line:?} is not in {found}");
	}
}

/// Offers the tasks one after the other, so that every draw is among all three miners, and checks
/// each picture and the shares. Answers with the last task.
async fn share_out(network: &Network, miners: &[Candidate; 3]) -> TaskId {
	let app = network.coordinator.app();
	let (mut tasks, mut done_by, mut last) = (BTreeSet::new(), Vec::new(), None);
	for number in 0..TASKS {
		let offered = app.offer(small(format!("bird number {number}"))).await.unwrap();
		assert_eq!(offered.sequence, number);
		let done = app.wait(&offered.task_id, PATIENCE).await.unwrap();
		assert_eq!((done.attempt, done.pictures.len()), (1, 1), "{done:?}");
		app.picture(&done.pictures[0], 64, 64).await.unwrap();
		assert!(tasks.insert(done.task_id.to_string()), "a name was given twice: {done:?}");
		done_by.push(done.miner.unwrap());
		last = Some(done.task_id);
		settled(app).await;
	}

	let views = app.miners().await.unwrap();
	let observed = [0, 1, 2].map(|place| {
		let stash = miners[place].stash_account().unwrap().to_string();
		let view = views.iter().find(|view| view.stash == stash).unwrap();
		let by_status = done_by.iter().filter(|by| **by == stash).count() as u64;
		assert_eq!(view.tasks_done, by_status, "{} disagrees with itself", view.name);
		assert_eq!(view.tasks_failed, 0, "{view:?}");
		view.tasks_done
	});
	assert_eq!(observed.iter().sum::<u64>(), TASKS, "each task is done exactly once");

	let stakes = [0, 1, 2].map(|place| (place, miners[place].stake));
	let mut fairness = Fairness::default();
	for (place, count) in observed.into_iter().enumerate() {
		(0..count).for_each(|_| fairness.add(&stakes, place));
	}
	let test = fairness.chi_square().unwrap();
	println!("{observed:?} of {TASKS} tasks, {test:?}");
	assert!(test.probability > SIGNIFICANCE, "{observed:?} does not fit the stakes: {test:?}");
	last.unwrap()
}

/// An audit against the chain finds every draw right, and fails for a log that was tampered with.
async fn the_draws_can_be_checked(network: &Network, last: &TaskId) {
	let (node, coordinator) = (&network.node, &network.coordinator);
	let table = coordinator.audit(node, &[]).await.unwrap();
	println!("{table}");
	let every = format!("tasks        0 to {}", TASKS - 1);
	assert!(table.contains(&every) && table.contains("every record is as it must be"), "{table}");
	let of_task = coordinator.audit(node, &["--task", last.as_str()]).await.unwrap();
	assert!(of_task.contains("among 3 miners at block #"), "{of_task}");

	let log = reqwest::get(format!("{}{DRAWS_PATH}", coordinator.app().url())).await.unwrap();
	let log = log.text().await.unwrap();
	let dir = tempfile::tempdir().unwrap();
	let file = dir.path().join("draws.jsonl");
	let without_one: Vec<&str> =
		log.lines().filter(|line| !line.contains("\"sequence\":7,")).collect();
	std::fs::write(&file, without_one.join("\n")).unwrap();
	let (chain, file) = (node.url(), file.to_str().unwrap());
	let arguments = ["audit", "--chain", &chain, "--log", file];
	let ended = process::run("cuckoo-coordinator", arguments, PATIENCE).await.unwrap();
	assert!(ended.refusal().unwrap().contains("findings: 1"), "{ended:?}");
	assert!(ended.stdout.contains("record 7: it is missing"), "{ended:?}");
}

/// Waits until no miner is occupied any more.
async fn settled(app: &App) {
	let begin = Instant::now();
	while app.miners().await.unwrap().iter().any(|miner| miner.running > 0) {
		assert!(begin.elapsed() < PATIENCE, "a miner holds on to a task that is done");
	}
}

/// A key that is not registered gets a typed refusal, and the miner program that has it says so.
async fn a_stranger_is_refused(network: &Network, endpoint: &str) {
	let refusal = refused(log_in(endpoint, &dev::eve()).await).unwrap();
	assert_eq!(refusal.code, Code::NotRegistered, "{refusal}");

	let dir = tempfile::tempdir().unwrap();
	let key = dir.path().join("stranger.key");
	write_key_file(&key, "//E2eStranger").unwrap();
	let models = models::directory();
	let ended = process::run(
		"cuckoo-miner",
		[
			"--chain",
			&network.node.url(),
			"--key",
			key.to_str().unwrap(),
			"--models",
			models.to_str().unwrap(),
			"--coordinator",
			endpoint,
		],
		PATIENCE,
	)
	.await
	.unwrap();
	let line = ended.refusal().unwrap();
	assert!(line.contains("regist"), "{line}");
}

/// Logs in to a coordinator as a miner does.
async fn log_in(
	endpoint: &str,
	operator: &Keypair,
) -> Result<cuckoo_coordinator_api::miner::Session, jsonrpsee::core::ClientError> {
	let client = WsClientBuilder::default().build(endpoint).await?;
	let challenge = client.challenge().await?;
	let audience = Audience {
		genesis: hex_array(&challenge.genesis).unwrap(),
		coordinator: hex_array(&challenge.coordinator).unwrap(),
	};
	let login = Login {
		slots: 1,
		models: vec![ModelOffer { name: models::NAME.into(), digest: "00".repeat(32) }],
		software: "end-to-end test".into(),
		..Login::default()
	};
	let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
	let signed = Signed::seal(operator, &audience, "miner_login", &challenge.nonce, now, &login);
	client.login(signed).await
}

#[tokio::test]
async fn a_miner_killed_in_the_middle_of_a_task_loses_nothing() {
	let mut network = Network::start_preset(&models::directory()).await.unwrap();
	let task = network.coordinator.app().offer(long("a bird that takes its time")).await.unwrap();

	let begin = Instant::now();
	let victim = loop {
		let status = network.coordinator.app().status(&task.task_id).await.unwrap();
		assert!(!status.state.is_final(), "too quick to be killed: {status:?}");
		match status.miner {
			Some(miner) if status.state == TaskState::Leased && status.step > 0 => break miner,
			_ => assert!(begin.elapsed() < PATIENCE, "nobody begins: {status:?}"),
		}
		tokio::time::sleep(Duration::from_millis(50)).await;
	};
	let place = network.miners.iter().position(|miner| miner.stash == victim).unwrap();
	network.miners[place].process().kill().unwrap();
	network.miners.remove(place);

	let done = network.coordinator.app().wait(&task.task_id, 2 * PATIENCE).await.unwrap();
	assert_eq!(done.attempt, 2, "{done:?}");
	assert_ne!(done.miner, Some(victim), "the dead have no tasks");
	network.coordinator.app().picture(&done.pictures[0], 128, 128).await.unwrap();
	network.ensure_sound().unwrap();
}

#[tokio::test]
async fn a_restart_of_the_node_is_survived() {
	let mut network = Network::start_preset(&models::directory()).await.unwrap();
	render(network.coordinator.app()).await;

	network.node.restart().await.unwrap();
	render(network.coordinator.app()).await;

	// The registry is followed again: a vote that is cast now shows up.
	let chain = network.node.client().await.unwrap();
	let [miner, ..] = cuckoo_e2e::network::preset_miners();
	let alice = dev::alice();
	let staking = || cuckoo_chain_client::cuckoo::tx().staking();
	chain.submit(&staking().stake(1_000 * CAI), &alice).await.unwrap();
	let stash = miner.stash_account().unwrap();
	chain.submit(&staking().vote(stash, 1_000 * CAI), &alice).await.unwrap();
	let begin = Instant::now();
	loop {
		let views = network.coordinator.app().miners().await.unwrap();
		let view = views.iter().find(|view| view.stash == stash.to_string()).unwrap();
		if view.stake == (21_000 * CAI).to_string() {
			break;
		}
		assert!(begin.elapsed() < PATIENCE, "the coordinator has not seen the vote: {view:?}");
		tokio::time::sleep(Duration::from_millis(200)).await;
	}
	render(network.coordinator.app()).await;
	network.ensure_sound().unwrap();
}

async fn render(app: &App) {
	let task = app.offer(small("a bird")).await.unwrap();
	let done = app.wait(&task.task_id, PATIENCE).await.unwrap();
	app.picture(&done.pictures[0], 64, 64).await.unwrap();
}
