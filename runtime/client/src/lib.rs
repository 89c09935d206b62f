//! Access to the Cuckoo chain for programs outside it.
//!
//! - [`ChainClient`]: a connection to a node; reads the registry at finalized blocks, submits
//!   transactions.
//! - [`watch_registry`]: the registry at each finalized block, over restarts of the node.
//! - [`keys`]: files that hold the secret of an operator.
//! - [`consent`]: the proof that an operator agrees to serve a stash.
//! - [`certificate`]: the fingerprint by which a registration names a TLS certificate.
//! - [`key_command`]: the `key` commands of the programs that run with an operator key.
//! - [`cuckoo`]: everything on the chain, typed, generated from its metadata.
//!
//! Amounts are in planck: 10^18 of them are one CAI.

mod account;
mod amount;
pub mod certificate;
mod client;
pub mod consent;
mod error;
pub mod key_command;
pub mod keys;
mod keystore;
mod new_file;
mod registry;
mod watch;

pub use account::{parse_account, parse_hash, AccountError};
pub use amount::{format_cai, parse_cai, CAI};
pub use client::{ChainClient, ChainConfig};
pub use error::ChainError;
pub use new_file::write_new;
pub use registry::{BlockRef, Candidate, Registry, Role, UnknownRole};
pub use subxt::utils::AccountId32;
pub use subxt_signer::sr25519::Keypair;
pub use watch::watch_registry;

/// The calls, storage, events, constants and runtime APIs of the chain, generated from
/// the runtime's `metadata.scale`, which `scripts/metadata` writes.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
#[subxt::subxt(runtime_metadata_path = "../metadata.scale")]
pub mod cuckoo {}
