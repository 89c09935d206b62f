//! What miners may do.

use super::clock::wall_clock;
use super::verification::verify;
use super::{unreadable, Service};
use crate::picture::{self, Picture};
use crate::registry::Operator;
use crate::scheduler::{TaskRecord, Verified, What};
use crate::sessions::Connection;
use crate::store::{Entry, Evidence, Upload};
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	miner::{
		Assignment, FailureReport, Heartbeat, Login, MinerStanding, Session, TaskResult,
		DEVICE_NAME_BYTES, MAX_DEVICES, MAX_MODELS, MAX_POLL_SECONDS, MAX_SLOTS,
	},
	signing::{hex_array, Signed},
	task::{TaskId, TaskSpec, TaskState, MODEL_BYTES},
};
use rand::RngCore;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{timeout_at, Instant};

/// The methods whose arguments are signed.
const LOGIN: &str = "miner_login";
const SUBMIT: &str = "miner_submit";

/// Longest name of a miner's program, in bytes.
const MAX_SOFTWARE_BYTES: usize = 128;

/// A secret or a name that cannot be guessed, in hexadecimal.
pub(crate) fn random_token(rng: &mut dyn RngCore) -> String {
	let mut bytes = [0; 16];
	rng.fill_bytes(&mut bytes);
	hex::encode(bytes)
}

impl Service {
	/// Logs a miner in on a connection whose `challenge` it was given. Whether it is registered is
	/// looked up before anything is spent on its signature.
	///
	/// # Errors
	///
	/// `NOT_REGISTERED` if it is not an active miner's operator; `BAD_SIGNATURE` if the signature,
	/// time or challenge does not hold; `INVALID_REQUEST` for what it says of itself;
	/// `SHUTTING_DOWN`.
	pub fn log_in(
		&self,
		signed: &Signed<Login>,
		challenge: impl FnOnce() -> Option<String>,
		connection: Connection,
	) -> Result<Session, Refusal> {
		let operator = Operator(signed.operator()?);
		self.with(|state, _| {
			if state.scheduler.is_draining() {
				let why = "the coordinator is going down; come back later";
				Err(Refusal::new(Code::ShuttingDown, why))
			} else if state.scheduler.is_registered(&operator) {
				Ok(())
			} else {
				let why = format!(
					"{operator} is not the operator of an active miner at finalized block {}; \
					register it, and mind that finality takes some seconds",
					state.block
				);
				Err(Refusal::new(Code::NotRegistered, why))
			}
		})?;
		let challenge = challenge().ok_or_else(|| {
			let why = "there is no open challenge on this connection; ask for one first";
			Refusal::new(Code::BadSignature, why)
		})?;
		let audience = self.identity.audience();
		let (login, _) = signed.open(&audience, LOGIN, &challenge, wall_clock())?;
		let software = login.software.clone();
		let login = checked(login)?;
		let (slots, models) = (login.slots, login.models.len());
		self.with(|state, now| {
			let stash = state.scheduler.connect(operator, login, now, &mut state.rng)?;
			let token = random_token(&mut state.rng);
			state.sessions.begin(operator, connection, token.clone());
			tracing::info!(miner = %stash, slots, models, ?software, "miner logged in");
			Ok(Session { token, stash })
		})
	}

	/// Waits for work, at most for `limit` and at most [`MAX_POLL_SECONDS`].
	///
	/// # Errors
	///
	/// `NO_SESSION` if the session has ended, also while it waits.
	pub async fn poll(&self, token: &str, limit: Duration) -> Result<Option<Assignment>, Refusal> {
		let deadline = Instant::now() + limit.min(Duration::from_secs(MAX_POLL_SECONDS));
		let bell = self.with(|state, now| {
			let operator = state.operator(token)?;
			state.scheduler.heard(operator, now, &mut state.rng);
			state.sessions.bell(&operator).ok_or_else(no_bell)
		})?;
		loop {
			let rung = bell.notified();
			let (found, number) = self.numbered(|state, now| {
				let operator = state.operator(token)?;
				let found = state.scheduler.pick_up(operator, now, &mut state.rng);
				if let Some(assignment) = &found {
					self.metrics.picked_up(&mut state.stages, &assignment.task_id, now);
				}
				Ok::<_, Refusal>(found)
			});
			if let Some(assignment) = found? {
				// A miner is told of a lease when that is kept.
				self.journal.written(number).await?;
				return Ok(Some(assignment));
			}
			if timeout_at(deadline, rung).await.is_err() {
				return Ok(None);
			}
		}
	}

