//! What apps may do, and what their operator may do with their accounts.

use super::*;
use crate::scheduler::{Event, TaskRecord};
use cuckoo_coordinator_api::task::{TaskRequest, TaskState};
use rand::rngs::OsRng;
use std::num::NonZeroU32;
use std::sync::Arc;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn accounts(options: AppOptions) -> Accounts {
	Accounts::new(options, Vec::new(), &[])
}

fn limits(requests_per_second: u32, in_flight: u32) -> Limits {
	Limits {
		requests_per_second: NonZeroU32::new(requests_per_second),
		in_flight: NonZeroU32::new(in_flight),
	}
}

impl Accounts {
	fn add(&mut self, name: &str, budget: u128, limits: Limits) -> (String, App) {
		let command = Command::Add { name: name.into(), budget: Amount(budget), limits };
		let secret = self.key_by(command);
		let app = self.identify(Some(&secret), HERE).unwrap();
		(secret, app)
	}

	fn key_by(&mut self, command: Command) -> String {
		match self.execute(command, 0, &mut OsRng).unwrap().0 {
			Reply::Key { secret, .. } => secret,
			other => panic!("{other:?}"),
		}
	}

	fn run(&mut self, command: Command) -> Result<Reply, CommandError> {
		self.execute(command, 0, &mut OsRng).map(|(reply, _)| reply)
	}
}

/// That an app has offered a task at this price.
fn offer(app: App, price: u128) -> Event {
	let what = What::Offered {
		id: TaskId::from_bytes([7; 16]),
		sequence: 0,
		app,
		price: Amount(price),
		spec: Arc::new(TaskRequest::new("x").resolve(1, "m".into())),
		deadline: 1,
		webhook: None,
	};
	Event { at: 0, what }
}

/// A task of an app, which follows what happens to it.
fn offered(accounts: &mut Accounts, app: App, price: u128) -> TaskRecord {
	let event = offer(app, price);
	let record = TaskRecord::rebuild([event.clone()]).unwrap();
	let change =
		Change { from: None, event: Some(event), record: record.clone().into(), draw: None };
	accounts.follow(&change);
	record
}

fn ended(accounts: &mut Accounts, mut record: TaskRecord, state: TaskState) {
	let from = Some(record.version());
	let event = Event { at: 0, what: What::Ended { state, step: 0, failure: None } };
	record.apply(&event);
	accounts.follow(&Change { from, event: Some(event), record: record.into(), draw: None });
}

fn code(answer: Result<impl std::fmt::Debug, Refusal>) -> Code {
	answer.unwrap_err().code
}

#[test]
fn the_first_key_closes_a_coordinator_that_is_open_until_then() {
	let mut accounts = accounts(AppOptions::default());
	let nobody = accounts.identify(None, HERE).unwrap();
	assert_eq!(accounts.allow(&nobody, 0), Ok(()));
	assert_eq!(accounts.identify(Some("any"), HERE), Ok(nobody));
	assert_eq!(code(accounts.identify(Some("ck_wrong"), HERE)), Code::Unauthorized);

	let (_, app) = accounts.add("shop", 0, Limits::default());
	assert_eq!(accounts.allow(&app, 0), Ok(()));
	assert_eq!(code(accounts.allow(&nobody, 0)), Code::Unauthorized);
	assert_eq!(code(accounts.identify(Some("any"), HERE)), Code::Unauthorized);
	// It does not open again.
	accounts.run(Command::Revoke { name: "shop".into() }).unwrap();
	assert_eq!(code(accounts.allow(&nobody, 0)), Code::Unauthorized);
	assert_eq!(code(accounts.allow(&app, 0)), Code::Unauthorized);
}

#[test]
fn a_coordinator_may_be_open_or_closed_whatever_keys_there_are() {
	let mut open = accounts(AppOptions { access: Access::Open, ..AppOptions::default() });
	open.add("shop", 0, Limits::default());
	let nobody = open.identify(Some("any"), HERE).unwrap();
	assert_eq!(open.allow(&nobody, 0), Ok(()));
	let mut closed = accounts(AppOptions { access: Access::Keys, ..AppOptions::default() });
	assert_eq!(code(closed.allow(&nobody, 0)), Code::Unauthorized);
}

#[test]
fn each_key_and_each_address_has_its_own_limits() {
	let anonymous = limits(1, 1);
	let access = Access::Open;
	let mut accounts = accounts(AppOptions { access, anonymous, ..AppOptions::default() });
	let (_, shop) = accounts.add("shop", 0, limits(2, 2));
	let (_, other) = accounts.add("other", 0, Limits::default());
	let nobody = App::at(HERE);
	for (app, burst) in [(shop, 10), (nobody, 5), (App::at([10, 0, 0, 1].into()), 5)] {
		assert_eq!((0..100).take_while(|_| accounts.allow(&app, 0).is_ok()).count(), burst);
		let refusal = accounts.allow(&app, 0).unwrap_err();
		assert_eq!((refusal.code, refusal.retry_after), (Code::RateLimited, Some(1)));
	}
	assert!((0..1000).all(|_| accounts.allow(&other, 0).is_ok()));

	for (app, most) in [(shop, 2), (nobody, 1)] {
		let tasks: Vec<_> = (0..most).map(|_| offered(&mut accounts, app, 0)).collect();
		let refusal = accounts.check_offer(&app, Amount::ZERO).unwrap_err();
		assert_eq!((refusal.code, refusal.retry_after), (Code::TooManyTasks, Some(5)));
		ended(&mut accounts, tasks[0].clone(), TaskState::Failed);
		assert_eq!(accounts.check_offer(&app, Amount::ZERO), Ok(()));
	}
}

