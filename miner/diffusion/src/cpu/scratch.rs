//! Memory for numbers on their way, which each thread keeps: new memory costs as much as the work on it.

use std::{
	cell::RefCell,
	ops::{Deref, DerefMut},
};

thread_local! {
	static KEPT: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// So many numbers, with anything in them. The thread gets them back when this is dropped.
pub(super) struct Scratch {
	kept: Vec<f32>,
	len: usize,
}

impl Scratch {
	pub fn new(len: usize) -> Self {
		let mut kept = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
		if kept.len() < len {
			kept.resize(len, 0.0);
		}
		Self { kept, len }
	}
}

impl Deref for Scratch {
	type Target = [f32];

	fn deref(&self) -> &[f32] {
		&self.kept[..self.len]
	}
}

impl DerefMut for Scratch {
	fn deref_mut(&mut self) -> &mut [f32] {
		&mut self.kept[..self.len]
	}
}

impl Drop for Scratch {
	fn drop(&mut self) {
		let kept = std::mem::take(&mut self.kept);
		KEPT.with_borrow_mut(|all| all.push(kept));
	}
}
