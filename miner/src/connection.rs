//! One open, logged-in connection to a coordinator.

use crate::{context::Context, discovery::Coordinator, history::unix_millis, text::printable, tls};
use cuckoo_coordinator_api::{
	error::{refusal, Code, Refusal},
	miner::{
		upload_path, Assignment, FailureReport, Heartbeat, Login, MinerApiClient as _,
		MinerStanding, TaskResult,
	},
	signing::{hex_array, Audience, Signed},
	task::{TaskId, TaskState},
};
use jsonrpsee::{
	core::client::{async_client::PingConfig, Error as ClientError},
	ws_client::{WsClient, WsClientBuilder},
};
use reqwest::{header::CONTENT_TYPE, Url};
use std::{sync::OnceLock, time::Duration};
use tokio::sync::Notify;

/// How long one upload may take.
const UPLOAD_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a connection may take to be opened.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take; longer than the longest poll.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(25);
/// How often the other side is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Largest answer, in bytes. Assignments are the largest ones: two prompts of 8 KiB, escaped.
const MAX_ANSWER_BYTES: u32 = 256 * 1024;

/// Why a call was not answered as hoped.
#[derive(Clone, Debug)]
pub enum Trouble {
	/// The coordinator says no.
	Refused(Refusal),
	/// The coordinator does not know the session (any more).
	NoSession,
	/// The connection does not work (any more).
	Lost(String),
}

impl From<ClientError> for Trouble {
	fn from(error: ClientError) -> Self {
		match error {
			ClientError::Call(object) => match refusal(&object) {
				Some(refusal) if refusal.code == Code::NoSession => Self::NoSession,
				Some(Refusal { code, message, .. }) => {
					Self::Refused(Refusal::new(code, printable(&message)))
				},
				None => Self::Refused(Refusal::new(Code::Internal, printable(object.message()))),
			},
			ClientError::RestartNeeded(reason) => Self::Lost(printable(&reason.to_string())),
			other => Self::Lost(printable(&other.to_string())),
		}
	}
}

/// Why an upload was not taken.
#[derive(Clone, Debug)]
pub enum UploadTrouble {
	/// The coordinator says no, and will say so again: HTTP status and what it says.
	Refused(u16, String),
	/// It may work later.
	Later(String),
}

/// A session on an open connection.
pub struct Connection {
	client: WsClient,
	endpoint: String,
	/// For uploads.
	http: reqwest::Client,
	uploads: Url,
	audience: Audience,
	session: String,
	broken: OnceLock<Trouble>,
	breaking: Notify,
}

impl Connection {
	/// Dials `endpoint`, checks that the coordinator there is the registered one and on the same
	/// chain, and logs in. The error says in a line what is wrong.
	pub async fn open(
		context: &Context,
		coordinator: &Coordinator,
		endpoint: &str,
	) -> Result<Self, String> {
		let audience = Audience { genesis: context.genesis, coordinator: coordinator.operator };
		let Dialled { client, nonce, http, uploads } =
			dial(&audience, coordinator.certificate, endpoint).await?;
		let login = Login {
			slots: context.slot_count,
			models: context.offers.borrow().clone(),
			software: concat!("cuckoo-miner/", env!("CARGO_PKG_VERSION")).into(),
			devices: context.devices(),
			speeds: context.speeds(),
		};
		let login =
			Signed::seal(&context.keypair, &audience, "miner_login", &nonce, unix_millis(), &login);
		let session = client.login(login).await.map_err(|error| text(&error.into()))?.token;
		Ok(Self {
			client,
			endpoint: endpoint.to_owned(),
			http,
			uploads,
			audience,
			session,
			broken: OnceLock::new(),
			breaking: Notify::new(),
		})
	}

	/// Where it leads.
	pub fn endpoint(&self) -> &str {
		&self.endpoint
	}

	/// Declares the connection unusable.
	pub fn spoil(&self, trouble: Trouble) {
		// Only the first trouble counts: the others are its consequences.
		let _ = self.broken.set(trouble);
		self.breaking.notify_one();
	}

	/// Waits until the connection is unusable, and says why. For one waiter.
	pub async fn broken(&self) -> Trouble {
		tokio::select! {
			() = self.breaking.notified() => (),
			() = self.client.on_disconnect() => {
				let reason = self.client.disconnect_reason().await;
				self.spoil(Trouble::from(reason));
			},
		}
		self.broken.get().cloned().unwrap_or(Trouble::NoSession)
	}

	/// Waits for work, at most so many seconds.
	pub async fn poll(&self, wait_seconds: u64) -> Result<Option<Assignment>, Trouble> {
		Ok(self.client.poll(self.session.clone(), wait_seconds).await?)
	}

	/// Keeps a lease.
	pub async fn heartbeat(&self, beat: Heartbeat) -> Result<(), Trouble> {
		Ok(self.client.heartbeat(self.session.clone(), beat).await?)
	}

	/// Signs a result; the lease is what the signature answers.
	pub fn seal(&self, context: &Context, result: &TaskResult) -> Signed<TaskResult> {
		let (key, now) = (&context.keypair, unix_millis());
		Signed::seal(key, &self.audience, "miner_submit", &result.lease, now, result)
	}

	/// Sends a signed result.
	pub async fn submit(&self, result: Signed<TaskResult>) -> Result<TaskState, Trouble> {
		Ok(self.client.submit(self.session.clone(), result).await?)
	}

	/// How the coordinator's draws went for this miner.
	pub async fn standing(&self) -> Result<MinerStanding, Trouble> {
		Ok(self.client.standing(self.session.clone()).await?)
	}

	/// Gives a task back.
	pub async fn fail(&self, report: FailureReport) -> Result<(), Trouble> {
		Ok(self.client.fail(self.session.clone(), report).await?)
	}

