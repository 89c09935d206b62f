//! Queues, draws and new leases.

use super::event::What;
use super::fair_queue::FairQueue;
use super::miners::Roll;
use super::task::{Hold, LeaseRecord, Phase};
use super::timers::Timer;
use super::{random_bytes, Millis, Scheduler, TaskRecord};
use crate::assignment::{late_draw::LateDraw, vrf::DrawInput};
use crate::registry::Operator;
use cuckoo_coordinator_api::assignment::{Draw, Hex};
use cuckoo_coordinator_api::task::TaskId;
use rand::RngCore;

impl Scheduler {
	/// Puts a task into the queue of its model.
	pub(super) fn enqueue(&mut self, id: &TaskId) {
		let record = &self.tasks[id].record;
		self.queues.entry(record.spec.model.clone()).or_default().insert(record);
		self.queued += 1;
		self.dirty.insert(record.spec.model.clone());
	}

	/// Takes a task out of the queue of its model by `how` it leaves.
	pub(super) fn dequeue(
		&mut self,
		id: &TaskId,
		how: impl FnOnce(&mut FairQueue, &TaskRecord) -> bool,
	) {
		let record = &self.tasks[id].record;
		let model = &record.spec.model;
		let Some(queue) = self.queues.get_mut(model) else { return };
		if how(queue, record) {
			self.queued -= 1;
		}
		if queue.is_empty() {
			self.queues.remove(model);
		}
		if self.queued == 0 {
			self.last_served.forget();
		}
	}

	/// Leases tasks to miners as long as there are both, for each model where something has changed. Of
	/// several models the one is first whose next task was tried before, then the one whose next app
	/// was served longest ago.
	pub(super) fn dispatch(&mut self, now: Millis, rng: &mut dyn RngCore) {
		while let Some((_, model)) = self
			.dirty
			.iter()
			.filter_map(|model| {
				let next = self.queues.get(model)?.next().next()?;
				Some((self.last_served.place(&next), model))
			})
			.min()
		{
			let model = model.clone();
			match self.draw(&model, now) {
				Some((id, operator, draw)) => self.lease(&id, operator, draw, now, rng),
				None => {
					self.dirty.remove(&model);
				},
			}
		}
		self.dirty.clear();
	}

	/// The first task in the queue of a model that somebody can take, and who gets it. (Nobody is
	/// excluded for a task that was never tried: if it finds nobody, none behind it will.)
	fn draw(&mut self, model: &str, now: Millis) -> Option<(TaskId, Operator, LateDraw)> {
		let pool = self.pools.get_mut(model)?;
		self.queues.get(model)?.next().find_map(|next| {
			let record = &self.tasks[next.id].record;
			let excluded = record.excluded(now);
			let excluded: Vec<usize> =
				excluded.iter().filter_map(|miner| self.roll.place(miner)).collect();
			let mut output = None;
			let drawn = pool.draw(&excluded, || {
				let input = DrawInput {
					era: self.roll.era,
					sequence: record.sequence,
					task_hash: record.spec.digest(),
					attempt: record.attempt + 1,
				};
				output.insert(self.drawer.evaluate(&input)).randomness()
			});
			let (drawn, output) = drawn.zip(output)?;
			let operator = self.roll.miners[drawn.place];
			let (drawer, attempt) = (self.drawer.clone(), record.attempt + 1);
			let Roll { era, block, block_hash, .. } = self.roll;
			let draw = LateDraw::new(move || Draw {
				attempt,
				era,
				block,
				block_hash: Hex(block_hash),
				eligible: drawn.eligible,
				total: drawn.total,
				pre_output: Hex(output.pre_output()),
				proof: Hex(drawer.prove(&output)),
				point: drawn.point,
				miner: Hex(operator.0),
			});
			Some((next.id.clone(), operator, draw))
		})
	}

	fn lease(
		&mut self,
		id: &TaskId,
		operator: Operator,
		draw: LateDraw,
		now: Millis,
		rng: &mut dyn RngCore,
	) {
		self.last_served.note(self.tasks[id].record.app);
		self.dequeue(id, FairQueue::serve);
		let miner = self.miners.get_mut(&operator).expect("pools hold known miners; qed");
		let task = self.tasks.get_mut(id).expect("queues hold known tasks; qed");
		let lease = LeaseRecord {
			attempt: task.record.attempt + 1,
			token: hex::encode(random_bytes(rng)),
			operator,
			miner: miner.stash().to_owned(),
			model_digest: miner.model_digest(&task.record.spec.model),
		};
		let pickup = self.options.pickup_ms;
		let expires = now + pickup;
		self.timers.set(expires, Timer::Lease(id.clone()));
		task.hold = Some(Hold { miner: operator, expires, lasts: pickup, phase: Phase::Assigned });
		miner.drawn += 1;
		miner.leases.insert(id.clone());
		miner.to_pick_up.push_back(id.clone());
		self.publish(id, What::Leased(lease), Some(draw), now);
		self.effects.assigned.push(operator);
		self.refresh(operator);
	}
}
