//! The accounts of apps: keys, limits and money.
//!
//! A task that is offered with a key sets its price aside on the account of the key; a task that is done
//! spends it, and one that ends otherwise gives it back. All three follow from what happens to the task,
//! by one function ([`Account::follow`]): at once in memory, and in the store in the transaction that
//! writes what happened.
//!
//! - `key`: the secrets that apps have; `account`: what is kept of one; `rate`: requests a second;
//! - `command`: what the coordinator's operator may do with accounts;
//! - `options`: what apps may do, and what it costs; `price`: the price of a task.

mod account;
mod command;
mod key;
mod options;
mod price;
mod rate;
#[cfg(test)]
mod tests;

pub use account::{Account, AccountChange, AccountEvent, Limits, Unbalanced};
pub use command::{Command, CommandError, Reply};
pub use key::{ApiKey, KeyHash};
pub use options::{Access, AppOptions, AppOptionsArgs};
pub use price::Prices;

use crate::scheduler::{AccountId, App, Change, Millis, TaskRecord, What};
use cuckoo_coordinator_api::{
	amount::Amount,
	app::AccountView,
	error::{Code, Refusal},
	task::TaskId,
};
use rate::TokenBucket;
use sp_crypto_hashing::blake2_256;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Seconds after which an app with too many tasks may have fewer.
const IN_FLIGHT_FOR: u32 = 5;
/// Apps whose rate is remembered; beyond, those are forgotten that have been silent for some time.
const MAX_BUCKETS: usize = 65_536;

/// All accounts, and what is known of those who have none.
#[derive(Debug)]
pub struct Accounts {
	options: AppOptions,
	by_id: BTreeMap<AccountId, Account>,
	by_key: HashMap<KeyHash, AccountId>,
	buckets: HashMap<App, TokenBucket>,
	/// Tasks under way of those without a key.
	anonymous: HashMap<IpAddr, u32>,
}

impl Accounts {
	/// As they are in the store, with the tasks that have not ended.
	pub fn new(options: AppOptions, accounts: Vec<Account>, unfinished: &[TaskRecord]) -> Self {
		let mut anonymous = HashMap::new();
		for record in unfinished {
			if let App::Address(address) = record.app {
				*anonymous.entry(address).or_default() += 1;
			}
		}
		let by_key = accounts.iter().map(|account| (account.key, account.id)).collect();
		let by_id = accounts.into_iter().map(|account| (account.id, account)).collect();
		Self { options, by_id, by_key, buckets: HashMap::new(), anonymous }
	}

	/// What apps may do.
	pub fn options(&self) -> &AppOptions {
		&self.options
	}

	/// Takes over what apps may do.
	pub fn set_options(&mut self, options: AppOptions) {
		self.options = options;
	}

	/// Whether nothing but public questions is answered without a key.
	pub fn need_key(&self) -> bool {
		match self.options.access {
			Access::Auto => !self.by_id.is_empty(),
			Access::Keys => true,
			Access::Open => false,
		}
	}

	/// Who asks: `secret` is what the client sent as its key, from `address`. Where no key is needed,
	/// secrets that are no keys of a coordinator count for nothing: many clients always send one.
	///
	/// # Errors
	///
	/// `UNAUTHORIZED` for a key that is unknown or revoked, and where one is needed for what is none.
	pub fn identify(&self, secret: Option<&str>, address: IpAddr) -> Result<App, Refusal> {
		let Some(secret) = secret else { return Ok(App::at(address)) };
		match self.by_key.get(&KeyHash::of(secret)) {
			Some(id) => {
				let app = App::Account(*id);
				self.live(&app).map(|_| app)
			},
			None if ApiKey::is_like(secret) || self.need_key() => Err(unauthorized(
				"this key is not known here; keys begin with ck_, and the coordinator's operator \
				makes them",
			)),
			None => Ok(App::at(address)),
		}
	}

	/// Lets an app ask something that is not public.
	///
	/// # Errors
	///
	/// `UNAUTHORIZED` if it has no key and needs one, or its key was revoked; `RATE_LIMITED` if it asks
	/// too often.
	pub fn allow(&mut self, app: &App, now: Millis) -> Result<(), Refusal> {
		let Some(rate) = self.limits(app)?.requests_per_second else { return Ok(()) };
		if self.buckets.len() >= MAX_BUCKETS {
			self.buckets.retain(|_, bucket| !bucket.is_idle(now));
		}
		let bucket = self.buckets.entry(*app).or_insert_with(|| TokenBucket::full(rate, now));
		bucket.take(rate, now).map_err(|wait_ms| {
			let why = format!("more than {rate} requests a second; try again later");
			Refusal::new(Code::RateLimited, why).retry_after(wait_ms.div_ceil(1000) as u32)
		})
	}

