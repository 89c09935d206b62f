//! Queues, draws and new leases.

use super::event::What;
use super::task::{Hold, LeaseRecord, Phase, QueueKey};
use super::timers::Timer;
use super::{random_bytes, Millis, Scheduler};
use crate::assignment::vrf::DrawInput;
use crate::registry::Operator;
use cuckoo_coordinator_api::assignment::{Draw, Hex};
use cuckoo_coordinator_api::task::TaskId;
use rand::RngCore;

impl Scheduler {
	/// Puts a task into the queue of its model.
	pub(super) fn enqueue(&mut self, id: &TaskId) {
		let task = &self.tasks[id];
		let model = task.record.spec.model.clone();
		self.queues.entry(model.clone()).or_default().insert(task.record.queue_key());
		self.queued += 1;
		self.dirty.insert(model);
	}

	/// Takes a task out of the queue of its model.
	pub(super) fn dequeue(&mut self, id: &TaskId) {
		let task = &self.tasks[id];
		let model = &task.record.spec.model;
		if let Some(queue) = self.queues.get_mut(model) {
			if queue.remove(&task.record.queue_key()) {
				self.queued -= 1;
			}
			if queue.is_empty() {
				self.queues.remove(model);
			}
		}
	}

	/// Leases tasks to miners as long as there are both, for each model where something has changed;
	/// the longest waiting task first, whatever its model.
	pub(super) fn dispatch(&mut self, now: Millis, rng: &mut dyn RngCore) {
		while let Some((_, model)) = self
			.dirty
			.iter()
			.filter_map(|model| Some((self.queues.get(model)?.first()?, model)))
			.min()
		{
			let model = model.clone();
			match self.draw(&model, now) {
				Some((id, draw)) => self.lease(&id, draw, now, rng),
				None => {
					self.dirty.remove(&model);
				},
			}
		}
		self.dirty.clear();
	}

	/// The first task in the queue of a model that somebody can take, and who gets it.
	fn draw(&mut self, model: &str, now: Millis) -> Option<(TaskId, Draw)> {
		let pool = self.pools.get_mut(model)?;
		for QueueKey { fresh, sequence, id } in self.queues.get(model)? {
			let record = &self.tasks[id].record;
			let excluded = record.excluded(now);
			let excluded: Vec<usize> =
				excluded.iter().filter_map(|miner| self.roll.place(miner)).collect();
			let mut output = None;
			let drawn = pool.draw(&excluded, || {
				let input = DrawInput {
					era: self.roll.era,
					sequence: *sequence,
					task_hash: record.spec.digest(),
					attempt: record.attempt + 1,
				};
				output.insert(self.drawer.evaluate(&input)).randomness()
			});
			if let Some((drawn, output)) = drawn.zip(output) {
				let draw = Draw {
					attempt: record.attempt + 1,
					era: self.roll.era,
					block: self.roll.block,
					block_hash: Hex(self.roll.block_hash),
					eligible: drawn.eligible,
					total: drawn.total,
					pre_output: Hex(output.pre_output()),
					proof: Hex(self.drawer.prove(&output)),
					point: drawn.point,
					miner: Hex(self.roll.miners[drawn.place].0),
				};
				return Some((id.clone(), draw));
			}
			// Nobody is excluded for a fresh task: if it finds nobody, none behind it will.
			if *fresh {
				return None;
			}
		}
		None
	}

	fn lease(&mut self, id: &TaskId, draw: Draw, now: Millis, rng: &mut dyn RngCore) {
		let operator = Operator(draw.miner.0);
		self.dequeue(id);
		let miner = self.miners.get_mut(&operator).expect("pools hold known miners; qed");
		let task = self.tasks.get_mut(id).expect("queues hold known tasks; qed");
		let lease = LeaseRecord {
			attempt: draw.attempt,
			token: hex::encode(random_bytes(rng)),
			operator,
			miner: miner.stash().to_owned(),
			model_digest: miner.model_digest(&task.record.spec.model),
		};
		let pickup = self.options.pickup_ms;
		let expires = now + pickup;
		self.timers.set(expires, Timer::Lease(id.clone()));
		task.hold = Some(Hold { miner: operator, expires, lasts: pickup, phase: Phase::Assigned });
		miner.leases.insert(id.clone());
		miner.to_pick_up.push_back(id.clone());
		self.publish(id, What::Leased(lease), Some(Box::new(draw)), now);
		self.effects.assigned.push(operator);
		self.refresh(operator);
	}
}
