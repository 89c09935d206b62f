//! The scheduler, and the accounts of the apps, under random sequences of events, with what must always
//! hold checked after each.
//!
//! Between it and its miners lies the worst of networks: whatever was once handed out may be answered at
//! any time later, any number of times, in any order, by anybody, or never; an assignment may not arrive.
//! Miners lie about tasks, attempts and leases. Time jumps, and at a restart the system's clock may be
//! set to anything.

mod event;

use self::event::{event, Event, Lie};
use super::tests::{login, operator, registration, registry, request};
use super::*;
use crate::accounts::{Account, AccountChange, AccountEvent, ApiKey, Limits};
use crate::assignment::vrf::tests::drawer;
use crate::registry::RegistrySnapshot;
use cuckoo_coordinator_api::{
	amount::Amount,
	miner::{Assignment, FailureReason, FailureReport, Heartbeat},
};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use std::collections::{HashMap, HashSet};

const MINERS: u8 = 6;
const MODELS: [&str; 3] = ["a", "b", "c"];
const APPS: u64 = 3;
/// What is put into the account of each app.
const BUDGET: Amount = Amount(1_000);

struct World {
	scheduler: Scheduler,
	rng: ChaCha20Rng,
	now: Millis,
	offered: Vec<TaskId>,
	/// Everything that was ever handed out, and to whom.
	held: Vec<(u8, Assignment)>,
	/// Tasks that have ended, and how.
	ended: HashMap<TaskId, TaskState>,
	/// Results that were accepted.
	accepted: HashMap<TaskId, (u32, String)>,
	/// What every miner was last given of a task it failed.
	failed_on: HashMap<TaskId, HashSet<u8>>,
	/// Who is registered, as bits, and with which weight.
	registered: (u8, u128),
	/// The log of every task.
	logs: HashMap<TaskId, Vec<super::Event>>,
	/// Every task as it was published last.
	published: HashMap<TaskId, TaskRecord>,
	/// The accounts of the apps, and what was put into them.
	accounts: Vec<Account>,
	paid_in: Vec<u128>,
	/// Tasks whose price was set aside, and what became of that.
	reservations: HashMap<TaskId, Option<TaskState>>,
}

fn app(n: u64) -> App {
	if n < APPS {
		App::Account(AccountId(n))
	} else {
		App::default()
	}
}

fn account(n: u64) -> Account {
	let key = ApiKey::draw(&mut ChaCha20Rng::seed_from_u64(n));
	let limits = Limits::default();
	let (name, key, key_prefix) = (n.to_string(), key.hash(), key.prefix().to_owned());
	let what = AccountChange::Made { name, key, key_prefix, limits };
	Account::made(&AccountEvent { account: AccountId(n), at: 0, what }).unwrap()
}

fn registrations(miners: u8, weight: u128) -> RegistrySnapshot {
	let miners = (0..MINERS).filter(|n| miners & (1 << n) != 0);
	registry(miners.map(|n| registration(n, weight * u128::from(n) + 1)).collect())
}

impl World {
	fn new() -> Self {
		let options = SchedulerOptions {
			deadline_ms: 120_000,
			max_queued: 20,
			..SchedulerOptions::default()
		};
		let mut world = Self {
			scheduler: Scheduler::new(options, drawer()),
			rng: ChaCha20Rng::seed_from_u64(5),
			now: 1_000_000,
			offered: Vec::new(),
			held: Vec::new(),
			ended: HashMap::new(),
			accepted: HashMap::new(),
			failed_on: HashMap::new(),
			registered: (0b11_1111, 10),
			logs: HashMap::new(),
			published: HashMap::new(),
			accounts: (0..APPS).map(account).collect(),
			paid_in: vec![0; APPS as usize],
			reservations: HashMap::new(),
		};
		for n in 0..APPS {
			world.pay(n, AccountChange::Deposited(BUDGET));
		}
		world.scheduler.set_registry(&registrations(0b11_1111, 10), world.now, &mut world.rng);
		world
	}

	/// Puts money into an account or takes it out, as far as there is enough.
	fn pay(&mut self, n: u64, what: AccountChange) {
		let paid = match what {
			AccountChange::Deposited(amount) => self.paid_in[n as usize] + amount.0,
			AccountChange::Withdrawn(amount) => self.paid_in[n as usize].saturating_sub(amount.0),
			_ => unreachable!(),
		};
		let event = AccountEvent { account: AccountId(n), at: self.now, what };
		if self.accounts[n as usize].apply(&event).is_ok() {
			self.paid_in[n as usize] = paid;
		}
	}

