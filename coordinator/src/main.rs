//! `cuckoo-coordinator`: see the library and `--help`.

use anyhow::{bail, Context};
use clap::Parser;
use cuckoo_chain_client::{key_command, keys, watch_registry, AccountId32, ChainClient, Role};
use cuckoo_coordinator::{
	app_server::serve_apps,
	assignment::vrf::Drawer,
	audit,
	cli::{CertificateArgs, Cli, Command, RunArgs},
	listener::Port,
	miner_server::serve_miners,
	registry::chain::snapshots,
	service::{Identity, Service},
	startup,
	store::Store,
	tls,
};
use jsonrpsee::server::stop_channel;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use std::io::{stderr, stdout, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{signal, SignalKind};
use tokio::time::timeout;
use tracing_subscriber::EnvFilter;

/// How long miners may go on with their tasks when the coordinator goes down.
const DRAIN: Duration = Duration::from_secs(10);
/// How long connections may take to close after that.
const CLOSE: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> ExitCode {
	let cli = Cli::parse();
	let outcome = match cli.command {
		Some(Command::Key(command)) => {
			key_command::run(command, Role::Coordinator, &mut stdout()).await.map_err(Into::into)
		},
		Some(Command::Audit(args)) => audit::run(args, &mut stdout()).await,
		Some(Command::Certificate(args)) => make_certificate(args),
		None => run(cli.run).await,
	};
	match outcome {
		Ok(()) => ExitCode::SUCCESS,
		Err(error) => {
			eprintln!("error: {error:#}");
			ExitCode::FAILURE
		},
	}
}

fn make_certificate(args: CertificateArgs) -> anyhow::Result<()> {
	let CertificateArgs { hosts, out_cert, out_key } = args;
	let fingerprint = tls::make(hosts, &out_cert, &out_key)?;
	println!("certificate: {}", out_cert.display());
	println!("private key: {}", out_key.display());
	println!("fingerprint: 0x{}", hex::encode(fingerprint));
	Ok(())
}

async fn run(args: RunArgs) -> anyhow::Result<()> {
	let filter = EnvFilter::builder()
		.with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
		.from_env()
		.context("RUST_LOG is not understood")?;
	tracing_subscriber::fmt()
		.with_env_filter(filter)
		.with_target(false)
		.with_ansi(stderr().is_terminal())
		.with_writer(stderr)
		.init();

	let Some(key) = &args.key else {
		bail!("no operator key: give its file with --key FILE, or make one with `key generate`");
	};
	let key = keys::load_for_draws(key)?;
	let account = AccountId32(key.public.to_bytes());
	let app_certificate = args.app_certificate()?;
	let app_port =
		Port::bind(args.app_listen, app_certificate.as_ref(), "apps", "--app-listen").await?;
	let miner_certificate = args.miner_certificate()?;
	let miner_port =
		Port::bind(args.miner_listen, miner_certificate.as_ref(), "miners", "--miner-listen")
			.await?;

	let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch Ctrl-C")?;
	let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;

	let client = ChainClient::connect(&args.chain).await?;
	let registration = startup::check(&client, args.genesis, &account).await?;
	let identity = Identity {
		genesis: client.genesis(),
		operator: account.0,
		operator_address: account.to_string(),
		stash: registration.stash.to_string(),
	};
	let registry = snapshots(watch_registry(client).await?, account);

	let (dir, pictures) = (args.data_dir()?, args.pictures.as_deref());
	let owner = format!("{account} on the chain 0x{}", hex::encode(identity.genesis));
	let store = Store::open(&dir, &owner, pictures, args.durability, args.retention())?;
	let drawer = Drawer::new(identity.genesis, key);
	let options = args.scheduler_options();
	let rng = ChaCha20Rng::from_entropy();
	let service = Arc::new(Service::new(identity, options, drawer, store, rng));
	let (stop, stopper) = stop_channel();
	tracing::info!("tasks are kept in {}", dir.display());
	tracing::info!("coordinator of stash {}, operator {account}", registration.stash);
	let scheme = if app_certificate.is_some() { "https" } else { "http" };
	tracing::info!("listening for apps on {scheme}://{}", app_port.address()?);
	let scheme = if miner_certificate.is_some() { "wss" } else { "ws" };
	tracing::info!("listening for miners on {scheme}://{}", miner_port.address()?);
	let fingerprint = miner_certificate.as_ref().map(tls::Certificate::fingerprint);
	if let Some(warning) = startup::certificate_warning(&registration, fingerprint) {
		tracing::warn!("{warning}");
	}
	for certificate in app_certificate.into_iter().chain(miner_certificate) {
		tokio::spawn(certificate.follow());
	}
	let connections = args.max_connections as usize;
	let apps = serve_apps(app_port, service.clone(), connections, stop.clone());
	let miners = serve_miners(miner_port, service.clone(), connections, stop);
	let mut servers = tokio::spawn(async { tokio::try_join!(apps, miners) });
	let keeper = tokio::spawn({
		let service = service.clone();
		async move { service.run(registry).await }
	});
	tracing::info!("ready");

	tokio::select! {
		_ = interrupt.recv() => {},
		_ = terminate.recv() => {},
		failure = service.failed() => bail!("{failure}"),
		ended = &mut servers => {
			ended.context("a listener failed")?.context("a listener failed")?;
			bail!("the listeners ended by themselves");
		},
	}
	tracing::info!("going down: no more offers; running tasks may finish for up to 10 seconds");
	tokio::select! {
		() = service.drain(DRAIN) => {},
		_ = interrupt.recv() => tracing::info!("interrupted again: not waiting"),
	}
	// It fails only if it was stopped before.
	let _ = stopper.stop();
	if timeout(CLOSE, servers).await.is_err() {
		tracing::info!("some connections did not close in time");
	}
	keeper.abort();
	drop(service);
	tracing::info!("stopped");
	Ok(())
}
