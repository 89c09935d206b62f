//! Ports that are taken are found before the node starts.

use cuckoo_node::ports::{check, tcp_address, Use};
use std::net::TcpListener;

#[test]
fn a_port_in_use_is_named_with_its_option() {
	let taken = TcpListener::bind("127.0.0.1:0").expect("some port is free");
	let address = taken.local_addr().expect("is bound");
	let error = check(Use::Rpc, address).expect_err("is in use");
	assert!(error.contains(&address.to_string()) && error.contains("--rpc-port"), "{error}");

	drop(taken);
	assert_eq!(check(Use::Rpc, address), Ok(()));
}

#[test]
fn tcp_addresses_are_found_in_multiaddresses() {
	let read = |text: &str| tcp_address(&text.parse().expect("a multiaddress"));
	assert_eq!(read("/ip4/127.0.0.1/tcp/30333/ws"), "127.0.0.1:30333".parse().ok());
	assert_eq!(read("/ip6/::1/tcp/30333"), "[::1]:30333".parse().ok());
	assert_eq!(read("/dns/example.org/tcp/30333"), None);
	assert_eq!(read("/ip4/127.0.0.1/udp/30333"), None);
}