	fn held(&self, index: usize) -> Option<(u8, Assignment)> {
		let count = self.held.len();
		(count > 0).then(|| self.held[index % count].clone())
	}

	/// Whether an assignment is the current lease of its task.
	fn is_current(&self, held: &Assignment) -> bool {
		self.scheduler.tasks.get(&held.task_id).is_some_and(|task| {
			task.record.attempt == held.attempt
				&& task.record.lease.as_ref().is_some_and(|lease| lease.token == held.lease)
		})
	}

	/// Whether the lease of an assignment has ended only because its miner was silent.
	fn is_late(&self, held: &Assignment) -> bool {
		self.scheduler
			.tasks
			.get(&held.task_id)
			.is_some_and(|task| task.record.late.iter().any(|lease| lease.token == held.lease))
	}

	fn submit(&mut self, miner: u8, held: &Assignment, good: bool) -> Result<(), Refusal> {
		let Assignment { task_id, attempt, lease, .. } = held;
		let (now, rng) = (self.now, &mut self.rng);
		self.scheduler.submit(operator(miner), task_id, *attempt, lease, now, rng)?;
		if good {
			self.scheduler.accept(task_id, *attempt, lease, Verified::default(), now, rng)?;
			let before = self.accepted.insert(task_id.clone(), (*attempt, lease.clone()));
			assert_eq!(before, None, "a result was accepted twice");
		} else {
			self.scheduler.reject(task_id, *attempt, lease, now);
		}
		Ok(())
	}

	/// Nothing that a miner may say about a lease works for this one, and none of it changes the task.
	fn is_refused(&mut self, miner: u8, made_up: &Assignment) {
		let Assignment { task_id, attempt, lease, .. } = made_up.clone();
		let (now, operator) = (self.now, operator(miner));
		// Whatever is due happens first.
		self.scheduler.tick(now, &mut self.rng);
		let task = |world: &Self| Some(world.scheduler.tasks.get(&task_id)?.record.clone());
		let before = task(self);
		let beat =
			Heartbeat { task_id: task_id.clone(), attempt, lease: lease.clone(), step: u32::MAX };
		let report = FailureReport {
			task_id: task_id.clone(),
			attempt,
			lease: lease.clone(),
			reason: FailureReason::Internal,
			message: String::new(),
		};
		let scheduler = &mut self.scheduler;
		assert!(scheduler.heartbeat(operator, &beat, now, &mut self.rng).is_err());
		assert!(scheduler.fail(operator, &report, now, &mut self.rng).is_err());
		assert!(scheduler.uploading(&task_id, attempt, &lease, now).is_err());
		assert!(self.submit(miner, made_up, true).is_err());
		let after = task(self);
		// It may have been leased, to whoever is free now: the liar was heard of.
		if before.as_ref().is_none_or(|task| task.state != TaskState::Queued) {
			assert_eq!(before, after);
		}
	}