	/// How the draws went for a miner.
	pub fn standing(&self, token: &str) -> Result<MinerStanding, Refusal> {
		self.with(|state, _| {
			let operator = state.operator(token)?;
			Ok(state.scheduler.standing(&operator))
		})
	}

	/// Keeps a lease; see [`Scheduler::heartbeat`](crate::scheduler::Scheduler::heartbeat).
	pub fn heartbeat(&self, token: &str, beat: &Heartbeat) -> Result<(), Refusal> {
		self.with(|state, now| {
			let operator = state.operator(token)?;
			state.scheduler.heartbeat(operator, beat, now, &mut state.rng)
		})
	}

	/// Closes an attempt with a signed result, whose nonce must be the lease.
	///
	/// # Errors
	///
	/// `NO_SESSION`; `BAD_SIGNATURE`; `NO_LEASE` if the lease is not, or no longer, one under which the
	/// task may be finished; `INVALID_REQUEST` or `BAD_PICTURE` if the result is not what was asked for:
	/// a better one may follow as long as the lease lasts; `CONFLICTING_RESULT` if another result was
	/// accepted under the same lease.
	pub async fn submit(
		&self,
		token: &str,
		signed: &Signed<TaskResult>,
	) -> Result<TaskState, Refusal> {
		let bad = |why: &str| Refusal::new(Code::BadSignature, why);
		let operator = self.with(|state, _| state.operator(token))?;
		if signed.operator()? != operator.0 {
			return Err(bad("the result is signed by another key than the one that logged in"));
		}
		let nonce = signed.nonce();
		let (result, _) = signed.open(&self.identity.audience(), SUBMIT, nonce, wall_clock())?;
		if result.lease != nonce {
			return Err(bad("the nonce of a result must be its lease"));
		}
		let text = serde_json::to_string(signed).map_err(|error| {
			Refusal::new(Code::Internal, format!("the result cannot be written down: {error}"))
		})?;
		let TaskResult { task_id, attempt, lease, .. } = &result;
		let outcome = self
			.promise(|state, now| {
				let rng = &mut state.rng;
				let submission =
					state.scheduler.submit(operator, task_id, *attempt, lease, now, rng)?;
				let uploads = state.uploads.get(task_id);
				let uploaded = |index| uploads?.get(&(*attempt, index));
				match verify(&submission, &result, uploaded) {
					Ok(pictures) => {
						let verified = Verified { pictures, result: text.clone() };
						let accepted =
							state.scheduler.accept(task_id, *attempt, lease, verified, now, rng);
						accepted.map(|record| record.state)
					},
					Err(refusal) => {
						tracing::warn!(task = %task_id, attempt, %refusal, "result refused");
						state.scheduler.reject(task_id, *attempt, lease, now);
						Err(refusal)
					},
				}
			})
			.await?;
		match outcome {
			Err(refusal) if refusal.code == Code::NoLease => {
				self.repeated(operator, &result, text, refusal).await
			},
			outcome => outcome,
		}
	}

	/// The answer to a result for which nobody holds a lease: if one was accepted under this very
	/// lease, the same one again is fine, and another one is kept as evidence against its miner.
	async fn repeated(
		&self,
		operator: Operator,
		result: &TaskResult,
		text: String,
		refusal: Refusal,
	) -> Result<TaskState, Refusal> {
		let id = &result.task_id;
		let Some(record) = self.journal.task(id).map_err(unreadable)? else { return Err(refusal) };
		let accepted = record.state == TaskState::Done
			&& record.lease.as_ref().is_some_and(|lease| {
				lease.operator == operator
					&& lease.attempt == result.attempt
					&& lease.token == result.lease
			});
		if !accepted {
			return Err(refusal);
		}
		if is_same(&record, result) {
			return Ok(TaskState::Done);
		}
		let events = self.journal.events(id).map_err(unreadable)?;
		let accepted = events.into_iter().find_map(|event| match event.what {
			What::Accepted { result, .. } => Some(result),
			_ => None,
		});
		if let Some(accepted) = accepted {
			tracing::warn!(task = %id, miner = %operator, "a miner contradicts its own result");
			let attempt = result.attempt;
			let evidence = Evidence { attempt, at: self.clock.now(), accepted, refused: text };
			let entry = Entry::Evidence { id: id.clone(), evidence };
			self.journal.written(self.journal.append(vec![entry])).await?;
		}
		let why = "another result was accepted under this lease; both are kept as evidence";
		Err(Refusal::new(Code::ConflictingResult, why))
	}

