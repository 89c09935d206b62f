//! Where a connection comes from, as far as its other end cannot choose that.

use std::net::{IpAddr, Ipv6Addr};

/// The part of an address that counts: of an IPv6 address its network (the first 64 bits), as the rest is
/// free for whoever has that.
pub fn origin(address: IpAddr) -> IpAddr {
	match address.to_canonical() {
		IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
		address @ IpAddr::V4(_) => address,
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn an_address_counts_as_far_as_its_owner_cannot_change_it() {
		let of = |address: &str| origin(address.parse().unwrap());
		assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
		assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
		assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
		assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
	}
}
