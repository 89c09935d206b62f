//! Puts the parts of a node together and starts them.

use std::{sync::Arc, time::Duration};

use cuckoo_runtime::{Hash, Header, RuntimeApi};
use futures::FutureExt;
use sc_client_api::Backend as _;
use sc_consensus_babe::{BabeLink, BabeWorkerHandle, SlotProportion};
use sc_consensus_grandpa::{FinalityProofProvider, LinkHalf, SharedVoterState, VotingRulesBuilder};
use sc_consensus_slots::BackoffAuthoringOnFinalizedHeadLagging;
use sc_executor::{RuntimeVersionOf, WasmExecutor};
use sc_network::{
	config::{FullNetworkConfiguration, NetworkBackendType},
	Litep2pNetworkBackend, NetworkBackend, NetworkWorker,
};
use sc_service::{
	ChainType, Configuration, Error, GenesisBlockBuilder, PartialComponents, TFullBackend,
	TFullClient, TaskManager, WarpSyncConfig,
};
use sc_telemetry::{Telemetry, TelemetryWorker};
use sc_transaction_pool::TransactionPoolHandle;
use sc_transaction_pool_api::{OffchainTransactionPoolFactory, RejectAllTxPool};
use sp_blockchain::HeaderBackend;
use sp_consensus_babe::inherents::{BabeCreateInherentDataProviders, InherentDataProvider};
use sp_core::storage::Storage;
use sp_runtime::{
	generic,
	traits::{BlakeTwo256, Block as BlockT, Hash as HashT},
	OpaqueExtrinsic,
};

use crate::{equivocation::ReportEquivocations, ports::Ports, rpc};

/// A block as the node sees it. Only the runtime understands the transactions in it: for the node and
/// those who ask it over JSON-RPC, they are bytes.
pub type Block = generic::Block<Header, OpaqueExtrinsic>;

/// The functions that the Wasm of the runtime may call.
type HostFunctions = sp_io::SubstrateHostFunctions;

/// The chain as the node sees it.
pub type FullClient = TFullClient<Block, RuntimeApi, WasmExecutor<HostFunctions>>;

/// The database.
pub type FullBackend = TFullBackend<Block>;

/// The transactions that wait for a block.
pub type FullPool = TransactionPoolHandle<Block, FullClient>;

/// Of several forks the longest is built on.
pub type FullSelectChain = sc_consensus::LongestChain<FullBackend, Block>;

type GrandpaBlockImport =
	sc_consensus_grandpa::GrandpaBlockImport<FullBackend, Block, FullClient, FullSelectChain>;

type BabeBlockImport = ReportEquivocations<
	sc_consensus_babe::BabeBlockImport<
		Block,
		FullClient,
		GrandpaBlockImport,
		BabeCreateInherentDataProviders<Block>,
		FullSelectChain,
	>,
>;

/// How many blocks may pass at most until GRANDPA makes a proof of finality that others can load.
const JUSTIFICATION_PERIOD: u32 = 512;

/// How long a vote of GRANDPA should take to reach everybody.
const GOSSIP_DURATION: Duration = Duration::from_millis(333);

/// How many messages may wait for the telemetry server before new ones are dropped.
const TELEMETRY_BUFFER: usize = 16;

/// What consensus needs when the node starts.
pub struct Consensus {
	block_import: BabeBlockImport,
	babe_link: BabeLink<Block>,
	babe_worker: BabeWorkerHandle<Block>,
	grandpa_link: LinkHalf<Block, FullClient, FullSelectChain>,
	inherents: BabeCreateInherentDataProviders<Block>,
	telemetry: Option<Telemetry>,
}

/// The parts of a node that need no network.
pub type Parts = PartialComponents<
	FullClient,
	FullBackend,
	FullSelectChain,
	sc_consensus::DefaultImportQueue<Block>,
	FullPool,
	Consensus,
>;