	/// Takes a task back from its miner; see [`Scheduler::fail`](crate::scheduler::Scheduler::fail).
	pub async fn fail(&self, token: &str, report: &FailureReport) -> Result<(), Refusal> {
		self.promise(|state, now| {
			let operator = state.operator(token)?;
			let FailureReport { task_id, attempt, reason, .. } = report;
			let message: String = report.message.chars().take(200).collect();
			tracing::info!(task = %task_id, attempt, ?reason, ?message, "given back by its miner");
			state.scheduler.fail(operator, report, now, &mut state.rng)
		})
		.await?
	}

	/// Ends a session; the leases that its miner holds are given back without fault.
	///
	/// # Errors
	///
	/// `NO_SESSION` if it has ended already.
	pub async fn log_out(&self, token: &str) -> Result<(), Refusal> {
		self.promise(|state, now| {
			let operator = state.operator(token)?;
			tracing::info!(miner = %operator, "miner logged out");
			state.sessions.end(&operator);
			state.scheduler.log_out(operator, now, &mut state.rng);
			Ok(())
		})
		.await?
	}

	/// A connection has closed: its sessions are over. Leases last until they run out, as the miner
	/// may log in again.
	pub fn connection_closed(&self, connection: Connection) {
		self.with(|state, now| {
			for operator in state.sessions.end_connection(connection) {
				tracing::info!(miner = %operator, "connection to miner closed");
				state.scheduler.disconnect(operator, now, &mut state.rng);
			}
		});
	}

	/// Whoever names a lease wants to upload a picture for it: the work that it must fit.
	///
	/// # Errors
	///
	/// `NO_LEASE` if there is no such lease (any more), `INVALID_REQUEST` if the task has no such
	/// picture.
	pub fn begin_upload(
		&self,
		id: &TaskId,
		attempt: u32,
		index: u32,
		lease: &str,
	) -> Result<Arc<TaskSpec>, Refusal> {
		self.with(|state, now| {
			let spec = state.scheduler.uploading(id, attempt, lease, now)?;
			if index < spec.images {
				Ok(spec)
			} else {
				let why = format!("the task has {} pictures, numbered from 0", spec.images);
				Err(Refusal::new(Code::InvalidRequest, why))
			}
		})
	}

	/// Keeps an uploaded picture until its attempt is closed, and answers when it is kept.
	///
	/// # Errors
	///
	/// `NO_LEASE` if the lease has ended while it was uploaded.
	pub async fn keep_upload(
		&self,
		id: &TaskId,
		attempt: u32,
		index: u32,
		lease: &str,
		picture: Picture,
	) -> Result<(), Refusal> {
		let Picture { png, width, height, digest } = picture;
		let (bytes, digest) = (png.len() as u64, hex::encode(digest));
		let name = self.pictures.name(id, attempt, index);
		self.pictures.put(&name, png).await.map_err(|error| {
			tracing::error!(task = %id, %error, "a picture cannot be kept");
			Refusal::new(
				Code::Internal,
				"the picture cannot be kept; look at the coordinator's log",
			)
		})?;
		let upload = Upload { name: name.clone(), bytes, width, height, digest };
		let (kept, number) = self.numbered(|state, now| {
			state.scheduler.uploading(id, attempt, lease, now)?;
			let uploads = state.uploads.entry(id.clone()).or_default();
			uploads.insert((attempt, index), upload.clone());
			self.journal.append(vec![Entry::Upload { id: id.clone(), attempt, index, upload }]);
			Ok::<_, Refusal>(())
		});
		if let Err(refusal) = kept {
			self.pictures.remove(&name).await;
			return Err(refusal);
		}
		self.journal.written(number).await?;
		self.metrics.uploads.kept(bytes);
		Ok(())
	}

	/// Decodes an uploaded picture away from the threads that answer requests.
	///
	/// # Errors
	///
	/// `BAD_PICTURE` if it is not what was asked for.
	pub async fn decode_upload(
		&self,
		png: bytes::Bytes,
		spec: Arc<TaskSpec>,
	) -> Result<Picture, Refusal> {
		let check_seconds = self.metrics.uploads.check_seconds.clone();
		let decode = move || {
			let begin = Instant::now();
			let decoded = picture::decode(png, &spec);
			check_seconds.observe(begin.elapsed().as_secs_f64());
			decoded
		};
		tokio::task::spawn_blocking(decode).await.unwrap_or_else(|error| {
			tracing::error!(%error, "decoding an uploaded picture failed");
			Err(Refusal::new(Code::Internal, "the picture could not be decoded"))
		})
	}
}

