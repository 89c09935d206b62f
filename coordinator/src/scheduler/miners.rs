//! Who is registered, connected, live and free.

use super::speed::Speeds;
use super::timers::Timer;
use super::{Millis, Scheduler};
use crate::assignment::pool::Pool;
use crate::registry::{MinerRegistration, Operator, RegistrySnapshot};
use cuckoo_coordinator_api::{
	app::MinerView,
	error::{Code, Refusal},
	miner::{DeviceReport, Login, MinerStanding, ModelOffer, SpeedReport},
	task::TaskId,
};
use rand::RngCore;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

/// A miner that is registered or still holds something.
#[derive(Debug)]
pub(super) struct Miner {
	/// As it was registered last.
	registration: MinerRegistration,
	/// Whether it is registered and active now.
	registered: bool,
	/// Its place in the roll, while it is registered.
	place: usize,
	link: Option<Link>,
	/// Tasks that it holds a lease of.
	pub(super) leases: BTreeSet<TaskId>,
	/// Those of them that it has not been told of, oldest first.
	pub(super) to_pick_up: VecDeque<TaskId>,
	/// Tasks that have ended while it was at work on them, until when they occupy a slot: until it
	/// has noticed.
	pub(super) releasing: BTreeMap<TaskId, Millis>,
	/// The weight under which it is in the pools of its models.
	pooled: Option<u128>,
	/// The stake with which it counts for its models.
	counted: Option<u128>,
	pub(super) speeds: Speeds,
	pub(super) tasks_done: u64,
	pub(super) tasks_failed: u64,
	/// How often it was drawn.
	pub(super) drawn: u64,
	/// How often it was to be expected, without what its pools still count.
	expected: f64,
}

/// The active miners by name.
#[derive(Debug, Default)]
pub(super) struct Roll {
	/// Number of the finalized block at which they were.
	pub(super) block: u64,
	/// Its hash.
	pub(super) block_hash: [u8; 32],
	/// The era that ran at it.
	pub(super) era: u32,
	/// All of them in order: the order of their weights in draws.
	pub(super) miners: Vec<Operator>,
}

impl Roll {
	/// The place of a miner.
	pub(super) fn place(&self, miner: &Operator) -> Option<usize> {
		self.miners.binary_search(miner).ok()
	}
}

/// A connected miner.
#[derive(Debug)]
struct Link {
	slots: usize,
	models: Vec<ModelOffer>,
	devices: Vec<DeviceReport>,
	speeds: Vec<SpeedReport>,
	last_heard: Millis,
	live: bool,
	/// Whether it has polled since it last let a lease lie.
	polling: bool,
}

/// What stands behind a model at this moment.
#[derive(Debug, Default)]
pub(super) struct LiveStake {
	stake: u128,
	miners: usize,
	/// Tasks that they can hold at once.
	pub(super) slots: usize,
}

impl Miner {
	fn new(registration: MinerRegistration) -> Self {
		Self {
			registration,
			registered: true,
			place: 0,
			link: None,
			leases: BTreeSet::new(),
			to_pick_up: VecDeque::new(),
			releasing: BTreeMap::new(),
			pooled: None,
			counted: None,
			speeds: Speeds::default(),
			tasks_done: 0,
			tasks_failed: 0,
			drawn: 0,
			expected: 0.0,
		}
	}

	/// SS58 address of its stash.
	pub(super) fn stash(&self) -> &str {
		&self.registration.stash
	}

	/// Slots in use.
	pub(super) fn occupied(&self) -> usize {
		self.leases.len() + self.releasing.len()
	}

	/// The digest under which it offers a model; empty if it does not.
	pub(super) fn model_digest(&self, model: &str) -> String {
		let offers = self.link.iter().flat_map(|link| &link.models);
		offers
			.filter(|offer| offer.name == model)
			.map(|offer| offer.digest.clone())
			.next()
			.unwrap_or_default()
	}

	/// How many tasks of a model it can hold at once, and how many more it could take now.
	pub(super) fn slots(&self, model: &str) -> (usize, usize) {
		let link = self.link.as_ref().filter(|link| self.registered && link.live);
		let serves = |link: &&Link| link.models.iter().any(|offer| offer.name == model);
		let slots = link.filter(serves).map_or(0, |link| link.slots);
		let free = if self.pooled.is_some() { slots.saturating_sub(self.occupied()) } else { 0 };
		(slots, free)
	}