#[test]
fn a_budget_bounds_what_is_under_way_and_failures_cost_nothing() {
	let mut accounts = accounts(AppOptions::default());
	let (_, app) = accounts.add("shop", 10, Limits::default());
	let task = offered(&mut accounts, app, 7);
	assert_eq!(code(accounts.check_offer(&app, Amount(4))), Code::InsufficientBalance);
	assert_eq!(accounts.check_offer(&app, Amount(3)), Ok(()));
	let view = accounts.view(&app).unwrap();
	assert_eq!((view.balance, view.reserved, view.in_flight), (Amount(3), Amount(7), 1));
	let withdraw = |amount| Command::Withdraw { name: "shop".into(), amount: Amount(amount) };
	assert!(matches!(accounts.run(withdraw(4)), Err(CommandError::TooLittle { .. })));
	ended(&mut accounts, task, TaskState::Cancelled);
	let view = accounts.view(&app).unwrap();
	assert_eq!((view.balance, view.reserved, view.spent), (Amount(10), Amount(0), Amount(0)));
	accounts.run(withdraw(10)).unwrap();
	assert_eq!(code(accounts.view(&App::at(HERE))), Code::Unauthorized);
}

#[test]
fn nothing_is_resolved_twice() {
	let mut accounts = accounts(AppOptions::default());
	let (_, app) = accounts.add("shop", 10, Limits::default());
	let account = accounts.by_id.get_mut(&app.account().unwrap()).unwrap();
	let mut record = TaskRecord::rebuild([offer(app, 7)]).unwrap();
	let what = What::Ended { state: TaskState::Cancelled, step: 0, failure: None };
	let event = Event { at: 0, what };
	record.apply(&event);
	let end = Change { from: None, event: Some(event), record: record.into(), draw: None };
	assert_eq!(account.follow(&end), Err(Unbalanced), "it was never set aside");
	let withdrawn = AccountChange::Withdrawn(Amount(11));
	let event = AccountEvent { account: account.id, at: 0, what: withdrawn };
	assert_eq!(account.apply(&event), Err(Unbalanced));
	assert_eq!(account.total(), Some(Amount(10)), "a step that fails changes nothing");
}

#[test]
fn keys_are_replaced_and_revoked() {
	let mut accounts = accounts(AppOptions::default());
	let (old, app) = accounts.add("shop", 5, Limits::default());
	let id = TaskId::from_bytes([1; 16]);
	let token = accounts.picture_token(&app, &id);
	let new = accounts.key_by(Command::NewKey { name: "shop".into() });
	assert_eq!(code(accounts.identify(Some(&old), HERE)), Code::Unauthorized);
	assert_eq!(accounts.identify(Some(&new), HERE), Ok(app), "the account is the same");
	assert_eq!(accounts.view(&app).unwrap().balance, Amount(5));
	assert_ne!(accounts.picture_token(&app, &id), token);
	accounts.run(Command::Revoke { name: "shop".into() }).unwrap();
	let refusal = accounts.identify(Some(&new), HERE).unwrap_err();
	assert!(refusal.message.contains("revoked"), "{refusal}");
	let again = Command::NewKey { name: "shop".into() };
	assert_eq!(accounts.run(again), Err(CommandError::Revoked("shop".into())));
}

#[test]
fn commands_that_make_no_sense_are_refused_by_name() {
	let mut accounts = accounts(AppOptions::default());
	accounts.add("shop", 1, Limits::default());
	let add = |name: String| Command::Add { name, budget: Amount(0), limits: Limits::default() };
	assert_eq!(accounts.run(add("shop".into())), Err(CommandError::Taken("shop".into())));
	for name in [String::new(), "x".repeat(65), "a\nb".into()] {
		assert!(matches!(accounts.run(add(name)), Err(CommandError::BadName(_))));
	}
	let unknown = Command::Revoke { name: "nobody".into() };
	assert_eq!(accounts.run(unknown), Err(CommandError::Unknown("nobody".into())));
	let most = Command::Deposit { name: "shop".into(), amount: Amount(u128::MAX) };
	assert_eq!(accounts.run(most), Err(CommandError::TooMuch("shop".into())));
	let limit =
		Command::Limit { name: "shop".into(), requests_per_second: Some(0), in_flight: Some(3) };
	let Ok(Reply::Account(view)) = accounts.run(limit) else { panic!("it makes sense") };
	assert_eq!((view.requests_per_second, view.max_in_flight), (None, Some(3)));
	let Ok(Reply::Accounts(all)) = accounts.run(Command::List) else { panic!("it makes sense") };
	assert_eq!(all, [view]);
}

#[test]
fn what_the_log_tells_is_what_there_is() {
	let mut accounts = accounts(AppOptions::default());
	let mut log = Vec::new();
	for command in [
		Command::Add { name: "shop".into(), budget: Amount(5), limits: limits(1, 1) },
		Command::Deposit { name: "shop".into(), amount: Amount(3) },
		Command::NewKey { name: "shop".into() },
		Command::Limit { name: "shop".into(), requests_per_second: None, in_flight: Some(0) },
		Command::Revoke { name: "shop".into() },
	] {
		log.extend(accounts.execute(command, 9, &mut OsRng).unwrap().1);
	}
	let json = serde_json::to_string(&log).unwrap();
	let log: Vec<AccountEvent> = serde_json::from_str(&json).unwrap();
	let mut rebuilt = Account::made(&log[0]).unwrap();
	log[1..].iter().for_each(|event| rebuilt.apply(event).unwrap());
	assert_eq!(Some(&rebuilt), accounts.by_id.values().next());
}
