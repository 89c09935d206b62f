//! A coordinator under apps that offer tasks on a fixed schedule, whether earlier ones are answered or
//! not, and miners that take a set time to render. Times count from when a task was due, so that a
//! coordinator that falls behind is not spared: what waits to be sent waits on its account.

use crate::common::{audience, login, now, pixels, png, request, TestMiner};
use crate::http::Http;
use crate::process::{key, processor, raise_file_limit, Process};
use crate::Args;
use cuckoo_coordinator::{
	scheduler::What,
	store::{Durability, RedbStore, Retention, TaskStore},
};
use cuckoo_coordinator_api::{
	miner::{upload_path, Assignment, Login, MinerApiClient},
	signing::Signed,
	task::{TaskId, TaskRequest, TaskState},
};
use futures::stream::{self, StreamExt};
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Duration;
use subxt_signer::sr25519::{self, Keypair};
use tokio::sync::Semaphore;
use tokio::time::{sleep, sleep_until, timeout, Instant};

/// Tasks that a miner holds at once.
const SLOTS: u32 = 4;
/// Miners that connect at the same time.
const CONNECTING: usize = 64;
/// Most connections for offers. Each is taken until its task has ended.
const APP_CONNECTIONS: usize = 4_096;
/// Most connections for uploads, shared by all miners: two for each miner would be more open files than
/// systems allow by default.
const UPLOAD_CONNECTIONS: usize = 512;
/// How long is waited for answers after the last offer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Before each measurement, for this long at its rate: what follows finds everything warm.
const WARM_UP: Duration = Duration::from_secs(2);
/// Until all is on the disk that was answered before it was.
const EVENTUALLY: Duration = Duration::from_secs(2);

/// Measures at each number of miners and each rate.
pub fn measure(args: &Args) {
	raise_file_limit();
	println!("Over the wire: apps by HTTP, one request a task that waits for its end; miners by WebSocket, pictures by HTTP,");
	println!(
		"{SLOTS} slots and {} ms to render each. Durability is {:?}. Times are in ms, from when",
		args.render, args.durability
	);
	println!("a task was due: `told` until its miner has it, `over` until its app has the answer, less the miner's own time.");
	println!("Both processes share the processors; `cores` is what each of them takes, `gen` is apps and miners together.");
	signatures();
	println!(
		"{:>6} {:>6} {:>7} {:>6}  {:>7} {:>7}  {:>7} {:>7}  {:>5} {:>5}  {:>9} {:>9}",
		"miners",
		"rate",
		"done/s",
		"failed",
		"told50",
		"told99",
		"over50",
		"over99",
		"cores",
		"gen",
		"MiB",
		"most MiB"
	);
	let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
	// They go together at the end: ext4 makes files more slowly while it remembers deleted ones.
	let mut dirs = Vec::new();
	for miners in &args.miners {
		let dir = tempfile::tempdir().expect("a directory can be made");
		let process = Process::start(dir.path(), *miners, args.durability);
		let ids = runtime.block_on(under_load(&process, *miners, args));
		if args.durability == Durability::Eventual {
			std::thread::sleep(EVENTUALLY);
		}
		drop(process);
		check_log(dir.path(), &ids);
		dirs.push(dir);
	}
}

/// What signatures cost, which both sides pay on the same processors.
fn signatures() {
	let (key, message, rounds) = (key(0), [7; 32], 500);
	let begin = Instant::now();
	let mut signature = key.sign(&message);
	for _ in 1..rounds {
		signature = key.sign(&message);
	}
	let signed = begin.elapsed() / rounds;
	let begin = Instant::now();
	for _ in 0..rounds {
		assert!(sr25519::verify(&signature, message, &key.public_key()));
	}
	let checked = begin.elapsed() / rounds;
	println!(
		"A signature takes {} us to make (by the miner) and {} us to check (by the coordinator), once a task.",
		signed.as_micros(),
		checked.as_micros()
	);
}

/// One measurement.
struct Run {
	/// When the first task is due.
	begin: Instant,
	tasks: Vec<Task>,
}

/// Times of a task, in microseconds from the beginning of its run; 0 while unknown.
#[derive(Default)]
struct Task {
	/// When its miner had it.
	told: AtomicU64,
	/// How long the miner rendered and signed.
	own: AtomicU64,
	/// When its app had the answer.
	answered: AtomicU64,
}

/// What apps and miners share.
struct Load {
	apps: Http,
	uploads: Http,
	render: Duration,
	picture: Vec<u8>,
	digest: String,
	run: Mutex<Arc<Run>>,
	/// Every task that a miner has finished.
	finished: Mutex<Vec<TaskId>>,
	/// Why something failed last.
	trouble: Mutex<Option<String>>,
}

impl Load {
	fn trouble(&self, what: impl ToString) {
		*self.trouble.lock() = Some(what.to_string());
	}
}

