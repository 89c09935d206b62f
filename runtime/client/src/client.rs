//! A connection to a node.

use crate::{
	cuckoo,
	error::{describe, ChainError},
	registry::{BlockRef, Candidate, Registry, Role},
};
use std::{
	future::Future,
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc,
	},
	time::Duration,
};
use subxt::{
	backend::LegacyBackend,
	config::PolkadotConfig,
	error::{DispatchError, TransactionEventsError, TransactionFinalizedSuccessError},
	extrinsics::ExtrinsicEvents,
	tx, OnlineClient, OnlineClientAtBlock,
};
use subxt_rpcs::RpcClient;
use subxt_signer::sr25519::Keypair;
use tokio::{sync::RwLock, time::timeout};

/// How transactions and blocks of the chain are encoded.
pub type ChainConfig = PolkadotConfig;

/// The chain at one block.
pub(crate) type AtBlock = OnlineClientAtBlock<ChainConfig>;

/// How long a node may take to let us in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a node may take to answer one question.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// How many candidates are asked for at once; the chain gives no more.
const PAGE: u32 = 256;

/// A connection to one node of one chain. Clones share the connection.
///
/// When the node has gone away and come back, the next question connects again; a node that has
/// another genesis by then is refused.
#[derive(Clone)]
pub struct ChainClient(Arc<Shared>);

struct Shared {
	url: String,
	genesis: [u8; 32],
	online: RwLock<OnlineClient<ChainConfig>>,
	/// Counts the connections, so that of several tasks that find one broken only one replaces it.
	connection: AtomicU64,
}

impl ChainClient {
	/// Connects to the node at `url` (`ws://…` or `wss://…`) and checks that it serves a Cuckoo chain
	/// that this program understands.
	pub async fn connect(url: &str) -> Result<Self, ChainError> {
		let url = checked_url(url)?;
		let online = open(url).await?;
		let at_block = at_finalized(&online)
			.await
			.map_err(|reason| ChainError::Unreachable { url: url.to_owned(), reason })?;
		check_runtime(url, &at_block)?;
		Ok(Self(Arc::new(Shared {
			url: url.to_owned(),
			genesis: online.genesis_hash().0,
			online: RwLock::new(online),
			connection: AtomicU64::new(0),
		})))
	}

	/// Genesis hash of the chain.
	pub fn genesis(&self) -> [u8; 32] {
		self.0.genesis
	}

	/// Where the node is.
	pub fn url(&self) -> &str {
		&self.0.url
	}

	/// Refuses a chain whose genesis hash is not `expected`.
	pub fn ensure_genesis(&self, expected: [u8; 32]) -> Result<(), ChainError> {
		same_chain(expected, self.genesis())
	}

	/// The subxt client of the present connection, for what this crate has no method for.
	pub async fn api(&self) -> OnlineClient<ChainConfig> {
		self.0.online.read().await.clone()
	}

	/// The last finalized block.
	pub async fn finalized(&self) -> Result<BlockRef, ChainError> {
		Ok(block_ref(&self.at_finalized().await?))
	}

	/// The time of the last finalized block, in milliseconds since 1970.
	pub async fn time(&self) -> Result<u64, ChainError> {
		let at_block = self.at_finalized().await?;
		let asked = async {
			let time = at_block.storage().fetch(cuckoo::storage().timestamp().now(), ()).await;
			let time = time.map_err(|error| describe(&error))?;
			time.decode().map_err(|error| describe(&error))
		};
		let time = timeout(ANSWER_TIMEOUT, asked).await;
		time.unwrap_or_else(|_| Err(no_answer(ANSWER_TIMEOUT)))
			.map_err(|reason| ChainError::Request { what: "the time of a block", reason })
	}

	/// All miners and coordinators at the last finalized block.
	pub async fn registry(&self) -> Result<Registry, ChainError> {
		registry(&self.at_finalized().await?).await
	}

	/// All miners and coordinators at the finalized block of that number.
	pub async fn registry_at(&self, number: u64) -> Result<Registry, ChainError> {
		if number > self.at_finalized().await?.block_number() {
			return Err(ChainError::NotFinalized { number });
		}
		let online = self.api().await;
		let at_block = timeout(ANSWER_TIMEOUT, online.at_block(number))
			.await
			.map_err(|_| no_answer(ANSWER_TIMEOUT))
			.and_then(|found| found.map_err(|error| describe(&error)))
			.map_err(|reason| past(number, reason))?;
		registry(&at_block).await
	}

