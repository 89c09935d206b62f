//! A coordinator for tests: gives out the tasks that it is told to, and remembers what miners say.

use cuckoo_chain_client::{AccountId32, Candidate, Role};
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	miner::{
		Assignment, Challenge, FailureReport, Heartbeat, Login, MinerApiServer, MinerStanding,
		Session, TaskResult,
	},
	signing::{Audience, Signed},
	task::{TaskId, TaskRequest, TaskState},
};
use jsonrpsee::{
	core::async_trait,
	server::{Server, ServerHandle},
	types::ErrorObjectOwned,
	Extensions,
};
use parking_lot::{Mutex, MutexGuard};
use std::{
	collections::VecDeque,
	sync::Arc,
	time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
	io::{copy_bidirectional, AsyncReadExt, AsyncWriteExt},
	net::{TcpListener, TcpStream},
	task::JoinSet,
};

pub const GENESIS: [u8; 32] = [1; 32];
const NONCE: &str = "nonce";

/// A picture as it was uploaded.
#[derive(Clone, Debug)]
pub struct Upload {
	pub path: String,
	pub authorization: String,
	pub png: Vec<u8>,
}

/// What a coordinator would do, and what it was told.
#[derive(Default)]
pub struct State {
	/// What it gives out at the next polls.
	pub tasks: VecDeque<Assignment>,
	/// Whether it disowns every lease.
	pub no_lease: bool,
	pub logins: Vec<(Login, [u8; 32])>,
	pub polls: usize,
	pub beats: Vec<Heartbeat>,
	pub uploads: Vec<Upload>,
	pub results: Vec<TaskResult>,
	pub failures: Vec<FailureReport>,
	pub logouts: usize,
	/// Number of the session that is good now.
	session: usize,
}

/// A coordinator that listens.
pub struct FakeCoordinator {
	pub state: Arc<Mutex<State>>,
	challenge: Challenge,
	operator: [u8; 32],
	port: u16,
	running: Option<(JoinSet<()>, ServerHandle)>,
}

#[derive(Clone)]
struct Rpc {
	state: Arc<Mutex<State>>,
	challenge: Challenge,
	audience: Audience,
}

impl FakeCoordinator {
	/// Listens on a port of its own, on the chain [`GENESIS`].
	pub async fn start(operator: [u8; 32]) -> Self {
		let challenge = Challenge {
			genesis: hex::encode(GENESIS),
			coordinator: hex::encode(operator),
			nonce: NONCE.into(),
		};
		Self::with_challenge(operator, challenge).await
	}

	/// As [`Self::start`], but claims to be what `challenge` says.
	pub async fn with_challenge(operator: [u8; 32], challenge: Challenge) -> Self {
		let mut fake = Self { state: Arc::default(), challenge, operator, port: 0, running: None };
		fake.listen().await;
		fake
	}

	/// Listens, on the same port as before if it has listened before.
	pub async fn listen(&mut self) {
		let rpc = Rpc {
			state: Arc::clone(&self.state),
			challenge: self.challenge.clone(),
			audience: Audience { genesis: GENESIS, coordinator: self.operator },
		};
		let server = Server::builder().build("127.0.0.1:0").await.unwrap();
		let inner = server.local_addr().unwrap();
		let handle = server.start(rpc.into_rpc());
		let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
		self.port = listener.local_addr().unwrap().port();
		let state = Arc::clone(&self.state);
		let mut tasks = JoinSet::new();
		tasks.spawn(async move {
			let mut streams = JoinSet::new();
			while let Ok((stream, _)) = listener.accept().await {
				streams.spawn(serve(stream, inner, Arc::clone(&state)));
			}
		});
		self.running = Some((tasks, handle));
	}

	/// Cuts all connections and stops listening; sessions are forgotten.
	pub async fn stop(&mut self) {
		if let Some((mut tasks, handle)) = self.running.take() {
			tasks.shutdown().await;
			let _ = handle.stop();
		}
		self.state().session += 1;
	}

	pub fn state(&self) -> MutexGuard<'_, State> {
		self.state.lock()
	}

	/// As it is registered on the chain.
	pub fn candidate(&self) -> Candidate {
		Candidate {
			stash: AccountId32(self.operator.map(|byte| byte ^ 0xff)),
			operator: AccountId32(self.operator),
			role: Role::Coordinator,
			weight: 1,
			self_stake: 1,
			active: true,
			registered_at: 0,
			name: "fake".into(),
			contact: String::new(),
			endpoints: vec![format!("ws://127.0.0.1:{}", self.port)],
			certificate: None,
		}
	}

	/// Gives out a task with this prompt for the model `puppet`: its id.
	pub fn give(&self, prompt: &str) -> TaskId {
		self.give_for("puppet", prompt)
	}

	/// Gives out a task of one small picture.
	pub fn give_for(&self, model: &str, prompt: &str) -> TaskId {
		let mut state = self.state();
		let number = state.tasks.len() + state.results.len() + state.failures.len() + 1;
		let task_id = TaskId::from_bytes([number as u8; 16]);
		let mut request = TaskRequest::new(prompt);
		(request.width, request.height, request.steps) = (64, 64, 1);
		request.guidance_scale = 1.0;
		state.tasks.push_back(Assignment {
			task_id: task_id.clone(),
			attempt: 1,
			lease: format!("lease {number}"),
			lease_ms: 20_000,
			spec: request.resolve(7, model.into()),
		});
		task_id
	}

	/// Waits, at most two minutes, until the state is as wanted.
	pub async fn until(&self, what: &str, wanted: impl Fn(&State) -> bool) {
		for _ in 0..2400 {
			if wanted(&self.state()) {
				return;
			}
			tokio::time::sleep(Duration::from_millis(50)).await;
		}
		panic!("it did not come to: {what}");
	}
}

