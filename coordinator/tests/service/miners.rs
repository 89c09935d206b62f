//! What miners see, over real connections.

use crate::common::*;
use cuckoo_coordinator::{registry::RegistrySnapshot, scheduler::SchedulerOptions};
use cuckoo_coordinator_api::{
	app::AppApiClient,
	error::Code,
	miner::{upload_path, FailureReason, Login, MinerApiClient, TaskResult},
	signing::{Audience, Signed, MAX_AGE_MS},
	task::{TaskRequest, TaskState},
};
use std::sync::Arc;
use std::time::{Duration, Instant};
use subxt_signer::sr25519::{dev, Keypair};

#[tokio::test]
async fn a_key_that_is_not_registered_is_refused() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let client = coordinator.dial().await;
	let nonce = client.challenge().await.unwrap().nonce;
	let login = Signed::seal(&dev::bob(), &audience(), "miner_login", &nonce, now(), &login());
	assert_eq!(code(client.login(login).await), Code::NotRegistered);
}

#[tokio::test]
async fn a_stranger_costs_no_signature_check() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let client = coordinator.dial().await;
	let forged = |key: &Keypair| {
		let signed = Signed::seal(key, &audience(), "miner_login", "any", now(), &login());
		let mut signed = serde_json::to_value(&signed).unwrap();
		signed["signature"] = "00".repeat(64).into();
		serde_json::from_value::<Signed<Login>>(signed).unwrap()
	};
	// Without a challenge, and with a signature that does not hold: that is not looked at.
	assert_eq!(code(client.login(forged(&dev::bob())).await), Code::NotRegistered);
	assert_eq!(code(client.login(forged(&dev::alice())).await), Code::BadSignature);
}

#[tokio::test]
async fn a_login_must_be_signed_for_this_chain_coordinator_and_challenge() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let client = coordinator.dial().await;
	let attempt = |audience: Audience, method: &'static str, nonce: Option<&'static str>, time| {
		let client = &client;
		async move {
			let challenge = client.challenge().await.unwrap();
			assert_eq!(challenge.genesis, hex::encode(GENESIS));
			let nonce = nonce.map_or(challenge.nonce, str::to_owned);
			let signed = Signed::seal(&dev::alice(), &audience, method, &nonce, time, &login());
			client.login(signed).await
		}
	};
	let elsewhere = Audience { genesis: [8; 32], ..audience() };
	let other = Audience { coordinator: dev::bob().public_key().0, ..audience() };
	let old = now() - MAX_AGE_MS - 5_000;
	for answer in [
		attempt(elsewhere, "miner_login", None, now()).await,
		attempt(other, "miner_login", None, now()).await,
		attempt(audience(), "miner_submit", None, now()).await,
		attempt(audience(), "miner_login", Some("guess"), now()).await,
		attempt(audience(), "miner_login", None, old).await,
	] {
		assert_eq!(code(answer), Code::BadSignature);
	}
	attempt(audience(), "miner_login", None, now()).await.unwrap();
}

#[tokio::test]
async fn a_challenge_serves_one_login_on_its_own_connection() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let (one, two) = (coordinator.dial().await, coordinator.dial().await);
	let nonce = one.challenge().await.unwrap().nonce;
	let signed =
		|| Signed::seal(&dev::alice(), &audience(), "miner_login", &nonce, now(), &login());
	assert_eq!(code(two.login(signed()).await), Code::BadSignature);
	one.login(signed()).await.unwrap();
	assert_eq!(code(one.login(signed()).await), Code::BadSignature);
}

#[tokio::test]
async fn what_a_miner_says_of_itself_is_checked() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let client = coordinator.dial().await;
	let nonce = client.challenge().await.unwrap().nonce;
	let bad = Login { slots: 0, ..login() };
	let signed = Signed::seal(&dev::alice(), &audience(), "miner_login", &nonce, now(), &bad);
	assert_eq!(code(client.login(signed).await), Code::InvalidRequest);
}