	/// The least self-stake of a `role`, in planck.
	pub async fn minimum_stake(&self, role: Role) -> Result<u128, ChainError> {
		let at_block = self.at_finalized().await?;
		let question = cuckoo::runtime_apis().staking_api().constants();
		let constants = answer("the least self-stake of a role", &at_block, async {
			at_block.runtime_apis().call(question).await
		})
		.await?;
		Ok(match role {
			Role::Validator => constants.validator_minimum,
			Role::Miner => constants.miner_minimum,
			Role::Coordinator => constants.coordinator_minimum,
		})
	}

	/// The candidate that `operator` serves at the last finalized block.
	pub async fn candidate_by_operator(
		&self,
		operator: &subxt::utils::AccountId32,
	) -> Result<Option<Candidate>, ChainError> {
		let at_block = self.at_finalized().await?;
		let question = cuckoo::runtime_apis().staking_api().candidate_by_operator(*operator);
		let view = answer("whom the operator serves", &at_block, async {
			at_block.runtime_apis().call(question).await
		})
		.await?;
		Ok(view.map(Into::into))
	}

	/// What `stash` can claim now for its own stake and commission, in planck.
	pub async fn pending_reward(
		&self,
		stash: &subxt::utils::AccountId32,
	) -> Result<u128, ChainError> {
		let at_block = self.at_finalized().await?;
		let question = cuckoo::runtime_apis().staking_api().pending_rewards(*stash);
		let rewards = answer("what can be claimed", &at_block, async {
			at_block.runtime_apis().call(question).await
		})
		.await?;
		let own = rewards.iter().filter(|reward| reward.candidate == *stash);
		Ok(own.map(|reward| reward.amount).sum())
	}

	/// Signs `call`, sends it, and waits until it is in a finalized block. Answers with its events
	/// if the chain carried it out there.
	pub async fn submit<Call: tx::Payload>(
		&self,
		call: &Call,
		signer: &Keypair,
	) -> Result<ExtrinsicEvents<ChainConfig>, ChainError> {
		let name = format!("{}.{}", call.pallet_name(), call.call_name());
		let not_taken = |reason: String| ChainError::NotTaken { call: name.clone(), reason };
		let progress = self
			.at_finalized()
			.await?
			.transactions()
			.sign_and_submit_then_watch_default(call, signer)
			.await
			.map_err(|error| not_taken(describe(&error)))?;
		progress.wait_for_finalized_success().await.map_err(|error| match error {
			TransactionFinalizedSuccessError::SuccessError(
				TransactionEventsError::ExtrinsicFailed(error),
			) => {
				let (error, reason) = explain(&error);
				ChainError::Refused { call: name.clone(), error, reason }
			},
			error => not_taken(describe(&error)),
		})
	}

	/// The encoded `call`, as it is inside a transaction.
	pub async fn call_data<Call: tx::Payload>(&self, call: &Call) -> Result<Vec<u8>, ChainError> {
		let at_block = self.at_finalized().await?;
		at_block.transactions().call_data(call).map_err(|error| ChainError::Incompatible {
			spec_version: at_block.spec_version(),
			reason: describe(&error),
		})
	}

	/// The chain at its last finalized block. Connects again if the connection is broken.
	pub(crate) async fn at_finalized(&self) -> Result<AtBlock, ChainError> {
		let connection = self.0.connection.load(Ordering::Acquire);
		let online = self.api().await;
		if let Ok(at_block) = at_finalized(&online).await {
			return Ok(at_block);
		}
		let online = self.reconnect(connection).await?;
		at_finalized(&online)
			.await
			.map_err(|reason| ChainError::Unreachable { url: self.0.url.clone(), reason })
	}

	/// Replaces the connection of that number, unless somebody else has done so meanwhile.
	async fn reconnect(&self, broken: u64) -> Result<OnlineClient<ChainConfig>, ChainError> {
		let mut online = self.0.online.write().await;
		if self.0.connection.load(Ordering::Acquire) == broken {
			let fresh = open(&self.0.url).await?;
			same_chain(self.0.genesis, fresh.genesis_hash().0)?;
			*online = fresh;
			self.0.connection.store(broken + 1, Ordering::Release);
		}
		Ok(online.clone())
	}
}

