//! What the coordinator's operator may do with accounts, whether the coordinator runs or not.

use super::{Account, AccountChange, AccountEvent, Accounts, ApiKey, Limits};
use crate::scheduler::{AccountId, Millis};
use cuckoo_coordinator_api::{amount::Amount, app::AccountView};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// Longest name of an app, in bytes.
const NAME_BYTES: usize = 64;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Command {
	/// Make an account with a key.
	Add {
		/// Its name.
		name: String,
		/// What is put in.
		budget: Amount,
		/// What its app may do.
		limits: Limits,
	},
	/// Show all.
	List,
	/// Put money in.
	Deposit {
		/// Into which.
		name: String,
		/// How much.
		amount: Amount,
	},
	/// Take money out that is not set aside.
	Withdraw {
		/// Out of which.
		name: String,
		/// How much.
		amount: Amount,
	},
	/// Let its app do other things than before; what is not named stays.
	Limit {
		/// Which.
		name: String,
		/// Most requests a second; 0: no limit.
		requests_per_second: Option<u32>,
		/// Most tasks under way at once; 0: no limit.
		in_flight: Option<u32>,
	},
	/// Replace its key.
	NewKey {
		/// Which.
		name: String,
	},
	/// Refuse its key from now on.
	Revoke {
		/// Which.
		name: String,
	},
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Reply {
	/// A key was made, which is shown only now.
	Key {
		/// The secret.
		secret: String,
		/// The account.
		account: AccountView,
	},
	/// The account as it is now.
	Account(AccountView),
	/// All accounts, in the order in which they were made.
	Accounts(Vec<AccountView>),
}

/// Why it is not done. Each is one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum CommandError {
	/// There is no account of this name.
	#[error("there is no app {0:?}; `app list` shows those that there are")]
	Unknown(String),
	/// There is one already.
	#[error("there is an app {0:?} already; choose another name, or give that one a new key with `app new-key`")]
	Taken(String),
	/// The name cannot be used.
	#[error(
		"{0:?} cannot be the name of an app: it must have 1 to 64 bytes and no control characters"
	)]
	BadName(String),
	/// Its key was revoked, for good.
	#[error("the key of app {0:?} was revoked; make another app")]
	Revoked(String),
	/// There is less in it.
	#[error("app {name:?} has {balance} plancks that can be taken out")]
	TooLittle {
		/// Its name.
		name: String,
		/// What there is.
		balance: Amount,
	},
	/// More than can be counted.
	#[error("app {0:?} would have more plancks than can be counted")]
	TooMuch(String),
	/// It cannot be kept.
	#[error("this could not be kept: {0}")]
	NotKept(String),
}

impl Accounts {
	/// Does what the operator wants: the answer, and what has happened, which is to be kept before the
	/// answer goes out. The generator, from which keys come, is to be the operating system's.
	///
	/// # Errors
	///
	/// Why it is not done; nothing has happened then.
	pub fn execute(
		&mut self,
		command: Command,
		now: Millis,
		rng: &mut dyn RngCore,
	) -> Result<(Reply, Vec<AccountEvent>), CommandError> {
		let mut events = Vec::new();
		let mut happens = |account, what| events.push(AccountEvent { account, at: now, what });
		let mut secret = None;
		let id = match command {
			Command::List => {
				let per_unit = self.options.prices.per_unit();
				let views = self.by_id.values().map(|account| account.view(per_unit)).collect();
				return Ok((Reply::Accounts(views), events));
			},
			Command::Add { name, budget, limits } => {
				if !(1..=NAME_BYTES).contains(&name.len()) || name.contains(char::is_control) {
					return Err(CommandError::BadName(name.chars().take(NAME_BYTES).collect()));
				}
				if self.by_id.values().any(|account| account.name == name) {
					return Err(CommandError::Taken(name));
				}
				let id = AccountId(self.by_id.keys().last().map_or(1, |last| last.0 + 1));
				let (drawn, key, key_prefix) = new_key(rng);
				secret = Some(drawn);
				happens(id, AccountChange::Made { name, key, key_prefix, limits });
				if budget > Amount::ZERO {
					happens(id, AccountChange::Deposited(budget));
				}
				id
			},
			Command::Deposit { name, amount } => {
				let account = self.usable(&name)?;
				if account.total().and_then(|total| total.checked_add(amount)).is_none() {
					return Err(CommandError::TooMuch(name));
				}
				happens(account.id, AccountChange::Deposited(amount));
				account.id
			},
			Command::Withdraw { name, amount } => {
				let account = self.named(&name)?;
				let balance = account.balance;
				if balance < amount {
					return Err(CommandError::TooLittle { name, balance });
				}
				happens(account.id, AccountChange::Withdrawn(amount));
				account.id
			},
			Command::Limit { name, requests_per_second, in_flight } => {
				let account = self.usable(&name)?;
				let before = account.limits;
				happens(
					account.id,
					AccountChange::Limited(Limits {
						requests_per_second: requests_per_second
							.map_or(before.requests_per_second, NonZeroU32::new),
						in_flight: in_flight.map_or(before.in_flight, NonZeroU32::new),
					}),
				);
				account.id
			},
			Command::NewKey { name } => {
				let account = self.usable(&name)?;
				let (drawn, key, key_prefix) = new_key(rng);
				secret = Some(drawn);
				happens(account.id, AccountChange::Rekeyed { key, key_prefix });
				account.id
			},
			Command::Revoke { name } => {
				let account = self.usable(&name)?;
				happens(account.id, AccountChange::Revoked);
				account.id
			},
		};
		for event in &events {
			self.happen(event);
		}
		let account = self.by_id[&id].view(self.options.prices.per_unit());
		let reply = match secret {
			Some(secret) => Reply::Key { secret, account },
			None => Reply::Account(account),
		};
		Ok((reply, events))
	}

	fn happen(&mut self, event: &AccountEvent) {
		if let Some(account) = self.by_id.get_mut(&event.account) {
			self.by_key.remove(&account.key);
			account.apply(event).expect("it was checked before; qed");
			self.by_key.insert(account.key, account.id);
		} else if let Some(account) = Account::made(event) {
			self.by_key.insert(account.key, account.id);
			self.by_id.insert(account.id, account);
		}
	}

	fn named(&self, name: &str) -> Result<&Account, CommandError> {
		let found = self.by_id.values().find(|account| account.name == name);
		found.ok_or_else(|| CommandError::Unknown(name.to_owned()))
	}

	fn usable(&self, name: &str) -> Result<&Account, CommandError> {
		let account = self.named(name)?;
		match account.revoked_at {
			Some(_) => Err(CommandError::Revoked(name.to_owned())),
			None => Ok(account),
		}
	}
}

fn new_key(rng: &mut dyn RngCore) -> (String, super::KeyHash, String) {
	let key = ApiKey::draw(rng);
	(key.reveal().to_owned(), key.hash(), key.prefix().to_owned())
}