	/// Whether it could take a task now, from what is known of it.
	#[cfg(test)]
	pub(super) fn is_waiting(&self) -> bool {
		let link = self.link.as_ref().filter(|link| self.registered && link.live && link.polling);
		link.is_some_and(|link| self.occupied() < link.slots)
	}

	/// The miner stops letting leases lie.
	pub(super) fn set_polling(&mut self, polling: bool) {
		if let Some(link) = &mut self.link {
			link.polling = polling;
		}
	}

	fn standing(&self, pools: &HashMap<String, Pool>) -> MinerStanding {
		let models = self.link.iter().flat_map(|link| &link.models);
		let pools = models.filter_map(|offer| pools.get(&offer.name));
		let counted: f64 = pools.map(|pool| pool.expected(self.place)).sum();
		let counted = if self.pooled.is_some() { counted } else { 0.0 };
		MinerStanding { drawn: self.drawn, expected: self.expected + counted }
	}

	fn view(&self, total_stake: u128, pools: &HashMap<String, Pool>) -> MinerView {
		let registration = &self.registration;
		let share =
			if total_stake == 0 { 0.0 } else { registration.weight as f64 / total_stake as f64 };
		let standing = self.standing(pools);
		MinerView {
			stash: registration.stash.clone(),
			operator: registration.operator_address.clone(),
			name: registration.name.clone(),
			stake: registration.weight.to_string(),
			share,
			live: self.link.as_ref().is_some_and(|link| link.live),
			slots: self.link.as_ref().map_or(0, |link| link.slots as u32),
			running: self.leases.len() as u32,
			models: self
				.link
				.iter()
				.flat_map(|link| &link.models)
				.map(|offer| offer.name.clone())
				.collect(),
			tasks_done: self.tasks_done,
			tasks_failed: self.tasks_failed,
			tasks_drawn: standing.drawn,
			tasks_expected: standing.expected,
			devices: self.link.iter().flat_map(|link| link.devices.clone()).collect(),
			speeds: self.link.iter().flat_map(|link| link.speeds.clone()).collect(),
		}
	}
}

impl Scheduler {
	/// Takes over who is registered and active, all of them. Miners that are not any more lose their
	/// session, and their tasks are drawn for again.
	pub fn set_registry(
		&mut self,
		registry: &RegistrySnapshot,
		now: Millis,
		rng: &mut dyn RngCore,
	) {
		self.advance(now);
		let registrations = &registry.miners;
		let registered: HashSet<Operator> =
			registrations.iter().map(|miner| miner.operator).collect();
		let gone: Vec<Operator> = self
			.miners
			.iter()
			.filter(|(operator, miner)| miner.registered && !registered.contains(*operator))
			.map(|(operator, _)| *operator)
			.collect();
		for operator in gone {
			self.unregister(operator, now);
		}
		self.enrol(registry);
		for registration in registrations {
			let operator = registration.operator;
			let place = self.roll.place(&operator).expect("it is enrolled; qed");
			let miner =
				self.miners.entry(operator).or_insert_with(|| Miner::new(registration.clone()));
			(miner.registered, miner.place) = (true, place);
			let tasks = &self.tasks;
			let held = |id: &TaskId| tasks.get(id).is_some_and(|task| task.hold.is_some());
			let restored = self.restored.remove(&operator).unwrap_or_default();
			miner.leases.extend(restored.into_iter().filter(held));
			if miner.registration != *registration {
				miner.registration = registration.clone();
			}
			self.refresh(operator);
		}
		// The holders of the others have been deregistered while the coordinator was away.
		for id in std::mem::take(&mut self.restored).into_values().flatten() {
			self.take_back(&id, None, false, now);
		}
		self.dispatch(now, rng);
	}

