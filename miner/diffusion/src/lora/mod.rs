//! LoRA files (Hu et al. 2021): small changes to some of a model's weights, merged into them when the
//! model is loaded. Read are files as diffusers and PEFT name their tensors, and as kohya's sd-scripts do.

mod names;
#[cfg(test)]
mod tests;

pub(crate) use names::{original_names, Part};

use crate::{
	digest,
	weights::{Failure, WeightsFile},
	LoadError,
};
use candle_core::{DType, Tensor};
use names::{parse, Role};
use std::{
	collections::{BTreeMap, HashMap},
	path::{Path, PathBuf},
};

/// A LoRA file, and how strongly it counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Lora {
	/// A safetensors file.
	pub path: PathBuf,
	/// What its changes are multiplied with; 1 is as its author meant it.
	pub scale: f32,
}

/// The digest of a model whose weights the LoRA files change: that of the model itself if there are
/// none, else BLAKE2b-256 over it and, for each file, its length, its content and the scale.
pub(crate) fn digest_with(model: [u8; 32], loras: &[Lora]) -> Result<[u8; 32], LoadError> {
	if loras.is_empty() {
		return Ok(model);
	}
	let mut hash = digest::blake2_256();
	hash.update(&model);
	for lora in loras {
		digest::add_file(&mut hash, &lora.path)?;
		hash.update(&lora.scale.to_le_bytes());
	}
	Ok(digest::finish(&hash))
}

/// A LoRA file while the model is loaded.
pub(crate) struct LoraFile {
	file: WeightsFile,
	scale: f32,
	layers: BTreeMap<(Part, String), Tensors>,
}

/// The names of the tensors of a layer.
#[derive(Default)]
struct Tensors {
	down: Option<String>,
	up: Option<String>,
	alpha: Option<String>,
}

/// What is added to the weights of a layer: up · down · factor.
pub(crate) struct Change {
	/// (outputs, rank)
	up: Tensor,
	/// (rank, inputs × places of the kernel)
	down: Tensor,
	factor: f64,
}

impl Change {
	/// In the shape of the weights.
	pub fn tensor(&self, shape: &[usize]) -> candle_core::Result<Tensor> {
		(self.up.matmul(&self.down)? * self.factor)?.reshape(shape)
	}
}

impl LoraFile {
	/// Reads which layers it changes. A tensor that means nothing here is an error: without it the
	/// pictures would be others than the file's author saw.
	pub fn open(lora: &Lora) -> Result<Self, LoadError> {
		let file = WeightsFile::open(lora.path.clone())?;
		let error = |message| LoadError::Lora { path: lora.path.clone(), message };
		if !lora.scale.is_finite() {
			return Err(error(format!("its scale is {}: it must be a number", lora.scale)));
		}
		let mut layers = BTreeMap::<_, Tensors>::new();
		for name in file.names() {
			let (part, layer, role) = parse(name).map_err(error)?;
			let tensors = layers.entry((part, layer)).or_default();
			let place = match role {
				Role::Down => &mut tensors.down,
				Role::Up => &mut tensors.up,
				Role::Alpha => &mut tensors.alpha,
			};
			if let Some(other) = place.replace(name.clone()) {
				return Err(error(format!("{name} and {other} mean the same")));
			}
		}
		let lora = Self { file, scale: lora.scale, layers };
		if lora.layers.is_empty() {
			return Err(lora.error("it has no tensors".into()));
		}
		Ok(lora)
	}

	/// Refuses to change a part that the model does not have.
	pub fn check_parts(&self, parts: &[Part]) -> Result<(), LoadError> {
		match self.layers.keys().find(|(part, _)| !parts.contains(part)) {
			None => Ok(()),
			Some((part, _)) => Err(self
				.error(format!("it changes the {}, which the model does not have", part.folder()))),
		}
	}

	/// What it changes in a part of the model. `layers` are the names and the shapes of the part's
	/// weights by their flat names.
	pub fn changes(
		&self,
		part: Part,
		layers: &HashMap<String, (&str, &[usize])>,
	) -> Result<Vec<(String, Change)>, LoadError> {
		let of_part = self.layers.iter().filter(|((of, _), _)| *of == part);
		of_part
			.map(|((_, layer), tensors)| {
				let any = [&tensors.down, &tensors.up, &tensors.alpha].into_iter().flatten();
				let any = any.map(String::as_str).next().unwrap_or_default();
				let Some(&(name, shape)) = layers.get(layer) else {
					let folder = part.folder();
					return Err(self.error(format!("{any} is of no layer of the model's {folder}")));
				};
				let (Some(down), Some(up)) = (&tensors.down, &tensors.up) else {
					return Err(self.error(format!("{any} lacks its counterpart")));
				};
				let alpha = tensors.alpha.as_deref();
				Ok((name.to_owned(), self.change(part, down, up, alpha, shape)?))
			})
			.collect()
	}

