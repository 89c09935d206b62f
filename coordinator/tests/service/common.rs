//! A coordinator on loopback with a registry that the test sets, a miner that draws pictures without a
//! model, and the clients to talk to both listeners.

use bytes::Bytes;
use cuckoo_chain_client::keys;
use cuckoo_coordinator::{
	accounts::{AppOptions, Command, Limits, Reply},
	app_server::serve_apps,
	assignment::vrf::Drawer,
	listener::Port,
	miner_server::serve_miners,
	probes::serve_metrics,
	registry::{MinerRegistration, Operator, RegistrySnapshot},
	scheduler::{App, SchedulerOptions},
	service::{Identity, Service},
	store::{Durability, Retention, Store},
	webhooks::WebhookOptions,
};
use cuckoo_coordinator_api::{
	amount::Amount,
	error::{refusal, Code, Refusal},
	miner::{
		upload_path, Assignment, FailureReason, FailureReport, Heartbeat, Login, MinerApiClient,
		ModelOffer, PictureDigest, TaskResult,
	},
	signing::{Audience, Signed},
	task::{TaskRequest, TaskSpec, TaskState},
};
use jsonrpsee::{
	core::ClientError,
	server::{stop_channel, ServerHandle},
	ws_client::{WsClient, WsClientBuilder},
};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use sp_crypto_hashing::blake2_256;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use subxt_signer::sr25519::{dev, Keypair};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The model that the miners of these tests offer.
pub const MODEL: &str = "plumbing";
/// Genesis hash of the chain of these tests.
pub const GENESIS: [u8; 32] = [7; 32];

/// Most connections to each listener: more than any test or bench makes.
const MAX_CONNECTIONS: usize = 16_384;

/// A running coordinator; it stops when this is dropped.
pub struct Coordinator {
	pub service: Arc<Service>,
	pub registry: watch::Sender<Arc<RegistrySnapshot>>,
	pub apps: String,
	pub miners: String,
	pub metrics: String,
	stop: ServerHandle,
	keeper: JoinHandle<()>,
}

/// A registration of a miner whose stake is `weight`.
pub fn registration(key: &Keypair, weight: u128) -> MinerRegistration {
	let public = key.public_key().0;
	MinerRegistration {
		operator: Operator(public),
		operator_address: format!("operator {}", hex::encode(&public[..4])),
		stash: format!("stash {}", hex::encode(&public[..4])),
		name: "test".into(),
		weight,
	}
}

impl Coordinator {
	/// Waits until it shows that a task has come to `step`: progress is shown and not kept, so the
	/// answer to a heartbeat does not wait for it.
	pub async fn shows(&self, held: &Assignment, step: u32) {
		while self.service.status(&nobody(), &held.task_id).unwrap().step != step {
			tokio::time::sleep(Duration::from_millis(5)).await;
		}
	}

	/// With these miners registered.
	pub async fn start(miners: Vec<MinerRegistration>) -> Self {
		Self::start_with(miners, SchedulerOptions::default()).await
	}

	/// With these miners registered, and these limits.
	pub async fn start_with(miners: Vec<MinerRegistration>, options: SchedulerOptions) -> Self {
		let store = Store::in_memory(Retention::default()).unwrap();
		Self::launch(store, miners, options, [0, 0]).await
	}

	/// With these rules for apps.
	pub async fn start_for(miners: Vec<MinerRegistration>, apps: AppOptions) -> Self {
		let store = Store::in_memory(Retention::default()).unwrap();
		Self::launch_for(store, miners, SchedulerOptions::default(), apps, [0, 0]).await
	}

	/// With its store in a directory.
	pub async fn start_in(dir: &Path, miners: Vec<MinerRegistration>) -> Self {
		let options = SchedulerOptions::default();
		Self::launch(open_store(dir), miners, options, [0, 0]).await
	}

	/// With messages to apps sent in this way.
	pub async fn start_with_webhooks(webhooks: WebhookOptions) -> Self {
		let store = Store::in_memory(Retention::default()).unwrap();
		let options = SchedulerOptions::default();
		let apps = AppOptions::default();
		Self::launch_with(store, vec![], options, apps, webhooks, [0, 0]).await
	}

