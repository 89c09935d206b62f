//! The Cuckoo node: keeps the chain, makes and finalizes blocks, and answers over JSON-RPC.
//!
//! A library beside a program of one call, so that tests link what the program links: the node is
//! slow to compile, and its unit tests would compile it a second time.

// The errors of the library are large; they end the program, so their size costs nothing.
#![allow(clippy::result_large_err)]

pub mod chain_spec;
pub mod cli;
pub mod command;
mod equivocation;
mod keys;
pub mod ports;
mod rpc;
mod service;
