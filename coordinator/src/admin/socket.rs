//! The socket over which a running coordinator takes commands: one in JSON a line, and one line of
//! answer. Only the user that the coordinator runs as, and root, may use it.

use crate::accounts::{Command, CommandError, Reply};
use crate::service::Service;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// Name of the socket in the data directory.
const SOCKET: &str = "admin.sock";
/// Longest command, in bytes.
const MAX_COMMAND_BYTES: u64 = 64 * 1024;
/// Most users of the socket at once.
const MAX_USERS: usize = 16;
/// Longest time for a command and its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The socket of a running coordinator; it is gone when this is dropped.
pub struct AdminSocket {
	path: PathBuf,
	server: JoinHandle<()>,
}

impl AdminSocket {
	/// Opens the socket in a data directory, whose store must be the caller's: a socket that a killed
	/// coordinator has left is replaced.
	///
	/// # Errors
	///
	/// If it cannot be made, as where the path is too long for a socket (some 100 bytes).
	pub fn open(dir: &Path, service: Arc<Service>) -> io::Result<Self> {
		let path = dir.join(SOCKET);
		match fs::remove_file(&path) {
			Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
			_ => {},
		}
		let listener = UnixListener::bind(&path)?;
		fs::set_permissions(&path, Permissions::from_mode(0o600))?;
		let owner = fs::metadata(&path)?.uid();
		let server = tokio::spawn(serve(listener, owner, service));
		Ok(Self { path, server })
	}
}

impl Drop for AdminSocket {
	fn drop(&mut self) {
		self.server.abort();
		// If it stays it only has to be replaced.
		let _ = fs::remove_file(&self.path);
	}
}

async fn serve(listener: UnixListener, owner: u32, service: Arc<Service>) {
	let mut users = JoinSet::new();
	loop {
		let accepted = tokio::select! {
			accepted = listener.accept(), if users.len() < MAX_USERS => accepted,
			Some(_) = users.join_next() => continue,
		};
		match accepted {
			Ok((stream, _)) => {
				// It was open to others for a moment, before it was closed to them.
				let user = stream.peer_cred().map(|user| user.uid());
				if !user.as_ref().is_ok_and(|user| *user == owner || *user == 0) {
					tracing::warn!(?user, "somebody else is at the admin socket");
					continue;
				}
				users.spawn(timeout(PATIENCE, answer(stream, service.clone())));
			},
			Err(error) => {
				tracing::warn!(%error, "the admin socket fails");
				tokio::time::sleep(Duration::from_secs(1)).await;
			},
		}
	}
}

async fn answer(mut stream: UnixStream, service: Arc<Service>) -> io::Result<()> {
	let command: Command = read(&mut stream).await?;
	tracing::info!(?command, "by the admin socket");
	let done = service.administer(command).await;
	write(&mut stream, &done).await
}

/// Lets the coordinator that runs on a data directory do something; `None` if none runs.
///
/// # Errors
///
/// If there is one and it does not answer.
pub async fn ask(dir: &Path, command: &Command) -> io::Result<Option<Result<Reply, CommandError>>> {
	let mut stream = match UnixStream::connect(dir.join(SOCKET)).await {
		Ok(stream) => stream,
		// The socket of a coordinator that was killed refuses.
		Err(error)
			if matches!(
				error.kind(),
				io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
			) =>
		{
			return Ok(None);
		},
		Err(error) => return Err(error),
	};
	let answered = timeout(PATIENCE, async {
		write(&mut stream, command).await?;
		read(&mut stream).await.map(Some)
	});
	answered.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn write(stream: &mut UnixStream, value: &impl serde::Serialize) -> io::Result<()> {
	let mut line = serde_json::to_vec(value)?;
	line.push(b'\n');
	stream.write_all(&line).await
}

async fn read<T: serde::de::DeserializeOwned>(stream: &mut UnixStream) -> io::Result<T> {
	let mut line = Vec::new();
	BufReader::new(stream).take(MAX_COMMAND_BYTES).read_until(b'\n', &mut line).await?;
	Ok(serde_json::from_slice(&line)?)
}
