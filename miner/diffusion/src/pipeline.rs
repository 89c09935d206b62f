//! A loaded model, and rendering with it.

use crate::{Device, LoadError, ModelInfo, Picture, RenderError, RenderRequest};
use std::{ops::ControlFlow, path::Path};

/// How far a request has come. Reported after each denoising step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
	/// The picture being denoised, from 0.
	pub image: u32,
	/// Pictures in the request.
	pub images: u32,
	/// Denoising steps done for this picture, from 1.
	pub step: u32,
	/// Denoising steps of each picture.
	pub steps: u32,
}

/// A model on a device, ready to render.
pub struct Pipeline {
	info: ModelInfo,
}

impl Pipeline {
	/// Loads the model directory `dir` (diffusers format) onto `device`.
	pub fn load(dir: &Path, device: &Device) -> Result<Self, LoadError> {
		let _ = device;
		Err(LoadError::MissingDirectory(dir.to_owned()))
	}

	/// Renders the request, reporting each step to `progress`, which may stop it.
	pub fn render(
		&self,
		request: &RenderRequest,
		progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
	) -> Result<Vec<Picture>, RenderError> {
		request.validate()?;
		let _ = progress;
		Err(RenderError::Cancelled)
	}

	/// What was loaded.
	pub fn info(&self) -> &ModelInfo {
		&self.info
	}
}