/// Opens the database and makes the parts of a node that need no network.
///
/// # Errors
///
/// When the database cannot be opened or is another chain's, or the runtime has no valid genesis.
pub fn new_partial(config: &Configuration) -> Result<Parts, Error> {
	let telemetry = config
		.telemetry_endpoints
		.clone()
		.filter(|endpoints| !endpoints.is_empty())
		.map(|endpoints| -> Result<_, sc_telemetry::Error> {
			let worker = TelemetryWorker::new(TELEMETRY_BUFFER)?;
			let telemetry = worker.handle().new_telemetry(endpoints);
			Ok((worker, telemetry))
		})
		.transpose()?;

	let executor = sc_service::new_wasm_executor::<HostFunctions>(&config.executor);
	let backend = sc_service::new_db_backend::<Block>(config.db_config())?;
	let genesis = config.chain_spec.as_storage_builder().build_storage().map_err(Error::Other)?;
	ensure_same_chain(config, &backend, &genesis, &executor)?;
	let genesis_builder = GenesisBlockBuilder::new_with_storage(
		genesis,
		!config.no_genesis(),
		Arc::clone(&backend),
		executor.clone(),
	)?;
	let (client, backend, keystore_container, task_manager) =
		sc_service::new_full_parts_with_genesis_builder::<Block, RuntimeApi, _, _>(
			config,
			telemetry.as_ref().map(|(_, telemetry)| telemetry.handle()),
			executor,
			backend,
			genesis_builder,
			false,
		)?;
	let client = Arc::new(client);
	let telemetry = telemetry.map(|(worker, telemetry)| {
		task_manager.spawn_handle().spawn("telemetry", None, worker.run());
		telemetry
	});
	let telemetry_handle = telemetry.as_ref().map(Telemetry::handle);

	let select_chain = sc_consensus::LongestChain::new(Arc::clone(&backend));
	let transaction_pool = Arc::new(
		sc_transaction_pool::Builder::new(
			task_manager.spawn_essential_handle(),
			Arc::clone(&client),
			config.role.is_authority().into(),
		)
		.with_options(config.transaction_pool.clone())
		.with_prometheus(config.prometheus_registry())
		.build(),
	);

	let (grandpa_block_import, grandpa_link) = sc_consensus_grandpa::block_import(
		Arc::clone(&client),
		JUSTIFICATION_PERIOD,
		&client,
		select_chain.clone(),
		telemetry_handle.clone(),
	)?;
	let justification_import = grandpa_block_import.clone();

	let babe_config = sc_consensus_babe::configuration(&*client)?;
	let slot_duration = babe_config.slot_duration();
	let inherents: BabeCreateInherentDataProviders<Block> = Arc::new(move |_, ()| async move {
		let timestamp = sp_timestamp::InherentDataProvider::from_system_time();
		let slot =
			InherentDataProvider::from_timestamp_and_slot_duration(*timestamp, slot_duration);
		Ok((slot, timestamp))
	});
	let (block_import, babe_link) = sc_consensus_babe::block_import(
		babe_config,
		grandpa_block_import,
		Arc::clone(&client),
		Arc::clone(&inherents),
		select_chain.clone(),
		// Its reports prove nothing: ours take their place.
		OffchainTransactionPoolFactory::new(RejectAllTxPool::default()),
	)?;
	let block_import = ReportEquivocations::new(
		block_import,
		Arc::clone(&client),
		OffchainTransactionPoolFactory::new(Arc::clone(&transaction_pool)),
	);
	let (import_queue, babe_worker) =
		sc_consensus_babe::import_queue(sc_consensus_babe::ImportQueueParams {
			link: babe_link.clone(),
			block_import: block_import.clone(),
			justification_import: Some(Box::new(justification_import)),
			client: Arc::clone(&client),
			slot_duration,
			spawner: &task_manager.spawn_essential_handle(),
			registry: config.prometheus_registry(),
			telemetry: telemetry_handle,
		})?;

	Ok(PartialComponents {
		client,
		backend,
		task_manager,
		keystore_container,
		select_chain,
		import_queue,
		transaction_pool,
		other: Consensus {
			block_import,
			babe_link,
			babe_worker,
			grandpa_link,
			inherents,
			telemetry,
		},
	})
}