	/// At these ports, for apps and for miners.
	pub async fn launch(
		store: Store,
		miners: Vec<MinerRegistration>,
		options: SchedulerOptions,
		ports: [u16; 2],
	) -> Self {
		Self::launch_for(store, miners, options, AppOptions::default(), ports).await
	}

	/// Likewise, with these rules for apps.
	pub async fn launch_for(
		store: Store,
		miners: Vec<MinerRegistration>,
		options: SchedulerOptions,
		apps: AppOptions,
		ports: [u16; 2],
	) -> Self {
		// Receivers of messages are on this machine, and waiting takes time.
		let webhooks =
			WebhookOptions { allow_private: true, first_retry: Duration::from_millis(200) };
		Self::launch_with(store, miners, options, apps, webhooks, ports).await
	}

	async fn launch_with(
		store: Store,
		miners: Vec<MinerRegistration>,
		options: SchedulerOptions,
		apps: AppOptions,
		webhooks: WebhookOptions,
		[app_port, miner_port]: [u16; 2],
	) -> Self {
		let identity = Identity {
			genesis: GENESIS,
			operator: dev::eve().public_key().0,
			operator_address: "coordinator".into(),
			stash: "stash of the coordinator".into(),
		};
		let drawer = Drawer::new(GENESIS, keys::for_draws("//Eve").unwrap());
		let rng = ChaCha20Rng::from_entropy();
		let service = Service::new(identity, options, drawer, store, rng);
		let service = Arc::new(service.with_webhooks(webhooks).with_apps(apps));
		let first = RegistrySnapshot { block: 1, miners, ..RegistrySnapshot::default() };
		let (registry, registries) = watch::channel(Arc::new(first));
		let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
		let apps = Port::bind(loopback(app_port), None, "apps", "--app-listen").await.unwrap();
		let miners =
			Port::bind(loopback(miner_port), None, "miners", "--miner-listen").await.unwrap();
		let metrics = Port::bind(loopback(0), None, "metrics", "--metrics-listen").await.unwrap();
		let (stop_handle, stop) = stop_channel();
		let addresses = [&apps, &miners, &metrics].map(|at| at.address().unwrap().to_string());
		tokio::spawn(serve_apps(apps, service.clone(), MAX_CONNECTIONS, stop_handle.clone()));
		tokio::spawn(serve_miners(miners, service.clone(), MAX_CONNECTIONS, stop_handle.clone()));
		tokio::spawn(serve_metrics(metrics, service.clone(), stop_handle));
		let keeper = tokio::spawn({
			let service = service.clone();
			async move { service.run(registries).await }
		});
		let registered = || service.health().finalized_block == 1;
		eventually("the registry is read", registered).await;
		let [apps, miners, metrics] = addresses;
		Self { service, registry, apps, miners, metrics, stop, keeper }
	}

	/// Makes an app with so many plancks; its key.
	pub async fn add_app(&self, name: &str, budget: u128, limits: Limits) -> String {
		let command = Command::Add { name: name.into(), budget: Amount(budget), limits };
		match self.service.administer(command).await.unwrap() {
			Reply::Key { secret, .. } => secret,
			other => panic!("{other:?}"),
		}
	}

	/// Stops it and waits until it has let go of its store. Its clients must be gone.
	pub async fn stop(self) {
		let Self { service, stop, keeper, .. } = self;
		stop.stop().unwrap();
		keeper.abort();
		eventually("all let go of the store", || Arc::strong_count(&service) == 1).await;
	}

	/// A client for the JSON-RPC methods of apps.
	pub async fn app(&self) -> WsClient {
		WsClientBuilder::default().build(format!("ws://{}", self.apps)).await.unwrap()
	}

	/// An open connection for a miner that has not logged in.
	pub async fn dial(&self) -> WsClient {
		WsClientBuilder::default().build(format!("ws://{}", self.miners)).await.unwrap()
	}

