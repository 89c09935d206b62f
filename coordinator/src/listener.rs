//! What the two listeners have in common: a port, encryption, a limit on connections, JSON-RPC beside
//! plain HTTP, and an orderly end.

use crate::connections::{ConnectionLimits, Place, Places};
use crate::metrics::{ListenerMetrics, OpenConnection};
use crate::{named_errors::NameErrors, sessions::Connection, tls::Certificate};
use axum::{
	body::Body,
	extract::{ConnectInfo, Request},
	http::{
		header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
		StatusCode,
	},
	response::{IntoResponse, Response},
	Extension, Json, Router,
};
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	miner::MAX_PICTURE_BYTES,
	task::IMAGES,
};
use futures::stream::{self, StreamExt};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee::server::{
	middleware::rpc::RpcServiceBuilder, BatchRequestConfig, Methods, PingConfig, Server,
	StopHandle, TowerServiceBuilder,
};
use serde::Serialize;
use std::io;
use std::net::SocketAddr;
use std::pin::{pin, Pin};
use std::sync::{
	atomic::{AtomicU32, Ordering},
	Arc,
};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at, Instant};
use tokio_rustls::{server::TlsStream, TlsAcceptor};
use tokio_util::either::Either;
use tower::{
	layer::util::{Identity, Stack},
	util::MapRequestLayer,
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

	/// Serves `router`, within these limits, until `stop`. Connections beyond the limits are closed at
	/// once, instead of being let wait.
	///
	/// # Errors
	///
	/// If the port fails.
	pub async fn serve(
		self,
		limits: ConnectionLimits,
		counted: ListenerMetrics,
		router: Router,
		stop: StopHandle,
	) -> io::Result<()> {
		let Self { listener, acceptor } = self;
		let places = Places::new(&limits);
		let in_time =
			move |request: Request| request.map(|body| arriving_within(limits.body, body));
		let router = router.layer(MapRequestLayer::new(in_time));
		let mut connections = JoinSet::new();
		let mut stopped = pin!(stop.clone().shutdown());
		loop {
			let accepted = tokio::select! {
				accepted = listener.accept() => accepted,
				Some(_) = connections.join_next() => continue,
				() = &mut stopped => break,
			};
			match accepted {
				Ok((stream, peer)) => match places.take(peer.ip()) {
					Ok(place) => {
						if let Err(error) = stream.set_nodelay(true) {
							tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
						}
						let place = (place, counted.connection());
						let (acceptor, router) = (acceptor.clone(), router.clone());
						let stop = stop.clone();
						connections.spawn(async move {
							let Some(stream) = encrypt(stream, peer, acceptor).await else {
								return;
							};
							let stream = CountedStream { stream, _place: place };
							answer_all(stream, peer, limits.head, router, stop).await;
						});
					},
					Err(why) => {
						tracing::warn!(%peer, "{why}: one more is closed");
						counted.connection_refused();
					},
				},
				Err(error) => {
					tracing::warn!(%error, "cannot accept a connection");
					tokio::time::sleep(ACCEPT_PAUSE).await;
				},
			}
		}
		drop(listener);
		while connections.join_next().await.is_some() {}
		Ok(())
	}
}

/// A connection, encrypted if there is a certificate.
type MaybeEncrypted = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Encrypts a connection if there is a certificate; `None` if the other end does not take part in that.
async fn encrypt(
	stream: TcpStream,
	peer: SocketAddr,
	acceptor: Option<TlsAcceptor>,
) -> Option<MaybeEncrypted> {
	let Some(acceptor) = acceptor else { return Some(Either::Left(stream)) };
	match timeout(HANDSHAKE, acceptor.accept(stream)).await {
		Ok(Ok(stream)) => Some(Either::Right(Box::new(stream))),
		Ok(Err(error)) => {
			tracing::debug!(%peer, %error, "a connection could not be encrypted");
			None
		},
		Err(_) => {
			tracing::debug!(%peer, "a connection was not encrypted in time");
			None
		},
	}
}