#[tokio::test]
async fn a_later_login_ends_the_earlier_session_at_once() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let first = TestMiner::connect(&coordinator, dev::alice()).await;
	let begin = Instant::now();
	let (polled, second) = tokio::join!(first.client.poll(first.session.clone(), 10), async {
		tokio::time::sleep(Duration::from_millis(200)).await;
		TestMiner::connect(&coordinator, dev::alice()).await
	});
	assert_eq!(code(polled), Code::NoSession);
	assert!(begin.elapsed() < Duration::from_secs(5));
	assert_eq!(code(first.client.poll(first.session.clone(), 0).await), Code::NoSession);
	// The end of the earlier connection does not end the later session.
	drop(first);
	tokio::time::sleep(Duration::from_millis(200)).await;
	assert_eq!(second.client.poll(second.session.clone(), 0).await.unwrap(), None);
}

#[tokio::test]
async fn a_poll_waits_for_work() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let begin = Instant::now();
	assert_eq!(miner.client.poll(miner.session.clone(), 1).await.unwrap(), None);
	assert!((1..4).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
	let (held, id) = tokio::join!(miner.take(), async {
		tokio::time::sleep(Duration::from_millis(200)).await;
		coordinator.service.offer(nobody(), request("x")).await.unwrap().task_id
	});
	assert_eq!(held.task_id, id);
}

#[tokio::test]
async fn pictures_other_than_asked_for_are_refused() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	coordinator.service.offer(nobody(), request("x")).await.unwrap();
	let held = miner.take().await;
	let (width, height) = (held.spec.width, held.spec.height);
	let good = pixels(&held.spec, 0);
	let bad = (400, Some(Code::BadPicture));
	assert_eq!(miner.upload(&held, 0, png(height, width, &good)).await, bad, "another size");
	assert_eq!(
		miner.upload(&held, 0, png(width, height, &vec![9; good.len()])).await,
		bad,
		"blank"
	);
	assert_eq!(miner.upload(&held, 0, b"GIF89a".to_vec()).await, bad, "not a PNG");
	assert_eq!(miner.upload(&held, 0, Vec::new()).await, bad, "empty");
	let mut corrupt = png(width, height, &good);
	corrupt.truncate(corrupt.len() / 2);
	assert_eq!(miner.upload(&held, 0, corrupt).await, bad, "cut off");

	let file = png(width, height, &good);
	let too_large = (413, Some(Code::TooLarge));
	let mut ballast = file.clone();
	ballast.extend(vec![0; 200_000]);
	assert_eq!(miner.upload(&held, 0, ballast).await, too_large, "ballast");
	let outside = (400, Some(Code::InvalidRequest));
	assert_eq!(miner.upload(&held, 1, file.clone()).await, outside, "a picture too many");
	let no_lease = (403, Some(Code::NoLease));
	let mut guess = held.clone();
	guess.lease = "guess".into();
	assert_eq!(miner.upload(&guess, 0, file.clone()).await, no_lease, "no lease");

	// None of this was kept, and none of it cost the miner its lease.
	let missing = miner.submit(&TestMiner::result(&held)).await;
	assert_eq!(code(missing), Code::BadPicture);
	assert_eq!(miner.upload(&held, 0, file).await, (204, None));
	assert_eq!(miner.submit(&TestMiner::result(&held)).await.unwrap(), TaskState::Done);
}

#[tokio::test]
async fn a_picture_is_received_once_at_a_time() {
	use tokio::io::AsyncWriteExt;
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	coordinator.service.offer(nobody(), request("x")).await.unwrap();
	let held = miner.take().await;
	let head = format!(
		"PUT {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 9000\r\n\r\nstart",
		upload_path(&held.task_id, held.attempt, 0),
		held.lease
	);
	let mut slow = tokio::net::TcpStream::connect(&coordinator.miners).await.unwrap();
	slow.write_all(head.as_bytes()).await.unwrap();
	let upload = || miner.upload(&held, 0, png(64, 72, &pixels(&held.spec, 0)));
	// The slow one may not have begun yet; what it keeps out is refused from then on.
	let mut answers = Vec::new();
	for _ in 0..100 {
		answers.push(upload().await);
		if answers.last() == Some(&(429, Some(Code::Busy))) {
			break;
		}
	}
	assert_eq!(answers.pop(), Some((429, Some(Code::Busy))));
	drop(slow);
	for _ in 0..100 {
		if upload().await == (204, None) {
			return;
		}
		tokio::time::sleep(Duration::from_millis(20)).await;
	}
	panic!("an upload that broke off keeps others out");
}

