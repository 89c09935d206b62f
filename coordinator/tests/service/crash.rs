//! A coordinator that is killed at random moments, with ten miners and apps at work: nothing that it has
//! answered is lost, nothing is accepted twice, and the accounts of the apps balance.
//!
//! The normal run kills five times. `CUCKOO_KILLS=200 cargo test --release -p cuckoo-coordinator --test
//! service kill -- --nocapture` kills as often as it says.

use crate::common::*;
use cuckoo_coordinator::{
	accounts::{AccountChange, AppOptions, Prices},
	admin::{self, AppArgs, AppCommand},
	scheduler::{App, SchedulerOptions, TaskRecord, What},
	store::{Durability, RedbStore, Retention, TaskStore},
};
use cuckoo_coordinator_api::{
	amount::Amount,
	app::AppApiClient,
	error::Code,
	miner::{upload_path, Assignment, MinerApiClient},
	signing::Signed,
	task::{TaskId, TaskRequest, TaskState},
};
use jsonrpsee::{
	core::ClientError,
	http_client::{HeaderMap, HttpClient, HttpClientBuilder},
	ws_client::{WsClient, WsClientBuilder},
};
use parking_lot::Mutex;
use rand::Rng;
use sp_crypto_hashing::blake2_256;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::env;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{
	atomic::{AtomicBool, Ordering},
	Arc,
};
use std::time::{Duration, Instant};
use subxt_signer::{sr25519::Keypair, SecretUri};
use tokio::time::sleep;

const MINERS: usize = 10;
const APPS: usize = 4;
/// What is put into the account of each app, in plancks: enough.
const BUDGET: u128 = 1_000_000_000;
/// Plancks for a work unit.
const PRICE: Amount = Amount(1_000);
/// Tasks that may wait or be at work at once.
const OPEN: usize = 100;
/// The time in which it is to answer again. Counted, not asserted: the machine may be busy.
const PROMISED: Duration = Duration::from_secs(5);
/// For the child: its directory and ports.
const CHILD: &str = "CUCKOO_CRASH_CHILD";

fn keys() -> Vec<Keypair> {
	let key = |n: usize| {
		let uri: SecretUri = format!("//crash/{n}").parse().unwrap();
		Keypair::from_uri(&uri).unwrap()
	};
	(0..MINERS).map(key).collect()
}

/// The coordinator that is killed: this very program, started again with [`CHILD`] set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the test that kills it"]
async fn child() {
	let Ok(how) = env::var(CHILD) else { return };
	let mut how = how.split('|');
	let mut next = || how.next().unwrap();
	let (dir, ports) = (next(), [next().parse().unwrap(), next().parse().unwrap()]);
	let options = SchedulerOptions {
		lease_ms: 2_000,
		pickup_ms: 1_000,
		cool_off_ms: 1_000,
		..SchedulerOptions::default()
	};
	let miners = keys().iter().map(|key| registration(key, 1)).collect();
	let store = open_store(Path::new(dir));
	let prices = Prices::new(PRICE, BTreeMap::new());
	let apps = AppOptions { prices, ..AppOptions::default() };
	let _coordinator = Coordinator::launch_for(store, miners, options, apps, ports).await;
	println!("\nready");
	std::future::pending::<()>().await;
}

/// Starts the child, which takes messages to apps to this machine.
pub fn start(dir: &Path, [apps, miners]: [u16; 2]) -> Child {
	let mut child = Command::new(env::current_exe().unwrap())
		.args(["crash::child", "--exact", "--ignored", "--nocapture"])
		.env(CHILD, format!("{}|{apps}|{miners}", dir.display()))
		.stdout(Stdio::piped())
		.spawn()
		.unwrap();
	let lines = BufReader::new(child.stdout.take().unwrap()).lines();
	let ready = lines.map_while(Result::ok).any(|line| line == "ready");
	assert!(ready, "the coordinator does not start");
	child
}

/// What the outside knows.
#[derive(Default)]
struct Seen {
	/// Tasks whose offer was answered, each with its app, and those whose cancelling was.
	accepted: Vec<(TaskId, usize)>,
	cancelled: HashSet<TaskId>,
	/// Tasks whose cancelling was asked for, answered or not.
	doubtful: HashSet<TaskId>,
	/// Results that were answered with "done": attempt and lease.
	done: HashMap<TaskId, HashSet<(u32, String)>>,
	/// How often the same result was sent again.
	repeated: usize,
}

type Shared = Arc<Mutex<Seen>>;

/// Makes an app in a store that nobody has; its key.
async fn make_app(dir: &Path, n: usize) -> String {
	let name = format!("app {n}");
	let command = AppCommand::Add { name, budget: Amount(BUDGET), rate: 0, in_flight: 0 };
	let mut key = Vec::new();
	admin::run(AppArgs { command, data: Some(dir.to_owned()) }, &mut key).await.unwrap();
	String::from_utf8(key).unwrap().trim().to_owned()
}

