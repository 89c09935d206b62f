//! The coordinator under load, as a process of its own: this very program, started again.

use crate::common::{registration, Coordinator};
use clap::ValueEnum;
use cuckoo_coordinator::{
	scheduler::SchedulerOptions,
	store::{Durability, Retention, Store},
};
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;
use subxt_signer::sr25519::Keypair;

/// For the child: its directory and how many miners are registered.
const CHILD: &str = "CUCKOO_LOAD_COORDINATOR";
/// Clock ticks of the system a second, as /proc counts processor time: a constant of Linux.
const TICKS: f64 = 100.0;

/// The key of a miner.
pub fn key(n: usize) -> Keypair {
	let mut secret = [0; 32];
	secret[..8].copy_from_slice(&n.to_le_bytes());
	Keypair::from_secret_key(secret).expect("any 32 bytes are a secret; qed")
}

/// Allows this process as many open files as the system lets it have.
pub fn raise_file_limit() {
	let limit = getrlimit(Resource::Nofile);
	let raised = Rlimit { current: limit.maximum, ..limit };
	setrlimit(Resource::Nofile, raised).expect("the limit may be raised up to its maximum; qed");
}

/// Whether this process is to be the coordinator.
pub fn is_coordinator() -> bool {
	env::var_os(CHILD).is_some()
}

/// Is the coordinator until its standard input ends.
pub fn run_coordinator() {
	let how = env::var(CHILD).expect("it was asked for before; qed");
	let parts: Vec<&str> = how.split('|').collect();
	let [dir, miners, durability] = parts[..] else { panic!("not three parts: {how}") };
	let durability = Durability::from_str(durability, false).expect("the parent names one; qed");
	raise_file_limit();
	// As the program logs by default; to a file, as under a service manager.
	let log = File::create(Path::new(dir).join("log")).expect("the directory can be written");
	tracing_subscriber::fmt().with_ansi(false).with_writer(Mutex::new(log)).init();
	// Stakes from 1 to 10, so that draws are not all alike.
	let registered = |n: usize| registration(&key(n), n as u128 % 10 + 1);
	let miners = (0..miners.parse().expect("the parent writes a number; qed")).map(registered);
	let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
	runtime.block_on(async {
		let store = Store::open(Path::new(dir), "test", None, durability, Retention::default());
		let (store, options) = (store.expect("it can be opened"), SchedulerOptions::default());
		let coordinator = Coordinator::launch(store, miners.collect(), options, [0, 0]).await;
		println!("ready {} {}", coordinator.apps, coordinator.miners);
		let wait = || io::stdin().read_to_end(&mut Vec::new());
		let _ = tokio::task::spawn_blocking(wait).await;
	});
	runtime.shutdown_background();
}

/// A running coordinator; it is killed when this is dropped.
pub struct Process {
	child: Child,
	/// Where it listens for apps.
	pub apps: String,
	/// Where it listens for miners.
	pub miners: String,
}

impl Process {
	/// Starts it with its store in a directory and so many miners registered.
	pub fn start(dir: &Path, miners: usize, durability: Durability) -> Self {
		let durability = durability.to_possible_value().expect("none is left out; qed");
		let mut child = Command::new(env::current_exe().expect("this program has a path; qed"))
			.env(CHILD, format!("{}|{miners}|{}", dir.display(), durability.get_name()))
			.stdin(Stdio::piped())
			.stdout(Stdio::piped())
			.spawn()
			.expect("this program can be started again");
		let stdout = BufReader::new(child.stdout.take().expect("it is piped; qed"));
		let mut lines = stdout.lines().map_while(Result::ok);
		let ready = lines.find(|line| line.starts_with("ready ")).expect("the coordinator starts");
		let addresses: Vec<&str> = ready.split(' ').collect();
		let [_, apps, miners] = addresses[..] else { panic!("not two addresses: {ready}") };
		Self { apps: apps.to_owned(), miners: miners.to_owned(), child }
	}

	/// Its memory.
	pub fn memory(&self) -> Memory {
		let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
		let status = status.expect("the coordinator runs");
		let mib = |name: &str| {
			let line = status.lines().find_map(|line| line.strip_prefix(name));
			let kib: Option<u64> =
				line.and_then(|line| line.split_whitespace().next()?.parse().ok());
			kib.expect("Linux tells a process's memory") / 1024
		};
		Memory { resident: mib("VmRSS:"), most: mib("VmHWM:") }
	}

	/// Processor time that it has taken.
	pub fn processor(&self) -> Duration {
		processor(&self.child.id().to_string())
	}
}

impl Drop for Process {
	fn drop(&mut self) {
		let _ = self.child.kill();
		let _ = self.child.wait();
	}
}

/// What a process has of the machine's memory, in MiB.
pub struct Memory {
	/// Now.
	pub resident: u64,
	/// The most that it ever had.
	pub most: u64,
}

/// Processor time that a process has taken: its number, or `self`.
pub fn processor(process: &str) -> Duration {
	let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
	// The name, in parentheses, may have spaces; the two times are the 12th and 13th field behind it.
	let fields = stat.rsplit_once(") ").expect("a name is in parentheses; qed").1.split(' ');
	let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
	Duration::from_secs_f64(ticks as f64 / TICKS)
}
