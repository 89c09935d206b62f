//! The whole system with real processes and real clients, on loopback.

mod bad_input;
mod demo;
mod elections;
mod encryption;
mod miner;
mod node;
mod polkadot_js;
mod upgrade;
mod whole_path;
