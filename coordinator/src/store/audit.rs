//! Whether an account fits the tasks of its app and what was put in and taken out: what must hold of any
//! store that is opened, however the program that wrote it ended.

use super::StoreError;
use crate::accounts::{Account, AccountChange, AccountEvent};
use crate::scheduler::{App, TaskRecord};
use cuckoo_coordinator_api::amount::Amount;

/// Checks an account against its log and all tasks that have not ended: what can be spent, is set aside
/// and was spent is what was put in and not taken out; and as much is set aside, for as many tasks, as
/// the tasks under way say.
///
/// # Errors
///
/// What does not fit.
pub(super) fn check(
	account: &Account,
	events: &[AccountEvent],
	unfinished: &[TaskRecord],
) -> Result<(), StoreError> {
	let unbalanced = |why| Err(StoreError::Unbalanced { account: account.id.0, why });
	let paid_in = events.iter().try_fold(Amount::ZERO, |sum, event| match &event.what {
		AccountChange::Deposited(amount) => sum.checked_add(*amount),
		AccountChange::Withdrawn(amount) => sum.checked_sub(*amount),
		_ => Some(sum),
	});
	if paid_in.is_none() || paid_in != account.total() {
		return unbalanced(format!(
			"{} can be spent, {} is set aside and {} was spent, which is not what was put in",
			account.balance, account.reserved, account.spent
		));
	}
	let open = unfinished.iter().filter(|task| task.app == App::Account(account.id));
	let (mut tasks, mut reserved) = (0, Some(Amount::ZERO));
	for task in open {
		tasks += 1;
		reserved = reserved.and_then(|sum| sum.checked_add(task.price));
	}
	if (tasks, reserved) != (account.in_flight, Some(account.reserved)) {
		return unbalanced(format!(
			"{} is set aside for {} tasks, and {tasks} are under way, for {}",
			account.reserved,
			account.in_flight,
			reserved.unwrap_or_default()
		));
	}
	Ok(())
}
