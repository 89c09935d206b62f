//! How miners were drawn, as a running coordinator tells it.

use crate::common::*;
use cuckoo_coordinator::audit::check::{Auditor, PastRegistry};
use cuckoo_coordinator::registry::{MinerRegistration, RegistrySnapshot};
use cuckoo_coordinator_api::{
	app::AppApiClient,
	assignment::{assignment_path, AssignmentProof, AssignmentRecord, DrawLogHeader},
	error::Code,
	task::TaskId,
};
use std::collections::HashMap;
use subxt_signer::sr25519::dev;

/// More than are read from the store at once.
const TASKS: u64 = 300;

fn miners() -> Vec<MinerRegistration> {
	vec![registration(&dev::alice(), 10), registration(&dev::bob(), 30)]
}

impl Coordinator {
	/// Its log of draws: what comes after the question mark is `query`.
	async fn draw_log(&self, query: &str) -> (DrawLogHeader, Vec<AssignmentRecord>) {
		let (status, content, body) = self.get(&format!("/v1/draws{query}")).await;
		assert_eq!((status, content.as_str()), (200, "application/jsonl"));
		let text = String::from_utf8(body.to_vec()).unwrap();
		let (header, records) = text.split_once('\n').unwrap();
		let records = records.lines().map(|line| serde_json::from_str(line).unwrap());
		(serde_json::from_str(header).unwrap(), records.collect())
	}

	/// What an audit finds in it.
	async fn audit(&self) -> Vec<String> {
		let (header, records) = self.draw_log("").await;
		let registry =
			RegistrySnapshot { block: 1, miners: miners(), ..RegistrySnapshot::default() };
		let registries = HashMap::from([(1, PastRegistry::new(registry, true))]);
		let mut auditor = Auditor::new(&header).unwrap();
		for record in &records {
			auditor.check(record, &registries);
		}
		auditor.finish().findings.iter().map(ToString::to_string).collect()
	}
}

#[tokio::test]
async fn an_app_can_check_how_its_task_was_assigned() {
	let coordinator = Coordinator::start(miners()).await;
	let first = TestMiner::connect(&coordinator, dev::alice()).await;
	let app = coordinator.app().await;
	let offered = app.offer_task(request("a red bird")).await.unwrap();
	let held = first.take().await;
	let second = TestMiner::connect(&coordinator, dev::bob()).await;
	first.fail(&held, cuckoo_coordinator_api::miner::FailureReason::Internal).await.unwrap();
	second.take().await;

	let proof = app.assignment_proof(offered.task_id.clone()).await.unwrap();
	let (status, _, twin) = coordinator.get(&assignment_path(&offered.task_id)).await;
	let twin: AssignmentProof = serde_json::from_slice(&twin).unwrap();
	assert_eq!((status, &twin), (200, &proof));
	assert_eq!((proof.genesis.0, proof.coordinator.0), (GENESIS, dev::eve().public_key().0));
	let AssignmentRecord { sequence, task_hash, draws } = proof.record;
	assert_eq!((sequence, task_hash.0), (offered.sequence, offered.spec.digest()));
	let drawn: Vec<_> = draws.iter().map(|draw| (draw.attempt, draw.total, draw.miner.0)).collect();
	let [alice, bob] = [dev::alice(), dev::bob()].map(|key| key.public_key().0);
	assert_eq!(drawn, [(1, 10, alice), (2, 30, bob)]);
	assert_eq!(coordinator.audit().await, [""; 0]);

	let unknown = TaskId::from_bytes([9; 16]);
	assert_eq!(code(app.assignment_proof(unknown.clone()).await), Code::UnknownTask);
	assert_eq!(coordinator.get(&assignment_path(&unknown)).await.0, 404);
}

#[tokio::test]
async fn the_log_has_every_number_and_outlives_a_restart() {
	let dir = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::start_in(dir.path(), miners()).await;
	for n in 0..TASKS {
		let offered = coordinator.service.offer(nobody(), request(&n.to_string())).await.unwrap();
		assert_eq!(offered.sequence, n);
		if n % 2 == 0 {
			coordinator.service.cancel(&nobody(), &offered.task_id).await.unwrap();
		}
	}
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let held = miner.take().await;
	drop(miner);
	let before = coordinator.draw_log("").await;
	coordinator.stop().await;

	let coordinator = Coordinator::start_in(dir.path(), miners()).await;
	let (header, records) = coordinator.draw_log("").await;
	assert_eq!((&header, &records), (&before.0, &before.1));
	assert_eq!((header.first, header.end), (0, TASKS));
	let numbers: Vec<u64> = records.iter().map(|record| record.sequence).collect();
	assert_eq!(numbers, (0..TASKS).collect::<Vec<_>>());
	assert_eq!(records.iter().map(|record| record.draws.len()).sum::<usize>(), 1);
	assert_eq!(records[1].draws[0].attempt, held.attempt);
	assert_eq!(coordinator.audit().await, [""; 0]);

	let (header, records) = coordinator.draw_log("?from=290&end=295").await;
	assert_eq!((header.first, header.end, records.len()), (290, 295, 5));
	let (header, records) = coordinator.draw_log("?from=1000").await;
	assert_eq!((header.first, header.end, records.len()), (TASKS, TASKS, 0));
	assert_eq!(coordinator.draw_log("?from=7&end=3").await.1, []);
	assert_eq!(coordinator.get("/v1/draws?from=x").await.0, 400);
}
