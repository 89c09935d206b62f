//! The configuration files of a diffusers-format directory, checked: what passes here can be
//! computed, and is computed as its author meant it.

mod model_index;
mod scheduler;
mod text_encoder;
mod unet;
mod vae;

pub(crate) use model_index::{Family, ModelIndex};
pub(crate) use scheduler::read_noise_schedule;
pub(crate) use text_encoder::{Activation, TextEncoderConfig};
pub(crate) use unet::{AddedConfig, BlockConfig, UNetConfig};
pub(crate) use vae::VaeConfig;

use crate::{directory::ModelDirectory, LoadError};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::{ops::RangeInclusive, path::PathBuf};

/// More than any model of this family has, and small enough that no product of a few overflows.
const MAX_CHANNELS: usize = 1 << 16;

/// One JSON object read from a file.
pub(crate) struct ConfigFile {
	path: PathBuf,
	fields: Map<String, Value>,
}

impl ConfigFile {
	/// Reads `name` in the folder `part` of the model.
	pub fn read(model: &ModelDirectory, part: &str, name: &str) -> Result<Self, LoadError> {
		let file = model.find(part, &[name])?;
		let path = model.full(&file);
		let text = model.text(&file)?;
		Self::parse(path, &text)
	}

	fn parse(path: PathBuf, text: &str) -> Result<Self, LoadError> {
		match serde_json::from_str(text).or_else(|error| from_python(text).ok_or(error)) {
			Ok(Value::Object(fields)) => Ok(Self { path, fields }),
			Ok(_) => Err(LoadError::Config { path, message: "not a JSON object".into() }),
			Err(error) => {
				Err(LoadError::Config { path, message: format!("malformed JSON: {error}") })
			},
		}
	}

	/// A field; absent and `null` are the same.
	fn value(&self, field: &str) -> Option<&Value> {
		self.fields.get(field).filter(|value| !value.is_null())
	}

	fn optional<T: DeserializeOwned>(&self, field: &str) -> Result<Option<T>, LoadError> {
		self.value(field)
			.map(|value| {
				T::deserialize(value).map_err(|error| self.error(format!("{field}: {error}")))
			})
			.transpose()
	}

	fn required<T: DeserializeOwned>(&self, field: &str) -> Result<T, LoadError> {
		self.optional(field)?.ok_or_else(|| self.error(format!("{field} is missing")))
	}

	/// A whole number in `range`, or `default` where the field is absent.
	fn whole(
		&self,
		field: &str,
		default: Option<usize>,
		range: RangeInclusive<usize>,
	) -> Result<usize, LoadError> {
		let number = match default {
			Some(default) => self.optional(field)?.unwrap_or(default),
			None => self.required(field)?,
		};
		self.in_range(field, number, range)
	}

	/// A positive finite number, or `default` where the field is absent.
	fn positive(&self, field: &str, default: f64) -> Result<f64, LoadError> {
		let number = self.optional(field)?.unwrap_or(default);
		if number.is_finite() && number > 0.0 {
			Ok(number)
		} else {
			Err(self.error(format!("{field} is {number}: must be positive")))
		}
	}

	/// A field that is one whole number for all blocks, or a list with one for each.
	fn per_block(
		&self,
		field: &str,
		default: Option<usize>,
		blocks: usize,
		range: &RangeInclusive<usize>,
	) -> Result<Vec<usize>, LoadError> {
		if !self.value(field).is_some_and(Value::is_array) {
			return Ok(vec![self.whole(field, default, range.clone())?; blocks]);
		}
		let numbers: Vec<usize> = self.required(field)?;
		if numbers.len() != blocks {
			return Err(
				self.error(format!("{field} has {} entries for {blocks} blocks", numbers.len()))
			);
		}
		numbers.into_iter().map(|number| self.in_range(field, number, range.clone())).collect()
	}

	/// The list of block widths, each a multiple of `groups`.
	fn block_channels(&self, groups: usize) -> Result<Vec<usize>, LoadError> {
		const FIELD: &str = "block_out_channels";
		let channels: Vec<usize> = self.required(FIELD)?;
		if channels.is_empty() || channels.len() > 8 {
			return Err(
				self.error(format!("{FIELD} has {} entries: must be 1 to 8", channels.len()))
			);
		}
		for &count in &channels {
			self.in_range(FIELD, count, 1..=MAX_CHANNELS)?;
			if !count.is_multiple_of(groups) {
				return Err(self.error(format!(
					"{FIELD} holds {count}, which norm_num_groups ({groups}) does not divide"
				)));
			}
		}
		Ok(channels)
	}

	fn in_range(
		&self,
		field: &str,
		number: usize,
		range: RangeInclusive<usize>,
	) -> Result<usize, LoadError> {
		if range.contains(&number) {
			Ok(number)
		} else {
			let (from, to) = range.into_inner();
			Err(self.error(format!("{field} is {number}: must be {from} to {to}")))
		}
	}

	/// Refuses a field whose value is set and is not `supported`.
	fn only(&self, field: &str, supported: Value) -> Result<(), LoadError> {
		match self.value(field) {
			Some(value) if !same(value, &supported) => {
				let reason = if supported.is_null() {
					"it must not be set".to_owned()
				} else {
					format!("it must be {supported}")
				};
				Err(self.unsupported(field, value, reason))
			},
			_ => Ok(()),
		}
	}

	fn unsupported(
		&self,
		field: &str,
		value: impl std::fmt::Display,
		reason: impl Into<String>,
	) -> LoadError {
		LoadError::Unsupported {
			path: self.path.clone(),
			field: field.to_owned(),
			value: value.to_string(),
			reason: reason.into(),
		}
	}

	fn error(&self, message: String) -> LoadError {
		LoadError::Config { path: self.path.clone(), message }
	}
}

/// Python writes infinities (a default of some schedulers) as words that JSON does not have. No field
/// that is looked at can use one: they count as absent.
fn from_python(text: &str) -> Option<Value> {
	let text = [": -Infinity", ": Infinity", ": NaN"]
		.iter()
		.fold(text.to_owned(), |text, word| text.replace(word, ": null"));
	serde_json::from_str(&text).ok()
}

/// Equal, where 1 and 1.0 are the same number.
fn same(a: &Value, b: &Value) -> bool {
	match (a.as_f64(), b.as_f64()) {
		(Some(a), Some(b)) => a.total_cmp(&b).is_eq(),
		_ => a == b,
	}
}

#[cfg(test)]
pub(crate) mod tests;
