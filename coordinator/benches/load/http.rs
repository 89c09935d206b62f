//! Just enough of HTTP/1.1 for a load generator: requests over connections that stay open. A complete
//! client would take more of the processors than the coordinator that is measured.

use parking_lot::Mutex;
use std::io;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Connections to one server. A request beyond the limit waits, as part of the time that it takes.
pub struct Http {
	address: String,
	idle: Mutex<Vec<BufReader<TcpStream>>>,
	free: Semaphore,
}

impl Http {
	/// To this server, by so many connections at most.
	pub fn new(address: &str, most: usize) -> Self {
		let (address, idle) = (address.to_owned(), Mutex::default());
		Self { address, idle, free: Semaphore::new(most) }
	}

	/// Sends a request with a body; status and body of the answer. `headers` end with a line break each.
	pub async fn send(&self, line: &str, headers: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
		let _permit = self.free.acquire().await.map_err(io::Error::other)?;
		let idle = self.idle.lock().pop();
		let mut connection = if let Some(connection) = idle {
			connection
		} else {
			let stream = TcpStream::connect(&self.address).await?;
			stream.set_nodelay(true)?;
			BufReader::new(stream)
		};
		let length = body.len();
		let head = format!(
			"{line} HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\n{headers}\r\n",
			self.address
		);
		let mut request = head.into_bytes();
		request.extend_from_slice(body);
		connection.write_all(&request).await?;
		let answer = read_answer(&mut connection).await?;
		self.idle.lock().push(connection);
		Ok(answer)
	}
}

/// Reads an answer that says its length.
async fn read_answer(connection: &mut BufReader<TcpStream>) -> io::Result<(u16, Vec<u8>)> {
	let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
	let mut line = String::new();
	connection.read_line(&mut line).await?;
	let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
	let status = status.ok_or_else(|| bad(&format!("no status: {line:?}")))?;
	let mut length = 0;
	loop {
		line.clear();
		if connection.read_line(&mut line).await? == 0 {
			return Err(bad("the answer ends in its head"));
		}
		let header = line.trim_end().to_ascii_lowercase();
		if header.is_empty() {
			break;
		}
		if let Some(value) = header.strip_prefix("content-length:") {
			length = value.trim().parse().map_err(|_| bad("the length is no number"))?;
		}
	}
	let mut body = vec![0; length];
	connection.read_exact(&mut body).await?;
	Ok((status, body))
}