/// Whether a result has the pictures that were accepted.
fn is_same(record: &TaskRecord, result: &TaskResult) -> bool {
	let digest = |text: &str| hex_array::<32>(text);
	let accepted = record.pictures.iter().map(|picture| (picture.index, digest(&picture.digest)));
	accepted.eq(result.pictures.iter().map(|picture| (picture.index, digest(&picture.digest))))
}

fn no_bell() -> Refusal {
	Refusal::new(Code::NoSession, "this session has ended: log in again")
}

/// What a miner says of itself, if it is within the limits; digests in lower case.
fn checked(mut login: Login) -> Result<Login, Refusal> {
	let invalid = |message: String| Err(Refusal::new(Code::InvalidRequest, message));
	if !(1..=MAX_SLOTS).contains(&login.slots) {
		return invalid(format!("slots is {}; it must be from 1 to {MAX_SLOTS}", login.slots));
	}
	if !(1..=MAX_MODELS).contains(&login.models.len()) {
		let count = login.models.len();
		return invalid(format!("{count} models are offered; it must be 1 to {MAX_MODELS}"));
	}
	if login.devices.len() > MAX_DEVICES {
		return invalid(format!("at most {MAX_DEVICES} devices may be named"));
	}
	if login.devices.iter().any(|device| device.name.len() > DEVICE_NAME_BYTES) {
		return invalid(format!(
			"the name of a device must have at most {DEVICE_NAME_BYTES} bytes"
		));
	}
	if login.software.len() > MAX_SOFTWARE_BYTES {
		return invalid(format!("software must have at most {MAX_SOFTWARE_BYTES} bytes"));
	}
	let mut names = HashSet::new();
	for model in &mut login.models {
		if model.name.is_empty() || model.name.len() > MODEL_BYTES {
			return invalid(format!("a model name must have 1 to {MODEL_BYTES} bytes"));
		}
		let Some(digest) = hex_array::<32>(&model.digest) else {
			let name = &model.name;
			return invalid(format!("the digest of model {name:?} is not 64 hexadecimal digits"));
		};
		model.digest = hex::encode(digest);
		if !names.insert(model.name.clone()) {
			return invalid(format!("model {:?} is offered twice", model.name));
		}
	}
	if let Some(speed) = login.speeds.iter().find(|speed| !names.contains(&speed.model)) {
		let model = speed.model.chars().take(MODEL_BYTES).collect::<String>();
		return invalid(format!("a speed is told for {model:?}, which is not offered"));
	}
	if login.speeds.len() > login.models.len() {
		return invalid("a model has several speeds".into());
	}
	Ok(login)
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_coordinator_api::miner::{DeviceReport, ModelOffer, SpeedReport};

	#[test]
	fn what_a_miner_says_of_itself_is_checked() {
		let offer = |name: &str| ModelOffer { name: name.into(), digest: "AB".repeat(32) };
		let good = Login {
			slots: 1,
			models: vec![offer("m")],
			software: "s".into(),
			devices: vec![DeviceReport { name: "GPU".into(), memory_mib: 8192 }],
			speeds: vec![SpeedReport { model: "m".into(), milliunits_per_second: 700 }],
		};
		assert_eq!(checked(good.clone()).unwrap().models[0].digest, "ab".repeat(32));
		let refused = |change: &dyn Fn(&mut Login)| {
			let mut login = good.clone();
			change(&mut login);
			let refusal = checked(login).unwrap_err();
			assert_eq!(refusal.code, Code::InvalidRequest);
			refusal.message
		};
		assert!(refused(&|l| l.slots = 0).contains("slots is 0"));
		assert!(refused(&|l| l.slots = 65).contains("slots is 65"));
		assert!(refused(&|l| l.models.clear()).contains("0 models"));
		assert!(refused(&|l| l.models = vec![offer("m"); 65]).contains("65 models"));
		assert!(refused(&|l| l.models.push(offer("m"))).contains("twice"));
		assert!(refused(&|l| l.models[0].name.clear()).contains("model name"));
		assert!(refused(&|l| l.models[0].digest = "xyz".into()).contains("hexadecimal"));
		assert!(refused(&|l| l.software = "x".repeat(129)).contains("software"));
		assert!(refused(&|l| l.devices = vec![l.devices[0].clone(); 65]).contains("64 devices"));
		assert!(refused(&|l| l.devices[0].name = "x".repeat(129)).contains("name of a device"));
		assert!(refused(&|l| l.speeds[0].model = "n".into()).contains("not offered"));
		assert!(refused(&|l| l.speeds = vec![l.speeds[0].clone(); 2]).contains("several speeds"));
	}
}