	fn apply(&mut self, event: Event) {
		let (now, rng) = (self.now, &mut self.rng);
		match event {
			Event::Offer { model, app: n, price, images } => {
				let request = TaskRequest { images, ..request(model.map(|model| MODELS[model])) };
				let price = if n < APPS { Amount(price) } else { Amount::ZERO };
				if self.accounts.get(n as usize).is_some_and(|account| account.balance < price) {
					return;
				}
				let offer = Offer { app: app(n), request, price };
				if let Ok(record) = self.scheduler.offer(offer, now, rng) {
					// Tasks that come back from a miner may exceed the bound: they were taken in.
					assert!(self.scheduler.queued() <= self.scheduler.options.max_queued);
					self.offered.push(record.id);
				}
			},
			Event::Deposit { app, amount, out } => {
				let amount = Amount(amount);
				let deposited = AccountChange::Deposited(amount);
				self.pay(app, if out { AccountChange::Withdrawn(amount) } else { deposited });
			},
			Event::Cancel { task } => {
				if !self.offered.is_empty() {
					let id = self.offered[task % self.offered.len()].clone();
					let cancelled = self.scheduler.cancel(&id, now, rng).is_some();
					// It works exactly if the task had not ended, by this or by what was due before.
					assert!(!cancelled || !self.ended.contains_key(&id));
					assert!(!self.scheduler.tasks.contains_key(&id));
				}
			},
			Event::Connect { miner, slots, models } => {
				let models: Vec<&str> =
					(0..3).filter(|bit| models & (1 << bit) != 0).map(|bit| MODELS[bit]).collect();
				let known = self.scheduler.is_registered(&operator(miner));
				let login = login(slots, &models);
				let connected = self.scheduler.connect(operator(miner), login, now, rng);
				assert_eq!(connected.is_ok(), known);
			},
			Event::Disconnect { miner } => self.scheduler.disconnect(operator(miner), now, rng),
			Event::LogOut { miner } => self.scheduler.log_out(operator(miner), now, rng),
			Event::Heard { miner } => self.scheduler.heard(operator(miner), now, rng),
			Event::PickUp { miner, arrives } => {
				if let Some(held) = self.scheduler.pick_up(operator(miner), now, rng) {
					let failed = self.failed_on.entry(held.task_id.clone()).or_default();
					assert!(!failed.contains(&miner), "a miner was given again what it failed");
					let least = self.scheduler.options.lease_ms;
					assert!((least..=600_000).contains(&held.lease_ms), "{}", held.lease_ms);
					if arrives {
						self.held.push((miner, held));
					}
				}
			},
			Event::Upload { held } => {
				if let Some((_, held)) = self.held(held) {
					let Assignment { task_id, attempt, lease, .. } = &held;
					let taken = self.scheduler.uploading(task_id, *attempt, lease, now).is_ok();
					assert_eq!(taken, self.is_current(&held) || self.is_late(&held));
				}
			},
			Event::Heartbeat { held } => {
				if let Some((miner, held)) = self.held(held) {
					let beat = Heartbeat {
						task_id: held.task_id.clone(),
						attempt: held.attempt,
						lease: held.lease.clone(),
						step: 1,
					};
					let (now, rng) = (self.now, &mut self.rng);
					let kept = self.scheduler.heartbeat(operator(miner), &beat, now, rng).is_ok();
					assert_eq!(kept, self.is_current(&held));
				}
			},
			Event::Submit { held, good } => {
				if let Some((miner, held)) = self.held(held) {
					let taken = self.submit(miner, &held, good).is_ok();
					assert!(taken || !self.is_current(&held));
					assert!(taken || !self.is_late(&held), "a late result is refused");
				}
			},
			Event::Fail { held, reason } => {
				if let Some((miner, held)) = self.held(held) {
					let report = FailureReport {
						task_id: held.task_id.clone(),
						attempt: held.attempt,
						lease: held.lease.clone(),
						reason,
						message: String::new(),
					};
					let (now, rng) = (self.now, &mut self.rng);
					let taken = self.scheduler.fail(operator(miner), &report, now, rng).is_ok();
					assert!(!self.is_current(&held));
					if taken && reason.is_fault() {
						self.failed_on.entry(held.task_id).or_default().insert(miner);
					}
				}
			},
			Event::Steal { held, miner } => {
				if let Some((owner, held)) = self.held(held) {
					if owner != miner {
						assert!(self.submit(miner, &held, true).is_err());
					}
				}
			},
			Event::Lie { held, lie } => {
				if let Some((miner, mut held)) = self.held(held) {
					match lie {
						Lie::Task => held.task_id = TaskId::from_bytes([0; 16]),
						Lie::LaterAttempt => held.attempt += 1,
						Lie::EarlierAttempt => held.attempt -= 1,
						Lie::Lease => held.lease = "0".repeat(32),
					}
					self.is_refused(miner, &held);
				}
			},
			Event::Register { miners, weight } => {
				self.registered = (miners, weight);
				self.scheduler.set_registry(&registrations(miners, weight), now, rng);
			},
			Event::Restart { orderly, clock } => {
				if orderly {
					self.scheduler.drain(now);
					self.check();
					assert!(self.scheduler.offer(request(None), now, &mut self.rng).is_err());
				}
				self.check_published();
				// As the service's clock does: it never starts before the latest time on record.
				let latest = self.published.values().map(|record| record.changed_at).max();
				let system = self.now.saturating_add_signed(clock);
				self.now = system.max(latest.unwrap_or_default());
				let mut unfinished: Vec<TaskRecord> = self
					.published
					.values()
					.filter(|record| !record.state.is_final())
					.cloned()
					.collect();
				unfinished.sort_by_key(|record| record.sequence);
				let next = self.scheduler.next_sequence;
				let mut restarted = Scheduler::new(self.scheduler.options.clone(), drawer());
				restarted.restore(unfinished, next, self.now);
				self.scheduler = restarted;
				let (miners, weight) = self.registered;
				let registrations = registrations(miners, weight);
				self.scheduler.set_registry(&registrations, self.now, &mut self.rng);
			},
			Event::Pass { ms } => {
				self.now += ms;
				self.scheduler.tick(self.now, &mut self.rng);
			},
		}
	}