/// Answers what comes over a connection, until it ends, becomes a WebSocket's, or has been idle after
/// `stop`.
async fn answer_all(
	stream: CountedStream,
	peer: SocketAddr,
	head: Duration,
	router: Router,
	stop: StopHandle,
) {
	let service = service_fn(move |mut request: hyper::Request<Incoming>| {
		request.extensions_mut().insert(ConnectInfo(Peer(peer)));
		router.clone().call(request)
	});
	let mut builder = http1::Builder::new();
	builder.timer(TokioTimer::new()).header_read_timeout(head);
	let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
	let mut connection = pin!(connection);
	let ended = tokio::select! {
		ended = &mut connection => ended,
		() = stop.shutdown() => {
			connection.as_mut().graceful_shutdown();
			connection.await
		},
	};
	if let Err(error) = ended {
		tracing::debug!(%peer, %error, "a connection broke off");
	}
}

/// A body that fails if it is not there in time.
fn arriving_within(limit: Duration, body: Body) -> Body {
	let deadline = Instant::now() + limit;
	let chunks = stream::unfold(Some(body.into_data_stream()), move |chunks| async move {
		let mut chunks = chunks?;
		let Ok(chunk) = timeout_at(deadline, chunks.next()).await else {
			let late = io::Error::new(io::ErrorKind::TimedOut, "the body took too long");
			return Some((Err(axum::Error::new(late)), None));
		};
		Some((chunk?, Some(chunks)))
	});
	Body::from_stream(chunks)
}

/// The other end of the connection over which a request came: handlers get it as `ConnectInfo`.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// A connection that counts until it is dropped.
struct CountedStream {
	stream: MaybeEncrypted,
	/// Its place within the limits, and one in the count of connections.
	_place: (Place, OpenConnection),
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

/// A refusal as an HTTP answer: its status, and JSON with its code and message.
pub fn refuse(refusal: Refusal) -> Response {
	answer_refusal(&refusal, &refusal)
}

/// Likewise, with another body: the status, and the headers by which clients know what to do. The code
/// is among its extensions too, to be counted.
pub fn answer_refusal(refusal: &Refusal, body: impl Serialize) -> Response {
	let status = StatusCode::from_u16(refusal.code.http_status())
		.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
	let mut response = (status, Extension(refusal.code), Json(body)).into_response();
	let headers = response.headers_mut();
	if let Some(seconds) = refusal.retry_after {
		headers.insert(RETRY_AFTER, seconds.into());
	}
	if refusal.code == Code::Unauthorized {
		headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer, Basic realm=\"key\""));
	}
	response
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
		tokio::spawn(port.serve(1.into(), counted(), router, stop));
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
		tokio::spawn(port.serve(
			3.into(),
			counted(),
			Router::new().fallback(|| async { "hello" }),
			stop,
		));

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
	async fn a_request_that_does_not_arrive_ends_its_connection() {
		let port = bind("127.0.0.1:0").await.unwrap();
		let address = port.address().unwrap();
		let (stop, _stopper) = jsonrpsee::server::stop_channel();
		let short = Duration::from_millis(50);
		let limits = ConnectionLimits { head: short, body: short, ..10.into() };
		let router = Router::new().fallback(|body: Result<String, _>| async {
			body.map_or_else(
				|error: axum::extract::rejection::StringRejection| error.body_text(),
				|_| "all".into(),
			)
		});
		tokio::spawn(port.serve(limits, counted(), router, stop));
		let half_a_head = "POST / HTTP/1.1\r\nHost: x\r\n";
		let half_a_body = format!("{half_a_head}Content-Length: 2\r\n\r\nx");
		for (half, answer) in [(half_a_head, ""), (&half_a_body, "the body took too long")] {
			let mut stream = TcpStream::connect(address).await.unwrap();
			stream.write_all(half.as_bytes()).await.unwrap();
			let mut answered = String::new();
			stream.read_to_string(&mut answered).await.unwrap();
			assert!(answered.ends_with(answer), "{answered}");
			assert_eq!(answered.is_empty(), answer.is_empty(), "{answered}");
		}
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
