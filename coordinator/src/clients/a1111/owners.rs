//! Whose tasks and preferences these are: one client neither sees nor stops what another does, even where
//! several share a key under different names.

use crate::listener::Peer;
use axum::http::{header::AUTHORIZATION, HeaderMap};
use cuckoo_coordinator_api::task::TaskId;
use parking_lot::Mutex;
use sp_crypto_hashing::blake2_256;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

/// Most clients that are remembered; then those go that were heard of longest ago.
const MAX_OWNERS: usize = 4096;
/// Most tasks that are remembered of one client; then the oldest go.
const MAX_JOBS: usize = 128;

/// Who a client is: whoever knows the same name and password, or else whoever has the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
	/// Digest of the credentials.
	Credentials([u8; 32]),
	/// Address without a port.
	Address(IpAddr),
}

impl Owner {
	/// From the head of a request.
	pub fn of(headers: &HeaderMap, peer: Peer) -> Self {
		let credentials = headers
			.get(AUTHORIZATION)
			.map(|value| value.as_bytes().trim_ascii())
			// Some clients send the header without anything in it.
			.filter(|value| value.contains(&b' '));
		match credentials {
			Some(credentials) => Self::Credentials(blake2_256(credentials)),
			None => Self::Address(peer.0.ip().to_canonical()),
		}
	}
}

/// A task, and the name that its client gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
	/// The task.
	pub task: TaskId,
	/// `force_task_id` of the request.
	pub name: Option<String>,
}

/// What is remembered of each client.
#[derive(Debug, Default)]
pub struct Owners(Mutex<HashMap<Owner, Remembered>>);

#[derive(Debug)]
struct Remembered {
	heard: Instant,
	model: Option<String>,
	jobs: VecDeque<Job>,
}

impl Owners {
	/// The client has offered a task.
	pub fn add(&self, owner: Owner, job: Job) {
		self.with(owner, |remembered| {
			if remembered.jobs.len() == MAX_JOBS {
				remembered.jobs.pop_front();
			}
			remembered.jobs.push_back(job);
		});
	}

	/// The client wants this model where a request names none.
	pub fn prefer(&self, owner: Owner, model: String) {
		self.with(owner, |remembered| remembered.model = Some(model));
	}

	/// The tasks that the client has offered, oldest first, ended or not.
	pub fn jobs(&self, owner: &Owner) -> Vec<Job> {
		let owners = self.0.lock();
		owners.get(owner).map(|known| known.jobs.iter().cloned().collect()).unwrap_or_default()
	}

	/// The model that the client wants where a request names none.
	pub fn model(&self, owner: &Owner) -> Option<String> {
		self.0.lock().get(owner).and_then(|known| known.model.clone())
	}

	fn with(&self, owner: Owner, act: impl FnOnce(&mut Remembered)) {
		let mut owners = self.0.lock();
		if owners.len() >= MAX_OWNERS && !owners.contains_key(&owner) {
			let oldest =
				owners.iter().min_by_key(|(_, known)| known.heard).map(|(oldest, _)| *oldest);
			if let Some(oldest) = oldest {
				owners.remove(&oldest);
			}
		}
		let heard = Instant::now();
		let known = owners.entry(owner).or_insert_with(|| Remembered {
			heard,
			model: None,
			jobs: VecDeque::new(),
		});
		known.heard = heard;
		act(known);
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn owner(authorization: Option<&str>, address: &str) -> Owner {
		let mut headers = HeaderMap::new();
		if let Some(authorization) = authorization {
			headers.insert(AUTHORIZATION, authorization.parse().unwrap());
		}
		Owner::of(&headers, Peer(address.parse().unwrap()))
	}

	fn job(n: u8) -> Job {
		Job { task: TaskId::from_bytes([n; 16]), name: None }
	}

	#[test]
	fn a_client_is_its_credentials_or_its_address() {
		let here = owner(None, "10.0.0.1:5000");
		assert_eq!(here, owner(None, "10.0.0.1:6000"));
		assert_eq!(here, owner(None, "[::ffff:10.0.0.1]:5000"));
		assert_ne!(here, owner(None, "10.0.0.2:5000"));
		for nothing in ["", "Basic", "Basic "] {
			assert_eq!(here, owner(Some(nothing), "10.0.0.1:5000"), "{nothing:?}");
		}
		let user = owner(Some("Basic dXNlcjp4"), "10.0.0.1:5000");
		assert_ne!(user, here);
		assert_eq!(user, owner(Some("Basic dXNlcjp4"), "10.0.0.2:5000"));
		assert_ne!(user, owner(Some("Basic dXNlcjp5"), "10.0.0.1:5000"), "another password");
	}

	#[test]
	fn each_client_has_its_own_tasks_and_preference() {
		let owners = Owners::default();
		let (here, there) = (owner(None, "10.0.0.1:1"), owner(None, "10.0.0.2:1"));
		owners.add(here, job(1));
		owners.add(there, job(2));
		owners.prefer(here, "m".into());
		assert_eq!(owners.jobs(&here), [job(1)]);
		assert_eq!(owners.jobs(&there), [job(2)]);
		assert_eq!((owners.model(&here), owners.model(&there)), (Some("m".into()), None));
	}

	#[test]
	fn what_is_remembered_is_bounded() {
		let owners = Owners::default();
		let here = owner(None, "10.0.0.1:1");
		for n in 0..=MAX_JOBS {
			owners.add(here, job(n as u8));
		}
		assert_eq!(owners.jobs(&here).len(), MAX_JOBS);
		assert_eq!(owners.jobs(&here)[0], job(1));
		for n in 0..MAX_OWNERS {
			let other = owner(None, &format!("10.1.{}.{}:1", n / 256, n % 256));
			owners.prefer(other, "m".into());
		}
		assert_eq!(owners.0.lock().len(), MAX_OWNERS);
		assert_eq!(owners.jobs(&here), [], "it was heard of longest ago");
	}
}
