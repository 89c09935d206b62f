//! Checks that the ports of the node are free before it starts.
//!
//! The libraries below would do otherwise: the RPC server would listen on a random port, and the
//! network would log a warning and stay deaf.

use std::{
	fmt,
	io::ErrorKind,
	net::{IpAddr, SocketAddr, TcpListener},
};

use sc_network::multiaddr::{Multiaddr, Protocol};
use sc_service::Configuration;

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
	/// Questions and transactions over JSON-RPC.
	Rpc,
	/// Metrics.
	Prometheus,
	/// Other nodes.
	Network,
}

impl Use {
	/// The option that sets the port.
	fn option(self) -> &'static str {
		match self {
			Self::Rpc => "--rpc-port",
			Self::Prometheus => "--prometheus-port",
			Self::Network => "--port",
		}
	}
}

impl fmt::Display for Use {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::Rpc => "RPC",
			Self::Prometheus => "Prometheus",
			Self::Network => "the network",
		})
	}
}

/// Where the node is to listen.
pub struct Ports(Vec<(Use, SocketAddr)>);

impl Ports {
	/// Reads the ports from `config`, and makes it insist on them.
	pub fn claim(config: &mut Configuration) -> Self {
		let mut ports = Vec::new();
		for endpoint in config.rpc.addr.iter_mut().flatten() {
			endpoint.retry_random_port = false;
			if !endpoint.is_optional {
				ports.push((Use::Rpc, endpoint.listen_addr));
			}
		}
		ports.extend(config.prometheus_config.iter().map(|config| (Use::Prometheus, config.port)));
		ports.extend(
			config
				.network
				.listen_addresses
				.iter()
				.filter_map(tcp_address)
				.map(|address| (Use::Network, address)),
		);
		Self(ports)
	}

	/// Whether all ports are free.
	///
	/// # Errors
	///
	/// One line that names the first port that is not, and the option that sets it.
	pub fn check(&self) -> Result<(), String> {
		self.0.iter().try_for_each(|(usage, address)| check(*usage, *address))
	}

	/// As [`Self::check`], of the RPC ports alone.
	pub fn check_rpc(&self) -> Result<(), String> {
		let mut rpc = self.0.iter().filter(|(usage, _)| *usage == Use::Rpc);
		rpc.try_for_each(|(usage, address)| check(*usage, *address))
	}
}

/// The TCP address in a multiaddress, if there is one.
pub fn tcp_address(address: &Multiaddr) -> Option<SocketAddr> {
	let mut protocols = address.iter();
	let ip = match protocols.next()? {
		Protocol::Ip4(ip) => IpAddr::from(ip),
		Protocol::Ip6(ip) => IpAddr::from(ip),
		_ => return None,
	};
	match protocols.next()? {
		Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
		_ => None,
	}
}

/// Whether a port is free.
///
/// # Errors
///
/// One line that names the port, and the option that sets it.
pub fn check(usage: Use, address: SocketAddr) -> Result<(), String> {
	match TcpListener::bind(address) {
		Ok(_) => Ok(()),
		// The machine may lack IPv6; the network library then listens on IPv4 alone.
		Err(error) if address.is_ipv6() && error.kind() != ErrorKind::AddrInUse => Ok(()),
		Err(error) if error.kind() == ErrorKind::AddrInUse => Err(format!(
			"the port of {address} is in use, and {usage} needs it: choose another with {}",
			usage.option()
		)),
		Err(error) => Err(format!("cannot listen on {address} for {usage}: {error}")),
	}
}
