//! Which addresses may be called: those that everybody could call anyway. An app must not make the
//! coordinator talk to itself, to its neighbours or to the machine's own services.
//!
//! The check is made where a name is resolved for a connection, so the connection goes to an address that
//! was checked, whatever the name resolves to before or after.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::lookup_host;
use url::{Host, Url};

/// Why an address is not called.
#[derive(Debug, thiserror::Error)]
pub(super) enum AddressError {
	/// It is no address.
	#[error("it is not a URL: {0}")]
	Malformed(#[from] url::ParseError),
	/// It is for another protocol.
	#[error("it must begin with {0}")]
	Scheme(&'static str),
	/// It leads into this machine or its network, or nowhere.
	#[error("{host} is {address}, which is not a public address")]
	NotPublic {
		/// What was to be called.
		host: String,
		/// Where that is.
		address: IpAddr,
	},
	/// It names this machine.
	#[error("{0} is this machine")]
	Local(String),
}

/// Checks a URL as far as that can be done without resolving its name; its parts.
pub(super) fn check(url: &str, allow_private: bool) -> Result<Url, AddressError> {
	let parsed = Url::parse(url)?;
	match parsed.scheme() {
		"https" => {},
		"http" if allow_private => {},
		_ if allow_private => return Err(AddressError::Scheme("https:// or http://")),
		_ => return Err(AddressError::Scheme("https://")),
	}
	if allow_private {
		return Ok(parsed);
	}
	let address = match parsed.host() {
		Some(Host::Ipv4(address)) => IpAddr::V4(address),
		Some(Host::Ipv6(address)) => IpAddr::V6(address),
		Some(Host::Domain(name)) => {
			// Names for the loopback interface by RFC 6761, whatever a resolver says.
			let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
			return match last {
				"localhost" => Err(AddressError::Local(name.to_owned())),
				_ => Ok(parsed),
			};
		},
		None => return Err(url::ParseError::EmptyHost.into()),
	};
	if is_public(address) {
		Ok(parsed)
	} else {
		Err(AddressError::NotPublic { host: url.to_owned(), address })
	}
}

/// Resolves names to public addresses.
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
	fn resolve(&self, name: Name) -> Resolving {
		Box::pin(async move {
			let host = name.as_str();
			let addresses: Vec<SocketAddr> = lookup_host((host, 0)).await?.collect();
			// A name that leads here as well as elsewhere is not one to trust.
			if let Some(bad) = addresses.iter().find(|address| !is_public(address.ip())) {
				let refused = AddressError::NotPublic { host: host.to_owned(), address: bad.ip() };
				return Err(refused.into());
			}
			Ok(Box::new(addresses.into_iter()) as Addrs)
		})
	}
}

/// Whether an address belongs to somebody on the public internet, by the registries of special-purpose
/// addresses (RFC 6890 and what followed).
fn is_public(address: IpAddr) -> bool {
	match address {
		IpAddr::V4(address) => is_public_v4(address),
		IpAddr::V6(address) => is_public_v6(address),
	}
}

fn is_public_v4(address: Ipv4Addr) -> bool {
	let special = match address.octets() {
		// This network; private; loopback; private; multicast, reserved and broadcast.
		[0 | 10 | 127 | 224.., ..]
		// Shared by providers (RFC 6598); link-local; private; private.
		| [100, 64..=127, ..]
		| [169, 254, ..]
		| [172, 16..=31, ..]
		| [192, 168, ..]
		// Protocol assignments; documentation; relays of 6to4; benchmarks; documentation.
		| [192, 0, 0 | 2, _]
		| [192, 88, 99, _]
		| [198, 18 | 19, ..]
		| [198, 51, 100, _]
		| [203, 0, 113, _] => true,
		_ => false,
	};
	!special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
	match address.segments() {
		// An IPv4 address behind a translator (RFC 6052).
		[0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
			let [a, b] = high.to_be_bytes();
			let [c, d] = low.to_be_bytes();
			is_public_v4(Ipv4Addr::new(a, b, c, d))
		},
		// Protocol assignments, among them Teredo; documentation; 6to4; documentation.
		[0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
		// The global unicast addresses. The rest is loopback, mapped IPv4, local, multicast or unassigned.
		[0x2000..=0x3fff, ..] => true,
		_ => false,
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn only_public_addresses_are_public() {
		for public in [
			"8.8.8.8",
			"1.1.1.1",
			"172.15.0.1",
			"172.32.0.1",
			"100.63.0.1",
			"192.0.1.1",
			"2606:4700::1111",
			"2001:4860::8888",
			"64:ff9b::808:808",
		] {
			assert!(is_public(public.parse().unwrap()), "{public}");
		}
		for not in [
			"0.0.0.0",
			"10.1.2.3",
			"127.0.0.1",
			"127.255.255.255",
			"100.64.0.1",
			"169.254.169.254",
			"172.16.0.1",
			"172.31.255.255",
			"192.168.1.1",
			"192.0.0.1",
			"192.0.2.1",
			"198.18.0.1",
			"198.51.100.1",
			"203.0.113.1",
			"224.0.0.1",
			"240.0.0.1",
			"255.255.255.255",
			"::",
			"::1",
			"::ffff:127.0.0.1",
			"::ffff:8.8.8.8",
			"::7f00:1",
			"fe80::1",
			"fc00::1",
			"fd12::1",
			"fec0::1",
			"ff02::1",
			"2001:db8::1",
			"2001::1",
			"2002:7f00:1::",
			"3fff::1",
			"64:ff9b::7f00:1",
			"64:ff9b:1::1",
			"100::1",
		] {
			assert!(!is_public(not.parse().unwrap()), "{not}");
		}
	}

	#[test]
	fn a_url_is_checked_however_its_host_is_written() {
		check("https://example.com/hook?x=1", false).unwrap();
		check("https://8.8.8.8:8443/", false).unwrap();
		for (url, why) in [
			("example.com", "not a URL"),
			("http://example.com", "must begin with https://"),
			("ftp://example.com", "must begin with https://"),
			("https://127.0.0.1/", "not a public address"),
			("https://2130706433/", "not a public address"),
			("https://0x7f.1/", "not a public address"),
			("https://0177.0.0.1/", "not a public address"),
			("https://[::1]/", "not a public address"),
			("https://[::ffff:10.0.0.1]/", "not a public address"),
			("https://localhost/", "this machine"),
			("https://LOCALHOST./", "this machine"),
			("https://x.localhost/", "this machine"),
		] {
			let error = check(url, false).unwrap_err().to_string();
			assert!(error.contains(why), "{url}: {error}");
		}
		check("http://localhost:1/", true).unwrap();
		check("http://127.0.0.1:1/", true).unwrap();
		assert!(check("ftp://127.0.0.1/", true).is_err());
	}

	#[tokio::test]
	async fn a_name_that_resolves_to_this_machine_is_refused() {
		let refused = PublicOnly.resolve("localhost".parse().unwrap()).await.err().unwrap();
		let refused = refused.downcast_ref::<AddressError>().unwrap().to_string();
		assert!(refused.contains("localhost is ") && refused.contains("not a public"), "{refused}");
	}
}