#[tokio::test]
async fn a_result_is_accepted_exactly_once() {
	let miners = vec![registration(&dev::alice(), 1), registration(&dev::bob(), 1)];
	let coordinator = Coordinator::start(miners).await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let id = coordinator.service.offer(nobody(), request("x")).await.unwrap().task_id;
	let held = miner.take().await;
	let thief = TestMiner::connect(&coordinator, dev::bob()).await;
	miner.upload_all(&held).await;
	let result = TestMiner::result(&held);

	assert_eq!(code(thief.submit(&result).await), Code::NoLease);
	let other = Signed::seal(&dev::bob(), &audience(), "miner_submit", &held.lease, now(), &result);
	let stolen = miner.client.submit(miner.session.clone(), other).await;
	assert_eq!(code(stolen), Code::BadSignature);
	let wrong = Signed::seal(&miner.key, &audience(), "miner_submit", "nonce", now(), &result);
	let wrong = miner.client.submit(miner.session.clone(), wrong).await;
	assert_eq!(code(wrong), Code::BadSignature);
	let changed = TaskResult { parameters: "00".repeat(32), ..result.clone() };
	assert_eq!(code(miner.submit(&changed).await), Code::InvalidRequest);
	let changed = TaskResult { model: "00".repeat(32), ..result.clone() };
	assert_eq!(code(miner.submit(&changed).await), Code::InvalidRequest);
	let later = TaskResult { attempt: 2, ..result.clone() };
	assert_eq!(code(miner.submit(&later).await), Code::NoLease);

	assert_eq!(miner.submit(&result).await.unwrap(), TaskState::Done);
	let changed_at = coordinator.service.status(&nobody(), &id).unwrap().changed_at;
	assert_eq!(miner.submit(&result).await.unwrap(), TaskState::Done, "the same again");
	assert_eq!(code(miner.submit(&later).await), Code::NoLease);
	assert_eq!(code(thief.submit(&result).await), Code::NoLease, "not the holder");
	let mut other = result.clone();
	other.pictures[0].digest = "00".repeat(32);
	assert_eq!(code(miner.submit(&other).await), Code::ConflictingResult);
	other.pictures.clear();
	assert_eq!(code(miner.submit(&other).await), Code::ConflictingResult);
	assert_eq!(miner.submit(&result).await.unwrap(), TaskState::Done, "and the same yet again");
	let status = coordinator.service.status(&nobody(), &id).unwrap();
	assert_eq!((status.state, status.changed_at), (TaskState::Done, changed_at));
	assert_eq!(coordinator.service.miners().iter().map(|m| m.tasks_done).sum::<u64>(), 1);
}

#[tokio::test]
async fn the_task_of_a_miner_that_vanishes_is_finished_by_another() {
	let miners = vec![registration(&dev::alice(), 1), registration(&dev::bob(), 1)];
	let options = SchedulerOptions { lease_ms: 1_000, ..SchedulerOptions::default() };
	let coordinator = Coordinator::start_with(miners, options).await;
	let app = coordinator.app().await;
	let victim = TestMiner::connect(&coordinator, dev::alice()).await;
	let id = app.offer_task(request("x")).await.unwrap().task_id;
	let lost = victim.take().await;
	assert_eq!((&lost.task_id, lost.attempt), (&id, 1));
	victim.upload_all(&lost).await;
	drop(victim);
	let live = || coordinator.service.health().live_miners;
	eventually("the end of the connection is noticed", || live() == 0).await;

	let heir = TestMiner::connect(&coordinator, dev::bob()).await;
	let held = heir.take().await;
	assert_eq!((&held.task_id, held.attempt), (&id, 2));
	assert_ne!(held.lease, lost.lease);
	// What the first one uploaded is gone: pictures belong to their attempt.
	let result = TestMiner::result(&held);
	assert_eq!(code(heir.submit(&result).await), Code::BadPicture);
	heir.upload_all(&held).await;
	assert_eq!(heir.submit(&result).await.unwrap(), TaskState::Done);

	// The first one comes back too late.
	let late = TestMiner::connect(&coordinator, dev::alice()).await;
	assert_eq!(code(late.submit(&TestMiner::result(&lost)).await), Code::NoLease);
	let status = app.wait_task(id, Some(1)).await.unwrap();
	assert_eq!((status.state, status.attempt), (TaskState::Done, 2));
	assert_eq!(status.miner, Some(registration(&dev::bob(), 1).stash));
}

