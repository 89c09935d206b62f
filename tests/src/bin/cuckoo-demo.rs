//! `cuckoo-demo`: from a prompt to a picture on this machine. Starts a chain, a coordinator and three
//! miners, offers the prompt and some small tasks beside it, saves the pictures and shows how the
//! tasks were shared out. Ends everything that it started.

use anyhow::{bail, Context, Result};
use clap::Parser;
use cuckoo_coordinator_api::{
	app::MinerView,
	task::{TaskRequest, TaskState, TaskStatus, GUIDANCE, PROMPT_BYTES},
};
use cuckoo_e2e::{
	app::App,
	models,
	network::{preset_coordinator, preset_miners, Listeners, Network, Node},
	process,
	staking::CAI,
};
use std::{
	fs,
	io::{IsTerminal as _, Write as _},
	path::{Path, PathBuf},
	process::ExitCode,
	time::{Duration, Instant},
};
use tokio::signal::unix::{signal, SignalKind};

/// How long one task may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// How often the progress of a task is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// A chain, a coordinator and three miners on this machine: a prompt in, a picture out.
#[derive(Debug, Parser)]
#[command(name = "cuckoo-demo", version)]
struct Arguments {
	/// What the picture shows.
	#[arg(default_value = "a red apple", value_parser = prompt)]
	prompt: String,

	/// Where the pictures are saved.
	#[arg(long, value_name = "DIR", default_value = "cuckoo-demo")]
	out: PathBuf,

	/// Denoising steps of the picture.
	#[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=150))]
	steps: u32,

	/// Small tasks that are offered beside it, for the table.
	#[arg(long, default_value_t = 19, value_parser = clap::value_parser!(u32).range(0..=1000))]
	tasks: u32,

	/// Pixels of a side of the pictures. The demo's model is made for 64.
	#[arg(
		long,
		value_name = "PIXELS",
		default_value_t = 64,
		value_parser = clap::value_parser!(u32).range(64..=2048)
	)]
	side: u32,

	/// How closely the picture follows the prompt. The demo's model wants little; larger ones about 7.
	#[arg(long, value_name = "SCALE", default_value_t = 2.0, value_parser = guidance)]
	guidance: f32,

	/// Directory of models to render with.
	#[arg(long, value_name = "DIR", default_value_os_t = models::directory())]
	models: PathBuf,
}

fn guidance(text: &str) -> Result<f32, String> {
	let scale = text.parse::<f32>().map_err(|error| error.to_string())?;
	if GUIDANCE.contains(&scale) {
		Ok(scale)
	} else {
		Err(format!("{scale} is not in {}..={}", GUIDANCE.start(), GUIDANCE.end()))
	}
}

fn prompt(text: &str) -> Result<String, String> {
	match text.len() {
		0 => Err("the prompt is empty".into()),
		length if length > PROMPT_BYTES => {
			Err(format!("the prompt has {length} bytes; at most {PROMPT_BYTES} are allowed"))
		},
		_ => Ok(text.into()),
	}
}

#[tokio::main]
async fn main() -> ExitCode {
	let arguments = Arguments::parse();
	// Whichever way this ends, the guards of the processes are dropped, and end them.
	let result = tokio::select! {
		result = demo(&arguments) => result,
		result = told_to_stop() => result,
	};
	match result {
		Ok(()) => ExitCode::SUCCESS,
		Err(error) => {
			eprintln!("error: {error:#}");
			ExitCode::FAILURE
		},
	}
}

/// Waits for Ctrl-C or another wish that this program ends.
async fn told_to_stop() -> Result<()> {
	let mut interrupt = signal(SignalKind::interrupt())?;
	let mut terminate = signal(SignalKind::terminate())?;
	let mut hangup = signal(SignalKind::hangup())?;
	tokio::select! {
		_ = interrupt.recv() => {},
		_ = terminate.recv() => {},
		_ = hangup.recv() => {},
	}
	bail!("interrupted; everything that was started is ended")
}