/// Makes sure that a database which has a chain has the one that the node is started on: it would
/// otherwise go on with the other chain, under the name of this one.
fn ensure_same_chain(
	config: &Configuration,
	backend: &FullBackend,
	genesis: &Storage,
	executor: &impl RuntimeVersionOf,
) -> Result<(), Error> {
	let Some(found) = backend.blockchain().hash(0)? else {
		return Ok(());
	};
	let version = sc_service::resolve_state_version_from_wasm::<_, BlakeTwo256>(genesis, executor)?;
	let state_root = BlakeTwo256::trie_root(genesis.top.clone().into_iter().collect(), version);
	let expected = sc_service::construct_genesis_block::<Block>(state_root, version).hash();
	if found == expected {
		return Ok(());
	}
	let path = config.database.path().map_or_else(String::new, |path| path.display().to_string());
	Err(Error::Other(format!(
		"the database at {path} belongs to another chain: its genesis is {found:?}, that of {} is \
		 {expected:?}. Delete it with `purge-chain`, or choose another --base-path.",
		config.chain_spec.name(),
	)))
}

/// Starts a node. It runs until the returned task manager is told to stop.
///
/// # Errors
///
/// When a port is in use, or for the reasons of [`new_partial`].
pub fn start(mut config: Configuration) -> Result<TaskManager, Error> {
	let ports = Ports::claim(&mut config);
	ports.check().map_err(Error::Other)?;
	let started = match config.network.network_backend {
		NetworkBackendType::Litep2p => start_with::<Litep2pNetworkBackend>(config),
		NetworkBackendType::Libp2p => start_with::<NetworkWorker<Block, Hash>>(config),
	};
	// Making the genesis takes a while, in which another program may have taken the RPC port; the
	// error then names no port. The server is what starts last, so that the port is not our own.
	started.map_err(|error| match (&error, ports.check_rpc()) {
		(Error::Application(_), Err(taken)) => Error::Other(taken),
		_ => error,
	})
}

