//! What a picture takes most of on an NVIDIA GPU, as kernels of our own (`kernels/*.cu`, compiled to PTX by
//! `build.rs`); candle computes the rest, by cuBLAS and cuDNN.
//!
//! Each kernel has a file here that says how it is launched for given sizes, and, in builds with the feature
//! `cuda`, a function of tensors. The tests launch them in the same way on an emulated GPU, or on a real
//! one in builds with CUDA.

pub(crate) mod attention;
pub(crate) mod group_norm;
mod launch;
pub(crate) mod pointwise;

#[cfg(feature = "cuda")]
pub(crate) mod convolution;
#[cfg(feature = "cuda")]
pub(crate) mod driver;
#[cfg(feature = "cuda")]
pub(crate) mod graph;
#[cfg(test)]
mod tests;