	/// Takes over where the registry was read, and, if others are in it than before, the places of all.
	fn enrol(&mut self, registry: &RegistrySnapshot) {
		let RegistrySnapshot { block, block_hash, era, miners } = registry;
		let mut miners: Vec<Operator> = miners.iter().map(|miner| miner.operator).collect();
		miners.sort_unstable();
		let moved = miners != self.roll.miners;
		self.roll = Roll { block: *block, block_hash: *block_hash, era: *era, miners };
		if !moved {
			return;
		}
		for miner in self.miners.values_mut().filter(|miner| miner.pooled.is_some()) {
			for offer in miner.link.iter().flat_map(|link| &link.models) {
				if let Some(pool) = self.pools.get_mut(&offer.name) {
					miner.expected += pool.remove(miner.place);
				}
			}
		}
		self.pools.clear();
		for (place, operator) in self.roll.miners.iter().enumerate() {
			let Some(miner) = self.miners.get_mut(operator) else { continue };
			miner.place = place;
			let Some(weight) = miner.pooled else { continue };
			for offer in miner.link.iter().flat_map(|link| &link.models) {
				self.pools.entry(offer.name.clone()).or_default().set(place, weight);
			}
		}
	}

	fn unregister(&mut self, operator: Operator, now: Millis) {
		let Some(miner) = self.miners.get_mut(&operator) else { return };
		miner.registered = false;
		if miner.link.is_some() {
			self.effects.unregistered.push(operator);
		}
		self.unlink(operator);
		self.return_leases(operator, now, |_| true);
		self.forget(operator);
	}

	/// Drops a miner that is not registered any more and holds nothing.
	pub(super) fn forget(&mut self, operator: Operator) {
		if self
			.miners
			.get(&operator)
			.is_some_and(|miner| !miner.registered && miner.occupied() == 0)
		{
			self.miners.remove(&operator);
		}
	}

	/// Whether the operator is an active registered miner's.
	pub fn is_registered(&self, operator: &Operator) -> bool {
		self.miners.get(operator).is_some_and(|miner| miner.registered)
	}

	/// A miner has logged in; its stash. An earlier login of the same operator is replaced; the
	/// leases that it holds stay its own.
	///
	/// # Errors
	///
	/// `NOT_REGISTERED` if it is not registered as an active miner.
	pub fn connect(
		&mut self,
		operator: Operator,
		login: Login,
		now: Millis,
		rng: &mut dyn RngCore,
	) -> Result<String, Refusal> {
		self.advance(now);
		if !self.is_registered(&operator) {
			return Err(Refusal::new(
				Code::NotRegistered,
				format!(
					"{operator} is not the operator of an active miner at the last finalized block"
				),
			));
		}
		self.unlink(operator);
		let miner = self.miners.get_mut(&operator).expect("it is registered; qed");
		miner.link = Some(Link {
			slots: login.slots as usize,
			models: login.models,
			devices: login.devices,
			speeds: login.speeds,
			last_heard: now,
			live: true,
			polling: true,
		});
		let stash = miner.stash().to_owned();
		self.timers.set(now + self.options.live_ms + 1, Timer::Stale(operator));
		self.refresh(operator);
		self.dispatch(now, rng);
		Ok(stash)
	}

	/// The connection of a miner has broken. It gets no more tasks; what it has picked up stays its
	/// own until the leases end.
	pub fn disconnect(&mut self, operator: Operator, now: Millis, rng: &mut dyn RngCore) {
		self.advance(now);
		self.unlink(operator);
		self.return_leases(operator, now, |hold| !hold.picked_up());
		self.dispatch(now, rng);
	}

	/// A miner has logged out: all that it holds is given back without fault.
	pub fn log_out(&mut self, operator: Operator, now: Millis, rng: &mut dyn RngCore) {
		self.advance(now);
		self.unlink(operator);
		self.return_leases(operator, now, |_| true);
		self.dispatch(now, rng);
	}

	/// A sign of life of a connected miner.
	pub fn heard(&mut self, operator: Operator, now: Millis, rng: &mut dyn RngCore) {
		self.advance(now);
		self.note_heard(operator, now);
		self.dispatch(now, rng);
	}

	pub(super) fn note_heard(&mut self, operator: Operator, now: Millis) {
		let Some(link) = self.miners.get_mut(&operator).and_then(|miner| miner.link.as_mut())
		else {
			return;
		};
		let live_ms = self.options.live_ms + 1;
		self.timers.call_off(link.last_heard + live_ms, Timer::Stale(operator));
		self.timers.set(now + live_ms, Timer::Stale(operator));
		link.last_heard = now;
		link.live = true;
		self.refresh(operator);
	}

