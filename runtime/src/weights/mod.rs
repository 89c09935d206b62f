//! Weights that were measured with this runtime, by `scripts/weights`.

pub mod pallet_cuckoo_staking;