	/// Sends a body to the app listener by HTTP; status and answer.
	pub async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, serde_json::Value) {
		let answer = reqwest::Client::new()
			.post(format!("http://{}/", self.apps))
			.header("content-type", "application/json")
			.body(body)
			.send()
			.await
			.unwrap();
		(answer.status().as_u16(), answer.json().await.unwrap())
	}

	/// Gets a path of the app listener; status, content type and body.
	pub async fn get(&self, path: &str) -> (u16, String, Bytes) {
		let answer = reqwest::get(format!("http://{}{path}", self.apps)).await.unwrap();
		let content = answer.headers().get("content-type").map(|value| value.to_str().unwrap());
		let (status, content) = (answer.status().as_u16(), content.unwrap_or("").to_owned());
		(status, content, answer.bytes().await.unwrap())
	}
}

/// The value of a metric; 0 if nothing was counted yet. `name` is all that stands before the number.
pub async fn metric(coordinator: &Coordinator, name: &str) -> f64 {
	let url = format!("http://{}/metrics", coordinator.metrics);
	let text = reqwest::get(url).await.unwrap().text().await.unwrap();
	let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
	value.map_or(0.0, |value| value.parse().unwrap())
}

/// Waits until a metric has come to a value; fails after ten seconds.
pub async fn reaches(coordinator: &Coordinator, name: &str, wanted: f64) {
	for _ in 0..500 {
		if (metric(coordinator, name).await - wanted).abs() < 0.5 {
			return;
		}
		tokio::time::sleep(Duration::from_millis(20)).await;
	}
	let value = metric(coordinator, name).await;
	panic!("{name} is {value} and not {wanted} after ten seconds");
}

/// The store in a directory.
pub fn open_store(dir: &Path) -> Store {
	Store::open(dir, "test", None, Durability::Commit, Retention::default()).unwrap()
}

/// Who offers what comes from inside the program, and from clients without a key.
pub fn nobody() -> App {
	App::default()
}

/// Waits for something that is about to become true; fails after ten seconds.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
	for _ in 0..500 {
		if condition() {
			return;
		}
		tokio::time::sleep(Duration::from_millis(20)).await;
	}
	panic!("{what}: not within ten seconds");
}

