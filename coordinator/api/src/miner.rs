//! What miners and a coordinator say to each other: the `miner_*` methods and the upload path.
//!
//! A miner dials in, answers a challenge with its operator key and from then on polls for work. It
//! says how far it is by heartbeats, uploads each picture as a PNG with `PUT` to [`upload_path`]
//! (header `Authorization: Bearer LEASE`), and closes the attempt with a signed [`TaskResult`] or an
//! unsigned [`FailureReport`].

use crate::signing::Signed;
use crate::task::{TaskId, TaskSpec, TaskState};
use jsonrpsee::{proc_macros::rpc, types::ErrorObjectOwned};
use serde::{Deserialize, Serialize};

/// A miner not heard of for this long is not given tasks, in seconds.
pub const LIVE_SECONDS: u64 = 15;
/// A miner sends a heartbeat for each task that it holds at least this often, in seconds.
pub const HEARTBEAT_SECONDS: u64 = 5;
/// Longest time that one poll waits for work, in seconds.
pub const MAX_POLL_SECONDS: u64 = 10;
/// Most tasks that one miner may hold at once.
pub const MAX_SLOTS: u32 = 64;
/// Most models that one miner may serve.
pub const MAX_MODELS: usize = 64;
/// Most devices that one miner may name.
pub const MAX_DEVICES: usize = 64;
/// Longest name of a device, in bytes.
pub const DEVICE_NAME_BYTES: usize = 128;
/// Largest picture that may be uploaded, in bytes.
pub const MAX_PICTURE_BYTES: usize = 16 * 1024 * 1024;

/// Path on the miner listener to which a picture is uploaded.
pub fn upload_path(task_id: &TaskId, attempt: u32, index: u32) -> String {
	format!("/pictures/{task_id}/{attempt}/{index}")
}

/// What a miner must sign to log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Challenge {
	/// Genesis hash of the coordinator's chain, 64 hexadecimal digits.
	pub genesis: String,
	/// Public key of the coordinator's operator, 64 hexadecimal digits.
	pub coordinator: String,
	/// To be signed; good for one login on this connection.
	pub nonce: String,
}

/// A model that a miner serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelOffer {
	/// Name by which apps ask for it.
	pub name: String,
	/// BLAKE2-256 of the model directory, 64 hexadecimal digits.
	pub digest: String,
}

/// What a miner says of itself when it logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Login {
	/// Tasks that it can hold at once, 1 to [`MAX_SLOTS`].
	pub slots: u32,
	/// What it serves, 1 to [`MAX_MODELS`] models.
	pub models: Vec<ModelOffer>,
	/// Program and version.
	pub software: String,
	/// What it renders on, at most [`MAX_DEVICES`].
	#[serde(default)]
	pub devices: Vec<DeviceReport>,
	/// How fast it renders with its models, as far as it has measured that.
	#[serde(default)]
	pub speeds: Vec<SpeedReport>,
}

/// A device of a miner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceReport {
	/// Product name, at most [`DEVICE_NAME_BYTES`] bytes.
	pub name: String,
	/// Memory for models and rendering, in MiB; 0 if unknown.
	pub memory_mib: u64,
}

/// The speed of one device of a miner with a model at its own size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpeedReport {
	/// Name of the model.
	pub model: String,
	/// Thousandths of work units a second (pixels × steps / 2^20).
	pub milliunits_per_second: u64,
}

/// How the draws of a coordinator went for a miner since both were there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MinerStanding {
	/// How often it was drawn.
	pub drawn: u64,
	/// How often it would be drawn on average: the sum of its chances, its weight / the weights of all
	/// eligible miners, over all draws in which it was eligible.
	pub expected: f64,
}

/// The answer to a login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
	/// To be named in every further call; secret.
	pub token: String,
	/// Stash (SS58) for which the operator works.
	pub stash: String,
}

/// A task to render, and the lease under which it is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
	/// Name of the task.
	pub task_id: TaskId,
	/// Which try this is, from 1.
	pub attempt: u32,
	/// Proves that this miner holds the attempt; secret.
	pub lease: String,
	/// The lease ends this many milliseconds after the last heartbeat.
	pub lease_ms: u64,
	/// The work.
	pub spec: TaskSpec,
}

