//! What apps and miners may send to a coordinator. Each function takes what came from outside, and
//! panics if the coordinator does, or does what it must not.
//!
//! In texts, `$TASK`, `$LEASE` and `$SESSION` stand for those of a miner that is logged in and holds a
//! task, so that what only such a miner may say is reached too.

use axum::{
	body::{to_bytes, Body},
	extract::ConnectInfo,
	http::Request,
	Router,
};
use cuckoo_chain_client::keys;
use cuckoo_coordinator::{
	app_server,
	assignment::vrf::Drawer,
	listener::{Peer, MAX_REQUEST_BYTES},
	miner_server::{self, Challenges},
	picture,
	registry::{MinerRegistration, Operator, RegistrySnapshot},
	scheduler::{App, SchedulerOptions},
	service::{Identity, Service},
	store::{Retention, Store},
};
use cuckoo_coordinator_api::{
	error::Refusal,
	miner::{Assignment, Login, ModelOffer},
	signing::{Audience, Signed},
	task::{TaskRequest, TaskSpec},
};
use jsonrpsee::server::Methods;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use serde_json::Value;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use subxt_signer::sr25519::dev;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt;

/// What is not answered by then waits for something that will not come.
const PATIENCE: Duration = Duration::from_millis(5);
const MODEL: &str = "m";
const CONNECTION: usize = 1;

/// A coordinator without listeners, and its one miner.
struct World {
	runtime: Runtime,
	service: Arc<Service>,
	challenges: Challenges,
	apps: (Router, Methods),
	miners: (Router, Methods),
	session: String,
	held: Option<Assignment>,
	/// Keeps the registry from ending.
	_registry: watch::Sender<Arc<RegistrySnapshot>>,
}

fn audience() -> Audience {
	Audience { genesis: [7; 32], coordinator: [8; 32] }
}

fn now() -> u64 {
	SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A message whose signature holds, whatever it says.
fn sealed<T: serde::de::DeserializeOwned>(method: &str, nonce: &str, body: &Value) -> Signed<T> {
	let signed = Signed::seal(&dev::alice(), &audience(), method, nonce, now(), body);
	let signed = serde_json::to_vec(&signed).expect("a message is JSON; qed");
	serde_json::from_slice(&signed).expect("its form does not depend on the body; qed")
}

fn small() -> TaskRequest {
	let model = Some(MODEL.to_owned());
	TaskRequest { width: 64, height: 72, steps: 1, model, ..TaskRequest::new("x") }
}

impl World {
	fn new() -> Self {
		let runtime = Runtime::new().expect("a runtime can be made");
		let inside = runtime.enter();
		let identity = Identity {
			genesis: audience().genesis,
			operator: audience().coordinator,
			operator_address: "operator".into(),
			stash: "stash".into(),
		};
		let store = Store::in_memory(Retention { age_ms: 1000, bytes: 1 << 20, draws: 100 });
		let store = store.expect("memory can be written");
		let options = SchedulerOptions {
			max_queued: 100,
			deadline_ms: 10_000,
			..SchedulerOptions::default()
		};
		let key = keys::for_draws("//Eve").expect("a key that everybody knows");
		let drawer = Drawer::new(audience().genesis, key);
		let rng = ChaCha20Rng::seed_from_u64(1);
		let service = Arc::new(Service::new(identity, options, drawer, store, rng));
		let operator = dev::alice().public_key().0;
		let miner = MinerRegistration {
			operator: Operator(operator),
			operator_address: "operator".into(),
			stash: "stash".into(),
			name: "miner".into(),
			weight: 1,
		};
		let snapshot =
			RegistrySnapshot { block: 1, miners: vec![miner], ..RegistrySnapshot::default() };
		let (registry, registries) = watch::channel(Arc::new(snapshot));
		let keeper = service.clone();
		runtime.spawn(async move { keeper.run(registries).await });
		while service.health().finalized_block == 0 {
			std::thread::sleep(Duration::from_millis(1));
		}
		let challenges = Challenges::default();
		let apps = (app_server::plain(service.clone()), app_server::methods(&service));
		let miners =
			(miner_server::plain(service.clone()), miner_server::methods(&service, &challenges));
		drop(inside);
		let (session, held) = (String::new(), None);
		Self { runtime, service, challenges, apps, miners, session, held, _registry: registry }
	}

	/// Sees that the miner is logged in and holds a task.
	fn prepare(&mut self) {
		let login = Login {
			slots: 8,
			models: vec![ModelOffer { name: MODEL.into(), digest: "ab".repeat(32) }],
			..Login::default()
		};
		let beat = |world: &Self| {
			let held = world.held.as_ref()?;
			let beat = cuckoo_coordinator_api::miner::Heartbeat {
				task_id: held.task_id.clone(),
				attempt: held.attempt,
				lease: held.lease.clone(),
				step: 0,
			};
			world.service.heartbeat(&world.session, &beat).ok()
		};
		while beat(self).is_none() {
			let body = serde_json::to_value(&login).expect("a login is JSON; qed");
			let signed = sealed("miner_login", "n", &body);
			let session = self.service.log_in(&signed, || Some("n".into()), CONNECTION);
			self.session = session.expect("the miner is registered").token;
			let service = &self.service;
			self.held = self.runtime.block_on(async {
				// There may be tasks enough already.
				let _ = service.offer(App::default(), small()).await;
				service.poll(&self.session, Duration::from_secs(1)).await.expect("it is logged in")
			});
		}
	}

	/// A text with the names filled in.
	fn fill(&self, text: &str) -> String {
		let held = self.held.as_ref().expect("it was prepared; qed");
		text.replace("$TASK", held.task_id.as_str())
			.replace("$LEASE", &held.lease)
			.replace("$SESSION", &self.session)
	}

	fn run<R>(&self, future: impl Future<Output = R>) -> Option<R> {
		self.runtime.block_on(async { timeout(PATIENCE, future).await.ok() })
	}

	/// Answers a request as it is written in HTTP/1.1, without a length.
	fn http(&self, router: &Router, data: &[u8]) {
		let split = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
		let (head, body) = (&data[..split], data.get(split + 2..).unwrap_or_default());
		let head = self.fill(&String::from_utf8_lossy(head));
		let mut lines = head.lines();
		let mut first = lines.next().unwrap_or_default().split(' ');
		let mut request = Request::builder()
			.method(first.next().unwrap_or_default())
			.uri(first.next().unwrap_or_default());
		for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
			request = request.header(name, value);
		}
		let body = match std::str::from_utf8(body) {
			Ok(text) => self.fill(text).into_bytes(),
			Err(_) => body.to_vec(),
		};
		let Ok(mut request) = request.body(Body::from(body)) else { return };
		let peer = Peer(SocketAddr::from(([127, 0, 0, 1], 1)));
		request.extensions_mut().insert(ConnectInfo(peer));
		self.run(async {
			let Ok(response) = router.clone().oneshot(request).await;
			assert!(response.status().as_u16() != 500, "{response:?}");
			let _ = to_bytes(response.into_body(), MAX_REQUEST_BYTES as usize).await;
		});
	}

	fn rpc(&self, methods: &Methods, data: &[u8]) {
		let text = self.fill(&String::from_utf8_lossy(data));
		if let Some(Ok((answer, _))) = self.run(methods.raw_json_request(&text, 8)) {
			let answer: Value = serde_json::from_str(&answer).expect("an answer is JSON");
			assert_ne!(answer["error"]["data"], "INTERNAL", "{answer}");
		}
	}
}

