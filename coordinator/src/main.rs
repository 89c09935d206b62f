//! `cuckoo-coordinator`: see the library and `--help`.

use anyhow::{bail, Context};
use cuckoo_chain_client::{key_command, keys, watch_registry, AccountId32, ChainClient, Role};
use cuckoo_coordinator::{
	admin::{self, AdminSocket},
	app_server::serve_apps,
	assignment::vrf::Drawer,
	audit,
	cli::{data_dir, CertificateArgs, Cli, Command, RunArgs},
	config_file::{self, ConfigError},
	listener::Port,
	logging,
	miner_server::serve_miners,
	probes::serve_metrics,
	registry::chain::snapshots,
	service::{Identity, Service},
	startup,
	store::Store,
	tls,
};
use jsonrpsee::server::stop_channel;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use std::io::stdout;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{signal, SignalKind};
use tokio::time::timeout;

/// How long connections may take to close when everything else has ended.
const CLOSE: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> ExitCode {
	let (cli, effective) = match config_file::parse::<Cli>(std::env::args_os()) {
		Ok(parsed) => parsed,
		Err(ConfigError::CommandLine(error)) => error.exit(),
		Err(error) => return give_up(error.into()),
	};
	let outcome = match cli.command {
		Some(Command::Key(command)) => {
			key_command::run(command, Role::Coordinator, &mut stdout()).await.map_err(Into::into)
		},
		Some(Command::App(args)) => admin::run(args, &mut stdout()).await,
		Some(Command::Audit(args)) => audit::run(args, &mut stdout()).await,
		Some(Command::Certificate(args)) => make_certificate(args),
		Some(Command::Config(_)) => {
			print!("{effective}");
			Ok(())
		},
		None => run(cli.run).await,
	};
	match outcome {
		Ok(()) => ExitCode::SUCCESS,
		Err(error) => give_up(error),
	}
}

fn give_up(error: anyhow::Error) -> ExitCode {
	eprintln!("error: {error:#}");
	ExitCode::FAILURE
}

/// The signals that ask the program to end.
struct Interrupts {
	interrupt: tokio::signal::unix::Signal,
	terminate: tokio::signal::unix::Signal,
}

impl Interrupts {
	fn catch() -> anyhow::Result<Self> {
		Ok(Self {
			interrupt: signal(SignalKind::interrupt()).context("cannot catch Ctrl-C")?,
			terminate: signal(SignalKind::terminate()).context("cannot catch SIGTERM")?,
		})
	}

	/// Waits for the next one.
	async fn next(&mut self) {
		tokio::select! {
			_ = self.interrupt.recv() => {},
			_ = self.terminate.recv() => {},
		}
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
	logging::init(args.log_format)?;
	let Some(key) = &args.key else {
		bail!("no operator key: give its file with --key FILE, or make one with `key new`");
	};
	let key = keys::load_for_draws(key, &args.password)?;
	let account = AccountId32(key.public.to_bytes());
	let app_certificate = args.app_certificate()?;
	let app_port =
		Port::bind(args.app_listen, app_certificate.as_ref(), "apps", "--app-listen").await?;
	let miner_certificate = args.miner_certificate()?;
	let miner_port =
		Port::bind(args.miner_listen, miner_certificate.as_ref(), "miners", "--miner-listen")
			.await?;

	let metrics_port = match args.metrics_listen {
		Some(address) => Some(Port::bind(address, None, "metrics", "--metrics-listen").await?),
		None => None,
	};

	let client = ChainClient::connect(&args.chain).await?;
	let registration = startup::check(&client, args.genesis, &account).await?;
	let identity = Identity {
		genesis: client.genesis(),
		operator: account.0,
		operator_address: account.to_string(),
		stash: registration.stash.to_string(),
	};
	let registry = snapshots(watch_registry(client).await?, account);

	let mut interrupts = Interrupts::catch()?;
	let (dir, pictures) = (data_dir(args.data.as_deref())?, args.pictures.as_deref());
	let owner = format!("{account} on the chain 0x{}", hex::encode(identity.genesis));
	let store = Store::open(&dir, &owner, pictures, args.durability, args.retention())?;
	let drawer = Drawer::new(identity.genesis, key);
	let (options, rng) = (args.scheduler_options(), ChaCha20Rng::from_entropy());
	let service = Service::new(identity, options, drawer, store, rng)
		.with_webhooks(args.webhook_options())
		.with_apps(args.apps.options());
	let service = Arc::new(service);
	let admin = AdminSocket::open(&dir, service.clone())
		.inspect_err(|error| tracing::warn!(%error, "`app` works only while this is stopped"));
	let (stop, stopper) = stop_channel();
	if args.webhook_allow_private {
		tracing::warn!("webhooks may call private addresses: for tests and development only");
	}
	tracing::info!("tasks are kept in {}", dir.display());
	tracing::info!("coordinator of stash {}, operator {account}", registration.stash);
	let scheme = if app_certificate.is_some() { "https" } else { "http" };
	tracing::info!("listening for apps on {scheme}://{}", app_port.address()?);
	let scheme = if miner_certificate.is_some() { "wss" } else { "ws" };
	tracing::info!("listening for miners on {scheme}://{}", miner_port.address()?);
	if let Some(port) = &metrics_port {
		tracing::info!("metrics on http://{}/metrics", port.address()?);
	}
	let fingerprint = miner_certificate.as_ref().map(tls::Certificate::fingerprint);
	if let Some(warning) = startup::certificate_warning(&registration, fingerprint) {
		tracing::warn!("{warning}");
	}
	for certificate in app_certificate.into_iter().chain(miner_certificate) {
		tokio::spawn(certificate.follow());
	}
	if !service.needs_key() {
		tracing::info!("whoever reaches the app listener may offer tasks; `app add` makes keys");
	}
	let connections = args.connection_limits();
	let apps = serve_apps(app_port, service.clone(), connections, stop.clone());
	let miners = serve_miners(miner_port, service.clone(), connections, stop.clone());
	let metrics = {
		let service = service.clone();
		async move {
			if let Some(port) = metrics_port {
				serve_metrics(port, service, stop).await
			} else {
				stop.shutdown().await;
				Ok(())
			}
		}
	};
	let mut servers = tokio::spawn(async { tokio::try_join!(apps, miners, metrics) });
	let keeper = tokio::spawn({
		let service = service.clone();
		async move { service.run(registry).await }
	});
	tracing::info!("ready");

	tokio::select! {
		() = interrupts.next() => {},
		failure = service.failed() => bail!("{failure}"),
		ended = &mut servers => {
			ended.context("a listener failed")?.context("a listener failed")?;
			bail!("the listeners ended by themselves");
		},
	}
	tracing::info!(
		"going down: no more offers; running tasks may finish for up to {} seconds, interrupt again \
		to stop at once",
		args.drain
	);
	let go_down = async {
		service.drain(Duration::from_secs(args.drain)).await;
		// It fails only if it was stopped before.
		let _ = stopper.stop();
		if timeout(CLOSE, servers).await.is_err() {
			tracing::info!("some connections did not close in time");
		}
	};
	tokio::select! {
		() = go_down => {},
		() = interrupts.next() => tracing::info!("interrupted again: not waiting"),
	}
	keeper.abort();
	drop(admin);
	drop(service);
	tracing::info!("stopped");
	Ok(())
}
