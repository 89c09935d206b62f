//! The live view on a terminal: devices, work, stake, coordinators and the log, drawn again and again from
//! what the other parts know.

use crate::{
	context::Context,
	link::{Link, Status},
	logging::LogLines,
	report::{Counts, Standing},
	sensors::{gibibytes, Reading},
	shutdown::{Phase, Shutdown},
	worker::Activity,
};
use anyhow::Context as _;
use cuckoo_chain_client::CAI;
use cuckoo_coordinator_api::miner::MinerStanding;
use ratatui::{
	crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
	layout::{Constraint, Layout, Rect},
	style::{Color, Style, Stylize as _},
	text::{Line, Span},
	widgets::{Block, Gauge, Paragraph, Row, Table},
	Frame,
};
use std::{
	collections::VecDeque,
	io,
	panic::{self, AssertUnwindSafe},
	sync::{
		atomic::{AtomicBool, Ordering},
		Arc,
	},
	thread::{self, JoinHandle},
	time::{Duration, Instant},
};

/// How often it is drawn.
const INTERVAL: Duration = Duration::from_millis(500);
/// Over what time pictures a minute are counted.
const LONG: Duration = Duration::from_mins(1);
/// Over what time steps a second are counted.
const SHORT: Duration = Duration::from_secs(5);

/// A view that is on the terminal until it is dropped.
pub struct View {
	ended: Arc<AtomicBool>,
	thread: Option<JoinHandle<()>>,
}

impl View {
	/// Takes the terminal over. Ctrl-C and q are handed to `shutdown`.
	///
	/// # Errors
	///
	/// If it is no terminal that can be drawn on.
	pub fn start(context: Arc<Context>, shutdown: Shutdown, log: LogLines) -> anyhow::Result<Self> {
		let mut terminal = ratatui::try_init()
			.context("this terminal cannot show the live view: use --plain for log lines")?;
		// A render thread that panics is caught, and must not spoil the view.
		panic::set_hook(Box::new(|info| tracing::error!("{info}")));
		let ended = Arc::new(AtomicBool::new(false));
		let is_over = Arc::clone(&ended);
		let draw = move || {
			let mut meters: Vec<_> =
				context.workers.activities().iter().map(|_| Meter::default()).collect();
			let started = Instant::now();
			let draw_and_heed = || -> io::Result<()> {
				while !is_over.load(Ordering::Relaxed) {
					let now = Snapshot::take(&context, &mut meters, &shutdown, &log, started);
					terminal.draw(|frame| now.draw(frame))?;
					heed_keys(&shutdown)?;
				}
				Ok(())
			};
			// When the terminal is gone, or this fails otherwise, the miner works on without.
			let _ = panic::catch_unwind(AssertUnwindSafe(draw_and_heed));
			ratatui::restore();
		};
		let thread = thread::Builder::new()
			.name("view".into())
			.spawn(draw)
			.context("cannot start the view")?;
		Ok(Self { ended, thread: Some(thread) })
	}
}

impl Drop for View {
	fn drop(&mut self) {
		self.ended.store(true, Ordering::Relaxed);
		if let Some(thread) = self.thread.take() {
			// It does not panic.
			let _ = thread.join();
		}
	}
}

/// Waits for the time of the next drawing, and heeds the keys meanwhile.
fn heed_keys(shutdown: &Shutdown) -> io::Result<()> {
	let next = Instant::now() + INTERVAL;
	while event::poll(next.saturating_duration_since(Instant::now()))? {
		let Event::Key(key) = event::read()? else { return Ok(()) };
		let control = key.modifiers.contains(KeyModifiers::CONTROL);
		match key.code {
			_ if key.kind != KeyEventKind::Press => (),
			KeyCode::Char('c') if control => shutdown.advance(),
			KeyCode::Char('q') => shutdown.advance(),
			_ => (),
		}
	}
	Ok(())
}

/// Steps and pictures of a device over the last minute.
#[derive(Default)]
struct Meter {
	samples: VecDeque<(Instant, u64, u64)>,
}

