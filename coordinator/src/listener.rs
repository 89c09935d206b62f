//! What the two listeners have in common: a port, encryption, a limit on connections, JSON-RPC beside
//! plain HTTP, and an orderly end.

use crate::metrics::{ListenerMetrics, OpenConnection};
use crate::{named_errors::NameErrors, sessions::Connection, tls::Certificate};
use axum::{
	body::Body,
	extract::{connect_info::Connected, Request},
	http::StatusCode,
	response::{IntoResponse, Response},
	serve::{IncomingStream, Listener},
	Extension, Json, Router,
};
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	miner::MAX_PICTURE_BYTES,
	task::IMAGES,
};
use jsonrpsee::server::{
	middleware::rpc::RpcServiceBuilder, BatchRequestConfig, Methods, PingConfig, Server,
	StopHandle, TowerServiceBuilder,
};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{
	atomic::{AtomicU32, Ordering},
	Arc,
};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::{server::TlsStream, TlsAcceptor};
use tokio_util::either::Either;
use tower::{
	layer::util::{Identity, Stack},
	Service as _,
};

/// Largest JSON-RPC request, in bytes.
pub const MAX_REQUEST_BYTES: u32 = 1024 * 1024;
/// Largest JSON-RPC answer, in bytes: as many pictures as a task may have, each as large as it may be,
/// in Base64, and a little more.
const MAX_RESPONSE_BYTES: u32 = *IMAGES.end() * (MAX_PICTURE_BYTES as u32 / 3 * 4) + 1024 * 1024;
/// Most calls in one JSON-RPC batch.
pub const MAX_BATCH: u32 = 32;
/// Most subscriptions of one connection.
pub const MAX_SUBSCRIPTIONS: u32 = 128;
/// After a failure to accept a connection that is not the peer's fault (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Longest time from the beginning of a connection until it is encrypted.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why a listener cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
	/// Another program has the port.
	#[error("cannot listen for {what} on {address}: the port is in use; stop the program that has it, or choose another address with {option}")]
	InUse {
		/// For whom.
		what: &'static str,
		/// Where.
		address: SocketAddr,
		/// The option that sets the address.
		option: &'static str,
	},
	/// Anything else.
	#[error(
		"cannot listen for {what} on {address}: {error}; choose another address with {option}"
	)]
	Other {
		/// For whom.
		what: &'static str,
		/// Where.
		address: SocketAddr,
		/// The option that sets the address.
		option: &'static str,
		/// Why.
		error: io::Error,
	},
}

/// A port that was taken for a listener.
pub struct Port {
	listener: TcpListener,
	acceptor: Option<TlsAcceptor>,
}

impl Port {
	/// Takes the port of a listener for `what`, whose address `option` sets. Connections are encrypted
	/// if there is a certificate.
	///
	/// # Errors
	///
	/// If the port cannot be had.
	pub async fn bind(
		address: SocketAddr,
		certificate: Option<&Certificate>,
		what: &'static str,
		option: &'static str,
	) -> Result<Self, BindError> {
		let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
			io::ErrorKind::AddrInUse => BindError::InUse { what, address, option },
			_ => BindError::Other { what, address, option, error },
		})?;
		Ok(Self { listener, acceptor: certificate.map(Certificate::acceptor) })
	}

	/// Where it is.
	///
	/// # Errors
	///
	/// If the system does not say.
	pub fn address(&self) -> io::Result<SocketAddr> {
		self.listener.local_addr()
	}

	/// Serves `router`, to at most `max_connections` at once, until `stop`.
	///
	/// # Errors
	///
	/// If the port fails.
	pub async fn serve(
		self,
		max_connections: usize,
		counted: ListenerMetrics,
		router: Router,
		stop: StopHandle,
	) -> io::Result<()> {
		let free = Arc::new(Semaphore::new(max_connections));
		let handshakes = JoinSet::new();
		let listener = LimitedListener { port: self, free, counted, handshakes };
		let service = router.into_make_service_with_connect_info::<Peer>();
		axum::serve(listener, service).with_graceful_shutdown(stop.shutdown()).await
	}
}

/// A listener that closes connections beyond a limit at once, instead of letting them wait.
struct LimitedListener {
	port: Port,
	free: Arc<Semaphore>,
	/// Connections that are about to be encrypted. They count.
	handshakes: JoinSet<Option<(CountedStream, SocketAddr)>>,
	counted: ListenerMetrics,
}