	fn check(&mut self) {
		self.check_published();
		let scheduler = &self.scheduler;

		// Every task that was taken in is there or has ended.
		assert_eq!(scheduler.tasks.len() + self.ended.len(), self.offered.len());
		assert!(self
			.offered
			.iter()
			.all(|id| { scheduler.tasks.contains_key(id) != self.ended.contains_key(id) }));
		let done = self.ended.values().filter(|state| **state == TaskState::Done).count();
		assert_eq!(done, self.accepted.len());

		// A task waits in exactly one queue, or is held under exactly one lease.
		let mut waiting = HashSet::new();
		for (model, queue) in &scheduler.queues {
			assert!(!queue.is_empty());
			for id in queue.checked() {
				assert_eq!(&scheduler.tasks[&id].record.spec.model, model);
				assert!(waiting.insert(id));
			}
		}
		assert_eq!(scheduler.queued(), waiting.len());
		let mut leased = HashSet::new();
		for (operator, miner) in &scheduler.miners {
			for id in &miner.leases {
				let hold = scheduler.tasks[id].hold.as_ref().expect("a held task has a lease");
				assert_eq!(hold.miner, *operator);
				assert_eq!(!hold.picked_up(), miner.to_pick_up.contains(id));
				assert!(hold.expires >= self.now, "a lease outlived its end");
				assert!(leased.insert(id.clone()), "a task is in two leases");
			}
			assert!(miner.to_pick_up.iter().all(|id| miner.leases.contains(id)));
			assert!(miner.releasing.keys().all(|id| self.ended.contains_key(id)));
		}
		for (id, task) in &scheduler.tasks {
			assert_eq!(task.record.state == TaskState::Queued, waiting.contains(id));
			assert_eq!(task.hold.is_some(), leased.contains(id));
			assert_eq!(task.hold.is_some(), task.record.lease.is_some());
			assert!(waiting.contains(id) != leased.contains(id));
			assert!(task.record.faults < scheduler.options.max_faults);
			assert!(task.record.deadline > self.now);
		}

		self.check_timers();

		// All money is somewhere, and what is set aside is set aside for a task that has not ended.
		for ((account, paid_in), n) in self.accounts.iter().zip(&self.paid_in).zip(0..) {
			assert_eq!(account.total(), Some(Amount(*paid_in)));
			let open = scheduler.tasks.values().map(|task| &task.record);
			let open: Vec<u128> =
				open.filter(|record| record.app == app(n)).map(|record| record.price.0).collect();
			assert_eq!(account.reserved, Amount(open.iter().sum()));
			assert_eq!(account.in_flight as usize, open.len());
			let done = self
				.published
				.values()
				.filter(|record| record.app == app(n) && record.state == TaskState::Done);
			assert_eq!(account.spent, Amount(done.map(|record| record.price.0).sum()));
		}

		// Exactly the miners that could take a task of a model are in its pool.
		for view in scheduler.miners() {
			let n: u8 = view.stash.trim_start_matches("stash ").parse().unwrap();
			let miner = &scheduler.miners[&operator(n)];
			let occupied = miner.occupied();
			for model in MODELS {
				let place =
					scheduler.roll.place(&operator(n)).expect("the view is of a registered one");
				let pooled = scheduler.pools.get(model).is_some_and(|pool| pool.contains(place));
				let serves = view.models.iter().any(|served| served == model);
				assert_eq!(pooled, serves && miner.is_waiting() && !scheduler.draining);
				if pooled {
					assert!(view.live && occupied < view.slots as usize);
				}
			}
		}
		assert!(scheduler.pools.values().all(|pool| !pool.is_empty()));
	}

	/// What is to happen by itself is exactly what the state asks for: nothing is forgotten, and nothing
	/// is left over.
	fn check_timers(&self) {
		let scheduler = &self.scheduler;
		let mut expected = Vec::new();
		for (id, task) in &scheduler.tasks {
			expected.push((task.record.deadline, Timer::Deadline(id.clone())));
			let lease = task.hold.iter().map(|hold| (hold.expires, Timer::Lease(id.clone())));
			expected.extend(lease);
		}
		for (operator, miner) in &scheduler.miners {
			let until = miner.releasing.iter();
			expected.extend(until.map(|(id, at)| (*at, Timer::Release(*operator, id.clone()))));
		}
		expected.sort();
		let is_stale = |timer: &&(Millis, Timer)| matches!(timer.1, Timer::Stale(_));
		let (stale, others): (Vec<_>, Vec<_>) = scheduler.timers.iter().partition(is_stale);
		assert_eq!(others.into_iter().cloned().collect::<Vec<_>>(), expected);
		let live = scheduler.live_miners();
		assert!(live <= stale.len() && stale.len() <= scheduler.miners.len(), "{stale:?}");
	}