impl Meter {
	/// Takes in the counts; steps a second and pictures a minute.
	fn look(&mut self, now: Instant, steps: u64, pictures: u64) -> (f64, f64) {
		while self.samples.front().is_some_and(|(at, ..)| now.duration_since(*at) > LONG) {
			self.samples.pop_front();
		}
		self.samples.push_back((now, steps, pictures));
		let since = |span: Duration| {
			let first = self.samples.iter().find(|(at, ..)| now.duration_since(*at) <= span);
			let (at, before_steps, before_pictures) = *first.unwrap_or(&(now, steps, pictures));
			let seconds = now.duration_since(at).as_secs_f64().max(1.0);
			((steps - before_steps) as f64 / seconds, (pictures - before_pictures) as f64 / seconds)
		};
		(since(SHORT).0, since(LONG).1 * 60.0)
	}
}

/// What is drawn.
struct Snapshot {
	title: String,
	devices: Vec<Device>,
	counts: Counts,
	standing: Standing,
	stake: Vec<String>,
	coordinators: Vec<Coordinator>,
	log: Vec<String>,
	phase: Phase,
}

struct Device {
	name: String,
	steps_a_second: f64,
	pictures_a_minute: f64,
	reading: Reading,
	loaded: String,
	/// The task on it, and how far it is, 0 to 1.
	task: Option<(String, f64)>,
}

struct Coordinator {
	name: String,
	stake: String,
	is_up: bool,
	polls: u64,
	tasks: u64,
	/// Draws won, and how many of them were to be expected.
	draws: String,
	held: usize,
	complaint: String,
}

impl Snapshot {
	fn take(
		context: &Context,
		meters: &mut [Meter],
		shutdown: &Shutdown,
		log: &LogLines,
		started: Instant,
	) -> Self {
		let standing = context.standing();
		let now = Instant::now();
		let up = now.duration_since(started).as_secs();
		let earnings = context.earnings();
		let claimable = earnings.pending.map_or("?".into(), rounded);
		Self {
			title: format!(
				" cuckoo-miner {} for {} — up {}:{:02}:{:02} ",
				env!("CARGO_PKG_VERSION"),
				context.stash,
				up / 3600,
				up / 60 % 60,
				up % 60
			),
			devices: context
				.workers
				.activities()
				.iter()
				.zip(meters)
				.map(|(activity, meter)| Device::look(activity, meter, context, now))
				.collect(),
			counts: context.totals.snapshot(),
			stake: vec![
				format!("stake     {} CAI", rounded(standing.weight)),
				format!("share     {:.2} % of all miners", standing.share() * 100.0),
				format!("claimable {claimable} CAI"),
				format!("earned    {} CAI since the start", rounded(earnings.since_start)),
			],
			coordinators: standing.links.iter().map(|link| Coordinator::look(link)).collect(),
			standing,
			log: log.last(),
			phase: *shutdown.phase().borrow(),
		}
	}