	/// Ends the session.
	pub async fn logout(&self) -> Result<(), Trouble> {
		Ok(self.client.logout(self.session.clone()).await?)
	}

	/// Uploads a picture under a lease.
	pub async fn upload(
		&self,
		(task_id, attempt, lease): (&TaskId, u32, &str),
		index: u32,
		png: Vec<u8>,
	) -> Result<(), UploadTrouble> {
		let later = |error: reqwest::Error| {
			UploadTrouble::Later(printable(&error.without_url().to_string()))
		};
		let mut url = self.uploads.clone();
		url.set_path(&upload_path(task_id, attempt, index));
		let answer = self
			.http
			.put(url)
			.bearer_auth(lease)
			.header(CONTENT_TYPE, "image/png")
			.body(png)
			.send()
			.await
			.map_err(later)?;
		let status = answer.status();
		if status.is_success() {
			return Ok(());
		}
		let said = answer.text().await.unwrap_or_default();
		let said = serde_json::from_str(&said).map_or(said, |refusal: Refusal| refusal.message);
		let said = printable(&said);
		if status.is_client_error() && status.as_u16() != 408 && status.as_u16() != 429 {
			Err(UploadTrouble::Refused(status.as_u16(), said))
		} else {
			Err(UploadTrouble::Later(format!("{status}: {said}")))
		}
	}
}

/// A coordinator that has answered as the one that is registered.
pub struct Dialled {
	client: WsClient,
	/// What a login answers.
	nonce: String,
	http: reqwest::Client,
	uploads: Url,
}

/// Dials `endpoint` and checks that whom it finds there is `audience`, with the certificate of that
/// fingerprint if there is one. The error says in a line what is wrong.
pub async fn dial(
	audience: &Audience,
	certificate: Option<[u8; 32]>,
	endpoint: &str,
) -> Result<Dialled, String> {
	let uploads = upload_base(endpoint)?;
	let tls = (uploads.scheme() == "https")
		.then(|| tls::client_config(certificate))
		.transpose()
		.map_err(|error| format!("encryption cannot be set up: {error}"))?;
	let mut http =
		reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(UPLOAD_TIMEOUT);
	let mut websocket = WsClientBuilder::new();
	if let Some(tls) = tls {
		http = http.use_preconfigured_tls(tls.clone());
		websocket = websocket.with_custom_cert_store(tls);
	}
	let http = http.build().map_err(|error| format!("uploads cannot be set up: {error}"))?;
	let client = websocket
		.connection_timeout(CONNECT_TIMEOUT)
		.request_timeout(ANSWER_TIMEOUT)
		.max_response_size(MAX_ANSWER_BYTES)
		.enable_ws_ping(PingConfig::new().ping_interval(PING_INTERVAL))
		.build(endpoint)
		.await
		.map_err(|error| printable(&error.to_string()))?;
	let challenge = client.challenge().await.map_err(|error| text(&error.into()))?;
	check_identity(audience, &challenge.genesis, &challenge.coordinator)?;
	Ok(Dialled { client, nonce: challenge.nonce, http, uploads })
}

/// Whether a challenge comes from the one whom the chain names.
fn check_identity(expected: &Audience, genesis: &str, coordinator: &str) -> Result<(), String> {
	if hex_array(genesis) != Some(expected.genesis) {
		return Err(format!(
			"it works for another chain: its genesis hash is {}, ours is {}",
			printable(genesis),
			hex::encode(expected.genesis)
		));
	}
	if hex_array(coordinator) != Some(expected.coordinator) {
		return Err(format!(
			"it is another coordinator than the registered one: its operator key is {}, \
			registered is {}",
			printable(coordinator),
			hex::encode(expected.coordinator)
		));
	}
	Ok(())
}

/// Pictures go to the same host and port, by HTTP.
pub fn upload_base(endpoint: &str) -> Result<Url, String> {
	let mut url = Url::parse(endpoint).map_err(|error| format!("it is no URL: {error}"))?;
	let scheme = match url.scheme() {
		"ws" => "http",
		"wss" => "https",
		_ => return Err("only ws:// and wss:// endpoints can be dialled".into()),
	};
	// They are of the same kind, so that the one may take the place of the other.
	let _ = url.set_scheme(scheme);
	Ok(url)
}

/// A trouble in words.
pub fn text(trouble: &Trouble) -> String {
	match trouble {
		Trouble::Refused(refusal) => refusal.message.clone(),
		Trouble::NoSession => "the session is over".into(),
		Trouble::Lost(reason) => reason.clone(),
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn pictures_go_to_the_same_host_and_port() {
		let base = |endpoint| upload_base(endpoint).map(|url| url.to_string());
		assert_eq!(base("ws://127.0.0.1:9960"), Ok("http://127.0.0.1:9960/".into()));
		assert_eq!(base("WSS://[::1]:1/x"), Ok("https://[::1]:1/x".into()));
		for bad in ["", "ws:/", "http://h:1", "ws://", "ws://h:99999", "éééé"] {
			assert!(base(bad).is_err(), "{bad}");
		}
	}

	#[test]
	fn strangers_are_told_apart() {
		let expected = Audience { genesis: [1; 32], coordinator: [2; 32] };
		let (one, two) = (hex::encode([1; 32]), hex::encode([2; 32]));
		assert_eq!(check_identity(&expected, &one, &two), Ok(()));
		assert!(check_identity(&expected, &two, &two).unwrap_err().contains("another chain"));
		assert!(check_identity(&expected, &one, &one).unwrap_err().contains("another coordinator"));
		assert!(check_identity(&expected, "", &two).is_err());
	}
}