/// Milliseconds since the Unix epoch.
pub fn now() -> u64 {
	SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// The code of the refusal with which a call was answered.
pub fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> Code {
	match answer {
		Err(ClientError::Call(error)) => refusal(&error).expect("a typed refusal").code,
		other => panic!("not refused but {other:?}"),
	}
}

/// Whom messages to the coordinator of these tests are for.
pub fn audience() -> Audience {
	Audience { genesis: GENESIS, coordinator: dev::eve().public_key().0 }
}

/// What the miners of these tests say of themselves.
pub fn login() -> Login {
	let model = ModelOffer { name: MODEL.into(), digest: "5a".repeat(32) };
	Login { slots: 1, models: vec![model], software: "test".into(), ..Login::default() }
}

/// A request for a small picture.
pub fn request(prompt: &str) -> TaskRequest {
	TaskRequest {
		width: 64,
		height: 72,
		steps: 2,
		model: Some(MODEL.into()),
		..TaskRequest::new(prompt)
	}
}

/// Pixels that differ from seed to seed and picture to picture.
pub fn pixels(spec: &TaskSpec, index: u32) -> Vec<u8> {
	let bytes = spec.width as usize * spec.height as usize * 3;
	let mut state = spec.seed ^ (u64::from(index) << 60) | 1;
	(0..bytes)
		.map(|_| {
			state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
			(state >> 56) as u8
		})
		.collect()
}

/// A PNG of RGB pixels.
pub fn png(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
	let mut file = Vec::new();
	let mut encoder = png::Encoder::new(&mut file, width, height);
	encoder.set_color(png::ColorType::Rgb);
	encoder.set_depth(png::BitDepth::Eight);
	encoder.write_header().unwrap().write_image_data(pixels).unwrap();
	file
}

/// A logged-in miner that is driven step by step.
pub struct TestMiner {
	pub key: Keypair,
	pub client: WsClient,
	pub session: String,
	uploads: String,
}

impl TestMiner {
	/// Dials and logs in.
	pub async fn connect(coordinator: &Coordinator, key: Keypair) -> Self {
		let client = coordinator.dial().await;
		let challenge = client.challenge().await.unwrap();
		let signed =
			Signed::seal(&key, &audience(), "miner_login", &challenge.nonce, now(), &login());
		let session = client.login(signed).await.unwrap().token;
		Self { key, client, session, uploads: format!("http://{}", coordinator.miners) }
	}

	/// Waits for work, which must come.
	pub async fn take(&self) -> Assignment {
		let assigned = self.client.poll(self.session.clone(), 10).await.unwrap();
		assigned.expect("a task within ten seconds")
	}

	/// Renders whatever comes, until the session ends.
	pub fn work(self) {
		tokio::spawn(async move {
			while let Ok(assigned) = self.client.poll(self.session.clone(), 10).await {
				if let Some(held) = assigned {
					self.finish(&held).await;
				}
			}
		});
	}

	/// Uploads the pictures of an assignment and hands in the result.
	pub async fn finish(&self, held: &Assignment) {
		self.upload_all(held).await;
		assert_eq!(self.submit(&Self::result(held)).await.unwrap(), TaskState::Done);
	}

	/// Uploads a picture of an assignment; the status, and the code of a refusal.
	pub async fn upload(&self, held: &Assignment, index: u32, png: Vec<u8>) -> (u16, Option<Code>) {
		let path = upload_path(&held.task_id, held.attempt, index);
		let answer = reqwest::Client::new()
			.put(format!("{}{path}", self.uploads))
			.header("authorization", format!("Bearer {}", held.lease))
			.body(png)
			.send()
			.await
			.unwrap();
		let status = answer.status().as_u16();
		let refusal: Option<Refusal> = serde_json::from_slice(&answer.bytes().await.unwrap()).ok();
		(status, refusal.map(|refusal| refusal.code))
	}

	/// Uploads all pictures of an assignment.
	pub async fn upload_all(&self, held: &Assignment) {
		for index in 0..held.spec.images {
			let file = png(held.spec.width, held.spec.height, &pixels(&held.spec, index));
			assert_eq!(self.upload(held, index, file).await, (204, None));
		}
	}

	/// The result that an honest miner signs.
	pub fn result(held: &Assignment) -> TaskResult {
		let digest = |index| hex::encode(blake2_256(&pixels(&held.spec, index)));
		Self::result_with(held, digest)
	}

	/// The result of a miner whose pictures have these digests.
	pub fn result_with(held: &Assignment, digest: impl Fn(u32) -> String) -> TaskResult {
		TaskResult {
			task_id: held.task_id.clone(),
			attempt: held.attempt,
			lease: held.lease.clone(),
			parameters: hex::encode(held.spec.digest()),
			model: login().models[0].digest.clone(),
			pictures: (0..held.spec.images)
				.map(|index| PictureDigest { index, digest: digest(index) })
				.collect(),
			render_ms: 1,
		}
	}

	/// Hands in a result.
	pub async fn submit(&self, result: &TaskResult) -> Result<TaskState, ClientError> {
		let nonce = &result.lease;
		let signed = Signed::seal(&self.key, &audience(), "miner_submit", nonce, now(), result);
		self.client.submit(self.session.clone(), signed).await
	}

	/// Says how far it is.
	pub async fn heartbeat(&self, held: &Assignment, step: u32) -> Result<(), ClientError> {
		let beat = Heartbeat {
			task_id: held.task_id.clone(),
			attempt: held.attempt,
			lease: held.lease.clone(),
			step,
		};
		self.client.heartbeat(self.session.clone(), beat).await
	}

	/// Gives a task back.
	pub async fn fail(&self, held: &Assignment, reason: FailureReason) -> Result<(), ClientError> {
		let report = FailureReport {
			task_id: held.task_id.clone(),
			attempt: held.attempt,
			lease: held.lease.clone(),
			reason,
			message: "a test".into(),
		};
		self.client.fail(self.session.clone(), report).await
	}
}