fn app_client(port: u16, key: &str) -> HttpClient {
	let authorization = format!("Bearer {key}").parse().unwrap();
	HttpClientBuilder::default()
		.set_headers(HeaderMap::from_iter([("authorization".parse().unwrap(), authorization)]))
		.request_timeout(Duration::from_secs(90))
		.build(format!("http://127.0.0.1:{port}"))
		.unwrap()
}

/// Offers tasks, and cancels every tenth, until it is told to stop.
async fn offer(app: usize, port: u16, key: String, seen: Shared, stop: Arc<AtomicBool>) {
	let client = app_client(port, &key);
	for n in 0.. {
		if stop.load(Ordering::Relaxed) {
			return;
		}
		let open = {
			let seen = seen.lock();
			seen.accepted.len() - seen.done.len().min(seen.accepted.len())
		};
		if open > OPEN + seen.lock().doubtful.len() {
			sleep(Duration::from_millis(10)).await;
			continue;
		}
		let request = TaskRequest { model: Some(MODEL.into()), ..request(&format!("bird {n}")) };
		let Ok(offered) = client.offer_task(request).await else {
			sleep(Duration::from_millis(20)).await;
			continue;
		};
		let id = offered.task_id;
		seen.lock().accepted.push((id.clone(), app));
		if n % 10 == 0 {
			seen.lock().doubtful.insert(id.clone());
			if client.cancel_task(id.clone()).await.is_ok() {
				seen.lock().cancelled.insert(id);
			}
		}
	}
}

/// A miner that keeps its task over broken connections.
async fn mine(key: Keypair, port: u16, seen: Shared) {
	let mut held = None;
	loop {
		let address = format!("127.0.0.1:{port}");
		if let Ok(client) = WsClientBuilder::default().build(format!("ws://{address}")).await {
			// It ends when the connection breaks.
			let _ = work(&key, &client, &address, &mut held, &seen).await;
		}
		sleep(Duration::from_millis(20)).await;
	}
}