/// Opens a connection. The metadata is read anew with each one, as the node may have another runtime.
async fn open(url: &str) -> Result<OnlineClient<ChainConfig>, ChainError> {
	let unreachable = |reason| ChainError::Unreachable { url: url.to_owned(), reason };
	let connect = async {
		let rpc = RpcClient::from_insecure_url(url).await.map_err(|error| describe(&error))?;
		// The older set of methods holds no block, and so survives any pause between two questions.
		let backend = LegacyBackend::builder().build(rpc);
		let config = ChainConfig::builder().use_historic_types(false).build();
		OnlineClient::from_backend_with_config(config, Arc::new(backend))
			.await
			.map_err(|error| describe(&error))
	};
	timeout(CONNECT_TIMEOUT, connect)
		.await
		.map_err(|_| unreachable(no_answer(CONNECT_TIMEOUT)))?
		.map_err(unreachable)
}

async fn at_finalized(online: &OnlineClient<ChainConfig>) -> Result<AtBlock, String> {
	timeout(ANSWER_TIMEOUT, online.at_current_block())
		.await
		.map_err(|_| no_answer(ANSWER_TIMEOUT))?
		.map_err(|error| describe(&error))
}

/// Awaits the answer to a question about the chain at a block.
async fn answer<T>(
	what: &'static str,
	at_block: &AtBlock,
	question: impl Future<Output = Result<T, subxt::error::RuntimeApiError>>,
) -> Result<T, ChainError> {
	use subxt::error::RuntimeApiError::CannotCallApi;

	match timeout(ANSWER_TIMEOUT, question).await {
		Ok(Ok(answer)) => Ok(answer),
		Ok(Err(error @ CannotCallApi(_))) => {
			Err(ChainError::Request { what, reason: describe(&error) })
		},
		Ok(Err(error)) => Err(ChainError::Incompatible {
			spec_version: at_block.spec_version(),
			reason: describe(&error),
		}),
		Err(_) => Err(ChainError::Request { what, reason: no_answer(ANSWER_TIMEOUT) }),
	}
}

/// All miners and coordinators at one block.
async fn registry(at_block: &AtBlock) -> Result<Registry, ChainError> {
	let era = answer("the era", at_block, async {
		at_block.runtime_apis().call(cuckoo::runtime_apis().staking_api().era()).await
	})
	.await?;
	Ok(Registry {
		block: block_ref(at_block),
		era: era.index,
		miners: candidates(at_block, Role::Miner).await?,
		coordinators: candidates(at_block, Role::Coordinator).await?,
	})
}

/// Why a block of the past cannot be looked at.
fn past(number: u64, reason: String) -> ChainError {
	// What the node says when it has no state of the block any more.
	if reason.contains("State already discarded") {
		ChainError::Pruned { number }
	} else {
		ChainError::Request { what: "the state of a block of the past", reason }
	}
}

/// Every candidate of a role, page by page, at one block.
async fn candidates(at_block: &AtBlock, role: Role) -> Result<Vec<Candidate>, ChainError> {
	let mut all = Vec::<Candidate>::new();
	loop {
		let last = all.last().map(|candidate| candidate.stash);
		let question = cuckoo::runtime_apis().staking_api().candidates(role.into(), last, PAGE);
		let page = answer("the candidates", at_block, async {
			at_block.runtime_apis().call(question).await
		})
		.await?;
		if page.is_empty() {
			return Ok(all);
		}
		// A page that ends where the last one did would be read for ever.
		if page.last().map(|view| view.stash) == last {
			return Err(ChainError::Request {
				what: "the candidates",
				reason: "it gives the same page again and again".into(),
			});
		}
		all.extend(page.into_iter().map(Candidate::from));
	}
}

fn checked_url(url: &str) -> Result<&str, ChainError> {
	let invalid = |reason: &str| ChainError::InvalidUrl {
		url: url.chars().take(200).collect(),
		reason: reason.into(),
	};
	let url = url.trim();
	let Some((scheme, rest)) = url.split_once("://") else {
		return Err(invalid("it must begin with ws:// or wss://, as ws://127.0.0.1:9944 does"));
	};
	match scheme {
		"ws" | "wss" if rest.is_empty() => Err(invalid("it names no host")),
		"ws" | "wss" => Ok(url),
		"http" => Err(invalid("blocks are followed over a WebSocket: write ws:// for http://")),
		"https" => Err(invalid("blocks are followed over a WebSocket: write wss:// for https://")),
		_ => Err(invalid("it must begin with ws:// or wss://")),
	}
}