impl LimitedListener {
	/// The next connection within the limit.
	async fn accept_counted(
		listener: &TcpListener,
		free: &Arc<Semaphore>,
		counted: &ListenerMetrics,
	) -> (TcpStream, Place, SocketAddr) {
		loop {
			match listener.accept().await {
				Ok((stream, peer)) => {
					let Ok(permit) = free.clone().try_acquire_owned() else {
						tracing::warn!(%peer, "too many connections: one more is closed");
						counted.connection_refused();
						continue;
					};
					if let Err(error) = stream.set_nodelay(true) {
						tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
					}
					let open = counted.connection();
					return (stream, (permit, open), peer);
				},
				Err(error) => {
					tracing::warn!(%error, "cannot accept a connection");
					tokio::time::sleep(ACCEPT_PAUSE).await;
				},
			}
		}
	}
}

impl Listener for LimitedListener {
	type Io = CountedStream;
	type Addr = SocketAddr;

	async fn accept(&mut self) -> (CountedStream, SocketAddr) {
		let Self { port: Port { listener, acceptor }, free, counted, handshakes } = self;
		loop {
			let (stream, place, peer) = tokio::select! {
				Some(done) = handshakes.join_next() => match done {
					Ok(Some(ready)) => return ready,
					_ => continue,
				},
				accepted = Self::accept_counted(listener, free, counted) => accepted,
			};
			let Some(acceptor) = acceptor else {
				return (CountedStream { stream: Either::Left(stream), _place: place }, peer);
			};
			let handshake = timeout(HANDSHAKE, acceptor.accept(stream));
			handshakes.spawn(async move {
				let stream = match handshake.await {
					Ok(Ok(stream)) => Either::Right(Box::new(stream)),
					Ok(Err(error)) => {
						tracing::debug!(%peer, %error, "a connection could not be encrypted");
						return None;
					},
					Err(_) => {
						tracing::debug!(%peer, "a connection was not encrypted in time");
						return None;
					},
				};
				Some((CountedStream { stream, _place: place }, peer))
			});
		}
	}

	fn local_addr(&self) -> io::Result<SocketAddr> {
		self.port.address()
	}
}

/// The other end of the connection over which a request came: handlers get it as `ConnectInfo`.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, LimitedListener>> for Peer {
	fn connect_info(stream: IncomingStream<'_, LimitedListener>) -> Self {
		Self(*stream.remote_addr())
	}
}

/// What an open connection takes up: its place within the limit, and one in the count of them.
type Place = (OwnedSemaphorePermit, OpenConnection);

/// A connection that counts until it is dropped.
struct CountedStream {
	stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
	_place: Place,
}

impl AsyncRead for CountedStream {
	fn poll_read(
		mut self: Pin<&mut Self>,
		cx: &mut Context<'_>,
		buf: &mut ReadBuf<'_>,
	) -> Poll<io::Result<()>> {
		Pin::new(&mut self.stream).poll_read(cx, buf)
	}
}

impl AsyncWrite for CountedStream {
	fn poll_write(
		mut self: Pin<&mut Self>,
		cx: &mut Context<'_>,
		buf: &[u8],
	) -> Poll<io::Result<usize>> {
		Pin::new(&mut self.stream).poll_write(cx, buf)
	}

	fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
		Pin::new(&mut self.stream).poll_flush(cx)
	}

	fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
		Pin::new(&mut self.stream).poll_shutdown(cx)
	}
}

/// JSON-RPC on a path of an HTTP server. Clones share their connection numbers.
#[derive(Clone)]
pub struct JsonRpc {
	builder: TowerServiceBuilder<Stack<NameErrors, Identity>, Identity>,
	methods: Methods,
	next_connection: Arc<AtomicU32>,
	stop: StopHandle,
}

impl JsonRpc {
	/// Serves `methods` until `stop`: over WebSocket, and over HTTP unless `only_websocket`.
	pub fn new(
		methods: Methods,
		max_connections: usize,
		only_websocket: bool,
		counted: ListenerMetrics,
		stop: StopHandle,
	) -> Self {
		let builder = Server::builder()
			.set_rpc_middleware(RpcServiceBuilder::new().layer(NameErrors(counted)))
			.max_request_body_size(MAX_REQUEST_BYTES)
			.max_response_body_size(MAX_RESPONSE_BYTES)
			.max_connections(u32::try_from(max_connections).unwrap_or(u32::MAX))
			.max_subscriptions_per_connection(MAX_SUBSCRIPTIONS)
			.set_batch_request_config(BatchRequestConfig::Limit(MAX_BATCH))
			.enable_ws_ping(
				PingConfig::new()
					.ping_interval(Duration::from_secs(10))
					.inactive_limit(Duration::from_secs(30)),
			);
		let builder = if only_websocket { builder.ws_only() } else { builder };
		Self {
			builder: builder.to_service_builder(),
			methods,
			next_connection: Arc::new(AtomicU32::new(0)),
			stop,
		}
	}

