//! Tests of the pallet, by concept.

mod abuse;
mod elections;
mod genesis;
mod random;
mod registry;
mod unbonding;
mod views;
mod votes;
