//! What must hold before a miner starts, in the order in which it is checked: the key, the models
//! and the device, the node, the chain, the registration. Each failure is one line that says what to
//! do.

use crate::{
	cli::MineArgs,
	context::{Context, Identity},
	history::History,
	models,
	sensors::Sensors,
	worker::Workers,
};
use anyhow::{anyhow, Context as _};
use cuckoo_chain_client::{
	format_cai, keys, watch_registry, AccountId32, Candidate, ChainClient, Registry, Role,
};
use cuckoo_diffusion::Device;
use std::{collections::HashMap, path::Path, sync::Arc};
use tokio::sync::watch;
use tracing::info;

/// A miner that may start.
pub struct Ready {
	/// What its parts share.
	pub context: Arc<Context>,
	/// The connection to the node.
	pub client: ChainClient,
	/// The registry at each finalized block.
	pub registry: watch::Receiver<Arc<Registry>>,
}

/// Checks everything and loads the models.
pub async fn prepare(args: &MineArgs) -> anyhow::Result<Ready> {
	let key_file = args.key.as_ref().context("--key FILE is needed")?;
	let keypair = keys::load(key_file, &args.password)?;
	let operator = keypair.public_key().to_account_id();
	let history = History::open(args.data.dir()?.join(operator.to_string()))?;

	let dir = args.models.as_ref().context("--models DIR is needed")?;
	let entries = models::entries(dir)?;
	let devices = args.devices();
	let sensors = Sensors::open();
	let budgets: HashMap<Device, u64> = devices
		.iter()
		.map(|device| {
			let budget = args.model_memory.unwrap_or_else(|| default_budget(&sensors, *device));
			(*device, budget)
		})
		.collect();
	let set_up = move |device| models::load(&entries, device, budgets[&device]);
	let (workers, served) = Workers::start(&devices, set_up)?;
	// They are the same on every device, up to the speed.
	let served = served.into_iter().next().unwrap_or_default();
	models::announce(served.iter().map(|served| &served.info));
	for activity in workers.activities() {
		info!("{} holds {}", activity.device, activity.loaded().join(", "));
	}

	let client = ChainClient::connect(&args.chain).await?;
	if let Some(expected) = args.genesis {
		client.ensure_genesis(expected.0)?;
	}

	let registry = watch_registry(client.clone()).await?;
	let candidate = client.candidate_by_operator(&operator).await?;
	let minimum = client.minimum_stake(Role::Miner).await?;
	let candidate = check_registration(candidate, minimum).map_err(|missing| {
		let block = registry.borrow().block;
		let hint = missing.hint(&args.chain, key_file);
		anyhow!("at finalized block {block} the operator {operator} {missing}: {hint}")
	})?;
	info!(
		"mining as {operator} for the stash {}, stake {} CAI",
		candidate.stash,
		format_cai(candidate.weight)
	);

	let identity = Identity { keypair, stash: candidate.stash, genesis: client.genesis() };
	let (offers, speeds) = (models::offers(&served), models::speeds(&served));
	let slots = args.slots(devices.len());
	let context = Context::new(identity, offers, speeds, slots, workers, history, sensors);
	Ok(Ready { context: Arc::new(context), client, registry })
}

/// Three quarters of the device's memory, in bytes: rendering needs the rest. All, where nobody can say how
/// much there is: models go when it is full.
fn default_budget(sensors: &Sensors, device: Device) -> u64 {
	sensors.read(device).memory_total.map_or(u64::MAX, |total| total / 4 * 3)
}

/// Why an operator may not mine.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
	/// Nobody has named it as an operator.
	#[error("is not registered")]
	Registration,
	/// It serves another role.
	#[error("is registered as a {0}, not as a miner")]
	Role(Role),
	/// Its stash has too little of its own behind it.
	#[error(
		"is not active: the self-stake of its stash {stash} is {} CAI, the minimum is {} CAI",
		format_cai(*self_stake),
		format_cai(*minimum)
	)]
	Stake {
		/// Whose stake it is.
		stash: AccountId32,
		/// What it has, in planck.
		self_stake: u128,
		/// What it must have, in planck.
		minimum: u128,
	},
}

impl Missing {
	/// What to do about it.
	pub fn hint(&self, chain: &str, key_file: &Path) -> String {
		match self {
			Self::Registration => format!(
				"to register it, run `cuckoo-miner key prove --stash STASH --chain {chain} --key {}` \
				and send the call that it prints from the stash",
				key_file.display()
			),
			Self::Role(_) => "make another key with `cuckoo-miner key new`".into(),
			Self::Stake { .. } => {
				"add to it with staking.stake and staking.vote for the stash itself".into()
			},
		}
	}
}

/// The candidate that an operator serves, if it may mine; `minimum` in planck.
pub fn check_registration(
	candidate: Option<Candidate>,
	minimum: u128,
) -> Result<Candidate, Missing> {
	let candidate = candidate.ok_or(Missing::Registration)?;
	if candidate.role != Role::Miner {
		return Err(Missing::Role(candidate.role));
	}
	if !candidate.active {
		let Candidate { stash, self_stake, .. } = candidate;
		return Err(Missing::Stake { stash, self_stake, minimum });
	}
	Ok(candidate)
}

#[cfg(test)]
mod tests {
	use super::*;

	const CAI: u128 = 10u128.pow(18);

	fn candidate(role: Role, active: bool) -> Candidate {
		Candidate {
			stash: AccountId32([1; 32]),
			operator: AccountId32([2; 32]),
			role,
			weight: 30_000 * CAI,
			self_stake: 19_999 * CAI,
			active,
			registered_at: 0,
			name: String::new(),
			contact: String::new(),
			endpoints: vec![],
			certificate: None,
		}
	}

	#[test]
	fn each_missing_condition_is_named_with_what_to_do() {
		let told = |candidate| {
			let missing = check_registration(candidate, 20_000 * CAI).unwrap_err();
			format!("{missing}: {}", missing.hint("ws://n:1", Path::new("k")))
		};
		let unregistered = told(None);
		assert!(unregistered.contains("key prove --stash STASH --chain ws://n:1 --key k"));
		assert!(told(Some(candidate(Role::Coordinator, true))).contains("as a coordinator"));
		let poor = told(Some(candidate(Role::Miner, false)));
		assert!(poor.contains("is 19999 CAI, the minimum is 20000 CAI"), "{poor}");
		assert!(check_registration(Some(candidate(Role::Miner, true)), 20_000 * CAI).is_ok());
	}
}