fn world() -> MutexGuard<'static, World> {
	static WORLD: OnceLock<Mutex<World>> = OnceLock::new();
	let world = WORLD.get_or_init(|| Mutex::new(World::new()));
	let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
	world.prepare();
	world
}

/// A request to the listener for apps: every plain HTTP route, its headers and its body.
pub fn app_http(data: &[u8]) {
	let world = world();
	world.http(&world.apps.0, data);
}

/// A JSON-RPC call to the listener for apps.
pub fn app_rpc(data: &[u8]) {
	let world = world();
	world.rpc(&world.apps.1, data);
}

/// A request to the listener for miners: uploads, and their headers.
pub fn miner_http(data: &[u8]) {
	let world = world();
	world.http(&world.miners.0, data);
}

/// A JSON-RPC call to the listener for miners, signed messages with it.
pub fn miner_rpc(data: &[u8]) {
	let world = world();
	world.challenges.lock().clear();
	world.rpc(&world.miners.1, data);
}

/// What a registered miner signs: the first byte says what it claims to be, the rest is the body.
pub fn signed(data: &[u8]) {
	let Some((kind, body)) = data.split_first() else { return };
	let mut world = world();
	let Ok(body) = serde_json::from_str(&world.fill(&String::from_utf8_lossy(body))) else {
		return;
	};
	if kind % 2 == 0 {
		let login = sealed("miner_login", "n", &body);
		let logged_in = world.service.log_in(&login, || Some("n".into()), CONNECTION);
		if let Ok(session) = logged_in {
			world.session = session.token;
		}
	} else {
		let lease = world.held.as_ref().map(|held| held.lease.clone()).unwrap_or_default();
		let result = sealed("miner_submit", &lease, &body);
		world.run(world.service.submit(&world.session, &result));
	}
}

/// An uploaded picture.
pub fn uploaded_picture(data: &[u8]) {
	let spec = TaskSpec { width: 64, height: 72, ..small().resolve(1, MODEL.into()) };
	if data.len() > picture::max_png_bytes(&spec) {
		return;
	}
	match picture::decode(data.to_vec().into(), &spec) {
		Ok(picture) => assert_eq!((picture.width, picture.height), (64, 72)),
		Err(Refusal { message, .. }) => assert!(message.len() < 1000, "{message}"),
	}
}

/// A task as an app sends it: what passes can be resolved, kept and sent to a miner unchanged.
pub fn task_request(data: &[u8]) {
	let Ok(request) = serde_json::from_slice::<TaskRequest>(data) else { return };
	if request.check().is_err() {
		return;
	}
	let spec = request.resolve(1, MODEL.into());
	assert!(spec.milliunits() > 0);
	let text = serde_json::to_string(&spec).expect("a specification is JSON; qed");
	let read: TaskSpec = serde_json::from_str(&text).expect("what was written can be read");
	assert_eq!((&read, read.digest()), (&spec, spec.digest()));
}

/// What takes input as it comes.
type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 7] = [
	("app_http", app_http),
	("app_rpc", app_rpc),
	("miner_http", miner_http),
	("miner_rpc", miner_rpc),
	("signed", signed),
	("uploaded_picture", uploaded_picture),
	("task_request", task_request),
];
