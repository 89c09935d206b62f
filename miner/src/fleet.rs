//! All links of a miner: which coordinators to work for now, as the chain's registry changes and
//! coordinators come and go.

use crate::{
	context::Context,
	discovery::{draw, Coordinator, Selection},
	link::{Link, Orders, Status},
	report::{Counts, Standing},
	shutdown::Phase,
};
use anyhow::bail;
use cuckoo_chain_client::{AccountId32, Registry};
use rand::{rngs::StdRng, SeedableRng};
use std::{
	collections::BTreeMap,
	sync::Arc,
	time::{Duration, Instant},
};
use tokio::{
	sync::watch,
	task::JoinHandle,
	time::{interval_at, timeout},
};
use tracing::{info, warn};

/// How often links are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How often the miner says how it goes.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);
/// A coordinator that has been away for so long gives its place to another one, if there is one.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long it is passed over then.
const BENCH: Duration = Duration::from_mins(10);
/// How long links may take to say farewell when the miner stops at once.
const FAREWELL: Duration = Duration::from_secs(8);

struct Member {
	link: Arc<Link>,
	orders: watch::Sender<Orders>,
	task: JoinHandle<()>,
}

impl Member {
	fn lead(&self, phase: Phase) {
		self.orders.send_if_modified(|orders| {
			let changed = orders.phase < phase;
			orders.phase = orders.phase.max(phase);
			changed
		});
	}
}

/// The links of a miner.
pub struct Fleet {
	context: Arc<Context>,
	selection: Selection,
	rng: StdRng,
	/// Links that work.
	members: BTreeMap<AccountId32, Member>,
	/// Links that finish what they have in hand.
	leaving: BTreeMap<AccountId32, Member>,
	/// Coordinators that were away for long: passed over until then.
	benched: BTreeMap<AccountId32, Instant>,
	/// Eligible coordinators, when last looked at.
	eligible: usize,
}

impl Fleet {
	/// Without any link so far.
	pub fn new(context: Arc<Context>, selection: Selection) -> Self {
		Self {
			context,
			selection,
			rng: StdRng::from_entropy(),
			members: BTreeMap::new(),
			leaving: BTreeMap::new(),
			benched: BTreeMap::new(),
			eligible: 0,
		}
	}

	/// Works until `phase` says to leave; an error if the miner cannot work any more.
	pub async fn run(
		mut self,
		mut registry: watch::Receiver<Arc<Registry>>,
		phase: watch::Receiver<Phase>,
	) -> anyhow::Result<()> {
		let result = self.work(&mut registry, phase.clone()).await;
		if let Err(error) = &result {
			warn!("taking no more tasks: {error}");
		}
		self.leave(phase).await;
		info!("in total: {}", self.context.totals.snapshot());
		result
	}

	async fn work(
		&mut self,
		registry: &mut watch::Receiver<Arc<Registry>>,
		mut phase: watch::Receiver<Phase>,
	) -> anyhow::Result<()> {
		let operator = self.context.keypair.public_key().0;
		let started = tokio::time::Instant::now();
		let mut look = interval_at(started + LOOK_INTERVAL, LOOK_INTERVAL);
		let mut report = interval_at(started + REPORT_INTERVAL, REPORT_INTERVAL);
		let mut reported = Counts::default();
		registry.mark_changed();
		loop {
			tokio::select! {
				biased;
				_ = phase.wait_for(|phase| *phase > Phase::Work) => return Ok(()),
				changed = registry.changed() => if changed.is_err() {
					bail!("the registry of the chain is not followed any more");
				},
				_ = look.tick() => (),
				_ = report.tick() => {
					reported = self.report(&registry.borrow(), reported);
					continue;
				},
			}
			let now = Arc::clone(&registry.borrow_and_update());
			if !now.miners.iter().any(|miner| miner.operator.0 == operator) {
				bail!(
					"the key of this miner is not registered any more at finalized block {}",
					now.block
				);
			}
			if self.context.offers.borrow().is_empty() {
				bail!("no model is left that can be loaded: repair them, then start again");
			}
			self.follow(self.selection.eligible(&now.coordinators));
			self.publish(&now);
		}
	}

	/// Shows how the miner stands.
	fn publish(&self, registry: &Registry) {
		let operator = self.context.keypair.public_key().0;
		let active = || registry.miners.iter().filter(|miner| miner.active);
		let own = active().find(|miner| miner.operator.0 == operator);
		let standing = Standing {
			block: Some(registry.block),
			era: registry.era,
			weight: own.map_or(0, |miner| miner.weight),
			all_weight: active().map(|miner| miner.weight).sum(),
			links: self.members.values().map(|member| Arc::clone(&member.link)).collect(),
			no_work: (self.held() == 0).then(|| self.why_no_work(registry)),
		};
		*self.context.standing.lock() = standing;
	}

	/// How many tasks are in hand.
	fn held(&self) -> usize {
		self.members.values().chain(self.leaving.values()).map(|member| member.link.held()).sum()
	}

	/// How many coordinators are connected.
	fn up(&self) -> usize {
		self.members.values().filter(|member| member.link.status() == Status::Up).count()
	}

