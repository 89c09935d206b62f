//! What a task would take, before it is offered.

use super::{Service, State};
use crate::scheduler::App;
use cuckoo_coordinator_api::{amount::Amount, app::Quote, error::Refusal, task::TaskRequest};

/// The work of a task that was not offered yet.
pub(super) struct Work {
	/// The model that would render it.
	pub(super) model: String,
	/// Thousandths of a work unit.
	pub(super) milliunits: u64,
	/// The same, weighed by the coefficient of the model.
	pub(super) weighed: u64,
	/// What it would cost the app.
	pub(super) price: Amount,
}

impl State {
	/// The work of a task, and what it would cost this app.
	///
	/// # Errors
	///
	/// Those of [`Scheduler::offer`](crate::scheduler::Scheduler::offer).
	pub(super) fn work(&self, app: &App, request: &TaskRequest) -> Result<Work, Refusal> {
		let model = self.scheduler.admit(request)?;
		let spec = request.clone().resolve(0, model);
		let weighed = self.accounts.options().prices.milliunits(&spec);
		let price = self.accounts.price(app, weighed);
		Ok(Work { milliunits: spec.milliunits(), weighed, price, model: spec.model })
	}
}

impl Service {
	/// What a task of this app would take, without offering it.
	///
	/// # Errors
	///
	/// Those with which the offer would be refused, its price and waiting time aside.
	pub fn quote(&self, app: &App, request: &TaskRequest) -> Result<Quote, Refusal> {
		self.admit_webhook(request)?;
		self.with(|state, _| {
			let work = state.work(app, request)?;
			let load = state.scheduler.load(&work.model);
			let times = state.times.of(&work.model);
			Ok(Quote {
				milliunits: work.weighed,
				price: work.price,
				queued: load.queued as u64,
				slots: load.slots as u32,
				free_slots: load.free as u32,
				wait_seconds: state.wait_seconds(app, &work.model, work.milliunits, load),
				render_seconds: times.map(|times| times.render_seconds(work.milliunits)),
				model: work.model,
			})
		})
	}
}
