//! Sessions of logged-in miners: a secret token each, bound to the connection on which it was given.

use crate::registry::Operator;
use cuckoo_coordinator_api::error::{Code, Refusal};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::Notify;

/// Number of a connection to the miner listener.
pub type Connection = usize;

/// The sessions: one an operator, found by its token.
#[derive(Debug, Default)]
pub struct Sessions {
	by_token: HashMap<String, Operator>,
	by_operator: HashMap<Operator, Session>,
	/// Whose sessions were begun on which connection: when a coordinator loses its network, thousands of
	/// connections close at the same time.
	connections: BTreeSet<(Connection, Operator)>,
}

#[derive(Debug)]
struct Session {
	token: String,
	connection: Connection,
	/// Wakes a poll that waits for work.
	wake: Arc<Notify>,
}

impl Sessions {
	/// Begins a session, which ends an earlier one of the same operator.
	pub fn begin(&mut self, operator: Operator, connection: Connection, token: String) {
		self.end(&operator);
		self.by_token.insert(token.clone(), operator);
		self.connections.insert((connection, operator));
		let session = Session { token, connection, wake: Arc::new(Notify::new()) };
		self.by_operator.insert(operator, session);
	}

	/// Whose session a token names.
	///
	/// # Errors
	///
	/// `NO_SESSION` if there is none (any more).
	pub fn operator(&self, token: &str) -> Result<Operator, Refusal> {
		self.by_token.get(token).copied().ok_or_else(|| {
			Refusal::new(Code::NoSession, "this session is unknown or has ended: log in again")
		})
	}

	/// What is notified when the operator is to look for work.
	pub fn bell(&self, operator: &Operator) -> Option<Arc<Notify>> {
		Some(self.by_operator.get(operator)?.wake.clone())
	}

	/// Tells the operator's program, if it waits for work, to look.
	pub fn wake(&self, operator: &Operator) {
		if let Some(session) = self.by_operator.get(operator) {
			session.wake.notify_one();
		}
	}

	/// Ends the session of an operator, if it has one; its poll returns.
	pub fn end(&mut self, operator: &Operator) {
		if let Some(session) = self.by_operator.remove(operator) {
			self.by_token.remove(&session.token);
			self.connections.remove(&(session.connection, *operator));
			session.wake.notify_waiters();
		}
	}

	/// Ends all sessions.
	pub fn end_all(&mut self) {
		for operator in self.by_operator.keys().copied().collect::<Vec<_>>() {
			self.end(&operator);
		}
	}

	/// Ends the sessions that were begun on a connection; whose they were.
	pub fn end_connection(&mut self, connection: Connection) -> Vec<Operator> {
		let all = (connection, Operator([0; 32]))..=(connection, Operator([u8::MAX; 32]));
		let operators: Vec<Operator> =
			self.connections.range(all).map(|(_, operator)| *operator).collect();
		for operator in &operators {
			self.end(operator);
		}
		operators
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	const ALICE: Operator = Operator([1; 32]);
	const BOB: Operator = Operator([2; 32]);

	#[test]
	fn a_later_session_ends_the_earlier_one() {
		let mut sessions = Sessions::default();
		sessions.begin(ALICE, 1, "a".into());
		sessions.begin(BOB, 2, "b".into());
		sessions.begin(ALICE, 3, "c".into());
		assert_eq!(sessions.operator("a").unwrap_err().code, Code::NoSession);
		assert_eq!(sessions.operator("b"), Ok(BOB));
		assert_eq!(sessions.operator("c"), Ok(ALICE));
	}

	#[test]
	fn a_closed_connection_ends_only_the_sessions_that_began_on_it() {
		let mut sessions = Sessions::default();
		sessions.begin(ALICE, 1, "a".into());
		sessions.begin(ALICE, 2, "b".into());
		sessions.begin(BOB, 2, "c".into());
		assert_eq!(sessions.end_connection(1), []);
		assert_eq!(sessions.operator("b"), Ok(ALICE));
		let mut ended = sessions.end_connection(2);
		ended.sort();
		assert_eq!(ended, [ALICE, BOB]);
		assert!(sessions.operator("b").is_err() && sessions.operator("c").is_err());
		assert!(sessions.by_token.is_empty() && sessions.connections.is_empty());
	}
}
