//! Miners that nobody looks after: what may go wrong around them, and what they show of it.

use cuckoo_coordinator_api::task::{TaskRequest, TaskState, TaskStatus};
use cuckoo_diffusion::untrained;
use cuckoo_e2e::{
	app::App,
	models,
	network::{preset_coordinator, preset_miners, Coordinator, Listeners, Miner, Node, PATIENCE},
	process::{binary, run, Process},
	staking::{fund, register_all, Candidate, CAI},
};
use std::{
	fs,
	io::Write as _,
	os::unix::fs::symlink,
	path::{Path, PathBuf},
	process::{Child, Command, Stdio},
	time::{Duration, Instant},
};

/// A second model, beside the common one.
const OTHER: &str = "other";

fn small(model: &str, steps: u32) -> TaskRequest {
	let model = Some(model.into());
	TaskRequest { width: 64, height: 64, steps, model, ..TaskRequest::new("a bird") }
}

async fn render(app: &App, model: &str) -> TaskStatus {
	let task = app.offer(small(model, 2)).await.unwrap();
	app.wait(&task.task_id, PATIENCE).await.unwrap()
}

/// A node, its coordinator, and one of its miners.
struct Trio {
	node: Node,
	coordinator: Coordinator,
	candidate: Candidate,
}

impl Trio {
	/// Without the miner.
	async fn start() -> Self {
		let mut node = Node::start("quick", "alice", &[]).await.unwrap();
		let listeners = Listeners::free().unwrap();
		let candidate = preset_coordinator(listeners);
		candidate.publish_info(&node.client().await.unwrap()).await.unwrap();
		let coordinator = Coordinator::start(&node, &candidate, listeners, &[]).await.unwrap();
		let [.., candidate] = preset_miners();
		Self { node, coordinator, candidate }
	}

	fn app(&self) -> &App {
		self.coordinator.app()
	}

	async fn until_a_miner_is_there(&self) {
		until("a miner", async || {
			let views = self.app().miners().await.unwrap();
			views.iter().any(|view| view.live).then_some(())
		})
		.await;
	}
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
	let begin = Instant::now();
	loop {
		if let Some(found) = look().await {
			return found;
		}
		assert!(begin.elapsed() < PATIENCE, "it did not come to: {what}");
		tokio::time::sleep(Duration::from_millis(200)).await;
	}
}

#[tokio::test]
async fn coordinators_are_asked_in_proportion_to_their_stake() {
	let mut node = Node::start("quick", "alice", &[]).await.unwrap();
	let chain = node.client().await.unwrap();
	let listeners = [(); 2].map(|()| Listeners::free().unwrap());
	let mut coordinators = [("E2eOne", listeners[0]), ("E2eThree", listeners[1])]
		.map(|(name, listeners)| Candidate::coordinator(name, listeners.endpoint()));
	coordinators[1].stake = 6_000_000 * CAI;
	let miner = Candidate::miner("E2eMiner", 20_000);
	let everybody = [&coordinators[..], std::slice::from_ref(&miner)].concat();
	fund(&chain, &everybody).await.unwrap();
	register_all(&chain, &everybody).await.unwrap();
	let mut running = Vec::new();
	for (candidate, listeners) in coordinators.iter().zip(listeners) {
		running.push(Coordinator::start(&node, candidate, listeners, &[]).await.unwrap());
	}
	let endpoints = listeners.map(Listeners::endpoint).join(",");
	let models = models::directory();
	let mut miner = Miner::start(&node, &miner, &models, &["--coordinator", &endpoints]).unwrap();

	let lines = coordinators.map(|candidate| {
		let stash = candidate.stash_account().unwrap();
		format!("cuckoo_miner_polls_total{{coordinator=\"{stash}\"}}")
	});
	let look = async || {
		let mut polls = [0.0; 2];
		for (polls, line) in polls.iter_mut().zip(&lines) {
			*polls = miner.metric(line).await.ok()??;
		}
		Some(polls)
	};
	// Until both are connected, the one that is has all.
	let connected = until("two links", async || {
		look().await.filter(|polls| polls.iter().all(|polls| *polls > 0.0))
	})
	.await;
	let polls = until("24 polls", async || {
		let polls = look().await?;
		let new = [0, 1].map(|place| polls[place] - connected[place]);
		(new[0] + new[1] >= 24.0).then_some(new)
	})
	.await;
	println!("{polls:?} polls of coordinators with stakes of 1 to 3");
	let share = polls[1] / (polls[0] + polls[1]);
	assert!((share - 0.75).abs() < 0.06, "{polls:?}");
	miner.process().ensure_no_panic().unwrap();
}

