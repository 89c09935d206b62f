//! How many tasks a second go from the offer over the lease to the end, each of the three steps on the
//! disk before its caller goes on: the scheduler and the store together, and, where it is installed,
//! PostgreSQL handing out the same by `SKIP LOCKED`.

use crate::process::processor;
use cuckoo_chain_client::keys;
use cuckoo_coordinator::{
	assignment::{late_draw::LateDraw, vrf::Drawer},
	registry::{MinerRegistration, Operator, RegistrySnapshot},
	scheduler::{Millis, Scheduler, SchedulerOptions, Verified},
	store::{Durability, Entry, Journal, RedbStore, Retention},
};
use cuckoo_coordinator_api::{
	miner::{Login, ModelOffer, MAX_SLOTS},
	task::TaskRequest,
};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MODEL: &str = "bench";
const MINERS: u8 = 100;
/// Clients at the same time. PostgreSQL has a process for each of its own, and takes 100 as it comes.
const CLIENTS: [usize; 4] = [16, 64, 256, 1024];
const POSTGRES_CLIENTS: [usize; 2] = [16, 64];
const PROMPT_BYTES: usize = 300;
/// Durable cycles a second that the scheduler and the store are to do.
const AIM: f64 = 10_000.0;

struct Coordinator {
	state: Mutex<(Scheduler, ChaCha20Rng)>,
	journal: Journal,
	begin: Instant,
}

impl Coordinator {
	fn new(store: RedbStore, durability: Durability) -> Self {
		let mut rng = ChaCha20Rng::seed_from_u64(1);
		let key = keys::for_draws("//Eve").expect("a key that everybody knows");
		let drawer = Drawer::new([0; 32], key);
		let mut scheduler = Scheduler::new(SchedulerOptions::default(), drawer);
		let miners: Vec<_> = (0..MINERS)
			.map(|n| MinerRegistration {
				operator: Operator([n; 32]),
				operator_address: format!("operator {n}"),
				stash: format!("stash {n}"),
				name: format!("miner {n}"),
				weight: 1,
			})
			.collect();
		let registry = RegistrySnapshot { miners, ..RegistrySnapshot::default() };
		scheduler.set_registry(&registry, 0, &mut rng);
		for miner in registry.miners {
			let models = vec![ModelOffer { name: MODEL.into(), digest: "ab".repeat(32) }];
			let login = Login { slots: MAX_SLOTS, models, ..Login::default() };
			scheduler.connect(miner.operator, login, 0, &mut rng).expect("it is registered");
		}
		let (journal, _) = Journal::start(Box::new(store), &[], durability);
		Self { state: Mutex::new((scheduler, rng)), journal, begin: Instant::now() }
	}

	/// Does something, and waits until it is kept.
	async fn durably<R>(
		&self,
		act: impl FnOnce(&mut Scheduler, Millis, &mut ChaCha20Rng) -> R,
	) -> R {
		let (result, number, drawn) = {
			let (scheduler, rng) = &mut *self.state.lock();
			let result = act(scheduler, self.begin.elapsed().as_millis() as Millis, rng);
			let changed = scheduler.take_effects().changed;
			let drawn: Vec<_> = changed.iter().filter_map(|change| change.draw.clone()).collect();
			let entries = changed.into_iter().map(|change| Entry::Change(Box::new(change)));
			(result, self.journal.append(entries.collect()), drawn)
		};
		drawn.iter().for_each(LateDraw::make);
		self.journal.written(number).await.expect("the store works");
		result
	}

	async fn cycle(&self) {
		let request =
			TaskRequest { model: Some(MODEL.into()), ..TaskRequest::new("x".repeat(PROMPT_BYTES)) };
		let offered = self.durably(|scheduler, now, rng| scheduler.offer(request, now, rng)).await;
		let lease = offered.expect("there is room").lease.expect("a miner is free");
		let operator = lease.operator;
		// It may be another one's task: somebody else takes this one's.
		let held = self.durably(|scheduler, now, rng| scheduler.pick_up(operator, now, rng)).await;
		let held = held.expect("one was leased to this miner");
		let done = self.durably(|scheduler, now, rng| {
			let (id, attempt, lease) = (&held.task_id, held.attempt, &held.lease);
			scheduler.submit(operator, id, attempt, lease, now, rng)?;
			let verified = Verified { result: "x".repeat(PROMPT_BYTES), ..Verified::default() };
			scheduler.accept(id, attempt, lease, verified, now, rng)
		});
		done.await.expect("the lease holds");
	}
}

