//! What apps may ask of a coordinator: the `cuckoo_*` methods.

use crate::amount::Amount;
use crate::assignment::AssignmentProof;
use crate::miner::{DeviceReport, SpeedReport};
use crate::task::{TaskId, TaskRequest, TaskStatus};
use jsonrpsee::{core::SubscriptionResult, proc_macros::rpc, types::ErrorObjectOwned};
use serde::{Deserialize, Serialize};

/// Longest time that one `cuckoo_waitTask` waits, in seconds.
pub const MAX_WAIT_SECONDS: u64 = 120;

/// Path on the app listener from which `GET` returns a finished picture as PNG.
pub fn picture_path(task_id: &TaskId, index: u32) -> String {
	format!("/pictures/{task_id}/{index}")
}

/// The coordinator itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CoordinatorInfo {
	/// Version of the coordinator program.
	pub version: String,
	/// Stash (SS58) under which it is registered.
	pub stash: String,
	/// Operator account (SS58) that it runs as.
	pub operator: String,
	/// Genesis hash of its chain, `0x…`.
	pub genesis: String,
	/// Number of the finalized block to which its registry belongs.
	pub finalized_block: u64,
	/// Names of the models that live miners serve, most stake first.
	pub models: Vec<String>,
	/// Tasks that wait for a miner.
	pub queued: u64,
	/// Tasks that a miner holds.
	pub running: u64,
}

/// A registered miner as the coordinator sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MinerView {
	/// Stash (SS58).
	pub stash: String,
	/// Operator account (SS58).
	pub operator: String,
	/// Name from its registration.
	pub name: String,
	/// Stake behind it (its own and its voters'), in plancks (10^-18 CAI), as a decimal number.
	pub stake: String,
	/// Its part of the stake of all active registered miners, from 0 to 1: the part of the tasks
	/// that it gets when all of them are free.
	pub share: f64,
	/// Whether it is connected to this coordinator and was heard of within the last 15 seconds.
	pub live: bool,
	/// Tasks that it can hold at once; 0 while not connected.
	pub slots: u32,
	/// Tasks that it holds now.
	pub running: u32,
	/// Models that it serves; empty while not connected.
	pub models: Vec<String>,
	/// Tasks that it has finished for this coordinator since the coordinator started.
	pub tasks_done: u64,
	/// Leases that it lost or gave back with a fault since the coordinator started.
	pub tasks_failed: u64,
	/// How often it was drawn since the coordinator started.
	pub tasks_drawn: u64,
	/// How often it was to be drawn on average: the sum of its chances in all draws in which it was
	/// eligible.
	pub tasks_expected: f64,
	/// What it says that it renders on; empty while not connected.
	pub devices: Vec<DeviceReport>,
	/// How fast it says that it is; empty while not connected.
	pub speeds: Vec<SpeedReport>,
}

/// What a task would take if it were offered now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quote {
	/// The model that would render it.
	pub model: String,
	/// Work units in thousandths: pixels × steps × images / 2^20 × coefficient of the model.
	pub milliunits: u64,
	/// What it costs whoever asks, in plancks, if it is done.
	pub price: Amount,
	/// Tasks that wait for this model.
	pub queued: u64,
	/// Tasks that the live miners of this model can hold at once.
	pub slots: u32,
	/// How many more they could take now.
	pub free_slots: u32,
	/// Expected time until a miner begins, in seconds: 0 if one is free and nothing waits; none if
	/// nobody serves the model now, or nothing has been rendered with it yet.
	pub wait_seconds: Option<f64>,
	/// Expected time from then until the pictures are there, in seconds; none if nothing has been
	/// rendered with the model yet.
	pub render_seconds: Option<f64>,
}

/// The account of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountView {
	/// Name that the coordinator's operator gave it.
	pub name: String,
	/// How its key begins.
	pub key_prefix: String,
	/// Plancks that can be spent.
	pub balance: Amount,
	/// Plancks that are set aside for the tasks under way.
	pub reserved: Amount,
	/// Plancks that were paid for tasks that are done.
	pub spent: Amount,
	/// Plancks for a work unit of a model whose coefficient is 1.
	pub price_per_unit: Amount,
	/// Most requests a second in the long run; none: no limit.
	pub requests_per_second: Option<u32>,
	/// Most tasks under way at once; none: no limit.
	pub max_in_flight: Option<u32>,
	/// Tasks under way.
	pub in_flight: u32,
	/// Tasks that are done.
	pub tasks_done: u64,
	/// Whether the key is refused.
	pub revoked: bool,
}

/// The methods for apps. Errors carry the name of their [`Code`](crate::error::Code) in `data`.
#[rpc(client, server, namespace = "cuckoo")]
pub trait AppApi {
	/// Which coordinator this is, and how busy.
	#[method(name = "info")]
	async fn info(&self) -> Result<CoordinatorInfo, ErrorObjectOwned>;

	/// Every registered active miner with its stake and share, most stake first.
	#[method(name = "listMiners")]
	async fn list_miners(&self) -> Result<Vec<MinerView>, ErrorObjectOwned>;

	/// Offers a task; answers at once, with its id and place in the order of offers.
	#[method(name = "offerTask", with_extensions)]
	async fn offer_task(&self, request: TaskRequest) -> Result<TaskStatus, ErrorObjectOwned>;

	/// What a task would take, without offering it; refused where no offer of it could be served.
	#[method(name = "quoteTask", with_extensions)]
	async fn quote_task(&self, request: TaskRequest) -> Result<Quote, ErrorObjectOwned>;

	/// The account of the key that asks.
	#[method(name = "account", with_extensions)]
	async fn account(&self) -> Result<AccountView, ErrorObjectOwned>;

	/// Waits until the task has ended, at most `timeoutSeconds` (default and most: 120), and
	/// answers with its status then, ended or not.
	#[method(name = "waitTask", with_extensions)]
	async fn wait_task(
		&self,
		#[argument(rename = "taskId")] task_id: TaskId,
		#[argument(rename = "timeoutSeconds")] timeout_seconds: Option<u64>,
	) -> Result<TaskStatus, ErrorObjectOwned>;

	/// Where a task is.
	#[method(name = "taskStatus", with_extensions)]
	async fn task_status(
		&self,
		#[argument(rename = "taskId")] task_id: TaskId,
	) -> Result<TaskStatus, ErrorObjectOwned>;

	/// All that is needed, besides the chain, to check how miners were drawn for a task.
	#[method(name = "assignmentProof")]
	async fn assignment_proof(
		&self,
		#[argument(rename = "taskId")] task_id: TaskId,
	) -> Result<AssignmentProof, ErrorObjectOwned>;

	/// Takes a task back. A task that has ended already is refused with `TASK_ENDED`.
	#[method(name = "cancelTask", with_extensions)]
	async fn cancel_task(
		&self,
		#[argument(rename = "taskId")] task_id: TaskId,
	) -> Result<TaskStatus, ErrorObjectOwned>;

	/// The status of a task now and after each change, until it has ended.
	#[subscription(name = "subscribeTask" => "task", unsubscribe = "unsubscribeTask", item = TaskStatus, with_extensions)]
	async fn subscribe_task(
		&self,
		#[argument(rename = "taskId")] task_id: TaskId,
	) -> SubscriptionResult;
}
