//! What the end-to-end tests and the demo share: real programs as processes on loopback, and what
//! apps and stakers do with them.
//!
//! - [`process`]: a program that runs, with its log; it ends when its guard is dropped.
//! - [`ports`]: ports on which nothing listens.
//! - [`polkadot_js`]: the scripts that use polkadot.js.
//! - [`network`]: a chain, coordinators and miners that belong together.
//! - [`staking`]: becoming a candidate by transactions.
//! - [`app`]: what an app does with a coordinator.
//! - [`models`]: the model that all of them render with.

pub mod app;
pub mod models;
pub mod network;
pub mod polkadot_js;
pub mod ports;
pub mod process;
pub mod staking;