#[tokio::test]
async fn a_task_that_nobody_can_render_fails_with_the_last_reason() {
	let keys = [dev::alice(), dev::bob(), dev::charlie()];
	let coordinator =
		Coordinator::start(keys.iter().map(|key| registration(key, 1)).collect()).await;
	let id = coordinator.service.offer(nobody(), request("x")).await.unwrap().task_id;
	for key in keys {
		let miner = TestMiner::connect(&coordinator, key).await;
		let held = miner.take().await;
		miner.fail(&held, FailureReason::OutOfMemory).await.unwrap();
		assert_eq!(code(miner.fail(&held, FailureReason::OutOfMemory).await), Code::NoLease);
		miner.client.logout(miner.session.clone()).await.unwrap();
		assert_eq!(code(miner.client.logout(miner.session.clone()).await), Code::NoSession);
	}
	let status = coordinator.service.status(&nobody(), &id).unwrap();
	assert_eq!(status.state, TaskState::Failed);
	let failure = status.failure.unwrap();
	assert_eq!(failure.code, Code::FailedEverywhere);
	assert!(failure.message.contains("OutOfMemory: a test"), "{failure}");
}

#[tokio::test]
async fn a_miner_that_is_deregistered_loses_its_session() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let (polled, ()) = tokio::join!(miner.client.poll(miner.session.clone(), 10), async {
		tokio::time::sleep(Duration::from_millis(200)).await;
		let empty = RegistrySnapshot { block: 2, ..RegistrySnapshot::default() };
		coordinator.registry.send(Arc::new(empty)).unwrap();
	});
	assert_eq!(code(polled), Code::NoSession);
	assert_eq!(coordinator.service.health().finalized_block, 2);
}

#[tokio::test]
async fn miners_are_served_by_websocket_only() {
	let coordinator = Coordinator::start(vec![]).await;
	let url = format!("http://{}", coordinator.miners);
	let call = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"miner_challenge\"}";
	let client = reqwest::Client::new();
	let answer = client.post(format!("{url}/")).body(call).send().await.unwrap();
	assert!(answer.status().is_client_error(), "{}", answer.status());
	assert_eq!(client.get(format!("{url}/nothing")).send().await.unwrap().status(), 404);
	for path in ["x/1/0", "00000000000000000000000000000000/x/0"] {
		let answer = client.put(format!("{url}/pictures/{path}")).send().await.unwrap();
		assert_eq!(answer.status(), 400, "{path}");
	}
	let path = "/pictures/00000000000000000000000000000000/1/0";
	assert_eq!(client.put(format!("{url}{path}")).send().await.unwrap().status(), 403);
}

/// Many tasks over several miners at once, each rendering as fast as it can: every task is done
/// exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_are_each_done_once() {
	const TASKS: usize = 60;
	let keys = [dev::alice(), dev::bob(), dev::charlie()];
	let miners = keys.iter().zip([1, 2, 7]).map(|(key, weight)| registration(key, weight));
	let coordinator = Coordinator::start(miners.collect()).await;
	let workers: Vec<_> = {
		let mut workers = Vec::new();
		for key in keys {
			let miner = TestMiner::connect(&coordinator, key).await;
			workers.push(tokio::spawn(async move {
				while let Ok(assigned) = miner.client.poll(miner.session.clone(), 10).await {
					let Some(held) = assigned else { continue };
					miner.upload_all(&held).await;
					let state = miner.submit(&TestMiner::result(&held)).await.unwrap();
					assert_eq!(state, TaskState::Done);
				}
			}));
		}
		workers
	};
	let app = coordinator.app().await;
	let mut ids = Vec::new();
	for n in 0..TASKS {
		let prompt = format!("bird {n}");
		let request = TaskRequest { model: None, ..request(&prompt) };
		ids.push(app.offer_task(request).await.unwrap().task_id);
	}
	for id in ids {
		let status = app.wait_task(id, Some(60)).await.unwrap();
		assert_eq!((status.state, status.attempt), (TaskState::Done, 1));
	}
	let done: u64 = app.list_miners().await.unwrap().iter().map(|miner| miner.tasks_done).sum();
	assert_eq!(done, TASKS as u64);
	coordinator.service.drain(Duration::from_secs(1)).await;
	for worker in workers {
		worker.await.unwrap();
	}
}