#[tokio::test]
async fn full_disks_broken_models_and_restarts_are_survived() {
	let mut trio = Trio::start().await;
	let files = tempfile::tempdir().unwrap();
	let models = files.path().join("models");
	fs::create_dir(&models).unwrap();
	models::copy_to(&models).unwrap();
	untrained::write(&models.join(OTHER), 2).unwrap();

	// Only one model has room, so that they take turns.
	let options = ["--model-memory", "0"];
	let mut miner = Miner::start(&trio.node, &trio.candidate, &models, &options).unwrap();
	trio.until_a_miner_is_there().await;

	the_disk_is_full_for_a_while(&trio, &mut miner).await;
	the_coordinator_restarts_in_the_middle(&mut trio).await;
	trio.node.restart().await.unwrap();
	render(trio.app(), OTHER).await;

	// While the other one is loaded.
	render(trio.app(), models::NAME).await;
	let weights = models.join(OTHER).join("unet/diffusion_pytorch_model.safetensors");
	let file = fs::File::options().write(true).open(&weights).unwrap();
	file.set_len(file.metadata().unwrap().len() / 2).unwrap();
	trio.app().offer(small(OTHER, 2)).await.unwrap();
	miner.process().wait_for_line("is not offered any more", PATIENCE).await.unwrap();
	render(trio.app(), models::NAME).await;
	let failed = miner.metric("cuckoo_miner_tasks_total{outcome=\"failed\"}").await.unwrap();
	assert_eq!(failed, Some(1.0));

	miner.process().ensure_no_panic().unwrap();
	miner.process().interrupt().unwrap();
	assert!(miner.process().wait_for_end(PATIENCE).await.unwrap().success());
}

/// Receipts wait in memory while the disk takes none, and tasks are done all the same.
async fn the_disk_is_full_for_a_while(trio: &Trio, miner: &mut Miner) {
	let operator = trio.candidate.operator().unwrap().public_key().to_account_id().to_string();
	let file = miner.data().join(&operator).join(format!("history-{}.jsonl", month()));
	// A device that is always full takes the place of the file that is not there yet.
	symlink("/dev/full", &file).unwrap();
	render(trio.app(), models::NAME).await;
	miner.process().wait_for_line("cannot write receipts", PATIENCE).await.unwrap();
	fs::remove_file(&file).unwrap();
	render(trio.app(), models::NAME).await;
	let history = until("both receipts", async || {
		let history = miner.history().await.unwrap();
		(history["total"]["done"] == 2).then_some(history)
	})
	.await;
	assert_eq!(history["receipts"], 2, "{history}");
	assert_eq!(history["total"]["pictures"], 2, "{history}");
	assert_eq!(history["operator"], operator);
}

