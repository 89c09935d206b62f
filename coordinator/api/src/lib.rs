//! What a coordinator says to the two kinds of program that talk to it.
//!
//! - [`app`]: the JSON-RPC methods for apps (`cuckoo_*`), over HTTP and WebSocket.
//! - [`assignment`]: how miners were drawn, for whoever checks it.
//! - [`miner`]: the JSON-RPC methods for miners (`miner_*`), over WebSocket, and the path to which
//!   pictures are uploaded as raw bytes.
//! - [`task`]: what a task is, its states and its limits; both sides share it.
//! - [`signing`]: messages signed with a miner's operator key.
//! - [`amount`](amount): money.
//! - [`error`]: the codes of every refusal.
//!
//! All JSON is camelCase. Fields that a reader does not know are ignored.

pub mod amount;
pub mod app;
pub mod assignment;
pub mod error;
pub mod miner;
pub mod signing;
pub mod task;
pub mod webhook;