async fn work(
	key: &Keypair,
	client: &WsClient,
	address: &str,
	held: &mut Option<Assignment>,
	seen: &Shared,
) -> Result<(), ClientError> {
	let nonce = client.challenge().await?.nonce;
	let signed = Signed::seal(key, &audience(), "miner_login", &nonce, now(), &login());
	let session = client.login(signed).await?.token;
	let http = reqwest::Client::new();
	loop {
		if held.is_none() {
			*held = client.poll(session.clone(), 5).await?;
		}
		let Some(task) = held.clone() else { continue };
		let renders = rand::thread_rng().gen_range(0..20);
		sleep(Duration::from_millis(renders)).await;
		let file = png(task.spec.width, task.spec.height, &pixels(&task.spec, 0));
		let upload = http
			.put(format!("http://{address}{}", upload_path(&task.task_id, task.attempt, 0)))
			.header("authorization", format!("Bearer {}", task.lease))
			.body(file)
			.send()
			.await
			.map_err(|error| ClientError::Custom(error.to_string()))?;
		// Without the lease the result may have been accepted before the answer was lost.
		assert!([204, 403].contains(&upload.status().as_u16()), "{}", upload.status());
		let result = TestMiner::result(&task);
		let signed = Signed::seal(key, &audience(), "miner_submit", &task.lease, now(), &result);
		match client.submit(session.clone(), signed).await {
			Ok(state) => {
				assert_eq!(state, TaskState::Done);
				let mut seen = seen.lock();
				let answers = seen.done.entry(task.task_id.clone()).or_default();
				answers.insert((task.attempt, task.lease.clone()));
				seen.repeated += usize::from(upload.status() == 403);
			},
			Err(error @ ClientError::Call(_)) => {
				assert_eq!(code(Err::<(), _>(error)), Code::NoLease);
			},
			Err(broken) => return Err(broken),
		}
		*held = None;
	}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_promised_outlives_kill_9() {
	let kills: usize = env::var("CUCKOO_KILLS").map_or(5, |kills| kills.parse().unwrap());
	let dir = tempfile::tempdir().unwrap();
	let free = || TcpListener::bind("127.0.0.1:0").unwrap();
	let ports = [free(), free()].map(|listener| listener.local_addr().unwrap().port());
	let mut keys = Vec::new();
	for n in 0..APPS {
		keys.push(make_app(dir.path(), n).await);
	}
	let mut child = start(dir.path(), ports);
	let (seen, stop) = (Shared::default(), Arc::new(AtomicBool::new(false)));
	let miners: Vec<_> = self::keys()
		.into_iter()
		.map(|key| tokio::spawn(mine(key, ports[1], seen.clone())))
		.collect();
	let apps: Vec<_> = (0..APPS)
		.map(|n| {
			let (key, seen, stop) = (keys[n].clone(), seen.clone(), stop.clone());
			tokio::spawn(offer(n, ports[0], key, seen, stop))
		})
		.collect();

	// From the kill until it answers again.
	let mut away = Vec::new();
	for _ in 0..kills {
		let alive = rand::thread_rng().gen_range(50..700);
		sleep(Duration::from_millis(alive)).await;
		let killed = Instant::now();
		// SIGKILL: it has no chance to tidy up.
		child.kill().unwrap();
		child.wait().unwrap();
		child = tokio::task::block_in_place(|| start(dir.path(), ports));
		app_client(ports[0], &keys[0]).info().await.unwrap();
		away.push(killed.elapsed());
	}
	stop.store(true, Ordering::Relaxed);
	for app in apps {
		app.await.unwrap();
	}

	let clients: Vec<_> = keys.iter().map(|key| app_client(ports[0], key)).collect();
	let http = reqwest::Client::new();
	let accepted = seen.lock().accepted.clone();
	let (mut done, mut cancelled) = (0_u64, 0);
	for (id, app) in &accepted {
		let status = clients[*app].wait_task(id.clone(), Some(60));
		let status = status.await.unwrap_or_else(|error| panic!("task {id} is lost: {error}"));
		let (sure, doubtful) = {
			let seen = seen.lock();
			(seen.cancelled.contains(id), seen.doubtful.contains(id))
		};
		match status.state {
			TaskState::Done if !sure => done += 1,
			TaskState::Cancelled if doubtful => {
				cancelled += 1;
				continue;
			},
			state => panic!("task {id} is {state}, cancelled: {sure}; {:?}", status.failure),
		}
		let url = format!("http://127.0.0.1:{}{}", ports[0], status.pictures[0].path);
		let answer = http.get(url).bearer_auth(&keys[*app]).send().await.unwrap();
		assert_eq!(answer.status(), 200, "the picture of {id}");
		let body = answer.bytes().await.unwrap();
		let pixels = pixels(&status.spec, 0);
		assert_eq!(body, png(status.spec.width, status.spec.height, &pixels));
		assert_eq!(status.pictures[0].digest, hex::encode(blake2_256(&pixels)));
	}
	for miner in miners {
		assert!(!miner.is_finished(), "a miner got an answer that it did not expect");
		miner.abort();
	}
	child.kill().unwrap();
	child.wait().unwrap();

	let file = dir.path().join("tasks.redb");
	let store = RedbStore::open(&file, Durability::Commit, Retention::default()).unwrap();
	let seen = seen.lock();
	// All tasks are alike, and so is their price.
	let (mut spent, mut price) = ([0; APPS], 0);
	for (id, app) in &accepted {
		let events = store.events(id).unwrap();
		let acceptances =
			events.iter().filter(|event| matches!(event.what, What::Accepted { .. })).count();
		assert!(acceptances <= 1, "task {id} was accepted twice");
		let answers = seen.done.get(id).map_or(0, HashSet::len);
		assert!(answers <= acceptances, "task {id}: {answers} results were answered with done");
		let record = store.task(id).unwrap();
		assert_eq!(TaskRecord::rebuild(events), record);
		let record = record.unwrap();
		if record.state == TaskState::Done {
			spent[*app] += record.price.0;
			price = record.price.0;
		}
	}
	// It also fails if an account does not balance; so has every start after a kill.
	let unfinished = store.unfinished().unwrap();
	let mut reservations = 0;
	for (account, answered) in unfinished.accounts.iter().zip(spent) {
		let paid_in: Vec<_> = store.account_events(account.id).unwrap();
		let deposits = paid_in.iter().filter(|e| matches!(e.what, AccountChange::Deposited(_)));
		assert_eq!((deposits.count(), account.total()), (1, Some(Amount(BUDGET))));
		let open = unfinished.tasks.iter().filter(|task| task.app == App::Account(account.id));
		let open: u128 = open.map(|task| task.price.0).sum();
		assert_eq!(account.reserved, Amount(open));
		// Offers whose answer was lost may be done too.
		assert!(account.spent >= Amount(answered) && answered > 0);
		assert_eq!(account.spent, Amount(u128::from(account.tasks_done) * price));
		reservations += account.tasks_done + u64::from(account.in_flight);
	}
	assert!(reservations >= done);
	let repeated = seen.repeated;
	away.sort_unstable();
	let [median, most] = [away[away.len() / 2], away[away.len() - 1]].map(|t| t.as_secs_f32());
	let late = away.iter().filter(|time| **time > PROMISED).count();
	println!(
		"killed {kills} times; {} tasks accepted: {done} done, {cancelled} cancelled, 0 lost, 0 \
		accepted twice; {repeated} results sent again; {done} pictures readable; {APPS} accounts \
		balanced; answering again after {median:.2} s in the median, {most:.2} s at most; {late} times \
		after more than {} s",
		accepted.len(),
		PROMISED.as_secs()
	);
}
