//! Which miner gets a task: a draw in which each eligible miner has probability exactly its weight /
//! the sum of the weights of all eligible miners, and which everybody can check afterwards.
//!
//! - [`vrf`]: the randomness of a draw, with its proof;
//! - [`uniform`]: an unbiased random number below a bound;
//! - [`sum_tree`]: weights under a tree of sums, so that a draw costs O(log n);
//! - [`pool`]: the miners that could take a task of one model, and the draw among them;
//! - [`late_draw`]: a draw whose proof is made later;
//! - [`fairness`]: whether many draws fit their chances.

pub mod fairness;
pub mod late_draw;
pub mod pool;
pub mod sum_tree;
pub mod uniform;
pub mod vrf;

#[cfg(test)]
mod tests;