/// What so many clients reach.
struct Measured {
	/// Cycles a second.
	rate: f64,
	/// The time that one cycle takes at the 99th percentile.
	p99: Duration,
	/// Processor time of a cycle, of all threads together.
	processor: Duration,
}

fn measure(clients: usize, seconds: u64, durability: Durability) -> Measured {
	let dir = tempfile::tempdir().expect("a directory can be made");
	let file = dir.path().join("tasks.redb");
	let store = RedbStore::open(&file, durability, Retention::default()).expect("it can be opened");
	let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
	let runtime = runtime.expect("a runtime can be made");
	let coordinator = Arc::new(Coordinator::new(store, durability));
	let before = processor("self");
	let end = Instant::now() + Duration::from_secs(seconds);
	let workers: Vec<_> = (0..clients)
		.map(|_| {
			let coordinator = coordinator.clone();
			runtime.spawn(async move {
				let mut took = Vec::new();
				while Instant::now() < end {
					let begin = Instant::now();
					coordinator.cycle().await;
					took.push(begin.elapsed());
				}
				took
			})
		})
		.collect();
	let begin = Instant::now();
	let mut took: Vec<Duration> = Vec::new();
	for worker in workers {
		took.extend(runtime.block_on(worker).expect("a client works"));
	}
	let rate = took.len() as f64 / begin.elapsed().as_secs_f64();
	let processor = processor("self").saturating_sub(before) / took.len() as u32;
	took.sort_unstable();
	Measured { rate, p99: took[took.len() * 99 / 100], processor }
}

/// Cycles a second of PostgreSQL; `None` if it is not installed.
fn postgres(clients: usize, seconds: u64) -> Option<f64> {
	let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/load/postgres.sh");
	let output = Command::new("bash")
		.args([script, &clients.to_string(), &seconds.to_string(), &PROMPT_BYTES.to_string()])
		.output()
		.expect("bash is there");
	if output.status.code() == Some(3) {
		return None;
	}
	let stdout = String::from_utf8_lossy(&output.stdout);
	assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
	stdout.trim().parse().ok()
}

/// Prints the comparison; each line takes `seconds`.
pub fn compare(seconds: u64) {
	println!("Durable offer-lease-complete cycles a second, in memory of one process: no network.");
	println!("`processor` is the time that a cycle takes of it, all threads together.");
	println!(
		"{:<34} {:>8} {:>10} {:>12} {:>10}",
		"", "clients", "cycles/s", "p99 of one", "processor"
	);
	let mut best: f64 = 0.0;
	for clients in CLIENTS {
		for (durability, name) in
			[(Durability::Commit, "commit"), (Durability::Eventual, "eventual")]
		{
			let Measured { rate, p99, processor } = measure(clients, seconds, durability);
			if durability == Durability::Commit {
				best = best.max(rate);
			}
			let (name, p99) = (format!("scheduler and store, {name}"), p99.as_secs_f64() * 1e3);
			let processor = processor.as_micros();
			println!("{name:<34} {clients:>8} {rate:>10.0} {p99:>9.1} ms {processor:>7} us");
		}
	}
	let mut theirs: f64 = 0.0;
	for clients in POSTGRES_CLIENTS {
		let Some(rate) = postgres(clients, seconds) else {
			println!("PostgreSQL is not installed: apt-get install postgresql");
			break;
		};
		theirs = theirs.max(rate);
		println!("{:<34} {clients:>8} {rate:>10.0}", "PostgreSQL, SKIP LOCKED");
	}
	println!("best of ours / aim of {AIM}: {:.2}", best / AIM);
	if theirs > 0.0 {
		println!("best of ours / best of PostgreSQL: {:.2}", best / theirs);
	}
}
