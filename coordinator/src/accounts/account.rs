//! What is kept of an account, and what can happen to it.

use super::key::KeyHash;
use crate::scheduler::{AccountId, Change, Millis, What};
use cuckoo_coordinator_api::{amount::Amount, app::AccountView};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// What an app may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
	/// Most requests a second in the long run; `None`: no limit.
	pub requests_per_second: Option<NonZeroU32>,
	/// Most tasks under way at once; `None`: no limit.
	pub in_flight: Option<NonZeroU32>,
}

/// The account of an app. [Events](AccountEvent) and the app's tasks make it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
	/// Its number.
	pub id: AccountId,
	/// Its name; no two have the same.
	pub name: String,
	/// What is kept of its key.
	pub key: KeyHash,
	/// How its key begins.
	pub key_prefix: String,
	/// What its app may do.
	pub limits: Limits,
	/// When it was made.
	pub made_at: Millis,
	/// When its key was revoked.
	pub revoked_at: Option<Millis>,
	/// What can be spent.
	pub balance: Amount,
	/// What is set aside for the tasks under way.
	pub reserved: Amount,
	/// What was paid for tasks that are done.
	pub spent: Amount,
	/// Tasks under way.
	pub in_flight: u32,
	/// Tasks that are done.
	pub tasks_done: u64,
	/// How many events have made it, its tasks aside.
	pub events: u32,
}

/// Something that was done to an account, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountEvent {
	/// To which.
	pub account: AccountId,
	/// When.
	pub at: Millis,
	/// What.
	pub what: AccountChange,
}

/// What can be done to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AccountChange {
	/// It was made.
	Made {
		/// Its name.
		name: String,
		/// What is kept of its key.
		key: KeyHash,
		/// How its key begins.
		key_prefix: String,
		/// What its app may do.
		limits: Limits,
	},
	/// Money was put in.
	Deposited(Amount),
	/// Money was taken out.
	Withdrawn(Amount),
	/// Its app may do other things than before.
	Limited(Limits),
	/// Its key was replaced.
	Rekeyed {
		/// What is kept of the new one.
		key: KeyHash,
		/// How the new one begins.
		key_prefix: String,
	},
	/// Its key is refused from now on.
	Revoked,
}

/// An account would have less than nothing, or more than there can be: what happened does not belong to
/// what happened before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account does not balance")]
pub struct Unbalanced;

impl Account {
	/// The account that an event makes; `None` if that event does not make one.
	pub fn made(event: &AccountEvent) -> Option<Self> {
		let AccountChange::Made { name, key, key_prefix, limits } = &event.what else {
			return None;
		};
		Some(Self {
			id: event.account,
			name: name.clone(),
			key: *key,
			key_prefix: key_prefix.clone(),
			limits: *limits,
			made_at: event.at,
			revoked_at: None,
			balance: Amount::ZERO,
			reserved: Amount::ZERO,
			spent: Amount::ZERO,
			in_flight: 0,
			tasks_done: 0,
			events: 1,
		})
	}

	/// Lets an event happen to the account.
	///
	/// # Errors
	///
	/// If more is taken out than is there, or more put in than can be counted.
	pub fn apply(&mut self, event: &AccountEvent) -> Result<(), Unbalanced> {
		match &event.what {
			// It begins an account and happens to none.
			AccountChange::Made { .. } => return Err(Unbalanced),
			AccountChange::Deposited(amount) => {
				// Whatever becomes of it, all sums stay within bounds.
				let all = self.total().and_then(|all| all.checked_add(*amount));
				all.ok_or(Unbalanced)?;
				self.balance = self.balance.checked_add(*amount).ok_or(Unbalanced)?;
			},
			AccountChange::Withdrawn(amount) => {
				self.balance = self.balance.checked_sub(*amount).ok_or(Unbalanced)?;
			},
			AccountChange::Limited(limits) => self.limits = *limits,
			AccountChange::Rekeyed { key, key_prefix } => {
				self.key = *key;
				self.key_prefix.clone_from(key_prefix);
			},
			AccountChange::Revoked => self.revoked_at = Some(event.at),
		}
		self.events += 1;
		Ok(())
	}

	/// Lets the account follow what has happened to a task of its app: the price is set aside with the
	/// offer, spent when the task is done, and given back when it ends otherwise.
	///
	/// # Errors
	///
	/// If there is less than is to be set aside, or less set aside than is resolved.
	pub fn follow(&mut self, change: &Change) -> Result<(), Unbalanced> {
		let Some(event) = &change.event else { return Ok(()) };
		let price = change.record.price;
		match &event.what {
			What::Offered { .. } => {
				pay(&mut self.balance, &mut self.reserved, price)?;
				self.in_flight += 1;
			},
			What::Accepted { .. } => {
				pay(&mut self.reserved, &mut self.spent, price)?;
				self.in_flight = self.in_flight.checked_sub(1).ok_or(Unbalanced)?;
				self.tasks_done += 1;
			},
			What::Ended { .. } => {
				pay(&mut self.reserved, &mut self.balance, price)?;
				self.in_flight = self.in_flight.checked_sub(1).ok_or(Unbalanced)?;
			},
			What::Leased(_) | What::Submitted | What::Rejected | What::Returned { .. } => {},
		}
		Ok(())
	}

	/// Everything that was put in and not taken out: what can be spent, is set aside and was spent.
	/// `None` if that cannot be counted.
	pub fn total(&self) -> Option<Amount> {
		self.balance.checked_add(self.reserved)?.checked_add(self.spent)
	}

	/// The account as its app sees it.
	pub fn view(&self, price_per_unit: Amount) -> AccountView {
		AccountView {
			name: self.name.clone(),
			key_prefix: self.key_prefix.clone(),
			balance: self.balance,
			reserved: self.reserved,
			spent: self.spent,
			price_per_unit,
			requests_per_second: self.limits.requests_per_second.map(NonZeroU32::get),
			max_in_flight: self.limits.in_flight.map(NonZeroU32::get),
			in_flight: self.in_flight,
			tasks_done: self.tasks_done,
			revoked: self.revoked_at.is_some(),
		}
	}
}

/// Moves an amount from one place to another.
fn pay(from: &mut Amount, to: &mut Amount, amount: Amount) -> Result<(), Unbalanced> {
	let (less, more) = (from.checked_sub(amount), to.checked_add(amount));
	(*from, *to) = less.zip(more).ok_or(Unbalanced)?;
	Ok(())
}