/// Whether the chain has what this crate reads, in the form in which it was generated.
fn check_runtime(url: &str, at_block: &AtBlock) -> Result<(), ChainError> {
	if at_block.metadata_ref().runtime_api_trait_by_name("StakingApi").is_none() {
		return Err(ChainError::NotCuckoo {
			url: url.to_owned(),
			reason: "its runtime has no StakingApi".into(),
		});
	}
	let apis = at_block.runtime_apis();
	let api = cuckoo::runtime_apis().staking_api();
	apis.validate(api.era())
		.and_then(|()| apis.validate(api.candidates(Role::Miner.into(), None, PAGE)))
		.map_err(|error| ChainError::Incompatible {
			spec_version: at_block.spec_version(),
			reason: describe(&error),
		})
}

fn same_chain(expected: [u8; 32], found: [u8; 32]) -> Result<(), ChainError> {
	if found == expected {
		Ok(())
	} else {
		Err(ChainError::WrongChain { expected, found })
	}
}

pub(crate) fn block_ref(at_block: &AtBlock) -> BlockRef {
	BlockRef { number: at_block.block_number(), hash: at_block.block_hash().0 }
}

/// Name and description of the error with which the chain refused a call.
fn explain(error: &DispatchError) -> (String, String) {
	let DispatchError::Module(error) = error else {
		let reason = describe(error);
		return (reason.clone(), reason);
	};
	let name = error.details_string();
	let docs = error.details().map(|details| details.variant.docs.join(" ")).unwrap_or_default();
	let reason = format!("{name}: {docs}");
	(name, reason.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn no_answer(time: Duration) -> String {
	format!("no answer within {} seconds", time.as_secs())
}

#[cfg(test)]
mod tests {
	use super::*;

	fn refusal(url: &str) -> String {
		let message = checked_url(url).unwrap_err().to_string();
		assert_eq!(message.lines().count(), 1);
		message
	}

	#[test]
	fn only_websocket_addresses_are_taken() {
		assert_eq!(checked_url(" ws://127.0.0.1:9944\n").unwrap(), "ws://127.0.0.1:9944");
		assert!(checked_url("wss://node.example").is_ok());
		assert!(refusal("http://127.0.0.1:9944").contains("write ws:// for http://"));
		assert!(refusal("https://node.example").contains("write wss:// for https://"));
		assert!(refusal("127.0.0.1:9944").contains("begin with ws://"));
		assert!(refusal("ws://").contains("no host"));
		assert!(refusal("").contains("begin with ws://"));
	}

	#[test]
	fn a_pruned_block_is_told_from_other_failures() {
		let said = "cannot get the version: UnknownBlock: State already discarded for 0x12";
		let message = past(7, said.into()).to_string();
		assert!(message.contains("#7") && message.contains("--state-pruning archive"), "{message}");
		assert!(past(7, "no answer".into()).to_string().contains("no answer"));
	}

	#[tokio::test]
	async fn a_node_that_is_not_there_is_named() {
		// A port that was free a moment ago: nothing listens there.
		let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
		let url = format!("ws://127.0.0.1:{port}");
		let Err(error) = ChainClient::connect(&url).await else { panic!("connected to nothing") };
		assert!(matches!(error, ChainError::Unreachable { .. }), "{error}");
		let message = error.to_string();
		assert!(message.contains(&url) && message.contains("refused"), "{message}");
		assert_eq!(message.lines().count(), 1, "{message}");
	}

	#[tokio::test]
	async fn a_server_that_is_no_node_is_named() {
		use tokio::io::AsyncWriteExt;
		let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
		let url = format!("ws://{}", listener.local_addr().unwrap());
		tokio::spawn(async move {
			while let Ok((mut stream, _)) = listener.accept().await {
				let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await;
			}
		});
		let Err(error) = ChainClient::connect(&url).await else { panic!("connected to nothing") };
		let message = error.to_string();
		assert!(message.contains(&url), "{message}");
		assert_eq!(message.lines().count(), 1, "{message}");
	}
}