async fn under_load(process: &Process, miners: usize, args: &Args) -> Vec<TaskId> {
	let spec = request("x").resolve(1, String::new());
	let pixels = pixels(&spec, 0);
	let load = Arc::new(Load {
		apps: Http::new(&process.apps, APP_CONNECTIONS),
		uploads: Http::new(&process.miners, UPLOAD_CONNECTIONS),
		render: Duration::from_millis(args.render),
		picture: png(spec.width, spec.height, &pixels),
		digest: hex::encode(sp_crypto_hashing::blake2_256(&pixels)),
		run: Mutex::new(Arc::new(Run { begin: Instant::now(), tasks: Vec::new() })),
		finished: Mutex::default(),
		trouble: Mutex::default(),
	});
	let connecting = (0..miners).map(|n| Miner::connect(&process.miners, key(n)));
	let connected: Vec<Miner> =
		stream::iter(connecting).buffer_unordered(CONNECTING).collect().await;
	let working: Vec<_> =
		connected.into_iter().map(|miner| tokio::spawn(miner.work(load.clone()))).collect();
	for rate in &args.rates {
		run(&load, *rate, WARM_UP).await;
		let before = (process.processor(), processor("self"));
		let run = run(&load, *rate, Duration::from_secs(args.seconds)).await;
		let took = run.begin.elapsed().as_secs_f64();
		let cores =
			|after: Duration, before: Duration| after.saturating_sub(before).as_secs_f64() / took;
		let cores = [cores(process.processor(), before.0), cores(processor("self"), before.1)];
		report(miners, *rate, &run, cores, process);
		if let Some(trouble) = load.trouble.lock().take() {
			println!("        the last that failed: {trouble}");
		}
	}
	for miner in working {
		miner.abort();
	}
	let finished = std::mem::take(&mut *load.finished.lock());
	finished
}

/// Offers `rate` tasks a second for so long, and waits for their answers.
async fn run(load: &Arc<Load>, rate: u64, lasts: Duration) -> Arc<Run> {
	let count = rate * lasts.as_secs();
	let tasks = (0..count).map(|_| Task::default()).collect();
	let run = Arc::new(Run { begin: Instant::now() + Duration::from_millis(50), tasks });
	*load.run.lock() = run.clone();
	let mut offers = Vec::with_capacity(run.tasks.len());
	for n in 0..count {
		sleep_until(run.begin + Duration::from_micros(n * 1_000_000 / rate)).await;
		offers.push(tokio::spawn(offer(load.clone(), run.clone(), n)));
	}
	let all = async {
		for offer in &mut offers {
			let _ = offer.await;
		}
	};
	if timeout(PATIENCE, all).await.is_err() {
		for offer in &offers {
			offer.abort();
		}
	}
	run
}

/// One task, as its app sees it.
async fn offer(load: Arc<Load>, run: Arc<Run>, n: u64) {
	let request = TaskRequest { seed: Some(1), ..request(&n.to_string()) };
	let body = serde_json::to_vec(&request).expect("a request is JSON; qed");
	let headers = "content-type: application/json\r\nprefer: wait=60\r\n";
	match load.apps.send("POST /v1/tasks", headers, &body).await {
		Ok((200, answer)) if is_done(&answer) => {
			run.tasks[n as usize].answered.store(micros(run.begin), Relaxed);
		},
		Ok((status, answer)) => {
			load.trouble(format!("an offer: {status} {}", String::from_utf8_lossy(&answer)));
		},
		Err(error) => load.trouble(format!("an offer: {error}")),
	}
}

/// Whether an answer tells of a finished task. It is not read in full: that is the app's own time.
fn is_done(answer: &[u8]) -> bool {
	let done = format!("\"state\":\"{}\"", TaskState::Done);
	answer.windows(done.len()).any(|part| part == done.as_bytes())
}

/// Microseconds since the beginning of a run, at least 1.
fn micros(begin: Instant) -> u64 {
	(begin.elapsed().as_micros() as u64).max(1)
}

/// A simulated miner.
struct Miner {
	key: Keypair,
	client: WsClient,
	session: String,
}

impl Miner {
	async fn connect(address: &str, key: Keypair) -> Self {
		let client = WsClientBuilder::default().build(format!("ws://{address}")).await;
		let client = client.expect("the coordinator lets miners in");
		let nonce = client.challenge().await.expect("it gives a challenge").nonce;
		let login = Login { slots: SLOTS, ..login() };
		let signed = Signed::seal(&key, &audience(), "miner_login", &nonce, now(), &login);
		let session = client.login(signed).await.expect("the miner is registered").token;
		Self { key, client, session }
	}

