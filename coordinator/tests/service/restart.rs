//! A coordinator that stops and starts again on the same store.

use crate::common::*;
use cuckoo_coordinator::store::{Durability, RedbStore, Retention, TaskStore};
use cuckoo_coordinator_api::{
	app::AppApiClient, error::Code, miner::MinerApiClient, task::TaskState,
};
use std::path::Path;
use subxt_signer::sr25519::dev;

fn open_tasks(dir: &Path) -> RedbStore {
	let file = dir.join("tasks.redb");
	RedbStore::open(&file, Durability::Commit, Retention::default()).unwrap()
}

#[tokio::test]
async fn a_miner_that_comes_back_after_a_restart_finishes_its_task() {
	let dir = tempfile::tempdir().unwrap();
	let miners = || vec![registration(&dev::alice(), 1)];
	let coordinator = Coordinator::start_in(dir.path(), miners()).await;
	let done = coordinator.service.offer(nobody(), request("done before")).await.unwrap().task_id;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let first = miner.take().await;
	miner.upload_all(&first).await;
	miner.submit(&TestMiner::result(&first)).await.unwrap();
	let leased = coordinator.service.offer(nobody(), request("leased")).await.unwrap().task_id;
	let held = miner.take().await;
	miner.upload_all(&held).await;
	let queued = coordinator.service.offer(nobody(), request("queued")).await.unwrap().task_id;
	let cancelled =
		coordinator.service.offer(nobody(), request("cancelled")).await.unwrap().task_id;
	coordinator.service.cancel(&nobody(), &cancelled).await.unwrap();
	drop(miner);
	coordinator.stop().await;

	let coordinator = Coordinator::start_in(dir.path(), miners()).await;
	let app = coordinator.app().await;
	let state = |id| {
		let app = &app;
		async move { app.task_status(id).await.unwrap().state }
	};
	assert_eq!(state(done.clone()).await, TaskState::Done);
	assert_eq!(state(cancelled.clone()).await, TaskState::Cancelled);
	assert_eq!(state(leased.clone()).await, TaskState::Leased);
	assert_eq!(state(queued.clone()).await, TaskState::Queued);
	assert_eq!(code(app.cancel_task(cancelled).await), Code::TaskEnded);

	// The session is new, the lease and what was uploaded under it are not.
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	assert_eq!(miner.client.poll(miner.session.clone(), 0).await.unwrap(), None, "it is busy");
	miner.heartbeat(&held, 1).await.unwrap();
	assert_eq!(miner.submit(&TestMiner::result(&held)).await.unwrap(), TaskState::Done);
	assert_eq!(miner.submit(&TestMiner::result(&first)).await.unwrap(), TaskState::Done);
	let next = miner.take().await;
	assert_eq!((&next.task_id, next.attempt), (&queued, 1));
	let offered = app.offer_task(request("new")).await.unwrap();
	assert_eq!(offered.sequence, 4);
	for (id, held) in [(done, &first), (leased, &held)] {
		let status = app.task_status(id).await.unwrap();
		assert_eq!(status.spec, held.spec);
		let (code, _, body) = coordinator.get(&status.pictures[0].path).await;
		assert_eq!((code, body.len() as u64), (200, status.pictures[0].bytes));
		assert_eq!(body, png(held.spec.width, held.spec.height, &pixels(&held.spec, 0)));
	}
}

#[tokio::test]
async fn two_results_for_one_attempt_are_kept_as_evidence() {
	let dir = tempfile::tempdir().unwrap();
	let miners = vec![registration(&dev::alice(), 1)];
	let coordinator = Coordinator::start_in(dir.path(), miners).await;
	let id = coordinator.service.offer(nobody(), request("x")).await.unwrap().task_id;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let held = miner.take().await;
	miner.upload_all(&held).await;
	let result = TestMiner::result(&held);
	miner.submit(&result).await.unwrap();
	let mut other = result.clone();
	other.pictures[0].digest = "00".repeat(32);
	assert_eq!(code(miner.submit(&other).await), Code::ConflictingResult);
	drop(miner);
	coordinator.stop().await;

	let store = open_tasks(dir.path());
	let evidence = store.evidence(&id).unwrap();
	assert_eq!((evidence.len(), evidence[0].attempt), (1, 1));
	for (text, result) in [(&evidence[0].accepted, &result), (&evidence[0].refused, &other)] {
		let signed: serde_json::Value = serde_json::from_str(text).unwrap();
		assert_eq!(signed["operator"], hex::encode(dev::alice().public_key().0));
		assert_eq!(signed["body"], serde_json::to_string(result).unwrap());
	}
	let record = store.task(&id).unwrap().unwrap();
	assert_eq!((record.state, record.events), (TaskState::Done, 4));
}

#[tokio::test]
async fn pictures_that_nobody_needs_are_removed() {
	let dir = tempfile::tempdir().unwrap();
	let miners = || vec![registration(&dev::alice(), 1)];
	let files = || {
		let shelves = std::fs::read_dir(dir.path().join("pictures")).unwrap();
		let count = |shelf: std::fs::DirEntry| std::fs::read_dir(shelf.path()).unwrap().count();
		shelves.map(|shelf| count(shelf.unwrap())).sum::<usize>()
	};
	let coordinator = Coordinator::start_in(dir.path(), miners()).await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let id = coordinator.service.offer(nobody(), request("x")).await.unwrap().task_id;
	let held = miner.take().await;
	miner.upload_all(&held).await;
	miner.upload_all(&held).await;
	eventually("the first of two is removed", || files() == 1).await;
	coordinator.service.cancel(&nobody(), &id).await.unwrap();
	eventually("the pictures of the cancelled task are removed", || files() == 0).await;

	// One that was uploaded and not put on record, as a crash in between leaves it.
	let orphan = dir.path().join("pictures").join(&id.as_str()[..2]);
	std::fs::create_dir_all(&orphan).unwrap();
	std::fs::write(orphan.join(format!("{id}-1-0-{:016x}-0.png", 1)), "png").unwrap();
	assert_eq!(files(), 1);
	drop(miner);
	coordinator.stop().await;
	let _coordinator = Coordinator::start_in(dir.path(), miners()).await;
	eventually("the orphan is swept", || files() == 0).await;
}
