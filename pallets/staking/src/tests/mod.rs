//! Tests of the pallet, by concept.

mod abuse;
mod elections;
mod genesis;
mod migrations;
mod random;
mod registry;
mod rewards;
mod slashing;
mod unbonding;
mod views;
mod votes;
