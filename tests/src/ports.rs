//! Ports on which nothing listens.

use anyhow::{bail, Result};
use rand::Rng;
use std::net::TcpListener;

/// Below the range from which systems take the local ports of outgoing connections: one of those
/// could be in use again a moment later.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Different ports on which nothing listens on loopback now.
pub fn free<const N: usize>() -> Result<[u16; N]> {
	let mut listeners = Vec::new();
	for _ in 0..1_000 {
		if listeners.len() == N {
			break;
		}
		let port = rand::thread_rng().gen_range(RANGE);
		listeners.extend(TcpListener::bind(("127.0.0.1", port)));
	}
	let mut ports = [0; N];
	if listeners.len() != N {
		bail!("there are no {N} free ports from {} to {}", RANGE.start, RANGE.end);
	}
	for (port, listener) in ports.iter_mut().zip(&listeners) {
		*port = listener.local_addr()?.port();
	}
	Ok(ports)
}