	/// Whether an app may offer a task at this price now.
	///
	/// # Errors
	///
	/// `UNAUTHORIZED`, `TOO_MANY_TASKS`, `INSUFFICIENT_BALANCE`.
	pub fn check_offer(&self, app: &App, price: Amount) -> Result<(), Refusal> {
		let limits = self.limits(app)?;
		let account = self.account(app);
		let open = match app {
			App::Account(_) => account.map_or(0, |account| account.in_flight),
			App::Address(address) => self.anonymous.get(address).copied().unwrap_or_default(),
		};
		if limits.in_flight.is_some_and(|most| open >= most.get()) {
			let why = format!(
				"{open} of your tasks are under way, which is as many as may be; wait until one has \
				ended"
			);
			return Err(Refusal::new(Code::TooManyTasks, why).retry_after(IN_FLIGHT_FOR));
		}
		match account {
			Some(account) if account.balance < price => {
				let why = format!(
					"the task costs {price} plancks and the account has {}; ask the coordinator's \
					operator to top it up",
					account.balance
				);
				Err(Refusal::new(Code::InsufficientBalance, why))
			},
			_ => Ok(()),
		}
	}

	/// What a task costs this app: nothing without an account.
	pub fn price(&self, app: &App, milliunits: u64) -> Amount {
		app.account().map_or(Amount::ZERO, |_| self.options.prices.price(milliunits))
	}

	/// Lets the accounts follow what has happened to a task.
	pub fn follow(&mut self, change: &Change) {
		match change.record.app {
			App::Account(id) => {
				let followed =
					self.by_id.get_mut(&id).map_or(Err(Unbalanced), |it| it.follow(change));
				if let Err(error) = followed {
					tracing::error!(task = %change.record.id, account = id.0, %error, "in memory");
				}
			},
			App::Address(address) => {
				let Some(event) = &change.event else { return };
				if matches!(event.what, What::Offered { .. }) {
					*self.anonymous.entry(address).or_default() += 1;
				} else if change.record.state.is_final() {
					let open = self.anonymous.get(&address).map_or(0, |open| open - 1);
					if open == 0 {
						self.anonymous.remove(&address);
					} else {
						self.anonymous.insert(address, open);
					}
				}
			},
		}
	}

	/// The account of an app as it sees it.
	///
	/// # Errors
	///
	/// `UNAUTHORIZED` if it has none.
	pub fn view(&self, app: &App) -> Result<AccountView, Refusal> {
		let account = self.account(app).ok_or_else(|| unauthorized("this needs a key"))?;
		Ok(account.view(self.options.prices.per_unit()))
	}

	/// What proves, in the address of a picture, that it came from the app that may see it: derived
	/// from its key, so that it ends with that. `None` if the app has no account.
	pub fn picture_token(&self, app: &App, task: &TaskId) -> Option<String> {
		let key = self.account(app)?.key;
		let text = [b"cuckoo picture", key.as_bytes(), task.as_str().as_bytes()].concat();
		Some(hex::encode(&blake2_256(&text)[..16]))
	}

	fn account(&self, app: &App) -> Option<&Account> {
		self.by_id.get(&app.account()?)
	}

	/// The account of an app, unless its key was revoked.
	fn live(&self, app: &App) -> Result<Option<&Account>, Refusal> {
		match self.account(app) {
			Some(account) if account.revoked_at.is_some() => {
				Err(unauthorized("this key was revoked by the coordinator's operator"))
			},
			account => Ok(account),
		}
	}

	fn limits(&self, app: &App) -> Result<Limits, Refusal> {
		match self.live(app)? {
			Some(account) => Ok(account.limits),
			None if self.need_key() => Err(unauthorized(
				"a key is needed: send it as `Authorization: Bearer KEY`, or as the password of HTTP \
				Basic",
			)),
			None => Ok(self.options.anonymous),
		}
	}
}

fn unauthorized(why: &str) -> Refusal {
	Refusal::new(Code::Unauthorized, why)
}
