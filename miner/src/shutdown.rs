//! Ctrl-C and SIGTERM: first finish what is in hand, then stop at once.

use tokio::sync::watch;

/// How far the miner is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
	/// Takes tasks.
	Work,
	/// Takes no new task, finishes those in hand.
	Drain,
	/// Gives tasks in hand back and stops.
	Abort,
}

/// The wish to stop, however it is uttered. Clones share it.
#[derive(Clone)]
pub struct Shutdown(watch::Sender<Phase>);

impl Shutdown {
	/// Follows the signals.
	pub fn watch_signals() -> std::io::Result<Self> {
		let shutdown = Self(watch::Sender::new(Phase::Work));
		let mut signals = Signals::new()?;
		let heard = shutdown.clone();
		tokio::spawn(async move {
			loop {
				signals.next().await;
				heard.advance();
			}
		});
		Ok(shutdown)
	}

	/// The first time drains, the second one aborts.
	pub fn advance(&self) {
		self.0.send_modify(|phase| {
			*phase = match phase {
				Phase::Work => Phase::Drain,
				Phase::Drain | Phase::Abort => Phase::Abort,
			};
		});
	}

	/// How far it is, to be followed.
	pub fn phase(&self) -> watch::Receiver<Phase> {
		self.0.subscribe()
	}
}

#[cfg(unix)]
struct Signals {
	interrupt: tokio::signal::unix::Signal,
	terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
	fn new() -> std::io::Result<Self> {
		use tokio::signal::unix::{signal, SignalKind};
		Ok(Self {
			interrupt: signal(SignalKind::interrupt())?,
			terminate: signal(SignalKind::terminate())?,
		})
	}

	async fn next(&mut self) {
		tokio::select! {
			_ = self.interrupt.recv() => (),
			_ = self.terminate.recv() => (),
		}
	}
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
	#[allow(clippy::unnecessary_wraps)]
	fn new() -> std::io::Result<Self> {
		Ok(Self)
	}

	async fn next(&mut self) {
		// Without a way to hear Ctrl-C there is nothing to follow: the system ends the program.
		if tokio::signal::ctrl_c().await.is_err() {
			std::future::pending::<()>().await;
		}
	}
}