	/// Brings the links in line with the coordinators that may be worked for.
	fn follow(&mut self, eligible: Vec<Coordinator>) {
		self.leaving.retain(|_, member| !member.task.is_finished());
		self.eligible = eligible.len();
		let mut choice: BTreeMap<_, _> =
			eligible.into_iter().map(|coordinator| (coordinator.stash, coordinator)).collect();

		let mut gone = Vec::new();
		for (stash, member) in &self.members {
			match choice.remove(stash) {
				Some(coordinator) => {
					member.orders.send_if_modified(|orders| {
						let changed = orders.coordinator != coordinator;
						orders.coordinator = coordinator;
						changed
					});
				},
				None => gone.push(*stash),
			}
		}
		for stash in gone {
			self.retire(
				stash,
				"it is not an active coordinator any more, or has no endpoint to use",
			);
		}

		choice.retain(|stash, _| !self.leaving.contains_key(stash));
		self.benched.retain(|_, until| *until > Instant::now());
		let (benched, fresh): (Vec<_>, Vec<_>) =
			choice.into_values().partition(|c| self.benched.contains_key(&c.stash));
		self.replace_absent(fresh.len());

		let free = self.selection.count.saturating_sub(self.members.len());
		let mut drawn = draw(fresh, free, &mut self.rng);
		if drawn.len() < free {
			drawn.extend(draw(benched, free - drawn.len(), &mut self.rng));
		}
		for coordinator in drawn {
			self.add(coordinator);
		}
	}

	/// Makes room for up to `others` coordinators by letting those go that have been away for long.
	fn replace_absent(&mut self, others: usize) {
		let free = self.selection.count.saturating_sub(self.members.len());
		let absent: Vec<_> = self
			.members
			.iter()
			.filter(|(_, member)| {
				matches!(member.link.status(), Status::Down { since } if since.elapsed() >= PATIENCE)
			})
			.map(|(stash, _)| *stash)
			.take(others.saturating_sub(free))
			.collect();
		for stash in absent {
			self.benched.insert(stash, Instant::now() + BENCH);
			self.retire(stash, "it has been away for long, another one takes its place");
		}
	}

	fn add(&mut self, coordinator: Coordinator) {
		let stash = coordinator.stash;
		let (orders, receiver) = watch::channel(Orders { coordinator, phase: Phase::Work });
		let link = Link::new(Arc::clone(&self.context), receiver);
		let task = tokio::spawn(Arc::clone(&link).run());
		self.members.insert(stash, Member { link, orders, task });
	}

	fn retire(&mut self, stash: AccountId32, why: &str) {
		if let Some(member) = self.members.remove(&stash) {
			info!("leaving {}: {why}", member.link.name());
			member.lead(Phase::Drain);
			self.leaving.insert(stash, member);
		}
	}

	/// Lets all links finish what they have in hand, or stop at once when `phase` says so.
	async fn leave(&mut self, mut phase: watch::Receiver<Phase>) {
		self.leaving.append(&mut self.members);
		let held = self.held();
		if held > 0 {
			info!("finishing the tasks in hand: {held}; Ctrl-C again gives them back at once");
		}
		let lead = |fleet: &Self, phase| {
			for member in fleet.leaving.values() {
				member.lead(phase);
			}
		};
		lead(self, Phase::Drain);
		let finished = tokio::select! {
			() = finish(&mut self.leaving) => true,
			_ = phase.wait_for(|phase| *phase == Phase::Abort) => false,
		};
		if !finished {
			info!("stopping at once");
			lead(self, Phase::Abort);
			if timeout(FAREWELL, finish(&mut self.leaving)).await.is_err() {
				warn!("not every coordinator could be told");
			}
		}
	}

	/// Says how the last minute went, and why there was no work if there was none; the counts now.
	fn report(&self, registry: &Registry, before: Counts) -> Counts {
		let now = self.context.totals.snapshot();
		let minute = now.since(before);
		let (held, up) = (self.held(), self.up());
		info!(
			"last minute: {minute}; in hand: {held}; connected to {up} of {} coordinators; \
			since the start: {now}",
			self.members.len()
		);
		if minute.done == 0 && held == 0 {
			warn!("no work: {}", self.why_no_work(registry));
		}
		now
	}

	fn why_no_work(&self, registry: &Registry) -> String {
		let operator = self.context.keypair.public_key().0;
		let active = registry.miners.iter().any(|m| m.operator.0 == operator && m.active);
		if !active {
			"the self-stake of this miner is below the minimum, so coordinators give it nothing"
				.into()
		} else if registry.coordinators.is_empty() {
			format!("no coordinator is registered at finalized block {}", registry.block)
		} else if self.eligible == 0 {
			format!(
				"none of the {} registered coordinators is active, reachable by ws:// and left by \
				--coordinator and --block",
				registry.coordinators.len()
			)
		} else if self.up() == 0 {
			match self.members.values().find_map(|member| member.link.complaint()) {
				Some(why) => format!("none of the chosen coordinators can be worked for: {why}"),
				None => "none of the chosen coordinators can be reached".into(),
			}
		} else {
			match self.members.values().find_map(|member| member.link.complaint()) {
				Some(why) => format!("a coordinator gives none: {why}"),
				None => "the coordinators had no task for this miner".into(),
			}
		}
	}
}

/// Waits until every link has ended.
async fn finish(members: &mut BTreeMap<AccountId32, Member>) {
	while let Some(mut entry) = members.first_entry() {
		// A link that broke off has ended as well.
		let _ = (&mut entry.get_mut().task).await;
		entry.remove();
	}
}

#[cfg(test)]
mod tests;