/// One connection: an upload, or else a WebSocket that is handed on.
async fn serve(mut stream: TcpStream, inner: std::net::SocketAddr, state: Arc<Mutex<State>>) {
	let mut start = [0; 4];
	while let Ok(seen) = stream.peek(&mut start).await {
		match seen {
			0 => return,
			4 => break,
			_ => tokio::task::yield_now().await,
		}
	}
	if &start != b"PUT " {
		if let Ok(mut inner) = TcpStream::connect(inner).await {
			let _ = copy_bidirectional(&mut stream, &mut inner).await;
		}
		return;
	}
	// Several uploads may follow each other on one connection.
	while let Some(upload) = read_upload(&mut stream).await {
		let lost = state.lock().no_lease;
		let answer = if lost {
			let body = serde_json::to_string(&Refusal::new(Code::NoLease, "disowned")).unwrap();
			format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n{body}", body.len())
		} else {
			state.lock().uploads.push(upload);
			"HTTP/1.1 204 No Content\r\n\r\n".into()
		};
		if stream.write_all(answer.as_bytes()).await.is_err() {
			return;
		}
	}
}

async fn read_upload(stream: &mut TcpStream) -> Option<Upload> {
	let mut head = Vec::new();
	while !head.ends_with(b"\r\n\r\n") {
		head.push(stream.read_u8().await.ok()?);
	}
	let head = String::from_utf8(head).ok()?;
	let header = |name: &str| {
		head.lines()
			.filter_map(|line| line.split_once(": "))
			.find(|(key, _)| key.eq_ignore_ascii_case(name))
			.map(|(_, value)| value.to_owned())
	};
	let mut png = vec![0; header("content-length")?.parse().ok()?];
	stream.read_exact(&mut png).await.ok()?;
	Some(Upload {
		path: head.split(' ').nth(1)?.to_owned(),
		authorization: header("authorization")?,
		png,
	})
}

impl Rpc {
	fn state(&self) -> MutexGuard<'_, State> {
		self.state.lock()
	}

	fn check_session(&self, token: &str) -> Result<MutexGuard<'_, State>, ErrorObjectOwned> {
		let state = self.state();
		if token == format!("session {}", state.session) {
			Ok(state)
		} else {
			Err(Refusal::new(Code::NoSession, "log in again").into())
		}
	}

	fn check_lease(&self, token: &str) -> Result<MutexGuard<'_, State>, ErrorObjectOwned> {
		let state = self.check_session(token)?;
		if state.no_lease {
			return Err(Refusal::new(Code::NoLease, "disowned").into());
		}
		Ok(state)
	}
}

fn now() -> u64 {
	SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

#[async_trait]
impl MinerApiServer for Rpc {
	async fn challenge(&self, _: &Extensions) -> Result<Challenge, ErrorObjectOwned> {
		Ok(self.challenge.clone())
	}

	async fn login(
		&self,
		_: &Extensions,
		login: Signed<Login>,
	) -> Result<Session, ErrorObjectOwned> {
		let opened = login.open(&self.audience, "miner_login", NONCE, now())?;
		let mut state = self.state();
		state.logins.push(opened);
		state.session += 1;
		Ok(Session { token: format!("session {}", state.session), stash: "stash".into() })
	}

	async fn poll(
		&self,
		session: String,
		wait_seconds: u64,
	) -> Result<Option<Assignment>, ErrorObjectOwned> {
		self.check_session(&session)?.polls += 1;
		for _ in 0..wait_seconds * 20 {
			if let Some(task) = self.check_session(&session)?.tasks.pop_front() {
				return Ok(Some(task));
			}
			tokio::time::sleep(Duration::from_millis(50)).await;
		}
		Ok(None)
	}

	async fn heartbeat(&self, session: String, beat: Heartbeat) -> Result<(), ErrorObjectOwned> {
		self.check_lease(&session)?.beats.push(beat);
		Ok(())
	}

	async fn submit(
		&self,
		session: String,
		result: Signed<TaskResult>,
	) -> Result<TaskState, ErrorObjectOwned> {
		let mut state = self.check_lease(&session)?;
		// The lease in the body is what the signature must answer.
		let lease = serde_json::to_value(&result).unwrap()["nonce"].as_str().unwrap().to_owned();
		let (result, _) = result.open(&self.audience, "miner_submit", &lease, now())?;
		assert_eq!(result.lease, lease);
		state.results.push(result);
		Ok(TaskState::Done)
	}

	async fn fail(&self, session: String, report: FailureReport) -> Result<(), ErrorObjectOwned> {
		self.check_session(&session)?.failures.push(report);
		Ok(())
	}

	async fn standing(&self, session: String) -> Result<MinerStanding, ErrorObjectOwned> {
		drop(self.check_session(&session)?);
		Ok(MinerStanding::default())
	}

	async fn logout(&self, session: String) -> Result<(), ErrorObjectOwned> {
		self.check_session(&session)?.logouts += 1;
		Ok(())
	}
}