	/// A miner that was drawn could be drawn: it is live, serves the model and has not failed the task.
	fn check_drawn(&self, record: &TaskRecord, lease: &LeaseRecord) {
		let current = self.scheduler.tasks.get(&record.id).map(|task| &task.record);
		if current.is_none_or(|now| now.lease.as_ref() != Some(lease)) {
			return;
		}
		let views = self.scheduler.miners();
		let view = views.iter().find(|view| view.stash == lease.miner);
		let view = view.expect("a miner that is not registered was drawn");
		assert!(view.live && view.models.contains(&record.spec.model), "{view:?}");
		assert!(!record.excluded(record.changed_at).contains(&lease.operator));
	}

	/// What the scheduler publishes is consistent with itself: an end is told exactly once and last,
	/// each change starts where the one before ended, and the log tells the whole record.
	fn check_published(&mut self) {
		for Change { from, event, record, draw } in self.scheduler.take_effects().changed {
			let record = TaskRecord::clone(&record);
			let before = self.published.get(&record.id);
			assert_eq!(from, before.map(TaskRecord::version));
			let leased = match event.as_ref().map(|event| &event.what) {
				Some(What::Leased(lease)) => Some((lease.attempt, lease.operator.0)),
				_ => None,
			};
			assert_eq!(draw.map(|draw| (draw.attempt, draw.miner.0)), leased);
			let Some(event) = event else {
				assert_eq!(Some(record.version()), from, "progress changes nothing else");
				continue;
			};
			if let App::Account(AccountId(n)) = record.app {
				let change = Change {
					from,
					event: Some(event.clone()),
					record: record.clone().into(),
					draw: None,
				};
				self.accounts[n as usize].follow(&change).expect("it balances");
			}
			let resolved = match event.what {
				What::Offered { .. } => Some(None),
				What::Accepted { .. } | What::Ended { .. } => Some(Some(record.state)),
				_ => None,
			};
			if let Some(resolved) = resolved {
				let before = self.reservations.insert(record.id.clone(), resolved);
				assert_eq!(before, resolved.map(|_| None), "resolved once, after it was made");
			}
			let log = self.logs.entry(record.id.clone()).or_default();
			log.push(event.clone());
			if let What::Leased(lease) = &event.what {
				self.check_drawn(&record, lease);
			}
			let log = &self.logs[&record.id];
			assert_eq!(TaskRecord::rebuild(log.clone()).as_ref(), Some(&record));
			self.published.insert(record.id.clone(), record.clone());
			assert!(!self.ended.contains_key(&record.id), "something after the end");
			let held = matches!(record.state, TaskState::Leased | TaskState::Verifying);
			assert_eq!(record.lease.is_some(), held || record.state == TaskState::Done);
			assert_eq!(
				record.failure.is_some(),
				matches!(record.state, TaskState::Failed | TaskState::Expired)
			);
			if record.state == TaskState::Done {
				let accepted = &self.accepted[&record.id];
				assert_eq!(Some(&accepted.1), record.lease.as_ref().map(|lease| &lease.token));
			}
			if record.state.is_final() {
				self.ended.insert(record.id, record.state);
			}
		}
	}
}

proptest! {
	#![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

	#[test]
	fn whatever_happens_every_task_ends_once_and_no_slot_is_overused(
		events in prop::collection::vec(event(), 1..300),
	) {
		let mut world = World::new();
		for event in events {
			let before = occupied(&world);
			world.apply(event);
			world.check();
			for (operator, now) in occupied(&world) {
				// A miner may come back with fewer slots than it has tasks; it gets no more then.
				let slots = slots(&world, &operator);
				let had = before.get(&operator).copied().unwrap_or(0);
				prop_assert!(now <= slots || now <= had, "{now} > {slots}, {had}");
			}
		}
		// Time ends everything that is left.
		for _ in 0..4 {
			world.apply(Event::Pass { ms: 61_000 });
			world.check();
		}
		prop_assert_eq!(world.ended.len(), world.offered.len());
		prop_assert!(world.reservations.values().all(Option::is_some));
		prop_assert!(world.accounts.iter().all(|account| account.reserved == Amount::ZERO));
		prop_assert!(occupied(&world).values().all(|count| *count == 0));
	}
}

fn occupied(world: &World) -> HashMap<Operator, usize> {
	world.scheduler.miners.iter().map(|(operator, miner)| (*operator, miner.occupied())).collect()
}

fn slots(world: &World, operator: &Operator) -> usize {
	let views = world.scheduler.miners();
	let address = format!("operator {}", operator.0[0]);
	let view = views.iter().find(|view| view.operator == address);
	view.map_or(0, |view| view.slots as usize)
}