	/// The miner has not been heard of for as long as live miners are.
	pub(super) fn went_silent(&mut self, operator: Operator) {
		if let Some(link) = self.miners.get_mut(&operator).and_then(|miner| miner.link.as_mut()) {
			link.live = false;
			self.refresh(operator);
		}
	}

	/// The miner has noticed, or must have, that a task which it worked on is gone.
	pub(super) fn release(&mut self, operator: Operator, id: &TaskId) {
		let Some(miner) = self.miners.get_mut(&operator) else { return };
		if let Some(until) = miner.releasing.remove(id) {
			self.timers.call_off(until, Timer::Release(operator, id.clone()));
			self.refresh(operator);
			self.forget(operator);
		}
	}

	fn unlink(&mut self, operator: Operator) {
		self.set_standing(operator, None, None);
		if let Some(miner) = self.miners.get_mut(&operator) {
			if let Some(link) = miner.link.take() {
				let stale = link.last_heard + self.options.live_ms + 1;
				self.timers.call_off(stale, Timer::Stale(operator));
			}
		}
	}

	/// Brings pools and the stake of models in line with the state of one miner.
	pub(super) fn refresh(&mut self, operator: Operator) {
		let Some(miner) = self.miners.get(&operator) else { return };
		let weight = miner.registration.weight;
		let link = miner.link.as_ref().filter(|link| miner.registered && link.live);
		let counted = link.map(|_| weight);
		let pooled = link
			.filter(|link| !self.draining && link.polling && miner.occupied() < link.slots)
			.map(|_| weight);
		self.set_standing(operator, counted, pooled);
	}

	fn set_standing(&mut self, operator: Operator, counted: Option<u128>, pooled: Option<u128>) {
		let Some(miner) = self.miners.get_mut(&operator) else { return };
		let models = || miner.link.iter().flat_map(|link| &link.models).map(|offer| &offer.name);
		if miner.counted != counted {
			let slots = miner.link.as_ref().map_or(0, |link| link.slots);
			for model in models() {
				let behind = self.live_stake.entry(model.clone()).or_default();
				if let Some(old) = miner.counted {
					behind.stake -= old;
					behind.miners -= 1;
					behind.slots -= slots;
				}
				if let Some(new) = counted {
					behind.stake += new;
					behind.miners += 1;
					behind.slots += slots;
				}
				if behind.miners == 0 {
					self.live_stake.remove(model);
				}
			}
			miner.counted = counted;
		}
		let models = || miner.link.iter().flat_map(|link| &link.models).map(|offer| &offer.name);
		if miner.pooled != pooled {
			for model in models() {
				let pool = self.pools.entry(model.clone()).or_default();
				miner.expected += match pooled {
					Some(weight) => {
						self.dirty.insert(model.clone());
						pool.set(miner.place, weight)
					},
					None => pool.remove(miner.place),
				};
				if pool.is_empty() {
					self.pools.remove(model);
				}
			}
			miner.pooled = pooled;
		}
	}

	/// Names of the models that live miners serve, most stake first.
	pub fn models(&self) -> Vec<&str> {
		let mut models: Vec<_> = self.live_stake.iter().collect();
		models.sort_by_key(|(_, behind)| Reverse(behind.stake));
		models.into_iter().map(|(model, _)| model.as_str()).collect()
	}

	/// Every registered active miner, most stake first.
	pub fn miners(&self) -> Vec<MinerView> {
		let mut miners: Vec<&Miner> =
			self.miners.values().filter(|miner| miner.registered).collect();
		miners.sort_by(|a, b| {
			let key = |miner: &Miner| Reverse(miner.registration.weight);
			key(a).cmp(&key(b)).then_with(|| a.stash().cmp(b.stash()))
		});
		let total = miners.iter().map(|miner| miner.registration.weight).sum();
		miners.into_iter().map(|miner| miner.view(total, &self.pools)).collect()
	}

	/// How the draws went for a miner.
	pub fn standing(&self, operator: &Operator) -> MinerStanding {
		let miner = self.miners.get(operator);
		miner.map(|miner| miner.standing(&self.pools)).unwrap_or_default()
	}

	/// How many miners are live.
	pub fn live_miners(&self) -> usize {
		self.miners.values().filter(|miner| miner.counted.is_some()).count()
	}

	/// How many miners are registered and active.
	pub fn registered_miners(&self) -> usize {
		self.miners.values().filter(|miner| miner.registered).count()
	}
}