	/// Answers one HTTP request, which may be the beginning of a WebSocket connection. `on_close`
	/// runs when that connection has closed, or the request was answered, with the number that
	/// methods find in their extensions as `ConnectionId`.
	pub async fn answer(
		self,
		request: Request,
		on_close: impl FnOnce(Connection) + Send + 'static,
	) -> Response {
		let connection = self.next_connection.fetch_add(1, Ordering::Relaxed);
		let mut service = self.builder.connection_id(connection).build(self.methods, self.stop);
		let closed = service.on_session_closed();
		tokio::spawn(async move {
			closed.await;
			on_close(connection as Connection);
		});
		match service.call(request).await {
			Ok(response) => response.map(Body::new),
			Err(error) => {
				tracing::debug!(%error, "a JSON-RPC request failed");
				refuse(Refusal::new(Code::InvalidRequest, "the request could not be read"))
			},
		}
	}
}

/// A refusal as an HTTP answer: its status, and JSON with its code and message. The code is among its
/// extensions too, to be counted.
pub fn refuse(refusal: Refusal) -> Response {
	let status = StatusCode::from_u16(refusal.code.http_status())
		.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
	let code = refusal.code;
	(status, Extension(code), Json(refusal)).into_response()
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::metrics::{Metrics, StoreMetrics};
	use rustls::{crypto::ring, ClientConfig, RootCertStore};
	use tokio::io::{AsyncReadExt, AsyncWriteExt};
	use tokio_rustls::TlsConnector;

	async fn bind(address: &str) -> Result<Port, BindError> {
		Port::bind(address.parse().unwrap(), None, "apps", "--app-listen").await
	}

	fn counted() -> ListenerMetrics {
		Arc::new(Metrics::new(&StoreMetrics::default())).listener("apps")
	}

	/// Asks for `/` on an open connection; whether it was answered.
	async fn is_served(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
		let mut answer = [0; 1024];
		// A closed connection shows when writing or when reading.
		let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
		let read = stream.read(&mut answer).await.unwrap_or(0);
		answer[..read].ends_with(b"hello")
	}

	#[tokio::test]
	async fn a_connection_beyond_the_limit_is_closed_until_another_one_ends() {
		let port = bind("127.0.0.1:0").await.unwrap();
		let address = port.address().unwrap();
		let (stop, _stopper) = jsonrpsee::server::stop_channel();
		let router = Router::new().fallback(|| async { "hello" });
		tokio::spawn(port.serve(1, counted(), router, stop));
		let mut first = TcpStream::connect(address).await.unwrap();
		assert!(is_served(&mut first).await);
		assert!(!is_served(&mut TcpStream::connect(address).await.unwrap()).await);
		assert!(is_served(&mut first).await);
		drop(first);
		for _ in 0..100 {
			if is_served(&mut TcpStream::connect(address).await.unwrap()).await {
				return;
			}
			tokio::time::sleep(Duration::from_millis(20)).await;
		}
		panic!("the place of the closed connection is not free");
	}

	#[tokio::test]
	async fn connections_are_encrypted_and_one_that_stalls_holds_nobody_up() {
		let dir = tempfile::tempdir().unwrap();
		let files = ["crt", "key"].map(|kind| dir.path().join(kind));
		crate::tls::make(vec!["localhost".into()], &files[0], &files[1]).unwrap();
		let certificate = Certificate::load(&files[0], &files[1]).unwrap();
		let loopback = "127.0.0.1:0".parse().unwrap();
		let port = Port::bind(loopback, Some(&certificate), "apps", "--app-listen").await.unwrap();
		let address = port.address().unwrap();
		let (stop, _stopper) = jsonrpsee::server::stop_channel();
		tokio::spawn(port.serve(3, counted(), Router::new().fallback(|| async { "hello" }), stop));

		let _stalled = TcpStream::connect(address).await.unwrap();
		assert!(!is_served(&mut TcpStream::connect(address).await.unwrap()).await);
		let mut roots = RootCertStore::empty();
		let chain = cuckoo_chain_client::certificate::load(&files[0]).unwrap();
		roots.add(chain[0].clone()).unwrap();
		let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
			.with_safe_default_protocol_versions()
			.unwrap()
			.with_root_certificates(roots)
			.with_no_client_auth();
		let stream = TcpStream::connect(address).await.unwrap();
		let name = "localhost".try_into().unwrap();
		let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
		assert!(is_served(&mut stream).await);
	}

	#[tokio::test]
	async fn a_port_in_use_is_told_in_one_line() {
		let taken = bind("127.0.0.1:0").await.unwrap();
		let address = taken.address().unwrap().to_string();
		let Err(error) = bind(&address).await else { panic!("the port is taken") };
		let message = error.to_string();
		assert!(message.contains(&address) && message.contains("in use"), "{message}");
		assert_eq!(message.lines().count(), 1);
	}
}
