//! The parts of the node that need no running chain.

mod chain_spec;
mod command;
mod ports;