fn start_with<N: NetworkBackend<Block, Hash>>(config: Configuration) -> Result<TaskManager, Error> {
	let PartialComponents {
		client,
		backend,
		mut task_manager,
		import_queue,
		keystore_container,
		select_chain,
		transaction_pool,
		other:
			Consensus { block_import, babe_link, babe_worker, grandpa_link, inherents, mut telemetry },
	} = new_partial(&config)?;
	let telemetry_handle = telemetry.as_ref().map(Telemetry::handle);
	let prometheus_registry = config.prometheus_registry().cloned();

	let mut net_config = FullNetworkConfiguration::<Block, Hash, N>::new(
		&config.network,
		prometheus_registry.clone(),
	);
	let metrics = N::register_notification_metrics(prometheus_registry.as_ref());
	let grandpa_protocol = sc_consensus_grandpa::protocol_standard_name(
		&client.chain_info().genesis_hash,
		&config.chain_spec,
	);
	let (grandpa_protocol_config, grandpa_notifications) =
		sc_consensus_grandpa::grandpa_peers_set_config::<_, N>(
			grandpa_protocol.clone(),
			metrics.clone(),
			net_config.peer_store_handle(),
		);
	net_config.add_notification_protocol(grandpa_protocol_config);

	let warp_sync = Arc::new(sc_consensus_grandpa::warp_proof::NetworkProvider::new(
		Arc::clone(&backend),
		grandpa_link.shared_authority_set().clone(),
		Vec::new(),
	));
	let (network, system_rpc_tx, tx_handler_controller, sync_service, _bitswap) =
		sc_service::build_network(sc_service::BuildNetworkParams {
			config: &config,
			net_config,
			client: Arc::clone(&client),
			transaction_pool: Arc::clone(&transaction_pool),
			spawn_handle: task_manager.spawn_handle(),
			spawn_essential_handle: task_manager.spawn_essential_handle(),
			import_queue,
			block_announce_validator_builder: None,
			warp_sync_config: Some(WarpSyncConfig::WithProvider(warp_sync)),
			block_relay: None,
			metrics,
			gap_sync_body_policy: None,
		})?;

	if config.offchain_worker.enabled {
		let workers = sc_offchain::OffchainWorkers::new(sc_offchain::OffchainWorkerOptions {
			runtime_api_provider: Arc::clone(&client),
			keystore: Some(keystore_container.keystore()),
			offchain_db: backend.offchain_storage(),
			transaction_pool: Some(OffchainTransactionPoolFactory::new(Arc::clone(
				&transaction_pool,
			))),
			network_provider: Arc::new(Arc::clone(&network)),
			is_validator: config.role.is_authority(),
			enable_http_requests: false,
			custom_extensions: |_| Vec::new(),
		})?;
		task_manager.spawn_handle().spawn(
			"offchain-workers-runner",
			"offchain-worker",
			workers.run(Arc::clone(&client), task_manager.spawn_handle()).boxed(),
		);
	}

	let voter_state = SharedVoterState::empty();
	let rpc_deps = rpc::Deps {
		client: Arc::clone(&client),
		pool: Arc::clone(&transaction_pool),
		select_chain: select_chain.clone(),
		keystore: keystore_container.keystore(),
		babe_worker,
		grandpa: rpc::GrandpaDeps {
			voter_state: voter_state.clone(),
			authority_set: grandpa_link.shared_authority_set().clone(),
			justifications: grandpa_link.justification_stream(),
			finality_proofs: FinalityProofProvider::new_for_service(
				Arc::clone(&backend),
				Some(grandpa_link.shared_authority_set().clone()),
			),
		},
	};

	let role = config.role;
	let name = config.network.node_name.clone();
	// The one validator of a development chain has no peers to wait for.
	let force_authoring =
		config.force_authoring || matches!(config.chain_spec.chain_type(), ChainType::Development);
	let grandpa_enabled = !config.disable_grandpa;
	sc_service::spawn_tasks(sc_service::SpawnTasksParams {
		config,
		client: Arc::clone(&client),
		backend,
		task_manager: &mut task_manager,
		keystore: keystore_container.keystore(),
		transaction_pool: Arc::clone(&transaction_pool),
		rpc_builder: Box::new(move |executor| rpc::create(rpc_deps.clone(), executor)),
		network: Arc::clone(&network),
		system_rpc_tx,
		tx_handler_controller,
		sync_service: Arc::clone(&sync_service),
		telemetry: telemetry.as_mut(),
		tracing_execute_block: None,
	})?;

	if role.is_authority() {
		let proposer = sc_basic_authorship::ProposerFactory::new(
			task_manager.spawn_handle(),
			Arc::clone(&client),
			Arc::clone(&transaction_pool),
			prometheus_registry.as_ref(),
			telemetry_handle.clone(),
		);
		let babe = sc_consensus_babe::start_babe(sc_consensus_babe::BabeParams {
			keystore: keystore_container.keystore(),
			client,
			select_chain,
			env: proposer,
			block_import,
			sync_oracle: Arc::clone(&sync_service),
			justification_sync_link: Arc::clone(&sync_service),
			create_inherent_data_providers: inherents,
			force_authoring,
			// Slow down while finality lags behind, so that the blocks at risk stay few.
			backoff_authoring_blocks: Some(BackoffAuthoringOnFinalizedHeadLagging::default()),
			babe_link,
			block_proposal_slot_portion: SlotProportion::new(0.5),
			max_block_proposal_slot_portion: None,
			telemetry: telemetry_handle.clone(),
		})?;
		task_manager.spawn_essential_handle().spawn_blocking(
			"babe-proposer",
			Some("block-authoring"),
			babe,
		);
	}

	if grandpa_enabled {
		let voter = sc_consensus_grandpa::run_grandpa_voter(sc_consensus_grandpa::GrandpaParams {
			config: sc_consensus_grandpa::Config {
				gossip_duration: GOSSIP_DURATION,
				justification_generation_period: JUSTIFICATION_PERIOD,
				name: Some(name),
				observer_enabled: false,
				// Who does not validate has no say, and need not look for keys.
				keystore: role.is_authority().then(|| keystore_container.keystore()),
				local_role: role,
				telemetry: telemetry_handle.clone(),
				protocol_name: grandpa_protocol,
			},
			link: grandpa_link,
			network,
			sync: sync_service,
			notification_service: grandpa_notifications,
			voting_rule: VotingRulesBuilder::default().build(),
			prometheus_registry,
			shared_voter_state: voter_state,
			telemetry: telemetry_handle,
			offchain_tx_pool_factory: OffchainTransactionPoolFactory::new(transaction_pool),
		})?;
		task_manager.spawn_essential_handle().spawn_blocking("grandpa-voter", None, voter);
	}

	Ok(task_manager)
}
