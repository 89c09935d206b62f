//! Which miner gets a task: a draw in which each eligible miner has probability exactly its weight /
//! the sum of the weights of all eligible miners.
//!
//! - [`uniform`]: an unbiased random number below a bound.
//! - [`sum_tree`]: weights under a tree of sums, so that a draw costs O(log n).
//! - [`pool`]: the miners that could take a task of one model, and the draw among them.

pub mod pool;
pub mod sum_tree;
pub mod uniform;

#[cfg(test)]
pub(crate) mod fairness;