	/// The change of weights of a given shape (outputs, inputs, …).
	fn change(
		&self,
		part: Part,
		down: &str,
		up: &str,
		alpha: Option<&str>,
		shape: &[usize],
	) -> Result<Change, LoadError> {
		let misfit = |name: &str, expected: String| {
			let found = self.file.shape(name).unwrap_or_default();
			self.error(format!("tensor {name} has shape {found:?}, it must be {expected}"))
		};
		let of = |name: &str| plain(self.file.shape(name).unwrap_or_default()).to_vec();
		let (outputs, inputs) = match plain(shape) {
			[outputs, inputs @ ..] if !inputs.is_empty() => (*outputs, inputs),
			_ => return Err(self.error(format!("{down} is of a layer that is no product"))),
		};
		let rank = match &of(down)[..] {
			[rank, rest @ ..] if rest == inputs && *rank > 0 => *rank,
			_ => return Err(misfit(down, format!("(rank, {inputs:?})"))),
		};
		if of(up) != [outputs, rank] {
			return Err(misfit(up, format!("[{outputs}, {rank}]")));
		}
		let matrix = |name, size: (usize, usize)| -> Result<Tensor, Failure> {
			Ok(self.file.tensor(name)?.to_dtype(DType::F32)?.reshape(size)?)
		};
		let failed = |failure: Failure| failure.into_error(self.file.path());
		Ok(Change {
			up: matrix(up, (outputs, rank)).map_err(failed)?,
			down: matrix(down, (rank, inputs.iter().product())).map_err(failed)?,
			factor: f64::from(self.scale) * self.factor(part, alpha, rank)?,
		})
	}

	/// alpha / rank, with the alpha of the layer or, as PEFT writes it, of all layers.
	fn factor(&self, part: Part, alpha: Option<&str>, rank: usize) -> Result<f64, LoadError> {
		let Some(name) = alpha else { return self.factor_for_all(part, rank) };
		if self.file.shape(name).unwrap_or_default().iter().product::<usize>() != 1 {
			return Err(self.error(format!("{name} is not one number")));
		}
		let read = || -> Result<f32, Failure> {
			Ok(self.file.tensor(name)?.to_dtype(DType::F32)?.reshape(())?.to_scalar()?)
		};
		let alpha = read().map_err(|failure| failure.into_error(self.file.path()))?;
		if !alpha.is_finite() {
			return Err(self.error(format!("{name} is {alpha}")));
		}
		Ok(f64::from(alpha) / rank as f64)
	}

	/// What diffusers says in the header: nothing means an alpha of the rank.
	fn factor_for_all(&self, part: Part, rank: usize) -> Result<f64, LoadError> {
		const NOTE: &str = "lora_adapter_metadata";
		let Some(note) = self.file.note(NOTE) else { return Ok(1.0) };
		let note: serde_json::Value = serde_json::from_str(note)
			.map_err(|error| self.error(format!("{NOTE} is malformed: {error}")))?;
		let field = |name| note.get(format!("{}.{name}", part.folder()));
		let is_set = |name| field(name).is_some_and(|value| value.as_bool() == Some(true));
		if is_set("use_dora") {
			return Err(self.error("it is a DoRA (use_dora), which is not supported".into()));
		}
		let pattern = field("alpha_pattern").and_then(serde_json::Value::as_object);
		if pattern.is_some_and(|pattern| !pattern.is_empty()) {
			return Err(self.error("alpha_pattern is not supported".into()));
		}
		let Some(alpha) = field("lora_alpha") else { return Ok(1.0) };
		let Some(alpha) = alpha.as_f64() else {
			return Err(self.error(format!("lora_alpha is {alpha}: it must be a number")));
		};
		let rank = rank as f64;
		Ok(alpha / if is_set("use_rslora") { rank.sqrt() } else { rank })
	}

	fn error(&self, message: String) -> LoadError {
		LoadError::Lora { path: self.path().to_owned(), message }
	}

	fn path(&self) -> &Path {
		self.file.path()
	}
}

/// A shape without the ones at its end, as far as it stays a matrix: a convolution of one place is a
/// product of matrices.
fn plain(shape: &[usize]) -> &[usize] {
	match shape {
		[rest @ .., 1] if rest.len() >= 2 => plain(rest),
		_ => shape,
	}
}
