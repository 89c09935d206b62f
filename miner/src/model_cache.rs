//! The models that are loaded on one device: as many as fit the memory that they may have; when one more
//! is needed, those go that were not used for longest.

use crate::worker::Model;
use cuckoo_diffusion::LoadError;
use std::collections::BTreeMap;

/// Loads the model of that name.
pub type Load = Box<dyn Fn(&str) -> Result<Box<dyn Model>, LoadError>>;

/// Models of one device, by the name under which apps ask for them.
pub struct ModelCache {
	load: Load,
	/// Memory for models, in bytes. One that is larger is loaded all the same, alone.
	budget: u64,
	/// The least recently used first.
	loaded: Vec<Loaded>,
	/// Bytes of each model that was loaded before.
	sizes: BTreeMap<String, u64>,
}

struct Loaded {
	name: String,
	model: Box<dyn Model>,
	bytes: u64,
}

impl ModelCache {
	/// Without any model so far.
	pub fn new(load: Load, budget: u64) -> Self {
		Self { load, budget, loaded: Vec::new(), sizes: BTreeMap::new() }
	}

	/// Whether the model is loaded.
	pub fn holds(&self, name: &str) -> bool {
		self.loaded.iter().any(|loaded| loaded.name == name)
	}

	/// What is loaded, the least recently used first.
	pub fn names(&self) -> Vec<String> {
		self.loaded.iter().map(|loaded| loaded.name.clone()).collect()
	}

	/// The model, which is loaded first if it is not there.
	///
	/// # Errors
	///
	/// If it cannot be loaded, even with the device for itself.
	pub fn get(&mut self, name: &str) -> Result<&dyn Model, LoadError> {
		let found = match self.loaded.iter().position(|loaded| loaded.name == name) {
			Some(place) => self.loaded.remove(place),
			None => self.fetch(name)?,
		};
		self.loaded.push(found);
		Ok(&*self.loaded[self.loaded.len() - 1].model)
	}

	/// Lets all go but the one used last; whether there were others.
	pub fn shrink(&mut self) -> bool {
		let others = self.loaded.len().saturating_sub(1);
		self.loaded.drain(..others).count() > 0
	}

	fn fetch(&mut self, name: &str) -> Result<Loaded, LoadError> {
		// How large it is, is known only after the first time.
		self.make_room(self.sizes.get(name).copied().unwrap_or_default());
		let model = loop {
			match (self.load)(name) {
				// The device is fuller than was thought.
				Err(LoadError::OutOfMemory { .. }) if !self.loaded.is_empty() => {
					self.loaded.remove(0);
				},
				loaded => break loaded?,
			}
		};
		let bytes = model.bytes();
		self.sizes.insert(name.to_owned(), bytes);
		self.make_room(bytes);
		Ok(Loaded { name: name.to_owned(), model, bytes })
	}

	fn make_room(&mut self, bytes: u64) {
		let held = |loaded: &[Loaded]| loaded.iter().map(|loaded| loaded.bytes).sum::<u64>();
		while !self.loaded.is_empty() && held(&self.loaded).saturating_add(bytes) > self.budget {
			self.loaded.remove(0);
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::worker::tests::Puppet;
	use cuckoo_diffusion::Device;
	use std::{cell::RefCell, rc::Rc};

	/// A cache with that budget for models of 10 bytes, and what it has loaded. Nobody can load `broken`,
	/// and `large` fits only where nothing else is.
	fn cache(budget: u64) -> (ModelCache, Rc<RefCell<Vec<String>>>) {
		let log = Rc::<RefCell<Vec<String>>>::default();
		let loads = Rc::clone(&log);
		let load = move |name: &str| -> Result<Box<dyn Model>, LoadError> {
			loads.borrow_mut().push(name.into());
			match name {
				"broken" => Err(LoadError::MissingDirectory("broken".into())),
				"large" if loads.borrow().iter().filter(|name| *name == "large").count() < 3 => {
					Err(LoadError::OutOfMemory { device: Device::Cpu })
				},
				_ => Ok(Box::new(Puppet)),
			}
		};
		(ModelCache::new(Box::new(load), budget), log)
	}

	#[test]
	fn the_least_recently_used_goes() {
		let (mut cache, loads) = cache(20);
		for name in ["a", "b", "a", "c", "a", "b"] {
			cache.get(name).unwrap();
		}
		assert_eq!(*loads.borrow(), ["a", "b", "c", "b"]);
		assert_eq!(cache.names(), ["a", "b"]);
		assert!(cache.holds("a") && !cache.holds("c"));
	}

	#[test]
	fn one_that_is_too_large_is_alone() {
		let (mut cache, _) = cache(5);
		cache.get("a").unwrap();
		cache.get("b").unwrap();
		assert_eq!(cache.names(), ["b"]);
	}

	#[test]
	fn a_full_device_is_emptied_before_a_model_is_given_up() {
		let (mut cache, loads) = cache(1000);
		cache.get("a").unwrap();
		cache.get("b").unwrap();
		cache.get("large").unwrap();
		assert_eq!(cache.names(), ["large"]);
		assert_eq!(loads.borrow().len(), 5);
	}

	#[test]
	fn one_that_is_broken_does_no_harm() {
		let (mut cache, _) = cache(20);
		cache.get("a").unwrap();
		assert!(cache.get("broken").is_err());
		assert_eq!(cache.names(), ["a"]);
		assert!(!cache.shrink(), "there is no other");
		cache.get("b").unwrap();
		assert!(cache.shrink());
		assert_eq!(cache.names(), ["b"]);
	}
}