	/// Polls as long as a slot is free, and renders what comes.
	async fn work(self, load: Arc<Load>) {
		let miner = Arc::new(self);
		let slots = Arc::new(Semaphore::new(SLOTS as usize));
		loop {
			let slot = slots.clone().acquire_owned().await.expect("it is never closed; qed");
			match miner.client.poll(miner.session.clone(), 10).await {
				Ok(Some(held)) => {
					let (miner, load) = (miner.clone(), load.clone());
					tokio::spawn(async move {
						if let Err(error) = miner.render(&held, &load).await {
							load.trouble(error);
						}
						drop(slot);
					});
				},
				Ok(None) => {},
				Err(error) => {
					load.trouble(format!("a poll: {error}"));
					sleep(Duration::from_secs(1)).await;
				},
			}
		}
	}

	/// One task. The picture is always the same: what making it costs is nothing of the coordinator's.
	async fn render(&self, held: &Assignment, load: &Load) -> Result<(), String> {
		let (told, run) = (Instant::now(), load.run.lock().clone());
		let number: Option<usize> = held.spec.prompt.parse().ok();
		let task = number.and_then(|n| run.tasks.get(n));
		sleep(load.render).await;
		let result = TestMiner::result_with(held, |_| load.digest.clone());
		let signed =
			Signed::seal(&self.key, &audience(), "miner_submit", &held.lease, now(), &result);
		if let Some(task) = task {
			let since = told.saturating_duration_since(run.begin).as_micros() as u64;
			task.told.store(since.max(1), Relaxed);
			task.own.store(micros(told), Relaxed);
		}
		let path = upload_path(&held.task_id, held.attempt, 0);
		let headers =
			format!("authorization: Bearer {}\r\ncontent-type: image/png\r\n", held.lease);
		match load.uploads.send(&format!("PUT {path}"), &headers, &load.picture).await {
			Ok((204, _)) => {},
			Ok((status, answer)) => {
				return Err(format!("an upload: {status} {}", String::from_utf8_lossy(&answer)));
			},
			Err(error) => return Err(format!("an upload: {error}")),
		}
		let state = self.client.submit(self.session.clone(), signed).await;
		let state = state.map_err(|error| format!("a result: {error}"))?;
		assert_eq!(state, TaskState::Done);
		load.finished.lock().push(held.task_id.clone());
		Ok(())
	}
}

fn report(miners: usize, rate: u64, run: &Run, cores: [f64; 2], process: &Process) {
	let (mut told, mut over, mut last) = (Vec::new(), Vec::new(), 1);
	for (n, task) in run.tasks.iter().enumerate() {
		let due = n as u64 * 1_000_000 / rate;
		let [was_told, own, answered] =
			[&task.told, &task.own, &task.answered].map(|t| t.load(Relaxed));
		if answered > 0 {
			told.push(was_told.saturating_sub(due));
			over.push(answered.saturating_sub(due + own));
			last = last.max(answered);
		}
	}
	let (done, failed) = (over.len() as f64 * 1e6 / last as f64, run.tasks.len() - over.len());
	told.sort_unstable();
	over.sort_unstable();
	let [told50, told99, over50, over99] =
		[(&told, 50), (&told, 99), (&over, 50), (&over, 99)].map(percentile);
	let memory = process.memory();
	println!(
		"{miners:>6} {rate:>6} {done:>7.0} {failed:>6}  {told50:>7.1} {told99:>7.1}  {over50:>7.1} {over99:>7.1}  \
		{:>5.2} {:>5.2}  {:>9} {:>9}",
		cores[0], cores[1], memory.resident, memory.most
	);
}

/// Of sorted times in microseconds, in milliseconds.
fn percentile((times, percent): (&Vec<u64>, usize)) -> f64 {
	let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
	times.get(place).map_or(f64::NAN, |micros| *micros as f64 / 1e3)
}

/// What the coordinator's own log says: each finished task was accepted once; and the time from the
/// offer to the lease, which the log has in whole milliseconds.
fn check_log(dir: &Path, ids: &[TaskId]) {
	let file = dir.join("tasks.redb");
	let store = RedbStore::open(&file, Durability::Commit, Retention::default());
	let store = store.expect("the store can be opened again");
	let mut leased = Vec::with_capacity(ids.len());
	for id in ids {
		let events = store.events(id).expect("the log can be read");
		let at = |is: fn(&What) -> bool| {
			let found: Vec<u64> =
				events.iter().filter(|event| is(&event.what)).map(|event| event.at).collect();
			found
		};
		let accepted = at(|what| matches!(what, What::Accepted { .. }));
		assert_eq!(accepted.len(), 1, "task {id}");
		let offered = at(|what| matches!(what, What::Offered { .. }));
		let first = at(|what| matches!(what, What::Leased(_)));
		leased.push((first[0] - offered[0]) * 1000);
	}
	leased.sort_unstable();
	println!(
		"        in the log of {} finished tasks each was accepted once; from the offer to the lease: p50 {} ms, p99 {} ms",
		ids.len(),
		percentile((&leased, 50)),
		percentile((&leased, 99))
	);
}