/// Year and month (UTC), as `date` tells them.
fn month() -> String {
	let said = Command::new("date").args(["-u", "+%Y-%m"]).output().unwrap();
	String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

async fn the_coordinator_restarts_in_the_middle(trio: &mut Trio) {
	let long = TaskRequest { width: 128, height: 128, ..small(models::NAME, 150) };
	let task = trio.app().offer(long).await.unwrap();
	until("a task in hand", async || {
		let status = trio.app().status(&task.task_id).await.unwrap();
		(status.state == TaskState::Leased && status.step > 0).then_some(())
	})
	.await;
	trio.coordinator.restart().await.unwrap();
	let done = trio.app().wait(&task.task_id, 2 * PATIENCE).await.unwrap();
	trio.app().picture(&done.pictures[0], 128, 128).await.unwrap();
}

/// Tasks, and how many of them are offered at a time.
const MANY: usize = 1000;
const AT_ONCE: usize = 8;

#[tokio::test]
async fn a_thousand_tasks_do_not_make_it_grow() {
	let trio = Trio::start().await;
	let models = models::directory();
	let mut miner = Miner::start(&trio.node, &trio.candidate, &models, &["--slots", "4"]).unwrap();
	trio.until_a_miner_is_there().await;
	let mut resident = Vec::new();
	let mut running = std::collections::VecDeque::new();
	for number in 0..MANY {
		let offered = trio.app().offer(small(models::NAME, 1)).await.unwrap();
		running.push_back(offered.task_id);
		if running.len() == AT_ONCE || number + 1 == MANY {
			for task in running.drain(..) {
				trio.app().wait(&task, PATIENCE).await.unwrap();
			}
		}
		if (number + 1) % (MANY / 5) == 0 {
			let bytes = miner.process().resident_bytes().unwrap();
			println!("after {} tasks: {} MiB", number + 1, bytes >> 20);
			resident.push(bytes);
		}
	}
	// Buffers and caches have their size after the first tasks; what grows with tasks shows after them.
	let growth = resident[4].saturating_sub(resident[1]);
	assert!(growth < 16 << 20, "{resident:?}");
	assert_eq!(miner.history().await.unwrap()["total"]["done"], MANY);
	miner.process().ensure_no_panic().unwrap();
}

#[tokio::test]
async fn a_clock_that_is_five_minutes_off_is_named() {
	let trio = Trio::start().await;
	let models = models::directory();
	let (_files, arguments, _) = Miner::prepare(&trio.node, &trio.candidate, &models, &[]).unwrap();
	let program = binary("cuckoo-miner").unwrap();
	let preload = format!("LD_PRELOAD={}", faketime_library().display());
	let shifted = |before: &[&str]| {
		let mut all: Vec<String> =
			[&*preload, "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME=-5m"].map(Into::into).into();
		all.push(program.display().to_string());
		all.extend(before.iter().map(ToString::to_string));
		all.extend(arguments.iter().cloned());
		all
	};
	let mut miner = Process::start_program("env", shifted(&[])).unwrap();
	let line = miner.wait_for_line("cannot work for", PATIENCE).await.unwrap();
	assert!(line.contains("check the clock"), "{line}");
	miner.interrupt().unwrap();
	assert!(miner.wait_for_end(PATIENCE).await.unwrap().success());

	let mut doctor = Process::start_program("env", shifted(&["doctor"])).unwrap();
	assert!(!doctor.wait_for_end(PATIENCE).await.unwrap().success());
	let found = doctor.log();
	assert!(found.contains("BAD   clock: it is at least"), "{found}");
}

/// The library that the program `faketime` puts before the system's: the program itself would stand
/// between the miner and Ctrl-C.
fn faketime_library() -> PathBuf {
	fs::read_dir("/usr/lib")
		.unwrap()
		.map(|entry| entry.unwrap().path().join("faketime/libfaketimeMT.so.1"))
		.find(|library| library.exists())
		.expect("scripts/setup test installs faketime")
}

/// The live view, on a terminal that `script` makes.
#[tokio::test]
async fn the_live_view_shows_the_work_and_leaves_at_a_key() {
	let trio = Trio::start().await;
	let models = models::directory();
	let (files, arguments, _) = Miner::prepare(&trio.node, &trio.candidate, &models, &[]).unwrap();
	let program = binary("cuckoo-miner").unwrap();
	let command = std::iter::once(program.display().to_string())
		.chain(arguments)
		.map(|word| format!("'{word}'"))
		.collect::<Vec<_>>()
		.join(" ");
	let typescript = files.path().join("typescript");
	let mut terminal = KillOnDrop(
		Command::new("script")
			.args(["--quiet", "--flush", "--return", "--command"])
			.arg(format!("stty cols 120 rows 40; {command}"))
			.arg(&typescript)
			.stdin(Stdio::piped())
			.stdout(Stdio::null())
			.spawn()
			.unwrap(),
	);
	let shown = async |text: &str| until_shown(&typescript, text).await;
	shown("idle; holds").await;
	trio.until_a_miner_is_there().await;
	render(trio.app(), models::NAME).await;
	for text in ["accepted", "claimable", "images/min", "Coordinator", "connected"] {
		shown(text).await;
	}
	terminal.0.stdin.as_mut().unwrap().write_all(b"q").unwrap();
	let ended = until("the end", async || terminal.0.try_wait().unwrap()).await;
	assert!(ended.success(), "{ended}");
	// After the view, the terminal shows how it went.
	shown("in total: 1 done").await;
}

/// When the terminal goes, the miner on it is told to stop, too.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
	fn drop(&mut self) {
		// Fails only if it has ended already.
		let _ = self.0.kill();
		let _ = self.0.wait();
	}
}

async fn until_shown(typescript: &Path, text: &str) {
	until(text, async || {
		let bytes = fs::read(typescript).unwrap_or_default();
		plain(&String::from_utf8_lossy(&bytes)).contains(&plain(text)).then_some(())
	})
	.await;
}

/// Without the sequences that move the cursor and set colours, and without spaces: instead of these, the
/// cursor may be moved.
fn plain(text: &str) -> String {
	let mut plain = String::new();
	let mut rest = text.chars();
	while let Some(next) = rest.next() {
		if next == '\u{1b}' {
			// They end with a letter.
			rest.by_ref().find(char::is_ascii_alphabetic);
		} else if next != ' ' {
			plain.push(next);
		}
	}
	plain
}

#[tokio::test]
async fn an_encrypted_key_is_made_shown_and_used() {
	let dir = tempfile::tempdir().unwrap();
	let file = |name: &str| dir.path().join(name).display().to_string();
	let (key, password) = (file("key.json"), file("password"));
	fs::write(&password, "correct horse\n").unwrap();
	let new = ["key", "new", "--out", &key, "--password-file", &password];
	let made = run("cuckoo-miner", new, PATIENCE).await.unwrap();
	assert!(made.status.success(), "{made:?}");
	let show = ["key", "show", "--key", &key, "--password-file", &password];
	let shown = run("cuckoo-miner", show, PATIENCE).await.unwrap();
	assert!(made.stdout.starts_with(&shown.stdout), "{made:?} {shown:?}");
	// Nobody can be asked here.
	let ended = run("cuckoo-miner", ["key", "show", "--key", &key], PATIENCE).await.unwrap();
	assert!(ended.refusal().unwrap().contains("--password-file"), "{ended:?}");
}
