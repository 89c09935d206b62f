//! Who apps are, and what the coordinator's operator may do with their accounts.

use super::Service;
use crate::accounts::{Command, CommandError, Reply};
use crate::scheduler::App;
use crate::store::Entry;
use cuckoo_coordinator_api::{app::AccountView, error::Refusal, task::TaskId};
use rand::rngs::OsRng;
use sp_crypto_hashing::blake2_256;
use std::net::IpAddr;

impl Service {
	/// Who asks; see [`Accounts::identify`](crate::accounts::Accounts::identify).
	pub fn identify(&self, secret: Option<&str>, address: IpAddr) -> Result<App, Refusal> {
		self.state.lock().accounts.identify(secret, address)
	}

	/// Lets an app ask something that is not public; see
	/// [`Accounts::allow`](crate::accounts::Accounts::allow).
	pub fn allow(&self, app: &App) -> Result<(), Refusal> {
		self.state.lock().accounts.allow(app, self.clock.now())
	}

	/// Whether nothing but public questions is answered without a key.
	pub fn needs_key(&self) -> bool {
		self.state.lock().accounts.need_key()
	}

	/// The account of an app.
	///
	/// # Errors
	///
	/// `UNAUTHORIZED` if it has none.
	pub fn account(&self, app: &App) -> Result<AccountView, Refusal> {
		self.state.lock().accounts.view(app)
	}

	/// What, in the address of a picture, stands for the key of the app that may see it.
	pub fn picture_token(&self, app: &App, id: &TaskId) -> Option<String> {
		self.state.lock().accounts.picture_token(app, id)
	}

	/// Whose a picture is to whom names this token in its address; `None` if to nobody.
	pub fn picture_owner(&self, token: &str, id: &TaskId) -> Option<App> {
		let owner = self.journal.task(id).ok()??.app;
		let right = self.picture_token(&owner, id)?;
		// How long it takes to compare digests tells nothing of what they are of.
		(blake2_256(right.as_bytes()) == blake2_256(token.as_bytes())).then_some(owner)
	}

	/// Does what the operator wants, and answers when it is kept.
	///
	/// # Errors
	///
	/// Why it is not done.
	pub async fn administer(&self, command: Command) -> Result<Reply, CommandError> {
		let (done, number) = self.numbered(|state, now| {
			let (reply, events) = state.accounts.execute(command, now, &mut OsRng)?;
			self.journal.append(events.into_iter().map(Entry::Account).collect());
			Ok::<_, CommandError>(reply)
		});
		let reply = done?;
		let kept = self.journal.written(number).await;
		kept.map(|()| reply).map_err(|refusal| CommandError::NotKept(refusal.message))
	}
}