/// How far a miner is with a task that it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
	/// Name of the task.
	pub task_id: TaskId,
	/// Which try.
	pub attempt: u32,
	/// The lease of that try.
	pub lease: String,
	/// Denoising steps done, over all pictures.
	pub step: u32,
}

/// The pixels of one rendered picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PictureDigest {
	/// Place among the pictures of the task, from 0.
	pub index: u32,
	/// BLAKE2-256 of the raw RGB pixels, 64 hexadecimal digits.
	pub digest: String,
}

/// What a miner signs when it has rendered and uploaded a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskResult {
	/// Name of the task.
	pub task_id: TaskId,
	/// Which try.
	pub attempt: u32,
	/// The lease of that try.
	pub lease: String,
	/// Digest of the [`TaskSpec`], 64 hexadecimal digits.
	pub parameters: String,
	/// Digest of the model, 64 hexadecimal digits.
	pub model: String,
	/// One entry a picture, in order.
	pub pictures: Vec<PictureDigest>,
	/// Time spent rendering, in milliseconds.
	pub render_ms: u64,
}

/// Why a miner gives a task back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureReason {
	/// No room for it now: no fault of anyone.
	Capacity,
	/// The miner is going down: no fault of anyone.
	ShuttingDown,
	/// The device has too little memory for it.
	OutOfMemory,
	/// The miner does not serve the model (any more).
	ModelMissing,
	/// The task itself cannot be rendered.
	BadTask,
	/// A fault of the miner.
	Internal,
}

impl FailureReason {
	/// Whether the attempt counts against the miner and the task.
	pub fn is_fault(self) -> bool {
		!matches!(self, Self::Capacity | Self::ShuttingDown)
	}
}

/// A task given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureReport {
	/// Name of the task.
	pub task_id: TaskId,
	/// Which try.
	pub attempt: u32,
	/// The lease of that try.
	pub lease: String,
	/// Why.
	pub reason: FailureReason,
	/// Why, in words.
	pub message: String,
}

/// The methods for miners, over WebSocket. Errors carry the name of their
/// [`Code`](crate::error::Code) in `data`.
#[rpc(client, server, namespace = "miner")]
pub trait MinerApi {
	/// What to sign in order to log in on this connection.
	#[method(name = "challenge", with_extensions)]
	async fn challenge(&self) -> Result<Challenge, ErrorObjectOwned>;

	/// Logs in, with the operator key of an active miner. A later login of the same operator ends
	/// the earlier one.
	#[method(name = "login", with_extensions)]
	async fn login(&self, login: Signed<Login>) -> Result<Session, ErrorObjectOwned>;

	/// Waits for work, at most `waitSeconds` and at most [`MAX_POLL_SECONDS`]; `null` if there was
	/// none.
	#[method(name = "poll")]
	async fn poll(
		&self,
		session: String,
		#[argument(rename = "waitSeconds")] wait_seconds: u64,
	) -> Result<Option<Assignment>, ErrorObjectOwned>;

	/// Keeps the lease and says how far the task is. `NO_LEASE` means: stop, somebody else has it or
	/// nobody wants it.
	#[method(name = "heartbeat")]
	async fn heartbeat(&self, session: String, beat: Heartbeat) -> Result<(), ErrorObjectOwned>;

	/// Closes an attempt whose pictures are uploaded. The nonce of the signed result is its lease.
	/// Answers with the state of the task; the same result may be sent again.
	#[method(name = "submit")]
	async fn submit(
		&self,
		session: String,
		result: Signed<TaskResult>,
	) -> Result<TaskState, ErrorObjectOwned>;

	/// Gives a task back.
	#[method(name = "fail")]
	async fn fail(&self, session: String, report: FailureReport) -> Result<(), ErrorObjectOwned>;

	/// How the draws went for this miner.
	#[method(name = "standing")]
	async fn standing(&self, session: String) -> Result<MinerStanding, ErrorObjectOwned>;

	/// Ends the session; leases that it still holds are given back without fault.
	#[method(name = "logout")]
	async fn logout(&self, session: String) -> Result<(), ErrorObjectOwned>;
}
