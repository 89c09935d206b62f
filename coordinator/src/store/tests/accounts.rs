//! Accounts in the store: written with the tasks that change them, and checked when it is opened.

use super::*;
use crate::accounts::{AccountChange, ApiKey, Limits};
use crate::scheduler::AccountId;
use rand::rngs::OsRng;
use redb::ReadableTable;

const ACCOUNT: AccountId = AccountId(7);

fn event(what: AccountChange) -> Entry {
	Entry::Account(AccountEvent { account: ACCOUNT, at: 0, what })
}

fn made() -> Entry {
	let key = ApiKey::draw(&mut OsRng);
	event(AccountChange::Made {
		name: "shop".into(),
		key: key.hash(),
		key_prefix: key.prefix().into(),
		limits: Limits::default(),
	})
}

fn deposited(amount: u128) -> Entry {
	event(AccountChange::Deposited(Amount(amount)))
}

fn money(store: &RedbStore) -> [u128; 3] {
	let account = &store.accounts().unwrap()[0];
	[account.balance.0, account.reserved.0, account.spent.0]
}

#[test]
fn an_account_changes_with_the_tasks_of_its_app_and_with_nothing_else() {
	let dir = tempfile::tempdir().unwrap();
	let store = open(dir.path()).unwrap();
	store.write(&[made(), deposited(10)]).unwrap();
	let (mut first, offered) = Story::offered_by(1, App::Account(ACCOUNT), Amount(3));
	let (mut second, second_offered) = Story::offered_by(2, App::Account(ACCOUNT), Amount(4));
	let (_, free) = Story::offered(3, 0);
	store.write(&[offered, second_offered, free]).unwrap();
	assert_eq!(money(&store), [3, 7, 0]);
	let leased = first.change(1, What::Leased(lease(1, 1)));
	store.write(&[leased, event(AccountChange::Withdrawn(Amount(1)))]).unwrap();
	assert_eq!(money(&store), [2, 7, 0]);
	let accepted = first.change(
		2,
		What::Accepted { lease: lease(1, 1), pictures: Vec::new(), result: String::new() },
	);
	store.write(&[accepted, second.cancelled(2)]).unwrap();
	assert_eq!(money(&store), [6, 0, 3]);
	drop(store);
	let store = open(dir.path()).unwrap();
	let unfinished = store.unfinished().unwrap();
	assert_eq!((unfinished.accounts.len(), unfinished.accounts[0].tasks_done), (1, 1));
	assert_eq!(store.account_events(ACCOUNT).unwrap().len(), 3);
	assert_eq!(store.account_events(AccountId(8)).unwrap(), []);
}

#[test]
fn a_group_that_does_not_balance_is_not_written_at_all() {
	let store = in_memory();
	store.write(&[made(), deposited(10)]).unwrap();
	let (_, too_dear) = Story::offered_by(1, App::Account(ACCOUNT), Amount(11));
	let error = store.write(&[deposited(0), too_dear]).unwrap_err().to_string();
	assert!(error.contains("account 7 does not balance"), "{error}");
	assert_eq!((money(&store), store.task(&id(1)).unwrap()), ([10, 0, 0], None));
	let (_, nobodys) = Story::offered_by(2, App::Account(AccountId(9)), Amount(0));
	assert!(store.write(&[nobodys]).is_err(), "there is no such account");
}

#[tokio::test]
async fn a_change_that_does_not_hold_costs_nothing() {
	let store = in_memory();
	store.write(&[made(), deposited(10)]).unwrap();
	let (mut story, offered) = Story::offered_by(1, App::Account(ACCOUNT), Amount(3));
	let ends = [story.cancelled(1), story.cancelled(1)];
	let (journal, _) = Journal::start(Box::new(store), &[], Durability::Commit);
	journal.written(journal.append(vec![offered])).await.unwrap();
	let [once, twice] = ends;
	journal.written(journal.append(vec![once])).await.unwrap();
	journal.written(journal.append(vec![twice])).await.unwrap_err();
	// Resolved twice it would not balance, and nothing more could be written.
	journal.written(journal.append(vec![deposited(1)])).await.unwrap();
}

#[test]
fn a_store_whose_accounts_do_not_fit_is_not_used() {
	let accounts: TableDefinition<u64, &[u8]> = TableDefinition::new("accounts");
	for (field, wrong, told) in [
		("balance", serde_json::json!("9"), "not what was put in"),
		("reserved", serde_json::json!("4"), "not what was put in"),
		("inFlight", serde_json::json!(2), "1 are under way"),
	] {
		let dir = tempfile::tempdir().unwrap();
		let store = open(dir.path()).unwrap();
		let (_, offered) = Story::offered_by(1, App::Account(ACCOUNT), Amount(3));
		store.write(&[made(), deposited(10), offered]).unwrap();
		store.unfinished().unwrap();
		let mut account = serde_json::to_value(&store.accounts().unwrap()[0]).unwrap();
		drop(store);
		account[field] = wrong;
		let database = Database::open(dir.path().join("tasks.redb")).unwrap();
		let write = database.begin_write().unwrap();
		let bytes = serde_json::to_vec(&account).unwrap();
		write.open_table(accounts).unwrap().insert(ACCOUNT.0, &*bytes).unwrap();
		write.commit().unwrap();
		drop(database);
		let error = open(dir.path()).unwrap().unfinished().unwrap_err().to_string();
		assert!(error.contains(told) && error.lines().count() == 1, "{error}");
	}
}

#[test]
fn a_store_from_before_there_were_accounts_goes_on() {
	let dir = tempfile::tempdir().unwrap();
	let (_, offered) = Story::offered(1, 5);
	open(dir.path()).unwrap().write(&[offered]).unwrap();
	let database = Database::open(dir.path().join("tasks.redb")).unwrap();
	let write = database.begin_write().unwrap();
	let meta: TableDefinition<&str, u64> = TableDefinition::new("meta");
	let events: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("events");
	write.open_table(meta).unwrap().insert("format", 2).unwrap();
	for name in ["accounts", "account events"] {
		let table: TableDefinition<u64, &[u8]> = TableDefinition::new(name);
		let events: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new(name);
		assert!(write.delete_table(table).is_ok() || write.delete_table(events).is_ok());
	}
	{
		let mut table = write.open_table(events).unwrap();
		let mut event: serde_json::Value =
			serde_json::from_slice(table.get((1, 1)).unwrap().unwrap().value()).unwrap();
		let fields = event["what"]["offered"].as_object_mut().unwrap();
		assert!(fields.remove("app").is_some() && fields.remove("price").is_some());
		table.insert((1, 1), &*serde_json::to_vec(&event).unwrap()).unwrap();
	}
	write.commit().unwrap();
	drop(database);
	let found = open(dir.path()).unwrap().unfinished().unwrap();
	assert_eq!((found.tasks.len(), found.accounts.len()), (1, 0));
	assert_eq!((found.tasks[0].app, found.tasks[0].price), (App::default(), Amount::ZERO));
}