async fn demo(arguments: &Arguments) -> Result<()> {
	let begin = Instant::now();
	let say = |what: &str| println!("[{:5.1} s] {what}", begin.elapsed().as_secs_f32());

	// Whatever is missing shows before anything is started.
	for program in ["cuckoo-node", "cuckoo-coordinator", "cuckoo-miner"] {
		process::binary(program)?;
	}
	fs::create_dir_all(&arguments.out)
		.with_context(|| format!("cannot make the directory {}", arguments.out.display()))?;
	for model in cuckoo_diffusion::list_models(&arguments.models)? {
		say(&format!("model: {}", model.path.display()));
	}

	say("chain: one validator, a block every two seconds");
	let mut node = Node::start("quick", "alice", &[]).await?;
	let listeners = Listeners::free()?;
	let coordinator = preset_coordinator(listeners);
	say("coordinator: announces on the chain where it listens, and waits until that is final");
	coordinator.publish_info(&node.client().await?).await?;
	say("coordinator and miners: starting");
	let mut network =
		Network::start(node, &coordinator, listeners, &preset_miners(), &arguments.models, &[])
			.await?;
	say(&format!("three miners are connected; apps may call {}", network.coordinator.app().url()));

	say(&format!("task: {:?}", arguments.prompt));
	let picture = TaskRequest {
		width: arguments.side,
		height: arguments.side,
		steps: arguments.steps,
		guidance_scale: arguments.guidance,
		..TaskRequest::new(&arguments.prompt)
	};
	let saved = render(network.coordinator.app(), picture, &arguments.out).await?;
	say(&format!("done: {}", saved.display()));

	if arguments.tasks > 0 {
		say(&format!("{} small tasks beside it, one after the other", arguments.tasks));
		beside(network.coordinator.app(), arguments).await?;
	}
	network.ensure_sound()?;
	let miners = network.coordinator.app().miners().await?;
	say("ending all processes");
	drop(network);

	println!();
	print_table(&miners);
	println!();
	println!("{}", saved.display());
	Ok(())
}

/// Offers a task, shows its progress, and saves its picture in `out`.
async fn render(app: &App, request: TaskRequest, out: &Path) -> Result<PathBuf> {
	let (width, height) = (request.width, request.height);
	let task = app.offer(request).await?.task_id;
	let begin = Instant::now();
	let mut shown = None;
	let done = loop {
		let status = app.status(&task).await?;
		match status.state {
			TaskState::Done => break status,
			state if state.is_final() => {
				bail!("the task is {state}: {}", reason(&status));
			},
			_ if begin.elapsed() > PATIENCE => {
				bail!("the task is not done after {} seconds", PATIENCE.as_secs());
			},
			_ => {},
		}
		if shown != Some(status.step) && status.step > 0 {
			println!("          step {} of {}", status.step, status.steps);
			shown = Some(status.step);
		}
		tokio::time::sleep(LOOK).await;
	};
	save(app, &done, out, (width, height)).await
}

/// Offers the small tasks, one after the other so that each is drawn among all miners.
async fn beside(app: &App, arguments: &Arguments) -> Result<()> {
	let on_terminal = std::io::stdout().is_terminal();
	for number in 1..=arguments.tasks {
		let request =
			TaskRequest { width: 64, height: 64, steps: 4, ..TaskRequest::new(&arguments.prompt) };
		let task = app.offer(request).await?.task_id;
		let done = app.wait(&task, PATIENCE).await?;
		save(app, &done, &arguments.out, (64, 64)).await?;
		if on_terminal {
			print!("\r          {number} of {} done", arguments.tasks);
			std::io::stdout().flush()?;
		}
	}
	if on_terminal {
		println!();
	}
	Ok(())
}

async fn save(
	app: &App,
	done: &TaskStatus,
	out: &Path,
	(width, height): (u32, u32),
) -> Result<PathBuf> {
	let picture = done.pictures.first().context("a task is done and has no picture")?;
	let bytes = app.picture(picture, width, height).await?;
	let path = out.join(format!("{:03}-{}.png", done.sequence, done.task_id));
	fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
	Ok(path)
}

fn reason(status: &TaskStatus) -> String {
	status.failure.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn print_table(miners: &[MinerView]) {
	let all: u64 = miners.iter().map(|miner| miner.tasks_done).sum();
	println!(
		"{:<10} {:>12} {:>15} {:>11} {:>7}",
		"miner", "stake", "expected share", "tasks done", "share"
	);
	for miner in miners {
		let stake = miner.stake.parse::<u128>().unwrap_or_default() / CAI;
		let share = miner.tasks_done as f64 / all.max(1) as f64;
		println!(
			"{:<10} {:>8} CAI {:>13.1} % {:>11} {:>5.1} %",
			miner.name,
			stake,
			100.0 * miner.share,
			miner.tasks_done,
			100.0 * share
		);
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use clap::CommandFactory;

	#[test]
	fn the_command_line_is_consistent() {
		Arguments::command().debug_assert();
	}

	#[test]
	fn a_bad_prompt_is_refused() {
		assert!(Arguments::try_parse_from(["cuckoo-demo", ""]).is_err());
		let long = "x".repeat(PROMPT_BYTES + 1);
		let error = Arguments::try_parse_from(["cuckoo-demo", &long]).unwrap_err().to_string();
		assert!(error.contains("at most"), "{error}");
	}
}