	fn draw(&self, frame: &mut Frame) {
		let [devices, middle, coordinators, log, keys] = Layout::vertical([
			Constraint::Length(2 * self.devices.len() as u16 + 2),
			Constraint::Length(6),
			Constraint::Length(self.coordinators.len().max(1) as u16 + 3),
			Constraint::Min(4),
			Constraint::Length(1),
		])
		.areas(frame.area());
		self.draw_devices(frame, devices);
		let [work, stake] = Layout::horizontal([Constraint::Fill(1); 2]).areas(middle);
		frame.render_widget(
			Paragraph::new(self.work()).block(Block::bordered().title(" work ")),
			work,
		);
		let block = match self.standing.block {
			Some(block) => format!(" chain {block}, era {} ", self.standing.era),
			None => " chain ".into(),
		};
		let lines: Vec<_> = self.stake.iter().map(|line| Line::raw(line.as_str())).collect();
		frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(block)), stake);
		self.draw_coordinators(frame, coordinators);

		let room = usize::from(log.height.saturating_sub(2));
		let first = self.log.len().saturating_sub(room);
		let lines: Vec<_> = self.log[first..].iter().map(|line| Line::raw(line.as_str())).collect();
		frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" log ")), log);
		let hint = match self.phase {
			Phase::Work => " Ctrl-C or q: finish the tasks in hand and leave",
			Phase::Drain => " finishing the tasks in hand — Ctrl-C or q: give them back at once",
			Phase::Abort => " leaving",
		};
		frame.render_widget(Paragraph::new(hint).style(Style::new().reversed()), keys);
	}

	fn draw_devices(&self, frame: &mut Frame, area: Rect) {
		let block = Block::bordered().title(self.title.as_str().bold());
		let inside = block.inner(area);
		frame.render_widget(block, area);
		let rows = Layout::vertical(vec![Constraint::Length(2); self.devices.len()]).split(inside);
		for (device, area) in self.devices.iter().zip(rows.iter()) {
			let [line, bar] = Layout::vertical([Constraint::Length(1); 2]).areas(*area);
			frame.render_widget(device.line(), line);
			if let Some((task, done)) = &device.task {
				frame.render_widget(
					Gauge::default()
						.ratio(done.clamp(0.0, 1.0))
						.label(Span::styled(task.as_str(), Style::new().fg(Color::White)))
						.gauge_style(Style::new().fg(Color::Green).bg(Color::DarkGray)),
					bar,
				);
			} else {
				let idle = format!("idle; holds {}", device.loaded);
				frame.render_widget(Paragraph::new(idle).dim(), bar);
			}
		}
	}

	fn work(&self) -> Vec<Line<'_>> {
		let Counts { done, refused, failed, dropped, render_ms } = self.counts;
		let average = match done {
			0 => String::new(),
			done => format!(", {:.1} s each", render_ms as f64 / 1000.0 / done as f64),
		};
		let why = self.standing.no_work.as_deref().unwrap_or("at work");
		vec![
			Line::from(vec![Span::raw("accepted  "), done.to_string().green(), average.into()]),
			Line::from(vec![
				Span::raw("refused   "),
				refused.to_string().yellow(),
				format!("    dropped {dropped}").into(),
			]),
			Line::from(vec![Span::raw("failed    "), failed.to_string().red()]),
			Line::from(vec![Span::raw("now       "), why.into()]),
		]
	}

	fn draw_coordinators(&self, frame: &mut Frame, area: Rect) {
		let rows = self.coordinators.iter().map(|coordinator| {
			let state = if coordinator.is_up { "connected".green() } else { "away".red() };
			Row::new(vec![
				Span::raw(coordinator.name.as_str()),
				state,
				Span::raw(coordinator.stake.as_str()),
				Span::raw(coordinator.polls.to_string()),
				Span::raw(coordinator.tasks.to_string()),
				Span::raw(coordinator.draws.as_str()),
				Span::raw(coordinator.held.to_string()),
				Span::raw(coordinator.complaint.as_str()),
			])
		});
		let widths = [
			Constraint::Fill(2),
			Constraint::Length(9),
			Constraint::Length(14),
			Constraint::Length(8),
			Constraint::Length(7),
			Constraint::Length(14),
			Constraint::Length(7),
			Constraint::Fill(2),
		];
		let heads =
			["name", "state", "stake in CAI", "polls", "tasks", "drawn/expected", "in hand", ""];
		let table = Table::new(rows, widths)
			.header(Row::new(heads).dim())
			.block(Block::bordered().title(" coordinators "));
		frame.render_widget(table, area);
	}
}

impl Device {
	fn look(activity: &Activity, meter: &mut Meter, context: &Context, now: Instant) -> Self {
		let steps = activity.steps.load(Ordering::Relaxed);
		let pictures = activity.pictures.load(Ordering::Relaxed);
		let (steps_a_second, pictures_a_minute) = meter.look(now, steps, pictures);
		let task = activity.current().map(|current| {
			let request = &current.job.request;
			let step = current.step.load(Ordering::Relaxed);
			let steps = request.images * request.steps;
			let text = format!(
				"task {} · {} · {} × {}×{} · step {step}/{steps} · {:.1} s",
				&current.job.task,
				current.job.model,
				request.images,
				request.width,
				request.height,
				current.since.elapsed().as_secs_f32()
			);
			(text, f64::from(step) / f64::from(steps.max(1)))
		});
		Self {
			name: activity.device.to_string(),
			steps_a_second,
			pictures_a_minute,
			reading: context.sensors.read(activity.device),
			loaded: activity.loaded().join(", "),
			task,
		}
	}

