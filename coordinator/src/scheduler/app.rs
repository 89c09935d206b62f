//! Who offers tasks.

use crate::origin::origin;
use cuckoo_coordinator_api::{amount::Amount, task::TaskRequest};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};

/// Number of an account, in the order in which they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId(pub u64);

/// An app: whoever has the key of an account, or else whoever has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum App {
	/// With a key.
	Account(AccountId),
	/// Without one: made by [`App::at`].
	Address(IpAddr),
}

impl App {
	/// Whoever comes from an address without a key.
	pub fn at(address: IpAddr) -> Self {
		Self::Address(origin(address))
	}

	/// Its account, if it has one.
	pub fn account(&self) -> Option<AccountId> {
		match self {
			Self::Account(id) => Some(*id),
			Self::Address(_) => None,
		}
	}

	/// Whether it may see and stop what another app has offered. Those without a key are told apart by
	/// nothing that lasts: for them the name of a task, which cannot be guessed, is the proof.
	pub fn may_see(&self, other: &App) -> bool {
		self.account() == other.account()
	}
}

/// Nobody in particular, as from inside the program.
impl Default for App {
	fn default() -> Self {
		Self::Address(Ipv4Addr::UNSPECIFIED.into())
	}
}

/// A task that an app offers.
#[derive(Clone, Debug)]
pub struct Offer {
	/// Who offers it.
	pub app: App,
	/// What is asked for.
	pub request: TaskRequest,
	/// What it will cost if it is done.
	pub price: Amount,
}

/// From nobody in particular, and free.
impl From<TaskRequest> for Offer {
	fn from(request: TaskRequest) -> Self {
		Self { app: App::default(), request, price: Amount::ZERO }
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn only_the_same_account_sees_a_task() {
		let (one, other) = (App::Account(AccountId(1)), App::Account(AccountId(2)));
		assert!(one.may_see(&one) && !one.may_see(&other));
		assert!(!one.may_see(&App::default()) && !App::default().may_see(&one));
		assert!(App::default().may_see(&App::at("10.0.0.1".parse().unwrap())));
	}
}
