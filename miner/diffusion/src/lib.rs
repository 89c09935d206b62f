//! Text-to-image diffusion on [candle](https://docs.rs/candle-core): loads a model directory in the
//! diffusers format (Stable Diffusion 1.x, 2.x, XL and its Turbo) from its own configuration files
//! and renders pictures from a prompt, or from a prompt and a picture.
//!
//! Nothing here knows about chains or networks. [`Pipeline::load`] opens a model on a [`Device`],
//! [`Pipeline::load_with`] one whose weights LoRA files change, [`Pipeline::render`] turns a [`RenderRequest`] into [`Picture`]s.
//!
//! The way of a picture: `text` turns the prompt into token states, `denoising` starts from
//! noise drawn on the CPU and lets the UNet (`unet`) remove it along the steps that one of the
//! `samplers` planned, `vae` decodes the latents to pixels. Where a picture is given to start from,
//! `vae` encodes it, and noise is laid over its latents.
//!
//! The same request on the same model and device gives the same pixels, bit for bit.

mod config;
mod cpu;
#[cfg(any(test, feature = "cuda"))]
mod cuda;
mod denoising;
mod device;
mod digest;
mod directory;
mod error;
mod layers;
mod lora;
mod measure;
mod memory;
mod models;
mod picture;
mod pipeline;
mod request;
mod samplers;
mod text;
mod unet;
pub mod untrained;
mod vae;
mod weights;

pub use device::{Device, UnknownDevice};
pub use error::{LoadError, PngError, RenderError, RequestError};
pub use lora::Lora;
pub use measure::{percentile, step_time, Measurement, Workload};
pub use models::{list_models, ModelEntry, ModelInfo};
pub use picture::Picture;
pub use pipeline::{Pipeline, Progress};
pub use request::{limits, RenderRequest, StartPicture};
pub use samplers::{Sampler, UnknownSampler};
