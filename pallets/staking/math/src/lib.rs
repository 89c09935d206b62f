//! The arithmetic of stake: pools that many share.
//!
//! A [`Pool`] holds a balance that belongs to its shares in equal parts; a [`Position`] is somebody's
//! shares of it. A loss lowers the balance and leaves the shares alone, so it reaches every
//! position in one write.
//!
//! Rounding always favours the pool, that is, those who stay: shares are issued rounding down,
//! redeemed rounding down, and burned for a requested amount rounding up. Nobody can gain by
//! entering and leaving in small steps.
//!
//! Balances and shares are plain integers (planck, 10^-18 CAI). Nothing here panics.

#![cfg_attr(not(feature = "std"), no_std)]

mod pool;

pub use pool::{Pool, PoolError, Position};

/// An amount of money in planck (10^-18 CAI).
pub type Balance = u128;