	fn line(&self) -> Line<'_> {
		let Reading { name, memory_used, memory_total, temperature, power, throttled } =
			&self.reading;
		let mut spans = vec![self.name.as_str().bold()];
		if let Some(name) = name {
			spans.push(format!(" {name}").into());
		}
		spans.push(format!("  {:.1} it/s", self.steps_a_second).cyan());
		spans.push(format!("  {:.1} images/min", self.pictures_a_minute).cyan());
		if let (Some(used), Some(total)) = (memory_used, memory_total) {
			spans.push(
				format!("  memory {:.1}/{:.1} GiB", gibibytes(*used), gibibytes(*total)).into(),
			);
		}
		if let Some(temperature) = temperature {
			spans.push(format!("  {temperature} °C").into());
		}
		if let Some(power) = power {
			spans.push(format!("  {:.0} W", f64::from(*power) / 1000.0).into());
		}
		if let Some(why) = throttled {
			spans.push(format!("  held back: {why}").yellow());
		}
		Line::from(spans)
	}
}

/// Planck in CAI, to two digits.
fn rounded(planck: u128) -> String {
	format!("{:.2}", planck as f64 / CAI as f64)
}

impl Coordinator {
	fn look(link: &Link) -> Self {
		let MinerStanding { drawn, expected } = link.standing();
		Self {
			draws: format!("{drawn}/{expected:.1}"),
			name: link.name(),
			stake: rounded(link.weight()),
			is_up: link.status() == Status::Up,
			polls: link.polls(),
			tasks: link.tasks(),
			held: link.held(),
			complaint: link.complaint().unwrap_or_default(),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use ratatui::{backend::TestBackend, Terminal};

	fn snapshot() -> Snapshot {
		Snapshot {
			title: " cuckoo-miner for 5Grw ".into(),
			devices: vec![
				Device {
					name: "cuda:0".into(),
					steps_a_second: 21.34,
					pictures_a_minute: 55.5,
					reading: Reading {
						name: Some("GPU".into()),
						memory_used: Some(3 << 29),
						memory_total: Some(8 << 30),
						temperature: Some(71),
						power: Some(250_400),
						throttled: Some("power limit".into()),
					},
					loaded: "a".into(),
					task: Some(("task 7 · step 5/20".into(), 0.25)),
				},
				Device {
					name: "cuda:1".into(),
					steps_a_second: 0.0,
					pictures_a_minute: 0.0,
					reading: Reading::default(),
					loaded: "a, b".into(),
					task: None,
				},
			],
			counts: Counts { done: 4, refused: 3, failed: 2, dropped: 1, render_ms: 6000 },
			standing: Standing { no_work: Some("nobody asks".into()), ..Standing::default() },
			stake: vec!["stake     20000 CAI".into()],
			coordinators: vec![Coordinator {
				name: "Fair".into(),
				stake: "2000000".into(),
				is_up: false,
				polls: 12,
				tasks: 5,
				draws: "5/4.2".into(),
				held: 1,
				complaint: "connection refused".into(),
			}],
			log: (0..50).map(|line| format!("line {line}")).collect(),
			phase: Phase::Drain,
		}
	}

	fn drawn(width: u16, height: u16) -> String {
		let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
		let now = snapshot();
		terminal.draw(|frame| now.draw(frame)).unwrap();
		terminal.backend().to_string()
	}

	#[test]
	fn everything_is_shown() {
		let text = drawn(110, 30);
		for shown in [
			"cuda:0 GPU  21.3 it/s  55.5 images/min  memory 1.5/8.0 GiB  71 °C  250 W",
			"held back: power limit",
			"task 7 · step 5/20",
			"idle; holds a, b",
			"accepted  4, 1.5 s each",
			"now       nobody asks",
			"stake     20000 CAI",
			"Fair",
			"5/4.2",
			"connection refused",
			"line 49",
			"give them back at once",
		] {
			assert!(text.contains(shown), "{shown} is not in\n{text}");
		}
		assert!(!text.contains("line 1 "), "the log shows its end:\n{text}");
	}

	#[test]
	fn a_tiny_terminal_is_no_trouble() {
		for (width, height) in [(1, 1), (5, 3), (30, 8)] {
			drawn(width, height);
		}
	}

	#[test]
	fn rates_are_of_the_last_seconds() {
		let start = Instant::now();
		let mut meter = Meter::default();
		for second in 0..120 {
			let rates = meter.look(start + Duration::from_secs(second), second * 7, second / 2);
			if second > 70 {
				assert!((rates.0 - 7.0).abs() < 1e-9, "{rates:?}");
				assert!((rates.1 - 30.0).abs() < 1.0, "{rates:?}");
			}
		}
	}
}
